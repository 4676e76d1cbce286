"""Window arithmetic: bins, coverage, runs of N.

Pure functions of arrays. A *bin* is ``[k * size, (k + 1) * size)`` of a contig; a row stores the
bin with equal context on both sides.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssldata.rows.intervals import Intervals


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


@dataclass(frozen=True)
class BinGrid:
    """The bins of a genome, numbered across its contigs; the remainder of a contig has no bin.

    Attributes
    ----------
    size
        Bases per bin.
    per_contig
        int64 (contigs,), number of bins of each contig.
    """

    size: int
    per_contig: NDArray[np.int64]

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """int64 (contigs + 1,): number of the first bin of each contig, then of all bins."""
        return np.concatenate(([0], np.cumsum(self.per_contig)))

    def intervals(self, bins: NDArray[np.int64]) -> Intervals:
        """Return the intervals of bins."""
        contig = (np.searchsorted(self.first, bins, side="right") - 1).astype(np.int32)
        start = (bins - self.first[contig]) * self.size
        return Intervals(contig, start, start + self.size)

    def pairs(self, intervals: Intervals) -> Spread:
        """Return every (interval, bin) pair that shares a base, bins numbered across contigs."""
        pairs = spread(intervals, size=self.size)
        contig = intervals.contig[pairs.row]
        whole = pairs.bin < self.per_contig[contig]
        return Spread(
            pairs.row[whole], (self.first[contig] + pairs.bin)[whole], pairs.overlap[whole]
        )

    def coverage(self, bins: NDArray[np.int64], unions: Sequence[Intervals]) -> NDArray[np.int32]:
        """Return the bases of each bin that each union of intervals covers: int32 (bins, unions).

        `bins` are ascending and include every bin that a union touches.
        """
        covered = np.zeros((len(bins), len(unions)), np.int32)
        for column, union in enumerate(unions):
            pairs = self.pairs(union)
            at = np.searchsorted(bins, pairs.bin)
            np.add.at(covered[:, column], at, pairs.overlap.astype(np.int32))
        return covered


def touches(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    run_start: NDArray[np.int64],
    run_end: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which windows share a base with any run.

    Parameters
    ----------
    start, end
        int64 (n,), the windows, 0-based half-open.
    run_start, run_end
        int64 (m,), sorted and disjoint runs, 0-based half-open.
    """
    # Runs that end at or before the window are fewer than runs that start before its end.
    return np.searchsorted(run_end, start, side="right") < np.searchsorted(
        run_start, end, side="left"
    )


def by_contig(contig: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each contig that occurs, with its rows in ascending order.

    Sorts once instead of scanning per contig: assemblies may have 100,000 scaffolds.
    """
    order = np.argsort(contig, kind="stable")
    if len(order):
        cuts = np.flatnonzero(np.diff(contig[order])) + 1
        for rows in np.split(order, cuts):
            yield int(contig[rows[0]]), rows
