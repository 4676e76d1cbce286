"""Calibration of a run: fitted on its validation bins, kept with its evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.project.project_file import load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.evaluation.run_calibration import calibrated, fit_isotonic, read_calibration
from sslmodels.prediction.trained_model import Ensemble, load_model
from sslmodels.runs import regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_isotonic_gives_the_share_of_positives_among_bins_of_a_score():
    score = np.repeat(np.float32([0.2, 0.5, 0.9]), 1000)
    label = np.zeros(3000, np.float32)
    label[:10] = label[1000:1300] = label[2000:2600] = 1
    fitted = fit_isotonic(score, label)
    np.testing.assert_allclose(
        calibrated(fitted, np.float32([0.2, 0.5, 0.9])), [0.01, 0.3, 0.6], rtol=1e-6
    )


def test_isotonic_rises_and_is_never_certain():
    rng = np.random.default_rng(0)
    score = rng.random(500).astype(np.float32)
    label = (rng.random(500) < score**2).astype(np.float32)
    p = calibrated(fit_isotonic(score, label), np.linspace(0, 1, 1001, dtype=np.float32))
    assert (np.diff(p) >= 0).all()
    assert p[0] == np.float32(1 / 502)
    assert p[-1] <= 501 / 502
    np.testing.assert_allclose(p[500], 0.25, atol=0.1)


@pytest.fixture(scope="module")
def run(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run."""
    folder = tmp_path_factory.mktemp("calibrated") / "project"
    shutil.copytree(built_world, folder)
    project = load_project(folder)
    training = project.training.model_copy(update={"epochs": 2, "batch_size": 16})
    run = regimes.train(
        project.model_copy(update={"training": training}),
        experiment="alpha",
        model="deepbind",
        regime="sl",
        seed=0,
    )
    evaluate_run(run)
    return run


def test_it_is_fitted_to_all_validation_bins_on_both_strands(run):
    record = json.loads((run / "run.json").read_text())
    reference = open_store(record["store"]["path"]).group(REFERENCE)
    start, stop = reference.ranges["validation"]
    label = (reference.column("label")[start:stop, 0] == 1).astype(np.float32)
    model = load_model(run)
    codes = reference.codes(start, stop)
    lead = (codes.shape[1] - model.length) // 2
    codes = codes[:, lead : lead + model.length]
    score = model.predict(codes)[:, 0]
    written = json.loads((run / "evaluation" / "calibration.json").read_text())
    assert written["rows"] == stop - start
    fitted = written["outputs"]["alpha"]
    assert fitted["positives"] == label.sum() > 0
    expected = fit_isotonic(score, label)
    np.testing.assert_allclose(fitted["isotonic"]["score"], expected["score"], rtol=1e-5)
    np.testing.assert_allclose(fitted["isotonic"]["probability"], expected["probability"])
    p = model.predict(codes, calibrated=True)
    np.testing.assert_array_equal(p[:, 0], calibrated(fitted["isotonic"], score))
    # Least squares keep the sum; up to the clipping of 0 and 1.
    assert p.mean() == pytest.approx(label.mean(), rel=0.05)


def test_temperature_divides_the_log_odds(run):
    model = load_model(run)
    codes = np.random.default_rng(0).integers(0, 4, (50, model.length)).astype(np.uint8)
    raw, p = model.predict(codes), model.predict(codes, calibrated="temperature")
    ratio = logit(p.astype(float)) / logit(raw.astype(float))
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)
    mean, _ = Ensemble([model, model]).predict(codes, calibrated="temperature")
    np.testing.assert_array_equal(mean, p)


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    again = Path(shutil.copytree(run, tmp_path / "run"))
    names = ("calibration.json", "reliability.png")
    for name in names:
        (again / "evaluation" / name).unlink()
    evaluate_run(again)
    for name in names:
        assert (again / "evaluation" / name).read_bytes() == (
            run / "evaluation" / name
        ).read_bytes()


def test_what_has_no_calibration_is_refused(run, tmp_path):
    codes = np.zeros((1, load_model(run).length), np.uint8)
    again = Path(shutil.copytree(run, tmp_path / "run"))
    path = again / "evaluation" / "calibration.json"
    with pytest.raises(ConfigError, match="expected isotonic or temperature"):
        load_model(again).predict(codes, calibrated="platt")
    with pytest.raises(ConfigError, match="are those of both strands"):
        load_model(again).predict(codes, both_strands=False, calibrated=True)
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "model": "0" * 64}))
    with pytest.raises(ConfigError, match="is of another model"):
        read_calibration(again, ["alpha"], "isotonic")
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_calibration(again, ["alpha"], "isotonic")
    path.unlink()
    with pytest.raises(MissingInputError, match="run `crosslabel evaluate"):
        load_model(again).predict(codes, calibrated=True)
    alone = shutil.copy(run / "model.keras", tmp_path / "alone.keras")
    with pytest.raises(ConfigError, match="has no calibration"):
        load_model(alone).predict(codes, calibrated=True)
