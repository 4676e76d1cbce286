"""Compiled liftover: the answers of :mod:`ssldata.liftover.blocks_mode`, one pass per interval.

Nothing here has a fixed size: scratch grows with what an interval hits, positions are 64-bit.
Intervals come in any order; they are fastest when sorted by (contig, start), because the search
then walks on from the last block.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex, read_only
from ssldata.liftover.lift_result import Status

_MAPPED = int(Status.MAPPED)
_DELETED = int(Status.DELETED)
_PARTIAL = int(Status.PARTIAL)
_SPLIT = int(Status.SPLIT)
_DUPLICATED = int(Status.DUPLICATED)
_DISTANT = int(Status.DISTANT)
_MULTI_CONTIG = int(Status.MULTI_CONTIG)
_INVALID = int(Status.INVALID)


@numba.njit(cache=True, nogil=True, inline="always")
def first_block(reach: NDArray[np.int32], begin: int, end: int, start: int, hint: int) -> int:
    """Return the first block of [begin, end) whose running end lies beyond `start`.

    `hint` is the answer for the interval before: a few steps from there, else a binary search.
    """
    low = begin
    high = end
    if begin <= hint < end and reach[hint] <= start:
        low = hint + 1
        for _ in range(8):
            if low >= end or reach[low] > start:
                return low
            low += 1
    elif begin <= hint < end and (hint == begin or reach[hint - 1] <= start):
        return hint
    while low < high:
        middle = (low + high) >> 1
        if reach[middle] <= start:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def _sort_pair(key: NDArray[np.int64], value: NDArray[np.int64], size: int) -> None:
    """Sort key[:size] ascending, `value` along with it."""
    if size > 48:
        order = np.argsort(key[:size], kind="mergesort")
        key[:size] = key[:size][order]
        value[:size] = value[:size][order]
        return
    if size > 1 and key[0] > key[size - 1]:  # a chain on the minus strand comes backwards
        for low in range(size // 2):
            high = size - 1 - low
            key[low], key[high] = key[high], key[low]
            value[low], value[high] = value[high], value[low]
    for at in range(1, size):
        k = key[at]
        v = value[at]
        low = at - 1
        while low >= 0 and key[low] > k:
            key[low + 1] = key[low]
            value[low + 1] = value[low]
            low -= 1
        key[low + 1] = k
        value[low + 1] = v


@numba.njit(cache=True, nogil=True)
def _blocks(
    offsets: NDArray[np.int64],
    block_start: NDArray[np.int32],
    block_end: NDArray[np.int32],
    reach: NDArray[np.int32],
    block_query: NDArray[np.int32],
    block_chain: NDArray[np.int32],
    chain_query: NDArray[np.int32],
    chain_size: NDArray[np.int32],
    mirrored: NDArray[np.bool_],
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    gap: int,
    min_aligned: float,
    status: NDArray[np.int8],
    contig: NDArray[np.int32],
    new_start: NDArray[np.int64],
    new_end: NDArray[np.int64],
    strand: NDArray[np.int8],
    aligned: NDArray[np.int64],
    pieces: NDArray[np.int32],
    loci: NDArray[np.int32],
    row_offsets: NDArray[np.int64],
    flat: NDArray[np.int32],
    stamp: NDArray[np.int64],
    key: NDArray[np.int64],
    stop: NDArray[np.int64],
    first_row: int,
) -> int:
    """Fill the columns of the result for ``blocks`` mode, and `flat` with the chains of the rows.

    Returns the row at which `flat` (chains) or `key` and `stop` (pieces of one interval) were too
    short, to go on from there with longer ones; the number of rows when all are done. `stamp`,
    one entry per chain, is −1 at first.
    """
    rows = code.size
    used = row_offsets[first_row]
    hint = -1
    for row in range(first_row, rows):
        row_offsets[row] = used
        s = start[row]
        e = end[row]
        if e <= s:
            status[row] = _INVALID
            continue
        c = code[row]
        if c < 0:
            status[row] = _DELETED
            continue
        last = offsets[c + 1]
        block = first_block(reach, offsets[c], last, s, hint)
        hint = block
        size = 0
        covered = 0
        reached = s
        balance = 0
        while block < last and block_start[block] < e:
            b = np.int64(block_start[block])
            f = np.int64(block_end[block])
            begin = max(b, s)
            finish = min(f, e)
            if finish > begin:
                if finish > reached:
                    covered += finish - max(begin, reached)
                    reached = finish
                chain = block_chain[block]
                if size == key.size or used == flat.size:
                    stamp[:] = -1
                    return row
                if stamp[chain] != row:
                    stamp[chain] = row
                    flat[used] = chain
                    used += 1
                query = np.int64(block_query[block]) + (begin - b)
                length = finish - begin
                if mirrored[chain]:
                    query = np.int64(chain_size[chain]) - query - length
                    balance -= length
                else:
                    balance += length
                key[size] = (np.int64(chain_query[chain]) << 32) + query
                stop[size] = query + length
                size += 1
            block += 1
        aligned[row] = covered
        pieces[row] = size
        if size == 0:
            status[row] = _DELETED
            continue
        if size > 1:
            _sort_pair(key, stop, size)
        found = 1
        contigs = 1
        right = stop[0]
        for at in range(1, size):
            if key[at] >> 32 != key[at - 1] >> 32:
                contigs += 1
                found += 1
                right = stop[at]
            elif (key[at] & 0xFFFFFFFF) - right >= gap:
                found += 1
                right = stop[at]
            else:
                right = max(right, stop[at])
        loci[row] = found
        if contigs > 1:
            status[row] = _MULTI_CONTIG
        elif found > 1:
            status[row] = _DISTANT
        elif covered < min_aligned * (e - s):
            status[row] = _PARTIAL
        else:
            status[row] = _MAPPED
            contig[row] = key[0] >> 32
            new_start[row] = key[0] & 0xFFFFFFFF
            new_end[row] = right
            strand[row] = 1 if balance >= 0 else -1
    row_offsets[rows] = used
    return rows


@numba.njit(cache=True, nogil=True)
def _pieces(
    offsets: NDArray[np.int64],
    block_start: NDArray[np.int32],
    block_end: NDArray[np.int32],
    reach: NDArray[np.int32],
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    interval: NDArray[np.int64],
    which: NDArray[np.int64],
) -> int:
    """Count the pieces, and where the arrays have room note the interval and block of each."""
    total = 0
    fill = which.size > 0
    hint = -1
    for row in range(code.size):
        s = start[row]
        e = end[row]
        c = code[row]
        if c < 0 or e <= s:
            continue
        last = offsets[c + 1]
        block = first_block(reach, offsets[c], last, s, hint)
        hint = block
        while block < last and block_start[block] < e:
            if min(np.int64(block_end[block]), e) > max(np.int64(block_start[block]), s):
                if fill:
                    interval[total] = row
                    which[total] = block
                total += 1
            block += 1
    return total


@numba.njit(cache=True, nogil=True)
def _is_sorted(code: NDArray[np.int32], start: NDArray[np.int64]) -> bool:
    """Return whether starts ascend in long runs of one contig, in whatever order contigs come."""
    changes = 0
    for row in range(1, code.size):
        if code[row] != code[row - 1]:
            changes += 1
        elif start[row] < start[row - 1]:
            return False
    return changes <= code.size // 64 + 1


def longer(values: NDArray[Any], used: int) -> NDArray[Any]:
    """Return an array of twice the size; the first `used` values are kept."""
    out = np.empty(2 * len(values), values.dtype)
    out[:used] = values[:used]
    return out


def sorted_order(code: NDArray[np.int32], start: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the order of the intervals by (contig, start); None where they are sorted enough."""
    if _is_sorted(read_only(code), read_only(start)):
        return None
    key = (code.astype(np.int64) << 32) + np.clip(start, 0, 2**32 - 1)
    return np.argsort(key)


