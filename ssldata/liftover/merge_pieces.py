"""Pieces of a lifted interval that lie closer than a gap merge into loci."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int32Array, Int64Array

#: Added once per group, to keep the groups of one sorted or accumulated array apart; positions
#: are smaller.
GROUP = np.int64(1) << 33


def grouped_maximum(values: Int64Array, group: Int64Array) -> Int64Array:
    """Return, per element, the maximum of the elements before it in its group (−1: none).

    `group` ascends; values are ≥ 0.
    """
    lifted = np.maximum.accumulate(values + group * GROUP) if len(values) else values
    before = np.full(len(values), -1, np.int64)
    same = group[1:] == group[:-1]
    before[1:][same] = (lifted[:-1] - group[1:] * GROUP)[same]
    return before


def merge_loci(
    rows: int,
    interval: Int64Array,
    contig: Int32Array,
    begin: Int64Array,
    finish: Int64Array,
    *,
    gap: int,
) -> dict[str, NDArray[Any]]:
    """Merge the query ranges of each interval less than `gap` apart; strands are ignored.

    Two ranges on one contig merge when the start of the next minus the greatest end so far is
    below `gap` (``GenomicRanges::reduce(min.gapwidth=gap)``).

    Parameters
    ----------
    rows
        Number of intervals.
    interval, contig, begin, finish
        Per range: the interval it belongs to, and where it lies; 0-based half-open.
    gap
        Bases.

    Returns
    -------
    dict
        Per interval: ``loci`` (number left), ``contigs`` (number of contigs), and of the ranges
        together ``contig`` (of one of them), ``start``, ``end`` (smallest, greatest).
    """
    order = np.lexsort((begin, contig, interval))
    interval, contig = interval[order], contig[order]
    begin, finish = begin[order], finish[order]
    changed = np.ones(len(order), bool)
    changed[1:] = (interval[1:] != interval[:-1]) | (contig[1:] != contig[:-1])
    group = np.cumsum(changed) - 1
    fresh = changed | (begin - grouped_maximum(finish, group) >= gap)
    start = np.full(rows, np.iinfo(np.int64).max)
    end = np.full(rows, -1, np.int64)
    np.minimum.at(start, interval, begin)
    np.maximum.at(end, interval, finish)
    some = np.full(rows, -1, np.int32)
    some[interval] = contig
    return {
        "loci": np.bincount(interval[fresh], minlength=rows).astype(np.int32),
        "contigs": np.bincount(interval[changed], minlength=rows),
        "contig": some,
        "start": start,
        "end": end,
    }
