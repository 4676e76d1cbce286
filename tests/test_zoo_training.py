"""Every model of the zoo trains from one store of 1 kb rows; shorter ones read the centre."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssldata.build import build_project
from ssldata.config import Project, load_project
from sslmodels.evaluation import evaluate_run
from sslmodels.regimes import train
from sslmodels.zoo import load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: Millions of parameters or wide convolutions on 1 kb: minutes of training.
LARGE = ("deep-cnn-256", "deepsea")


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
                update={"runs": folder / "runs", "epochs": 1, "batch_size": 16}
            ),
        }
    )
    build_project(project, experiments=["alpha"])
    return project


@pytest.mark.parametrize(
    "model",
    [
        "cnn-7k",
        "cnn-27k",
        "deep-cnn-64",
        "deepbind",
        *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE),
    ],
)
def test_trains_from_a_store_of_1_kb(project: Project, model: str) -> None:
    run = train(project, experiment="alpha", model=model, regime="sl", seed=0)
    record = json.loads((run / "run.json").read_text())
    size = project.windows.size
    assert record["length"] == (size + 800 if model == "deepsea" else size)
    assert load_model(run / "model.keras").length == record["length"]
    assert record["parameters"] > 2_000
    assert 0 < evaluate_run(run)["aupr"] <= 1
