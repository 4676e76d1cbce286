"""What is checked of a model file before Keras reads it: whose it is, its size, its checksum.

A run folder may come from a stranger, or from a disk that has lost bits.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from ssldata.base.errors import InputError
from ssldata.base.files import sha256_of
from sslmodels.layers.sequence_model import PACKAGE

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, "metadata.json", _WEIGHTS}
#: Bytes that any file may unpack to, and how many times its own size others may: Keras packs
#: nothing, but people do, and weights lose little.
_SMALL, _MOST_PACKED = 64_000_000, 20


def check_saved_model(path: Path) -> None:
    """Raise unless a file is a whole model of ours.

    Parameters
    ----------
    path
        A ``.keras`` file. The record of its run, beside it, has its checksum.

    Raises
    ------
    InputError
        It is damaged, replaced since it was trained, unpacks to far more than its size, or is
        another kind of file.
    """
    expected = _recorded_sha256(path)
    if expected is not None and (found := sha256_of(path)) != expected:
        raise InputError(
            f"{path}: damaged or replaced (sha256 {found[:12]}, run.json has {expected[:12]}); "
            "copy it again, or train again with --replace"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            text = archive.read(_CONFIG)
            kind = json.loads(text)["class_name"]
            _check_arrays(path, archive.read(_WEIGHTS))
    except InputError:
        raise
    # Whatever zipfile, json and h5py make of bytes that are not theirs.
    except Exception as exc:
        raise damaged(path, exc) from exc
    # Functional: built-in layers, which is how models are saved.
    if kind != "Functional" and f'"{PACKAGE}>'.encode() not in text:
        raise foreign(path, kind)


def foreign(path: Path, kind: str) -> InputError:
    """Return the error of one line for a Keras model that is not ours."""
    return InputError(
        f"{path}: a Keras model of class {kind!r}, not one that crosslabel saved; "
        "name the folder of a run, or load it with keras.saving.load_model"
    )


def damaged(path: Path, exc: Exception) -> InputError:
    """Return the error of one line for a model file that cannot be read."""
    said = (str(exc).splitlines() or [""])[0][:120]
    return InputError(
        f"{path}: not a .keras file, or damaged ({type(exc).__name__}: {said}); copy it again, or "
        "train again with --replace"
    )


def _recorded_sha256(path: Path) -> str | None:
    """Return the checksum in the record of the run; None: there is no such record."""
    try:
        found = json.loads((path.parent / "run.json").read_bytes())["files"][path.name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return str(found)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if sorted(names) != sorted(_MEMBERS):
        raise InputError(
            f"{path}: not a .keras file (holds {', '.join(map(repr, names[:4])) or 'nothing'}); "
            "name the folder of a run"
        )
    packed, unpacked = path.stat().st_size, sum(member.file_size for member in members)
    if unpacked > max(_SMALL, _MOST_PACKED * packed):
        raise InputError(
            f"{path}: {packed:,} B that unpack to {unpacked:,} B, which no weights do; take the "
            "file as Keras saved it"
        )


def _check_arrays(path: Path, weights: bytes) -> None:
    """Raise if an array says it is larger than what is stored of it, or lies in another file."""

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (
            item.external or item.is_virtual or item.nbytes > item.id.get_storage_size()
        ):
            raise InputError(
                f"{path}: its weights {name} are {item.nbytes} B, of which "
                f"{item.id.get_storage_size()} are stored; copy the file again"
            )

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(check)
