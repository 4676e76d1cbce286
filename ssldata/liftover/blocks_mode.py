"""Liftover written with NumPy, to be read: what the compiled kernels must answer.

All functions work on every pair of an interval and a block under it at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status

#: Groups are told apart in one sorted or accumulated array by adding this per group; positions
#: are smaller.
_GROUP = np.int64(1) << 33


def overlapping_blocks(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    empty_blocks: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (interval, block) of every block that shares a base with an interval.

    Sorted by interval, then block. With `empty_blocks`, blocks of size 0 strictly inside an
    interval are returned too.
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


def _grouped_maximum(values: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, per element, the maximum of the elements before it in its group (−1: none).

    `group` ascends; values are ≥ 0.
    """
    lifted = np.maximum.accumulate(values + group * _GROUP) if len(values) else values
    before = np.full(len(values), -1, np.int64)
    same = group[1:] == group[:-1]
    before[1:][same] = (lifted[:-1] - group[1:] * _GROUP)[same]
    return before


def aligned_bases(
    rows: int,
    interval: NDArray[np.int64],
    begin: NDArray[np.int64],
    finish: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return, per interval, how many of its bases lie under pieces, each counted once.

    Pieces are sorted by interval, then start.
    """
    reached = _grouped_maximum(finish, interval)
    fresh = np.maximum(finish - np.maximum(begin, reached), 0)
    total = np.zeros(rows, np.int64)
    np.add.at(total, interval, fresh)
    return total


def chains_of(
    rows: int, interval: NDArray[np.int64], chain: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return offsets and the distinct chains of each interval, in order of first appearance."""
    key = interval * (np.int64(chain.max(initial=0)) + 1) + chain
    _, first = np.unique(key, return_index=True)
    first = np.sort(first)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(interval[first], minlength=rows), out=offsets[1:])
    return offsets, np.ascontiguousarray(chain[first], dtype=np.int32)


def merge_loci(
    rows: int,
    interval: NDArray[np.int64],
    contig: NDArray[np.int32],
    begin: NDArray[np.int64],
    finish: NDArray[np.int64],
    *,
    gap: int,
) -> dict[str, NDArray[Any]]:
    """Merge the query ranges of each interval less than `gap` apart; strands are ignored.

    Two ranges on one contig merge when the start of the next minus the greatest end so far is
    below `gap` (``GenomicRanges::reduce(min.gapwidth=gap)``).

    Returns
    -------
    dict
        Per interval: ``loci`` (number left), ``contigs`` (number of contigs), and of the ranges
        together ``contig`` (of one of them), ``start``, ``end`` (smallest, greatest).
    """
    order = np.lexsort((begin, contig, interval))
    interval, contig = interval[order], contig[order]
    begin, finish = begin[order], finish[order]
    changed = np.ones(len(order), bool)
    changed[1:] = (interval[1:] != interval[:-1]) | (contig[1:] != contig[:-1])
    group = np.cumsum(changed) - 1
    fresh = changed | (begin - _grouped_maximum(finish, group) >= gap)
    start = np.full(rows, np.iinfo(np.int64).max)
    end = np.full(rows, -1, np.int64)
    np.minimum.at(start, interval, begin)
    np.maximum.at(end, interval, finish)
    some = np.full(rows, -1, np.int32)
    some[interval] = contig
    return {
        "loci": np.bincount(interval[fresh], minlength=rows).astype(np.int32),
        "contigs": np.bincount(interval[changed], minlength=rows),
        "contig": some,
        "start": start,
        "end": end,
    }


