"""Every model trains from one store of 1 kb rows; shorter ones read the centre."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dnabert2_tools import SMALL, write_model

from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.models.catalogue import model_names
from sslmodels.models.model_builder import load_model
from sslmodels.runs.regimes import train
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: Millions of parameters or wide convolutions on 1 kb: minutes of training.
LARGE = ("deep-cnn-256", "deepsea", "attention-conv", "basenji-like", "fsei")


@pytest.fixture(scope="module")
def project(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = load_project(small_world)
    folder = tmp_path_factory.mktemp("kilobase")
    size = project.windows.size
    project = project.model_copy(
        update={
            "windows": project.windows.model_copy(update={"context": size + 2 * 400}),
            "store": project.store.model_copy(update={"path": folder / "store"}),
            "training": project.training.model_copy(
                update={
                    "runs": folder / "runs",
                    "epochs": 1,
                    "batch_size": 16,
                    # At 1e-3 the ten units of deep-cnn-256's head may all die in a few steps.
                    "learning_rate": 1e-4,
                    "sei": project.training.sei.model_copy(update={"pretrained": False}),
                    "dnabert2": project.training.dnabert2.model_copy(
                        update={"folder": write_model(folder / "dnabert2", SMALL), "tokens": 96}
                    ),
                }
            ),
        }
    )
    build_project(project, experiments=["alpha"])
    return project


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.slow) if m in LARGE else m for m in model_names()],
)
def test_trains_from_a_store_of_1_kb(project: Project, model: str) -> None:
    run = train(project, experiment="alpha", model=model, regime="sl", seed=0)
    record = json.loads((run / "run.json").read_text())
    size = project.windows.size
    assert record["length"] == (size + 800 if model == "deepsea" else size)
    assert load_model(run / "model.keras").length == record["length"]
    assert record["parameters"] > 2_000
    assert 0 < evaluate_run(run)["aupr"] <= 1
    # What was scored is the bin in the middle of the stored window, or all of it.
    group = open_store(project.store_path("alpha")).group("reference")
    first, end = group.ranges["test"]
    codes = group.codes(first, min(end, first + 64))
    assert codes.shape[1] == size + 800
    centre = codes if model == "deepsea" else codes[:, 400:-400]
    scores = pd.read_csv(run / "evaluation" / "scores.csv.gz")["score"].to_numpy()[: len(codes)]
    again = score(load_model(run / "model.keras"), centre)[:, 0]
    np.testing.assert_allclose(again, scores, atol=1e-5)
    assert np.ptp(scores) > 1e-4
