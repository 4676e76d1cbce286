"""Intervals through one given chain: the thick part of BED8 lines."""

from __future__ import annotations

import numpy as np

from ssldata.base.array_types import BoolArray, Int32Array, Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.blocks_mode import overlapping_blocks
from ssldata.liftover.ucsc_mode import Regions, regions_of


def map_through(
    index: ChainIndex, chain: Int32Array, start: Int64Array, end: Int64Array, *, ratio: float
) -> tuple[Int64Array, Int64Array, BoolArray]:
    """Map each interval through its chain; return starts, ends and whether it could be mapped.

    The rules are those of whole intervals: at least `ratio` covered, snapped inwards to aligned
    bases, an interval of no width taken for the base at its start.
    """
    empty = start == end
    stop = end + empty
    pair, block = overlapping_blocks(
        index, index.chain_target[chain], start, stop, empty_blocks=True
    )
    mine = index.block_chain[block] == chain[pair]
    pair, block = pair[mine], block[mine]
    cover, left, right = regions_of(index, chain, start, stop, pair, block)
    found = (np.bincount(pair, minlength=len(chain)) > 0) & (cover >= (stop - start) * ratio)
    return left, np.where(empty, left, right), found


def map_thick(
    index: ChainIndex, found: Regions, thick: Int64Array, *, ratio: float
) -> list[tuple[int, int]]:
    """Return thickStart and thickEnd of every region; both are its start where unmappable.

    With several regions per interval the tool maps the thick part of the region before, not that
    of the input, through the next chain; so do we.

    Parameters
    ----------
    index, found
        The chains, and the regions of the intervals.
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
    return [(start, end) for start, end in out.tolist()]
