"""A scan of a sequence equals the scores of its windows, one by one."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tools import network, with_biases

from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.prediction.genome_scan import Scanner, one_convolution, window_count
from sslmodels.prediction.trained_model import TrainedModel, load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LENGTH = 40
SAVED = Path(__file__).resolve().parents[2] / "golden" / "saved-models"


def sequence(bases: int, seed: int, share_of_n: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, bases).astype(np.uint8)
    codes[rng.random(bases) < share_of_n] = 4
    return codes


def one_by_one(model: TrainedModel, codes: np.ndarray, stride: int, **options) -> np.ndarray:
    starts = range(0, len(codes) - model.length + 1, stride)
    windows = [codes[start : start + model.length] for start in starts]
    windows = np.array(windows, np.uint8).reshape(-1, model.length)
    return model.score_codes(windows, **options)


def built(name: str = "cnn-7k", *, outputs: int = 2, **options) -> TrainedModel:
    return TrainedModel(network(1, name=name, length=LENGTH, outputs=outputs, **options))


SCANNERS = {name: Scanner(built(name)) for name in ("cnn-7k", "cnn-27k", "deepbind")}


@given(
    name=st.sampled_from(sorted(SCANNERS)),
    bases=st.integers(0, 300),
    # The 17 positions of a window of 40 bases: shorter, equal and longer strides.
    stride=st.integers(1, 45),
    both_strands=st.booleans(),
    share_of_n=st.sampled_from([0, 0.05, 0.9, 1]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_a_scan_equals_window_by_window(name, bases, stride, both_strands, share_of_n, seed):
    scanner = SCANNERS[name]
    assert scanner.network is not None
    codes = sequence(bases, seed, share_of_n)
    found = scanner.scan(codes, stride=stride, both_strands=both_strands)
    expected = one_by_one(scanner.model, codes, stride, both_strands=both_strands)
    assert found.shape == expected.shape == (window_count(bases, LENGTH, stride), 2)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    assert found.dtype == np.float32


@pytest.mark.parametrize("name", sorted(SCANNERS))
@pytest.mark.parametrize("both_strands", [True, False])
def test_rows_equal_those_of_the_model(name, both_strands):
    codes = sequence(LENGTH * 90, 4).reshape(90, LENGTH)[:, ::-1]
    scanner = SCANNERS[name]
    np.testing.assert_allclose(
        scanner.score_codes(codes, both_strands=both_strands),
        scanner.model.score_codes(codes, both_strands=both_strands),
        atol=1e-5,
        rtol=0,
    )
    assert scanner.score_codes(codes[:0]).shape == (0, 2)


@pytest.mark.parametrize("stride", [1, 7, 17, 50])
def test_many_pieces_and_threads_give_the_same(stride, monkeypatch):
    whole = SCANNERS["deepbind"].scan(sequence(3000, 5), stride=stride)
    monkeypatch.setattr("sslmodels.prediction.genome_scan._WINDOWS", 13)
    parts = SCANNERS["deepbind"].scan(sequence(3000, 5), stride=stride)
    np.testing.assert_allclose(parts, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "options", [{"padding": "same"}, {"head": "gelu"}, {"both_strands": True}, {"outputs": 1}]
)
def test_options_of_a_model(options):
    scanner = Scanner(built(**options))
    assert (scanner.network is None) == (options == {"padding": "same"})
    codes = sequence(200, 3)
    np.testing.assert_allclose(
        scanner.scan(codes, stride=3), one_by_one(scanner.model, codes, 3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", ["deep-cnn-64", "dnabert2"])
def test_other_models_score_window_by_window(name):
    model = built(name) if name != "dnabert2" else load_model(SAVED / "dnabert2.keras")
    scanner = Scanner(model)
    assert scanner.network is None
    codes = sequence(120, 3)
    np.testing.assert_allclose(
        scanner.scan(codes, stride=11), one_by_one(model, codes, 11), atol=1e-6, rtol=0
    )
    assert scanner.scan(codes[:10], stride=11).shape == (0, len(model.outputs))


def own(make, length: int = LENGTH) -> keras.Model:
    inputs = keras.Input((length, 4))
    return keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(make(inputs)))


def convolved(inputs, *, filters: int = 70, width: int = 5, **options):
    options = {"activation": "relu", **options}
    return keras.layers.Conv1D(filters, width, **options)(inputs)


def pooled(x):
    return keras.layers.GlobalMaxPooling1D()(x)


def with_two_branches(x):
    best = pooled(convolved(x))
    return keras.layers.Add()([keras.layers.Dense(70)(best), best])


@pytest.mark.parametrize(
    ("make", "shares"),
    [
        (lambda x: pooled(convolved(x)), True),
        (lambda x: pooled(convolved(x, use_bias=False, activation="tanh")), True),
        (lambda x: pooled(convolved(x, width=1)), True),
        (lambda x: pooled(convolved(x, width=LENGTH)), True),
        (lambda x: pooled(keras.layers.Activation("elu")(convolved(x, activation=None))), True),
        (lambda x: pooled(keras.layers.Dropout(0.1)(convolved(x))), True),
        (with_two_branches, True),
        (lambda x: pooled(convolved(x, activation="gelu")), False),
        (lambda x: pooled(convolved(x, strides=2)), False),
        (lambda x: pooled(convolved(x, dilation_rate=2)), False),
        (lambda x: pooled(convolved(x, groups=2)), False),
        (lambda x: pooled(convolved(x, dtype="mixed_float16")), False),
        (lambda x: pooled(keras.layers.BatchNormalization()(convolved(x))), False),
        (lambda x: pooled(convolved(convolved(x))), False),
        (lambda x: keras.layers.GlobalAveragePooling1D()(convolved(x)), False),
        (lambda x: keras.layers.Flatten()(convolved(x)), False),
        (lambda x: keras.layers.Flatten()(x), False),
        (
            lambda x: keras.layers.Concatenate()(
                [pooled(convolved(x)), keras.layers.GlobalAveragePooling1D()(x)]
            ),
            False,
        ),
    ],
)
def test_models_of_ones_own_are_recognised_by_their_layers(make, shares):
    keras.utils.set_random_seed(3)
    body = own(make)
    with_biases(body, 3)
    assert (one_convolution(body) is not None) == shares
    model = TrainedModel(SequenceModel(body))
    codes = sequence(150, 3)
    np.testing.assert_allclose(
        Scanner(model).scan(codes, stride=4), one_by_one(model, codes, 4), atol=1e-5, rtol=0
    )


def test_window_count():
    assert [window_count(bases, 10, 3) for bases in (0, 9, 10, 12, 13, 16)] == [0, 0, 1, 1, 2, 3]
