"""Rows of a store before their sequences are read: their columns, their selection, their order.

The rules are those of ``docs/store-format.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import permutation
from ssldata.rows.intervals import Intervals
from ssldata.rows.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION


@dataclass(frozen=True)
class Rows:
    """Rows of one group, without their sequences. All arrays have n rows.

    Attributes
    ----------
    contig, start, end, strand
        The bin: int32, int64, int64 (0-based half-open, forward strand), int8 ±1.
    label, coverage
        uint8 and int32 (n, experiments).
    split
        int8, split of the source interval.
    source, locus
        int64, −1 for none.
    """

    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.int8]
    label: NDArray[np.uint8]
    coverage: NDArray[np.int32]
    split: NDArray[np.int8]
    source: NDArray[np.int64]
    locus: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.start)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return the rows at `rows` (indices or a mask), in that order."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Which rows have label 1 in any experiment."""
        return np.asarray(self.label.any(axis=1), dtype=bool)

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        """Join groups of rows in order."""
        return Rows(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)}
        )


@dataclass(frozen=True)
class Sources:
    """The source intervals of a store: peaks or positive bins, then lifted negative bins.

    Attributes
    ----------
    intervals
        In the labelled genome.
    score
        float32 (n,).
    split, locus
        int8 and int64 (n,).
    label
        uint8 (n, experiments); all 0 for negatives.
    coverage
        int32 (n, experiments): of the bin in ``lift-bins``; of the interval itself for peaks.
    """

    intervals: Intervals
    score: NDArray[np.float32]
    split: NDArray[np.int8]
    locus: NDArray[np.int64]
    label: NDArray[np.uint8]
    coverage: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of source intervals."""
        return len(self.intervals)

    @property
    def positives(self) -> int:
        """Number of positive sources, which come first."""
        return int(self.label.any(axis=1).sum())


def ordered(rows: Rows, *, seed: int, group: str) -> tuple[Rows, dict[str, tuple[int, int]]]:
    """Return rows in stored order, and the range of each part.

    Train positives come first, then train negatives, validation and test. Train rows are permuted
    under (seed, group), so that contiguous reads are random samples; the others are in genome
    order.
    """
    order = np.lexsort((rows.source, rows.strand, rows.start, rows.contig))
    split, positive = rows.split[order], rows.positive[order]
    parts: list[NDArray[np.int64]] = []
    ranges: dict[str, tuple[int, int]] = {}
    first = 0
    for name, mask in (
        ("positive", (split == TRAIN) & positive),
        ("negative", (split == TRAIN) & ~positive),
        ("validation", split == VALIDATION),
        ("test", split == TEST),
    ):
        chosen = order[mask]
        if name in {"positive", "negative"}:
            chosen = chosen[permutation(len(chosen), "rows", seed, group, name)]
        parts.append(chosen)
        ranges[name] = (first, first + len(chosen))
        first += len(chosen)
    return rows.take(np.concatenate(parts)), ranges


def best_source(
    pairs_bin: NDArray[np.int64],
    pairs_source: NDArray[np.int64],
    pairs_overlap: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bins of the pairs (unique, ascending) and the source of each.

    That is the interval with most bases in the bin; of equals the one with the lowest index.
    """
    order = np.lexsort((pairs_source, -pairs_overlap, pairs_bin))
    bins, first = np.unique(pairs_bin[order], return_index=True)
    return bins, pairs_source[order][first]


def mixed_split(
    bins: NDArray[np.int64], split: NDArray[np.int8], total_bins: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which of `total_bins` (ascending, unique) are touched by intervals of two splits."""
    position = np.searchsorted(total_bins, bins)
    low = np.full(len(total_bins), 127, np.int8)
    high = np.full(len(total_bins), -1, np.int8)
    np.minimum.at(low, position, split)
    np.maximum.at(high, position, split)
    return low != high


def count_positives(rows: Rows) -> dict[str, int]:
    """Return the number of positive rows per split."""
    return {
        f"positive_{SPLIT_NAMES[split]}": int((rows.positive & (rows.split == split)).sum())
        for split in (TRAIN, VALIDATION, TEST)
    }
