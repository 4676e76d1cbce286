"""Compiled loops of a scan: the best match of every filter in every window.

One-hot input makes a convolution a sum of rows of its kernel, one row for each base. Here a row
stands for two bases, so that a filter of 24 bases takes 12 additions instead of 96 products, and
windows that overlap share all of them but those of their ends.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray

#: Filters computed together: their rows of the table stay in a core's cache.
LANES = 64

#: Codes of a base, N included; values of a pair; pairs added at once.
_CODES, _PAIRS, _AT_ONCE = 5, 25, 4

Floats = NDArray[np.float32]


def pair_table(kernel: Floats) -> Floats:
    """Return the sums that each pair of bases adds to each filter.

    Parameters
    ----------
    kernel
        Of a convolution, (width, 4, filters).

    Returns
    -------
    float32 (groups, pairs of positions, 25, LANES)
        Filters and positions that are not in the kernel are zeros.
    """
    width, bases, filters = kernel.shape
    groups, pairs = -(-filters // LANES), -(-width // (2 * _AT_ONCE)) * _AT_ONCE
    rows = np.zeros((2 * pairs, _CODES, groups * LANES), np.float32)
    rows[:width, :bases, :filters] = kernel
    table = rows[0::2, :, None] + rows[1::2, None, :]
    table = table.reshape(pairs, _PAIRS, groups, LANES).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(table)


def pairs_of(codes: ByteArray, table: Floats) -> ByteArray:
    """Return the pair that begins at every base of a sequence, as far as `table` reads it."""
    # Beyond its end there are zeros of the table only, whatever the base.
    padded = np.full(len(codes) + 2 * table.shape[1], _CODES - 1, np.uint8)
    padded[: len(codes)] = np.minimum(codes, _CODES - 1)
    return padded[:-1] * np.uint8(_CODES) + padded[1:]


#: No number here is NaN, so the comparisons of many lanes become one instruction.
_FAST = {"nsz", "nnan", "contract"}


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _larger(a: np.float32, b: np.float32) -> np.float32:
    return a if a > b else b


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _raise_to(
    best: Floats, match: Floats, pairs: ByteArray, table: Floats, first: int, last: int
) -> None:
    """Raise `best` to the matches of a group of filters at the positions [first, last).

    `match` is room to work in.
    """
    step = np.uint64(_PAIRS * LANES)
    for position in range(first, last):
        for lane in range(LANES):
            match[lane] = 0
        at, row = np.uint64(position), np.uint64(0)
        for _ in range(table.size // (_AT_ONCE * _PAIRS * LANES)):
            a = row + np.uint64(pairs[at]) * np.uint64(LANES)
            b = row + np.uint64(pairs[at + np.uint64(2)]) * np.uint64(LANES) + step
            c = row + np.uint64(pairs[at + np.uint64(4)]) * np.uint64(LANES) + step + step
            d = row + np.uint64(pairs[at + np.uint64(6)]) * np.uint64(LANES) + step + step + step
            for lane in range(LANES):
                i = np.uint64(lane)
                match[lane] += (table[a + i] + table[b + i]) + (table[c + i] + table[d + i])
            at += np.uint64(2 * _AT_ONCE)
            row += np.uint64(_AT_ONCE) * step
        for lane in range(LANES):
            best[lane] = _larger(match[lane], best[lane])


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _slide(block: Floats, count: int, whole: int) -> None:
    """Replace row i of `block` by the maximum of rows i … i + whole − 1, for i < count.

    Van Herk 1992, Gil and Werman 1993: three comparisons for each number, whatever `whole` is.
    """
    behind = block.copy()
    rows = block.shape[0]
    for row in range(rows):
        if row % whole:
            for lane in range(LANES):
                behind[row, lane] = _larger(behind[row, lane], behind[row - 1, lane])
    for row in range(rows - 2, -1, -1):
        if (row + 1) % whole:
            for lane in range(LANES):
                block[row, lane] = _larger(block[row, lane], block[row + 1, lane])
    for row in range(count):
        for lane in range(LANES):
            block[row, lane] = _larger(block[row, lane], behind[row + whole - 1, lane])


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def window_maxima(
    pairs: ByteArray, table: Floats, out: Floats, stride: int, positions: int
) -> None:
    """Write the best match of every filter in every window.

    Parameters
    ----------
    pairs
        Of a sequence (:func:`pairs_of`) that the windows fill.
    table
        Of a convolution (:func:`pair_table`).
    out
        float32 (windows, filters), written.
    stride
        Bases from one window to the next.
    positions
        Positions of the filter in a window.
    """
    count, filters = out.shape
    # A window is `whole` blocks of `stride` positions, and the first `rest` of the next.
    whole, rest = divmod(positions, stride)
    if whole == 0:
        whole, rest = 1, 0
    length = min(stride, positions)
    match = np.empty(LANES, np.float32)
    for group in range(table.shape[0]):
        flat = table[group].reshape(-1)
        block = np.full((count + whole - 1, LANES), -np.inf, np.float32)
        head = np.full((count if rest else 0, LANES), -np.inf, np.float32)
        for number in range(len(block)):
            first, done = number * stride, 0
            if rest and number >= whole:
                _raise_to(head[number - whole], match, pairs, flat, first, first + rest)
                block[number] = head[number - whole]
                done = rest
            _raise_to(block[number], match, pairs, flat, first + done, first + length)
        if rest:
            first = len(block) * stride
            _raise_to(head[count - 1], match, pairs, flat, first, first + rest)
        if whole > 1:
            _slide(block, count, whole)
        for row in range(count):
            for lane in range(min(LANES, filters - group * LANES)):
                value = block[row, lane]
                if rest:
                    value = _larger(value, head[row, lane])
                out[row, group * LANES + lane] = value
