"""Two requirements on mapped intervals, for any mode: the way back, and the summit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status

if TYPE_CHECKING:
    from ssldata.liftover.lift_result import Chains


def withdraw(columns: dict[str, NDArray[Any]], rows: NDArray[np.int64], status: int) -> None:
    """Give rows another status and take their locus away; what was counted stays."""
    columns["status"][rows] = status
    for name in ("contig", "start", "end", "summit"):
        columns[name][rows] = -1
    columns["strand"][rows] = 0


def require_summit(
    index: ChainIndex,
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    summit: NDArray[np.int64],
    *,
    columns: dict[str, NDArray[Any]],
    chains: Chains,
    compute: Any,
) -> None:
    """Keep mapped rows whose summit is aligned inside the locus by a chain of the row.

    ``columns["summit"]`` gets the lifted position. A negative summit means none: not required. A
    summit outside of its interval is lost.
    """
    rows = np.flatnonzero((columns["status"] == Status.MAPPED) & (summit >= 0))
    at = summit[rows]
    inside = (at >= start[rows]) & (at < end[rows])
    interval, block = compute.overlapping_blocks(index, code[rows], at, at + 1)
    chain = index.block_chain[block]
    query = index.block_query[block] + (at[interval] - index.block_start[block])
    query = np.where(index.mirrored[chain], index.chain_query_size[chain] - query - 1, query)
    row = rows[interval]
    good = inside[interval] & (index.chain_query[chain] == columns["contig"][row])
    good &= (query >= columns["start"][row]) & (query < columns["end"][row])
    # Only chains that gave the locus: in the ucsc modes others are passed over.
    total = np.int64(max(index.chains, 1))
    listed = np.repeat(np.arange(len(chains.offsets) - 1), np.diff(chains.offsets)) * total
    good &= np.isin(row * total + chain, listed + chains.ids)
    # The first chain decides where several align the summit.
    columns["summit"][row[good][::-1]] = query[good][::-1]
    lost = np.ones(len(rows), bool)
    lost[interval[good]] = False
    withdraw(columns, rows[lost], Status.SUMMIT_LOST)


def require_way_back(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    code: NDArray[np.int32],
    fraction: float,
    *,
    columns: dict[str, NDArray[Any]],
    back: dict[str, NDArray[Any]],
    rows: NDArray[np.int64],
) -> None:
    """Keep rows whose locus, lifted back, maps and covers `fraction` of the interval.

    Parameters
    ----------
    start, end, code
        The intervals: all rows, contigs as codes of the old genome.
    rows
        The mapped rows.
    back
        Columns of the result of lifting their loci back, contigs as the same codes.
    """
    begin, finish = start[rows], end[rows]
    shared = np.minimum(back["end"], finish) - np.maximum(back["start"], begin)
    good = (back["status"] == Status.MAPPED) & (back["contig"] == code[rows])
    good &= shared >= np.maximum(fraction * (finish - begin), 1)
    withdraw(columns, rows[~good], Status.NOT_RECIPROCAL)
