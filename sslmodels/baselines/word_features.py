"""Words of a sequence as features; a word and its reverse complement are one."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array

from ssldata.base.array_types import ByteArray, Int32Array, Int64Array
from sslmodels.baselines.word_kernels import number_words


def _other_strand(words: Int64Array, k: int) -> Int64Array:
    """Return the numbers of the reverse complements of words of `k` bases."""
    other = np.zeros_like(words)
    for _ in range(k):
        other = 4 * other + (3 - words % 4)
        words = words // 4
    return other


@cache
def merged_words(k: int) -> tuple[Int32Array, int]:
    """Return the feature of every word of `k` bases, strands merged, and the number of features."""
    words = np.arange(4**k)
    found, features = np.unique(np.minimum(words, _other_strand(words, k)), return_inverse=True)
    return features.astype(np.int32), len(found)


@cache
def gapped_words(length: int, k: int) -> tuple[Int32Array, int]:
    """Return the gapped words of every word, strands merged.

    A gapped word is `k` bases at chosen positions of `length`; two words share it if they agree
    there.

    Returns
    -------
    int32 (4 ** length, choices of positions)
        Features of each word.
    int
        The number of features.
    """
    places = list(combinations(range(length), k))
    words = np.arange(4**length)
    bases = np.stack([words // 4 ** (length - 1 - i) % 4 for i in range(length)], axis=1)
    weights = 4 ** np.arange(k - 1, -1, -1)
    gapped = np.stack([n * 4**k + bases[:, p] @ weights for n, p in enumerate(places)], axis=1)
    mirrored = [places.index(tuple(sorted(length - 1 - i for i in p))) for p in places]
    every = np.arange(len(places) * 4**k)
    other = np.array(mirrored)[every // 4**k] * 4**k + _other_strand(every % 4**k, k)
    found, features = np.unique(np.minimum(every, other), return_inverse=True)
    return features[gapped].astype(np.int32), len(found)


def word_counts(codes: ByteArray, k: int) -> csr_array:
    """Return how often every row holds each word: float64 (rows, features of merged_words)."""
    features, size = merged_words(k)
    if codes.shape[1] < k:
        return csr_array((len(codes), size), dtype=np.float64)
    words = np.empty((len(codes), codes.shape[1] - k + 1), np.int32)
    number_words(np.ascontiguousarray(codes), k, words)
    row, column = np.nonzero(words >= 0)
    cells = row, features[words[row, column]]
    counts = csr_array((np.ones(len(row)), cells), shape=(len(codes), size))
    counts.sum_duplicates()
    return counts
