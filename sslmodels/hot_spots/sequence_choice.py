"""Which sequences are looked at: predicted correctly and confidently, each place once."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.keyed_random import permutation


@dataclass(frozen=True)
class ChosenSequences:
    """Sequences of two classes and where they lie.

    Attributes
    ----------
    codes
        uint8 (n, L).
    labels
        bool (n,): class 1.
    probabilities
        float32 (n,): of class 1.
    contigs
        object (n,): names.
    starts
        int64 (n,): the first base of [start, start + L) on the forward strand.
    strands
        int8 (n,): ±1; a sequence of −1 is the reverse complement of its place.
    """

    codes: ByteArray
    labels: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    contigs: NDArray[Any]
    starts: NDArray[np.int64]
    strands: NDArray[np.int8]

    def places(
        self,
        sequence: NDArray[np.int64],
        start: NDArray[np.int64],
        stop: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where windows [start, stop) of sequences lie on the forward strand."""
        length = self.codes.shape[1]
        forward = self.strands[sequence] > 0
        first = np.where(forward, start, length - stop)
        end = np.where(forward, stop, length - start)
        return self.starts[sequence] + first, self.starts[sequence] + end


@dataclass(frozen=True)
class Choice:
    """The rows of a class that are looked at.

    Attributes
    ----------
    rows
        Rows of the class.
    confident
        Those predicted correctly, with more than the confidence asked for.
    apart
        Those of them that overlap no other.
    chosen
        int64: numbers of the rows that were drawn, ascending.
    """

    rows: int
    confident: int
    apart: int
    chosen: NDArray[np.int64]


def choose(
    belongs: NDArray[np.bool_],
    confidence: NDArray[np.float32],
    contigs: NDArray[Any],
    starts: NDArray[np.int64],
    *,
    length: int,
    above: float,
    count: int,
    key: tuple[int | str, ...],
) -> Choice:
    """Draw rows of a class; rows that overlap are one place, of which one is drawn.

    Parameters
    ----------
    belongs
        bool (n,): the rows of the class.
    confidence
        (n,): probability of the class.
    contigs, starts
        (n,): contig and first base of each row.
    length
        Bases of a row.
    above
        Rows count whose confidence is larger than this.
    count
        Rows at most.
    key
        Of the random order in which rows are drawn.
    """
    known = np.flatnonzero(belongs & (confidence > above))
    taken: dict[Any, list[int]] = {}
    chosen = []
    for row in known[permutation(len(known), *key)].tolist():
        there = taken.setdefault(contigs[row], [])
        start = int(starts[row])
        if bisect_left(there, start - length + 1) == bisect_left(there, start + length):
            insort(there, start)
            chosen.append(row)
    drawn = np.sort(np.array(chosen[:count], np.int64))
    return Choice(int(belongs.sum()), len(known), len(chosen), drawn)
