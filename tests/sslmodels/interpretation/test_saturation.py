"""Saturation mutagenesis equals scoring every changed sequence in full."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sslmodels.interpretation import saturation as saturation_module
from sslmodels.interpretation.local_network import LocalNetwork, NotLocalError
from sslmodels.interpretation.saturation import CHANGES, brute_force, saturation
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.model_builder import build_model
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

L = keras.layers


def sequences(length: int, rows: int = 3) -> np.ndarray:
    codes = np.random.default_rng(length).integers(0, 4, (rows, length)).astype(np.uint8)
    codes[0, [0, 7, length - 1]] = 4
    return codes


def own(length: int, make) -> SequenceModel:
    """A model of one's own with seeded weights far from 0, so that every layer matters."""
    one_hot = keras.Input((length, 4), name="one_hot")
    body = keras.Model(one_hot, make(one_hot), name="body")
    rng = np.random.default_rng(1)
    body.set_weights([rng.normal(0, 0.5, w.shape).astype(w.dtype) for w in body.get_weights()])
    for layer in body.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance) + 0.5)
    return SequenceModel(body, both_strands=False)


def strided(x):
    x = L.Conv1D(6, 5, strides=2, padding="same", activation="tanh")(x)
    x = L.AveragePooling1D(3, 2)(x)
    x = L.Conv1D(5, 4, dilation_rate=2, activation="gelu")(x)
    return L.Dense(2, activation="sigmoid")(L.GlobalMaxPooling1D()(x))


def flattened(x):
    x = L.Conv1D(6, 5)(x)
    x = L.BatchNormalization()(x)
    x = L.ReLU()(x)
    x = L.MaxPooling1D(4)(x)
    x = L.Dense(7, activation="relu", use_bias=False)(L.Flatten()(x))
    return L.Dense(1, activation="sigmoid")(x)


MODELS = {
    "cnn-7k": lambda: build_model("cnn-7k", length=50, seed=1, outputs=2),
    "same": lambda: build_model("deepbind", length=50, seed=1, padding="same"),
    "both": lambda: build_model("deepbind", length=50, seed=1, both_strands=True),
    "deep": lambda: build_model("deep-cnn-64", length=90, seed=1, dilations=[2, 8], padding="same"),
    "deep both": lambda: build_model("deep-cnn-64", length=60, seed=1, both_strands=True),
    "strided": lambda: own(41, strided),
    "flattened": lambda: own(43, flattened),
}


@pytest.mark.parametrize("name", MODELS)
def test_substitutions_equal_brute_force(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saturation_module, "_LARGEST_SHARE", 1.0)
    model = MODELS[name]()
    network = LocalNetwork(model.body)
    codes = sequences(model.length)
    found, own_scores = saturation(model, codes), score(model, codes)
    assert found.shape == (*codes.shape, 4, own_scores.shape[1])
    expected = brute_force(model, codes)
    if not model.both_strands:
        np.testing.assert_allclose(network.substituted(codes), expected, atol=1e-5)
    for row, place in np.ndindex(codes.shape):
        base = codes[row, place]
        for step in range(CHANGES):
            new = (base + step + 1) % 4
            right = expected[row, place, step] if base < 4 else own_scores[row]
            np.testing.assert_allclose(found[row, place, new], right, atol=1e-5)
        if base < 4:
            np.testing.assert_array_equal(found[row, place, base], own_scores[row])
    changes = np.abs(found - own_scores[:, None, None]).max(axis=(0, 2, 3))
    assert (changes > 1e-5).mean() > 0.4, "the weights of this test tell nothing"


def test_brute_force_changes_one_base_at_a_time() -> None:
    model = build_model("cnn-7k", length=30, seed=1)
    codes = sequences(30, rows=1)
    changed = codes.copy()
    changed[0, 9] = (codes[0, 9] + 2) % 4
    expected = score(model, changed)[0]
    np.testing.assert_allclose(brute_force(model, codes)[0, 9, 1], expected, atol=1e-6)


def test_other_networks_are_scored_in_full() -> None:
    model = own(30, lambda x: L.Dense(1, activation="sigmoid")(L.LSTM(4)(x)))
    with pytest.raises(NotLocalError, match="LSTM"):
        LocalNetwork(model.body)
    codes = sequences(30, rows=2)
    found = saturation(model, codes)
    base = (codes[1, 5] + 1) % 4
    expected = brute_force(model, codes)[1, 5, 0]
    np.testing.assert_allclose(found[1, 5, base], expected, atol=1e-6)


def test_what_a_substitution_changes_is_short_where_parts_are_scored() -> None:
    assert LocalNetwork(build_model("cnn-7k", length=60, seed=1).body).share == 0
    flat = LocalNetwork(MODELS["flattened"]().body)
    assert flat.share == pytest.approx(np.mean([5 / 39, 5 / 39, 5 / 39, 2 / 9]), rel=0.2)
    deep = LocalNetwork(build_model("deep-cnn-64", length=200, seed=1).body)
    assert saturation_module._local(build_model("deep-cnn-64", length=200, seed=1)) is None
    assert deep.share > 0.25
    longer = build_model("deep-cnn-64", length=600, seed=1)
    assert saturation_module._local(longer) is not None


@pytest.mark.slow
def test_deepsea_equals_brute_force() -> None:
    model = build_model("deepsea", length=200, seed=1)
    codes = sequences(200, rows=1)
    found, expected = saturation(model, codes), brute_force(model, codes)
    for place in range(200):
        new = (codes[0, place] + 1) % 4
        if codes[0, place] < 4:
            np.testing.assert_allclose(found[0, place, new], expected[0, place, 0], atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: L.Dense(1)(L.GlobalMaxPooling1D()(L.Conv1D(4, 3, padding="causal")(x))),
        lambda x: L.Dense(1)(L.GlobalMaxPooling1D()(L.MaxPooling1D(2, padding="same")(x))),
        lambda x: L.Dense(1)(L.Dropout(0.1)(L.Flatten()(x))),
        lambda x: L.Add()([L.Dense(1)(L.GlobalMaxPooling1D()(x)), L.Dense(1)(L.Flatten()(x))]),
    ],
)
def test_what_is_not_local_is_seen(make) -> None:
    with pytest.raises(NotLocalError):
        LocalNetwork(own(20, make).body)
