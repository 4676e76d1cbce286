"""Sei fine-tuned and the models it is compared with: layers, inputs, training, weights of Sei."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from checkpoint_tools import write_bin
from sei_tools import TINY, quarters, reference, weights_of

from ssldata.base.errors import ConfigError, FetchError, InputError
from ssldata.base.files import sha256_of
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import open_store
from sslmodels.models import transfer_architectures
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.runs.regimes import train
from sslmodels.runs.run_identity import run_identity
from sslmodels.sei.pretrained_trunk import load_pretrained_trunk
from sslmodels.sei.sei_options import SeiOptions
from sslmodels.sei.sei_tensors import SeiHead, sei_tensors

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHORTEST = {"basset-like": 12, "basenji-like": 168, "attention-conv": 14, "fsei": 32}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trunk of fsei is a few thousand numbers."""
    monkeypatch.setattr(transfer_architectures, "SIZES", TINY)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_bin(tmp_path / "sei.pth", weights_of(sei_tensors(TINY, SeiHead(profiles=5))))


def codes(rows: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (rows, length)).astype(np.uint8)


@pytest.mark.parametrize("name", SHORTEST)
def test_shortest_input(name, tiny):
    shortest = SHORTEST[name]
    assert build_model(name, length=shortest, outputs=2, seed=0).body.output_shape == (None, 2)
    with pytest.raises(ConfigError, match=f"needs at least {shortest} bases, found {shortest - 1}"):
        build_model(name, length=shortest - 1, seed=0)


def test_layers_at_600_bases(tiny):
    shape = {
        name: build_model(name, length=600, seed=0).body.get_layer
        for name in ("basset-like", "basenji-like", "attention-conv", "fsei")
    }
    assert shape["basset-like"]("positions").output.shape == (None, 2500)
    assert not shape["basset-like"]("convolution_1").use_bias
    assert shape["basenji-like"]("convolution_7").output.shape == (None, 7, 960)
    assert shape["attention-conv"]("attended").output.shape == (None, 42, 720)
    assert shape["fsei"]("summary").output.shape == (None, TINY.splines - 2, 520)
    norm = shape["fsei"]("summary_norm")
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)
    np.testing.assert_array_equal(shape["fsei"]("attention").get_weights()[0], np.eye(520))


