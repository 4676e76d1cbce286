"""Bootstrap of the metrics of a run: how far they depend on the bins that happen to be tested.

Neighbouring bins share peaks, so they are drawn together: blocks of consecutive bins of a contig,
as many as there are, with replacement. Draws depend only on the number of blocks and the seed, so
everything that is scored on the same bins is resampled in the same way: differences, ratios and
means are taken resample by resample. Intervals say nothing about other seeds or other genomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Consecutive bins of a block, and the fewest blocks: of fewer bins the blocks are shorter.
BLOCK, FEWEST_BLOCKS = 100, 20
#: Resamples, and the share of them inside an interval.
RESAMPLES, LEVEL = 1000, 0.95
#: Numbers in memory at a time.
_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """Metrics of every resample (resamples,); NaN where a resample lacks a class."""

    aupr: Floats
    auroc: Floats

    def intervals(self) -> dict[str, list[float]]:
        """Return the interval of each metric that has one."""
        found = {"aupr": interval(self.aupr), "auroc": interval(self.auroc)}
        return {key: list(pair) for key, pair in found.items() if pair is not None}


def blocks_of_bins(
    contigs: NDArray[Any], starts: NDArray[Any], *, length: int | None = None
) -> NDArray[np.int64]:
    """Return the block of every bin: blocks of a contig are consecutive bins, about as many each.

    Parameters
    ----------
    contigs, starts
        Contig (name or number) and first base of every bin, in any order.
    length
        Bins of a block; default: 100, and less where there would be fewer than 20 blocks.
    """
    length = length or max(1, min(BLOCK, len(starts) // FEWEST_BLOCKS))
    _, contig, bins = np.unique(contigs, return_inverse=True, return_counts=True)
    first = np.cumsum(bins) - bins
    rank = np.empty(len(contig), np.int64)
    rank[np.lexsort((starts, contig))] = np.arange(len(contig))
    count = np.maximum(1, bins // length)
    within = (rank - first[contig]) * count[contig] // bins[contig]
    return (np.cumsum(count) - count)[contig] + within


def drawn_blocks(
    number: int, resamples: int, *, seed: int = 0, at_once: int = RESAMPLES
) -> Iterator[NDArray[np.int32]]:
    """Yield how often each block is drawn, as arrays (resamples, blocks).

    Parameters
    ----------
    number
        Number of blocks; as many are drawn for every resample, with replacement.
    resamples
        Number of resamples.
    seed
        Of the draws.
    at_once
        Resamples of an array; the draws do not depend on it.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        yield rng.multinomial(number, np.full(number, 1 / number), size).astype(np.int32)


def resampled(
    labels: NDArray[Any],
    scores: NDArray[Any],
    blocks: NDArray[np.int64],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Return AUPR (average precision) and AUROC of resamples of blocks of bins.

    Scores are sorted once: a bin that is drawn n times counts n times at its place.

    Parameters
    ----------
    labels, scores
        0 or 1, and the score of every bin; higher is more positive.
    blocks
        Block of every bin (:func:`blocks_of_bins`), 0, 1, ….
    seed, resamples
        Of the draws, and their number.
    """
    order = np.argsort(-scores, kind="stable")
    positive = np.flatnonzero(labels[order] > 0)
    # Bins of equal scores are one step of both curves. Steps without positives add nothing.
    last = np.flatnonzero(np.diff(scores[order].astype(np.float64), append=-np.inf))
    first = np.append(0, last[:-1] + 1)
    begins = np.searchsorted(positive, first)
    holds = np.diff(begins, append=len(positive)) > 0
    first, last, begins = first[holds], last[holds], begins[holds]
    block = blocks[order]
    found = []
    at_once = max(1, _AT_ONCE // len(order))
    for drawn in drawn_blocks(int(blocks.max()) + 1, resamples, seed=seed, at_once=at_once):
        times = drawn[:, block]
        upto = np.cumsum(times, axis=1, dtype=np.int32)
        chosen, above = upto[:, last], upto[:, first] - times[:, first]
        gained = np.add.reduceat(times[:, positive], begins, axis=1)
        true = np.cumsum(gained, axis=1, dtype=np.int32)
        positives = true[:, -1].astype(np.float64)
        negatives = upto[:, -1] - positives
        equal = chosen - above - gained
        below = negatives[:, None] - (chosen - true)
        with np.errstate(divide="ignore", invalid="ignore"):
            aupr = (gained * (true / np.maximum(chosen, 1))).sum(axis=1) / positives
            auroc = (gained * (below + equal / 2)).sum(axis=1) / (positives * negatives)
        both = (positives > 0) & (negatives > 0)
        found.append(np.where(both, [aupr, auroc], np.nan))
    return Resampled(*np.concatenate(found, axis=1))


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of resampled values (percentiles).

    None: fewer than half of the resamples have a value, so that little would be known.
    """
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values) or not len(known):
        return None
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def difference_interval(
    labels: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    blocks: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Return the interval of AUPR of the second scores − AUPR of the first, on the same bins.

    Parameters
    ----------
    labels
        0 or 1 of every bin.
    first, second
        Scores of two models.
    blocks
        Block of every bin (:func:`blocks_of_bins`).
    resamples
        Their number.
    """
    pair = [
        resampled(labels, scores, blocks, resamples=resamples).aupr for scores in (first, second)
    ]
    return interval(pair[1] - pair[0])
