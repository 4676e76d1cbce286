"""Bootstrap intervals against the plain bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sslmodels.scores.metric_intervals import _areas, intervals


def sample(rows: int, *, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores of which many are equal."""
    rng = np.random.default_rng(1)
    labels = (rng.random(rows) < 0.1).astype(np.int64)
    return labels, (rng.normal(size=rows) + 1.2 * labels).round(digits)


@pytest.mark.parametrize("digits", [1, 8])
def test_areas_are_those_of_scikit_learn(digits: int) -> None:
    labels, scores = sample(500, digits=digits)
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    true = np.cumsum(labels[order])[last].astype(float)
    aupr, auroc = _areas(true, last + 1.0)
    assert aupr == pytest.approx(average_precision_score(labels, scores))
    assert auroc == pytest.approx(roc_auc_score(labels, scores))


def test_intervals_are_those_of_drawing_rows() -> None:
    labels, scores = sample(3000, digits=2)
    rng = np.random.default_rng(2)
    drawn = [rng.integers(0, len(labels), len(labels)) for _ in range(200)]
    found = intervals(labels, scores)
    for key, metric in (("aupr", average_precision_score), ("auroc", roc_auc_score)):
        expected = np.percentile([metric(labels[i], scores[i]) for i in drawn], [2.5, 97.5])
        width = np.ptp(expected)
        np.testing.assert_allclose(found[key], expected, atol=0.25 * width)
        assert found[key][0] < metric(labels, scores) < found[key][1]
    assert found == intervals(labels, scores)
    assert found != intervals(labels, scores, seed=1)
