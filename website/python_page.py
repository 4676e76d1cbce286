"""The page of the Python interface, made from the public names of the two packages."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Python reference

Made from the docstrings when this site was built. A tour with examples: \
[Python interface](../api.md). Coordinates are 0-based and half-open everywhere.
"""
ALIASES = {"ssldata": "sd", "sslmodels": "sm"}


def public_names(package: str) -> dict[str, str]:
    """Return public name → where it is defined (``module.attribute``), in the order of the list."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    places: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                places[name.asname or name.name] = f"{node.module}.{name.name}"
    wanted = importlib.import_module(package).__all__
    return {name: places[name] for name in wanted if not name.startswith("_")}


def python_page() -> str:
    """Return the Markdown of the page, which mkdocstrings fills in."""
    lines = [HEAD]
    for package, alias in ALIASES.items():
        lines += [f"## import {package} as {alias}", ""]
        # What one calls comes first, the errors last.
        for name, place in sorted(public_names(package).items(), key=lambda n: n[0][0].isupper()):
            lines += [
                f"::: {place}",
                "    options:",
                f"      heading: {alias}.{name}",
                f"      toc_label: {alias}.{name}",
                "      heading_level: 3",
                "",
            ]
    return "\n".join(lines)
