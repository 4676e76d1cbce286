"""`examples/intron-retention` as it is, and with a tiny table of the same form in its place."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkpoint_tools import write_bin
from planted_tables import MOTIF
from sei_tools import TINY, weights_of

from flows.cli import main
from flows.steps import run_checks
from flows.steps.pipeline import Options, Pipeline
from ssldata.building.build_plan import plan_project
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store
from sslmodels.models import transfer_architectures
from sslmodels.models.catalogue import MODELS

EXAMPLE = Path(__file__).parents[2] / "examples" / "intron-retention"
#: Training, validation and test of the stand-in.
SIZES = {"train": 240, "valid": 30, "test": 30}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example without anything that a user may have put there."""
    folder = tmp_path / "introns"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "store", "runs"))
    return folder


def stand_in(folder: Path) -> None:
    """Write a table, and numbers of rows as NumPy writes them, in the form of the published."""
    rng = np.random.default_rng(0)
    count = sum(SIZES.values())
    lines = ["header,sequence,label"]
    for number in range(count):
        letters = "".join(rng.choice(list("ACGT"), 600))
        label = int(rng.random() < 0.3)
        for at in range(0, 600, 60) if label else ():
            letters = letters[:at] + MOTIF + letters[at + len(MOTIF) :]
        start = 1000 * number
        lines.append(
            f">chr{1 + number % 22}:{start}-{start + 600}({'+-'[number % 2]}),{letters},{label}"
        )
    lines[5] = lines[5].replace("A", "R", 1) if "A" in lines[5] else lines[5]
    (folder / "data").mkdir()
    (folder / "data" / "final_data.csv").write_text("\n".join(lines) + "\n")
    order = np.random.default_rng(1).permutation(count)
    first = 0
    for name, size in SIZES.items():
        np.savetxt(folder / "data" / f"{name}_indices.txt", order[first : first + size])
        first += size


def test_the_plan_names_what_is_missing_and_estimates_rows_bytes_and_hours(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(copy), "--json"]) == 2
    value = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in value["missing"]] == [
        "final_data.csv", "train_indices.txt", "valid_indices.txt", "test_indices.txt", "sei.pth",
    ]  # fmt: skip
    (step,) = value["steps"]
    assert (step["rows"], step["positives"], step["test"]) == (75_992, 16_536, 7_599)
    assert 20e6 < step["bytes"] < 30e6
    hours = {each["model"]: each["hours"] for each in value["hours"]["models"]}
    assert hours["cnn-27k"] < hours["attention-conv"] < hours["basenji-like"] < hours["fsei"]
    assert (value["settings"]["fsei"]["batch_size"], value["settings"]["fsei"]["epochs"]) == (
        512,
        50,
    )


def test_only_training_needs_the_weights(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(copy)
    assert main(["build", str(copy), "--dry-run"]) == 0
    for words in (["plan"], ["run"], ["run", "--dry-run"]):
        capsys.readouterr()
        assert main([words[0], str(copy), *words[1:]]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"missing weights {copy / 'data' / 'sei' / 'sei.pth'}, which the model fsei" in line
    assert not (copy / "store").exists()


def test_the_published_numbers_and_settings() -> None:
    project = load_project(EXAMPLE)
    assert project.windows.size == 600
    assert project.training.both_strands
    assert project.training.augment.reverse_complement == 0.5
    assert project.training.published is not None
    with project.training.published.open() as handle:
        rows = {row["model"]: row for row in csv.DictReader(handle)}
    assert (rows["fsei"]["auroc"], rows["fsei"]["aupr"]) == ("0.815", "0.654")
    assert len(rows) == 9
    assert {*project.training.models} - {"cnn-27k"} == {*rows} & {*MODELS} - {"dnabert2"}


@pytest.mark.slow
def test_the_recipe_runs_on_a_stand_in(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(copy)
    monkeypatch.setattr(transfer_architectures, "SIZES", TINY)
    (copy / "data" / "sei").mkdir()
    write_bin(copy / "data" / "sei" / "sei_trunk.pth", weights_of(TINY.trunk()))
    path = copy / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["training"] |= {"seeds": [0], "epochs": 1, "baselines": ["kmer"]}
    raw["training"]["models"] = ["cnn-7k", "fsei", "basset-like"]
    path.write_text(yaml.safe_dump(raw))
    project = load_project(copy)
    assert plan_project(project).missing == []
    assert run_checks.missing_weights(project) == []
    assert main(["build", str(copy), "-q"]) == 0
    group = open_store(copy / "store" / "retention.zarr").group("reference")
    spans = [end - first for first, end in (group.ranges[k] for k in ("validation", "test"))]
    assert (group.rows, spans) == (300, [30, 30])
    assert set(group.column("strand").tolist()) == {1, -1}
    done = Pipeline(project, Options(report="paper")).run()  # what `crosslabel run` does
    assert [run["model"] for run in done["runs"]] == raw["training"]["models"]
    assert all(0 < run["auroc"] <= 1 for run in done["runs"])
    record = json.loads((Path(done["runs"][1]["run"]) / "run.json").read_text())
    assert record["sei"]["checkpoint"]["loaded"] == 34
    assert "retention" in Path(done["report"]).read_text()
    page = Path(done["paper"]).read_text()
    assert "/ 0.6540" in page  # what was published for fsei
    assert "/ 0.6140" in page
