"""Stores as ``tf.data.Dataset``. This is the only module of :mod:`ssldata` that imports TensorFlow.

A Python call reads a whole window (some ten thousand rows); TensorFlow cuts it into batches. Rows
travel as base codes, a quarter of the bytes of one-hot; one-hot is the first layer of the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ssldata.batches import ChunkCache, Weights, central, read_window
from ssldata.sampling import EpochOrder, Mixture
from ssldata.store import Store

__all__ = ["Weights", "rows_dataset", "take_rows", "training_dataset"]

#: Chunks per window: enough rows to shuffle well, few enough to start an epoch quickly.
WINDOW_CHUNKS = 16


def training_dataset(
    store: Store,
    mixture: Mixture,
    *,
    batch_size: int,
    label: int = 0,
    context: int | None = None,
    weights: Weights | None = None,
    start_epoch: int = 0,
    start_step: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Return an endless dataset of batches, epoch after epoch, and the batches per epoch.

    Parameters
    ----------
    store
        The store.
    mixture
        What to draw from.
    batch_size
        Rows per batch; the last batch of an epoch may be smaller.
    label
        Column of the labels.
    context
        Central bases of the stored window; default: all.
    weights
        Confidence weights; default: 1.
    start_epoch, start_step
        Where to begin: a restored reader continues byte for byte.

    Returns
    -------
    tf.data.Dataset
        (codes uint8 (B, L), label float32 (B, 1), weight float32 (B,)).
    int
        Batches per epoch.
    """
    groups = {segment.group for segment in (*mixture.positives, *mixture.negatives)}
    chunks = {name: store.group(name).chunk_rows for name in groups}
    length = next(iter(store.group(name).length for name in sorted(groups)))
    steps = mixture.steps(batch_size)
    window_rows = WINDOW_CHUNKS * max(chunks.values())
    orders: dict[int, EpochOrder] = {}
    cache = ChunkCache(store, 2 * (len(mixture.positives) + len(mixture.negatives)))

    def order_of(epoch: int) -> EpochOrder:
        if epoch not in orders:
            # Neighbouring epochs may be asked for at the same time, older ones never again.
            for old in [e for e in list(orders) if e < epoch - 1]:
                orders.pop(old, None)
            orders[epoch] = EpochOrder(
                mixture, epoch, batch_size=batch_size, chunks=chunks, window_rows=window_rows
            )
        return orders[epoch]

    windows = len(order_of(start_epoch))
    window_steps = order_of(start_epoch).window_steps

    def read(number: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        epoch, window = divmod(int(number), windows)
        return read_window(
            cache,
            order_of(epoch).window(window),
            epoch=epoch,
            label=label,
            context=context,
            weights=weights,
        )

    bases = context or length

    def load(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        codes, labels, weight = tf.numpy_function(
            read, [number], (tf.uint8, tf.float32, tf.float32), stateful=False
        )
        codes.set_shape((None, bases))
        labels.set_shape((None, 1))
        weight.set_shape((None,))
        return codes, labels, weight

    first = start_epoch * windows + start_step // window_steps
    dataset = (
        tf.data.Dataset.range(first, np.iinfo(np.int64).max)
        .map(load)
        .prefetch(1)
        # A window is whole batches, but for the last of an epoch: cut each on its own.
        .flat_map(lambda *window: tf.data.Dataset.from_tensors(window).rebatch(batch_size))
        .skip(start_step % window_steps)
        .prefetch(4)
    )
    return dataset, steps


def rows_dataset(
    store: Store,
    group: str,
    start: int,
    stop: int,
    *,
    batch_size: int,
    context: int | None = None,
) -> tf.data.Dataset:
    """Return the base codes of a contiguous range of rows, in row order.

    Parameters
    ----------
    store, group
        Where the rows are.
    start, stop
        The rows, half-open.
    batch_size
        Rows per batch; the last one may be smaller.
    context
        Central bases of the stored window; default: all.

    Returns
    -------
    tf.data.Dataset
        uint8 (B, L).
    """
    rows = store.group(group)
    step = max(1, rows.chunk_rows // batch_size) * batch_size

    def read(first: NDArray[np.int64]) -> NDArray[np.uint8]:
        return central(rows.codes(int(first), min(int(first) + step, stop)), context)

    def load(first: tf.Tensor) -> tf.Tensor:
        codes = tf.numpy_function(read, [first], tf.uint8, stateful=False)
        codes.set_shape((None, context or rows.length))
        return codes

    return tf.data.Dataset.range(start, stop, step).map(load).rebatch(batch_size).prefetch(2)


def take_rows(
    store: Store,
    rows: Sequence[tuple[str, NDArray[np.int64]]],
    *,
    label: int = 0,
    context: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read chosen rows into memory, for example those of validation.

    Parameters
    ----------
    store
        The store.
    rows
        (group, row numbers), in the order wanted.
    label
        Column of the labels.
    context
        Central bases of the stored window; default: all.

    Returns
    -------
    codes
        uint8 (n, length).
    label
        float32 (n, 1).
    """
    codes = [central(store.group(group).take_codes(index), context) for group, index in rows]
    labels = [store.group(group).column("label")[index, label] for group, index in rows]
    return np.concatenate(codes), np.concatenate(labels).astype(np.float32)[:, None]
