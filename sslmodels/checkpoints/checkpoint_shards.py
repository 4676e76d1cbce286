"""Checkpoints in several files: an index (``*.index.json``) maps tensors to files."""

from __future__ import annotations

import json
from pathlib import Path

from ssldata.base.errors import InputError

#: Suffix of an index's name, as in ``pytorch_model.bin.index.json``.
INDEX = ".index.json"


def is_index(path: Path) -> bool:
    """Return whether a file is the index of a checkpoint, by its name."""
    return path.name.endswith(INDEX)


def tensors_of_shards(index: Path) -> dict[Path, list[str]]:
    """Return the files of a checkpoint, which lie beside the index, and the names of their tensors.

    Raises
    ------
    InputError
        Not an index, or one that lists files elsewhere.
    """
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        found: dict[Path, list[str]] = {}
        for tensor, name in places.items():
            if not name or Path(name).name != name:
                raise InputError(f"{index}: lists the file {name!r}; expected files beside it")
            found.setdefault(index.parent / name, []).append(tensor)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"{index}: not the index of a checkpoint ({exc!r})") from exc
    return found
