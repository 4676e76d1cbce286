"""Per-row confidence weights of a run, one version per iteration: a small Zarr hierarchy.

Teacher weights are probabilities. They live in the run folder, so that training never needs a
writable store; :mod:`ssldata.store.published_weights` copies a version into one. Noise is added by
the reader, from a recorded seed.

``weights.zarr/iteration-<k>/`` has the group names of the store below it; its attribute
``crosslabel_weights`` records what made it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import MissingInputError, StoreError
from ssldata.store.column_writer import put_group, write_column
from ssldata.store.store import load_arrays, load_attributes
from ssldata.store.store_writer import remove_tree, sweep_tree, sync_tree

_LOG = logging.getLogger(__name__)

_ATTRIBUTE = "crosslabel_weights"
_VERSION = re.compile(r"iteration-([1-9][0-9]*)")

#: Group (``homologs/<genome>``) → float32 (rows,), or (rows, outputs).
Arrays = dict[str, NDArray[np.float32]]


def check_weights(arrays: Mapping[str, NDArray[np.float32]], where: str) -> None:
    """Raise unless every weight is a number in [0, 1].

    Raises
    ------
    StoreError
        Names the first wrong row.
    """
    for name, values in arrays.items():
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            row, *output = (int(place) for place in np.argwhere(bad)[0])
            raise StoreError(
                f"{where}: weight of row {row} of {name} is {values[row, *output]}, expected 0 to 1"
            )


def dims_of(values: NDArray[np.float32]) -> tuple[str, ...]:
    """Return the dimension names of weights: of rows, or of rows and outputs."""
    return ("row", "experiment")[: values.ndim]


def write_weights(
    path: Path,
    iteration: int,
    arrays: Mapping[str, NDArray[np.float32]],
    provenance: Mapping[str, Any],
) -> None:
    """Write one version of the weights of whole groups; the other versions stay.

    There is one writer at a time: the run that holds its lock.

    Parameters
    ----------
    path
        A folder (``weights.zarr``).
    iteration
        The version, 1 or more; an existing one is replaced.
    arrays
        Group (``homologs/<genome>``) → float32 (rows,) or (rows, outputs), each in [0, 1].
    provenance
        Where they come from: run, teacher.

    Raises
    ------
    StoreError
        A weight is not a number in [0, 1].
    """
    check_weights(arrays, f"{path}, iteration {iteration}")
    sweep_tree(path)
    put_group(path, {})
    place = path / f"iteration-{iteration}"
    temporary = path / f"{place.name}.{os.getpid()}.partial"
    put_group(temporary, {_ATTRIBUTE: dict(provenance)})
    for parent in {parent for name in arrays for parent in list(Path(name).parents)[:-1]}:
        put_group(temporary / parent, {})
    for name in sorted(arrays):
        values = np.asarray(arrays[name], np.float32)
        write_column(temporary / name, values, dims_of(values))
    sync_tree(temporary)  # a chunk lost in a power cut would read as zeros
    remove_tree(place)
    temporary.rename(place)


def iterations_of(path: Path) -> list[int]:
    """Return the stored versions, ascending."""
    found = (_VERSION.fullmatch(item.name) for item in path.glob("iteration-*"))
    return sorted(int(match[1]) for match in found if match)


def read_weights(path: Path, iteration: int) -> tuple[Arrays, dict[str, Any]]:
    """Return one version written by :func:`write_weights`, and its provenance.

    Raises
    ------
    MissingInputError
        There is no such version.
    StoreError
        It is damaged.
    """
    known = iterations_of(path)
    if iteration not in known:
        found = ", ".join(map(str, known)) or "none"
        raise MissingInputError(f"{path}: no weights of iteration {iteration}; found {found}")
    folder = path / f"iteration-{iteration}"
    try:
        return load_arrays(folder), dict(load_attributes(folder)[_ATTRIBUTE])
    except Exception as exc:  # zarr and its codecs have errors of their own for damaged files
        raise StoreError(
            f"{folder}: damaged ({type(exc).__name__}); copy it again, or delete the run and train "
            "it again"
        ) from exc


def kept_weights(path: Path, iteration: int, provenance: Mapping[str, Any]) -> Arrays | None:
    """Return a version that was written with exactly this provenance, else None.

    A damaged one is as good as none: the run that asks makes it again.
    """
    if iteration not in iterations_of(path):
        return None
    try:
        arrays, found = read_weights(path, iteration)
    except StoreError as exc:
        _LOG.warning("%s; computed again", exc)
        return None
    return arrays if found == dict(provenance) else None
