"""Requirements on mapped intervals, for any mode; here that of an aligned summit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Chains, Status


def withdraw(columns: dict[str, NDArray[Any]], rows: Int64Array, status: int) -> None:
    """Give rows another status and remove their locus; their counts stay."""
    columns["status"][rows] = status
    for name in ("contig", "start", "end", "summit"):
        columns[name][rows] = -1
    columns["strand"][rows] = 0


def require_summit(
    index: ChainIndex,
    code: Int32Array,
    start: Int64Array,
    end: Int64Array,
    summit: Int64Array,
    *,
    columns: dict[str, NDArray[Any]],
    chains: Chains,
    compute: Any,
) -> None:
    """Keep mapped rows whose summit is aligned inside the locus by a chain of the row.

    Parameters
    ----------
    index
        Blocks and chains, from :func:`ssldata.chains.chain_index.load_chain`.
    code, start, end
        The intervals: int32 contig codes of the index (−1: not in it), int64 positions, 0-based
        half-open.
    summit
        int64 position of each summit; one outside its interval is lost, a negative one not
        required.
    columns
        Of the result, changed in place; ``summit`` gets the lifted position.
    chains
        Chains of each row that gave its locus.
    compute
        Module with the ``overlapping_blocks`` to use.
    """
    rows = np.flatnonzero((columns["status"] == Status.MAPPED) & (summit >= 0))
    at = summit[rows]
    inside = (at >= start[rows]) & (at < end[rows])
    interval, block = compute.overlapping_blocks(index, code[rows], at, at + 1)
    chain = index.block_chain[block]
    query = index.block_query[block] + (at[interval] - index.block_start[block])
    query, _ = index.forward(chain, query, query + 1)
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
