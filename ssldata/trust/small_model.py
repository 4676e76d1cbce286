"""How well a small model tells two classes of rows, measured on blocks that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson
from sklearn.linear_model import LogisticRegression

from ssldata.base.keyed_random import permutation, uniform_rows

FOLDS = 5
#: Blocks with which a fold still says something: two of each fold.
FEWEST_BLOCKS = 2 * FOLDS
RESAMPLES = 200
#: Inverse strength of the penalty. Columns are scaled to a standard deviation of 1, and there may
#: be fewer rows than columns: a weak penalty would only add noise to the scores.
_C = 0.05
_LARGEST_COUNT = 8


@dataclass(frozen=True)
class Separation:
    """How well two classes can be told apart.

    Attributes
    ----------
    auroc, aupr
        Of scores of rows whose block the model has not seen; pairs of rows of one fold only, so
        that nothing depends on how models of two folds compare.
    prevalence
        AUPR of scores that say nothing, over the same folds.
    rows, positives, blocks
        How much it was measured on.
    auroc_draws, aupr_draws
        float64 (RESAMPLES,): the same, with blocks drawn again. Draw r counts a block equally
        often whatever is measured, so that differences are paired.
    """

    auroc: float
    aupr: float
    prevalence: float
    rows: int
    positives: int
    blocks: int
    auroc_draws: NDArray[np.float64]
    aupr_draws: NDArray[np.float64]

    @property
    def auroc_interval(self) -> tuple[float, float]:
        """95 % interval of the AUROC."""
        return interval(self.auroc_draws)

    @property
    def aupr_interval(self) -> tuple[float, float]:
        """95 % interval of the AUPR."""
        return interval(self.aupr_draws)


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def separation(
    features: NDArray[np.float64],
    positive: NDArray[np.bool_],
    block: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Separation | None:
    """Return how well logistic regression tells two classes of rows.

    Cross-validated: all rows of a block are in one fold, so that neither neighbours nor homologues
    of a locus are both learnt from and tested on. The interval is a bootstrap over blocks (a
    Poisson count for each).

    Parameters
    ----------
    features
        float64 (n, columns).
    positive
        bool (n,).
    block
        int64 (n,): rows of equal number are kept together.
    seed
        Of the folds and of the bootstrap.

    Returns
    -------
    Separation or None
        None: fewer than :data:`FEWEST_BLOCKS` blocks, or a class that is not in two folds.
    """
    blocks, number = np.unique(block, return_inverse=True)
    if len(blocks) < FEWEST_BLOCKS:
        return None
    fold_of_block = np.empty(len(blocks), np.int64)
    fold_of_block[permutation(len(blocks), "folds", seed)] = np.arange(len(blocks)) % FOLDS
    fold = fold_of_block[number]
    counts = np.stack([_poisson_counts(blocks, seed, draw) for draw in range(RESAMPLES)], axis=1)
    weight = np.concatenate([np.ones((len(block), 1)), counts[number]], axis=1)
    tested = [
        f
        for f in range(FOLDS)
        if 0 < positive[fold == f].sum() < (fold == f).sum()
        and 0 < positive[fold != f].sum() < (fold != f).sum()
    ]
    if len(tested) < 2:
        return None
    pairs = won = precision = weights = base = np.zeros(weight.shape[1])
    for f in tested:
        here = fold == f
        scores = _scores(features[~here], positive[~here], features[here])
        part = _Ranked(scores, positive[here], weight[here])
        pairs, won = pairs + part.pairs, won + part.won
        precision, weights = precision + part.precision, weights + part.positives
        base = base + part.positives * part.positives / np.maximum(part.total, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc, aupr = won / pairs, precision / weights
    measured = np.isin(fold, tested)
    return Separation(
        auroc=float(auroc[0]),
        aupr=float(aupr[0]),
        prevalence=float(base[0] / weights[0]),
        rows=int(measured.sum()),
        positives=int(positive[measured].sum()),
        blocks=len(blocks),
        auroc_draws=np.where(np.isfinite(auroc[1:]), auroc[1:], auroc[0]),
        aupr_draws=np.where(np.isfinite(aupr[1:]), aupr[1:], aupr[0]),
    )


def _poisson_counts(blocks: NDArray[np.int64], seed: int, draw: int) -> NDArray[np.float64]:
    """Return how often each block is drawn: a pure function of its number."""
    steps = poisson.cdf(np.arange(_LARGEST_COUNT), 1)
    drawn = uniform_rows(blocks, "bootstrap", seed, draw)
    return np.searchsorted(steps, drawn).astype(np.float64)


def _scores(
    known: NDArray[np.float64], label: NDArray[np.bool_], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the scores of rows by a model of others."""
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    deviation[deviation == 0] = 1
    # Balanced: the classes of a fold may be uneven, which would only move the intercept.
    model = LogisticRegression(C=_C, class_weight="balanced", max_iter=300)
    model.fit((known - mean) / deviation, label)
    scores: NDArray[np.float64] = model.decision_function((asked - mean) / deviation)
    return scores


class _Ranked:
    """Sums over the rows of one fold from which AUROC and AUPR are made, one for each draw.

    Rows of equal score count as half, and as one step of the precision-recall curve.
    """

    def __init__(
        self,
        scores: NDArray[np.float64],
        positive: NDArray[np.bool_],
        weight: NDArray[np.float64],
    ) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        weight, positive = weight[order], positive[order][:, None]
        ours = np.add.reduceat(weight * positive, first, axis=0)
        theirs = np.add.reduceat(weight * ~positive, first, axis=0)
        self.positives, negatives = ours.sum(axis=0), theirs.sum(axis=0)
        self.total = self.positives + negatives
        self.pairs = self.positives * negatives
        below = negatives - np.cumsum(theirs, axis=0)
        self.won = (ours * (below + theirs / 2)).sum(axis=0)
        found = np.cumsum(ours, axis=0)
        reached = found + np.cumsum(theirs, axis=0)
        self.precision = (ours * found / np.maximum(reached, 1e-9)).sum(axis=0)
