"""Compiled liftover: the answers of :mod:`ssldata.liftover.blocks_mode`, one pass per interval.

Nothing here has a fixed size: scratch grows with what an interval hits, positions are 64-bit.
Intervals come in any order; they are fastest when sorted by (contig, start), because the search
then walks on from the last block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex, read_only
from ssldata.liftover.lift_result import Status

Columns = TypeVar("Columns", bound=tuple[NDArray[Any], ...])


class IndexArrays(NamedTuple):
    """The arrays of a :class:`.ChainIndex` that compiled code reads, by their names there."""

    offsets: NDArray[np.int64]
    block_start: NDArray[np.int32]
    block_end: NDArray[np.int32]
    block_reach: NDArray[np.int32]
    block_query: NDArray[np.int32]
    block_chain: NDArray[np.int32]
    chain_start: NDArray[np.int32]
    chain_end: NDArray[np.int32]
    chain_query: NDArray[np.int32]
    chain_query_size: NDArray[np.int32]
    chain_query_start: NDArray[np.int32]
    chain_query_end: NDArray[np.int32]
    mirrored: NDArray[np.bool_]


class IntervalArrays(NamedTuple):
    """Intervals: target contig codes (−1: unknown), starts and ends."""

    code: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


class BlocksColumns(NamedTuple):
    """Columns of a :class:`.LiftResult` that ``blocks`` mode fills."""

    status: NDArray[np.int8]
    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.int8]
    aligned: NDArray[np.int64]
    pieces: NDArray[np.int32]
    loci: NDArray[np.int32]


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
    index: IndexArrays,
    intervals: IntervalArrays,
    rules: tuple[int, float],
    out: BlocksColumns,
    row_offsets: NDArray[np.int64],
    flat: tuple[NDArray[np.int32]],
    mark: NDArray[np.int64],
    scratch: NDArray[np.int64],
    first_row: int,
) -> int:
    """Fill the columns for ``blocks`` mode; a kernel of :func:`run`.

    `rules` are the gap and the least aligned fraction; `flat` gets the chains of each row.
    """
    offsets, block_start, block_end = index.offsets, index.block_start, index.block_end
    reach, block_query, block_chain = index.block_reach, index.block_query, index.block_chain
    code, start, end = intervals
    gap, min_aligned = rules
    (chains,) = flat
    key, stop = scratch[0], scratch[1]  # of the pieces of one interval
    rows = code.size
    used = row_offsets[first_row]
    hint = -1
    for row in range(first_row, rows):
        row_offsets[row] = used
        s = start[row]
        e = end[row]
        if e <= s:
            out.status[row] = Status.INVALID
            continue
        c = code[row]
        if c < 0:
            out.status[row] = Status.DELETED
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
                if size == key.size or used == chains.size:
                    mark[:] = -1
                    return row
                if mark[chain] != row:
                    mark[chain] = row
                    chains[used] = chain
                    used += 1
                query = np.int64(block_query[block]) + (begin - b)
                length = finish - begin
                if index.mirrored[chain]:
                    query = np.int64(index.chain_query_size[chain]) - query - length
                    balance -= length
                else:
                    balance += length
                key[size] = (np.int64(index.chain_query[chain]) << 32) + query
                stop[size] = query + length
                size += 1
            block += 1
        out.aligned[row] = covered
        out.pieces[row] = size
        if size == 0:
            out.status[row] = Status.DELETED
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
        out.loci[row] = found
        if contigs > 1:
            out.status[row] = Status.MULTI_CONTIG
        elif found > 1:
            out.status[row] = Status.DISTANT
        elif covered < min_aligned * (e - s):
            out.status[row] = Status.PARTIAL
        else:
            out.status[row] = Status.MAPPED
            out.contig[row] = key[0] >> 32
            out.start[row] = key[0] & 0xFFFFFFFF
            out.end[row] = right
            out.strand[row] = 1 if balance >= 0 else -1
    row_offsets[rows] = used
    return rows


@numba.njit(cache=True, nogil=True)
def _pieces(
    index: IndexArrays,
    intervals: IntervalArrays,
    interval: NDArray[np.int64],
    which: NDArray[np.int64],
) -> int:
    """Count the pieces, and where the arrays have room note the interval and block of each."""
    offsets, block_start, block_end = index.offsets, index.block_start, index.block_end
    code, start, end = intervals
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
        block = first_block(index.block_reach, offsets[c], last, s, hint)
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


def _sorted_order(code: NDArray[np.int32], start: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the order of the intervals by (contig, start); None where they are sorted enough."""
    if _is_sorted(read_only(code), read_only(start)):
        return None
    key = (code.astype(np.int64) << 32) + np.clip(start, 0, 2**32 - 1)
    return np.argsort(key)


