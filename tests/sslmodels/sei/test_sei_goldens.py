"""Sei against the numbers that its authors' definition gave, through checkpoint and loader."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from checkpoint_tools import write_bin
from sei_tools import weights_of

from sslmodels.layers.spline_layer import spline_basis
from sslmodels.sei.load_sei import load_sei
from sslmodels.sei.profiles import profiles_of
from sslmodels.sei.sei_tensors import SeiHead, parameter_count, sei_tensors

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = [
    pytest.mark.mirror,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

GOLDENS = Path(os.environ.get("CROSSLABEL_MIRROR", "")) / "sei"


def test_names_shapes_and_counts_are_the_published_ones():
    known = json.loads((GOLDENS / "names.json").read_text())
    published = sei_tensors(head=SeiHead())
    assert [[name, list(shape)] for name, shape in published.items()] == known["state_dict"]
    assert parameter_count(published) == known["parameters"] == 889_979_983
    small = SeiHead(profiles=50).tensors(15_360)
    head = known["state_dict_head_50_features"]
    assert [[name, list(shape)] for name, shape in small.items()] == head


@pytest.mark.parametrize("length", [256, 37, 64])
def test_spline_basis(length):
    expected = np.load(GOLDENS / "bspline_basis.npz")[f"basis_L{length}"]
    np.testing.assert_allclose(spline_basis(length, 16), expected, rtol=0, atol=1e-6)


def _relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ("length", "kind", "tolerance"),
    [
        (600, "mix", 1e-4),
        (600, "sine", 1e-3),
        (4096, "mix", 1e-4),
        pytest.param(4096, "sine", 1e-3, marks=pytest.mark.slow),
    ],
)
def test_goldens(tmp_path: Path, length, kind, tolerance):
    golden = np.load(GOLDENS / f"sei_dev_L{length}_{kind}.npz")
    weights = weights_of(sei_tensors(head=SeiHead(profiles=50)), kind)
    path = write_bin(tmp_path / "sei.pth", {f"module.model.{n}": v for n, v in weights.items()})
    model = load_sei(path, length=length)
    body = model.body
    assert body.count_params() == 73_528_000 + parameter_count(SeiHead(profiles=50).tensors(15_360))
    last = body.layers[-1]
    last.activation = keras.activations.linear
    inside = keras.Model(
        body.input,
        [
            body.get_layer(name).output
            for name in ("dilated_input", "trunk_output", "splines", "classifier_2")
        ],
    )
    one_hot = golden["onehot"].T[None].astype(np.float32)
    first, trunk, spline, logits = (np.asarray(o)[0] for o in inside(one_hot, training=False))
    last.activation = keras.activations.sigmoid
    assert _relative(first.T[::16, ::16], golden["dconv1_input_ds"]) < tolerance
    assert _relative(trunk.T[::16, ::16], golden["trunk_output_ds"]) < tolerance
    assert _relative(spline[::16], golden["spline_ds"]) < tolerance
    assert _relative(logits, golden["logits"]) < tolerance
    codes = golden["codes"][None].astype(np.uint8)
    other = np.where(codes < 4, 3 - codes, codes)[:, ::-1]
    scored = [(profiles_of(model, codes), "output_rcavg")]
    if length == 600:  # the same paths, without the cost of 4,096 bases
        scored += [
            (profiles_of(model, codes, strands="forward"), "output"),
            (profiles_of(model, other, strands="forward"), "output_rc"),
            (profiles_of(model, one_hot), "output_rcavg"),
        ]
    for found, key in scored:
        np.testing.assert_allclose(found[0], golden[key], rtol=0, atol=tolerance)
