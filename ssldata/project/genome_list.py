"""The list of target genomes in a file: read it, add a genome, remove one.

The list is either a registry file of its own (``genomes: {registry: FILE}`` in the project) or the
key ``genomes`` of the project file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssldata.base.errors import ConfigError
from ssldata.base.yaml_text import parse, read_text
from ssldata.project.entry_list import EntryList


def _list(path: Path) -> EntryList:
    return EntryList(path, "genomes", ("sequence", "chain"))


def read_registry(path: Path) -> list[Any]:
    """Return the entries of a registry file, with absolute paths but otherwise unchecked.

    Raises
    ------
    MissingInputError
        The file does not exist.
    ConfigError
        The file is not YAML, or not a list.
    """
    missing = "no such registry of genomes; to start one, write a file that contains []"
    entries = parse(path, read_text(path, missing=missing))
    entries = [] if entries is None else entries
    if not isinstance(entries, list):
        raise ConfigError(
            f"{path}: expected a list of genomes (- name: …), found {type(entries).__name__}"
        )
    return [_list(path).resolved(entry) for entry in entries]


def enter_genome(path: Path, entry: Mapping[str, Any], *, replace: bool = False) -> bool:
    """Add a genome to the list of a registry or project file.

    Parameters
    ----------
    path
        The registry or project file.
    entry
        ``name``, ``sequence``, ``chain`` and optional keys of the project file; absolute paths.
    replace
        Overwrite a different entry of this name.

    Returns
    -------
    bool
        False if the file has this entry already.

    Raises
    ------
    ConfigError
        The list has another genome of this name and `replace` is not set, or the file cannot be
        edited without changing other lines.
    """
    return _list(path).enter(entry, replace=replace)


def strike_genome(path: Path, name: str) -> bool:
    """Remove a genome from the list of a registry or project file; False if it is not listed."""
    return _list(path).strike(name)
