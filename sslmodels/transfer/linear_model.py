"""A fitted linear model of standardised features, and what its fitting reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int64Array
from ssldata.base.keyed_random import key_of
from sslmodels.transfer.row_labels import LabelledRows

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """Log-odds = intercept + Σ coefficient × (feature − mean) / standard deviation.

    Attributes
    ----------
    coefficients
        One per column, for one standard deviation of it; 0 for a constant one.
    intercept
        Log-odds where every feature has its mean.
    strength
        The penalty λ that was chosen.
    path
        One entry per λ tried: ``lambda``, ``validation_loss``, ``features`` (not 0); of L1 also
        ``relaxed_loss``.
    replicates
        Coefficients of resamples of the training loci (resamples, columns of `replicated`).
    replicated
        Numbers of the columns that were fitted again.
    relaxed
        Of L1: whether the chosen features were fitted again without the penalty.
    notes
        What the user should know of the fit.
    cut
        Of L1: whether the path ended since more columns did not fit into memory.
    """

    coefficients: Floats
    intercept: float
    strength: float
    path: Sequence[Mapping[str, Any]]
    replicates: Floats
    replicated: Int64Array
    relaxed: bool = False
    notes: Sequence[str] = ()
    cut: bool = False


def log_loss(labels: NDArray[Any], z: Floats) -> Floats:
    """Return the loss of every row, of log-odds z: log(1 + exp(z)) − y z."""
    return np.asarray(np.logaddexp(0, z) - labels * z)


def sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(−z)) without overflow."""
    # An exponent that is never positive.
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1, small) / (1 + small))


def validation_loss(rows: LabelledRows, z: Floats) -> float:
    """Return the mean loss of the validation loci, of log-odds of all rows."""
    labels, p, _ = rows.per_locus("validation", sigmoid(z))
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-np.where(labels == 1, np.log(p), np.log1p(-p)).mean())


def resampled_weights(rows: LabelledRows, count: int, seed: int) -> Floats:
    """Return the weights of the training rows in resamples of their loci (training rows, count).

    Loci are drawn with replacement, both strands of one together; the weights of a resample sum
    to 1.
    """
    training = np.flatnonzero(rows.of("train"))
    loci, inverse = np.unique(rows.locus[training], return_inverse=True)
    rng = np.random.default_rng(int(key_of("transfer bootstrap", seed)))
    drawn = rng.multinomial(len(loci), np.full(len(loci), 1 / len(loci)), count)
    weights = drawn.T[inverse].astype(np.float64)
    return np.asarray(weights / weights.sum(axis=0))


def training_weight(training: BoolArray) -> Floats:
    """Return what each row counts in the mean over the training rows."""
    return training / training.sum()


def start_of_path(labels: NDArray[Any], training: BoolArray) -> float:
    """Return the log-odds of the share of positives among the training rows."""
    share = float(labels[training].mean())
    return float(np.log(share) - np.log1p(-share))
