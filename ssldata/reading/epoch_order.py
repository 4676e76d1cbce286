"""Which rows are read, in which order: integers only, no I/O.

The order of an epoch is a pure function of (mixture, epoch, batch size, chunk sizes, shard): it
does not depend on threads or on what was read before, so a reader restored at (epoch, step)
continues byte for byte.

Rows of each class were permuted when the store was written, so a contiguous run of rows is a
random sample, and whole chunks can be read. An epoch takes all positives once (or each segment at
its rate) and a seeded run of negatives, cuts both into chunk-sized pieces and shuffles those of
each segment. They are dealt out over *windows* of whole batches so that every window has its share
of every segment (genome); a window's rows are permuted and its positives spread evenly, so that
every batch has its share of both classes to within one row, and genomes mix as in a random batch.
The first windows are short, so that an epoch starts quickly.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import below, hash_rows
from ssldata.reading.mixture import Mixture, Segment

_LOG = logging.getLogger(__name__)

#: The first window of an epoch is 1/8 of a whole one; each of the next is twice as long.
_RAMP = 8


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one group that lie in one chunk, ascending.

    `last`: the epoch has no further rows of this run in the chunk.
    """

    group: str
    rows: NDArray[np.int64]
    last: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Window:
    """Pieces that are read together and make whole batches.

    Attributes
    ----------
    pieces
        Positives first.
    order
        int64 (rows,): positions in the concatenated pieces, in training order.
    first_step
        Number of the window's first batch in the epoch.
    """

    pieces: tuple[Piece, ...]
    order: NDArray[np.int64]
    first_step: int


