"""Reads the pieces of a window and puts their rows in training order. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.reading.chunk_cache import ChunkCache
from ssldata.reading.epoch_order import Window
from ssldata.reading.known_labels import Columns, RowLabels
from ssldata.reading.mixture import Segment
from ssldata.reading.noisy_weights import Weights
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import Store


@numba.njit(cache=True, nogil=True)
def _place_rows(
    chunk: NDArray[np.uint8],
    rows: NDArray[np.int64],
    base: int,
    places: NDArray[np.int64],
    lead: int,
    out: NDArray[np.uint8],
) -> None:
    """Copy rows of a decoded chunk, less `lead` bases on each side, to their places in `out`.

    Callers have checked every bound. Indices are unsigned because signed ones may be negative in
    Python, and testing for that at every base makes this ten times slower.
    """
    length = np.uint64(out.shape[1])
    skip = np.uint64(lead)
    for i in range(rows.size):
        source, target = np.uint64(rows[i] - base), np.uint64(places[i])
        for j in range(length):
            out[target, j] = chunk[source, skip + j]


def loci_of(store: Store, segments: Sequence[Segment]) -> tuple[NDArray[np.int64], ...]:
    """Return the locus of every row of segments, for :attr:`.Mixture.loci`."""
    return tuple(
        store.group(segment.group).column("locus")[segment.rows(0, len(segment))]
        for segment in segments
    )


def lead_of(length: int, context: int | None) -> int:
    """Return how many of `length` stored bases to leave out on each side.

    Raises
    ------
    ConfigError
        `context` is more than the store holds, or the difference is odd.
    """
    if context is None:
        return 0
    if context > length or (length - context) % 2:
        raise ConfigError(
            f"the store holds {length} b per row; a model of {context} b needs at most that, and "
            "an even difference: rebuild with 'windows.context' set"
        )
    return (length - context) // 2


def central(codes: NDArray[np.uint8], context: int | None) -> NDArray[np.uint8]:
    """Return the central `context` bases of every row; errors as :func:`lead_of`."""
    lead = lead_of(codes.shape[1], context)
    return codes[:, lead : codes.shape[1] - lead]


def take_rows(
    store: Store,
    rows: Sequence[tuple[str, NDArray[np.int64]]],
    *,
    label: Columns = 0,
    context: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read chosen rows into memory, for example those of validation.

    Parameters
    ----------
    store
        The store.
    rows
        (group, int64 row numbers), in the order wanted.
    label
        Label columns, as of :class:`ssldata.reading.known_labels.RowLabels`.
    context
        Central bases of the stored window; default: all.

    Returns
    -------
    codes
        uint8 (n, length).
    label
        float32 (n, outputs).
    """
    outputs = RowLabels(store, label)
    codes = [central(ChunkReader(store.group(group)).take(index), context) for group, index in rows]
    labels = [outputs.of(group, index) for group, index in rows]
    return np.concatenate(codes), np.concatenate(labels)


def read_window(
    cache: ChunkCache,
    window: Window,
    *,
    epoch: int,
    labels: RowLabels,
    context: int | None = None,
    weights: Weights | None = None,
    weigh_outputs: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Read a window and return its rows in training order.

    Parameters
    ----------
    cache
        Decoded chunks of the store.
    window
        What to read.
    epoch
        0, 1, …: the noise of `weights` may depend on it.
    labels
        Of the outputs.
    context
        Central bases of the stored window; default: all.
    weights
        Confidence weights; default: 1.
    weigh_outputs
        Return a weight for every label rather than for every row.

    Returns
    -------
    codes
        uint8 (rows, length). New memory each time: TensorFlow keeps using it.
    label
        float32 (rows, outputs).
    weight
        float32 (rows,), or with `weigh_outputs` (rows, outputs): 0 where a label is not known.

    Raises
    ------
    ConfigError
        The outputs of `weights` are not those of the labels.
    StoreError
        The store is damaged.
    """
    total = len(window.order)
    length = cache.store.group(window.pieces[0].group).length
    lead = lead_of(length, context)
    codes = np.empty((total, length - 2 * lead), np.uint8)
    values = np.empty((total, len(labels)), np.float32)
    row_weights = np.ones(values.shape if weigh_outputs else total, np.float32)
    places = np.empty(total, np.int64)
    places[window.order] = np.arange(total)
    done = 0
    for piece in window.pieces:
        here = places[done : done + len(piece)]
        done += len(piece)
        group = cache.store.group(piece.group)
        number = int(piece.rows[0]) // group.chunk_rows
        with cache.chunk(piece.group, number, last=piece.last) as chunk:
            _place_rows(chunk, piece.rows, number * group.chunk_rows, here, lead, codes)
        value = labels.of(piece.group, piece.rows)
        values[here] = value
        if weights is not None:
            # A row is positive if it is so for any output.
            of = value if weigh_outputs else value.max(axis=1)
            row_weights[here] = weights.of(piece.group, piece.rows, of, epoch)
        if weigh_outputs:
            row_weights[here] *= labels.known(piece.group, piece.rows)
    return codes, values, row_weights
