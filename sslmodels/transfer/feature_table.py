"""Passes over the standardised columns of a feature store, in bounded memory.

Tiles are the rows of one chunk of the store whatever the memory, and sums run over them in their
order: the limit decides what is kept between passes, never a bit of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int64Array
from ssldata.base.errors import InputError
from ssldata.store.feature_store import FeatureStore
from sslmodels.transfer.memory_limit import WorkingSet

Floats = NDArray[np.float64]

#: (first row, last row, products of them) → residuals of these rows.
Residual = Callable[[int, int, Floats], Floats]

#: Numbers of a piece of a tile that are computed with at a time, and its fewest rows.
_PIECE, _PIECE_ROWS = 2**19, 16


def _piece_rows(columns: int) -> int:
    return max(_PIECE_ROWS, _PIECE // max(columns, 1))


def working_set(store: FeatureStore, columns: int, resamples: int) -> WorkingSet:
    """Return what fits to some columns of a store hold at once.

    Parameters
    ----------
    store
        The store.
    columns
        How many of its columns.
    resamples
        Of the coefficients.
    """
    tile_rows = min(store.chunk_rows, store.rows)
    return WorkingSet(
        rows=store.rows,
        columns=columns,
        tile=store.item_bytes * tile_rows * columns,
        chunk=store.chunk_bytes,
        piece=8 * min(_piece_rows(columns), tile_rows) * columns,
        resamples=resamples,
    )


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of every column over the training rows; scale 0: constant."""

    mean: Floats
    scale: Floats

    @property
    def varies(self) -> BoolArray:
        """Which columns are not constant."""
        return np.asarray(self.scale > 0)


