"""Bootstrap intervals of the metrics of one run: how far they depend on the rows of the test set.

Neighbouring bins share peaks, so rows are not quite independent and the intervals are a little too
narrow. They say nothing about other seeds or other genomes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Resamples of the test rows, and the share of them inside an interval.
RESAMPLES, LEVEL = 200, 0.95


def intervals(
    labels: NDArray[np.int64], scores: NDArray[np.float64], *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return 95 % bootstrap intervals of ``aupr`` (average precision) and ``auroc``.

    Every row is drawn a Poisson number of times, mean 1: the bootstrap of many rows, without
    sorting the scores again for each resample.
    """
    order = np.argsort(-scores, kind="stable")
    positive = labels[order] > 0
    # Rows of equal scores are one step of both curves.
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        times = rng.poisson(1.0, len(order))
        true = np.cumsum(np.where(positive, times, 0))[last]
        chosen = np.cumsum(times)[last]
        if 0 < true[-1] < chosen[-1]:
            found.append(_areas(true.astype(np.float64), chosen.astype(np.float64)))
    tails = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(found, [tails, 100 - tails], axis=0)
    pairs = zip(low.tolist(), high.tolist(), strict=True)
    return dict(zip(("aupr", "auroc"), pairs, strict=True))


def _areas(true: NDArray[np.float64], chosen: NDArray[np.float64]) -> tuple[float, float]:
    """Return average precision and AUROC of cumulated true positives and rows."""
    precision = true / np.maximum(chosen, 1)
    false = chosen - true
    gained = np.diff(true, prepend=0)
    aupr = float((gained * precision).sum() / true[-1])
    auroc = float(np.trapezoid(np.append(0, true), np.append(0, false)) / (true[-1] * false[-1]))
    return aupr, auroc
