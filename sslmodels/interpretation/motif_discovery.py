"""Motifs in attributions: the stretches that matter (seqlets), clustered and aligned.

After TF-MoDISco (Shrikumar et al. 2018), with one addition. Seqlets are taken from positive and
negative rows alike and clustered without their labels; a cluster is a motif if significantly more
positive than negative rows have it. Where a model has learnt nothing about the labels, nothing is
found, whatever patterns its filters have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control, fisher_exact

from ssldata.genomes.onehot import N_CODE, one_hot
from sslmodels.baselines.meme_text import Matrix, SequenceMotif, information

#: Bases whose contributions are summed to find a seqlet, and bases kept on either side.
CORE, FLANK = 15, 8
_WIDTH = CORE + 2 * FLANK

#: Seqlets of a row at most, and of all rows: clustering compares all pairs.
_PER_ROW, _MOST = 3, 2000

#: Largest shift between two seqlets, and the similarity at which clusters are no longer joined.
_SHIFT, _ALIKE = 8, 0.6

#: Rows that a motif must be seen in, false discovery rate, and bits of the bases at its ends.
_FEWEST, _RATE, _EDGE = 8, 0.05, 0.3


@dataclass(frozen=True)
class FoundMotif:
    """A motif and how it was found.

    Attributes
    ----------
    motif
        The motif, in the direction of most of its seqlets.
    positives, negatives
        Rows of each label that have a seqlet of it.
    q
        False discovery rate, among the clusters, of "as frequent in negative rows".
    contribution
        Mean log-odds that its seqlets contribute.
    sites
        Row, first base (may be outside the row) and strand (±1) of its seqlets, best first.
    """

    motif: SequenceMotif
    positives: int
    negatives: int
    q: float
    contribution: float
    sites: list[tuple[int, int, int]]


def find_motifs(
    codes: NDArray[np.uint8], contributed: NDArray[np.float32], labels: NDArray[np.bool_]
) -> list[FoundMotif]:
    """Return the motifs that raise scores and tell positive from negative rows, strongest first.

    Parameters
    ----------
    codes
        Base codes (n, L) of positive and negative rows.
    contributed
        Their contributions (n, L), of :func:`sslmodels.interpretation.attribution.contributions`.
    labels
        Which rows are positive (n,).
    """
    row, start, weight = _seqlets(contributed)
    if len(row) < _FEWEST:
        return []
    pieces = _pieces(codes, contributed, row, start)
    similarity, shift, flipped = _alignments(pieces)
    found = []
    for members in _clusters(similarity):
        centre = members[similarity[np.ix_(members, members)].sum(axis=1).argmax()]
        moved, turned = shift[centre, members], flipped[centre, members]
        sites = _sites(row[members], start[members], moved, turned)
        motif, kept = _trimmed(codes, sites)
        best_first = np.argsort(-weight[members], kind="stable")
        if motif is None or len(set(row[members])) < _FEWEST:
            continue
        found.append(
            FoundMotif(
                motif=motif,
                positives=len(set(row[members][labels[row[members]]])),
                negatives=len(set(row[members][~labels[row[members]]])),
                q=1.0,
                contribution=float(weight[members].mean()),
                sites=[kept[i] for i in best_first],
            )
        )
    return _significant(found, int(labels.sum()), int((~labels).sum()))


def _seqlets(
    contributed: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return row, start of the core and contribution of the seqlets.

    These are the windows above the median, over rows, of the best window of a row.
    """
    sums = np.cumsum(np.pad(contributed.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    windows = sums[:, CORE:] - sums[:, :-CORE]
    least = max(float(np.median(windows.max(axis=1))), 1e-6)
    found: list[tuple[int, int, float]] = []
    left = windows.copy()
    for _ in range(_PER_ROW):
        best = left.argmax(axis=1)
        value = left[np.arange(len(left)), best]
        for i in np.flatnonzero(value >= least):
            found.append((int(i), int(best[i]), float(value[i])))
            left[i, max(0, best[i] - CORE + 1) : best[i] + CORE] = -np.inf
        left[value < least] = -np.inf
    found = sorted(found, key=lambda one: -one[2])[:_MOST]
    rows, starts, values = zip(*found, strict=True) if found else ((), (), ())
    return np.array(rows, np.int64), np.array(starts, np.int64), np.array(values)


def _pieces(
    codes: NDArray[np.uint8],
    contributed: NDArray[np.float32],
    row: NDArray[np.int64],
    start: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return contributions by base (seqlets, width, 4), of length 1; zeros outside the rows."""
    whole = one_hot(codes).astype(np.float32) * contributed[..., None]
    padded = np.pad(whole, ((0, 0), (FLANK, FLANK), (0, 0)))
    places = start[:, None] + np.arange(_WIDTH)
    pieces = padded[row[:, None], places]
    size = np.sqrt((pieces**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(pieces / np.maximum(size, 1e-12), np.float32)


def _alignments(
    pieces: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.bool_]]:
    """Return similarity, shift and strand of the best alignment of every pair.

    The similarity is the correlation of contributions over the bases that overlap; the shift of
    [i, j] says how far j, on the strand that fits, begins to the right of i.
    """
    count = len(pieces)
    best = np.full((count, count), -1, np.float32)
    shift, flipped = np.zeros((count, count), np.int8), np.zeros((count, count), bool)
    flat = pieces.reshape(count, -1)
    for turned, other in ((False, pieces), (True, pieces[:, ::-1, ::-1])):
        for step in range(-_SHIFT, _SHIFT + 1):
            moved = np.zeros_like(other)
            low, high = max(0, step), min(_WIDTH, _WIDTH + step)
            moved[:, low:high] = other[:, low - step : high - step]
            found = flat @ moved.reshape(count, -1).T
            better = found > best
            best[better], shift[better], flipped[better] = found[better], step, turned
    return best, shift, flipped


def _clusters(similarity: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    names = fcluster(tree, 1 - _ALIKE, "distance")
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        if len(members) >= _FEWEST:
            yield members


def _sites(
    row: NDArray[np.int64],
    start: NDArray[np.int64],
    shift: NDArray[np.int8],
    flipped: NDArray[np.bool_],
) -> list[tuple[int, int, int]]:
    """Return row, first base and strand of windows that are aligned with the centre's."""
    moved = np.where(flipped, shift, -shift.astype(np.int64))
    first = start - FLANK + moved
    strand = np.where(flipped, -1, 1)
    return list(zip(row.tolist(), first.tolist(), strand.tolist(), strict=True))


def _trimmed(
    codes: NDArray[np.uint8], sites: list[tuple[int, int, int]]
) -> tuple[SequenceMotif | None, list[tuple[int, int, int]]]:
    """Return the motif of aligned windows without its uninformative ends, and its sites."""
    counts = np.zeros((_WIDTH, 4))
    for row, first, strand in sites:
        counts += _bases(codes[row], first, strand)
    matrix = (counts + 0.25) / (counts.sum(axis=1, keepdims=True) + 1)
    clear = np.flatnonzero(information(matrix) >= _EDGE)
    if not len(clear):
        return None, []
    low, high = int(clear[0]), int(clear[-1]) + 1
    kept = [
        (row, first + (low if strand > 0 else _WIDTH - high), strand)
        for row, first, strand in sites
    ]
    return SequenceMotif("", matrix[low:high], sites=len(sites)), kept


def _bases(codes: NDArray[np.uint8], first: int, strand: int) -> Matrix:
    """Return one-hot bases of a window, on a strand; zeros outside the row."""
    places = np.arange(first, first + _WIDTH)
    inside = (places >= 0) & (places < len(codes))
    bases = np.where(inside, codes[np.clip(places, 0, len(codes) - 1)], N_CODE).astype(np.uint8)
    found = one_hot(bases).astype(np.float64)
    return found if strand > 0 else found[::-1, ::-1]


def _significant(found: list[FoundMotif], positives: int, negatives: int) -> list[FoundMotif]:
    """Return the motifs of more positive than negative rows, with q values and names."""
    if not found:
        return []
    p = [
        fisher_exact(
            [
                [one.positives, positives - one.positives],
                [one.negatives, negatives - one.negatives],
            ],
            alternative="greater",
        ).pvalue
        for one in found
    ]
    q = false_discovery_control(p)
    kept = [(one, float(value)) for one, value in zip(found, q, strict=True) if value < _RATE]
    kept.sort(key=lambda pair: -pair[0].contribution * (pair[0].positives - pair[0].negatives))
    return [
        FoundMotif(
            SequenceMotif(f"motif_{number}", one.motif.matrix, sites=one.motif.sites),
            one.positives,
            one.negatives,
            value,
            one.contribution,
            one.sites,
        )
        for number, (one, value) in enumerate(kept, start=1)
    ]
