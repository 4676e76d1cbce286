"""The thick part of BED8 rows, mapped through the chains that the rows are mapped through."""

from __future__ import annotations

import numpy as np

from ssldata.base.array_types import Int64Array
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.blocks_mode import overlapping_blocks
from ssldata.liftover.ucsc_mode import Regions, regions_of


def map_thick(
    index: ChainIndex, found: Regions, thick: Int64Array, *, ratio: float
) -> list[tuple[int, int]]:
    """Return thickStart and thickEnd of every region; both are its start where unmappable.

    The rules are those of whole intervals: at least `ratio` covered, snapped inwards to aligned
    bases.

    With several regions per interval the tool maps the thick part of the region before, not that
    of the input, through the next chain; so do we.

    Parameters
    ----------
    index, found
        The chains, and the regions of the intervals.
    thick
        int64 (intervals, 2), of the input.
    ratio
        Minimum fraction that must be aligned.
    """
    counts = np.diff(found.offsets)
    current = thick.astype(np.int64).copy()
    out = np.zeros((len(found.chain), 2), np.int64)
    for turn in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > turn)
        at = found.offsets[rows] + turn
        chain, (start, end) = found.chain[at], current[rows].T
        empty = start == end  # the base at its start is mapped instead
        stop = end + empty
        pair, block = overlapping_blocks(
            index, index.chain_target[chain], start, stop, empty_blocks=True
        )
        mine = index.block_chain[block] == chain[pair]
        pair, block = pair[mine], block[mine]
        cover, left, right = regions_of(index, chain, start, stop, pair, block)
        good = (np.bincount(pair, minlength=len(chain)) > 0) & (cover >= (stop - start) * ratio)
        right = np.where(empty, left, right)
        out[at, 0] = np.where(good, left, found.start[at])
        out[at, 1] = np.where(good, right, found.start[at])
        current[rows] = out[at]
    return [(start, end) for start, end in out.tolist()]
