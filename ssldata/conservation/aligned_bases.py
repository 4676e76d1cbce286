"""The base of another genome that chains align with every base of windows of the labelled genome.

Alignments are read on the forward strand of the labelled genome. Memory is bounded by the windows
of a portion, whatever the sizes of the genomes and of the chain file.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike

from ssldata.base.array_types import ByteArray, Int32Array, Int64Array
from ssldata.base.errors import InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift import check_intervals, pieces

#: Windows whose aligned blocks are in memory at a time, and bases that are.
_WINDOWS, _BASES = 4096, 2**20


def aligned_bases(
    index: ChainIndex,
    genome: Genome,
    contig: ArrayLike,
    start: ArrayLike,
    length: int,
    *,
    query_contigs: Int32Array,
) -> ByteArray:
    """Return the base that is aligned with every base of many windows of one length.

    Where chains overlap, the one that stands first in its file counts, also where it has an N:
    UCSC's files list chains by falling score, so that it is the best one, as in a net. Chains of
    contigs that `query_contigs` leaves out count for nothing.

    Parameters
    ----------
    index
        Chains from the labelled genome to the other one.
    genome
        The other genome.
    contig
        Contig of each window: its number or its name in the index; −1 or an unknown name for a
        contig that no chain is on.
    start
        0-based start of each window on the forward strand. Windows may leave their contig.
    length
        Bases of a window.
    query_contigs
        Number of a contig in the index → contig of the other genome, −1 for none.

    Returns
    -------
    uint8 (n, length)
        Base codes, complemented where the chain is on the minus strand; 4 where nothing is
        aligned, outside the contig, and where the other genome has an N. Fastest when the windows
        are sorted by contig and start.

    Raises
    ------
    InputError
        The columns differ in length or are not integers, or a chain lies beyond its contig.
    """
    first = np.asarray(start)
    code, begin, finish = check_intervals(index, contig, first, first + length)
    out = np.full((len(code), length), N_CODE, np.uint8)
    for low in range(0, len(code), _WINDOWS):
        rows = slice(low, low + _WINDOWS)
        found = pieces(index, code[rows], np.maximum(begin[rows], 0), finish[rows])
        other = query_contigs[found.query_contig]
        # Within a window the chain that counts is written last.
        rank = index.chains - 1 - index.chain_position[found.chain].astype(np.int64)
        order = np.argsort(found.interval * index.chains + rank, kind="stable")
        order = order[other[order] >= 0]
        row = found.interval[order]
        _fill(
            out[rows],
            genome,
            other[order],
            found.query_start[order],
            found.length[order],
            found.strand[order],
            place=row * length + found.target_start[order] - begin[rows][row],
        )
    return out


def padded_windows(genome: Genome, contig: ArrayLike, start: ArrayLike, length: int) -> ByteArray:
    """Return the bases of windows that may leave their contig: 4 outside.

    Parameters
    ----------
    genome
        The genome.
    contig
        Contig of each window, by its number in the genome.
    start
        0-based start of each window on the forward strand.
    length
        Bases of a window.

    Returns
    -------
    uint8 (n, length)

    Raises
    ------
    InputError
        The genome has no contig of such a number.
    """
    code = np.asarray(contig, np.int64)
    begin = np.asarray(start, np.int64)
    wrong = np.flatnonzero((code < 0) | (code >= len(genome.names)))
    if wrong.size:
        raise InputError(
            f"{genome.path}: window {wrong[0]} has contig index {code[wrong[0]]}, outside "
            f"0..{len(genome.names) - 1} ({wrong.size} such windows)"
        )
    out = np.full((len(code), length), N_CODE, np.uint8)
    low = np.clip(begin, 0, genome.sizes[code])
    size = np.clip(begin + length, low, genome.sizes[code]) - low
    for at in range(0, len(code), _WINDOWS):
        rows = slice(at, at + _WINDOWS)
        forward = np.ones(len(code[rows]), np.int8)
        place = np.arange(len(code[rows])) * length + low[rows] - begin[rows]
        _fill(out[rows], genome, code[rows], low[rows], size[rows], forward, place=place)
    return out


def _fill(
    out: ByteArray, genome: Genome, contig: Int32Array | Int64Array, start: Int64Array,
    length: Int32Array | Int64Array, strand: ArrayLike, *, place: Int64Array,
) -> None:  # fmt: skip
    """Write stretches of a genome into `out`, each from its place on, in their order."""
    flat, strands = out.reshape(-1), np.asarray(strand)
    portion = np.cumsum(length, dtype=np.int64) // _BASES
    for part in np.split(np.arange(len(length)), np.flatnonzero(np.diff(portion)) + 1):
        codes = genome.gather_flat(contig[part], start[part], length[part], strands[part])
        _place(codes, length[part].astype(np.int64), place[part], flat)


@numba.njit(nogil=True, cache=True)
def _place(codes: ByteArray, length: Int64Array, place: Int64Array, out: ByteArray) -> None:
    """Copy stretches that follow each other in `codes` to their places in `out`."""
    at = np.uint64(0)
    for piece in range(length.size):
        to = np.uint64(place[piece])
        for i in range(np.uint64(length[piece])):
            out[to + i] = codes[at + i]
        at += np.uint64(length[piece])
