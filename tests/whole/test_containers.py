"""Dockerfile, compose.yaml, .env.example and .dockerignore, as far as they can be read.

Linted, and their commands run, in ``tests/e2e``.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from container_tools import VARIABLE, in_context, instructions, raw_services, services
from container_tools import example as example_settings
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)
OURS = {name: service for name, service in raw_services().items() if "build" in service}
#: What an image is that Compose pulls: a name and the number of a release.
RELEASE = re.compile(r"[\w./-]+:\d+(\.\d+)*(-[\w.-]+)?")


def tracked() -> list[str]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return [name for name in listed.stdout.split("\0") if name]


def of(name: str, stage: int | None = None) -> list[str]:
    return [i.value for i in instructions() if i.name == name and stage in (None, i.stage)]


def copied() -> set[str]:
    """Return the paths that the Dockerfile copies from a clone."""
    return {w for v in of("COPY") if "--from" not in v for w in v.split()[:-1]}


def words(service: dict[str, Any]) -> list[str]:
    return [str(word) for word in service.get("command", [])]


# -- Dockerfile and context


def test_what_is_copied_is_tracked_and_in_the_context() -> None:
    files = tracked()
    for path in copied():
        below = [name for name in files if name == path or name.startswith(f"{path}/")]
        assert below, f"{path}: nothing of it is tracked"
        assert [name for name in below if not in_context(name)] == []


def test_all_that_a_wheel_is_made_of_is_copied() -> None:
    """A new package, or a folder of shipped files, that the Dockerfile lacks would be missing."""
    with mock.patch("setuptools.setup"):
        shipped = runpy.run_path(str(ROOT / "setup.py"))["shipped_files"]()
    packages = {p.rstrip("*") for p in _setuptools()["packages"]["find"]["include"]}
    needed = {path.parts[0] for path in shipped} | packages | {"pyproject.toml", "setup.py"}
    assert needed | {PROJECT["readme"], *PROJECT["license-files"], "constraints.txt"} == copied()


def test_data_and_secrets_stay_outside_the_context() -> None:
    for name in (
        *(
            ".env",
            ".git/config",
            "tests/conftest.py",
            "flows/__pycache__/a.pyc",
            ".venv/bin/python",
        ),
        *("examples/yeast/data/x.fa.gz", "examples/yeast/store/x", "examples/a/b.lock.tsv"),
    ):
        assert not in_context(name), name
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" not in tracked()


def test_the_image_runs_as_a_user_on_a_python_that_the_project_supports() -> None:
    python = next(v for v in of("ARG", 0) if v.startswith("PYTHON="))[len("PYTHON=") :]
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    bases = of("FROM")
    assert len(bases) > 1  # compilers stay in the first
    assert all(base.startswith("python:${PYTHON}-slim") for base in bases)
    (user,) = of("USER", len(bases))
    known = dict(v.split("=", 1) for v in of("ARG", len(bases)))
    assert user == "$USER_ID:$GROUP_ID"
    assert int(known["USER_ID"]) > 0
    assert int(known["GROUP_ID"]) > 0


def test_dependencies_are_those_of_the_constraints() -> None:
    installs = [step for run in of("RUN") for step in run.split("&&") if "pip install" in step]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in s or "--no-deps" in s for s in installs)
    assert "PIP_NO_CACHE_DIR=1" in of("ENV", 1)[0]


def test_build_arguments_are_declared() -> None:
    declared = {value.partition("=")[0] for value in of("ARG")}
    for service in OURS.values():
        assert set(service["build"]["args"]) <= declared
        assert service["build"]["context"] == "."


# -- compose.yaml and .env.example


def test_variables_are_in_the_example_with_the_same_default() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    found = [m for m in VARIABLE.finditer(re.sub(r"^ *#.*$", "", text, flags=re.MULTILINE)) if m[2]]
    assert {match[2] for match in found} == set(example_settings())
    for match in found:
        expected = match[4] if match[3] == "-" else ""
        assert example_settings()[match[2]] == expected, match[2]


def test_no_secret_is_written_down() -> None:
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH|KEY")
    for service in raw_services().values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert value.startswith("${POSTGRES_PASSWORD:?"), name
    assert not any(value for name, value in example_settings().items() if secret.search(name))
    with pytest.raises(AssertionError, match="POSTGRES_PASSWORD must be set"):
        services()


def test_the_server_is_of_the_release_that_is_pinned() -> None:
    """Server and worker of one image agree; an image of Prefect's own would have to be checked."""
    (pin,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "prefect"]
    assert pin.specifier.contains(PINNED["prefect"])
    for name, service in services(POSTGRES_PASSWORD="x").items():
        if name in OURS:
            assert service["image"] == "crosslabel:local"
            continue
        assert RELEASE.fullmatch(service["image"]), name
        if "prefect" in service["image"]:
            assert service["image"].split(":")[1].split("-")[0] == PINNED["prefect"]