@numba.njit(cache=True, nogil=True)
def _unsorted_runs(order: NDArray[np.int64], sorted_offsets: NDArray[np.int64]) -> Any:
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


def arrays_of(index: ChainIndex) -> IndexArrays:
    """Return what compiled code reads of an index."""
    return IndexArrays(*(getattr(index, name) for name in IndexArrays._fields))


def run(
    kernel: Callable[..., int],
    index: ChainIndex,
    intervals: IntervalArrays,
    rules: tuple[Any, ...],
    columns: Columns,
    kinds: tuple[type, ...],
) -> tuple[Any, ...]:
    """Run a kernel over intervals in genome order, with ever more room where it runs out of it.

    Parameters
    ----------
    kernel
        ``kernel(index, intervals, rules, columns, offsets, flat, mark, scratch, first_row)``
        fills `columns`, `offsets` and `flat` from `first_row` on. It returns the row at which
        `flat` or `scratch`, int64 (4, room), was too short, and the number of rows at the end.
        `mark`, int64 per chain, is −1 when it starts and when it returns early.
    index, intervals
        Blocks of chains, and what to look up in them.
    rules
        Numbers for the kernel.
    columns
        Named tuple of arrays with one value per interval; filled.
    kinds
        dtypes of `flat`: arrays with any number of values per interval.

    Returns
    -------
    offsets, *flat
        The values of interval i are ``offsets[i]:offsets[i + 1]`` of each flat array.
    """
    order = _sorted_order(intervals.code, intervals.start)
    out = columns
    if order is not None:
        intervals = IntervalArrays(*(column[order] for column in intervals))
        out = type(columns)(*(column.copy() for column in columns))
    intervals = IntervalArrays(*map(read_only, intervals))
    rows = len(intervals.code)
    offsets = np.zeros(rows + 1, np.int64)
    flat = tuple(np.empty(rows + rows // 8 + 64, kind) for kind in kinds)
    mark = np.full(index.chains, -1, np.int64)
    room, row = 64, 0
    while True:
        row = kernel(
            arrays_of(index), intervals, rules, out, offsets, flat, mark,
            np.empty((4, room), np.int64), row,
        )  # fmt: skip
        if row == rows:
            break
        # One interval may hit any number of blocks and chains: go on from it with more room.
        room *= 2
        flat = tuple(np.resize(values, 2 * len(values)) for values in flat)
    flat = tuple(values[: offsets[rows]] for values in flat)
    if order is not None:
        for column, found in zip(columns, out, strict=True):
            column[order] = found
        offsets, source = _unsorted_runs(read_only(order), read_only(offsets))
        flat = tuple(values[source] for values in flat)
    return offsets, *flat


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
    offsets, chains = run(
        _blocks, index, IntervalArrays(code, start, end), (gap, float(min_aligned)),
        BlocksColumns(*(columns[name] for name in BlocksColumns._fields)), (np.int32,),
    )  # fmt: skip
    return offsets, chains


def overlapping_blocks(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (interval, block) of every block that shares a base with an interval."""
    none = np.zeros(0, np.int64)
    arrays = arrays_of(index)
    intervals = IntervalArrays(read_only(code), read_only(start), read_only(end))
    total = _pieces(arrays, intervals, none, none)
    interval = np.empty(total, np.int64)
    which = np.empty(total, np.int64)
    if total:
        _pieces(arrays, intervals, interval, which)
    return interval, which
