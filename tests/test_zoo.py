"""The registry, exact parameter counts, inputs, seeds and saved files."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ssldata.errors import ConfigError, MissingInputError
from sslmodels import zoo
from sslmodels.layers import OneHot

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMETERS = {"cnn-7k": 6_869, "cnn-27k": 27_413, "deepbind": 2_129}


def codes(rows: int = 6, length: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (rows, length)).astype(np.uint8)


def expand(values: np.ndarray) -> np.ndarray:
    return (values[..., None] == np.arange(4)).astype(np.uint8)


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
@pytest.mark.parametrize("length", [200, 1000])
def test_parameter_count(name, expected, length):
    assert zoo.build_model(name, length=length, seed=0).count_params() == expected


@pytest.mark.parametrize("name", zoo.model_names())
def test_codes_and_one_hot_score_alike(name):
    model = zoo.build_model(name, length=60, outputs=3, seed=1)
    from_codes = model.predict(codes(), verbose=0)
    assert from_codes.shape == (6, 3)
    assert ((from_codes > 0) & (from_codes < 1)).all()
    np.testing.assert_array_equal(from_codes, model.predict(expand(codes()), verbose=0))
    np.testing.assert_array_equal(
        from_codes, model.predict(expand(codes()).astype("float32"), verbose=0)
    )


def test_n_is_four_zeros():
    encoded = keras.ops.convert_to_numpy(OneHot()(np.array([[0, 1, 2, 3, 4, 255]], np.uint8)))
    expected = np.concatenate([np.eye(4), np.zeros((2, 4))])[None]
    np.testing.assert_array_equal(encoded, expected)
    assert OneHot(dtype="float16")(codes()).dtype == "float16"


def test_weights_are_a_function_of_the_seed_alone():
    keras.utils.set_random_seed(1)
    first = zoo.build_model("cnn-7k", length=60, seed=5).get_weights()
    keras.utils.set_random_seed(2)
    expected = random.Random(2).random()  # what the global generator would give next
    second = zoo.build_model("cnn-7k", length=60, seed=5).get_weights()
    assert random.random() == expected
    other = zoo.build_model("cnn-7k", length=60, seed=6).get_weights()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    # Two layers of one shape must not start alike.
    assert not np.array_equal(first[2][:10, 0], first[4][:10, 0])


def test_dropout_is_seeded():
    outputs = [
        keras.ops.convert_to_numpy(
            zoo.build_model("cnn-27k", length=60, seed=3)(codes(), training=True)
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*outputs)


def test_saved_model_loads_in_a_fresh_process(tmp_path: Path):
    model = zoo.build_model("cnn-7k", length=60, seed=4)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "codes.npy", codes())
    script = (
        "import sys, json, pathlib, numpy as np\n"
        "from sslmodels.zoo import load_model\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "model = load_model(folder / 'model.keras')\n"
        "codes = np.load(folder / 'codes.npy')\n"
        "one_hot = (codes[..., None] == np.arange(4)).astype('float32')\n"
        "print(json.dumps([model.length, model.count_params(),\n"
        "                  model.predict(codes, verbose=0).tolist(),\n"
        "                  model.predict(one_hot, verbose=0).tolist()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    length, parameters, from_codes, from_one_hot = json.loads(done.stdout.splitlines()[-1])
    assert (length, parameters) == (60, 6_869)
    assert from_codes == from_one_hot
    np.testing.assert_allclose(from_codes, model.predict(codes(), verbose=0), rtol=1e-6)


def test_unknown_model_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no model 'cnn-7'; there are .*did you mean 'cnn-7k'"):
        zoo.build_model("cnn-7", length=200, seed=0)


def test_too_short_input_is_refused():
    with pytest.raises(ConfigError, match="needs at least 24 bases, found 20"):
        zoo.build_model("deepbind", length=20, seed=0)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        zoo.register("cnn-7k", description="again")(lambda s, seeds, outputs: s)


def test_missing_file(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no such model"):
        zoo.load_model(tmp_path / "model.keras")


def test_input_length():
    assert zoo.input_length("cnn-7k", size=200, stored=1000) == 200