def query_ranges(
    index: ChainIndex,
    block: NDArray[np.int64],
    begin: NDArray[np.int64],
    length: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return where pieces lie on the forward strand of the query contig: their starts.

    `begin` is the target start of the piece of the block, `length` its length.
    """
    chain = index.block_chain[block]
    query = index.block_query[block] + (begin - index.block_start[block])
    return np.where(
        index.mirrored[chain], index.chain_query_size[chain] - query - length, query
    ).astype(np.int64)


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
    """Fill `columns` for ``blocks`` mode; return offsets and chain numbers.

    Every aligned block of every chain gives a piece; pieces close together on the query merge;
    an interval with exactly one locus left is mapped to it.
    """
    rows = len(code)
    interval, block = overlapping_blocks(index, code, start, end)
    begin = np.maximum(index.block_start[block], start[interval])
    finish = np.minimum(index.block_end[block], end[interval])
    length = finish - begin
    chain = index.block_chain[block]
    query = query_ranges(index, block, begin, length)
    found = merge_loci(rows, interval, index.chain_query[chain], query, query + length, gap=gap)
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
    """Find the chains that cover enough of each interval, as the UCSC tool does.

    A chain whose blocks cover at least ``min_match`` of the interval is a hit; one that covers
    less, but something, is partial. The region of a chain runs from its first to its last aligned
    base under the interval: gaps of the target collapse, insertions of the query stay. A block
    of size 0 strictly inside the interval covers nothing but stretches the region. An interval
    that contains the whole chain gets the query span of its header.

    Parameters
    ----------
    min_match
        Fraction, already rounded as the tool rounds it.
    multiple, clipped
        ``-multiple``; and whether ``min_match`` is measured against the part of the interval
        inside the span of the chain (before v492).
    min_chain_t, min_chain_q, min_size_q
        Smallest spans of chains and of regions; for `multiple` only.
    status, aligned
        Filled: MAPPED, DELETED, PARTIAL, SPLIT or DUPLICATED; bases under the chains returned.

    Returns
    -------
    offsets, chain, start, end
        Per interval the hits, or the partial chains where nothing hit, in the order of the tool,
        each with its region on the forward strand.
    """
    rows = len(code)
    interval, block = overlapping_blocks(index, code, start, end, empty_blocks=True)
    begin = np.maximum(index.block_start[block], start[interval])
    finish = np.minimum(index.block_end[block], end[interval])
    query = index.block_query[block] + (begin - index.block_start[block])

    # One entry per interval and chain; chains are numbered in the order of the tool.
    chain = index.block_chain[block]
    key = interval * np.int64(max(index.chains, 1)) + chain
    pairs, pair = np.unique(key, return_inverse=True)
    count = len(pairs)
    row = np.zeros(count, np.int64)
    row[pair] = interval
    of = np.zeros(count, np.int32)
    of[pair] = chain
    cover = np.zeros(count, np.int64)
    np.add.at(cover, pair, finish - begin)
    left = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(left, pair, query)
    right = np.full(count, -1, np.int64)
    np.maximum.at(right, pair, query + (finish - begin))
    whole = (start[row] <= index.chain_start[of]) & (end[row] >= index.chain_end[of])
    left = np.where(whole, index.chain_query_start[of], left)
    right = np.where(whole, index.chain_query_end[of], right)
    turned = index.mirrored[of]
    size = index.chain_query_size[of].astype(np.int64)
    left, right = np.where(turned, size - right, left), np.where(turned, size - left, right)

    some = cover > 0
    length = end[row] - start[row]
    if multiple:
        some &= index.chain_query_end[of] - index.chain_query_start[of] >= min_chain_q
        some &= index.chain_end[of] - index.chain_start[of] >= min_chain_t
        if clipped:
            length = np.minimum(end[row], index.chain_end[of]) - np.maximum(
                start[row], index.chain_start[of]
            )
    hit = some & (cover >= min_match * length)
    hits = np.bincount(row[hit], minlength=rows)
    partial = np.bincount(row[some & ~hit], minlength=rows)
    status[:] = Status.DELETED
    status[partial == 1] = Status.PARTIAL
    status[partial > 1] = Status.SPLIT
    status[hits > 0] = Status.MAPPED
    if not multiple:
        status[hits > 1] = Status.DUPLICATED
    keep = np.where(hits[row] > 0, hit, some)
    if multiple:
        keep &= (status[row] != Status.MAPPED) | (right - left >= min_size_q)
    kept = np.bincount(row[keep], minlength=rows)
    status[kept == 0] = Status.DELETED
    used = keep[pair] & (finish > begin)
    aligned[:] = aligned_bases(rows, interval[used], begin[used], finish[used])
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(kept, out=offsets[1:])
    return offsets, of[keep], left[keep], right[keep]
