"""YAML files: repeated keys are refused, and errors name the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ssldata.base.errors import ConfigError


class _UniqueKeyLoader(yaml.SafeLoader):
    """Loader that refuses repeated keys, of which YAML silently takes the last."""


def _unique_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is given twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def read_text(path: Path) -> str:
    """Return the content of a text file.

    Raises
    ------
    ConfigError
        The bytes are not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not a text file ({exc.reason} at byte {exc.start})") from exc


def parse(path: Path, text: str) -> Any:
    """Return the value of YAML text.

    Parameters
    ----------
    path
        The file, named in errors.
    text
        Its content.

    Raises
    ------
    ConfigError
        Not YAML, or a key is given twice.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from exc
