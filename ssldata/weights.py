"""Per-row confidence weights, versioned: a small Zarr group with the group names of the store.

Teacher weights are raw probabilities. They live in the run folder, so that training never needs a
writable store; noise is added by the reader, from a recorded seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.errors import MissingInputError, StoreError
from ssldata.store import load_arrays
from ssldata.store_writer import save_arrays


def write_weights(
    path: Path, arrays: Mapping[str, NDArray[np.float32]], provenance: Mapping[str, Any]
) -> None:
    """Write the weights of whole groups.

    Parameters
    ----------
    path
        A folder; what was there is replaced.
    arrays
        Group (``homologs/<genome>``) → float32 (rows,), each in [0, 1].
    provenance
        Where they come from: model, run, iteration.

    Raises
    ------
    StoreError
        A weight is not a number in [0, 1].
    """
    for name, values in arrays.items():
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise StoreError(
                f"{path}: weight of row {row} of {name} is {values[row]}, expected 0 to 1"
            )
    save_arrays(
        path,
        {name: np.asarray(values, np.float32) for name, values in arrays.items()},
        dims=dict.fromkeys(arrays, ("row",)),
        attributes={"crosslabel_weights": dict(provenance)},
    )


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return group → float32 (rows,) of weights written by :func:`write_weights`.

    Raises
    ------
    MissingInputError
        Nothing is there.
    """
    if not (path / "zarr.json").is_file():
        raise MissingInputError(f"{path}: no such weights")
    return load_arrays(path)
