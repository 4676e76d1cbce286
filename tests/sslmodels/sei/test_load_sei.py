"""Sei from checkpoints: what is loaded, what is computed, and every damage named."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from checkpoint_tools import dict_program, tensor_program, write_bin, write_zip
from sei_tools import TINY, basis, quarters, reference, weights_of

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from sslmodels.checkpoints.tensor_files import write_safetensors
from sslmodels.layers.spline_layer import spline_basis
from sslmodels.sei import licence_notice
from sslmodels.sei.load_sei import load_sei
from sslmodels.sei.profiles import profiles_of
from sslmodels.sei.sei_checkpoint import read_sei, sei_files
from sslmodels.sei.sei_network import sei_network
from sslmodels.sei.sei_tensors import SeiHead, SeiSizes, parameter_count, sei_tensors

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FULL, LOW = SeiHead(profiles=7), SeiHead(profiles=9, rank=3)


def tensors(head: SeiHead | None = FULL) -> dict[str, np.ndarray]:
    weights = weights_of(sei_tensors(TINY, head))
    if "classifier.0.weight" in weights:  # the goldens' gain is for 15,360 features
        weights["classifier.0.weight"] *= 20
    return weights


def rows(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (3, length)).astype(np.uint8)


def other_strand(codes: np.ndarray) -> np.ndarray:
    return np.where(codes < 4, 3 - codes, codes)[:, ::-1]


# What is computed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "length"),
    [(FULL, 32), (SeiHead(profiles=1), 79), (LOW, 600)],
    ids=["full", "one", "low-rank"],
)
def test_outputs_are_those_of_the_definition(tmp_path: Path, head, length):
    weights = tensors(head)
    model = load_sei(write_bin(tmp_path / "sei.pth", weights), length=length, sizes=TINY)
    codes = rows(length)
    forward, backward = (
        np.stack([reference(weights, quarters(row), splines=5)["output"] for row in strand])
        for strand in (codes, other_strand(codes))
    )
    np.testing.assert_allclose(profiles_of(model, codes, strands="forward"), forward, atol=1e-5)
    both = profiles_of(model, codes)
    np.testing.assert_allclose(both, (forward + backward) / 2, atol=1e-5)
    np.testing.assert_allclose(profiles_of(model, other_strand(codes)), both, atol=1e-6)
    assert np.ptp(both, axis=0).max() > 1e-3, "the outputs depend on the sequence"


@pytest.mark.parametrize("files", ["trunk", "whole"])
def test_the_trunk_alone(tmp_path: Path, files):
    weights = tensors(FULL if files == "whole" else None)
    path = write_bin(tmp_path / "sei.pth", weights)
    model = load_sei(path, length=100, head="none", sizes=TINY)
    codes = rows(100)
    found = profiles_of(model, codes, strands="forward")
    expected = np.stack(
        [reference(weights, quarters(row), splines=5)["spline"].reshape(-1) for row in codes]
    )
    assert found.shape == (3, 60)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert model.count_params() == parameter_count(TINY.trunk())
    assert not model.trainable_variables


def test_unknown_bases_are_quarters_in_every_form(tmp_path: Path):
    model = load_sei(write_bin(tmp_path / "sei.pth", tensors()), length=64, sizes=TINY)
    codes = rows(64)
    assert (codes == 4).any()
    zeros = (codes[..., None] == np.arange(4)).astype(np.float32)
    filled = np.where((codes == 4)[..., None], np.float32(0.25), zeros)
    expected = profiles_of(model, codes)
    for one_hot in (zeros, filled, zeros.astype(np.uint8)):
        np.testing.assert_array_equal(profiles_of(model, one_hot), expected)


def test_batches_do_not_matter_and_other_shapes_are_refused(tmp_path: Path):
    model = load_sei(write_bin(tmp_path / "sei.pth", tensors()), length=64, sizes=TINY)
    codes = rows(64)
    np.testing.assert_allclose(
        profiles_of(model, codes, batch_size=2), profiles_of(model, codes), atol=1e-6
    )
    assert profiles_of(model, codes[:0]).shape == (0, 7)
    for wrong in (codes[:, :63], codes[0], codes.astype(float), np.zeros((2, 64, 5))):
        with pytest.raises(InputError, match=r"expected base codes \(n, 64\)"):
            profiles_of(model, wrong)


@pytest.mark.parametrize(("length", "columns"), [(2, 16), (3, 4), (37, 16), (256, 16), (40, 7)])
def test_the_spline_basis_is_that_of_the_definition(length, columns):
    found = spline_basis(length, columns)
    np.testing.assert_allclose(found, basis(length, columns), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found[-1].tolist() == [0.0] * (columns - 1) + [1.0]
    with pytest.raises(ValueError, match="expected ≥ 2"):
        spline_basis(1, 16)


def test_too_short_windows_are_refused(tmp_path: Path):
    path = write_bin(tmp_path / "sei.pth", tensors())
    with pytest.raises(ConfigError, match="31 bases; expected at least 32"):
        load_sei(path, length=31, sizes=TINY)


def test_it_can_be_saved_and_loaded(tmp_path: Path):
    model = load_sei(write_bin(tmp_path / "sei.pth", tensors()), length=64, sizes=TINY)
    model.save(tmp_path / "sei.keras")
    again = keras.saving.load_model(tmp_path / "sei.keras")
    codes = rows(64)
    np.testing.assert_array_equal(again.predict_on_batch(codes), model.predict_on_batch(codes))


# Counts -------------------------------------------------------------------------------------------


def test_the_counts_of_the_published_model_follow_from_its_shapes():
    assert parameter_count(SeiSizes().trunk()) == 73_528_000
    assert parameter_count(SeiHead().tensors(15_360)) == 816_451_983
    assert parameter_count(sei_tensors(head=SeiHead())) == 889_979_983
    assert len(sei_tensors(head=SeiHead())) == 38
    low = sei_tensors(head=SeiHead(rank=64))
    assert parameter_count(low) == 73_528_000 + 64 * (15_360 + 3 * 21_907) + 2 * 21_907


@pytest.mark.parametrize("head", [SeiHead(profiles=50), SeiHead(profiles=50, rank=4)])
def test_the_table_is_that_of_a_built_network(head):
    network = sei_network(64, head=head)
    shapes = sei_tensors(head=head)
    assert network.count_params() == parameter_count(shapes)
    built = {
        f"{layer.name}.{'weight' if v.name == 'kernel' else v.name}": tuple(v.shape)[::-1]
        for layer in network.layers
        for v in layer.weights
    }
    assert built == {
        ".".join([layer.replace(".", "_"), part]): shape
        for (layer, _, part), shape in ((n.rpartition("."), s) for n, s in shapes.items())
    }


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model."])
@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_layouts(tmp_path: Path, prefix, form):
    weights = {prefix + name: value for name, value in tensors().items()}
    path = tmp_path / f"sei.{form}"
    if form == "pth":
        write_bin(path, weights)
    else:
        write_safetensors(path, weights, {})
    found = read_sei(tmp_path, sizes=TINY)
    assert found.report.paths == (path,)
    assert found.head == FULL
    assert list(found.values) == list(tensors())
    assert len(found.report.loaded) == 38
    assert found.report.parameters == sum(value.size for value in weights.values())
    assert "38 tensors loaded" in str(found.report)
    for name, value in found.values.items():
        np.testing.assert_array_equal(value, weights[prefix + name])


def test_trunk_and_head_in_files_of_their_own(tmp_path: Path):
    whole = tensors()
    trunk = {n: v for n, v in whole.items() if n in TINY.trunk()}
    head = {f"model.{n}": v for n, v in whole.items() if n not in trunk}
    write_bin(tmp_path / "sei_trunk.pth", {f"module.{n}": v for n, v in trunk.items()})
    assert read_sei(tmp_path, sizes=TINY).head is None
    write_bin(tmp_path / "sei_head.pth", head)
    assert sei_files(tmp_path) == (tmp_path / "sei_trunk.pth", tmp_path / "sei_head.pth")
    found = read_sei([tmp_path / "sei_head.pth", tmp_path / "sei_trunk.pth"], sizes=TINY)
    assert found.head == FULL
    assert found.report.parameters == sum(value.size for value in whole.values())
    assert len(read_sei(tmp_path, head="none", sizes=TINY).report.ignored) == 4
    with pytest.raises(InputError, match="occurs twice"):
        read_sei([tmp_path, tmp_path / "sei_head.pth"], sizes=TINY)


def test_half_precision_is_widened(tmp_path: Path):
    weights = tensors(LOW)
    records = {str(n): v.astype("<f2").tobytes() for n, v in enumerate(weights.values())}
    program = dict_program(
        {
            name: tensor_program(str(n), v.shape, storage="HalfStorage")
            for n, (name, v) in enumerate(weights.items())
        }
    )
    model = load_sei(write_zip(tmp_path / "sei.pth", program, records), length=64, sizes=TINY)
    expected = weights["loraw22.weight"].astype(np.float16).astype(np.float32).T
    np.testing.assert_array_equal(model.body.get_layer("loraw22").kernel.numpy(), expected)


def test_files_that_are_missing(tmp_path: Path):
    with pytest.raises(MissingInputError, match=r"none\.pth: no such checkpoint"):
        sei_files(tmp_path / "none.pth")
    with pytest.raises(MissingInputError, match=r"expected sei\.pth, or sei_trunk\.pth"):
        sei_files(tmp_path)
    with pytest.raises(MissingInputError, match="no file"):
        sei_files([])
    for name in ("sei.pth", "sei.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"holds sei\.pth and sei\.safetensors"):
        sei_files(tmp_path)


def test_a_head_that_is_asked_for_must_be_there(tmp_path: Path):
    path = write_bin(tmp_path / "trunk.pth", tensors(None))
    with pytest.raises(InputError, match="holds no head, expected a full one"):
        read_sei(path, head="full", sizes=TINY)
    path = write_bin(tmp_path / "low.pth", tensors(LOW))
    with pytest.raises(InputError, match="holds a low-rank head, expected a full one"):
        read_sei(path, head="full", sizes=TINY)
    assert read_sei(path, head="low-rank", sizes=TINY).head == LOW
    with pytest.raises(
        InputError, match=r"loraw12\.weight \(9, 3\) in low\.pth, expected \(8, 3\)"
    ):
        read_sei(path, profiles=8, sizes=TINY)


# Damage -------------------------------------------------------------------------------------------


def _without(name: str):
    return lambda weights: weights.pop(name)


def _changed(name: str, change):
    return lambda weights: weights.update({name: change(weights[name])})


def _renamed(old: str, new: str):
    def rename(weights):
        weights[new] = weights.pop(old)

    return rename


def _spoilt(value: float):
    def spoil(tensor):
        tensor = tensor.copy()
        tensor.flat[tensor.size // 2] = value
        return tensor

    return spoil


DAMAGES = [
    (_without("conv2.1.bias"), r"1 missing: conv2\.1\.bias \(8,\)"),
    (_without("classifier.2.bias"), r"1 missing: classifier\.2\.bias \(7,\)"),
    (_renamed("conv2.1.bias", "conv2.0.bias"), r"missing: conv2\.1.*unexpected: conv2\.0\.bias"),
    (_renamed("lconv1.0.weight", "module.lconv1.0.weight"), r"unexpected: module\.lconv1\.0"),
    (
        _changed("lconv2.2.weight", lambda v: np.ascontiguousarray(v.transpose(2, 1, 0))),
        r"1 transposed: lconv2\.2\.weight \(9, 6, 8\) in sei\.pth, expected \(8, 6, 9\)",
    ),
    (
        _changed("classifier.0.weight", lambda v: np.ascontiguousarray(v.T)),
        r"1 transposed: classifier\.0\.weight \(60, 7\) in sei\.pth, expected \(7, 60\)",
    ),
    (
        _changed("dconv5.1.weight", lambda v: v[:-1]),
        r"1 of another shape: dconv5\.1\.weight \(11, 12, 5\) in sei\.pth, expected \(12, 12, 5\)",
    ),
    (_changed("classifier.2.weight", lambda v: v[:6]), r"shape: classifier\.2\.weight \(6, 7\)"),
    (_changed("conv3.3.weight", _spoilt(np.nan)), r"not finite.*: conv3\.3\.weight \(12, 12, 9\)"),
    (_changed("conv3.3.bias", _spoilt(np.inf)), r"not finite.*: conv3\.3\.bias \(12,\) in sei"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damage_is_named(tmp_path: Path, damage, message):
    weights = tensors()
    damage(weights)
    path = write_bin(tmp_path / "sei.pth", weights)
    with pytest.raises(InputError, match=f"nothing was loaded: .*{message}") as caught:
        load_sei(path, length=64, sizes=TINY)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_transposed_view_of_a_square_matrix_is_named(tmp_path: Path):
    weights = tensors()
    name = "classifier.2.weight"
    program = dict_program(
        {
            key: tensor_program(str(n), v.shape, stride=(1, 7) if key == name else None)
            for n, (key, v) in enumerate(weights.items())
        }
    )
    records = {str(n): v.tobytes() for n, v in enumerate(weights.values())}
    path = write_zip(tmp_path / "sei.pth", program, records)
    with pytest.raises(InputError, match=r"1 transposed: classifier\.2\.weight \(7, 7\)"):
        read_sei(path, sizes=TINY)


def test_integers_are_named(tmp_path: Path):
    weights = tensors()
    weights["conv1.0.bias"] = weights["conv1.0.bias"].copy()
    number = list(weights).index("conv1.0.bias")
    program = dict_program(
        {
            key: tensor_program(
                str(n), v.shape, storage="IntStorage" if n == number else "FloatStorage"
            )
            for n, (key, v) in enumerate(weights.items())
        }
    )
    records = {str(n): v.tobytes() for n, v in enumerate(weights.values())}
    path = write_zip(tmp_path / "sei.pth", program, records)
    with pytest.raises(InputError, match=r"not finite floating-point numbers: conv1\.0\.bias"):
        read_sei(path, sizes=TINY)


def test_truncated_and_flipped_data_are_named(tmp_path: Path):
    weights = tensors()
    names = list(weights)
    program = dict_program(
        {k: tensor_program(str(n), weights[k].shape) for n, k in enumerate(names)}
    )
    records = {str(n): weights[k].tobytes() for n, k in enumerate(names)}
    number = names.index("dconv3.1.weight")
    short = {**records, str(number): records[str(number)][:-4]}
    with pytest.raises(InputError, match=r"dconv3\.1\.weight"):
        read_sei(write_zip(tmp_path / "short.pth", program, short), sizes=TINY)
    gone = {key: value for key, value in records.items() if key != str(number)}
    with pytest.raises(InputError, match=r"missing.*dconv3\.1\.weight"):
        read_sei(write_zip(tmp_path / "gone.pth", program, gone), sizes=TINY)
    whole = write_zip(tmp_path / "whole.pth", program, records)
    content = bytearray(whole.read_bytes())
    place = content.index(records[str(number)])
    content[place + 100] ^= 1
    flipped = tmp_path / "flipped.pth"
    flipped.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged.*dconv3\.1\.weight"):
        read_sei(flipped, sizes=TINY)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"cut\.pth: not a zip checkpoint"):
        read_sei(cut, sizes=TINY)


def test_a_truncated_safetensors_file_names_the_tensor(tmp_path: Path):
    weights = tensors()
    path = tmp_path / "sei.safetensors"
    write_safetensors(path, weights, {})
    path.write_bytes(path.read_bytes()[: -weights["classifier.2.bias"].nbytes - 4])
    with pytest.raises(InputError, match=r"it ends within tensor 'classifier\.2\.weight'"):
        read_sei(path, sizes=TINY)


def scores_on_another_backend(folder: str) -> None:
    """What the subprocess does: JSON on stdout."""
    model = load_sei(Path(folder) / "sei.pth", length=79, sizes=TINY)
    found = {"backend": keras.backend.backend(), "scores": profiles_of(model, rows(79)).tolist()}
    print(json.dumps(found))


@pytest.mark.slow
def test_jax_gives_the_same(tmp_path: Path):
    model = load_sei(write_bin(tmp_path / "sei.pth", tensors()), length=79, sizes=TINY)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_load_sei\ntest_load_sei.scores_on_another_backend({str(tmp_path)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    np.testing.assert_allclose(found["scores"], profiles_of(model, rows(79)), atol=1e-5)


class Attack:
    """Pickled as a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path):
    mark = tmp_path / "ran"
    program = pickle.dumps({"lconv1.0.weight": Attack(mark)})
    for path in (
        write_zip(tmp_path / "sei.pth", program, {}),
        tmp_path / "old.pth",
    ):
        if not path.exists():
            path.write_bytes(program)
        with pytest.raises(InputError, match=r"refused without running|bare pickles"):
            load_sei(path, length=64, sizes=TINY)
    assert not mark.exists()


def test_the_terms_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(licence_notice, "_given", [])
    path = write_bin(tmp_path / "sei.pth", tensors())
    with caplog.at_level(logging.WARNING, logger="sslmodels"):
        for _ in range(2):
            load_sei(path, length=64, sizes=TINY)
    assert [r.getMessage() for r in caplog.records] == [licence_notice.NOTICE]