def test_attention_is_within_a_sequence():
    """The published code attends across the batch: there, a row's score depends on the others."""
    model = build_model("attention-conv", length=56, seed=0)
    rows = codes(4, 56)
    together = model.predict_on_batch(rows)
    alone = np.concatenate([model.predict_on_batch(rows[n : n + 1]) for n in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    query, _, key, *_ = model.body.get_layer("attention").get_weights()
    assert not np.array_equal(query, key)
    # Positions do matter to each other: without attention the maximum would ignore their order.
    layer = model.body.get_layer("attention")
    hidden = np.random.default_rng(1).normal(size=(1, 4, 720)).astype(np.float32)
    changed = hidden.copy()
    changed[0, 3] += 1
    one, other = (np.asarray(layer(value, value)) for value in (hidden, changed))
    assert np.abs(one[0, 0] - other[0, 0]).max() > 1e-4


def test_attention_pooling_is_a_weighted_mean(tiny):
    body = build_model("fsei", length=600, seed=0).body
    inside = keras.Model(
        body.input,
        [body.get_layer("summary_relu").output, body.get_layer("weighted_sum").output],
    )
    one_hot = np.eye(4, dtype=np.float32)[codes(2, 600) % 4]
    hidden, pooled = (np.asarray(value, np.float64) for value in inside(one_hot))
    weights = np.exp(hidden) / np.exp(hidden).sum(1, keepdims=True)
    np.testing.assert_allclose(pooled, (weights * hidden).sum(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("freeze", [False, True])
def test_fsei_is_trained_with_or_without_its_trunk(tiny, checkpoint: Path, freeze):
    model = build_model("fsei", length=64, seed=0, freeze=freeze)
    report = load_pretrained_trunk(model.body, SeiOptions(folder=checkpoint.parent))
    assert report["checkpoint"]["loaded"] == 34
    assert len(report["checkpoint"]["ignored"]) == 4
    assert report["files"] == {"sei.pth": sha256_of(checkpoint)}
    weights = weights_of(TINY.trunk())
    inside = keras.Model(model.body.input, model.body.get_layer("splines").output)
    rows = codes(8, 64)
    expected = reference(weights, quarters(rows[0]), splines=5)["spline"]
    one_hot = np.asarray(model.encode(rows))
    np.testing.assert_allclose(inside(one_hot)[0], expected, rtol=1e-4, atol=1e-5)
    before = {layer.name: layer.get_weights() for layer in model.body.layers}
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(rows, np.arange(8)[:, None] % 2, epochs=2, verbose=0)
    changed = {
        name
        for name, old in before.items()
        for a, b in zip(old, model.body.get_layer(name).get_weights(), strict=True)
        if not np.array_equal(a, b)
    }
    assert {"summary", "summary_norm", "attention", "hidden", "probability"} <= changed
    assert ("dconv5_1" in changed) != freeze
    if freeze:
        # Without dropout the frozen trunk gives in training what it gives outside.
        np.testing.assert_array_equal(
            inside(one_hot, training=True), inside(one_hot, training=False)
        )


@pytest.fixture
def project(small_world: Path, tmp_path: Path, checkpoint: Path, tiny: None) -> Project:
    project = load_project(small_world)
    project = project.model_copy(
        update={
            "store": project.store.model_copy(update={"path": tmp_path / "store"}),
            "training": project.training.model_copy(
                update={
                    "runs": tmp_path / "runs",
                    "epochs": 1,
                    "batch_size": 64,
                    "model_options": {"fsei": {"freeze": True}},
                    "sei": project.training.sei.model_copy(update={"folder": tmp_path}),
                }
            ),
        }
    )
    build_project(project, experiments=["alpha"])
    return project


def test_fsei_is_trained_by_a_project(project: Project, checkpoint: Path):
    run = train(project, experiment="alpha", model="fsei", regime="sl", seed=0)
    record = json.loads((run / "run.json").read_text())
    assert record["sei"]["checkpoint"]["loaded"] == 34
    model = load_model(run)
    expected = weights_of(TINY.trunk())["dconv5.1.weight"]
    np.testing.assert_array_equal(
        model.body.get_layer("dconv5_1").get_weights()[0], expected.transpose(2, 1, 0)
    )
    store = open_store(project.store_path("alpha"))
    cell = {"experiment": "alpha", "regime": "sl", "seed": 0}
    identity = run_identity(project, store, model="fsei", **cell)
    assert identity["training"]["sei"] == {"files": {"sei.pth": sha256_of(checkpoint)}}
    assert "sei" not in run_identity(project, store, model="cnn-7k", **cell)["training"]


def test_weights_that_are_wrong_or_not_named(tiny, checkpoint: Path):
    body = build_model("fsei", length=64, seed=0).body
    with pytest.raises(ConfigError, match=r"training\.sei\.folder: .* set pretrained: false"):
        load_pretrained_trunk(body, SeiOptions())
    assert load_pretrained_trunk(body, SeiOptions(pretrained=False))["checkpoint"] is None
    with pytest.raises(ConfigError, match="remove one of the two"):
        SeiOptions(pretrained=False, folder=checkpoint).files()
    with pytest.raises(ConfigError, match="expected 64 hexadecimal digits"):
        SeiOptions(folder=checkpoint, sha256={"sei.pth": "12"}).files()
    with pytest.raises(ConfigError, match=r"no file other\.pth is used; used is sei\.pth"):
        SeiOptions(folder=checkpoint, sha256={"other.pth": "0" * 64}).files()
    with pytest.raises(FetchError, match=r"sei\.pth: expected sha256 000.*, found"):
        load_pretrained_trunk(body, SeiOptions(folder=checkpoint, sha256={"sei.pth": "0" * 64}))
    weights = weights_of(TINY.trunk())
    del weights["conv1.0.bias"]
    before = body.get_weights()
    with pytest.raises(InputError, match=r"1 missing: conv1\.0\.bias"):
        load_pretrained_trunk(body, SeiOptions(folder=write_bin(checkpoint, weights)))
    for old, new in zip(before, body.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ConfigError, match="model option freeze: 1; expected true or false"):
        build_model("fsei", length=64, seed=0, freeze=1)
