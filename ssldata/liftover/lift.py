"""Liftover: intervals of one genome → where they lie in another, one row per interval, always.

Three modes behind one function (docs/liftover.md draws them):

``blocks``
    Every aligned block of every chain under the interval gives a piece; pieces less than ``gap``
    bases apart on a contig merge; exactly one locus left is the homologue.
``ucsc``
    What the UCSC liftOver tool answers, exactly.
``ucsc-multiple``
    What it answers with ``-multiple``: every chain that covers enough gives a region; regions
    merge by the same ``gap``, and exactly one locus left is the homologue. The default of a
    project file; that of :func:`lift` is ``blocks``.

A row never aborts the run: an interval that is wrong, unknown or lost has its own status.
Coordinates are 0-based half-open, on the forward strand.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.array_types import Int32Array, Int64Array
from ssldata.base.errors import ConfigError, InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover import blocks_mode, lift_filters, ucsc_mode
from ssldata.liftover.lift_result import (
    Chains,
    LiftOptions,
    LiftResult,
    Pieces,
    Status,
    empty_columns,
)

Kernel = Literal["auto", "numba", "numpy"]
#: Intervals from which starting the compiled kernel (a third of a second) pays.
_COMPILED_FROM_ROWS = 100_000


def check_intervals(
    index: ChainIndex, contig: ArrayLike, start: ArrayLike, end: ArrayLike
) -> tuple[Int32Array, Int64Array, Int64Array]:
    """Return contig codes, starts and ends as arrays of one length.

    Parameters
    ----------
    index, contig, start, end
        As of :func:`lift`.

    Raises
    ------
    InputError
        The columns have different lengths, or positions are not integers.
    """
    columns = []
    for name, values in (("start", start), ("end", end)):
        array = np.asarray(values)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise InputError(
                f"liftover: {name} must be one column of integers, found {array.dtype} of shape "
                f"{array.shape}"
            )
        columns.append(np.ascontiguousarray(array, dtype=np.int64))
    code = index.encode(contig)
    if not len(code) == len(columns[0]) == len(columns[1]):
        raise InputError(
            f"liftover: contig, start and end have {len(code)}, {len(columns[0])} and "
            f"{len(columns[1])} rows; they must have the same number"
        )
    return code, columns[0], columns[1]


def use_compiled(kernel: Kernel, rows: int) -> bool:
    """Return whether to use the compiled kernel: for many rows, or where it is loaded already."""
    if kernel not in ("auto", "numba", "numpy"):
        raise ConfigError(f"liftover kernel must be auto, numba or numpy, found {kernel!r}")
    if kernel == "auto":
        return rows >= _COMPILED_FROM_ROWS or "numba" in sys.modules
    return kernel == "numba"


def lift(
    index: ChainIndex,
    contig: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    strand: ArrayLike | None = None,
    *,
    options: LiftOptions | Mapping[str, Any] | None = None,
    summit: ArrayLike | None = None,
    back: ChainIndex | None = None,
    kernel: Kernel = "auto",
) -> LiftResult:
    """Lift intervals to where they lie in another genome: one row each, in order.

    An interval that is wrong, unknown or lost raises no error: its row has another status.

    Parameters
    ----------
    index
        Chains from the genome of the intervals to the other one, from
        :func:`ssldata.chains.chain_index.load_chain`.
    contig
        Names, or integer codes into ``index.target_names`` (−1: not in the chain file), shape
        ``(n,)``. A contig that the chain file does not know gives DELETED, as in the UCSC tool.
    start, end
        Integers, 0-based half-open, shape ``(n,)``. They may reach beyond the contig; end ≤ start
        gives INVALID.
    strand
        ±1 (0: none), shape ``(n,)``; default +1.
    options
        A :class:`.LiftOptions`, or a mapping of its fields; default: mode ``blocks``, in which
        aligned pieces less than 20 bases apart merge, and exactly one locus must be left.
    summit
        Position of the summit of each interval, −1 for none, shape ``(n,)``: a mapped interval
        whose summit is not aligned inside the locus becomes SUMMIT_LOST.
    back
        The chains from the new genome to the old one, for ``options.reciprocal``; default: the
        chains of `index` read the other way, which finds loci that several intervals claim.
    kernel
        ``numba`` (compiled), ``numpy`` (the readable reference), or ``auto``. All give identical
        results.

    Returns
    -------
    LiftResult
        Arrays of shape ``(n,)``: ``status`` (int8, a :class:`.Status`), ``contig`` (int32, code
        into ``index.query_names``), ``start`` and ``end`` (int64, 0-based half-open, forward
        strand), ``strand`` (int8) and counts; −1 and strand 0 unless mapped.

    Raises
    ------
    InputError
        Columns of different lengths or of the wrong type.
    ConfigError
        Options that have no meaning.

    Notes
    -----
    ``blocks`` merges pieces as ``GenomicRanges::reduce(min.gapwidth=gap)`` does; ``ucsc`` and
    ``ucsc-multiple`` follow the UCSC liftOver tool, release by release. docs/liftover.md compares
    the modes and other tools.
    """
    if options is None:
        options = LiftOptions()
    elif isinstance(options, Mapping):
        options = LiftOptions(**options)
    code, begin, finish = check_intervals(index, contig, start, end)
    columns = empty_columns(len(code))
    compiled = use_compiled(kernel, len(code))
    if options.mode == "blocks":
        offsets, ids = blocks_mode.implementation(compiled).lift_blocks(
            index, code, begin, finish,
            gap=options.gap, min_aligned=options.min_aligned, columns=columns,
        )  # fmt: skip
    else:
        offsets, ids = ucsc_mode.lift_ucsc(
            index, code, begin, finish, options=options, compiled=compiled, columns=columns
        )
    chains = Chains(ids, offsets)
    if summit is not None:
        at = _column(summit, "summit", len(code))
        lift_filters.require_summit(
            index, code, begin, finish, at,
            columns=columns, chains=chains, compute=blocks_mode.implementation(compiled),
        )  # fmt: skip
    if options.reciprocal is not None:
        _require_way_back(index, back, code, begin, finish, columns, options, kernel)
    if strand is not None:
        given = np.sign(_column(strand, "strand", len(code)))
        columns["strand"] = (columns["strand"] * given).astype(np.int8)
    return LiftResult(**columns, chains=chains)


def _column(values: ArrayLike, name: str, rows: int) -> Int64Array:
    """Return a further column of integers, one per interval."""
    array = np.asarray(values)
    if array.shape != (rows,) or (rows and array.dtype.kind not in "iu"):
        raise InputError(
            f"liftover: {name} must be {rows} integers, found {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _require_way_back(
    index: ChainIndex,
    back: ChainIndex | None,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    columns: dict[str, NDArray[Any]],
    options: LiftOptions,
    kernel: Kernel,
) -> None:
    """Lift the mapped loci back and withdraw those that do not lead to their interval."""
    assert options.reciprocal is not None
    if back is None:
        back = index.inverted()
    rows = np.flatnonzero(columns["status"] == Status.MAPPED)
    there = back.encode(index.query_names)[columns["contig"][rows]]
    found = lift(
        back, there, columns["start"][rows], columns["end"][rows],
        options=replace(options, reciprocal=None, min_aligned=0.0), kernel=kernel,
    )  # fmt: skip
    # Codes of the old genome in `index`; −1, which is no contig of it, where not mapped.
    contig = np.append(index.encode(back.query_names), np.int32(-1))[found.contig]
    begin, finish = start[rows], end[rows]
    shared = np.minimum(found.end, finish) - np.maximum(found.start, begin)
    good = found.mapped & (contig == code[rows])
    good &= shared >= np.maximum(options.reciprocal * (finish - begin), 1)
    lift_filters.withdraw(columns, rows[~good], Status.NOT_RECIPROCAL)


def pieces(
    index: ChainIndex,
    contig: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    *,
    kernel: Kernel = "auto",
) -> Pieces:
    """Return every aligned block under every interval, clipped to it.

    Empty, wrong and unknown intervals have no pieces.

    Parameters
    ----------
    index, contig, start, end, kernel
        As in :func:`lift`.

    Raises
    ------
    InputError, ConfigError
        As in :func:`lift`.
    """
    code, begin, finish = check_intervals(index, contig, start, end)
    compute = blocks_mode.implementation(use_compiled(kernel, len(code)))
    interval, block = compute.overlapping_blocks(index, code, begin, finish)
    block_start = index.block_start[block].astype(np.int64)
    target = np.maximum(block_start, begin[interval])
    length = np.minimum(index.block_end[block], finish[interval]) - target
    chain = index.block_chain[block]
    query = index.block_query[block] + (target - block_start)
    return Pieces(
        interval=interval,
        chain=chain,
        target_start=target,
        length=length.astype(np.int32),
        query_contig=index.chain_query[chain],
        query_start=index.forward(chain, query, query + length)[0],
        strand=np.where(index.mirrored[chain], -1, 1).astype(np.int8),
    )
