"""``crosslabel model list`` and ``crosslabel run --report paper``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from flows.cli import main
from ssldata.simulation.clade import small_clade
from sslmodels.models.catalogue import model_names

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_list_shows_every_model_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in models] == list(model_names())
    found = {model["name"]: model["parameters"] for model in models}
    assert (found["cnn-27k"], found["deepsea"]) == (27_413, 51_993_051)
    assert main(["model", "list"]) == 0
    out = capsys.readouterr().out
    assert "51,993,051" in out
    fitted = {model["name"]: model["fitted_with"] for model in models}
    assert fitted["dnabert2"] == {
        "batch_size": 32,
        "epochs": 3,
        "learning_rate": 3e-5,
        "finetune_learning_rate": 3e-5,
    }
    assert fitted["cnn-7k"] == {}
    assert "dnabert2 by default: batch_size 32, epochs 3, learning_rate 3e-05" in out
    assert "deepsea by default: batch_size 64" in out


def test_list_checks_a_model_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "listed_model.py").write_text('def own(a, b, c):\n    """My line."""\n')
    monkeypatch.chdir(tmp_path)
    assert main(["model", "list", "listed_model:own"]) == 0
    assert "My line." in capsys.readouterr().out
    assert main(["model", "list", "listed_model:other"]) == 2
    assert capsys.readouterr().err.startswith("crosslabel: error: model 'listed_model:other'")


@pytest.mark.slow
def test_run_writes_the_paper_report_and_then_does_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    small_clade(folder)
    path = folder / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["training"] |= {
        "experiments": [],
        "models": ["deepbind"],
        "regimes": ["sl", "ssl"],
        "seeds": [0],
        "epochs": 1,
        "sweeps": {"nearest": [1]},
    }
    path.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "flows.cli", "run", str(folder), "--report", "paper"]
    # A process of its own: Prefect sets logging up anew, which pytest's capture does not survive.
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    page = Path(json.loads(done.stdout)["paper"])
    assert page.is_file()
    runs = pd.read_csv(page.parent / "runs.csv")
    assert sorted(runs["sweep"].fillna("")) == ["", "", "", "", "nearest", "nearest"]
    before = {p: p.stat().st_mtime_ns for p in folder.glob("runs/**/model.keras")}
    assert len(before) == 6
    subprocess.run([*command, "--replace", "-q"], check=True)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("runs/**/model.keras")} == before
