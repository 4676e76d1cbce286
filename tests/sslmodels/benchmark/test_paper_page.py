"""The whole page of the paper's report, from saved results: every figure and table, and its CSV."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from paper_tools import (
    EXPERIMENTS,
    assert_page_is_whole,
    assert_statistics_are_those_of_the_runs,
    saved_results,
    tiny_project,
)

from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project
from sslmodels.benchmark.paper_page import write_paper


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = tiny_project(tmp_path_factory.mktemp("tiny") / "project")
    build_project(project)
    return project


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_page_of_saved_results(project: Project, tmp_path: Path, seeds: int) -> None:
    results = saved_results(project, seeds=seeds)
    write_paper(tmp_path, project=project, results=results)
    page = assert_page_is_whole(tmp_path, seeds=seeds)
    assert_statistics_are_those_of_the_runs(tmp_path, page)
    # The collapsed run is counted, and nothing is compared with it.
    assert any(f"{seeds} of {27 * seeds} runs collapsed" in text for text in page.texts)
    increases = pd.read_csv(tmp_path / "table_increase_aupr.csv")
    failed = increases[increases["base_collapsed"] > 0]
    assert set(zip(failed["experiment"], failed["model"], strict=True)) == {("some", "cnn-27k")}
    some = page.cells("table_increase_aupr", "some")
    assert some.count("–") == 2
    # What was found, of the grid alone, and the words of the page.
    found = " ".join(page.texts)
    assert "For 3 of 3 experiments a network ranks the peaks" in found
    assert "add two-stage to training.regimes" in found  # not a gain over sl
    assert f"{seeds} of {27 * seeds} runs collapsed (AUPR below" in found
    assert "the test has few positives (few 20, some 20, many 20" in found
    assert ("there is one seed (0)" in found) == (seeds == 1)
    assert {link for link in page.links if link.startswith("#")} == {
        f"#{anchor}" for anchor in re.findall(r'id="(term-[^"]*)"', page.source)
    }
    # Seeds are named: with one there is no standard deviation.
    assert any("over 2 seeds (0, 1)" in text for text in page.texts) == (seeds == 2)
    assert any("One run of every cell (seed 0)" in text for text in page.texts) == (seeds == 1)
    cells = page.cells("table_2_aupr", next(iter(EXPERIMENTS)))
    assert any("±" in cell for cell in cells) == (seeds == 2)
