"""Neighbours must not leak between folds, and the figures are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ssldata.trust.small_model import RESAMPLES, _Ranked, separation

RNG = np.random.default_rng(5)


def test_figures_are_those_of_scikit_learn() -> None:
    truth = RNG.random(400) < 0.3
    scores = np.round(truth * 0.5 + RNG.normal(0, 1, 400), 1)  # with ties
    weight = RNG.integers(0, 4, (400, 3)).astype(float)
    found = _Ranked(scores, truth, weight)
    for draw in range(3):
        w = weight[:, draw]
        assert found.won[draw] / found.pairs[draw] == pytest.approx(
            roc_auc_score(truth, scores, sample_weight=w)
        )
        assert found.precision[draw] / found.positives[draw] == pytest.approx(
            average_precision_score(truth, scores, sample_weight=w)
        )


def test_what_differs_is_told_and_its_interval_says_how_well() -> None:
    truth = np.arange(1000) % 2 == 0
    features = RNG.normal(0, 1, (1000, 5)) + 1.5 * truth[:, None] * (np.arange(5) == 0)
    found = separation(features, truth, RNG.integers(0, 80, 1000))
    assert found is not None
    low, high = found.auroc_interval
    # AUROC of two normals 1.5 apart: Φ(1.5 / √2) = .856.
    assert low < 0.856 < high
    assert high - low < 0.1
    assert found.prevalence == pytest.approx(0.5, abs=0.02)
    assert found.aupr_interval[0] > 0.7
    assert (found.rows, found.positives) == (1000, 500)
    assert len(found.auroc_draws) == RESAMPLES


def test_neighbours_do_not_leak() -> None:
    """Rows of a block are all but equal and of one class: by rows, it can be learnt by heart."""
    block = np.repeat(np.arange(60), 20)
    truth = np.isin(block, RNG.permutation(60)[:30])
    features = RNG.normal(0, 1, (60, 30))[block] + RNG.normal(0, 0.01, (1200, 30))
    by_block, by_row = (separation(features, truth, kept) for kept in (block, np.arange(1200)))
    assert by_block is not None
    assert by_row is not None
    assert by_row.auroc > 0.9
    assert by_block.auroc < 0.75  # chance is .5 ± .08
    assert by_block.auroc_interval[0] < 0.6


def test_draws_are_paired_by_block() -> None:
    truth = np.arange(600) % 2 == 0
    block = RNG.integers(0, 60, 600)
    features = RNG.normal(0, 1, (600, 3)) + truth[:, None]
    one, same = (separation(features, truth, block, seed=2) for _ in range(2))
    assert one is not None
    assert same is not None
    np.testing.assert_array_equal(one.auroc_draws, same.auroc_draws)
    near = separation(features + RNG.normal(0, 0.1, features.shape), truth, block, seed=2)
    assert near is not None
    alone = np.std(one.auroc_draws)
    assert np.std(near.auroc_draws - one.auroc_draws) < 0.5 * alone


def test_too_little_to_say() -> None:
    truth = np.arange(100) % 2 == 0
    assert separation(np.zeros((100, 2)), truth, np.zeros(100, np.int64)) is None
    assert separation(np.zeros((100, 2)), truth & False, np.arange(100)) is None
