"""Compiled loops over windows of bases: hashes of both strands, k-mers, and shared k-mers counted.

Every caller has checked shapes and types. Base codes are those of :mod:`ssldata.genomes.onehot`.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int32Array, Int64Array

Uint64Array = NDArray[np.uint64]
Uint32Array = NDArray[np.uint32]

#: Bases of a k-mer: as a number it fills 32 bits, so that k-mers are compared exactly.
K = 16
#: The bits of an entry of the index below its k-mer that name the row.
ROW_BITS = 32
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_SEEDS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03))
#: Bases whose codes (3 bits each) fill one word of the hash.
_WORD = 21


@numba.njit(cache=True, inline="always")
def _mix64(x: np.uint64) -> np.uint64:
    """Mix 64 bits: a bijection (splitmix64, Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, inline="always")
def _mix32(x: np.uint32) -> np.uint32:
    """Mix 32 bits: a bijection (Wellons' lowbias32), so that no two k-mers become one.

    Canonical k-mers begin with A or C more often than not; mixed ones fill the index evenly.
    """
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@numba.njit(cache=True, nogil=True)
def hash_windows(codes: ByteArray, high: Uint64Array, low: Uint64Array, turned: ByteArray) -> None:
    """Write a 128-bit hash of each window, the same for its reverse complement.

    Of the two strands the one that comes first as a text of codes is hashed.

    Parameters
    ----------
    codes
        uint8 (rows, length), 0 to 4.
    high, low
        uint64 (rows,), written: two hashes with constants of their own.
    turned
        uint8 (rows,), written: 1 where the reverse complement was hashed, 2 where both strands
        are the same text.
    """
    rows, length = codes.shape
    for i in range(rows):
        side = 2
        for j in range(length):
            here, there = codes[i, j], codes[i, length - 1 - j]
            there = 3 - there if there < 4 else there
            if here != there:
                side = 0 if here < there else 1
                break
        turned[i] = side
        one, two = _SEEDS[0], _SEEDS[1]
        word, filled = np.uint64(0), 0
        for j in range(length):
            if side == 1:
                code = codes[i, length - 1 - j]
                code = 3 - code if code < 4 else code
            else:
                code = codes[i, j]
            word = (word << np.uint64(3)) | np.uint64(code)
            filled += 1
            if filled == _WORD or j == length - 1:
                one = _mix64(one ^ word) + _SEEDS[1]
                two = _mix64((two + word) * _M1) ^ _SEEDS[0]
                word, filled = np.uint64(0), 0
        high[i], low[i] = one, two


@numba.njit(cache=True, nogil=True)
def window_kmers(codes: ByteArray, out: Uint32Array, count: Int32Array) -> None:
    """Write the distinct canonical k-mers of each window, mixed; those with an N are left out.

    Parameters
    ----------
    codes
        uint8 (rows, length).
    out
        uint32 (rows, length − K + 1), written: the first ``count[i]`` of row i, ascending.
    count
        int32 (rows,), written.
    """
    rows, length = codes.shape
    top = np.uint32(2 * (K - 1))
    for i in range(rows):
        ahead, back = np.uint32(0), np.uint32(0)
        whole, found = 0, 0
        for j in range(length):
            code = codes[i, j]
            if code > 3:
                whole = 0
                continue
            ahead = np.uint32((ahead << np.uint32(2)) | np.uint32(code))
            back = np.uint32((back >> np.uint32(2)) | (np.uint32(3 - code) << top))
            whole += 1
            if whole >= K:
                out[i, found] = _mix32(min(ahead, back))
                found += 1
        if found > 1:
            out[i, :found].sort()
            kept = 1
            for j in range(1, found):
                if out[i, j] != out[i, kept - 1]:
                    out[i, kept] = out[i, j]
                    kept += 1
            found = kept
        count[i] = found


