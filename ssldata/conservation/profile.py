"""The conservation profile of a bin: how its surroundings are aligned, and how they differ.

A window is a bin with twice its width on either side: 1,000 b for bins of 200. Parts of it are
given in base pairs from its start; those below are of bins of 200 b, and scale with the bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.genomes.onehot import N_CODE

#: Widths of a bin in a window, and before the bin.
WINDOW_BINS, FLANK_BINS = 5, 2
#: Bases of the smallest bin that can be cut into quarters.
SMALLEST_BIN = 4

#: Parts of a window, in eighths of a bin: the bin's quarters, what lies beside it, the whole.
_TILES = (
    *((16, 18), (18, 20), (20, 22), (22, 24), (12, 16), (24, 28), (4, 12), (28, 36)),
    *((16, 24), (0, 16), (24, 40), (0, 40)),
)
#: Parts in which the edges of gaps are counted; those of the bin are the edges inside it.
_EDGES = ((16, 24), (4, 16), (24, 36))
#: Parts whose mismatches are counted by their place in a codon.
_PERIODS = ((16, 24), (8, 20), (20, 32), (4, 16), (24, 36), (0, 12), (28, 40))
#: Parts of which the GC content is given.
_COMPOSITION = ((16, 24), (8, 16), (24, 32), (0, 8), (32, 40))
_EIGHTHS = 8

#: Pseudocounts of the share of mismatches: half a mismatch in five aligned bases.
_MISMATCHES, _ALIGNED = 0.5, 5.0
#: Windows whose genomes are stacked at a time.
_ROWS = 1024


def bin_windows(start: NDArray[np.integer], size: int) -> tuple[Int64Array, Int64Array]:
    """Return starts and ends of the windows of bins; they may leave the contig.

    Parameters
    ----------
    start
        0-based starts of the bins.
    size
        Bases of a bin.
    """
    first = np.asarray(start, np.int64) - FLANK_BINS * size
    return first, first + WINDOW_BINS * size


def feature_names(groups: Sequence[Sequence[int]], size: int = 200) -> list[str]:
    """Return the names of the features of :func:`conservation_profile`, in its order.

    As ``mismatch_1_400_450``: what, group of genomes, and part of the window in bases.

    Parameters
    ----------
    groups
        As there.
    size
        Bases of a bin.
    """
    names = []
    for group in range(1, len(groups) + 1):
        for a, b in _parts(_TILES, size):
            names += [f"aligned_{group}_{a}_{b}", f"mismatch_{group}_{a}_{b}"]
        names += [f"edges_{group}_{a}_{b}" for a, b in _edge_parts(size)]
        names += [f"period_{group}_{a}_{b}" for a, b in _parts(_PERIODS, size)]
    return names


def composition_names(size: int = 200) -> list[str]:
    """Return the names of the features of :func:`composition_profile` for bins of `size` bases."""
    return [f"gc_{a}_{b}" for a, b in _parts(_COMPOSITION, size)]


def conservation_profile(
    reference: ByteArray, aligned: Sequence[ByteArray], groups: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Return how windows are conserved in groups of genomes.

    Parameters
    ----------
    reference
        uint8 (n, length), base codes of the labelled genome; a length is five bins.
    aligned
        For each genome uint8 (n, length): the base aligned with each, 4 for none; see
        :func:`ssldata.conservation.aligned_bases.aligned_bases`.
    groups
        Numbers of the genomes of each group; a base counts as the mean over its genomes.

    Returns
    -------
    float32 (n, features)
        For each group and part of the window the share of bases that are aligned, and of those
        the share of mismatches, (m + 0.5) / (a + 5); then the edges of gaps, counted where most
        genomes begin or end to be aligned; then how unevenly mismatches fall on the three places
        of a codon, Σ (mₖ − m/3)² / (m + 1). Where nothing is aligned these are 0, 0.1, 0 and 0.

    Raises
    ------
    ValueError
        Arrays of other shapes or types, bins below 4 b, a group without genomes or with unknown
        ones.
    """
    size = _bin_size(reference)
    for number, codes in enumerate(aligned):
        if codes.shape != reference.shape or codes.dtype != np.uint8:
            raise ValueError(
                f"genome {number}: expected uint8 {reference.shape}, found {codes.dtype} "
                f"{codes.shape}"
            )
    for number, group in enumerate(groups, start=1):
        if not group or not set(group) <= set(range(len(aligned))):
            raise ValueError(
                f"group {number}: expected numbers of {len(aligned)} genomes, found {list(group)}"
            )
    tiles, edges = np.array(_parts(_TILES, size)), np.array(_edge_parts(size))
    periods = np.array(_parts(_PERIODS, size))
    each = 2 * len(tiles) + len(edges) + len(periods)
    out = np.empty((len(reference), each * len(groups)), np.float32)
    for begin in range(0, len(reference), _ROWS):
        rows = slice(begin, begin + _ROWS)
        ours = np.ascontiguousarray(reference[rows])
        for number, group in enumerate(groups):
            theirs = np.stack([aligned[genome][rows] for genome in group])
            columns = np.empty((len(ours), each), np.float32)
            _profile(ours, theirs, tiles, edges, periods, columns)
            out[rows, number * each : (number + 1) * each] = columns
    return out


