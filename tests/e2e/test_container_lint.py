"""Dockerfile and compose.yaml, read by the programs that are made for it (of the extra `dev`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from container_tools import COMPOSE, DOCKERFILE, EXAMPLE, services

pytestmark = pytest.mark.slow


def program(name: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"{name} is missing: install the extra `dev`, or deselect this file"
    return found


def test_hadolint_finds_nothing() -> None:
    command = [program("hadolint"), "--failure-threshold", "info", "--no-color", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def compose(*settings: str) -> subprocess.CompletedProcess[str]:
    command = [program("docker-compose"), "--file", str(COMPOSE), "--env-file", str(EXAMPLE)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        **dict([s.split("=", 1) for s in settings]),
    }
    return subprocess.run(
        [*command, "config", "--format", "json"], env=environment, capture_output=True, text=True
    )


def test_compose_reads_what_the_tests_read() -> None:
    """Ours is a small reading of the format; the real one must find the same."""
    done = compose("POSTGRES_PASSWORD=a$b", "DASK_WORKERS=3", "PROJECTS=/data/yeast")
    assert (done.returncode, done.stderr) == (0, "")
    theirs = json.loads(done.stdout)["services"]
    ours = services(POSTGRES_PASSWORD="a$b", DASK_WORKERS="3", PROJECTS="/data/yeast")
    assert set(theirs) == set(ours)
    for name, service in ours.items():
        read = theirs[name]
        # In what it prints, a dollar sign is written twice.
        for key in ("command", "environment"):
            assert json.loads(json.dumps(read.get(key)).replace("$$", "$")) == service.get(key)
        assert read.get("healthcheck", {}).get("test") == service.get("healthcheck", {}).get("test")
        assert read["image"] == service["image"]
        waits = {other: wait["condition"] for other, wait in read.get("depends_on", {}).items()}
        assert waits == {o: w["condition"] for o, w in service.get("depends_on", {}).items()}
    assert theirs["dask-worker"]["deploy"]["replicas"] == 3
    assert [v["type"] for v in theirs["worker"]["volumes"]] == ["bind", "volume"]


def test_without_a_password_compose_refuses() -> None:
    done = compose()
    assert done.returncode != 0
    assert "POSTGRES_PASSWORD is missing a value: set it in .env" in done.stderr
