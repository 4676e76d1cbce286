"""Metrics against plain definitions, and the files of an evaluation."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import ConfigError, MissingInputError, StoreError
from ssldata.project.project_file import load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes
from sslmodels.scores import metrics

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILES = {"metrics.json", "curves.csv", "scores.csv.gz", "pr.png", "roc.png"}


@st.composite
def scored(draw):
    """Labels with both classes, and scores with many ties."""
    size = draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    labels[0], labels[1] = 0, 1
    scores = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    return np.array(labels), np.array(scores) / 8


def precision_recall(labels, scores, threshold):
    called = scores >= threshold
    hits = (labels[called] == 1).sum()
    return hits / called.sum(), hits / labels.sum()


@given(scored())
def test_aupr_by_its_definition(case):
    labels, scores = case
    expected, last = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        precision, recall = precision_recall(labels, scores, threshold)
        expected += (recall - last) * precision
        last = recall
    result = metrics.summary(labels, scores)
    assert result["aupr"] == pytest.approx(expected)
    assert result["prevalence"] == pytest.approx(labels.mean())
    assert result["lift"] == pytest.approx(expected / labels.mean())
    assert result["collapsed"] == (expected < 2 * labels.mean())
    assert (result["positives"], result["rows"]) == (labels.sum(), len(labels))


@given(scored())
def test_auroc_is_the_chance_of_the_right_order(case):
    labels, scores = case
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert metrics.summary(labels, scores)["auroc"] == pytest.approx(expected)


@given(scored())
def test_trapezoid_by_its_definition(case):
    labels, scores = case
    points = [(0.0, 1.0)] + [
        precision_recall(labels, scores, t)[::-1] for t in sorted(set(scores), reverse=True)
    ]
    expected = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(points))
    assert metrics.summary(labels, scores)["aupr_trapezoid"] == pytest.approx(expected)


@given(scored())
def test_curves_are_points_of_their_thresholds(case):
    labels, scores = case
    curve = metrics.pr_curve(labels, scores)
    assert (np.diff(curve.x) >= 0).all()
    for recall, precision, threshold in zip(curve.x, curve.y, curve.threshold, strict=True):
        assert (precision, recall) == pytest.approx(precision_recall(labels, scores, threshold))


@given(st.integers(2, 5000), st.integers(2, 50), st.integers(0, 100))
@settings(max_examples=30)
def test_thinned_curve_keeps_ends_and_points(size, points, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.random(size))
    curve = metrics.Curve(x, rng.random(size), np.arange(size))
    thin = metrics.thin(curve, points)
    assert len(thin.x) <= max(points + 2, 2)
    keep = thin.threshold.astype(int)
    assert (keep[0], keep[-1]) == (0, size - 1)
    assert (np.diff(keep) > 0).all()
    np.testing.assert_array_equal(thin.x, curve.x[keep])
    np.testing.assert_array_equal(thin.y, curve.y[keep])


def test_cross_entropy():
    labels = np.array([[1.0], [0.0], [1.0]])
    scores = np.array([[0.8], [0.4], [0.0]])
    expected = -(np.log(0.8) + np.log(0.6) + np.log(1e-7)) / 3
    assert metrics.cross_entropy(labels, scores) == pytest.approx(expected)


def test_mean_aupr_leaves_out_outputs_of_one_class():
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[0.9, 0.5], [0.5, 0.5], [0.1, 0.5]])
    assert metrics.mean_aupr(labels, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(metrics.mean_aupr(labels[:, 1:], scores[:, 1:]))


# Runs -------------------------------------------------------------------------------------------


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
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="labelled rows changed since"):
        evaluate_run(run)


def test_missing_store_is_named(run: Path, tmp_path: Path):
    record = json.loads((run / "run.json").read_text())
    record["store"]["path"] = str(tmp_path / "gone.zarr")
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(MissingInputError, match=r"gone\.zarr: no such store"):
        evaluate_run(run)
