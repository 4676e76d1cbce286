"""The ucsc modes: which chains cover an interval enough, and the region each leads to.

The search itself is written with NumPy, as the readable reference of the compiled one
(:mod:`ssldata.liftover.ucsc_kernels`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int8Array, Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover import blocks_mode
from ssldata.liftover.lift_result import ChainRules, LiftOptions, Status
from ssldata.liftover.merge_pieces import merge_loci


class Regions(NamedTuple):
    """What the UCSC tool finds for each interval, before it is written.

    The regions of interval i are ``offsets[i]:offsets[i + 1]``: hits where there are any, else
    the chains that cover too little; in the order of the tool.
    """

    status: Int8Array  #: per interval: MAPPED, DELETED, PARTIAL, SPLIT or DUPLICATED
    aligned: Int64Array  #: per interval: its bases under `chain`, each counted once
    offsets: Int64Array
    chain: Int32Array  #: per region
    start: Int64Array  #: per region, on the forward strand of the query contig
    end: Int64Array


def regions_of(
    index: ChainIndex,
    chain: Int32Array,
    start: Int64Array,
    end: Int64Array,
    pair: Int64Array,
    block: Int64Array,
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return what chains cover of intervals, and the regions they lead to.

    Parameters
    ----------
    index, chain, start, end
        Pairs of a chain and an interval, 0-based half-open.
    pair, block
        Blocks under the interval of a pair, of its chain: number of the pair, and of the block.

    Returns
    -------
    cover, left, right
        Per pair: aligned bases, and the region on the forward strand of the query contig
        (without meaning for a pair without a block).
    """
    begin = np.maximum(index.block_start[block], start[pair])
    length = np.minimum(index.block_end[block], end[pair]) - begin
    query = index.block_query[block] + (begin - index.block_start[block])
    cover = np.zeros(len(chain), np.int64)
    left = np.full(len(chain), np.iinfo(np.int64).max)
    right = np.full(len(chain), -1, np.int64)
    np.add.at(cover, pair, length)
    np.minimum.at(left, pair, query)
    np.maximum.at(right, pair, query + length)
    whole = (start <= index.chain_start[chain]) & (end >= index.chain_end[chain])
    left = np.where(whole, index.chain_query_start[chain], left)
    right = np.where(whole, index.chain_query_end[chain], right)
    return cover, *index.forward(chain, left, right)


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
    """Find the chains that cover enough of each interval, as the UCSC tool does.

    A chain whose blocks cover at least ``min_match`` of the interval is a hit; one that covers
    less, but something, is partial. The region of a chain runs from its first to its last aligned
    base under the interval: gaps of the target collapse, insertions of the query stay. A block
    of size 0 strictly inside the interval covers nothing but stretches the region. An interval
    that contains the whole chain gets the query span of its header.

    Parameters
    ----------
    index, code, start, end
        Chains, and the intervals: contig codes, 0-based half-open.
    rules
        When a chain counts.
    status, aligned
        Filled: MAPPED, DELETED, PARTIAL, SPLIT or DUPLICATED; bases under the chains returned.

    Returns
    -------
    offsets, chain, start, end
        Per interval the hits, or the partial chains where nothing hit, in the order of the tool,
        each with its region on the forward strand.
    """
    rows = len(code)
    interval, block = blocks_mode.overlapping_blocks(index, code, start, end, empty_blocks=True)
    begin = np.maximum(index.block_start[block], start[interval])
    finish = np.minimum(index.block_end[block], end[interval])

    # One entry per interval and chain; chains are numbered in the order of the tool.
    chain = index.block_chain[block]
    key = interval * np.int64(max(index.chains, 1)) + chain
    pairs, pair = np.unique(key, return_inverse=True)
    count = len(pairs)
    row = np.zeros(count, np.int64)
    row[pair] = interval
    of = np.zeros(count, np.int32)
    of[pair] = chain
    cover, left, right = regions_of(index, of, start[row], end[row], pair, block)

    some = cover > 0
    length = end[row] - start[row]
    if rules.multiple:
        some &= index.chain_query_end[of] - index.chain_query_start[of] >= rules.min_chain_q
        some &= index.chain_end[of] - index.chain_start[of] >= rules.min_chain_t
        if rules.clipped:
            length = np.minimum(end[row], index.chain_end[of]) - np.maximum(
                start[row], index.chain_start[of]
            )
    hit = some & (cover >= rules.min_match * length)
    hits = np.bincount(row[hit], minlength=rows)
    partial = np.bincount(row[some & ~hit], minlength=rows)
    status[:] = Status.DELETED
    status[partial == 1] = Status.PARTIAL
    status[partial > 1] = Status.SPLIT
    status[hits > 0] = Status.MAPPED
    if not rules.multiple:
        status[hits > 1] = Status.DUPLICATED
    keep = np.where(hits[row] > 0, hit, some)
    if rules.multiple:
        keep &= (status[row] != Status.MAPPED) | (right - left >= rules.min_size_q)
    kept = np.bincount(row[keep], minlength=rows)
    status[kept == 0] = Status.DELETED
    used = keep[pair] & (finish > begin)
    aligned[:] = blocks_mode.aligned_bases(rows, interval[used], begin[used], finish[used])
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(kept, out=offsets[1:])
    return offsets, of[keep], left[keep], right[keep]


