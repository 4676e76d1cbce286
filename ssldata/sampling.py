"""Which rows, in which order: integers only, no I/O.

The order of an epoch is a pure function of (mixture, epoch, batch size, chunk sizes): it does not
depend on threads or on what was read before, so a reader restored from (epoch, step) continues
byte for byte.

How it works. Rows of each class were permuted when the store was written, so a contiguous run of
rows is a random sample, and whole chunks can be read. An epoch takes all positives once and a
seeded run of negatives, cuts both into chunk-sized pieces, shuffles the pieces, deals them out
over *windows* of whole batches, permutes the rows inside each window, and spreads the positives
evenly, so that every batch has its share of both classes (to within one row).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.hashing import below, permutation

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows of one class of one group, in an order that was permuted when they were written.

    Attributes
    ----------
    group
        ``reference`` or ``homologs/<genome>``.
    start, stop
        The rows, half-open.
    members
        Only these rows of the range, ascending int64; None: all.
    """

    group: str
    start: int
    stop: int
    members: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.stop - self.start if self.members is None else len(self.members)

    def rows(self, first: int, end: int) -> NDArray[np.int64]:
        """Return the row numbers at positions [first, end) of the segment."""
        if self.members is None:
            return np.arange(self.start + first, self.start + end, dtype=np.int64)
        return self.members[first:end]


