"""Models by name: exact parameter counts, inputs, seeds, options and saved files."""

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

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from sslmodels.layers.sequence_model import OneHot
from sslmodels.models.catalogue import DNABERT2, input_length, model_names
from sslmodels.models.model_builder import build_model, entry, load_model
from sslmodels.models.registry import register
from sslmodels.runs.run_folder import RunFolder

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMETERS = {
    "cnn-7k": 6_869,
    "cnn-27k": 27_413,
    "deepbind": 2_129,
    "deep-cnn-64": 68_629,
    "deep-cnn-256": 1_011_733,
}
#: Models that read bases, all but dnabert2.
BASES = [name for name in model_names() if name != DNABERT2]
TRANSFER = ("attention-conv", "basenji-like", "basset-like", "fsei")


def codes(rows: int = 6, length: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (rows, length)).astype(np.uint8)


def expand(values: np.ndarray) -> np.ndarray:
    return (values[..., None] == np.arange(4)).astype(np.uint8)


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
@pytest.mark.parametrize("length", [200, 1000])
def test_parameter_count(name, expected, length):
    assert build_model(name, length=length, seed=0).count_params() == expected


def test_deepsea_has_its_parameters_at_1_kb():
    model = build_model("deepsea", length=1000, seed=0)
    assert model.count_params() == 51_993_051
    positions = [model.body.get_layer(f"convolution_{n}").output.shape[1] for n in (1, 2, 3)]
    assert positions == [993, 241, 53]


def test_the_catalogue_lists_the_exact_counts():
    listed = {name: entry(name).parameters for name in BASES}
    assert listed == {
        **PARAMETERS,
        "deepsea": 51_993_051,
        **{name: build_model(name, length=600, seed=0).count_params() for name in TRANSFER},
    }


def test_shortest_input_of_deepsea():
    assert build_model("deepsea", length=163, seed=0).body.output_shape == (None, 1)
    with pytest.raises(ConfigError, match="needs at least 163 bases, found 162"):
        build_model("deepsea", length=162, seed=0)


@pytest.mark.parametrize("name", BASES)
def test_codes_and_one_hot_score_alike(name):
    length = max(60, entry(name).min_length)
    model = build_model(name, length=length, outputs=3, seed=1)
    rows = codes(length=length)
    from_codes = model.predict(rows, verbose=0)
    assert from_codes.shape == (6, 3)
    assert ((from_codes > 0) & (from_codes < 1)).all()
    # TensorFlow may fuse the layers of large networks otherwise for the second kind of input.
    tolerance = 1e-6 if name in TRANSFER else 0
    for one_hot in (expand(rows), expand(rows).astype("float32")):
        np.testing.assert_allclose(
            model.predict(one_hot, verbose=0), from_codes, rtol=0, atol=tolerance
        )


def test_dilations_padding_and_head():
    model = build_model(
        "deep-cnn-64", length=60, seed=0, dilations=[1, 3], padding="same", head="elu"
    )
    layer = model.body.get_layer
    assert [layer(f"dilated_{n}").dilation_rate for n in (1, 2)] == [(1,), (3,)]
    assert layer("motifs").output.shape == (None, 60, 64)
    assert layer("hidden").activation is keras.activations.elu
    assert model.count_params() == 68_629 - 3 * (3 * 64 * 64 + 64)


def test_residual_convolutions_add_to_their_input():
    """With weights of zero the deep network is the shallow one."""
    deep = build_model("deep-cnn-64", length=60, seed=1)
    shallow = build_model("cnn-7k", length=60, seed=1)
    for layer in deep.body.layers:
        if layer.name.startswith("dilated"):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
        elif layer.get_weights():
            layer.set_weights(shallow.body.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(
        deep.predict(codes(), verbose=0), shallow.predict(codes(), verbose=0), rtol=1e-6
    )


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match=r"'cnn-7k' has no option 'dilations'; there are padding"):
        build_model("cnn-7k", length=60, seed=0, dilations=[1])
    for option, wrong in (
        *(("dilations", value) for value in ([], [0], [1.5], "2", 3, None)),
        *(("padding", value) for value in ("causal", "none", None)),
        *(("head", value) for value in ("nonsense", 3, None)),
    ):
        with pytest.raises(ConfigError, match=f"model option {option}: .*; expected"):
            build_model("deep-cnn-64", length=60, seed=0, **{option: wrong})
    with pytest.raises(ConfigError, match="built from files"):
        build_model("dnabert2", length=60, seed=0)


def test_both_strands_are_averaged_and_saved(tmp_path: Path):
    one = build_model("cnn-7k", length=60, seed=2)
    both = build_model("cnn-7k", length=60, seed=2, both_strands=True)
    rows = codes()
    other = np.where(rows < 4, 3 - rows, rows)[:, ::-1].astype(np.uint8)
    forward, backward = one.predict(rows, verbose=0), one.predict(other, verbose=0)
    assert not np.allclose(forward, backward)
    np.testing.assert_allclose(both.predict(rows, verbose=0), (forward + backward) / 2, rtol=1e-5)
    np.testing.assert_allclose(
        both.predict(rows, verbose=0), both.predict(other, verbose=0), rtol=1e-5
    )
    both.save(tmp_path / "both.keras")
    again = load_model(tmp_path / "both.keras")
    np.testing.assert_array_equal(again.predict(rows, verbose=0), both.predict(rows, verbose=0))
    # Training reads the strand it is given.
    np.testing.assert_array_equal(both(rows, training=True), one(rows, training=True))