def shuffled(n: int, *key: int | str) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)`` that is a pure function of `n` and `key`.

    Sorts hashes whose low bits are the positions themselves: twice as fast as sorting positions
    by their hashes, and no two are equal.
    """
    low = np.uint64((1 << max(1, n - 1).bit_length()) - 1)
    positions = np.arange(n, dtype=np.int64)
    keys = (hash_rows(positions, *key) & ~low) | positions.astype(np.uint64)
    keys.sort()
    return (keys & low).astype(np.int64)


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


def _rationed(total: int, segments: Sequence[Segment], shares: Sequence[float] | None) -> list[int]:
    """Split `total` over segments by shares (None: by rows); empty segments get nothing."""
    sizes = [len(segment) for segment in segments]
    if shares is None:
        return _shares(total, sizes)
    return _shares(total, [x if size else 0.0 for x, size in zip(shares, sizes, strict=True)])


class _Stream:
    """The shuffled pieces of one segment in one epoch, taken from front to back.

    Parameters
    ----------
    segment
        The rows.
    first, count
        A circular run of positions: a segment with fewer rows is passed over as often as needed.
    chunk
        Rows per chunk of the store.
    key
        Of the shuffle.
    """

    def __init__(
        self, segment: Segment, first: int, count: int, chunk: int, *key: int | str
    ) -> None:
        self._segment = segment
        size = len(segment)
        if not count or not size:
            bounds = np.empty((0, 2), np.int64)
        else:
            cuts = _chunk_cuts(segment, chunk)
            turns = np.arange(first // size, (first + count - 1) // size + 1, dtype=np.int64)
            # Where pieces begin, as positions on a line that winds around the segment.
            starts = (cuts[None, :] + turns[:, None] * size).ravel()
            inside = starts[(starts > first) & (starts < first + count)]
            line = np.concatenate([[first], inside, [first + count]])
            begin = line[:-1] % size
            bounds = np.stack([begin, begin + np.diff(line)], axis=1)
        self._bounds = bounds[shuffled(len(bounds), "pieces", *key)]
        self._ends = np.concatenate([[0], np.cumsum(self._bounds[:, 1] - self._bounds[:, 0])])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def slice(self, first: int, end: int) -> list[Piece]:
        """Return the pieces that hold positions [first, end) of the stream, cut to them."""
        result = []
        i = int(np.searchsorted(self._ends, first, side="right")) - 1
        while first < end:
            begin = int(self._bounds[i, 0]) + first - int(self._ends[i])
            count = min(end, int(self._ends[i + 1])) - first
            rows = self._segment.rows(begin, begin + count)
            last = begin + count == int(self._bounds[i, 1])
            result.append(Piece(self._segment.group, rows, last))
            first += count
            i += 1
        return result


def _chunk_cuts(segment: Segment, chunk: int) -> NDArray[np.int64]:
    """Return the positions of a segment at which a chunk begins, and position 0."""
    if segment.members is None:
        borders = np.arange(segment.start // chunk + 1, -(-segment.stop // chunk)) * chunk
        return np.concatenate([[0], borders - segment.start]).astype(np.int64)
    cuts = np.flatnonzero(np.diff(segment.members // chunk)) + 1
    return np.concatenate([[0], cuts]).astype(np.int64)


def _streams(
    mixture: Mixture, epoch: int, chunks: Mapping[str, int]
) -> tuple[list[_Stream], list[_Stream]]:
    """Return the positives and negatives of an epoch, one stream per segment."""
    seed = mixture.seed
    segments = mixture.positives if mixture.loci is None else mixture.one_per_locus(epoch)
    sizes = [len(s) for s in segments]
    rationed = mixture.loci is None and (mixture.repeats != 1 or mixture.positive_shares)
    counts = (
        _rationed(mixture.positive_rows, mixture.positives, mixture.positive_shares)
        if rationed
        else sizes
    )
    positives = [
        # A partial pass continues where that of the previous epoch ended, so it favours no row.
        _Stream(
            segment,
            _start(segment, count, epoch, seed, "positive") if rationed else 0,
            count,
            chunks[segment.group],
            seed,
            epoch,
            "positive",
            i,
        )
        for i, (segment, count) in enumerate(zip(segments, counts, strict=True))
    ]
    negatives = []
    wanted = _rationed(mixture.negative_rows, mixture.negatives, mixture.negative_shares)
    draw = epoch if mixture.redraw else 0
    for i, (segment, count) in enumerate(zip(mixture.negatives, wanted, strict=True)):
        if count > len(segment) and epoch == 0:
            _LOG.warning(
                "%s: %d negatives wanted of a pool of %d; rows are used more than once",
                segment.group,
                count,
                len(segment),
            )
        start = _start(segment, count, draw, seed, "negative")
        chunk = chunks[segment.group]
        negatives.append(_Stream(segment, start, count, chunk, seed, epoch, "negative", i))
    return positives, negatives


def _start(segment: Segment, count: int, epoch: int, seed: int, kind: str) -> int:
    """Return where a run of `count` rows begins; that of the next epoch continues it."""
    size = len(segment)
    return (below(size, "draw", segment.group, seed, kind) + epoch * count) % size if size else 0


def _deal(sizes: Sequence[int], totals: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Deal streams out: each receiver gets its share of every stream.

    Parameters
    ----------
    sizes
        Rows of the streams.
    totals
        Rows per receiver, of all streams together.

    Returns
    -------
    list of list of (int, int)
        Per receiver and stream the positions [first, end).
    """
    done = [0] * len(sizes)
    dealt = []
    for total in totals:
        taken = _shares(total, [size - d for size, d in zip(sizes, done, strict=True)])
        dealt.append([(d, d + t) for d, t in zip(done, taken, strict=True)])
        done = [d + t for d, t in zip(done, taken, strict=True)]
    return dealt


