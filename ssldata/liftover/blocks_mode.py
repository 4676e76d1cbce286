"""The ``blocks`` mode written with NumPy: the readable reference of the compiled kernels.

All functions work on every pair of an interval and a block under it at once.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status
from ssldata.liftover.merge_pieces import grouped_maximum, merge_loci


def implementation(compiled: bool) -> Any:
    """Return the module that has `lift_blocks` and `overlapping_blocks`: compiled, or this one."""
    if compiled:
        from ssldata.liftover import blocks_kernels  # costs a third of a second

        return blocks_kernels
    return sys.modules[__name__]


def overlapping_blocks(
    index: ChainIndex,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    *,
    empty_blocks: bool = False,
) -> tuple[Int64Array, Int64Array]:
    """Return (interval, block) of every block that shares a base with an interval.

    Sorted by interval, then block.

    Parameters
    ----------
    index
        Blocks and chains, from :func:`ssldata.chains.chain_index.load_chain`.
    code, start, end
        The intervals: int32 contig codes of the index (−1: not in it), int64 positions, 0-based
        half-open.
    empty_blocks
        Also return blocks of size 0 strictly inside an interval.
    """
    rows = np.flatnonzero((code >= 0) & (end > start))
    low = np.zeros(len(rows), np.int64)
    high = np.zeros(len(rows), np.int64)
    for contig in np.unique(code[rows]).tolist():
        mine = np.flatnonzero(code[rows] == contig)
        first, last = index.offsets[contig : contig + 2].tolist()
        # The first block that reaches beyond the start, and the first that starts at the end.
        low[mine] = first + np.searchsorted(
            index.block_reach[first:last], start[rows[mine]], side="right"
        )
        high[mine] = first + np.searchsorted(
            index.block_start[first:last], end[rows[mine]], side="left"
        )
    counts = np.maximum(high - low, 0)
    interval = np.repeat(rows, counts)
    block = np.arange(counts.sum()) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    begin = index.block_start[block].astype(np.int64)
    finish = index.block_end[block].astype(np.int64)
    shared = np.minimum(finish, end[interval]) - np.maximum(begin, start[interval])
    keep = shared > 0
    if empty_blocks:
        keep |= (begin == finish) & (start[interval] < begin) & (begin < end[interval])
    return interval[keep], block[keep]


def aligned_bases(
    rows: int, interval: Int64Array, begin: Int64Array, finish: Int64Array
) -> Int64Array:
    """Return, per interval, how many of its bases lie under pieces, each counted once.

    Parameters
    ----------
    rows
        Number of intervals.
    interval, begin, finish
        int64 per piece: its interval, and its part of it, 0-based half-open; sorted by interval,
        then start.
    """
    reached = grouped_maximum(finish, interval)
    fresh = np.maximum(finish - np.maximum(begin, reached), 0)
    total = np.zeros(rows, np.int64)
    np.add.at(total, interval, fresh)
    return total


def chains_of(rows: int, interval: Int64Array, chain: Int32Array) -> tuple[Int64Array, Int32Array]:
    """Return offsets and the distinct chains of each interval, in order of first appearance."""
    key = interval * (np.int64(chain.max(initial=0)) + 1) + chain
    _, first = np.unique(key, return_index=True)
    first = np.sort(first)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(interval[first], minlength=rows), out=offsets[1:])
    return offsets, np.ascontiguousarray(chain[first], dtype=np.int32)


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

    Every aligned block of every chain gives a piece; pieces close together on the query merge;
    an interval with exactly one locus left is mapped to it.

    Parameters
    ----------
    index
        Blocks and chains, from :func:`ssldata.chains.chain_index.load_chain`.
    code, start, end
        The intervals: int32 contig codes of the index (−1: not in it), int64 positions, 0-based
        half-open.
    gap, min_aligned
        As of :class:`.LiftOptions`.
    columns
        Filled in place: those of :class:`.LiftResult`.
    """
    rows = len(code)
    interval, block = overlapping_blocks(index, code, start, end)
    begin = np.maximum(index.block_start[block], start[interval])
    finish = np.minimum(index.block_end[block], end[interval])
    length = finish - begin
    chain = index.block_chain[block]
    query = index.block_query[block] + (begin - index.block_start[block])
    ranges = index.forward(chain, query, query + length)
    found = merge_loci(rows, interval, index.chain_query[chain], *ranges, gap=gap)
    aligned = aligned_bases(rows, interval, begin, finish)
    balance = np.zeros(rows, np.int64)
    np.add.at(balance, interval, np.where(index.mirrored[chain], -length, length))

    status = columns["status"]
    status[:] = Status.MAPPED
    status[aligned < min_aligned * (end - start)] = Status.PARTIAL
    status[found["loci"] > 1] = Status.DISTANT
    status[found["contigs"] > 1] = Status.MULTI_CONTIG
    status[found["loci"] == 0] = Status.DELETED
    status[end <= start] = Status.INVALID
    mapped = status == Status.MAPPED
    for name in ("contig", "start", "end"):
        columns[name][mapped] = found[name][mapped]
    columns["strand"][mapped] = np.where(balance[mapped] >= 0, 1, -1)
    columns["aligned"][:] = aligned
    columns["pieces"][:] = np.bincount(interval, minlength=rows)
    columns["loci"][:] = found["loci"]
    return chains_of(rows, interval, chain)
