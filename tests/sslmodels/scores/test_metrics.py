"""Metrics against plain definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmodels.scores import metrics

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILES = {"metrics.json", "curves.csv", "scores.csv.gz", "pr.png", "roc.png"}


@st.composite
def scored(draw):
    """Labels with both classes, and scores with many ties."""
    size = draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    labels[0], labels[1] = 0, 1
    scores = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    return np.array(labels), np.array(scores) / 8


def precision_recall(labels, scores, threshold):
    called = scores >= threshold
    hits = (labels[called] == 1).sum()
    return hits / called.sum(), hits / labels.sum()


@given(scored())
def test_aupr_by_its_definition(case):
    labels, scores = case
    expected, last = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        precision, recall = precision_recall(labels, scores, threshold)
        expected += (recall - last) * precision
        last = recall
    result = metrics.summary(labels, scores)
    assert result["aupr"] == pytest.approx(expected)
    assert result["prevalence"] == pytest.approx(labels.mean())
    assert result["lift"] == pytest.approx(expected / labels.mean())
    assert result["collapsed"] == (expected < 2 * labels.mean())
    assert (result["positives"], result["rows"]) == (labels.sum(), len(labels))


@given(scored())
def test_auroc_is_the_chance_of_the_right_order(case):
    labels, scores = case
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert metrics.summary(labels, scores)["auroc"] == pytest.approx(expected)


@given(scored())
def test_trapezoid_by_its_definition(case):
    labels, scores = case
    points = [(0.0, 1.0)] + [
        precision_recall(labels, scores, t)[::-1] for t in sorted(set(scores), reverse=True)
    ]
    expected = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(points))
    assert metrics.summary(labels, scores)["aupr_trapezoid"] == pytest.approx(expected)


@given(scored())
def test_curves_are_points_of_their_thresholds(case):
    labels, scores = case
    curve = metrics.pr_curve(labels, scores)
    assert (np.diff(curve.x) >= 0).all()
    for recall, precision, threshold in zip(curve.x, curve.y, curve.threshold, strict=True):
        assert (precision, recall) == pytest.approx(precision_recall(labels, scores, threshold))


@given(st.integers(2, 5000), st.integers(2, 50), st.integers(0, 100))
@settings(max_examples=30)
def test_thinned_curve_keeps_ends_and_points(size, points, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.random(size))
    curve = metrics.Curve(x, rng.random(size), np.arange(size))
    thin = metrics.thin(curve, points)
    assert len(thin.x) <= max(points + 2, 2)
    keep = thin.threshold.astype(int)
    assert (keep[0], keep[-1]) == (0, size - 1)
    assert (np.diff(keep) > 0).all()
    np.testing.assert_array_equal(thin.x, curve.x[keep])
    np.testing.assert_array_equal(thin.y, curve.y[keep])


def test_cross_entropy():
    labels = np.array([[1.0], [0.0], [1.0]])
    scores = np.array([[0.8], [0.4], [0.0]])
    expected = -(np.log(0.8) + np.log(0.6) + np.log(1e-7)) / 3
    assert metrics.cross_entropy(labels, scores) == pytest.approx(expected)


def test_mean_aupr_leaves_out_outputs_of_one_class():
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[0.9, 0.5], [0.5, 0.5], [0.1, 0.5]])
    assert metrics.mean_aupr(labels, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(metrics.mean_aupr(labels[:, 1:], scores[:, 1:]))


# Runs -------------------------------------------------------------------------------------------
