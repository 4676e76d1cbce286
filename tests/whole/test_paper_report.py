"""DeepBind, a CNN and a small DNABERT-2 through the whole report of the paper, really trained.

The page from saved results, in seconds, is in tests/sslmodels/benchmark/test_paper_page.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from paper_tools import (
    TRAINING,
    Page,
    assert_page_is_whole,
    assert_statistics_are_those_of_the_runs,
    tiny_project,
)

from sslmodels.benchmark.statistics import BASELINE_MODEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the report, written by the command."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    tiny_project(folder)
    # Prefect closes pytest's captured streams when it sets up logging: a process of its own.
    command = [sys.executable, "-m", "flows.cli", "run", str(folder), "--report", "paper", "-q"]
    subprocess.run([*command, "--train-threads", "1"], check=True, cwd=ROOT)
    return folder / "runs" / "paper"


def test_every_figure_and_table_is_on_the_page_with_its_csv(paper: Path) -> None:
    assert_page_is_whole(paper, seeds=len(TRAINING["seeds"]))


def test_statistics_are_those_of_the_runs(paper: Path) -> None:
    page = Page((paper / "index.html").read_text())
    assert_statistics_are_those_of_the_runs(paper, page)


def test_every_run_is_trained_and_scored(paper: Path) -> None:
    runs = pd.read_csv(paper / "runs.csv", keep_default_na=False)
    assert runs["aupr"].between(0, 1).all()
    trained = runs[runs["model"] != BASELINE_MODEL]
    assert (trained["steps"] > 0).all()
    # The teacher of every sweep is that of the grid, and a longer run takes its students.
    folders = {Path(run).relative_to(paper.parent).parts[:2] for run in trained["run"]}
    swept = {names[1] for names in folders if names[0] == "sweeps"}
    assert swept == {"nearest-2", "nearest-5", "labelled_peaks-20", "iterations-2", "noise_sd-0"}
    # Fewer homologues in the runs with fewer genomes.
    few = trained[trained["sweep"] == "nearest"].astype({"genomes": int, "value": float})
    assert (few["genomes"] == few["value"]).all()