@numba.njit(cache=True, nogil=True)
def kmers_in_part(
    kmers: Uint32Array, count: Int32Array, low: int, end: int, out: Uint32Array, filled: int
) -> int:
    """Append the k-mers in a range to `out`, and return how much of it is filled.

    Parameters
    ----------
    kmers, count
        As :func:`window_kmers` writes them.
    low, end
        The range, half-open.
    out
        uint32, written from `filled` on; there is room for all of `kmers`.
    filled
        K-mers that are there.
    """
    for i in range(len(count)):
        for j in range(count[i]):
            if low <= kmers[i, j] < end:
                out[filled] = kmers[i, j]
                filled += 1
    return filled


@numba.njit(cache=True, nogil=True)
def fill_index(
    kmers: Uint32Array,
    count: Int32Array,
    first: int,
    repeats: Uint32Array,
    entries: Uint64Array,
    filled: int,
    kept: Int32Array,
) -> int:
    """Append (k-mer, row) of each window to `entries`, and return how many there are.

    Parameters
    ----------
    kmers, count
        As :func:`window_kmers` writes them.
    first
        Number of the first of these windows in the index.
    repeats
        K-mers to leave out, ascending.
    entries
        uint64, written from `filled` on: the k-mer in the upper half, the row in the lower.
    filled
        Entries that are there.
    kept
        int32 (rows,), written: k-mers of each window that are in the index.
    """
    for i in range(len(count)):
        at, here = 0, 0
        for j in range(count[i]):
            kmer = kmers[i, j]
            at += np.searchsorted(repeats[at:], kmer)
            if at < len(repeats) and repeats[at] == kmer:
                continue
            entries[filled] = (np.uint64(kmer) << np.uint64(ROW_BITS)) | np.uint64(first + i)
            filled += 1
            here += 1
        kept[i] = here
    return filled


@numba.njit(cache=True, nogil=True)
def address(entries: Uint64Array, bits: int, starts: Uint32Array) -> None:
    """Write where the k-mers with each prefix begin, and where the last end.

    Parameters
    ----------
    entries
        The index, sorted.
    bits
        Bits of a prefix.
    starts
        uint32 (2 ** bits + 1,), written.
    """
    shift = np.uint64(64 - bits)
    at = 0
    for prefix in range(len(starts)):
        while at < len(entries) and entries[at] >> shift < np.uint64(prefix):
            at += 1
        starts[prefix] = at


@numba.njit(cache=True, nogil=True)
def best_matches(
    kmers: Uint32Array,
    count: Int32Array,
    first: int,
    entries: Uint64Array,
    bits: int,
    starts: Uint32Array,
    best: Int32Array,
    row: Int64Array,
) -> None:
    """Count the k-mers that windows share with those of the index, and keep the best.

    Parameters
    ----------
    kmers, count
        Of the windows that are compared, as :func:`window_kmers` writes them.
    first
        Number of the first of these windows.
    entries, bits, starts
        The index, see :func:`address`.
    best, row
        int32 and int64 (rows of the index,), updated: the most k-mers that a window shares, and
        which window that is, the first of equals.
    """
    shift = np.uint32(32 - bits)
    shared = np.zeros(len(best), np.int32)
    touched = np.empty(len(best), np.int32)
    for i in range(len(count)):
        reached = 0
        for j in range(count[i]):
            kmer = kmers[i, j]
            prefix = kmer >> shift
            for at in range(starts[prefix], starts[prefix + np.uint32(1)]):
                entry = entries[at]
                there = np.uint32(entry >> np.uint64(ROW_BITS))
                if there < kmer:
                    continue
                if there > kmer:
                    break
                other = np.int64(entry & np.uint64(0xFFFFFFFF))
                if shared[other] == 0:
                    touched[reached] = other
                    reached += 1
                shared[other] += 1
        for j in range(reached):
            other = touched[j]
            if shared[other] > best[other]:
                best[other] = shared[other]
                row[other] = first + i
            shared[other] = 0
