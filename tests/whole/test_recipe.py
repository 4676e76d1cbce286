"""The conda recipe: it says what pyproject.toml says, and its tests pass here."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
#: Packages that conda-forge and bioconda name otherwise: without what a server or a GUI needs.
CONDA_NAMES = {"dask": "dask-core", "matplotlib": "matplotlib-base"}


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    # What conda-build gives a recipe.
    given = {"PYTHON": "python", "pin_subpackage": lambda name, max_pin: f"{name} {max_pin}"}
    text = (ROOT / "recipe" / "meta.yaml").read_text("utf-8")
    rendered = Environment(undefined=StrictUndefined, autoescape=False).from_string(text)
    found: dict[str, Any] = yaml.safe_load(rendered.render(given))
    return found


def requirements(lines: list[str]) -> dict[str, SpecifierSet]:
    """Return name → range of requirements, of pip or of conda."""
    found = [Requirement(line) for line in lines]
    return {CONDA_NAMES.get(item.name, item.name): item.specifier for item in found}


def test_it_requires_what_the_project_requires(recipe: dict[str, Any]) -> None:
    python = SpecifierSet(PROJECT["requires-python"])
    expected = {"python": python, **requirements(PROJECT["dependencies"])}
    assert requirements(recipe["requirements"]["run"]) == expected
    host = {"python": python, "pip": SpecifierSet()}
    assert requirements(recipe["requirements"]["host"]) == {
        **host,
        **requirements(SETTINGS["build-system"]["requires"]),
    }


def test_it_names_the_same_package(recipe: dict[str, Any]) -> None:
    assert recipe["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    assert recipe["build"]["noarch"] == "python"
    points = [f"{name} = {where}" for name, where in PROJECT["scripts"].items()]
    assert recipe["build"]["entry_points"] == points
    assert recipe["about"]["license"] == PROJECT["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


def test_its_tests_pass(recipe: dict[str, Any], tmp_path: Path) -> None:
    for name in recipe["test"]["imports"]:
        assert find_spec(name), name
    program = tmp_path / "crosslabel"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m flows "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for command in recipe["test"]["commands"]:
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "install.md").read_text().startswith("# ")
