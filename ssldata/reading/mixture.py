"""What training draws from: segments of rows, and how often each is used. Integers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.base.keyed_random import uniform_rows
from ssldata.store.store import HOMOLOGUES, REFERENCE, Store


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


def _usable(segments: Sequence[Segment], shares: Sequence[float] | None) -> bool:
    """Return whether any segment has both rows and a share."""
    weights = shares or [1.0] * len(segments)
    return any(len(s) and x for s, x in zip(segments, weights, strict=True))


@dataclass(frozen=True, eq=False)
class Mixture:
    """What one phase of training draws from.

    Attributes
    ----------
    positives
        All of them are used once per epoch, unless another rate is set.
    negatives
        Pools that negatives are drawn from.
    ratio
        Negatives per positive.
    seed
        Of the draw and of the order.
    redraw
        Draw new negatives every epoch, rather than once for all epochs. The whole pool is used
        before a row is drawn again.
    negative_shares
        Share of the negatives from each pool; default: by the pools' rows.
    repeats
        Passes over the positives per epoch, not necessarily whole; negatives in proportion.
    positive_shares
        Share of the positives from each segment (see :func:`rates`); default: every row equally
        often. After any number of epochs the rows of a segment have been used equally often, to
        within one. With `loci`: relative rates at which the homologues of a locus are chosen.
    loci
        int64 (rows of the segment,) for every segment of positives: an epoch takes one row per
        locus, redrawn each epoch from all segments. Every chunk is read for the few rows chosen
        from it, so the data read grow with the number of homologues per locus.
    balance
        ``batch``: every batch has its share of both classes to within one row; ``none``: classes
        are mixed as in a random batch.
    label_seed
        Give every row a label drawn by its number, under this seed, instead of its own
        (:class:`ssldata.reading.shuffled_labels.ShuffledLabels`): a control. None: its own.

    Raises
    ------
    ValueError
        Shares or loci do not fit the segments.
    """

    positives: tuple[Segment, ...]
    negatives: tuple[Segment, ...]
    ratio: float = 1.0
    seed: int = 0
    redraw: bool = False
    negative_shares: tuple[float, ...] | None = None
    repeats: float = 1.0
    positive_shares: tuple[float, ...] | None = None
    loci: tuple[NDArray[np.int64], ...] | None = None
    balance: Literal["batch", "none"] = "batch"
    label_seed: int | None = None

    def __post_init__(self) -> None:
        for name, shares, segments in (
            ("positive_shares", self.positive_shares, self.positives),
            ("negative_shares", self.negative_shares, self.negatives),
        ):
            if shares is not None and (
                len(shares) != len(segments) or not all(0 <= x < np.inf for x in shares)
            ):
                raise ValueError(
                    f"{name}: expected a share of 0 or more for each of {len(segments)} segments, "
                    f"found {shares}"
                )
        if self.loci is None:
            return
        if [len(x) for x in self.loci] != [len(s) for s in self.positives]:
            raise ValueError("loci: expected one per row of every segment of positives")
        if any(len(x) and x.min() < 0 for x in self.loci):
            raise ValueError("loci: a row without a locus (-1) among the positives")
        if self.repeats != 1:
            raise ValueError("loci: an epoch has one row per locus; 'repeats' must be 1")

    @cached_property
    def _loci_present(self) -> NDArray[np.int64]:
        """Loci that can be drawn, ascending."""
        used = [
            np.unique(locus)
            for i, locus in enumerate(self.loci or ())
            if self.positive_shares is None or self.positive_shares[i]
        ]
        return np.unique(np.concatenate(used)) if used else np.empty(0, np.int64)

    @property
    def positive_rows(self) -> int:
        """Positive rows per epoch."""
        if self.loci is not None:
            return len(self._loci_present)
        if not _usable(self.positives, self.positive_shares):
            return 0
        return round(sum(len(s) for s in self.positives) * self.repeats)

    @property
    def negative_rows(self) -> int:
        """Negative rows per epoch."""
        if not _usable(self.negatives, self.negative_shares):
            return 0
        return round(self.positive_rows * self.ratio)

    @property
    def rows(self) -> int:
        """Rows per epoch."""
        return self.positive_rows + self.negative_rows

    def steps(self, batch_size: int) -> int:
        """Return the batches per epoch; the last one may be smaller."""
        return -(-self.rows // batch_size)

    def one_per_locus(self, epoch: int) -> tuple[Segment, ...]:
        """Return the segments with only the rows that represent their locus in one epoch.

        The row of a locus is drawn with a probability proportional to its segment's share: each
        row has an exponential waiting time of that rate, and the shortest wins.
        """
        present = self._loci_present
        best = np.full(len(present), np.inf)
        times = []
        for i, (segment, locus) in enumerate(zip(self.positives, self.loci or (), strict=True)):
            share = 1.0 if self.positive_shares is None else self.positive_shares[i]
            drawn = uniform_rows(
                segment.rows(0, len(segment)), "locus", self.seed, epoch, segment.group
            )
            times.append(-np.log(drawn) / share if share else np.full(len(locus), np.inf))
            if share:
                np.minimum.at(best, np.searchsorted(present, locus), times[-1])
        taken = np.zeros(len(present), bool)
        result = []
        for segment, locus, time in zip(self.positives, self.loci or (), times, strict=True):
            place = np.minimum(np.searchsorted(present, locus), len(present) - 1)
            won = np.flatnonzero(np.isfinite(time) & (time == best[place]) & ~taken[place])
            # Of equal times (probability 2**-53) the first row of a locus wins.
            won = np.sort(won[np.unique(place[won], return_index=True)[1]])
            taken[place[won]] = True
            rows = segment.rows(0, len(segment))[won]
            result.append(Segment(segment.group, segment.start, segment.stop, rows))
        return tuple(result)


def rates(
    sizes: Sequence[int],
    *,
    by: Literal["rows", "genomes", "distance"] = "rows",
    distances: Sequence[float] | None = None,
    halving: float = 0.5,
) -> tuple[float, ...] | None:
    """Return shares of segments for :attr:`Mixture.positive_shares`.

    Parameters
    ----------
    sizes
        Rows of each segment.
    by
        ``rows``: every row equally often; ``genomes``: equally many rows from every segment that
        has any; ``distance``: as ``rows``, but less often the more distant the genome.
    distances
        Of the genomes, for example in substitutions per site.
    halving
        Distance at which a row is used half as often as one at distance 0.

    Returns
    -------
    tuple of float, or None
        A share of 0 or more per segment, not normalised; None for ``rows``.

    Raises
    ------
    ValueError
        ``distance`` without a distance per segment, or a negative one.
    """
    if by == "rows":
        return None
    if by == "genomes":
        return tuple(float(size > 0) for size in sizes)
    if distances is None or len(distances) != len(sizes):
        raise ValueError(f"rates by distance: expected a distance for each of {len(sizes)} genomes")
    if not halving > 0 or not all(0 <= d < np.inf for d in distances):
        raise ValueError(f"rates by distance: expected distances of 0 or more, found {distances}")
    return tuple(size * 0.5 ** (d / halving) for size, d in zip(sizes, distances, strict=True))


def mixture_of(store: Store, *, seed: int = 0) -> Mixture:
    """Return the training rows of a store: all positives, and equally many negatives.

    Positives are those of the train split of the labelled genome and of every complete target
    genome, each used once per epoch. Negatives are drawn from the train split of the labelled
    genome and are the same in every epoch. For other genomes, rates or ratios make a
    :class:`Mixture`.

    Parameters
    ----------
    store
        The store; nothing but its metadata is read.
    seed
        Of the draw of the negatives and of the order of the rows. Equal stores and seeds give
        equal batches, on any machine.

    Returns
    -------
    Mixture
        For :func:`ssldata.reading.reader.training_dataset` (``ssldata.dataset``).

    Raises
    ------
    StoreError
        There are no positives or no negatives to train on.
    """
    names = [REFERENCE, *(f"{HOMOLOGUES}/{genome}" for genome in store.genomes)]
    segments = [Segment(name, *store.group(name).ranges["positive"]) for name in names]
    positives = tuple(segment for segment in segments if len(segment))
    negatives = (Segment(REFERENCE, *store.group(REFERENCE).ranges["negative"]),)
    if not positives or not len(negatives[0]):
        raise StoreError(f"{store.location}: no rows to train on; `crosslabel plan` shows counts")
    return Mixture(positives, negatives, seed=seed)