def composition_profile(reference: ByteArray) -> NDArray[np.float32]:
    """Return the GC content of the bin and of the four stretches of its width around it.

    Parameters
    ----------
    reference
        uint8 (n, length), as of :func:`conservation_profile`; so are the errors.

    Returns
    -------
    float32 (n, 5)
        G and C among all bases of a stretch, N and bases outside the contig included.
    """
    size = _bin_size(reference)
    out = np.empty((len(reference), len(_COMPOSITION)), np.float32)
    for begin in range(0, len(reference), _ROWS):
        rows = slice(begin, begin + _ROWS)
        strong = (reference[rows] == 1) | (reference[rows] == 2)
        for column, (a, b) in enumerate(_parts(_COMPOSITION, size)):
            out[rows, column] = strong[:, a:b].mean(axis=1)
    return out


def _bin_size(reference: ByteArray) -> int:
    """Return the bases of the bin of windows."""
    if (
        reference.ndim != 2
        or reference.dtype != np.uint8
        or reference.shape[1] % WINDOW_BINS
        or reference.shape[1] < WINDOW_BINS * SMALLEST_BIN
    ):
        raise ValueError(
            f"expected windows of {WINDOW_BINS} bins of at least {SMALLEST_BIN} b as uint8 "
            f"(n, length), found {reference.dtype} {reference.shape}"
        )
    return reference.shape[1] // WINDOW_BINS


def _parts(eighths: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Return parts of a window in bases."""
    return [(a * size // _EIGHTHS, b * size // _EIGHTHS) for a, b in eighths]


def _edge_parts(size: int) -> list[tuple[int, int]]:
    """Return the steps from base to base that are counted; the bin has one less than bases."""
    (a, b), *others = _parts(_EDGES, size)
    return [(a, b - 1), *others]


@numba.njit(nogil=True, cache=True)
def _profile(
    ours: ByteArray,
    theirs: ByteArray,
    tiles: Int64Array,
    edges: Int64Array,
    periods: Int64Array,
    out: NDArray[np.float32],
) -> None:
    """Write the features of one group of genomes, a row for each window."""
    genomes, rows, length = theirs.shape
    aligned = np.empty(length, np.int64)
    differing = np.empty(length, np.int64)
    # Sums before each base; those of mismatches by place in a codon step by three.
    sum_aligned = np.zeros(length + 1, np.int64)
    sum_differing = np.zeros(length + 1, np.int64)
    sum_edges = np.zeros(length, np.int64)
    sum_third = np.zeros(length + 3, np.int64)
    for row in range(rows):
        aligned[:] = 0
        differing[:] = 0
        for genome in range(genomes):
            for i in range(length):
                base = ours[row, i]
                other = theirs[genome, row, i]
                aligned[i] += other < N_CODE
                differing[i] += (other < N_CODE) & (base < N_CODE) & (other != base)
        for i in range(length):
            sum_aligned[i + 1] = sum_aligned[i] + aligned[i]
            sum_differing[i + 1] = sum_differing[i] + differing[i]
            sum_third[i + 3] = sum_third[i] + differing[i]
        for i in range(length - 1):
            change = (2 * aligned[i] > genomes) != (2 * aligned[i + 1] > genomes)
            sum_edges[i + 1] = sum_edges[i] + change
        at = 0
        for k in range(len(tiles)):
            a, b = tiles[k]
            known = (sum_aligned[b] - sum_aligned[a]) / genomes
            mismatches = (sum_differing[b] - sum_differing[a]) / genomes
            out[row, at] = known / (b - a)
            out[row, at + 1] = (mismatches + _MISMATCHES) / (known + _ALIGNED)
            at += 2
        for k in range(len(edges)):
            a, b = edges[k]
            out[row, at] = sum_edges[b] - sum_edges[a]
            at += 1
        for k in range(len(periods)):
            a, b = periods[k]
            whole = (b - a) // 3 * 3
            total = (sum_differing[a + whole] - sum_differing[a]) / genomes
            uneven = 0.0
            for phase in range(a, a + 3):
                mine = (sum_third[phase + whole] - sum_third[phase]) / genomes
                uneven += (mine - total / 3) ** 2
            out[row, at] = uneven / (total + 1)
            at += 1
