"""``crosslabel model features``: every kind of model and of sequences, kills, full disks."""

from __future__ import annotations

import errno
import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from dnabert2_tools import SMALL, write_model
from prediction_tools import network, run_folder
from sei_tools import TINY, weights_of

from flows.cli import main
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.onehot import decode, one_hot, reverse_complement
from ssldata.store import feature_store
from ssldata.store.feature_store import open_features
from sslmodels.baselines.meme_text import SequenceMotif, write_meme
from sslmodels.baselines.motif_scan import log_odds_of, scan_scores
from sslmodels.checkpoints.tensor_files import write_safetensors
from sslmodels.dnabert2.bert_model import embed
from sslmodels.dnabert2.bert_options import DnabertOptions
from sslmodels.dnabert2.pretrained import build_dnabert2
from sslmodels.features import extract_features as extraction
from sslmodels.features import sei_profiles as sei_module
from sslmodels.features.extract_features import FeatureRequest, extract_features
from sslmodels.models.model_builder import build_model
from sslmodels.sei.load_sei import load_sei
from sslmodels.sei.profiles import profiles_of
from sslmodels.sei.sei_tensors import SeiHead, sei_tensors

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS, LENGTH = 30, 40


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (ROWS, LENGTH)).astype(np.uint8)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, codes: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    lines = [
        f">chr{n % 2}:{n * 100}-{n * 100 + LENGTH}({'+-'[n % 2]}),{decode(row)},{n % 2}"
        for n, row in enumerate(codes)
    ]
    path.write_text("\n".join(["header,sequence,label", *lines]) + "\n")
    return path


def extracted(model: object, sequences: object, out: Path, **options: object) -> np.ndarray:
    request = FeatureRequest(model=str(model), sequences=str(sequences), out=out, **options)
    assert extract_features(request)["status"] == "written"
    store = open_features(out)
    return store.read(0, store.rows)


