"""The files of an evaluation, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssldata.base.errors import ConfigError, InputError, MissingInputError, StoreError
from ssldata.base.files import digest_of
from ssldata.project.project_file import load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.evaluation.evaluate import evaluate_run, read_scores
from sslmodels.evaluation.evaluation_status import read_metrics, subject
from sslmodels.evaluation.resamples_file import read_resamples
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes
from sslmodels.scores import metrics
from sslmodels.scores.metric_intervals import blocks_of_bins, resampled

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILES = {
    *("metrics.json", "curves.csv", "scores.csv.gz", "pr.png", "roc.png"),
    *("calibration.json", "reliability.png", "resamples.csv", "similarity.json"),
}


@pytest.fixture(scope="module")
def trained(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a project that may be written to."""
    folder = tmp_path_factory.mktemp("evaluated") / "project"
    shutil.copytree(built_world, folder)
    project = load_project(folder)
    training = project.training.model_copy(update={"epochs": 2, "batch_size": 16})
    return regimes.train(
        project.model_copy(update={"training": training}),
        experiment="alpha",
        model="deepbind",
        regime="sl",
        seed=0,
    )


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, not evaluated."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_every_test_bin_is_scored(run: Path):
    result = evaluate_run(run)
    assert {path.name for path in (run / "evaluation").iterdir()} == FILES
    record = json.loads((run / "run.json").read_text())
    reference = open_store(record["store"]["path"]).group(REFERENCE)
    rows = np.flatnonzero(reference.column("split") == 2)
    table = pd.read_csv(run / "evaluation" / "scores.csv.gz")
    assert list(table.columns) == ["contig", "start", "end", "label", "score"]
    assert len(table) == len(rows) == result["rows"]
    np.testing.assert_array_equal(table["start"], reference.column("start")[rows])
    np.testing.assert_array_equal(table["end"], reference.column("end")[rows])
    np.testing.assert_array_equal(table["label"], reference.column("label")[rows, 0])
    contigs = [reference.contigs[code] for code in reference.column("contig")[rows]]
    assert list(table["contig"]) == contigs
    one_hot = reference.one_hot(0, reference.rows)[rows]
    expected = load_model(run / "model.keras").predict(one_hot, verbose=0)[:, 0]
    np.testing.assert_allclose(table["score"], expected, rtol=1e-5)
    again = metrics.summary(table["label"].to_numpy(), table["score"].to_numpy(np.float32))
    assert {key: result[key] for key in again} == again


def test_curves_file(run: Path):
    result = evaluate_run(run)
    curves = pd.read_csv(run / "evaluation" / "curves.csv")
    pr = curves[curves["curve"] == "pr"]
    roc = curves[curves["curve"] == "roc"]
    assert pr[["recall", "precision"]].notna().all(axis=None)
    assert pr["recall"].iloc[-1] == 1
    assert pr["precision"].iloc[-1] == pytest.approx(result["prevalence"])
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(result["auroc"], abs=1e-6)


def test_intervals_are_those_of_blocks_of_the_test_bins(run: Path):
    result = evaluate_run(run)
    table = pd.read_csv(run / "evaluation" / "scores.csv.gz")
    blocks = blocks_of_bins(table["contig"].to_numpy(), table["start"].to_numpy())
    expected = resampled(table["label"].to_numpy(), table["score"].to_numpy(np.float32), blocks)
    assert result["blocks"] == blocks.max() + 1
    assert result["intervals"] == expected.intervals()
    assert set(result["intervals"]) == {"aupr", "auroc"}
    found = read_resamples(run, "alpha")
    np.testing.assert_allclose(found.aupr, expected.aupr, rtol=1e-5)
    np.testing.assert_allclose(found.auroc, expected.auroc, rtol=1e-5)
    (run / "evaluation" / "resamples.csv").write_text("aupr\n1\n")
    with pytest.raises(InputError, match=r"resamples\.csv: damaged"):
        read_resamples(run, "alpha")
    (run / "evaluation" / "resamples.csv").unlink()  # as of releases before it
    assert read_resamples(run, "alpha") is None


def test_same_run_same_bytes_and_nothing_redone(run: Path, tmp_path: Path):
    first = evaluate_run(run)
    content = {
        p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (run / "evaluation").iterdir()
    }
    assert evaluate_run(run) == first
    for name, (modified, _) in content.items():
        assert (run / "evaluation" / name).stat().st_mtime_ns == modified
    (run / "evaluation" / "pr.png").unlink()  # a missing file is made again, all equal
    assert evaluate_run(run) == first
    for name, (_, data) in content.items():
        assert (run / "evaluation" / name).read_bytes() == data