@numba.njit(cache=True, nogil=True)
def _sources(order: NDArray[np.int64], sorted_offsets: NDArray[np.int64]) -> Any:
    """Return the offsets of runs in row order, and where each of their elements is now."""
    rows = order.size
    offsets = np.zeros(rows + 1, np.int64)
    for place in range(rows):
        offsets[order[place] + 1] = sorted_offsets[place + 1] - sorted_offsets[place]
    for row in range(rows):
        offsets[row + 1] += offsets[row]
    source = np.empty(sorted_offsets[rows], np.int64)
    for place in range(rows):
        at = offsets[order[place]]
        for step in range(sorted_offsets[place], sorted_offsets[place + 1]):
            source[at] = step
            at += 1
    return offsets, source


def unsorted_runs(
    order: NDArray[np.int64] | None, offsets: NDArray[np.int64], *columns: NDArray[Any]
) -> tuple[Any, ...]:
    """Return offsets and flat columns of runs in row order; `offsets` are those of sorted rows."""
    if order is None:
        return (offsets, *columns)
    new_offsets, source = _sources(read_only(order), read_only(offsets))
    return (new_offsets, *(column[source] for column in columns))


def lift_blocks(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    gap: int,
    min_aligned: float,
    columns: dict[str, NDArray[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Fill `columns` for ``blocks`` mode; return offsets and chain numbers."""
    order = sorted_order(code, start)
    out = columns
    if order is not None:
        code, start, end = code[order], start[order], end[order]
        out = {name: column.copy() for name, column in columns.items()}
    rows = len(code)
    offsets = np.zeros(rows + 1, np.int64)
    ids = np.empty(rows + rows // 8 + 64, np.int32)
    stamp = np.full(index.chains, -1, np.int64)
    scratch = 64
    row = 0
    while True:
        row = _blocks(
            index.offsets, index.block_start, index.block_end, index.block_reach,
            index.block_query, index.block_chain, index.chain_query, index.chain_query_size,
            index.mirrored, read_only(code), read_only(start), read_only(end), gap,
            float(min_aligned), out["status"], out["contig"], out["start"], out["end"],
            out["strand"], out["aligned"], out["pieces"], out["loci"], offsets, ids, stamp,
            np.empty(scratch, np.int64), np.empty(scratch, np.int64), row,
        )  # fmt: skip
        if row == rows:
            break
        # One interval may hit any number of blocks and chains: go on from it with more room.
        scratch *= 2
        ids = longer(ids, int(offsets[row]))
    ids = ids[: offsets[rows]]
    if order is not None:
        for name, column in columns.items():
            column[order] = out[name]
    offsets, ids = unsorted_runs(order, offsets, ids)
    return offsets, ids


def overlapping_blocks(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (interval, block) of every block that shares a base with an interval."""
    none = np.zeros(0, np.int64)
    fixed = (index.offsets, index.block_start, index.block_end, index.block_reach)
    given = (read_only(code), read_only(start), read_only(end))
    total = _pieces(*fixed, *given, none, none)
    interval = np.empty(total, np.int64)
    which = np.empty(total, np.int64)
    if total:
        _pieces(*fixed, *given, interval, which)
    return interval, which
