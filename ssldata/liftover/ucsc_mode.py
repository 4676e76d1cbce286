"""The ucsc modes: which chains cover an interval enough, and the region each leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover import blocks_mode
from ssldata.liftover.lift_result import Status

if TYPE_CHECKING:
    from ssldata.liftover.lift_result import LiftOptions


@dataclass(frozen=True, eq=False)
class Regions:
    """What the UCSC tool finds for each interval, before it is written.

    Attributes
    ----------
    status
        int8 per interval: MAPPED, DELETED, PARTIAL, SPLIT or DUPLICATED.
    aligned
        int64 per interval: its bases under `chain`, each counted once.
    offsets
        int64 (intervals + 1): the regions of interval i are offsets[i]:offsets[i + 1].
    chain
        int32 per region: the chain. Hits where there are any, else the chains that cover too
        little; in the order of the tool.
    start, end
        int64 per region, on the forward strand of the query contig.
    """

    status: NDArray[np.int8]
    aligned: NDArray[np.int64]
    offsets: NDArray[np.int64]
    chain: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find_regions(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    options: LiftOptions,
    compiled: bool,
) -> Regions:
    """Return the regions of intervals under the rules of the UCSC tool.

    An interval of no width is searched as the one base at its start, and its regions collapse to
    their start.
    """
    empty = start == end
    status = np.zeros(len(code), np.int8)
    aligned = np.zeros(len(code), np.int64)
    multiple = options.mode == "ucsc-multiple"
    if multiple and options.min_size_q > 0 and options.threshold <= 1:
        # Their regions have no width either, so none is large enough.
        code = np.where(empty, np.int32(-1), code)
    compute: Any = blocks_mode
    if compiled:
        from ssldata.liftover import ucsc_kernels

        compute = ucsc_kernels
    offsets, chain, begin, finish = compute.covering_chains(
        index, code, start, end + empty,
        min_match=options.threshold, multiple=multiple,
        clipped=multiple and options.compat == "v491",
        min_chain_t=options.min_chain_t, min_chain_q=options.min_chain_q,
        min_size_q=options.min_size_q, status=status, aligned=aligned,
    )  # fmt: skip
    if empty.any():
        flat = np.repeat(empty, np.diff(offsets))
        finish = np.where(flat, begin, finish)
    return Regions(status, aligned, offsets, chain, begin, finish)


def lift_ucsc(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    options: LiftOptions,
    compiled: bool,
    columns: dict[str, NDArray[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Fill `columns` for the ucsc modes; return offsets and chain numbers.

    ``ucsc-multiple`` may give several regions: they merge as pieces do in ``blocks`` mode, and
    the interval is mapped when one locus is left.
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
        merged = blocks_mode.merge_loci(
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
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    found: Regions,
    many: NDArray[np.int64],
    compiled: bool,
) -> NDArray[np.int8]:
    """Return the strand of the majority of the aligned bases of rows; a tie counts as +."""
    compute: Any = blocks_mode
    if compiled:
        from ssldata.liftover import blocks_kernels

        compute = blocks_kernels
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
