"""DNABERT-2 from a store to an evaluated run, on a small configuration."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dnabert2_tools import SMALL, backbone_parameters, noise, write_model
from run_tools import changed

from ssldata.project.project_file import Project, dump_project, load_project
from ssldata.project.training_section import Dnabert2
from ssldata.store.store import REFERENCE, open_store
from sslmodels.dnabert2.bert_options import options_from
from sslmodels.dnabert2.bert_weights import checkpoint_tensors
from sslmodels.dnabert2.lora import load_adapter, save_adapter
from sslmodels.dnabert2.pretrained import build_dnabert2
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes
from sslmodels.runs.run_identity import run_folder
from sslmodels.runs.run_status import run_status
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = replace(SMALL, num_hidden_layers=1)


@pytest.fixture(scope="module")
def project(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = write_model(tmp_path_factory.mktemp("dnabert2"), TINY)
    project = load_project(built_world)
    training = project.training.model_copy(
        update={
            "runs": folder / "runs",
            "epochs": 2,
            "batch_size": 16,
            "dnabert2": project.training.dnabert2.model_copy(update={"folder": folder}),
        }
    )
    return project.model_copy(update={"training": training})


@pytest.mark.parametrize("regime", ["sl", "ssl"])
def test_a_run_is_trained_evaluated_and_kept_as_an_adapter(
    project: Project, regime: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = regimes.train(project, experiment="alpha", model="dnabert2", regime=regime, seed=0)
    model = load_model(run / "model.keras")
    frozen = checkpoint_tensors(model.backbone, adapters=False)
    assert all(np.array_equal(value, noise(name, value.shape)) for name, value in frozen.items())
    for linear in model.backbone.linears():
        assert linear.lora is None or np.abs(linear.lora_b.numpy()).max() > 0
    made_of = json.loads((run / "run.json").read_text())["dnabert2"]
    folder = project.training.dnabert2.folder
    weights = (folder / "pytorch_model.bin").read_bytes()
    assert made_of["files"]["pytorch_model.bin"] == hashlib.sha256(weights).hexdigest()
    report = made_of["checkpoint"]
    assert report["loaded"] == len(model.backbone.tensors())
    assert report["parameters"] == backbone_parameters(TINY)
    assert {name.split(".")[0] for name in report["unexpected"]} == {"cls"}
    assert sorted(report["missing"]) == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    ]
    rows = made_of["rows_read"]
    # Validation alone is read once an epoch.
    record = json.loads((run / "run.json").read_text())
    epochs = sum(phase["epochs"] for phase in record["phases"])
    assert rows["rows"] >= epochs * record["validation"]["rows"]
    # The small tokenizer needs nearly a token per base, and the width is for real DNA.
    assert rows["truncated"] == rows["rows"]
    assert f"{rows['rows']} of {rows['rows']} rows read have more than 64 tokens" in caplog.text
    codes = open_store(project.store_path("alpha")).group(REFERENCE).codes(0, 50)
    scores = score(model, codes)
    assert scores.shape == (50, 1)
    result = evaluate_run(run)
    assert 0 < result["aupr"] <= 1
    # The adapter alone makes the same model of the same files.
    save_adapter(model, tmp_path)
    options = options_from(project.training.dnabert2.model_dump())
    again = build_dnabert2(length=model.length, seed=9, options=options).model
    # Asked how the run stands, nothing is downloaded.
    cell = {"experiment": "alpha", "model": "dnabert2", "regime": regime, "seed": 0}
    assert run_status(project, **cell).status == "complete"
    elsewhere = changed(project, "training", dnabert2=Dnabert2(url="http://127.0.0.1:9/x"))
    stands = run_status(elsewhere, **cell)
    assert (stands.status, "not downloaded yet" in stands.reasons[0]) == ("unknown", True)
    load_adapter(again, tmp_path)
    np.testing.assert_array_equal(score(again, codes), scores)


KILLED = """
import contextlib, functools, os, signal, sys
from ssldata.project.project_file import load_project
from sslmodels.fit.fit_options import FitOptions
from sslmodels.runs import regimes, run

run.FitOptions = functools.partial(FitOptions, checkpoint_seconds=0)


class DiesAfter:
    left = int(sys.argv[2])

    @contextlib.contextmanager
    def task(self, description, total=None):
        def advance(amount=1):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

        yield advance


regimes.train(
    load_project(sys.argv[1]), experiment="alpha", model="dnabert2", regime="ssl", seed=0,
    progress=DiesAfter(),
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3], ids=["pre-training", "fine-tuning"])
def test_a_killed_run_continues_to_the_same_bits(project: Project, epochs: int, tmp_path: Path):
    training = project.training.model_copy(update={"runs": tmp_path / "runs"})
    cut = project.model_copy(update={"training": training})
    (tmp_path / "project.yaml").write_text(dump_project(cut))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "project.yaml"), str(epochs)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    cell = {"experiment": "alpha", "model": "dnabert2", "regime": "ssl", "seed": 0}
    left = run_folder(cut, **cell)
    assert json.loads((left / "run.json").read_text())["status"] == "training"
    assert list((left / "work").iterdir())
    records = [
        json.loads((regimes.train(one, **cell) / "run.json").read_text()) for one in (cut, project)
    ]
    assert records[0]["weights_sha256"] == records[1]["weights_sha256"]
    assert [phase["epochs"] for phase in records[0]["phases"]] == [2, 2]
