"""Compiled search of the ucsc modes: which chains cover an interval, and where they lead."""

from __future__ import annotations

import numba
import numpy as np

from ssldata.base.array_types import Arrays, Int8Array, Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.blocks_kernels import IntervalArrays, first_block, run
from ssldata.liftover.lift_result import ChainRules, Status


@numba.njit(cache=True, nogil=True)
def _regions(
    index: Arrays,
    intervals: IntervalArrays,
    rules: tuple[float, bool, bool, int, int, int],
    columns: tuple[Int8Array, Int64Array],
    row_offsets: Int64Array,
    flat: tuple[Int32Array, Int64Array, Int64Array],
    slot: Int64Array,
    scratch: Int64Array,
    first_row: int,
) -> int:
    """Fill `columns`, and `flat` with the regions of each row; a kernel of `run`.

    `rules` are the fields of :class:`.ChainRules`.
    """
    offsets, block_start, block_end, reach, block_query, block_chain = index[:6]
    chain_query_size, mirrored = index[7:9]
    chain_start, chain_end, chain_query_start, chain_query_end = index[9:]
    min_match, multiple, clipped, min_chain_t, min_chain_q, min_size_q = rules
    code, start, end = intervals
    status, aligned = columns
    out_chain, out_start, out_end = flat
    # Chains met under the interval, in order of appearance; slot[chain] finds one again.
    met, cover, low, high = scratch[0], scratch[1], scratch[2], scratch[3]
    rows = code.size
    used = row_offsets[first_row]
    hint = -1
    for row in range(first_row, rows):
        row_offsets[row] = used
        status[row] = Status.DELETED
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
            status[row] = Status.PARTIAL if partial == 1 else Status.SPLIT
        elif hits > 1 and not multiple:
            status[row] = Status.DUPLICATED
        else:
            status[row] = Status.MAPPED
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
                size = chain_query_size[chain]
                left, right = size - right, size - left
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
            status[row] = Status.DELETED
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
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    *,
    rules: ChainRules,
    status: Int8Array,
    aligned: Int64Array,
) -> tuple[Int64Array, Int32Array, Int64Array, Int64Array]:
    """Do what :func:`ssldata.liftover.ucsc_mode.covering_chains` does, compiled.

    Parameters
    ----------
    index, code, start, end, rules, status, aligned
        As there.
    """
    offsets, chain, begin, finish = run(
        _regions, index, (code, start, end), rules, (status, aligned),
        (np.int32, np.int64, np.int64),
    )  # fmt: skip
    return offsets, chain, begin, finish
