"""Hot spots: the windows around the positions of a sequence that matter most to its score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.genomes.onehot import N_CODE


@dataclass(frozen=True)
class HotSpots:
    """Windows of sequences, ordered by sequence and start.

    Attributes
    ----------
    sequence
        int64 (spots,): number of the sequence.
    start, stop
        int64 (spots,): the window [start, stop) in the sequence.
    peak
        int64 (spots,): the position in it with the largest attribution.
    height
        float32 (spots,): that attribution.
    """

    sequence: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    peak: NDArray[np.int64]
    height: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def width(self) -> int:
        """Bases of the longest window; 0 if there is none."""
        return int((self.stop - self.start).max(initial=0))


def find_hot_spots(
    attributions: NDArray[np.float32], *, share: float = 0.7, width: int = 32, merge: bool = True
) -> HotSpots:
    """Return the windows around the positions with large attributions.

    A position is hot if the largest attribution of its four channels is above a share of the
    largest one of the sequence. A sequence without a positive attribution has no hot spot.

    Parameters
    ----------
    attributions
        (n, L, 4).
    share
        Of the sequence's largest attribution.
    width
        Bases of a window: from width // 2 before the hot position on, cut at the ends of the
        sequence.
    merge
        Windows that overlap or touch become one. Otherwise every hot position has its own.
    """
    highest = attributions.max(axis=2)
    top = highest.max(axis=1)
    hot = (highest > share * top[:, None]) & (top > 0)[:, None]
    sequence, position = np.nonzero(hot)
    start = np.maximum(position - width // 2, 0)
    stop = np.minimum(position - width // 2 + width, attributions.shape[1])
    height = highest[sequence, position]
    if not merge or not len(sequence):
        return HotSpots(sequence, start, stop, position, height)
    begins = np.ones(len(sequence), bool)
    begins[1:] = (sequence[1:] != sequence[:-1]) | (start[1:] > stop[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(sequence)) - 1
    # The highest position of each window, the first of equal ones: last in this order.
    order = np.lexsort((-position, height, np.cumsum(begins)))
    best = order[last]
    return HotSpots(sequence[first], start[first], stop[last], position[best], height[best])


def windows_of(codes: ByteArray, spots: HotSpots) -> ByteArray:
    """Return the bases of hot spots (spots, width of the longest); shorter ones end in N."""
    inside, places = _places(spots)
    return np.where(inside, codes[spots.sequence[:, None], places], N_CODE).astype(np.uint8)


def attributions_of(attributions: NDArray[np.float32], spots: HotSpots) -> NDArray[np.float32]:
    """Return the attributions (spots, width of the longest, 4); shorter ones end in zeros."""
    inside, places = _places(spots)
    found = attributions[spots.sequence[:, None], places]
    return np.where(inside[..., None], found, np.float32(0))


def _places(spots: HotSpots) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which of the columns of windows lie in each, and their positions in the sequence."""
    places = spots.start[:, None] + np.arange(spots.width)
    inside = places < spots.stop[:, None]
    return inside, np.where(inside, places, 0)
