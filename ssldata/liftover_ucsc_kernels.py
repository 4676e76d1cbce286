"""Compiled search of the ucsc modes: which chains cover an interval, and where they lead."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chain import ChainIndex
from ssldata.liftover_kernels import first_block, grown32, grown64, sorted_order

_MAPPED, _DELETED, _PARTIAL, _SPLIT, _DUPLICATED = range(5)


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
    chain_rank: NDArray[np.int32],
    mirrored: NDArray[np.bool_],
    order: NDArray[np.int64],
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
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Fill `status` and `aligned`; return offsets, chains, region starts and ends per row."""
    rows = code.size
    counts = np.zeros(rows, np.int64)
    place = np.zeros(rows, np.int64)
    out_chain = np.empty(rows + 16, np.int32)
    out_start = np.empty(rows + 16, np.int64)
    out_end = np.empty(rows + 16, np.int64)
    used = 0
    # Chains met under the interval, in order of appearance; slot[chain] finds one again.
    slot = np.full(chain_start.size, -1, np.int32)
    met = np.empty(64, np.int32)
    cover = np.empty(64, np.int64)
    low = np.empty(64, np.int64)
    high = np.empty(64, np.int64)
    hint = -1
    for step in range(rows):
        row = order[step] if order.size else step
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
        while block < last and block_start[block] < e:
            b = np.int64(block_start[block])
            f = np.int64(block_end[block])
            begin = max(b, s)
            finish = min(f, e)
            if finish > begin or (b == f and s < b):
                chain = block_chain[block]
                at = slot[chain]
                query = np.int64(block_query[block]) + (begin - b)
                if at < 0:
                    at = chains
                    slot[chain] = at
                    chains += 1
                    met = grown32(met, at, chains)
                    cover = grown64(cover, at, chains)
                    low = grown64(low, at, chains)
                    high = grown64(high, at, chains)
                    met[at] = chain
                    cover[at] = 0
                    low[at] = query
                    high[at] = query + (finish - begin)
                cover[at] += finish - begin
                low[at] = min(low[at], query)
                high[at] = max(high[at], query + (finish - begin))
                if finish > reached:
                    covered += finish - max(begin, reached)
                    reached = finish
            block += 1
        # Which of them cover enough, and which some.
        hits = 0
        partial = 0
        threshold = min_match * (e - s)
        for at in range(chains):
            chain = met[at]
            slot[chain] = -1
            kind = 0
            if cover[at] > 0:
                kind = 1
            if multiple:
                if (
                    chain_query_end[chain] - chain_query_start[chain] < min_chain_q
                    or chain_end[chain] - chain_start[chain] < min_chain_t
                ):
                    kind = 0
                if clipped:
                    inside = min(e, np.int64(chain_end[chain])) - max(
                        s, np.int64(chain_start[chain])
                    )
                    threshold = min_match * inside
            if kind == 1 and cover[at] >= threshold:
                kind = 2
                hits += 1
            elif kind == 1:
                partial += 1
            cover[at] = kind
        if hits + partial == 0:
            continue
        wanted = 2 if hits > 0 else 1
        if hits == 0:
            status[row] = _PARTIAL if partial == 1 else _SPLIT
        elif hits > 1 and not multiple:
            status[row] = _DUPLICATED
        else:
            status[row] = _MAPPED
        # Their regions, in the order of the tool.
        place[row] = used
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
            if status[row] == _MAPPED and multiple and right - left < min_size_q:
                continue
            out_chain = grown32(out_chain, used, used + 1)
            out_start = grown64(out_start, used, used + 1)
            out_end = grown64(out_end, used, used + 1)
            to = used
            while to > place[row] and chain_rank[out_chain[to - 1]] > chain_rank[chain]:
                out_chain[to] = out_chain[to - 1]
                out_start[to] = out_start[to - 1]
                out_end[to] = out_end[to - 1]
                to -= 1
            out_chain[to] = chain
            out_start[to] = left
            out_end[to] = right
            used += 1
            counts[row] += 1
        if counts[row] == 0:
            status[row] = _DELETED
            continue
        if counts[row] == chains:
            aligned[row] = covered
            continue
        for at in range(place[row], used):
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
        for at in range(place[row], used):
            slot[out_chain[at]] = -1
    # From the order of the search to the order of the rows.
    row_offsets = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        row_offsets[row + 1] = row_offsets[row] + counts[row]
    total = row_offsets[rows]
    if order.size == 0:
        return row_offsets, out_chain[:total], out_start[:total], out_end[:total]
    chain_by_row = np.empty(total, np.int32)
    start_by_row = np.empty(total, np.int64)
    end_by_row = np.empty(total, np.int64)
    for row in range(rows):
        at = row_offsets[row]
        for step in range(counts[row]):
            chain_by_row[at + step] = out_chain[place[row] + step]
            start_by_row[at + step] = out_start[place[row] + step]
            end_by_row[at + step] = out_end[place[row] + step]
    return row_offsets, chain_by_row, start_by_row, end_by_row


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
    """Do what :func:`ssldata.liftover_reference.covering_chains` does, compiled."""
    return _regions(
        index.offsets, index.block_start, index.block_end, index.block_reach, index.block_query,
        index.block_chain, index.chain_start, index.chain_end, index.chain_query_size,
        index.chain_query_start, index.chain_query_end, index.chain_rank, index.mirrored,
        sorted_order(code, start), code, start, end, min_match, multiple, clipped,
        min_chain_t, min_chain_q, min_size_q, status, aligned,
    )  # fmt: skip
