"""Sei applied to sequences: one row of profiles, or of features of the trunk, for each."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.errors import InputError

#: Both strands, averaged, as published for Sei; or the given one, as in some uses of its profiles.
Strands = Literal["both", "forward"]

#: Positions computed at once: 8 sequences of 4,096 bases; larger batches are no faster.
_POSITIONS = 32_768


def profiles_of(
    model: keras.Model,
    sequences: ArrayLike,
    *,
    strands: Strands = "both",
    batch_size: int | None = None,
) -> NDArray[np.float32]:
    """Return the outputs of a Sei for sequences, float32 (n, outputs).

    Parameters
    ----------
    model
        Made by :func:`sslmodels.sei.load_sei.load_sei`.
    sequences
        Base codes, integer (n, length) with A C G T N = 0 1 2 3 4, or one-hot (n, length, 4).
    strands
        ``both``: the mean over a sequence and its reverse complement; ``forward``: as given.
    batch_size
        Sequences computed at once; default: as many as keep memory below about 1 GB.

    Raises
    ------
    InputError
        Sequences of another length, or neither codes nor one-hot.
    """
    rows = _checked(np.asarray(sequences), model.length)
    batch = batch_size or max(1, _POSITIONS // model.length)
    parts = [
        _outputs(model, rows[first : first + batch], strands)
        for first in range(0, len(rows), batch)
    ]
    if not parts:
        return np.zeros((0, int(model.body.output_shape[1])), np.float32)
    return np.concatenate(parts)


def _outputs(model: keras.Model, rows: NDArray[Any], strands: Strands) -> NDArray[np.float32]:
    if strands == "both":
        return np.asarray(model.predict_on_batch(rows), np.float32)
    one_hot = keras.ops.convert_to_numpy(model.encode(rows))
    return np.asarray(model.body.predict_on_batch(one_hot), np.float32)


def _checked(rows: NDArray[Any], length: int) -> NDArray[Any]:
    codes = rows.ndim == 2 and rows.dtype.kind in "iu"
    one_hot = rows.ndim == 3 and rows.shape[2] == 4
    if not (codes or one_hot) or rows.shape[1] != length:
        raise InputError(
            f"Sei: sequences of shape {rows.shape}, type {rows.dtype}; expected base codes (n, "
            f"{length}), integers, or one-hot (n, {length}, 4)"
        )
    return rows
