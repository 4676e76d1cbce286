"""Probabilities of a teacher of several outputs, as if each output had been taught alone.

A run of one output weighs a pseudo-positive by the teacher's probability and a negative by 1. So
does each output of a run of several, where its label is 1 and where it is 0. But its positives are
only some of the rows, and the teacher's probabilities small accordingly: the positives of rare
outputs would hardly weigh against their negatives. They are taken to the share of positives that a
run of this output alone has, 1 / (1 + ratio).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.reading.epoch_order import Mixture
from ssldata.reading.labels import RowLabels


def output_priors(mixture: Mixture, labels: RowLabels) -> NDArray[np.float64]:
    """Return the share of positives of each output among the known labels of an epoch, (outputs,).

    Negatives of a mixture are negatives of every output.
    """
    positive, known = np.zeros(len(labels)), np.full(len(labels), float(mixture.negative_rows))
    for segment in mixture.positives:
        rows = segment.rows(0, len(segment))
        positive += labels.of(segment.group, rows).sum(axis=0)
        known += labels.known(segment.group, rows).sum(axis=0)
    return positive / known


def at_prior(
    probabilities: NDArray[np.float32], *, prior: NDArray[np.float64], wanted: float
) -> NDArray[np.float32]:
    """Return probabilities as they were, had positives been another share of what was learnt.

    By Bayes' rule the odds change by the ratio of the prior odds (Elkan 2001, The foundations of
    cost-sensitive learning, theorem 2).

    Parameters
    ----------
    probabilities
        (rows, outputs), in [0, 1].
    prior
        (outputs,), share of positives in training, between 0 and 1.
    wanted
        The other share.
    """
    positive = probabilities * (wanted / prior)
    negative = (1 - probabilities.astype(np.float64)) * ((1 - wanted) / (1 - prior))
    return (positive / (positive + negative)).astype(np.float32)