class FeatureTable:
    """Some columns of a feature store, standardised on the training rows.

    Parameters
    ----------
    store
        The store.
    columns
        Numbers of the columns.
    names
        Their names, for messages.
    keep
        Bytes of tiles that may be kept in memory between passes.

    Attributes
    ----------
    passes
        How often the store was read through.
    """

    def __init__(
        self, store: FeatureStore, columns: Int64Array, names: Sequence[str], *, keep: int
    ) -> None:
        self._store, self._columns, self.names = store, columns, names
        self._whole = len(columns) == len(store.columns)
        self._kept: dict[int, NDArray] = {}
        self._room = keep
        self.rows, self.count = store.rows, len(columns)
        self.passes = 0
        self.moments = Moments(np.zeros(self.count), np.ones(self.count))

    def _tiles(self) -> Iterator[tuple[int, NDArray]]:
        """Yield the first row and the values of every tile, in the stored type."""
        self.passes += 1
        step = self._store.chunk_rows
        columns = None if self._whole else self._columns
        buffer = None  # one for all tiles that are not kept
        for first in range(0, self.rows, step):
            tile = self._kept.get(first)
            if tile is None:
                last = min(first + step, self.rows)
                here = None if buffer is None else buffer[: last - first]
                tile = self._store.read(first, last, columns, out=here)
                if buffer is None and tile.nbytes <= self._room:
                    self._kept[first] = tile
                    self._room -= tile.nbytes
                else:
                    buffer = tile if buffer is None else buffer
            yield first, tile

    def _pieces(self) -> Iterator[tuple[int, Floats]]:
        """Yield tiles as float64, some rows at a time; how many depends on the columns alone."""
        step = _piece_rows(self.count)
        for first, tile in self._tiles():
            for start in range(0, len(tile), step):
                yield first + start, tile[start : start + step].astype(np.float64)

    def release(self, memory: int) -> None:
        """Forget kept tiles until `memory` more bytes are free."""
        self._room -= memory
        while self._room < 0 and self._kept:
            self._room += self._kept.popitem()[1].nbytes
        self._room = max(self._room, 0)

    def standardise(self, training: BoolArray) -> None:
        """Set mean and scale from the training rows.

        Raises
        ------
        InputError
            A value of any row is not a finite number; the message names the column.
        """
        count = 0
        mean, squares = np.zeros(self.count), np.zeros(self.count)
        low, high = np.full(self.count, np.inf), np.full(self.count, -np.inf)
        for first, tile in self._pieces():
            if not np.isfinite(tile).all():
                row, column = (int(place) for place in np.argwhere(~np.isfinite(tile))[0])
                raise InputError(
                    f"{self._store.path}: {self.names[column]!r} of row {first + row} is "
                    f"{tile[row, column]}; expected a finite number: leave the column out "
                    "(--features), or compute the features again"
                )
            part = tile[training[first : first + len(tile)]]
            if not len(part):
                continue
            # Chan, Golub & LeVeque (1979): stable where the mean is far from 0.
            here = part.mean(axis=0)
            both = count + len(part)
            squares += ((part - here) ** 2).sum(axis=0)
            squares += (here - mean) ** 2 * (count * len(part) / both)
            mean += (here - mean) * (len(part) / both)
            count = both
            np.minimum(low, part.min(axis=0), out=low)
            np.maximum(high, part.max(axis=0), out=high)
        scale = np.sqrt(squares / max(count, 1))
        scale[low == high] = 0.0  # exactly, whatever the rounding of the mean
        self.moments = Moments(mean, scale)

    def _weights(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return weights of raw columns and what their means add, (columns, n) and (n,)."""
        mean, scale = self.moments.mean, self.moments.scale
        raw = np.divide(
            weights, scale[:, None], out=np.zeros_like(weights), where=scale[:, None] > 0
        )
        return raw, mean @ raw

    def products(self, weights: Floats) -> Floats:
        """Return X · w (rows, n) of standardised columns, for weights (columns, n)."""
        raw, shift = self._weights(weights)
        out = np.empty((self.rows, weights.shape[1]))
        for first, values in self._pieces():
            out[first : first + len(values)] = values @ raw - shift
        return out

    def transposed(self, values: Floats) -> Floats:
        """Return Xᵀ · r (columns, n), for values (rows, n)."""
        total = np.zeros((self.count, values.shape[1]))
        for first, piece in self._pieces():
            total += piece.T @ values[first : first + len(piece)]
        return self._standardised(total, values.sum(axis=0))

    def _standardised(self, total: Floats, sums: Floats) -> Floats:
        mean, scale = self.moments.mean[:, None], self.moments.scale[:, None]
        found = total - mean * sums
        return np.divide(found, scale, out=np.zeros_like(found), where=scale > 0)

    def both(self, weights: Floats, of: Residual) -> tuple[Floats, Floats]:
        """Return X · w (rows, n), and Xᵀ · r (columns, n) for r = of(rows, X · w), in one pass.

        Parameters
        ----------
        weights
            (columns, n).
        of
            (first row, last row, products (rows, n)) → residuals (rows, n).
        """
        raw, shift = self._weights(weights)
        out = np.empty((self.rows, weights.shape[1]))
        total, sums = np.zeros_like(weights), np.zeros(weights.shape[1])
        for first, values in self._pieces():
            last = first + len(values)
            out[first:last] = values @ raw - shift
            residual = of(first, last, out[first:last])
            total += values.T @ residual
            sums += residual.sum(axis=0)
        return out, self._standardised(total, sums)

    def gather_both(
        self, columns: Int64Array, first_rows: BoolArray, other_rows: BoolArray
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return standardised columns of two sets of rows, float32 (columns, rows), in one pass."""
        sets = (first_rows, other_rows)
        found = [np.empty((len(columns), int(rows.sum())), np.float32) for rows in sets]
        mean, scale = self.moments.mean[columns], self.moments.scale[columns]
        scale = np.where(scale > 0, scale, 1.0)
        at = [0, 0]
        for first, piece in self._pieces():
            for number, rows in enumerate(sets):
                part = piece[np.ix_(np.flatnonzero(rows[first : first + len(piece)]), columns)]
                end = at[number] + len(part)
                found[number][:, at[number] : end] = ((part - mean) / scale).T
                at[number] = end
        return found[0], found[1]
