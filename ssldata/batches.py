"""Order + store → arrays: reads the pieces of a window and puts their rows in order. NumPy only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ssldata.errors import ConfigError
from ssldata.hashing import uniform_rows
from ssldata.sampling import Window
from ssldata.store import Store


@dataclass(frozen=True, eq=False)
class Weights:
    """Confidence weights of rows, and the noise that is added to them.

    Attributes
    ----------
    arrays
        Group → float32 (rows of the group,). Rows of other groups weigh 1.
    noise_sd
        Standard deviation of Gaussian noise, mean 0.
    clip
        Clip noisy weights to [0, 1].
    redraw
        Draw the noise anew every epoch.
    on_negatives
        Add noise to rows with label 0 as well.
    seed
        Of the noise.
    """

    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    noise_sd: float = 0.0
    clip: bool = True
    redraw: bool = True
    on_negatives: bool = False
    seed: int = 0

    def of(
        self, group: str, rows: NDArray[np.int64], label: NDArray[np.float32], epoch: int
    ) -> NDArray[np.float32]:
        """Return the weights of rows in one epoch.

        Parameters
        ----------
        group, rows
            Which rows.
        label
            float32 (n,), to tell negatives.
        epoch
            0, 1, …

        Returns
        -------
        float32 (n,)
            The noise of a row is a pure function of (seed, epoch, group, row).
        """
        values = self.arrays.get(group)
        weight = np.ones(len(rows), np.float32) if values is None else values[rows]
        noisy = np.ones(len(rows), bool) if self.on_negatives else label > 0
        if not self.noise_sd or not noisy.any() or (values is None and not self.on_negatives):
            return weight.astype(np.float32)
        drawn = ndtri(uniform_rows(rows, "noise", self.seed, epoch if self.redraw else 0, group))
        result = np.where(noisy, weight + self.noise_sd * drawn, weight)
        return (np.clip(result, 0, 1) if self.clip else result).astype(np.float32)


def central(codes: NDArray[np.uint8], context: int | None) -> NDArray[np.uint8]:
    """Return the central `context` bases of every row.

    Raises
    ------
    ConfigError
        More bases are asked for than the store holds, or the difference is odd.
    """
    length = codes.shape[1]
    if context is None or context == length:
        return codes
    if context > length or (length - context) % 2:
        raise ConfigError(
            f"the store holds {length} b per row; a model of {context} b needs at most that, and "
            "an even difference: rebuild with 'windows.context' set"
        )
    first = (length - context) // 2
    return codes[:, first : first + context]


class ChunkCache:
    """The last decoded chunks: windows take a share of every segment, so chunks span windows.

    Parameters
    ----------
    store
        The store.
    chunks
        Chunks kept; at least two per segment, so that each is decoded once per epoch.
    """

    def __init__(self, store: Store, chunks: int) -> None:
        self.store = store
        self._chunks = chunks
        self._kept: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the base codes of rows of one group that lie in one chunk."""
        group = self.store.group(name)
        number = int(rows[0]) // group.chunk_rows
        first = number * group.chunk_rows
        with self._lock:
            codes = self._kept.pop((name, number), None)
        if codes is None:
            codes = group.codes(first, min(first + group.chunk_rows, group.rows))
        with self._lock:
            self._kept[name, number] = codes
            while len(self._kept) > self._chunks:
                self._kept.popitem(last=False)
        return codes[rows - first]


def read_window(
    cache: ChunkCache,
    window: Window,
    *,
    epoch: int,
    label: int = 0,
    context: int | None = None,
    weights: Weights | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Read a window and return its rows in training order.

    Returns
    -------
    codes
        uint8 (rows, length).
    label
        float32 (rows, 1).
    weight
        float32 (rows,).
    """
    codes, labels, row_weights = [], [], []
    for piece in window.pieces:
        codes.append(central(cache.rows(piece.group, piece.rows), context))
        value = cache.store.group(piece.group).column("label")[piece.rows, label].astype(np.float32)
        labels.append(value)
        row_weights.append(
            np.ones(len(piece), np.float32)
            if weights is None
            else weights.of(piece.group, piece.rows, value, epoch)
        )
    order = window.order
    return (
        np.concatenate(codes)[order],
        np.concatenate(labels)[order][:, None],
        np.concatenate(row_weights)[order],
    )
