"""How much of each window recurs in the most similar of many others: exact, by shared k-mers.

The similarity of a window q to a window t is |S(q) ∩ S(t)| / |S(q)|: the part of the k-mers of q
that t has too (containment; Broder 1997). S(x) is the set of canonical 16-mers of x (the lower of a
16-mer and its reverse complement), so strands do not matter; a 16-mer with an N is in no set, so N
matches nothing. No k-mer is sampled and hashes are bijections: the counts are exact.

A k-mer in more than :data:`MANY` of the windows asked about is a repeat. It is left out of all
sets: otherwise time would grow with the square of the copies of the most common repeat. A window
that has fewer than :data:`FEW` k-mers left is not measured, and counted as such.

Between windows of identity p without indels, p ** 16 of the k-mers are shared on average: 0.19 at
90 %, 0.44 at 95 %. Half of a window shared without any difference is 0.5, too.

The windows asked about are indexed, in blocks that fit into memory; the others stream past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int32Array, Int64Array
from ssldata.trust.window_kernels import (
    K,
    Uint32Array,
    Uint64Array,
    address,
    best_matches,
    fill_index,
    kmers_in_part,
    window_kmers,
)

#: A k-mer in more of the windows asked about than this is a repeat. A family of 256 copies is no
#: longer a matter of a few loci, and costs 256 ** 2 comparisons.
MANY = 256
#: Windows with fewer k-mers than this, apart from repeats, are not measured; one of 200 b has 185.
FEW = 20
#: Entries of the index that are in memory at a time, 8 bytes each: 1 GB.
ENTRIES = 128_000_000
#: First bits of a k-mer by which a large index is addressed: 64 MB of addresses.
_MOST_BITS = 24
#: Windows whose k-mers are computed at a time.
_PORTION = 4096

#: Windows in their order, a block of codes (rows, length) at a time; called once for each pass.
Windows = Callable[[], Iterable[ByteArray]]


@dataclass(frozen=True)
class Similarity:
    """What of each window recurs in another one. All arrays have a value for each window.

    Attributes
    ----------
    kmers
        int32, distinct k-mers that are no repeats: |S|.
    repeats
        int32, distinct k-mers that are repeats.
    best
        int32, the most of `kmers` that one of the other windows has.
    row
        int64, the number of that window among those that were compared, the first of equals; −1:
        none has any.
    """

    kmers: Int32Array
    repeats: Int32Array
    best: Int32Array
    row: Int64Array

    @property
    def measured(self) -> BoolArray:
        """Which windows have enough k-mers to say anything."""
        return np.asarray(self.kmers >= FEW, bool)

    @property
    def share(self) -> NDArray[np.float64]:
        """Containment in the most similar window, in [0, 1]; NaN where it is not measured."""
        found = self.best / np.maximum(self.kmers, 1)
        return np.where(self.measured, found, np.nan)


def most_similar(
    asked: ByteArray, others: Mapping[str, Windows], *, many: int = MANY, entries: int = ENTRIES
) -> dict[str, Similarity]:
    """Compare windows with sets of others, and return the most similar of each set for each.

    Parameters
    ----------
    asked
        uint8 (rows, length), in memory.
    others
        Sets of windows to compare with, of any length; each is gone through once for every
        `entries` k-mers of `asked`.
    many
        Most windows of `asked` with a k-mer that is no repeat.
    entries
        K-mers that are indexed at a time.
    """
    repeats = _repeats(asked, many, entries)
    total, kept = np.zeros(len(asked), np.int32), np.zeros(len(asked), np.int32)
    best = {name: np.zeros(len(asked), np.int32) for name in others}
    row = {name: np.full(len(asked), -1, np.int64) for name in others}
    step = max(1, entries // max(1, asked.shape[1] - K + 1))
    for first in range(0, len(asked), step):
        here = slice(first, first + step)
        index = _index(asked[here], repeats, total[here], kept[here])
        for name, windows in others.items():
            passed = 0
            for block in windows():
                for at in range(0, len(block), _PORTION):
                    part = block[at : at + _PORTION]
                    kmers, count = _kmers_of(part)
                    best_matches(kmers, count, passed, *index, best[name][here], row[name][here])
                    passed += len(part)
    return {name: Similarity(kept, total - kept, best[name], row[name]) for name in others}


def _kmers_of(codes: ByteArray) -> tuple[Uint32Array, Int32Array]:
    kmers = np.empty((len(codes), max(0, codes.shape[1] - K + 1)), np.uint32)
    count = np.zeros(len(codes), np.int32)
    window_kmers(np.ascontiguousarray(codes), kmers, count)
    return kmers, count


def _repeats(codes: ByteArray, many: int, entries: int) -> Uint32Array:
    """Return the k-mers of more than `many` windows, ascending."""
    most = len(codes) * max(0, codes.shape[1] - K + 1)
    parts = max(1, -(-2 * most // entries))  # twice as many as needed: parts are not quite equal
    edges = np.linspace(0, 2**32, parts + 1).astype(np.int64)
    found = [np.empty(0, np.uint32)]
    for low, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        values, filled = np.empty(min(most, entries), np.uint32), 0
        for first in range(0, len(codes), _PORTION):
            kmers, count = _kmers_of(codes[first : first + _PORTION])
            if filled + int(count.sum()) > len(values):
                values = np.concatenate([values, np.empty(max(len(values), kmers.size), np.uint32)])
            filled = kmers_in_part(kmers, count, low, end, values, filled)
        part = values[:filled]
        part.sort()
        # In ascending order a value equals the one `many` places on if it occurs more often.
        often = part[: max(0, len(part) - many)] == part[many:]
        found.append(np.unique(part[: len(often)][often]))
    return np.concatenate(found)


def _index(
    codes: ByteArray, repeats: Uint32Array, total: Int32Array, kept: Int32Array
) -> tuple[Uint64Array, int, Uint32Array]:
    """Return the index of windows, see :func:`address`; write what each has, and has in it."""
    entries = np.empty(len(codes) * max(0, codes.shape[1] - K + 1), np.uint64)
    filled = 0
    for first in range(0, len(codes), _PORTION):
        here = slice(first, min(first + _PORTION, len(codes)))
        kmers, count = _kmers_of(codes[here])
        total[here] = count
        filled = fill_index(kmers, count, first, repeats, entries, filled, kept[here])
    entries = entries[:filled]
    entries.sort()
    bits = min(_MOST_BITS, max(8, filled.bit_length()))
    starts = np.empty(2**bits + 1, np.uint32)
    address(entries, bits, starts)
    return entries, bits, starts
