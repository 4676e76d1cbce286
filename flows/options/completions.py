"""What the shell may complete an option with: names of the project on the line.

Only the YAML is read, which takes a moment; a file that is missing or wrong completes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from ssldata.base.errors import CrosslabelError


def experiments(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the project's experiments that begin with what was typed."""
    listed = _project(context).get("experiments") or []
    return _fitting([item.get("name") for item in listed if isinstance(item, dict)], incomplete)


def models(context: typer.Context, incomplete: str) -> list[str]:
    """Return the models of the project that begin with what was typed."""
    return _fitting(_training(context, "models"), incomplete)


def regimes(context: typer.Context, incomplete: str) -> list[str]:
    """Return the regimes of the project that begin with what was typed."""
    return _fitting(_training(context, "regimes"), incomplete)


def _training(context: typer.Context, key: str) -> list[Any]:
    training = _project(context).get("training")
    listed = training.get(key) if isinstance(training, dict) else None
    return listed if isinstance(listed, list) else []


def _project(context: typer.Context) -> dict[str, Any]:
    from ssldata.base.files import expanded
    from ssldata.base.yaml_text import parse, read_text

    given = next((word for word in context.args if not word.startswith("-")), None)
    if given is None:
        return {}
    path = expanded(Path(given))
    path = path / "project.yaml" if path.is_dir() else path
    try:
        raw = parse(path, read_text(path))
    except (CrosslabelError, OSError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _fitting(names: Iterable[object], incomplete: str) -> list[str]:
    return [name for name in names if isinstance(name, str) and name.startswith(incomplete)]
