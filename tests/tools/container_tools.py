"""Dockerfile, compose.yaml and .env.example, read without Docker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE, COMPOSE = ROOT / "Dockerfile", ROOT / "compose.yaml"
EXAMPLE, IGNORED = ROOT / ".env.example", ROOT / ".dockerignore"

#: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, and `$$`, which stands for one of them.
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^{}]*))?\})")


class Instruction(NamedTuple):
    """One instruction of a Dockerfile; stages are counted from 1, 0 is before the first FROM."""

    stage: int
    name: str
    value: str


def instructions() -> list[Instruction]:
    """Return the instructions of the Dockerfile, each on one line."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found, stage = [], 0
    for line in filter(None, joined.splitlines()):
        name, _, value = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, value.strip()))
    return found


def example() -> dict[str, str]:
    """Return the settings of .env.example."""
    lines = [line for line in EXAMPLE.read_text("utf-8").splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def interpolated(value: Any, settings: Mapping[str, str]) -> Any:
    """Return a part of compose.yaml with its variables replaced, as Compose replaces them."""

    def of(found: re.Match[str]) -> str:
        dollar, name, kind, text = found.groups()
        if dollar:
            return "$"
        if given := settings.get(name):
            return given
        assert kind == "-", f"{name} must be set: {text}"
        return str(text)

    if isinstance(value, dict):
        return {key: interpolated(item, settings) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, settings) for item in value]
    return VARIABLE.sub(of, value) if isinstance(value, str) else value


def raw_services() -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml, variables as they are written."""
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return services


def services(**settings: str) -> dict[str, dict[str, Any]]:
    """Return the services with the settings of .env.example and these."""
    found: dict[str, dict[str, Any]] = interpolated(raw_services(), {**example(), **settings})
    return found


def in_context(name: str) -> bool:
    """Return whether .dockerignore leaves a file in the context: the last line that fits decides.

    Patterns are those that our .dockerignore uses: a path, ``*`` within a part, ``**/`` before.
    """
    parts = PurePosixPath(name).parts
    above = [PurePosixPath(*parts[:n]) for n in range(1, len(parts) + 1)]
    kept = True
    for line in IGNORED.read_text("utf-8").splitlines():
        if not line or line[0] == "#":
            continue
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        if anywhere != pattern:
            fits = any(PurePosixPath(part).match(anywhere) for part in parts)
        else:
            depth = len(PurePosixPath(pattern).parts)
            fits = any(len(path.parts) == depth and path.match(pattern) for path in above)
        kept = line[0] == "!" if fits else kept
    return kept
