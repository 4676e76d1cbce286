"""Clusters of similar sequences: those that share k-mers, on either strand.

Two sequences are similar when the Jaccard index of their sketches exceeds a limit; clusters are
what a chain of similar sequences joins. A sketch is the set of canonical 16-mers whose hash is
low: all of them in short sequences, every fourth in longer ones, and the same ones in every
sequence. Which pairs are compared follows from shared k-mers, so that time grows with the table
and not with its square: of a k-mer in few sequences every pair, of one in many (a repeat) each
with the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.base.keyed_random import hash_rows
from ssldata.genomes.onehot import N_CODE, reverse_complement

#: Bases of a k-mer: a billion of them, so that unrelated sequences share none.
K = 16
#: Sequences of up to this many bases have all their k-mers in the sketch; of others one in four.
_WHOLE = 200
#: A k-mer in more sequences than this is a repeat.
MANY = 64
#: Sequences sketched at a time.
_PORTION = 4096


def sketches(codes: ByteArray) -> tuple[NDArray[np.uint64], Int64Array]:
    """Return the hashes of the sketches of sequences, and the sequence of each.

    Parameters
    ----------
    codes
        uint8 (n, length). A k-mer with an N is left out.

    Returns
    -------
    uint64 (m,), int64 (m,)
        Sorted by sequence, then hash; no hash twice in a sequence.
    """
    k = min(K, codes.shape[1])
    limit = np.uint64(2**64 - 1 if codes.shape[1] <= _WHOLE else 2**62)
    hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for first in range(0, len(codes), _PORTION):
        part = codes[first : first + _PORTION]
        there = _kmers(reverse_complement(part), k)[:, ::-1]
        kmers = np.minimum(_kmers(part, k), there)
        hashed = hash_rows(kmers.reshape(-1), "sketch").reshape(kmers.shape)
        kept = (hashed <= limit) & ~_windows_with_n(part, k)
        row, _ = np.nonzero(kept)
        pairs = np.unique(
            np.stack([row.astype(np.uint64), hashed[kept]], axis=1).view("u8,u8").reshape(-1)
        )
        hashes.append(pairs["f1"])
        owners.append(pairs["f0"].astype(np.int64) + first)
    return np.concatenate(hashes), np.concatenate(owners)


def _kmers(codes: ByteArray, k: int) -> NDArray[np.int64]:
    """Return the k-mers of sequences as numbers, int64 (n, length − k + 1); N counts as A."""
    bases = np.where(codes < N_CODE, codes, 0).astype(np.int64)
    kmers = np.zeros((len(codes), codes.shape[1] - k + 1), np.int64)
    for at in range(k):
        kmers = (kmers << 2) | bases[:, at : at + kmers.shape[1]]
    return kmers


def _windows_with_n(codes: ByteArray, k: int) -> NDArray[np.bool_]:
    count = np.zeros((len(codes), codes.shape[1] + 1), np.int64)
    np.cumsum(codes >= N_CODE, axis=1, out=count[:, 1:])
    return np.asarray(count[:, k:] > count[:, :-k], bool)


def similar_clusters(codes: ByteArray, share: float) -> Int64Array:
    """Return the cluster of each sequence: the number of its first member.

    Parameters
    ----------
    codes
        uint8 (n, length).
    share
        Sequences with a higher Jaccard index of their sketches are in one cluster.
    """
    n = len(codes)
    hashes, owner = sketches(codes)
    bounds = np.searchsorted(owner, np.arange(n + 1))
    joined = _Union(n)
    members: dict[int, frozenset[int]] = {}

    def sketch(row: int) -> frozenset[int]:
        if row not in members:
            members[row] = frozenset(hashes[bounds[row] : bounds[row + 1]].tolist())
        return members[row]

    for pair in _candidates(hashes, owner, n).tolist():
        a, b = divmod(pair, n)
        if joined.root(a) == joined.root(b):
            continue
        one, two = sketch(a), sketch(b)
        both = len(one & two)
        if both > share * (len(one) + len(two) - both):
            joined.join(a, b)
    return np.array([joined.root(row) for row in range(n)], np.int64)


def _candidates(hashes: NDArray[np.uint64], owner: Int64Array, n: int) -> Int64Array:
    """Return the pairs to compare, a · n + b with a < b, each once."""
    order = np.lexsort((owner, hashes))
    hashes, owner = hashes[order], owner[order]
    first = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)))
    size = np.diff(np.append(first, len(hashes)))
    found = [np.empty(0, np.int64)]
    for count in np.unique(size[(size > 1) & (size <= MANY)]).tolist():
        rows = owner[first[size == count][:, np.newaxis] + np.arange(count)]
        a, b = np.triu_indices(count, 1)
        found.append(np.unique(rows[:, a] * n + rows[:, b]))
    for start, count in zip(first[size > MANY], size[size > MANY], strict=True):
        rows = owner[start : start + count]
        found.append(rows[:-1] * n + rows[1:])
    return np.unique(np.concatenate(found))


class _Union:
    """Sets of rows that were joined; the root of a set is its first row."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.root(a), self.root(b)))
        self._parent[b] = a