def tree_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_a_run_gives_its_penultimate_layer_of_both_strands(
    tmp_path: Path, table: Path, codes: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network(outputs=1)
    run = run_folder(tmp_path / "run", model)
    out = tmp_path / "f.zarr"
    command = ["model", "features", str(run), "--sequences", str(table), "--out", str(out)]
    assert main([*command, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert (planned["status"], planned["rows"]) == ("to do", ROWS)
    assert planned["bytes"] == 4 * ROWS * planned["columns"]
    assert not out.exists()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "written"
    body = model.body
    dense = [layer for layer in body.layers if isinstance(layer, keras.layers.Dense)][-1]
    part = keras.Model(body.input, dense.input)
    of = [
        part.predict_on_batch(one_hot(c).astype("f4")) for c in (codes, reverse_complement(codes))
    ]
    store = open_features(out)
    np.testing.assert_allclose(store.read(0, ROWS), (of[0] + of[1]) / 2, atol=1e-6)
    assert all(not name.startswith("dropout") for name in store.columns)
    assert store.coordinate("contig").tolist() == [f"chr{n % 2}" for n in range(ROWS)]
    assert store.coordinate("strand").tolist() == [1 - 2 * (n % 2) for n in range(ROWS)]
    assert store.coordinate("label").tolist() == [n % 2 for n in range(ROWS)]
    assert store.attributes["identity"]["model"]["digest"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "unchanged"
    assert main([*command, "--one-strand"]) == 2
    assert "made of another model, other sequences or options" in capsys.readouterr().err
    assert main([*command, "--one-strand", "--replace"]) == 0
    np.testing.assert_allclose(open_features(out).read(0, ROWS), of[0], atol=1e-6)


def test_outputs_and_layers_by_name(tmp_path: Path, table: Path, codes: np.ndarray) -> None:
    model = network(outputs=2)
    run = run_folder(tmp_path / "run", model, outputs=["Reb1", "Abf1"])
    found = extracted(run, table, tmp_path / "joint.zarr", both_strands=False)
    assert open_features(tmp_path / "joint.zarr").columns == ("Reb1", "Abf1")
    np.testing.assert_allclose(found, model.predict_on_batch(codes), atol=1e-6)
    odds = extracted(run, table, tmp_path / "o.zarr", both_strands=False, layer="log-odds")
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), found, atol=1e-5)
    convolution = next(x for x in model.body.layers if isinstance(x, keras.layers.Conv1D))
    wide = extracted(run, table, tmp_path / "c.zarr", both_strands=False, layer=convolution.name)
    part = keras.Model(model.body.input, convolution.output)
    expected = np.asarray(part.predict_on_batch(one_hot(codes).astype("f4"))).max(axis=1)
    np.testing.assert_allclose(wide, expected, atol=1e-5)
    with pytest.raises(ConfigError, match=f"no layer of this name; .*{convolution.name}"):
        extracted(run, table, tmp_path / "n.zarr", layer="attention")


def test_new_models_and_given_weights(tmp_path: Path, table: Path) -> None:
    first = extracted("deepbind", table, tmp_path / "0.zarr", seed=0)
    other = extracted("deepbind", table, tmp_path / "1.zarr", seed=1)
    assert (first != other).any()
    weights = tmp_path / "model.weights.h5"
    build_model("deepbind", length=LENGTH, seed=1).save_weights(weights)
    given = extracted("deepbind", table, tmp_path / "2.zarr", weights=weights)
    np.testing.assert_array_equal(given, other)
    build_model("cnn-7k", length=LENGTH, seed=1).save_weights(weights)
    with pytest.raises(InputError, match="not the weights of deepbind"):
        extracted("deepbind", table, tmp_path / "3.zarr", weights=weights)
    with pytest.raises(MissingInputError, match="no such run, file or model"):
        extracted("deepbound", table, tmp_path / "4.zarr")


def test_embeddings_of_dnabert2(tmp_path: Path, table: Path, codes: np.ndarray) -> None:
    folder = tmp_path / "DNABERT-2-117M"
    write_model(folder, SMALL)
    found = extracted("dnabert2", table, tmp_path / "f.zarr", weights=folder, both_strands=False)
    options = DnabertOptions(source=folder, pooling="mean", lora=None)
    built = build_dnabert2(length=LENGTH, seed=0, options=options)
    np.testing.assert_allclose(found, embed(built.model, built.encoder(codes)), atol=1e-6)


def test_profiles_of_sei(
    tmp_path: Path, table: Path, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_of(sei_tensors(TINY, SeiHead(profiles=7)))
    write_safetensors(tmp_path / "sei.safetensors", weights, {})
    loaded = partial(load_sei, sizes=TINY)
    monkeypatch.setattr(sei_module, "load_sei", loaded)
    model = f"sei:{tmp_path}"
    found = extracted(model, table, tmp_path / "f.zarr")
    expected = profiles_of(loaded(tmp_path, length=LENGTH), codes)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    store = open_features(tmp_path / "f.zarr")
    assert store.columns[0] == "profile_0"
    assert set(store.attributes["identity"]["model"]["files"]) == {"sei.safetensors"}
    with pytest.raises(ConfigError, match="--layer has no meaning"):
        extracted(model, table, tmp_path / "g.zarr", layer="output")


def test_motifs_score_as_the_scan_does(tmp_path: Path, table: Path, codes: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    motifs = [
        SequenceMotif(f"M{n}", rng.dirichlet(np.full(4, 0.3), 6 + n), label="F", sites=30)
        for n in range(3)
    ]
    write_meme(tmp_path / "known.meme", motifs)
    found = extracted(tmp_path / "known.meme", table, tmp_path / "f.zarr")
    store = open_features(tmp_path / "f.zarr")
    assert store.columns[:2] == ("M0_F.best", "M0_F.sum")
    for number, motif in enumerate(motifs):
        matrix = log_odds_of(motif, np.full(4, 0.25))
        for place, statistic in enumerate(("best", "sum")):
            expected = scan_scores(codes, matrix, statistic)
            np.testing.assert_allclose(found[:, 2 * number + place], expected, atol=1e-4)
    other = extracted(tmp_path / "known.meme", table, tmp_path / "g.zarr", both_strands=False)
    np.testing.assert_array_equal(found, other)  # the scan reads both strands itself
    write_meme(tmp_path / "long.meme", [SequenceMotif("L", np.full((50, 4), 0.25))])
    with pytest.raises(InputError, match="motif L: "):
        extracted(tmp_path / "long.meme", table, tmp_path / "h.zarr")


def test_every_kind_of_sequences_gives_the_same(
    tmp_path: Path, table: Path, codes: np.ndarray, built_world: Path
) -> None:
    write_meme(tmp_path / "m.meme", [SequenceMotif("M", np.eye(4)[[0, 1, 2, 3, 0, 1]])])
    expected = extracted(tmp_path / "m.meme", table, tmp_path / "table.zarr")
    fasta = tmp_path / "rows.fa"
    fasta.write_text("".join(f">s{n}\n{decode(row)}\n" for n, row in enumerate(codes)))
    found = extracted(tmp_path / "m.meme", fasta, tmp_path / "fasta.zarr")
    np.testing.assert_array_equal(found, expected)
    genome = tmp_path / "genome.fa"
    genome.write_text(">c\n" + "".join(decode(row) for row in codes) + "\n")
    bed = tmp_path / "rows.bed"
    lines = [f"c\t{n * LENGTH}\t{(n + 1) * LENGTH}\ts{n}\t0\t-\n" for n in range(ROWS)]
    bed.write_text("".join(lines) + "c\t0\t10\tedge\n")
    options = {"genome": genome, "length": LENGTH}
    found = extracted(tmp_path / "m.meme", bed, tmp_path / "bed.zarr", **options)
    np.testing.assert_array_equal(found, expected)
    assert open_features(tmp_path / "bed.zarr").coordinate("name")[0] == "s0"
    store = next(built_world.glob("store/*.zarr"))
    rows = extracted(tmp_path / "m.meme", store, tmp_path / "store.zarr", split="validation")
    made = open_features(tmp_path / "store.zarr")
    assert set(made.coordinate("split")) == {"validation"}
    assert len(rows) == len(made.coordinate("contig"))
    with pytest.raises(ConfigError, match="give --length"):
        extracted(tmp_path / "m.meme", bed, tmp_path / "n.zarr", genome=genome)
    fasta.write_text(">a\nACGTACGT\n>b\nACG\n")
    with pytest.raises(InputError, match="1 sequences of 3 b; expected 8 b each"):
        extracted(tmp_path / "m.meme", fasta, tmp_path / "n.zarr")


def test_bad_rows_of_a_table_are_left_out_and_counted(
    tmp_path: Path, codes: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    write_meme(tmp_path / "m.meme", [SequenceMotif("M", np.eye(4)[[0, 1, 2, 3, 0, 1]])])
    good = [f"s{n},{decode(row)},{n % 2},{'test' if n else 'train'}" for n, row in enumerate(codes)]
    path = tmp_path / "rows.csv"
    bad = [f"t,{decode(codes[0])},7,train", "u,ACGT,1,train", "s3,ACGT,0,test", good[5]]
    path.write_text("\n".join(["header,sequence,label,split", *good, *bad]) + "\n")
    out = tmp_path / "f.zarr"
    command = ["model", "features", str(tmp_path / "m.meme"), "--sequences", str(path)]
    assert main([*command, "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["rows"] == ROWS
    assert record["skipped"] == {"bad_label": 1, "bad_length": 2, "bad_duplicate": 1}
    store = open_features(out)
    assert store.coordinate("split").tolist() == ["train"] + ["test"] * (ROWS - 1)
    assert store.coordinate("label").tolist() == [n % 2 for n in range(ROWS)]
    path.write_text("\n".join(["header,sequence,label", *(f"s{n},ACQT,1" for n in range(4))]))
    assert main([*command, "--out", str(tmp_path / "g.zarr")]) == 2
    assert "4 of the first 4 sequences cannot be used" in capsys.readouterr().err


def test_both_strands_as_rows(tmp_path: Path, table: Path, codes: np.ndarray) -> None:
    run = run_folder(tmp_path / "run", network(outputs=1))
    rows = extracted(run, table, tmp_path / "rows.zarr", strand_rows=True)
    mean = extracted(run, table, tmp_path / "mean.zarr")
    np.testing.assert_allclose((rows[::2] + rows[1::2]) / 2, mean, atol=1e-6)
    store = open_features(tmp_path / "rows.zarr")
    np.testing.assert_array_equal(store.coordinate("locus"), np.repeat(np.arange(ROWS), 2))
    assert store.coordinate("strand").tolist()[:4] == [1, -1, -1, 1]


def test_a_killed_command_continues_to_the_same_bytes(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(feature_store, "CHUNK_ROWS", 1)
    monkeypatch.setattr(feature_store, "CHUNK_COLUMNS", 16)  # 1 to 8 rows in a block
    run = run_folder(tmp_path / "run", network(outputs=1))
    extracted(run, table, tmp_path / "whole.zarr")
    out = tmp_path / "part.zarr"
    calls = []
    compute = extraction.features_of

    def interrupted(*values: object, **options: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(*values, **options)

    monkeypatch.setattr(extraction, "features_of", interrupted)
    command = ["model", "features", str(run), "--sequences", str(table), "--out", str(out)]
    assert main(command) == 130
    assert not out.exists()
    capsys.readouterr()
    # Another model does not continue what this one began.
    other = run_folder(tmp_path / "other", network(outputs=1, seed=1))
    assert main(["model", "features", str(other), *command[3:]]) == 2
    assert "begun and made of another model" in capsys.readouterr().err
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept_rows"] > 0
    assert tree_of(out) == tree_of(tmp_path / "whole.zarr")


def test_a_full_disk_leaves_nothing_half_visible(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run", network(outputs=1))
    out = tmp_path / "f.zarr"
    command = ["model", "features", str(run), "--sequences", str(table), "--out", str(out)]
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "features" in self.parts[-4:]:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main(command) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "the same command continues" in error
    assert not out.exists()
    assert main(command) == 0
    assert open_features(out).rows == ROWS


def test_numbers_that_cannot_be_stored_are_errors(tmp_path: Path, table: Path) -> None:
    model = network(outputs=1)
    model.set_weights([w * 1e6 for w in model.get_weights()])
    run = run_folder(tmp_path / "large", model)
    with pytest.raises(InputError, match="above the largest float16"):
        extracted(run, table, tmp_path / "f.zarr", dtype="float16")
    small = run_folder(tmp_path / "small", network(outputs=1))
    half = extracted(small, table, tmp_path / "half.zarr", dtype="float16")
    np.testing.assert_allclose(half, extracted(small, table, tmp_path / "w.zarr"), atol=1e-3)
    assert half.dtype == np.float16
    model.set_weights([w * np.nan for w in model.get_weights()])
    run = run_folder(tmp_path / "nan", model)
    with pytest.raises(InputError, match="expected a finite number"):
        extracted(run, table, tmp_path / "g.zarr")
