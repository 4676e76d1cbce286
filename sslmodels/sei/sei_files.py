"""The files that come with Sei's weights, read and checked: none of them is part of crosslabel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError
from sslmodels.sei.sei_tensors import PROFILES
from sslmodels.sei.sequence_classes import CLASSES

#: Rows of the file of projections, and entries of the file of histone profiles.
PROJECTIONS, HISTONES = 61, 10_064

#: Kinds of profiles, and how many of each the published targets have.
Kind = Literal["tf", "histone", "accessibility"]
KINDS: dict[Kind, int] = {"tf": 9_471, "histone": 10_064, "accessibility": 2_372}


def read_projections(path: Path, *, profiles: int = PROFILES) -> NDArray[np.float64]:
    """Return the projections of ``projvec_targets.npy``, (61, profiles).

    Parameters
    ----------
    path
        The file.
    profiles
        Expected columns.

    Raises
    ------
    MissingInputError, InputError
        No such file; of another shape, or a row without direction.
    """
    found = _array(path)
    if found.shape != (PROJECTIONS, profiles) or found.dtype.kind != "f":
        raise InputError(
            f"{path}: shape {found.shape}, type {found.dtype}; expected projections ({PROJECTIONS},"
            f" {profiles}), floating-point"
        )
    lengths = np.linalg.norm(found.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if wrong.size:
        raise InputError(f"{path}: row {wrong[0]} is zero or not finite; download the file again")
    return found.astype(np.float64)


def read_histone_columns(
    path: Path, *, profiles: int = PROFILES, count: int | None = HISTONES
) -> NDArray[np.int64]:
    """Return the columns of histone profiles from ``histone_inds.npy``.

    Parameters
    ----------
    path
        The file.
    profiles
        Number of profiles, which the columns must be among.
    count
        Expected number of columns; None: any.

    Raises
    ------
    MissingInputError, InputError
        No such file; not distinct columns, or another number of them.
    """
    found = _array(path)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise InputError(
            f"{path}: shape {found.shape}, type {found.dtype}; expected a list of ints"
        )
    if found.min() < 0 or found.max() >= profiles or len(np.unique(found)) < len(found):
        raise InputError(
            f"{path}: columns {found.min()} to {found.max()}, {len(np.unique(found))} distinct of "
            f"{len(found)}; expected distinct ones of 0 to {profiles - 1}"
        )
    if count is not None and len(found) != count:
        raise InputError(f"{path}: {len(found)} histone profiles; expected {count}")
    return found.astype(np.int64)


def read_target_names(path: Path, *, profiles: int | None = PROFILES) -> list[str]:
    """Return the names of the profiles, one a line, as ``cell type | target | source``.

    Parameters
    ----------
    path
        ``target.names``.
    profiles
        Expected number; None: any.

    Raises
    ------
    MissingInputError, InputError
        No such file; another number of lines, or a line of another form.
    """
    lines = _lines(path)
    for number, line in enumerate(lines, start=1):
        if line.count("|") < 1 or not _target(line):
            raise InputError(
                f"{path}, line {number}: {line[:60]!r}; expected cell type | target | source"
            )
    if profiles is not None and len(lines) != profiles:
        raise InputError(f"{path}: {len(lines)} names; expected {profiles}")
    return lines


def read_class_names(path: Path, *, classes: int = CLASSES) -> list[str]:
    """Return the names of the sequence classes, one a line.

    Raises
    ------
    MissingInputError, InputError
        No such file; another number of lines.
    """
    lines = _lines(path)
    if len(lines) != classes or not all(lines):
        raise InputError(f"{path}: {len(lines)} names of sequence classes; expected {classes}")
    return lines


def kinds_of(names: Sequence[str]) -> list[Kind]:
    """Return the kind of each profile, by its target: the text between the first two bars."""
    return [_kind(_target(name)) for name in names]


def check_kinds(kinds: Sequence[Kind], path: Path) -> None:
    """Raise an error unless profiles are as many of each kind as the published ones.

    Raises
    ------
    InputError
        Other numbers.
    """
    found = Counter(kinds)
    if any(found[kind] != count for kind, count in KINDS.items()):
        words = ", ".join(f"{found[kind]:,} {kind} ({count:,})" for kind, count in KINDS.items())
        raise InputError(f"{path}: kinds of profiles, expected in brackets: {words}")


def _target(name: str) -> str:
    return name.split("|")[1].strip()


def _kind(target: str) -> Kind:
    if target.startswith(("CENPA", "H2A", "H2B", "H3", "H4")):
        return "histone"
    return "accessibility" if target == "DNase" or target.startswith("ATAC") else "tf"


def _array(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; it comes with the weights of Sei")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as exc:
        raise InputError(f"{path}: not an array file (.npy), or damaged ({exc})") from exc
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path}: several arrays (.npz); expected one (.npy)")
    return found


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; it comes with the weights of Sei")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not a text file ({exc.reason})") from exc
    return [line.strip() for line in text.splitlines()]
