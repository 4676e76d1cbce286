"""Window arithmetic: coverage, stored windows, N.

Pure functions of arrays. A *bin* is ``[k * size, (k + 1) * size)`` of a contig; what a row stores
is the bin with equal context on both sides.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.rows.intervals import Intervals

#: Why a window is not stored.
KEEP, OFF_CONTIG, HAS_N = 0, 1, 2


@dataclass(frozen=True)
class Spread:
    """Every (interval, bin) pair that shares at least one base.

    Attributes
    ----------
    row
        int64 (m,), index of the interval; ascending.
    bin
        int64 (m,), number of the bin on the interval's contig.
    overlap
        int64 (m,), shared bases, at least 1.
    """

    row: NDArray[np.int64]
    bin: NDArray[np.int64]
    overlap: NDArray[np.int64]


def kept_contigs(names: Sequence[str], exclude: Sequence[str]) -> NDArray[np.bool_]:
    """Return which contigs match none of the shell patterns in `exclude` (case matters)."""
    return np.array(
        [not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude) for name in names],
        dtype=bool,
    )


def spread(intervals: Intervals, *, size: int) -> Spread:
    """Return every bin that each interval touches, and the bases they share."""
    start, end = intervals.start, intervals.end
    first = start // size
    count = np.where(end > start, (end - 1) // size - first + 1, 0)
    row = np.repeat(np.arange(len(intervals), dtype=np.int64), count)
    before = np.cumsum(count) - count
    number = first[row] + (np.arange(len(row), dtype=np.int64) - before[row])
    overlap = np.minimum(end[row], (number + 1) * size) - np.maximum(start[row], number * size)
    return Spread(row, number, overlap)


def is_positive(
    coverage: NDArray[np.integer], *, size: int, min_overlap: float
) -> NDArray[np.bool_]:
    """Return which bins have MORE than `min_overlap` of their `size` bases covered."""
    return coverage > min_overlap * size


def touches(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    run_start: NDArray[np.int64],
    run_end: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which windows share a base with any run; runs are sorted and disjoint."""
    # Runs that end at or before the window, against runs that start before its end.
    return np.searchsorted(run_end, start, side="right") < np.searchsorted(
        run_start, end, side="left"
    )


def by_contig(contig: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each contig that occurs, with the rows on it in ascending order.

    One sort instead of one pass per contig: assemblies may have 100,000 scaffolds.
    """
    order = np.argsort(contig, kind="stable")
    if len(order):
        cuts = np.flatnonzero(np.diff(contig[order])) + 1
        for rows in np.split(order, cuts):
            yield int(contig[rows[0]]), rows
