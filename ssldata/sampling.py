"""Which rows, in which order: integers only, no I/O.

The order of an epoch is a pure function of (mixture, epoch, batch size, chunk sizes): it does not
depend on threads or on what was read before, so a reader restored from (epoch, step) continues
byte for byte.

How it works. Rows of each class were permuted when the store was written, so a contiguous run of
rows is a random sample, and whole chunks can be read. An epoch takes all positives once and a
seeded run of negatives, cuts both into chunk-sized pieces and shuffles those of each segment. They
are dealt out over *windows* of whole batches so that every window has its share of every segment
(genome); a window's rows are permuted and its positives spread evenly, so that every batch has its
share of both classes to within one row, and genomes mix as in a random batch.
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


class _Stream:
    """The shuffled pieces of one segment in one epoch, taken from front to back."""

    def __init__(self, pieces: Sequence[Piece], *key: int | str) -> None:
        self.pieces = [pieces[i] for i in permutation(len(pieces), "pieces", *key)]
        self.borders = np.cumsum([0, *(len(piece) for piece in self.pieces)])

    def __len__(self) -> int:
        return int(self.borders[-1])

    def slice(self, first: int, end: int) -> list[Piece]:
        """Return the pieces that hold positions [first, end) of the stream, cut to them."""
        result = []
        i = int(np.searchsorted(self.borders, first, side="right")) - 1
        while i < len(self.pieces) and self.borders[i] < end:
            piece = self.pieces[i]
            low = max(first - int(self.borders[i]), 0)
            high = min(end - int(self.borders[i]), len(piece))
            if high > low:
                result.append(Piece(piece.group, piece.rows[low:high]))
            i += 1
        return result


def _streams(
    mixture: Mixture, epoch: int, chunks: Mapping[str, int]
) -> tuple[list[_Stream], list[_Stream]]:
    """Return the positives and negatives of an epoch, one stream per segment."""
    seed = mixture.seed
    positives: list[_Stream] = []
    counts = _shares(mixture.positive_rows, [len(s) for s in mixture.positives])
    for i, (segment, count) in enumerate(zip(mixture.positives, counts, strict=True)):
        chunk = chunks[segment.group]
        pieces = (
            _pieces(segment, 0, len(segment), chunk)
            if mixture.repeats == 1
            # Another start each epoch, so that a fraction of a pass favours no row.
            else _run(segment, count, chunk, seed, epoch, "positive")
        )
        positives.append(_Stream(pieces, seed, epoch, "positive", i))
    negatives: list[_Stream] = []
    wanted = _shares(
        mixture.negative_rows, mixture.negative_shares or [len(s) for s in mixture.negatives]
    )
    draw = epoch if mixture.redraw else 0
    for i, (segment, count) in enumerate(zip(mixture.negatives, wanted, strict=True)):
        if count > len(segment) and epoch == 0:
            _LOG.warning(
                "%s: %d negatives wanted of a pool of %d; rows are used more than once",
                segment.group,
                count,
                len(segment),
            )
        pieces = _run(segment, count, chunks[segment.group], seed, draw, "negative")
        negatives.append(_Stream(pieces, seed, epoch, "negative", i))
    return positives, negatives


def _deal(streams: Sequence[_Stream], totals: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Deal streams out over windows: each window gets its share of every stream.

    Parameters
    ----------
    streams
        What is dealt.
    totals
        Rows per window, of all streams together.

    Returns
    -------
    list of list of (int, int)
        Per window and stream the positions [first, end).
    """
    done = [0] * len(streams)
    windows = []
    for total in totals:
        taken = _shares(total, [len(s) - d for s, d in zip(streams, done, strict=True)])
        windows.append([(d, d + t) for d, t in zip(done, taken, strict=True)])
        done = [d + t for d, t in zip(done, taken, strict=True)]
    return windows


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
        self._streams = _streams(mixture, epoch, chunks)
        rows = mixture.rows
        ends = np.minimum(np.arange(len(self) + 1) * self.window_steps * batch_size, rows)
        # Positives among the first so many rows of the evenly spread epoch.
        positives = ends * mixture.positive_rows // max(rows, 1)
        self._windows = (
            _deal(self._streams[0], np.diff(positives).tolist()),
            _deal(self._streams[1], np.diff(ends - positives).tolist()),
        )

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return self.mixture.steps(self.batch_size)

    def __len__(self) -> int:
        """Return the number of windows."""
        return -(-self.steps // self.window_steps)

    def window(self, number: int) -> Window:
        """Return one window: what to read and in which order to use it."""
        parts = [
            [
                piece
                for stream, (first, end) in zip(streams, windows[number], strict=True)
                for piece in stream.slice(first, end)
            ]
            for streams, windows in zip(self._streams, self._windows, strict=True)
        ]
        p, n = (sum(len(piece) for piece in part) for part in parts)
        key = ("window", self.mixture.seed, self.epoch, number)
        order = np.empty(p + n, np.int64)
        place = spread_evenly(p, n)
        order[place] = permutation(p, *key, "positive")
        order[~place] = p + permutation(n, *key, "negative")
        return Window((*parts[0], *parts[1]), order, number * self.window_steps)
