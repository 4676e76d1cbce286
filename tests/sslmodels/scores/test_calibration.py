"""Calibration of probabilities: known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from sslmodels.scores.calibration import Calibration, fit_calibration


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def balanced(values: np.ndarray, labels: np.ndarray, at: float) -> float:
    """The mean of Platt's targets at one score, where each class weighs a half."""
    here, positive = values == np.float32(at), labels > 0
    n, m = positive.sum(), (~positive).sum()
    share = np.where(positive, 0.5 / n, 0.5 / m)[here]
    target = np.where(positive, (n + 1) / (n + 2), 1 / (m + 2))[here]
    return float((share * target).sum() / share.sum())


def test_platt_meets_the_classes_at_every_score() -> None:
    """With two scores and two parameters the likeliest line goes through both means."""
    scores = np.repeat(floats(0.9, 0.4), 20)
    labels = np.r_[np.ones(13), np.zeros(7), np.ones(4), np.zeros(16)].astype(np.float32)
    fitted = fit_calibration(scores, labels, "platt")
    expected = [balanced(scores, labels, at) for at in (0.9, 0.4)]
    np.testing.assert_allclose(fitted(floats(0.9, 0.4)), expected, rtol=1e-5)
    # The same rows and ten times the negatives: the balance of the classes is not learned.
    more = np.r_[scores, np.tile(scores[labels == 0], 9)]
    again = fit_calibration(more, np.r_[labels, np.zeros(len(more) - 40)], "platt")
    np.testing.assert_allclose(again(floats(0.9, 0.4)), expected, atol=0.03)


def test_temperature_is_the_slope_alone() -> None:
    """Scores symmetric about 1/2: the likeliest temperature gives the mean at either score."""
    scores = np.repeat(floats(0.9, 0.1), 20)
    labels = np.r_[np.ones(16), np.zeros(4), np.ones(4), np.zeros(16)].astype(np.float32)
    fitted = fit_calibration(scores, labels, "temperature")
    assert fitted.intercept == 0
    assert fitted.slope == pytest.approx(
        logit(balanced(scores, labels, 0.9)) / logit(0.9), rel=1e-4
    )
    assert fitted.slope < 1


def test_calibration_stays_sane_at_the_edges() -> None:
    apart = fit_calibration(floats(1, 1, 0, 0), floats(1, 1, 0, 0), "platt")
    assert np.isfinite([apart.slope, apart.intercept]).all()
    found = apart(floats(0, 0.5, 1))
    assert (np.diff(found) > 0).all()
    assert ((found > 0) & (found < 1)).all()
    wrong_way = fit_calibration(floats(0.1, 0.2, 0.8, 0.9), floats(1, 1, 0, 0), "platt")
    assert wrong_way.slope == 0  # never turned round
    np.testing.assert_allclose(Calibration(1.0, 0.0)(floats(0.2, 0.7)), [0.2, 0.7], rtol=1e-6)
    with pytest.raises(ValueError, match="both classes"):
        fit_calibration(floats(0.5), floats(1), "platt")
