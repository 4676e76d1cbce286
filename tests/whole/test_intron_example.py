"""`examples/intron-retention` as it is, and with a tiny table of the same form in its place."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from planted_tables import MOTIF

from flows.cli import main
from flows.steps.pipeline import Options, Pipeline
from ssldata.building.build_plan import plan_project
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store

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
        "final_data.csv", "train_indices.txt", "valid_indices.txt", "test_indices.txt",
    ]  # fmt: skip
    (step,) = value["steps"]
    assert (step["rows"], step["positives"], step["test"]) == (75_992, 16_536, 7_599)
    assert 20e6 < step["bytes"] < 30e6
    assert value["hours"]["models"][0]["hours"] > 0


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


def test_the_recipe_runs_on_a_stand_in(copy: Path) -> None:
    stand_in(copy)
    path = copy / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["training"] |= {"seeds": [0], "epochs": 1, "baselines": ["kmer"], "models": ["cnn-7k"]}
    path.write_text(yaml.safe_dump(raw))
    project = load_project(copy)
    assert plan_project(project).missing == []
    assert main(["build", str(copy), "-q"]) == 0
    group = open_store(copy / "store" / "retention.zarr").group("reference")
    spans = [end - first for first, end in (group.ranges[k] for k in ("validation", "test"))]
    assert (group.rows, spans) == (300, [30, 30])
    assert set(group.column("strand").tolist()) == {1, -1}
    done = Pipeline(project, Options()).run()  # what `crosslabel run` does
    assert 0 < done["runs"][0]["auroc"] <= 1
    assert "retention" in Path(done["report"]).read_text()
