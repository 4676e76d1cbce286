"""Intervals through one given chain: the thick part of BED8 lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.blocks_mode import overlapping_blocks
from ssldata.liftover.ucsc_mode import Regions


def map_through(
    index: ChainIndex,
    chain: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    ratio: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Map each interval through its chain; return starts, ends and whether it could be mapped.

    The rules are those of whole intervals: at least `ratio` covered, snapped inwards to aligned
    bases, an interval of no width taken for the base at its start.
    """
    rows = len(chain)
    empty = start == end
    stop = end + empty
    interval, block = overlapping_blocks(
        index, index.chain_target[chain], start, stop, empty_blocks=True
    )
    mine = index.block_chain[block] == chain[interval]
    interval, block = interval[mine], block[mine]
    begin = np.maximum(index.block_start[block], start[interval])
    finish = np.minimum(index.block_end[block], stop[interval])
    query = index.block_query[block] + (begin - index.block_start[block])
    left = np.full(rows, np.iinfo(np.int64).max)
    right = np.full(rows, -1, np.int64)
    cover = np.zeros(rows, np.int64)
    np.minimum.at(left, interval, query)
    np.maximum.at(right, interval, query + (finish - begin))
    np.add.at(cover, interval, finish - begin)
    found = (right >= 0) & (cover >= (stop - start) * ratio)
    whole = (start <= index.chain_start[chain]) & (stop >= index.chain_end[chain])
    left = np.where(whole, index.chain_query_start[chain], left)
    right = np.where(whole, index.chain_query_end[chain], right)
    size = index.chain_query_size[chain].astype(np.int64)
    turned = index.mirrored[chain]
    left, right = np.where(turned, size - right, left), np.where(turned, size - left, right)
    return left, np.where(empty, left, right), found


def map_thick(
    index: ChainIndex, found: Regions, thick: NDArray[np.int64], *, ratio: float
) -> list[tuple[int, int]]:
    """Return thickStart and thickEnd of every region; both are its start where unmappable.

    With several regions per interval the tool maps the thick part of the region before, not that
    of the input, through the next chain; so do we.

    Parameters
    ----------
    thick
        int64 (intervals, 2), of the input.
    ratio
        Least fraction that must be aligned.
    """
    counts = np.diff(found.offsets)
    current = thick.astype(np.int64).copy()
    out = np.zeros((len(found.chain), 2), np.int64)
    for turn in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > turn)
        at = found.offsets[rows] + turn
        start, end, good = map_through(
            index, found.chain[at], current[rows, 0], current[rows, 1], ratio=ratio
        )
        out[at, 0] = np.where(good, start, found.start[at])
        out[at, 1] = np.where(good, end, found.start[at])
        current[rows] = out[at]
    return [(int(start), int(end)) for start, end in out]
