"""Published weights by command: train, publish, inspect, train with them, remove."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from flows.cli import main

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def folder(built_world: Path, tmp_path: Path) -> Path:
    """A built project that trains in seconds."""
    folder = tmp_path / "world"
    shutil.copytree(built_world, folder)
    setting = {"epochs": 1, "batch_size": 16, "noisy_student": {"iterations": 1}}
    write(folder, experiments=["alpha"], models=["cnn-7k"], regimes=["ssl-ns"], **setting)
    return folder


def write(folder: Path, **training) -> None:
    described = yaml.safe_load((folder / "project.yaml").read_text())
    described["training"] = described.get("training", {}) | training
    (folder / "project.yaml").write_text(yaml.safe_dump(described))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_weights_by_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = folder / "store" / "alpha.zarr"
    root = (store / "zarr.json").read_bytes()
    assert main(["train", str(folder), "--publish-weights", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    (published,) = done["weights"]
    record = json.loads((Path(done["run"]) / "run.json").read_text())
    assert published["name"] == f"{record['digest'][:12]}-1"
    assert published["status"] == "published"
    assert main(["weights", "publish", done["run"], "--name", "mine"]) == 0
    assert "weights mine (iteration 1) published" in said(capsys)
    assert main(["store", "inspect", str(store), "--json"]) == 0
    (held,) = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in held["weights"]] == sorted(["mine", published["name"]])
    assert held["weights"][0]["stale"] == []
    assert main(["store", "inspect", str(store)]) == 0
    assert "alpha, cnn-7k, seed 0, iteration 1" in said(capsys)
    # A project trains with them; once they are gone it is told so.
    write(folder, weights="mine", regimes=["pretrain-only"])
    assert main(["train", str(folder), "-q"]) == 0
    for name in ("mine", published["name"]):
        assert main(["weights", "remove", str(store), name]) == 0
    assert (store / "zarr.json").read_bytes() == root
    capsys.readouterr()
    assert main(["train", str(folder)]) == 2
    assert "no weights 'mine' are published there; found none" in capsys.readouterr().err


def test_only_noisy_students_publish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train", "--regime", "ssl"], ["run"]):
        write(folder, regimes=["sl", "ssl"])
        assert main([command[0], str(folder), *command[1:], "--publish-weights"]) == 2
        assert "only ssl-ns runs have teacher weights, not" in capsys.readouterr().err
    assert not (folder / "runs").exists()