OWN = """
import keras

def small(sequence, seeds, outputs, hidden=0):
    \"\"\"A small one.\"\"\"
    sequence = keras.layers.Dense(hidden)(sequence) if hidden else sequence
    hidden = keras.layers.GlobalAveragePooling1D()(sequence)
    return keras.layers.Dense(outputs, "sigmoid", kernel_initializer=seeds.glorot())(hidden)

def wrong(sequence, seeds, outputs):
    return keras.layers.Flatten()(sequence)

def failing(sequence, seeds, outputs):
    raise RuntimeError("no idea")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    return "own_models"


def test_a_model_of_ones_own(own):
    model = build_model(f"{own}:small", length=60, outputs=2, seed=0)
    assert model.count_params() == 10
    wide = build_model(f"{own}:small", length=60, outputs=2, seed=0, hidden=7)
    assert wide.count_params() == 4 * 7 + 7 + 7 * 2 + 2
    with pytest.raises(ConfigError, match="has no option 'width'; there are hidden"):
        build_model(f"{own}:small", length=60, seed=0, width=7)
    assert model.predict(codes(), verbose=0).shape == (6, 2)
    assert entry(f"{own}:small").description == "A small one."
    assert input_length(f"{own}:small", size=200, stored=1000) == 200


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_models:wrong", r"returned \(None, 240\), expected function"),
        ("own_models:failing", "failed with RuntimeError: no idea; expected function"),
        ("own_models:none", "has no function 'none'; there are failing, small, wrong"),
        ("no_such_module_here:small", r"cannot be imported \(ModuleNotFoundError"),
        ("own_models:", "expected my_package.module:function"),
    ],
)
def test_errors_in_a_model_of_ones_own(own, name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(name, length=60, seed=0)
    assert "\n" not in str(caught.value)


def test_n_is_four_zeros():
    encoded = keras.ops.convert_to_numpy(OneHot()(np.array([[0, 1, 2, 3, 4, 255]], np.uint8)))
    expected = np.concatenate([np.eye(4), np.zeros((2, 4))])[None]
    np.testing.assert_array_equal(encoded, expected)
    assert OneHot(dtype="float16")(codes()).dtype == "float16"


def test_weights_are_a_function_of_the_seed_alone():
    keras.utils.set_random_seed(1)
    first = build_model("cnn-7k", length=60, seed=5).get_weights()
    keras.utils.set_random_seed(2)
    expected = random.Random(2).random()  # what the global generator would give next
    second = build_model("cnn-7k", length=60, seed=5).get_weights()
    assert random.random() == expected
    other = build_model("cnn-7k", length=60, seed=6).get_weights()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    # Two layers of one shape must not start alike.
    assert not np.array_equal(first[2][:10, 0], first[4][:10, 0])


def test_dropout_is_seeded():
    outputs = [
        keras.ops.convert_to_numpy(
            build_model("cnn-27k", length=60, seed=3)(codes(), training=True)
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*outputs)


def test_saved_model_loads_in_a_fresh_process(tmp_path: Path):
    model = build_model("cnn-7k", length=60, seed=4)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "codes.npy", codes())
    script = (
        "import sys, json, pathlib, numpy as np\n"
        "from sslmodels.models.model_builder import load_model\n"
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
        build_model("cnn-7", length=200, seed=0)


def test_too_short_input_is_refused():
    with pytest.raises(ConfigError, match="needs at least 24 bases, found 20"):
        build_model("deepbind", length=20, seed=0)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        register("cnn-7k")(lambda s, seeds, outputs: s)


def test_a_saved_model_by_text_path_or_run_folder(tmp_path: Path):
    model = build_model("cnn-7k", length=60, seed=4)
    run = RunFolder(tmp_path)
    with pytest.raises(MissingInputError, match=r"model\.keras: no such model"):
        load_model(tmp_path)
    model.save(run.model)
    for path in (str(run.model), run.model, str(tmp_path), tmp_path):
        for found, expected in zip(
            load_model(path).get_weights(), model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_files_that_are_no_model(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no such model"):
        load_model(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"not a \.keras file") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_catalogue_needs_no_keras():
    """So that `crosslabel --help`, `plan` and errors about a model's name come at once."""
    script = (
        "import sys; import flows.cli, sslmodels.models.catalogue as c\n"
        "c.check_models(['cnn-7k']); print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


def test_input_length():
    assert input_length("cnn-7k", size=200, stored=1000) == 200
    assert input_length("deepsea", size=200, stored=1000) == 1000
