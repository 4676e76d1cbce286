"""Which columns of a feature store a model is fitted to: by name, or by kind of Sei's targets."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError, InputError
from ssldata.base.text_file import read_text, text_lines

#: Kinds of chromatin profiles.
TargetKind = Literal["tf", "histone", "accessibility"]

_HISTONES = ("CENPA", "H2A", "H2B", "H3", "H4")


def target_kind(target: str) -> TargetKind:
    """Return the kind of a target of Sei, ``cell | assay | source``, by its second field.

    The rule is that of Daoud & Ben-Hur (2025): 9,471 factors, 10,064 histone marks and 2,372
    profiles of accessibility of the 21,907 of Sei.
    """
    fields = [field.strip() for field in target.split("|")]
    assay = fields[1] if len(fields) > 1 else fields[0]
    if assay.startswith(_HISTONES):
        return "histone"
    if assay == "DNase" or assay.startswith("ATAC"):
        return "accessibility"
    return "tf"


def read_targets(path: Path) -> list[str]:
    """Return the lines of a list of targets (``target.names`` of Sei), in their order."""
    lines = [line.strip() for line in text_lines(read_text(path))]
    return [line for line in lines if line]


def chosen_columns(
    names: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    kind: TargetKind | None = None,
    targets: Path | None = None,
    where: str = "",
) -> tuple[Int64Array, list[str]]:
    """Return the numbers of the columns that are used, and the names to show for them.

    Parameters
    ----------
    names
        Columns of the store.
    patterns
        Globs of names; none: all columns.
    kind
        Only targets of this kind.
    targets
        List of targets, one per column; its lines become the names.
    where
        The store, for messages.

    Raises
    ------
    ConfigError
        No column is left, a pattern matches none, or `kind` without names of targets.
    InputError
        A list of another length than the store has columns.
    """
    shown = list(names)
    if targets is not None:
        shown = read_targets(targets)
        if len(shown) != len(names):
            raise InputError(
                f"{targets}: {len(shown)} targets, {where} has {len(names)} columns; expected one "
                "line for each column, in their order"
            )
    chosen = np.ones(len(names), bool)
    if patterns:
        chosen[:] = False
        for pattern in patterns:
            here = np.array([fnmatchcase(name, pattern) for name in shown])
            if not here.any():
                raise ConfigError(
                    f"--features {pattern}: no column of {where} has such a name; the first are "
                    f"{', '.join(shown[:5])}"
                )
            chosen |= here
    if kind is not None:
        if kind not in get_args(TargetKind):
            raise ConfigError(f"--kind {kind}: expected {', '.join(get_args(TargetKind))}")
        if not any("|" in name for name in shown):
            raise ConfigError(
                f"--kind {kind}: the columns of {where} do not say what they are; name the list of "
                "targets with --targets"
            )
        chosen &= np.array([target_kind(name) == kind for name in shown])
    numbers = np.flatnonzero(chosen)
    if not len(numbers):
        raise ConfigError(f"{where}: no column is left by --features and --kind")
    return numbers, [shown[number] for number in numbers]
