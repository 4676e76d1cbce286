"""Attributions against their definitions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import logit

from ssldata.base.errors import ConfigError
from ssldata.genomes.onehot import one_hot
from sslmodels.interpretation.attribution import (
    Method,
    contributions,
    integrated_gradients,
    log_odds,
)
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.model_builder import build_model
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CODES = np.random.default_rng(3).integers(0, 4, (4, 60)).astype(np.uint8)
CODES[1, 5:9] = 4


@pytest.fixture(scope="module", params=[False, True], ids=["one strand", "both strands"])
def model(request: pytest.FixtureRequest):
    return build_model("deep-cnn-64", length=60, seed=2, outputs=2, both_strands=request.param)


def test_mutagenesis_compares_with_the_mean_of_the_other_bases(model) -> None:
    found = contributions(model, CODES, output=1)
    place = 17
    rows = np.repeat(CODES[:1], 4, axis=0)
    rows[:, place] = range(4)
    z = logit(score(model, rows)[:, 1].astype(float))
    own = CODES[0, place]
    expected = z[own] - np.delete(z, own).mean()
    assert found[0, place] == pytest.approx(expected, abs=2e-5)
    assert np.all(found[CODES == 4] == 0)
    # Batches of another size are rounded otherwise on some processors.
    alone = contributions(model, CODES[2:], output=1)
    np.testing.assert_allclose(alone, found[2:], atol=1e-6)


def test_integrated_gradients_add_up_to_the_difference_of_log_odds(model) -> None:
    found = contributions(model, CODES[2:], method="integrated", output=1)
    inputs = one_hot(CODES[2:]).astype(np.float32)
    own, start = (
        logit(model.predict(x, verbose=0)[:, 1].astype(float))
        for x in (inputs, np.full_like(inputs, 0.25))
    )
    np.testing.assert_allclose(
        found.sum(axis=1), own - start, atol=0.02 * np.abs(own - start).max()
    )


def test_attributions_of_a_linear_model_are_exact_with_any_number_of_steps() -> None:
    inputs = keras.Input((60, 4))
    last = keras.layers.Dense(2, activation="sigmoid")
    linear = SequenceModel(keras.Model(inputs, last(keras.layers.Flatten()(inputs))))
    kernel = last.kernel.numpy().reshape(60, 4, 2)[..., 1]
    for steps in (1, 20):
        found = integrated_gradients(linear, CODES, output=1, steps=steps)
        expected = (one_hot(CODES).astype(np.float32) - np.float32(0.25)) * kernel
        expected[CODES == 4] = 0
        np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
        np.testing.assert_allclose(found.gap, 0, atol=1e-5)
    # Of a sequence without N, the other end is .25 in every channel.
    np.testing.assert_allclose(found.baseline[[0, 2, 3]], kernel.sum() / 4, atol=1e-5)
    np.testing.assert_allclose(found.score, log_odds(score(linear, CODES)[:, 1]), atol=1e-5)


def test_more_steps_make_attributions_complete(model) -> None:
    """Of a network with ReLUs; where rows hold N, too."""
    gaps = []
    for steps in (1, 20, 40):
        found = integrated_gradients(model, CODES, output=1, steps=steps)
        np.testing.assert_allclose(found.score, log_odds(score(model, CODES)[:, 1]), atol=1e-4)
        assert np.all(found.matrix[CODES == 4] == 0)
        gaps.append(float(np.abs(found.gap).max()))
    difference = float(np.abs(found.score - found.baseline).max())
    assert gaps[1] < 0.02 * difference
    assert gaps[2] < 0.25 * gaps[0]
    summed = integrated_gradients(model, CODES[2:], output=1, steps=32).matrix.sum(axis=2)
    known = contributions(model, CODES[2:], method="integrated", output=1)
    np.testing.assert_allclose(summed, known, atol=1e-5)


def test_gradients_are_slopes_of_the_log_odds(model) -> None:
    found = contributions(model, CODES, method="gradient", output=1)
    inputs = one_hot(CODES).astype(np.float32)
    place, step = 17, 1e-2
    more, less = inputs.copy(), inputs.copy()
    more[0, place, CODES[0, place]] += step
    less[0, place, CODES[0, place]] -= step
    high, low = (logit(model.predict(x, verbose=0)[0, 1].astype(float)) for x in (more, less))
    assert found[0, place] == pytest.approx((high - low) / (2 * step), rel=0.05, abs=1e-4)
    assert np.all(found[CODES == 4] == 0)


def test_gradients_survive_probabilities_that_round_to_one() -> None:
    model = build_model("cnn-7k", length=60, seed=2)
    model.body.get_layer("probability").bias.assign([40.0])
    assert score(model, CODES).min() == 1
    slopes = contributions(model, CODES, method="gradient")
    model.body.get_layer("probability").bias.assign([0.0])
    np.testing.assert_allclose(slopes, contributions(model, CODES, method="gradient"), rtol=1e-5)
    assert np.abs(slopes).max() > 0


def test_unknown_methods_are_refused() -> None:
    model = build_model("cnn-7k", length=60, seed=2)
    method: Method = "deeplift"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="no method 'deeplift'; there are mutagenesis"):
        contributions(model, CODES, method=method)


def test_log_odds_of_rounded_probabilities_are_finite() -> None:
    assert np.isfinite(log_odds(np.array([0, 1], np.float32))).all()