def test_programs_come_with_the_package() -> None:
    """The first word of each command is a program of ours, of a dependency, or of the image."""
    required = [Requirement(text).name for text in PROJECT["dependencies"]]
    programs = set(PROJECT["scripts"]) | {"sh", "python"}
    for name in required:
        points = distribution(name).entry_points
        programs |= {point.name for point in points if point.group == "console_scripts"}
    for name in OURS:
        service = OURS[name]
        assert words(service)[0] in programs, name
        script = words(service)[2] if words(service)[0] == "sh" else ""
        subprocess.run(["sh", "-n", "-c", script], check=True)
        lines = re.sub(r"\\\n", "", script).splitlines()
        for command in (part for line in lines for part in line.split("||")):
            assert next(w for w in shlex.split(command) if w != "exec") in programs, command
        check = service.get("healthcheck", {}).get("test", ["CMD", "python"])
        assert check[0] == "CMD"
        assert check[1] in programs


def test_services_wait_for_what_can_be_waited_for() -> None:
    every = raw_services()
    once = {n for n, s in every.items() if s["restart"].startswith("on-failure")}
    for name, service in every.items():
        assert ("healthcheck" in service) != (name in once), name
        for other, wait in service.get("depends_on", {}).items():
            kind = "service_completed_successfully" if other in once else "service_healthy"
            assert wait["condition"] == kind, f"{name} → {other}"


def test_health_is_asked_where_a_service_answers() -> None:
    """The port of a check is one that the command or the environment of the service names."""
    for name, service in OURS.items():
        if "healthcheck" in service:
            port = re.search(r"127\.0\.0\.1:(\d+)/", service["healthcheck"]["test"][-1])
            said = " ".join([*words(service), *map(str, service.get("environment", {}).values())])
            assert port, name
            assert re.search(rf"\b{port[1]}\b", said), name


def test_addresses_are_those_of_services() -> None:
    every = raw_services()
    for service in every.values():
        said = " ".join([*words(service), *map(str, service.get("environment", {}).values())])
        for host, port in re.findall(r"(?:http|tcp)://([a-z-]+):(\d+)", said):
            assert host in every
            assert host in service["depends_on"] or "server" in service["depends_on"]
            assert re.search(rf"\b{port}\b", " ".join(words(every[host]))), f"{host}:{port}"


def test_only_the_server_can_be_reached_and_from_this_machine_alone() -> None:
    published = {
        name: s["ports"] for name, s in services(POSTGRES_PASSWORD="x").items() if "ports" in s
    }
    assert published == {"server": ["127.0.0.1:4200:4200"]}


def test_worker_and_pool_are_those_of_the_deployments() -> None:
    settings = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))
    (pool,) = {deployment["work_pool"]["name"] for deployment in settings["deployments"]}
    command = words(OURS["worker"])
    assert command[command.index("--pool") + 1] == pool
    assert re.findall(r"work-pool (?:inspect|create) (\S+)", words(OURS["deployments"])[2]) == [
        pool,
        pool,
    ]
    for name in ("worker", "dask-worker"):
        assert OURS[name]["volumes"] == ["${PROJECTS:-projects}:/projects", "cache:/cache"]
    assert of("WORKDIR")[-1] == "/projects"
    assert "CROSSLABEL_CACHE=/cache" in of("ENV")[-1]


def _setuptools() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    return found["setuptools"]  # type: ignore[no-any-return]
