"""Compiled liftover: the answers of :mod:`ssldata.liftover.blocks_mode`, one pass per interval.

Nothing here has a fixed size: scratch grows with what an interval hits, positions are 64-bit.
Intervals come in any order; they are fastest when sorted by (contig, start), because the search
then walks on from the last block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Arrays, Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex, read_only
from ssldata.liftover.lift_result import Status

#: Contig codes (−1: unknown), starts and ends of intervals, 0-based half-open.
IntervalArrays = tuple[Int32Array, Int64Array, Int64Array]

#: Arrays of a :class:`.ChainIndex` that kernels get, in this order.
_ARRAYS = (
    *("offsets", "block_start", "block_end", "block_reach", "block_query", "block_chain"),
    *("chain_query", "chain_query_size", "mirrored"),
    *("chain_start", "chain_end", "chain_query_start", "chain_query_end"),
)
#: Columns of a result that ``blocks`` mode fills.
_COLUMNS = ("status", "contig", "start", "end", "strand", "aligned", "pieces", "loci")


@numba.njit(cache=True, nogil=True, inline="always")
def first_block(reach: Int32Array, begin: int, end: int, start: int, hint: int) -> int:
    """Return the first block of [begin, end) whose running end lies beyond `start`.

    Parameters
    ----------
    reach
        int32, running maximum of block ends.
    begin, end
        The blocks of the contig, half-open.
    start
        Position, 0-based.
    hint
        Answer for the interval before: a few steps from there, else a binary search.
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
def _sort_pair(key: Int64Array, value: Int64Array, size: int) -> None:
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
    index: Arrays,
    intervals: IntervalArrays,
    rules: tuple[int, float],
    columns: Arrays,
    row_offsets: Int64Array,
    flat: tuple[Int32Array],
    mark: Int64Array,
    scratch: Int64Array,
    first_row: int,
) -> int:
    """Fill the columns for ``blocks`` mode; a kernel of :func:`run`.

    `rules` are the gap and the least aligned fraction; `flat` gets the chains of each row.
    """
    offsets, block_start, block_end, reach, block_query, block_chain = index[:6]
    chain_query, chain_query_size, mirrored = index[6:9]
    code, start, end = intervals
    gap, min_aligned = rules
    status, contig, new_start, new_end, strand, aligned, pieces, loci = columns
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
            status[row] = Status.INVALID
            continue
        c = code[row]
        if c < 0:
            status[row] = Status.DELETED
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
                if mirrored[chain]:
                    query = np.int64(chain_query_size[chain]) - query - length
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
            status[row] = Status.DELETED
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
            status[row] = Status.MULTI_CONTIG
        elif found > 1:
            status[row] = Status.DISTANT
        elif covered < min_aligned * (e - s):
            status[row] = Status.PARTIAL
        else:
            status[row] = Status.MAPPED
            contig[row] = key[0] >> 32
            new_start[row] = key[0] & 0xFFFFFFFF
            new_end[row] = right
            strand[row] = 1 if balance >= 0 else -1
    row_offsets[rows] = used
    return rows


@numba.njit(cache=True, nogil=True)
def _overlaps(
    index: Arrays,
    intervals: IntervalArrays,
    _rules: tuple[int],
    _columns: Arrays,
    row_offsets: Int64Array,
    flat: tuple[Int64Array],
    _mark: Int64Array,
    _scratch: Int64Array,
    first_row: int,
) -> int:
    """Fill `flat` with the blocks under each interval; a kernel of :func:`run`."""
    offsets, block_start, block_end, reach = index[:4]
    code, start, end = intervals
    (blocks,) = flat
    used = row_offsets[first_row]
    hint = -1
    for row in range(first_row, code.size):
        row_offsets[row] = used
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
                if used == blocks.size:
                    return row
                blocks[used] = block
                used += 1
            block += 1
    row_offsets[code.size] = used
    return code.size


@numba.njit(cache=True, nogil=True)
def _is_sorted(code: Int32Array, start: Int64Array) -> bool:
    """Return whether starts ascend in long runs of one contig, in whatever order contigs come."""
    changes = 0
    for row in range(1, code.size):
        if code[row] != code[row - 1]:
            changes += 1
        elif start[row] < start[row - 1]:
            return False
    return changes <= code.size // 64 + 1


def _sorted_order(code: Int32Array, start: Int64Array) -> Int64Array | None:
    """Return the order of the intervals by (contig, start); None where they are sorted enough."""
    if _is_sorted(read_only(code), read_only(start)):
        return None
    key = (code.astype(np.int64) << 32) + np.clip(start, 0, 2**32 - 1)
    return np.argsort(key)


@numba.njit(cache=True, nogil=True)
def _unsorted_runs(order: Int64Array, sorted_offsets: Int64Array) -> Any:
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


def run(
    kernel: Callable[..., int],
    index: ChainIndex,
    intervals: IntervalArrays,
    rules: tuple[Any, ...],
    columns: Arrays,
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
        Arrays with one value per interval; filled.
    kinds
        dtypes of `flat`: arrays with any number of values per interval.

    Returns
    -------
    offsets, *flat
        The values of interval i are ``offsets[i]:offsets[i + 1]`` of each flat array.
    """
    order = _sorted_order(intervals[0], intervals[1])
    out: Arrays = columns
    sorted_intervals: Arrays = intervals
    if order is not None:
        sorted_intervals = tuple(column[order] for column in intervals)
        out = tuple(column.copy() for column in columns)
    sorted_intervals = tuple(map(read_only, sorted_intervals))
    arrays = tuple(getattr(index, name) for name in _ARRAYS)
    rows = len(intervals[0])
    offsets = np.zeros(rows + 1, np.int64)
    flat: Arrays = tuple(np.empty(rows + rows // 8 + 64, kind) for kind in kinds)
    mark = np.full(index.chains, -1, np.int64)
    room, row = 64, 0
    while True:
        row = kernel(
            arrays, sorted_intervals, tuple(rules), out, offsets, flat, mark,
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
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    *,
    gap: int,
    min_aligned: float,
    columns: dict[str, NDArray[Any]],
) -> tuple[Int64Array, Int32Array]:
    """Fill `columns` for ``blocks`` mode; return offsets and chain numbers.

    Parameters
    ----------
    index, code, start, end, gap, min_aligned, columns
        As of :func:`ssldata.liftover.blocks_mode.lift_blocks`.
    """
    offsets, chains = run(
        _blocks, index, (code, start, end), (gap, float(min_aligned)),
        tuple(columns[name] for name in _COLUMNS), (np.int32,),
    )  # fmt: skip
    return offsets, chains


def overlapping_blocks(
    index: ChainIndex, code: Int32Array, start: Int64Array, end: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return (interval, block) of every block that shares a base with an interval.

    Parameters
    ----------
    index, code, start, end
        As of :func:`ssldata.liftover.blocks_mode.overlapping_blocks`.
    """
    offsets, block = run(_overlaps, index, (code, start, end), (0,), (), (np.int64,))
    return np.repeat(np.arange(len(code)), np.diff(offsets)), block
