"""Compiled search of the ucsc modes: which chains cover an interval, and where they lead."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex, read_only
from ssldata.liftover.blocks_kernels import (
    first_block,
    longer,
    sorted_order,
    unsorted_runs,
)
from ssldata.liftover.lift_result import Status

_MAPPED = int(Status.MAPPED)
_DELETED = int(Status.DELETED)
_PARTIAL = int(Status.PARTIAL)
_SPLIT = int(Status.SPLIT)
_DUPLICATED = int(Status.DUPLICATED)


@numba.njit(cache=True, nogil=True)
def _regions(
    offsets: NDArray[np.int64],
    block_start: NDArray[np.int32],
    block_end: NDArray[np.int32],
    reach: NDArray[np.int32],
    block_query: NDArray[np.int32],
    block_chain: NDArray[np.int32],
    chain_start: NDArray[np.int32],
    chain_end: NDArray[np.int32],
    chain_size: NDArray[np.int32],
    chain_query_start: NDArray[np.int32],
    chain_query_end: NDArray[np.int32],
    mirrored: NDArray[np.bool_],
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    min_match: float,
    multiple: bool,
    clipped: bool,
    min_chain_t: int,
    min_chain_q: int,
    min_size_q: int,
    status: NDArray[np.int8],
    aligned: NDArray[np.int64],
    row_offsets: NDArray[np.int64],
    out_chain: NDArray[np.int32],
    out_start: NDArray[np.int64],
    out_end: NDArray[np.int64],
    slot: NDArray[np.int32],
    met: NDArray[np.int32],
    scratch: NDArray[np.int64],
    first_row: int,
) -> int:
    """Fill `status`, `aligned`, and the regions of each row.

    Returns the row at which the regions or `met` and `scratch` (chains under one interval) were
    too short, to go on from there with longer ones; the number of rows when all are done. `slot`,
    one entry per chain, is −1 at first.
    """
    rows = code.size
    used = row_offsets[first_row]
    # Chains met under the interval, in order of appearance; slot[chain] finds one again.
    cover, low, high = scratch
    hint = -1
    for row in range(first_row, rows):
        row_offsets[row] = used
        status[row] = _DELETED
        c = code[row]
        if c < 0:
            continue
        s = start[row]
        e = end[row]
        last = offsets[c + 1]
        first = first_block(reach, offsets[c], last, s, hint)
        hint = first
        block = first
        chains = 0
        covered = 0
        reached = s
        current = -1
        at = 0
        while block < last and block_start[block] < e:
            b = np.int64(block_start[block])
            f = np.int64(block_end[block])
            begin = max(b, s)
            finish = min(f, e)
            if finish > begin or (b == f and s < b):
                chain = block_chain[block]
                query = np.int64(block_query[block]) + (begin - b)
                length = finish - begin
                if chain != current:
                    current = chain
                    at = slot[chain]
                    if at < 0:
                        if chains == met.size or used + chains >= out_chain.size:
                            slot[met[:chains]] = -1
                            return row
                        at = chains
                        slot[chain] = at
                        chains += 1
                        met[at] = chain
                        cover[at] = 0
                        low[at] = query
                        high[at] = query
                cover[at] += length
                low[at] = min(low[at], query)
                high[at] = max(high[at], query + length)
                if finish > reached:
                    covered += finish - max(begin, reached)
                    reached = finish
            block += 1
        if chains == 0:
            continue
        # Which of them cover enough, and which some: cover becomes 2, 1 or 0.
        hits = 0
        partial = 0
        threshold = min_match * (e - s)
        for at in range(chains):
            chain = met[at]
            slot[chain] = -1
            bases = cover[at]
            cover[at] = 0
            if multiple:
                if (
                    chain_query_end[chain] - chain_query_start[chain] < min_chain_q
                    or chain_end[chain] - chain_start[chain] < min_chain_t
                ):
                    continue
                if clipped:
                    inside = min(e, np.int64(chain_end[chain])) - max(
                        s, np.int64(chain_start[chain])
                    )
                    threshold = min_match * inside
            if bases > 0:
                if bases >= threshold:
                    cover[at] = 2
                    hits += 1
                else:
                    cover[at] = 1
                    partial += 1
        if hits + partial == 0:
            continue
        wanted = 2 if hits > 0 else 1
        if hits == 0:
            status[row] = _PARTIAL if partial == 1 else _SPLIT
        elif hits > 1 and not multiple:
            status[row] = _DUPLICATED
        else:
            status[row] = _MAPPED
        # Their regions; chains are numbered in the order of the tool.
        for at in range(chains):
            if cover[at] != wanted:
                continue
            chain = met[at]
            left = low[at]
            right = high[at]
            if s <= chain_start[chain] and e >= chain_end[chain]:
                left = np.int64(chain_query_start[chain])
                right = np.int64(chain_query_end[chain])
            if mirrored[chain]:
                left, right = chain_size[chain] - right, chain_size[chain] - left
            if multiple and hits > 0 and right - left < min_size_q:
                continue
            to = used
            while to > row_offsets[row] and out_chain[to - 1] > chain:
                out_chain[to] = out_chain[to - 1]
                out_start[to] = out_start[to - 1]
                out_end[to] = out_end[to - 1]
                to -= 1
            out_chain[to] = chain
            out_start[to] = left
            out_end[to] = right
            used += 1
        listed = used - row_offsets[row]
        if listed == 0:
            status[row] = _DELETED
            continue
        if listed == chains:
            aligned[row] = covered
            continue
        # Only the bases under the chains that are listed count.
        for at in range(row_offsets[row], used):
            slot[out_chain[at]] = 1
        covered = 0
        reached = s
        block = first
        while block < last and block_start[block] < e:
            finish = min(np.int64(block_end[block]), e)
            begin = max(np.int64(block_start[block]), s)
            if finish > begin and slot[block_chain[block]] > 0 and finish > reached:
                covered += finish - max(begin, reached)
                reached = finish
            block += 1
        aligned[row] = covered
        for at in range(row_offsets[row], used):
            slot[out_chain[at]] = -1
    row_offsets[rows] = used
    return rows


def covering_chains(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    min_match: float,
    multiple: bool,
    clipped: bool,
    min_chain_t: int,
    min_chain_q: int,
    min_size_q: int,
    status: NDArray[np.int8],
    aligned: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Do what :func:`ssldata.liftover.blocks_mode.covering_chains` does, compiled."""
    order = sorted_order(code, start)
    found, covered = status, aligned
    if order is not None:
        code, start, end = code[order], start[order], end[order]
        found, covered = status.copy(), aligned.copy()
    rows = len(code)
    offsets = np.zeros(rows + 1, np.int64)
    chain = np.empty(rows + rows // 8 + 64, np.int32)
    begin, finish = np.empty(len(chain), np.int64), np.empty(len(chain), np.int64)
    slot = np.full(index.chains, -1, np.int32)
    room = 64
    row = 0
    while True:
        row = _regions(
            index.offsets, index.block_start, index.block_end, index.block_reach,
            index.block_query, index.block_chain, index.chain_start, index.chain_end,
            index.chain_query_size, index.chain_query_start, index.chain_query_end,
            index.mirrored, read_only(code), read_only(start), read_only(end),
            float(min_match), multiple, clipped, min_chain_t, min_chain_q, min_size_q,
            found, covered, offsets, chain, begin, finish, slot,
            np.empty(room, np.int32), np.empty((3, room), np.int64), row,
        )  # fmt: skip
        if row == rows:
            break
        # One interval may hit any number of chains: go on from it with more room.
        room *= 2
        used = int(offsets[row])
        chain, begin, finish = (longer(column, used) for column in (chain, begin, finish))
    used = int(offsets[rows])
    chain, begin, finish = chain[:used], begin[:used], finish[:used]
    if order is not None:
        status[order] = found
        aligned[order] = covered
    offsets, chain, begin, finish = unsorted_runs(order, offsets, chain, begin, finish)
    return offsets, chain, begin, finish
