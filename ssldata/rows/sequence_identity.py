"""The identity of an interval and its homologue: the share of identical aligned bases."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift import pieces
from ssldata.liftover.lift_result import LiftResult, Pieces, Status
from ssldata.rows.intervals import Intervals

#: Intervals whose aligned blocks are in memory at a time, and bases that are.
_INTERVALS, _BASES = 16_384, 1_048_576


def identical_share(
    reference: Genome,
    genome: Genome,
    index: ChainIndex,
    intervals: Intervals,
    lifted: LiftResult,
    *,
    target_codes: NDArray[np.int32],
    query_contigs: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return the share of identical bases between each mapped interval and its homologue.

    Parameters
    ----------
    reference, genome
        The labelled and the target genome.
    index
        Index of the chains between them.
    intervals
        In the labelled genome.
    lifted
        Their homologues, with contigs numbered as in the index.
    target_codes
        Contig of the labelled genome → its number in the index, −1 for none.
    query_contigs
        Number of a contig in the index → contig of the target genome.

    Returns
    -------
    float32 (n,)
        Identical pairs among the aligned pairs without N; 0 for an interval without a homologue.
    """
    counts = np.zeros((len(lifted), 2), np.int64)
    mapped = np.flatnonzero(lifted.status == Status.MAPPED)
    for begin in range(0, len(mapped), _INTERVALS):
        rows = mapped[begin : begin + _INTERVALS]
        contig = intervals.contig[rows]
        blocks = pieces(index, target_codes[contig], intervals.start[rows], intervals.end[rows])
        inside = _inside(blocks, rows, lifted)
        for p in _portions(inside, blocks.length):
            owner, length = rows[blocks.interval[p]], blocks.length[p]
            ours = reference.gather_flat(intervals.contig[owner], blocks.target_start[p], length)
            theirs = genome.gather_flat(
                query_contigs[blocks.query_contig[p]],
                blocks.query_start[p],
                length,
                blocks.strand[p],
            )
            _count(ours, theirs, length.astype(np.int64), owner, counts)
    return (counts[:, 0] / np.maximum(counts[:, 1], 1)).astype(np.float32)


def _inside(blocks: Pieces, rows: NDArray[np.int64], lifted: LiftResult) -> NDArray[np.int64]:
    """Return which blocks lie in the locus of their interval; others are of chains not chosen."""
    row = rows[blocks.interval]
    return np.flatnonzero(
        (blocks.query_contig == lifted.contig[row])
        & (blocks.query_start >= lifted.start[row])
        & (blocks.query_start + blocks.length <= lifted.end[row])
    )


def _portions(chosen: NDArray[np.int64], length: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Cut blocks into portions of a bounded number of bases."""
    portion = np.cumsum(length[chosen], dtype=np.int64) // _BASES
    return np.split(chosen, np.flatnonzero(np.diff(portion)) + 1) if len(chosen) else []


@numba.njit(nogil=True, cache=True)
def _count(
    ours: NDArray[np.uint8],
    theirs: NDArray[np.uint8],
    length: NDArray[np.int64],
    owner: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Add to `counts` (identical pairs, pairs without an N) of each block's owner."""
    at = 0
    for block in range(length.size):
        same = 0
        known = 0
        for i in range(at, at + length[block]):
            both = ours[i] < N_CODE and theirs[i] < N_CODE
            known += both
            same += both and ours[i] == theirs[i]
        counts[owner[block], 0] += same
        counts[owner[block], 1] += known
        at += length[block]
