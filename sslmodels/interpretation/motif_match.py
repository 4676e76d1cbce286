"""Motifs compared with known ones, with p and q values: the method of TOMTOM.

Gupta et al. 2007, with complete scores (Tanaka et al. 2011): the score of two columns is minus
their Euclidean distance, shifted so that its median over all target columns is 0; columns of the
query beyond the target count 0. The background of each query column is its scores with all target
columns of both strands, in 100 bins; of a run of columns, the convolution. The p value is that of
the best of all alignments on both strands. memelite does the same with compiled code, which takes
a minute or two to compile and pays for thousands of motifs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from sslmodels.baselines.meme_text import Matrix, SequenceMotif

#: Bins of the scores, as in TOMTOM.
_BINS = 100


@dataclass(frozen=True)
class Match:
    """A known motif like one that was found.

    Attributes
    ----------
    motif
        The known one.
    p, q
        p value of the comparison; false discovery rate among all comparisons made with it.
    offset
        Position of the known motif's first base in the found one, where they fit best.
    other_strand
        The reverse complement of the known motif fits.
    """

    motif: SequenceMotif
    p: float
    q: float
    offset: int
    other_strand: bool


def best_matches_of(
    found: Sequence[SequenceMotif], known: Sequence[SequenceMotif], *, count: int = 5
) -> list[list[Match]]:
    """Return the `count` known motifs most like each found one, best first.

    The q values (Benjamini and Hochberg 1995) are of all comparisons, found × known.
    """
    if not found:
        return []
    both = [motif.matrix for motif in known] + [motif.other_strand.matrix for motif in known]
    scored = [_compare(motif.matrix, both) for motif in found]
    # 1 − (1 − p)² for the better of two strands.
    best = [np.minimum(*np.split(p, 2)) for p, _ in scored]
    p = np.stack([value * (2 - value) for value in best])
    q = false_discovery_control(p, axis=None).reshape(p.shape)
    matches = []
    for row, (each, offsets) in enumerate(scored):
        forward, backward = np.split(each, 2)
        matches.append(
            [
                Match(
                    motif=known[i],
                    p=float(p[row, i]),
                    q=float(q[row, i]),
                    offset=int(offsets[i + len(known) * (backward[i] < forward[i])]),
                    other_strand=bool(backward[i] < forward[i]),
                )
                for i in np.argsort(p[row], kind="stable")[:count]
            ]
        )
    return matches


def _compare(
    query: Matrix, targets: Sequence[Matrix]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the p value of the best alignment with each target, and its offset in the query."""
    columns = np.concatenate(targets)
    scores = -np.linalg.norm(query[:, None] - columns[None], axis=2)
    scores -= np.median(scores, axis=1, keepdims=True)
    lowest, scale = scores.min(), _BINS / max(float(np.ptp(scores)), 1e-12)
    bins = np.rint((scores - lowest) * scale).astype(np.int64)
    # Bin of score 0: sums over runs of columns of any length are compared relative to it.
    zero = int(np.rint(-lowest * scale))
    tails = _tails(bins)
    starts = np.cumsum([0, *(len(target) for target in targets)])
    p, offsets = np.empty(len(targets)), np.empty(len(targets), np.int64)
    for i in range(len(targets)):
        part = bins[:, starts[i] : starts[i + 1]]
        spans = _spans(*part.shape)
        sums = [part.trace(-offset) - zero * (end - first) for offset, first, end in spans]
        best = int(np.argmax(sums))
        offsets[i] = spans[best][0]
        # All alignments stay below the score that was reached; products of small chances.
        chances = [
            _at(tails[first, end], sums[best] + zero * (end - first)) for _, first, end in spans
        ]
        with np.errstate(divide="ignore"):  # a chance of 1: p is 1
            p[i] = -np.expm1(np.log1p(-np.array(chances)).sum())
    return p, offsets


def _spans(width: int, length: int) -> list[tuple[int, int, int]]:
    """Return (offset, first, end): the query columns that a target covers at each offset."""
    offsets = range(1 - length, width)
    return [(offset, max(0, offset), min(width, offset + length)) for offset in offsets]


def _tails(bins: NDArray[np.int64]) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Return, for each run of query columns, the chance of at least each sum of bins."""
    width, count = bins.shape
    shares = [np.bincount(row, minlength=_BINS + 1) / count for row in bins]
    tails = {}
    for first in range(width):
        run = np.ones(1)
        for end in range(first + 1, width + 1):
            run = np.convolve(run, shares[end - 1])
            tails[first, end] = np.minimum(np.cumsum(run[::-1])[::-1], 1.0)
    return tails


def _at(tail: NDArray[np.float64], total: int) -> float:
    """Return the chance of at least a sum."""
    if total <= 0:
        return 1.0
    return float(tail[total]) if total < len(tail) else 0.0