def test_scores_name_no_time_and_no_file(run: Path):
    evaluate_run(run)
    header = (run / "evaluation" / "scores.csv.gz").read_bytes()[:10]
    assert header[3] == 0  # no file name
    assert header[4:8] == bytes(4)  # no time
    with gzip.open(run / "evaluation" / "scores.csv.gz") as packed:
        assert io.TextIOWrapper(packed).readline() == "contig,start,end,label,score\n"


def test_another_model_is_evaluated_anew(run: Path):
    first = evaluate_run(run)
    other = load_model(run / "model.keras")
    other.set_weights([-w for w in other.get_weights()])
    other.save(run / "model.keras")
    with pytest.raises(InputError, match=r"model\.keras: damaged or replaced"):
        evaluate_run(run)
    record = json.loads((run / "run.json").read_text())
    del record["files"]  # as before checksums
    (run / "run.json").write_text(json.dumps(record))
    assert evaluate_run(run)["digest"] != first["digest"]


def test_incomplete_run_is_refused(run: Path):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "training"}))
    with pytest.raises(ConfigError, match="not complete; continue it with `crosslabel train`"):
        evaluate_run(run)
    (run / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        evaluate_run(run)
    (run / "run.json").unlink()
    with pytest.raises(MissingInputError, match="not a run folder"):
        evaluate_run(run)


def test_other_labelled_rows_are_refused(run: Path):
    record = json.loads((run / "run.json").read_text())
    record["identity"]["content"][REFERENCE] = "0" * 64
    record["digest"] = digest_of(record["identity"])
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="labelled rows changed since"):
        evaluate_run(run)


def test_missing_store_is_named(run: Path, tmp_path: Path):
    record = json.loads((run / "run.json").read_text())
    record["store"]["path"] = str(tmp_path / "gone.zarr")
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(MissingInputError, match=r"gone\.zarr: no such store"):
        evaluate_run(run)


def damages(data: bytes) -> list[bytes]:
    at = len(data) // 2
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return [b"", data[:at], flipped, b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 10_000]


@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_files_are_found_and_written_again(
    name: str, run: Path, caplog: pytest.LogCaptureFixture
):
    first = evaluate_run(run)
    path = run / "evaluation" / name
    whole = path.read_bytes()
    for data in damages(whole):
        caplog.clear()
        path.write_bytes(data)
        if name == "metrics.json":
            with pytest.raises(InputError, match=r"metrics\.json: damaged .*; delete it and call"):
                read_metrics(run)
        if name == "scores.csv.gz":
            with pytest.raises(InputError, match=r"scores\.csv\.gz: damaged"):
                read_scores(run, "alpha")
        if name == "similarity.json":  # made again alone
            assert evaluate_run(run) == first
        else:
            assert subject(run).known() is None
        (record,) = [found for found in caplog.records if found.name.startswith("sslmodels")]
        assert f"evaluation/{name}: damaged" in record.getMessage()
        assert "\n" not in record.getMessage()
    assert evaluate_run(run) == first
    assert path.read_bytes() == whole


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True])
def test_odd_values_without_checksums_are_damage_too(value: object, run: Path):
    first = evaluate_run(run)
    path = run / "evaluation" / "metrics.json"
    found = json.loads(path.read_text())
    del found["files"], found["checksum"]
    for key in ("experiment", "model", "seed", "aupr", "outputs", "files", "digest", "intervals"):
        path.write_text(json.dumps({**found, key: value}))
        with contextlib.suppress(InputError):
            odd = read_metrics(run)
            assert odd is not None
            metrics.by_experiment(odd)
        known = subject(run).known()
        assert known is None or known["aupr"] == first["aupr"] or key == "aupr"
    path.write_text(json.dumps({**found, "files": None}))
    assert evaluate_run(run) == first


def test_scores_of_releases_before_checksums(run: Path):
    evaluate_run(run)
    path = run / "evaluation" / "metrics.json"
    found = json.loads(path.read_text())
    del found["files"], found["checksum"]
    path.write_text(json.dumps(found))
    scores = run / "evaluation" / "scores.csv.gz"
    assert len(read_scores(run, "alpha")[0]) == found["rows"]
    whole = scores.read_bytes()
    for data in damages(whole):
        scores.write_bytes(data)
        with pytest.raises(InputError, match=r"scores\.csv\.gz: damaged"):
            read_scores(run, "alpha")
