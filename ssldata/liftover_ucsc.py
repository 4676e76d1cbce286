"""The ucsc modes: which chains cover an interval enough, and the region each leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssldata import liftover_reference
from ssldata.chain import ChainIndex

if TYPE_CHECKING:
    from ssldata.liftover import LiftOptions

_MAPPED, _DISTANT, _MULTI_CONTIG, _INVALID = 0, 5, 6, 7


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
    compute: Any = liftover_reference
    if compiled:
        from ssldata import liftover_ucsc_kernels

        compute = liftover_ucsc_kernels
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
    rows = len(code)
    wrong = end <= start
    found = find_regions(
        index, np.where(wrong, np.int32(-1), code), start, np.maximum(end, start),
        options=options, compiled=compiled,
    )  # fmt: skip
    counts = np.diff(found.offsets)
    row = np.repeat(np.arange(rows), counts)
    status = columns["status"]
    status[:] = found.status
    hit = (status == _MAPPED) | (status == 4)
    columns["pieces"][:] = np.where(hit, counts, 0)
    columns["aligned"][:] = found.aligned
    contig = index.chain_query[found.chain]
    if options.mode == "ucsc-multiple":
        mine = status[row] == _MAPPED
        merged = liftover_reference.merge_loci(
            rows, row[mine], contig[mine], found.start[mine], found.end[mine], gap=options.gap
        )
        columns["loci"][:] = merged["loci"]
        status[(status == _MAPPED) & (merged["loci"] > 1)] = _DISTANT
        status[(status == _DISTANT) & (merged["contigs"] > 1)] = _MULTI_CONTIG
        mapped = status == _MAPPED
        for name in ("contig", "start", "end"):
            columns[name][mapped] = merged[name][mapped]
        columns["strand"][mapped] = _majority(index, code, start, end, found, mapped, compiled)
    else:
        columns["loci"][:] = columns["pieces"]
        mapped = status == _MAPPED
        first = found.offsets[:-1][mapped]
        columns["contig"][mapped] = contig[first]
        columns["start"][mapped] = found.start[first]
        columns["end"][mapped] = found.end[first]
        columns["strand"][mapped] = np.where(index.flipped[found.chain[first]], -1, 1)
    status[wrong] = _INVALID
    return found.offsets, found.chain


def _majority(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    found: Regions,
    mapped: NDArray[np.bool_],
    compiled: bool,
) -> NDArray[np.int8]:
    """Return the strand of the majority of aligned bases of the mapped rows; a tie counts as +.

    One region, the usual case, needs no counting.
    """
    rows = np.flatnonzero(mapped)
    first = found.offsets[rows]
    strand = np.where(index.flipped[found.chain[first]], -1, 1).astype(np.int8)
    several = np.flatnonzero(found.offsets[rows + 1] - first > 1)
    if not len(several):
        return strand
    many = rows[several]
    compute: Any = liftover_reference
    if compiled:
        from ssldata import liftover_kernels

        compute = liftover_kernels
    interval, block = compute.overlapping_blocks(index, code[many], start[many], end[many])
    chain = index.block_chain[block]
    length = np.minimum(index.block_end[block], end[many][interval]) - np.maximum(
        index.block_start[block], start[many][interval]
    )
    # Only bases under the chains of the row count.
    total = np.int64(max(index.chains, 1))
    listed = np.repeat(np.arange(len(many)), np.diff(found.offsets)[many]) * total
    listed += np.concatenate([found.chain[found.offsets[r] : found.offsets[r + 1]] for r in many])
    used = np.isin(interval * total + chain, listed)
    balance = np.zeros(len(many), np.int64)
    np.add.at(
        balance, interval[used], np.where(index.flipped[chain[used]], -length[used], length[used])
    )
    strand[several] = np.where(balance >= 0, 1, -1)
    return strand
