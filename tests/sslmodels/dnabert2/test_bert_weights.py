"""Checkpoints of DNABERT-2: both formats, strictness, precision, the shared matrix, writing."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpoint_tools import write_bin
from dnabert2_tools import SMALL, backbone_parameters, fill, masked_lm_parameters, noise
from safetensors.numpy import load_file, save_file

from ssldata.base.errors import InputError, MissingInputError
from sslmodels.checkpoints.tensor_files import read_tensors, write_safetensors
from sslmodels.dnabert2.bert_config import LoraOptions
from sslmodels.dnabert2.bert_model import DnabertBackbone, DnabertClassifier, DnabertMaskedLm
from sslmodels.dnabert2.bert_weights import checkpoint_tensors, load_checkpoint, save_checkpoint

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DECODER = "cls.predictions.decoder.weight"
WORDS = "bert.embeddings.word_embeddings.weight"
GAMMA = "bert.encoder.layer.1.mlp.layernorm.weight"


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    """The tensors of a masked-LM checkpoint, the shared matrix under both names."""
    values = {t.name: noise(t.name, t.shape) for t in DnabertMaskedLm(SMALL).tensors()}
    return {**values, DECODER: values[WORDS]}


@pytest.fixture
def safetensors(tmp_path: Path, published) -> Path:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, published, {"format": "pt"})
    return path


def written(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    save_file(tensors, path)  # the library's own writer: not ours alone is read
    return path


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_masked_lm(kind, tmp_path: Path, safetensors: Path, published):
    path = safetensors if kind == "safetensors" else write_bin(tmp_path / "m.bin", published)
    model = DnabertMaskedLm(SMALL, seed=9)
    report = load_checkpoint(model, path)
    assert sorted(report.loaded) == sorted(published)
    assert (report.missing, report.unexpected) == ((), ())
    assert report.parameters == masked_lm_parameters(SMALL) == model.count_params()
    assert str(report).endswith(
        f"{len(published)} tensors loaded ({report.parameters:,} "
        "parameters), 0 missing, 0 unexpected"
    )
    other = DnabertMaskedLm(SMALL)
    fill(other.tensors(), noise)
    for found, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_either_name_of_the_shared_matrix_is_enough(tmp_path: Path, published):
    for absent in (DECODER, WORDS):
        kept = {name: value for name, value in published.items() if name != absent}
        model = DnabertMaskedLm(SMALL)
        report = load_checkpoint(model, written(tmp_path / "m.safetensors", kept))
        assert report.missing == ()
        np.testing.assert_array_equal(checkpoint_tensors(model)[WORDS], published[WORDS])


def test_two_different_matrices_are_no_shared_one(tmp_path: Path, published):
    path = written(tmp_path / "m.safetensors", {**published, DECODER: published[WORDS] + 1})
    with pytest.raises(InputError, match="they are one matrix"):
        load_checkpoint(DnabertMaskedLm(SMALL), path)


def test_classifier_from_the_published_checkpoint(safetensors: Path, published):
    model = DnabertClassifier(SMALL, lora=LoraOptions(), train_pooler=True, seed=1)
    before = checkpoint_tensors(model)
    report = load_checkpoint(model, safetensors)
    head = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    head += ["classifier.weight", "classifier.bias"]
    assert sorted(report.missing) == sorted(head)
    assert sorted(report.unexpected) == sorted(n for n in published if n.startswith("cls."))
    assert report.parameters == backbone_parameters(SMALL)
    assert report.as_dict()["loaded"] == len(report.loaded)
    after = checkpoint_tensors(model)
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name] if name in head else published[name])


def test_bare_encoder_and_mean_pooling(safetensors: Path, tmp_path: Path, published):
    for model in (DnabertBackbone(SMALL), DnabertClassifier(SMALL, pooling="mean")):
        report = load_checkpoint(model, safetensors)
        assert report.parameters == backbone_parameters(SMALL)
    pooler = {"bert.pooler.dense.weight": np.zeros((24, 24), np.float32)}
    path = written(tmp_path / "p.safetensors", {**published, **pooler})
    assert load_checkpoint(DnabertClassifier(SMALL, pooling="mean"), path).unexpected


def without(published, *names):
    return {name: value for name, value in published.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: without(p, GAMMA), rf"1 missing: {GAMMA} \(24,\)"),
        (lambda p: {**p, "extra.weight": p[GAMMA]}, r"1 unexpected: extra\.weight \(24,\)"),
        (lambda p: {**p, GAMMA: p[GAMMA][:5]}, rf"{GAMMA} \(5,\), expected \(24,\)"),
        (lambda p: {**p, GAMMA: p[GAMMA].astype(np.int64)}, rf"not finite .*{GAMMA} \(int64\)"),
        (lambda p: {**p, GAMMA: p[GAMMA] * np.nan}, rf"not finite .*{GAMMA} \(float32\)"),
        (
            lambda p: {f"model.{name}": value for name, value in p.items()},
            r"\d+ missing: .*; \d+ unexpected: model\.bert.* begin with 'model\.': save the model",
        ),
        (
            lambda p: {n.removeprefix("bert."): v for n, v in p.items() if n.startswith("bert.")},
            r"\d+ unexpected: embeddings.*names lack 'bert\.': save the whole model",
        ),
    ],
    ids=["missing", "unexpected", "shape", "integers", "nan", "prefix", "no prefix"],
)
def test_any_mismatch_is_an_error_and_changes_nothing(tmp_path: Path, published, change, message):
    model = DnabertMaskedLm(SMALL, seed=3)
    before = model.get_weights()
    path = written(tmp_path / "m.safetensors", change(published))
    with pytest.raises(InputError, match=f"nothing was loaded: .*{message}"):
        load_checkpoint(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_deeper_and_shallower_checkpoints(safetensors: Path):
    with pytest.raises(InputError, match=r"11 missing: bert\.encoder\.layer\.2"):
        load_checkpoint(DnabertMaskedLm(replace(SMALL, num_hidden_layers=3)), safetensors)
    with pytest.raises(InputError, match=r"11 unexpected: bert\.encoder\.layer\.1"):
        load_checkpoint(DnabertMaskedLm(replace(SMALL, num_hidden_layers=1)), safetensors)


def test_half_a_pooler_is_a_damaged_file(tmp_path: Path, published):
    half = {"bert.pooler.dense.weight": np.zeros((24, 24), np.float32)}
    path = written(tmp_path / "m.safetensors", {**published, **half})
    with pytest.raises(InputError, match=r"1 missing: bert\.pooler\.dense\.bias"):
        load_checkpoint(DnabertClassifier(SMALL), path)


def test_what_may_be_missing_or_ignored_can_be_listed(tmp_path: Path, published):
    odd = {**without(published, GAMMA), "bert.embeddings.position_ids": np.zeros((1, 9), np.int64)}
    path = written(tmp_path / "m.safetensors", odd)
    report = load_checkpoint(
        DnabertMaskedLm(SMALL),
        path,
        may_lack=[GAMMA],
        may_ignore=["bert.embeddings.position_ids"],
    )
    assert report.missing == (GAMMA,)
    assert report.unexpected == ("bert.embeddings.position_ids",)


@pytest.mark.parametrize("precision", ["F16", "BF16", "F64"])
def test_other_precisions(precision, tmp_path: Path, published):
    parts, header, place = [], {}, 0
    expected = {}
    for name, value in published.items():
        if precision == "BF16":
            bits = value.view(np.uint32) >> 16
            raw, expected[name] = bits.astype("<u2"), (bits << 16).view(np.float32)
        else:
            raw = value.astype({"F16": "<f2", "F64": "<f8"}[precision])
            expected[name] = raw.astype(np.float32)
        header[name] = {
            "dtype": precision,
            "shape": list(value.shape),
            "data_offsets": [place, place + raw.nbytes],
        }
        place += raw.nbytes
        parts.append(raw.tobytes())
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
    model = DnabertMaskedLm(SMALL)
    load_checkpoint(model, path)
    for name, value in checkpoint_tensors(model).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x80\x02}q\x00.", r"before 1\.6"),
        (b"<!doctype html><html></html>", "download it again"),
        (b"", "download it again"),
        (struct.pack("<Q", 50) + b'{"a":1}', "damaged safetensors"),
        (struct.pack("<Q", 2**60) + b"{}", "damaged safetensors"),
        (b"PK\x03\x04 and nothing else", "not a zip checkpoint"),
        (
            b'\x3a\0\0\0\0\0\0\0{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}\0',
            "holds F8_E4M3; save it as F32",
        ),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content, message):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_tensors(path)


def sharded(folder: Path, tensors: dict[str, np.ndarray], **changes: str) -> Path:
    """Write a checkpoint in two files, one of each format, and its index."""
    names = sorted(tensors)
    halves = {"one.bin": names[:9], "two.safetensors": names[9:]}
    write_bin(folder / "one.bin", {name: tensors[name] for name in halves["one.bin"]})
    written(folder / "two.safetensors", {n: tensors[n] for n in halves["two.safetensors"]})
    places = {name: file for file, these in halves.items() for name in these} | changes
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    return index


def test_a_checkpoint_in_several_files(tmp_path: Path, published):
    report = load_checkpoint(model := DnabertMaskedLm(SMALL), sharded(tmp_path, published))
    assert report.parameters == masked_lm_parameters(SMALL)
    assert report.missing == report.unexpected == ()
    for name, value in checkpoint_tensors(model).items():
        np.testing.assert_array_equal(value, published[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({GAMMA: "../two.safetensors"}, "expected files beside it"),
        ({"extra": "three.bin"}, r"three\.bin: no such checkpoint"),
        ({"extra": "one.bin"}, r"one\.bin: 1 tensors are here or in .* but not in both: extra"),
    ],
    ids=["elsewhere", "missing", "not as listed"],
)
def test_an_index_that_is_wrong(tmp_path: Path, published, changes, message):
    index = sharded(tmp_path, published, **changes)
    with pytest.raises((InputError, MissingInputError), match=message):
        read_tensors(index)
    index.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not the index of a checkpoint"):
        read_tensors(index)


def test_no_file(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no such checkpoint"):
        read_tensors(tmp_path / "none.bin")


def test_the_library_reads_what_is_written(safetensors: Path, published):
    found = load_file(safetensors)
    assert found.keys() == published.keys()
    for name, value in published.items():
        np.testing.assert_array_equal(found[name], value, strict=True)
    with pytest.raises(TypeError, match="only float32"):
        write_safetensors(safetensors, {"a": np.zeros(2)}, {})


def test_written_checkpoints_are_read_again_and_reproducible(tmp_path: Path):
    model = DnabertClassifier(SMALL, outputs=2, seed=8)
    for name in ("a", "b"):
        save_checkpoint(model, tmp_path / f"{name}.safetensors")
    first = (tmp_path / "a.safetensors").read_bytes()
    assert first == (tmp_path / "b.safetensors").read_bytes()
    again = DnabertClassifier(SMALL, outputs=2, seed=1)
    report = load_checkpoint(again, tmp_path / "a.safetensors")
    assert report.missing == report.unexpected == ()
    for old, new in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