def find_regions(
    index: ChainIndex,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    *,
    options: LiftOptions,
    compiled: bool,
) -> Regions:
    """Return the regions of intervals under the rules of the UCSC tool.

    An interval of no width is searched as the one base at its start, and its regions collapse to
    their start.

    Parameters
    ----------
    index
        Blocks and chains, from :func:`ssldata.chains.chain_index.load_chain`.
    code, start, end
        The intervals: int32 contig codes of the index (−1: not in it), int64 positions, 0-based
        half-open.
    options
        Of the liftover.
    compiled
        Search with the compiled kernel.
    """
    empty = start == end
    status = np.zeros(len(code), np.int8)
    aligned = np.zeros(len(code), np.int64)
    rules = options.chain_rules
    if rules.multiple and rules.min_size_q > 0 and rules.min_match <= 1:
        # Their regions have no width either, so none is large enough.
        code = np.where(empty, np.int32(-1), code)
    search = covering_chains
    if compiled:
        from ssldata.liftover import ucsc_kernels  # costs a third of a second

        search = ucsc_kernels.covering_chains
    offsets, chain, begin, finish = search(
        index, code, start, end + empty, rules=rules, status=status, aligned=aligned
    )
    if empty.any():
        flat = np.repeat(empty, np.diff(offsets))
        finish = np.where(flat, begin, finish)
    return Regions(status, aligned, offsets, chain, begin, finish)


def lift_ucsc(
    index: ChainIndex,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    *,
    options: LiftOptions,
    compiled: bool,
    columns: dict[str, NDArray[Any]],
) -> tuple[Int64Array, Int32Array]:
    """Fill `columns` for the ucsc modes; return offsets and chain numbers.

    ``ucsc-multiple`` may give several regions: they merge as pieces do in ``blocks`` mode, and
    the interval is mapped when one locus is left.

    Parameters
    ----------
    index, code, start, end, options, compiled
        As of :func:`find_regions`.
    columns
        Filled in place: those of :class:`.LiftResult`.
    """
    wrong = end <= start
    known = code
    if wrong.any():
        known = np.where(wrong, np.int32(-1), code)
    found = find_regions(index, known, start, end, options=options, compiled=compiled)
    counts = np.diff(found.offsets)
    status = columns["status"]
    status[:] = found.status
    columns["aligned"][:] = found.aligned
    columns["pieces"][:] = counts
    columns["pieces"][(status != Status.MAPPED) & (status != Status.DUPLICATED)] = 0
    columns["loci"][:] = columns["pieces"]

    # One region: that is the locus.
    mapped = np.flatnonzero(status == Status.MAPPED)
    single = mapped if options.mode == "ucsc" else mapped[counts[mapped] == 1]
    first = found.offsets[single]
    chain = found.chain[first]
    columns["contig"][single] = index.chain_query[chain]
    columns["start"][single] = found.start[first]
    columns["end"][single] = found.end[first]
    columns["strand"][single] = np.where(index.flipped[chain], np.int8(-1), np.int8(1))

    several = mapped[counts[mapped] > 1]
    if len(several) and options.mode == "ucsc-multiple":
        where = np.flatnonzero(np.repeat((status == Status.MAPPED) & (counts > 1), counts))
        merged = merge_loci(
            len(several), np.repeat(np.arange(len(several)), counts[several]),
            index.chain_query[found.chain[where]], found.start[where], found.end[where],
            gap=options.gap,
        )  # fmt: skip
        columns["loci"][several] = merged["loci"]
        status[several[merged["loci"] > 1]] = Status.DISTANT
        status[several[merged["contigs"] > 1]] = Status.MULTI_CONTIG
        one = merged["loci"] == 1
        for name in ("contig", "start", "end"):
            columns[name][several[one]] = merged[name][one]
        columns["strand"][several[one]] = _majority(
            index, code, start, end, found, several[one], compiled
        )
    status[wrong] = Status.INVALID
    return found.offsets, found.chain


def _majority(
    index: ChainIndex,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    found: Regions,
    many: Int64Array,
    compiled: bool,
) -> Int8Array:
    """Return the strand of the majority of the aligned bases of rows; a tie counts as +."""
    compute = blocks_mode.implementation(compiled)
    interval, block = compute.overlapping_blocks(index, code[many], start[many], end[many])
    chain = index.block_chain[block]
    length = np.minimum(index.block_end[block], end[many][interval]) - np.maximum(
        index.block_start[block], start[many][interval]
    )
    # Only bases under the chains of the row count.
    total = np.int64(max(index.chains, 1))
    counts = np.diff(found.offsets)
    wanted = np.zeros(len(counts), bool)
    wanted[many] = True
    listed = np.repeat(np.arange(len(many)), counts[many]) * total
    listed += found.chain[np.repeat(wanted, counts)]
    used = np.isin(interval * total + chain, listed)
    balance = np.zeros(len(many), np.int64)
    np.add.at(
        balance, interval[used], np.where(index.flipped[chain[used]], -length[used], length[used])
    )
    return np.where(balance >= 0, 1, -1).astype(np.int8)