@dataclass(frozen=True, eq=False)
class Mixture:
    """What one phase of training draws from.

    Attributes
    ----------
    positives
        All of them are used once per epoch.
    negatives
        Pools that negatives are drawn from.
    ratio
        Negatives per positive.
    seed
        Of the draw and of the order.
    redraw
        Draw other negatives every epoch; otherwise once for all epochs.
    negative_shares
        Share of the negatives from each pool; default: by the pools' rows.
    repeats
        Passes over the positives per epoch (negatives in proportion). The two-stage control uses
        it to have epochs as long as those of pre-training.
    """

    positives: tuple[Segment, ...]
    negatives: tuple[Segment, ...]
    ratio: float = 1.0
    seed: int = 0
    redraw: bool = False
    negative_shares: tuple[float, ...] | None = None
    repeats: float = 1.0

    @property
    def positive_rows(self) -> int:
        """Positive rows per epoch."""
        return round(sum(len(s) for s in self.positives) * self.repeats)

    @property
    def negative_rows(self) -> int:
        """Negative rows per epoch."""
        return round(self.positive_rows * self.ratio)

    @property
    def rows(self) -> int:
        """Rows per epoch."""
        return self.positive_rows + self.negative_rows

    def steps(self, batch_size: int) -> int:
        """Batches per epoch; the last one may be smaller."""
        return -(-self.rows // batch_size)


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one group that lie in one chunk, ascending."""

    group: str
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Window:
    """Pieces that are read together and give whole batches.

    Attributes
    ----------
    pieces
        Positives first.
    order
        int64 (rows,): positions in the concatenated pieces, in the order of training.
    first_step
        Number of the window's first batch in the epoch.
    """

    pieces: tuple[Piece, ...]
    order: NDArray[np.int64]
    first_step: int


def _pieces(segment: Segment, first: int, end: int, chunk: int) -> list[Piece]:
    """Cut positions [first, end) of a segment at the borders of the store's chunks."""
    rows = segment.rows(first, end)
    if not len(rows):
        return []
    cuts = np.flatnonzero(np.diff(rows // chunk)) + 1
    return [Piece(segment.group, part) for part in np.split(rows, cuts)]


def _shares(total: int, sizes: Sequence[float]) -> list[int]:
    """Split `total` in proportion to `sizes`; the largest remainders get the rest."""
    weight = np.asarray(sizes, np.float64)
    if not total or not weight.sum():
        return [0] * len(sizes)
    exact = total * weight / weight.sum()
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return [int(n) for n in whole]


def _run(segment: Segment, wanted: int, chunk: int, *key: int | str) -> list[Piece]:
    """Return `wanted` rows of a segment: a circular run from a seeded position.

    When the segment has fewer rows, it is passed over as often as needed.
    """
    size = len(segment)
    if not size or not wanted:
        return []
    offset = below(size, "draw", segment.group, *key)
    pieces: list[Piece] = []
    position = offset
    while wanted:
        end = min(size, position + wanted)
        pieces += _pieces(segment, position, end, chunk)
        wanted -= end - position
        position = 0 if end == size else end
    return pieces


def epoch_pieces(
    mixture: Mixture, epoch: int, chunks: Mapping[str, int]
) -> tuple[list[Piece], list[Piece]]:
    """Return the shuffled pieces of an epoch, positives and negatives.

    Parameters
    ----------
    mixture
        What to draw from.
    epoch
        0, 1, …
    chunks
        Rows per chunk of each group.
    """
    seed = mixture.seed
    positives: list[Piece] = []
    if mixture.repeats == 1:
        for segment in mixture.positives:
            positives += _pieces(segment, 0, len(segment), chunks[segment.group])
    else:
        counts = _shares(mixture.positive_rows, [len(s) for s in mixture.positives])
        for segment, count in zip(mixture.positives, counts, strict=True):
            # Another start each epoch, so that a fraction of a pass favours no row.
            positives += _run(segment, count, chunks[segment.group], seed, epoch, "positive")
    negatives: list[Piece] = []
    wanted = _shares(
        mixture.negative_rows, mixture.negative_shares or [len(s) for s in mixture.negatives]
    )
    draw = epoch if mixture.redraw else 0
    for segment, count in zip(mixture.negatives, wanted, strict=True):
        if count > len(segment) and epoch == 0:
            _LOG.warning(
                "%s: %d negatives wanted of a pool of %d; rows are used more than once",
                segment.group,
                count,
                len(segment),
            )
        negatives += _run(segment, count, chunks[segment.group], seed, draw, "negative")
    return (
        [positives[i] for i in permutation(len(positives), "pieces", seed, epoch, "positive")],
        [negatives[i] for i in permutation(len(negatives), "pieces", seed, epoch, "negative")],
    )


def _slice(
    pieces: Sequence[Piece], borders: NDArray[np.int64], first: int, end: int
) -> list[Piece]:
    """Return the pieces that hold positions [first, end) of their concatenation, cut to them.

    `borders` are the positions where the pieces begin, and the end of the last.
    """
    result = []
    i = int(np.searchsorted(borders, first, side="right")) - 1
    while i < len(pieces) and borders[i] < end:
        low, high = max(first - borders[i], 0), min(end - borders[i], len(pieces[i]))
        if high > low:
            result.append(Piece(pieces[i].group, pieces[i].rows[low:high]))
        i += 1
    return result


def spread_evenly(positives: int, negatives: int) -> NDArray[np.bool_]:
    """Return which of `positives + negatives` places hold a positive, as evenly as can be."""
    total = positives + negatives
    steps = np.arange(total + 1, dtype=np.int64) * positives // max(total, 1)
    return np.diff(steps).astype(bool)


class EpochOrder:
    """The windows of one epoch.

    Parameters
    ----------
    mixture
        What to draw from.
    epoch
        0, 1, …
    batch_size
        Rows per batch.
    chunks
        Rows per chunk of each group.
    window_rows
        Rows per window, rounded to whole batches: what is in memory at a time.
    """

    def __init__(
        self,
        mixture: Mixture,
        epoch: int,
        *,
        batch_size: int,
        chunks: Mapping[str, int],
        window_rows: int,
    ) -> None:
        self.mixture = mixture
        self.epoch = epoch
        self.batch_size = batch_size
        self.window_steps = max(1, window_rows // batch_size)
        self.positives, self.negatives = epoch_pieces(mixture, epoch, chunks)
        self._positive_borders = np.cumsum([0, *(len(p) for p in self.positives)])
        self._negative_borders = np.cumsum([0, *(len(p) for p in self.negatives)])

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return self.mixture.steps(self.batch_size)

    def __len__(self) -> int:
        """Return the number of windows."""
        return -(-self.steps // self.window_steps)

    def window(self, number: int) -> Window:
        """Return one window: what to read and in which order to use it."""
        mixture, rows = self.mixture, self.mixture.rows
        first_step = number * self.window_steps
        low = min(first_step * self.batch_size, rows)
        high = min((first_step + self.window_steps) * self.batch_size, rows)
        # Positives before a position of the evenly spread epoch.
        p_low, p_high = (place * mixture.positive_rows // max(rows, 1) for place in (low, high))
        n_low, n_high = low - p_low, high - p_high
        positives = _slice(self.positives, self._positive_borders, p_low, p_high)
        negatives = _slice(self.negatives, self._negative_borders, n_low, n_high)
        p, n = p_high - p_low, n_high - n_low
        key = ("window", mixture.seed, self.epoch, number)
        order = np.empty(p + n, np.int64)
        place = spread_evenly(p, n)
        order[place] = permutation(p, *key, "positive")
        order[~place] = p + permutation(n, *key, "negative")
        return Window((*positives, *negatives), order, first_step)
