"""A project of labelled sequences from the command line: the same commands as for peaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from planted_tables import write_project

from flows.cli import main
from flows.steps.pipeline import Options, Pipeline
from ssldata.project.project_file import load_project

SETTINGS = """\
training:
  regimes: [sl, sl-plus]
  models: [cnn-7k]
  epochs: 12
  learning_rate: 0.005
  batch_size: 64
  both_strands: true
  augment: {reverse_complement: 0.5}
  baselines: [kmer]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that everything was done for."""
    folder = tmp_path_factory.mktemp("sequences")
    project = load_project(write_project(folder, 600, more=SETTINGS))
    done = Pipeline(project, Options()).run()
    assert [run["experiment"] for run in done["runs"]] == ["planted", "planted"]
    return folder


def run_folder(folder: Path, regime: str) -> Path:
    return folder / "runs" / "planted" / "cnn-7k" / regime / "seed-0"


def test_models_find_the_motif(folder: Path) -> None:
    for regime in ("sl", "sl-plus"):
        metrics = json.loads((run_folder(folder, regime) / "evaluation/metrics.json").read_text())
        assert metrics["auroc"] > 0.8
        assert metrics["rows"] == 60
    page = (folder / "runs" / "report.html").read_text()
    assert "sl-plus" in page
    assert "planted" in page


def test_a_sequence_and_its_reverse_complement_have_one_score(folder: Path) -> None:
    """Training draws a strand, the model averages both: each locus is one example."""
    from ssldata.genomes.onehot import reverse_complement
    from ssldata.store.store import open_store
    from sslmodels.models.model_builder import load_model
    from sslmodels.runs.run_folder import RunFolder
    from sslmodels.scores.score_rows import score

    group = open_store(folder / "store" / "planted.zarr").group("reference")
    codes = group.codes(*group.ranges["test"])
    for regime in ("sl", "sl-plus"):
        model = load_model(RunFolder(run_folder(folder, regime)).model)
        here, there = (np.ravel(score(model, one)) for one in (codes, reverse_complement(codes)))
        assert np.abs(here - there).max() < 1e-5
        assert here.std() > 0.01


def test_every_command_knows_the_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main([*words]) == 0, capsys.readouterr()
        return capsys.readouterr().out

    assert "up to date" in said("plan", str(folder))
    assert "unchanged" in said("build", str(folder))
    said("store", "validate", str(folder / "store" / "planted.zarr"), "--deep")
    said("train", str(folder), "--regime", "sl")
    said("evaluate", str(run_folder(folder, "sl")))
    assert "nothing to do" in said("run", str(folder), "--dry-run")


@pytest.mark.parametrize("regime", ["ssl", "ssl-plus", "ssl-ns", "homolog-sampling"])
def test_regimes_with_homologues_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], regime: str
) -> None:
    write_project(tmp_path, 50, more=f"training: {{regimes: [{regime}]}}\n")
    assert main(["build", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert f"{regime} need homologues" in lines[0]
    assert not (tmp_path / "store").exists()


def test_train_refuses_them_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(folder), "--regime", "ssl"]) == 2
    assert "homologues" in capsys.readouterr().err


def test_a_committee_is_trained_on_sequences(tmp_path: Path) -> None:
    more = "training: {regimes: [sl-committee], models: [cnn-7k], epochs: 1, baselines: false}\n"
    done = Pipeline(load_project(write_project(tmp_path, 200, more=more)), Options()).run()
    (run,) = done["runs"]
    assert run["regime"] == "sl-committee"
    assert run["auroc"] > 0.8  # gapped k-mers find the motif, however little the network learnt


def test_a_joint_model_is_trained_on_labels_of_one_table(tmp_path: Path) -> None:
    path = write_project(tmp_path, 200)
    raw = yaml.safe_load(path.read_text())
    (first,) = raw["experiments"]
    parity = {"name": "parity", "sequences": {**first["sequences"], "label": "parity"}}
    raw |= {"experiments": [first, parity], "store": {"joint": True}}
    raw["training"] = {
        "outputs": "joint", "regimes": ["sl"], "models": ["cnn-7k"], "epochs": 1,
        "baselines": False, "validation_negatives": 50,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(raw))
    done = Pipeline(load_project(path), Options()).run()
    (run,) = done["runs"]
    assert run["experiment"] == "joint"
    metrics = json.loads((Path(run["run"]) / "evaluation" / "metrics.json").read_text())
    assert set(metrics["outputs"]) == {"planted", "parity"}
