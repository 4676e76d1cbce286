"""A small simulated project, built once, and a copy of it for every test of reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_tools import changed

from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import small_clade


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "project"
    small_clade(folder)
    build_project(load_project(folder))
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Project:
    shutil.copytree(built, tmp_path / "project")
    # Reports with baselines: tests/sslmodels/baseline_runs.
    return changed(load_project(tmp_path / "project"), "training", baselines=False)