def spread_evenly(
    positives: int, total: int, first: int = 0, end: int | None = None
) -> NDArray[np.bool_]:
    """Return which of the places [first, end) hold a positive when `total` do so evenly.

    Any run of n places holds ``n * positives / total`` positives, to within one.

    Parameters
    ----------
    positives, total
        Positives, and places they are spread over.
    first, end
        The places to return, half-open; default: all.
    """
    places = np.arange(first, (total if end is None else end) + 1, dtype=np.int64)
    return np.diff(places * positives // max(total, 1)).astype(bool)


def window_ends(steps: int, window_steps: int) -> NDArray[np.int64]:
    """Return the step at which each window of an epoch ends; the first windows are short."""
    sizes = []
    size, done = max(1, window_steps // _RAMP), 0
    while done < steps and size < window_steps:
        sizes.append(size)
        done += size
        size = min(2 * size, window_steps)
    sizes += [window_steps] * max(0, -(-(steps - done) // window_steps))
    return np.minimum(np.cumsum(np.array(sizes, np.int64)), steps)


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
    num_shards, shard
        Take part `shard` (0, 1, …) of `num_shards` parts that together are the epoch; their sizes
        differ by one row at most.
    drop_remainder
        Leave out the rows that do not fill a last batch, different ones in each epoch. All parts
        then have equally many batches.

    Raises
    ------
    ValueError
        There is no such shard.
    """

    def __init__(
        self,
        mixture: Mixture,
        epoch: int,
        *,
        batch_size: int,
        chunks: Mapping[str, int],
        window_rows: int,
        num_shards: int = 1,
        shard: int = 0,
        drop_remainder: bool = False,
    ) -> None:
        if not 0 <= shard < num_shards:
            raise ValueError(f"shard {shard} of {num_shards}: expected 0 to {num_shards - 1}")
        self.mixture = mixture
        self.epoch = epoch
        self.batch_size = batch_size
        self.shard = shard
        # Places in the epoch at which shards begin.
        whole = mixture.rows - mixture.rows % num_shards if drop_remainder else mixture.rows
        shards = np.arange(shard + 2, dtype=np.int64) * whole // num_shards
        first, size = int(shards[shard]), int(shards[shard + 1] - shards[shard])
        self.steps = size // batch_size if drop_remainder else -(-size // batch_size)
        self.rows = min(size, self.steps * batch_size)
        self._ends = window_ends(self.steps, max(1, window_rows // batch_size))
        self._streams = _streams(mixture, epoch, chunks)
        borders = first + np.minimum(np.concatenate([[0], self._ends]) * batch_size, size)
        self._borders = borders
        self._windows = tuple(
            self._dealt([len(s) for s in streams], self._count(shards, i), self._count(borders, i))
            for i, streams in enumerate(self._streams)
        )

    def _count(self, ends: NDArray[np.int64], kind: int) -> list[int]:
        """Return how many positives (0) or negatives (1) lie between places of an even epoch."""
        positives = ends * self.mixture.positive_rows // max(self.mixture.rows, 1)
        result: list[int] = np.diff(ends - positives if kind else positives).tolist()
        return result

    def _dealt(
        self, sizes: list[int], per_shard: list[int], per_window: list[int]
    ) -> list[list[tuple[int, int]]]:
        mine = _deal(sizes, per_shard)[self.shard]
        windows = _deal([end - first for first, end in mine], per_window)
        return [
            [(a + first, b + first) for (a, b), (first, _) in zip(window, mine, strict=True)]
            for window in windows
        ]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._ends)

    def window_of(self, step: int) -> int:
        """Return the window that holds a batch."""
        return int(np.searchsorted(self._ends, step, side="right"))

    def first_step(self, number: int) -> int:
        """Return the first batch of a window."""
        return int(self._ends[number - 1]) if number else 0

    def window(self, number: int) -> Window:
        """Return one window: what to read, and in which order to use it."""
        parts = [
            [
                piece
                for stream, (first, end) in zip(streams, windows[number], strict=True)
                for piece in stream.slice(first, end)
            ]
            for streams, windows in zip(self._streams, self._windows, strict=True)
        ]
        p, n = (sum(len(piece) for piece in part) for part in parts)
        key = ("window", self.mixture.seed, self.epoch, self.shard, number)
        if self.mixture.balance == "none":
            order = shuffled(p + n, *key)
        else:
            order = np.empty(p + n, np.int64)
            first, end = (int(x) for x in self._borders[number : number + 2])
            place = spread_evenly(self.mixture.positive_rows, self.mixture.rows, first, end)
            order[place] = shuffled(p, *key, "positive")
            order[~place] = p + shuffled(n, *key, "negative")
        return Window((*parts[0], *parts[1]), order, self.first_step(number))
