"""Compiled loops over the words (k-mers) of sequences."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int32Array

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def number_words(codes: ByteArray, k: int, out: Int32Array) -> None:
    """Write the number of the word that begins at each position; -1: it holds an N.

    Parameters
    ----------
    codes
        (rows, length).
    k
        Bases of a word, at most 15.
    out
        int32 (rows, length − k + 1), written. The first base has the highest digit.
    """
    rows, length = codes.shape
    mask = 4**k - 1
    for i in range(rows):
        word, whole = 0, 0
        for j in range(length):
            code = codes[i, j]
            if code > 3:
                whole = 0
            else:
                word = ((word << 2) | code) & mask
                whole += 1
            if j >= k - 1:
                out[i, j - k + 1] = word if whole >= k else -1


@numba.njit(cache=True, nogil=True)
def sum_words(codes: ByteArray, k: int, table: Floats, out: Floats) -> None:
    """Write the sum of the table's values of all words of each row.

    Parameters
    ----------
    codes
        (rows, length).
    k
        Bases of a word.
    table
        float64 (4 ** k,).
    out
        float64 (rows,), written.
    """
    rows, length = codes.shape
    mask = 4**k - 1
    for i in range(rows):
        word, whole = 0, 0
        total = 0.0
        for j in range(length):
            code = codes[i, j]
            if code > 3:
                whole = 0
                continue
            word = ((word << 2) | code) & mask
            whole += 1
            if whole >= k:
                total += table[word]
        out[i] = total


@numba.njit(cache=True, nogil=True)
def feature_norms(codes: ByteArray, k: int, features: Int32Array, size: int, out: Floats) -> None:
    """Write the Euclidean length of the counts of all features of each row.

    Parameters
    ----------
    codes
        (rows, length).
    k
        Bases of a word.
    features
        int32 (4 ** k, features of a word).
    size
        Number of different features.
    out
        float64 (rows,), written; 1 for a row without words.
    """
    rows, length = codes.shape
    mask = 4**k - 1
    count = np.zeros(size, np.int32)
    words = np.empty(length, np.int64)
    for i in range(rows):
        word, whole, found = 0, 0, 0
        square = 0
        for j in range(length):
            code = codes[i, j]
            if code > 3:
                whole = 0
                continue
            word = ((word << 2) | code) & mask
            whole += 1
            if whole >= k:
                words[found] = word
                found += 1
                for f in range(features.shape[1]):
                    at = features[word, f]
                    square += 2 * count[at] + 1
                    count[at] += 1
        for j in range(found):
            for f in range(features.shape[1]):
                count[features[words[j], f]] = 0
        out[i] = np.sqrt(square) if square else 1.0


@numba.njit(cache=True, nogil=True)
def sum_present(codes: ByteArray, k: int, features: Int32Array, table: Floats, out: Floats) -> None:
    """Write the sum of the table's values of the words of each row, every feature once.

    Parameters
    ----------
    codes
        (rows, length).
    k
        Bases of a word.
    features
        int32 (4 ** k,), the feature of each word.
    table
        float64 (4 ** k,), the same for all words of a feature.
    out
        float64 (rows,), written.
    """
    rows, length = codes.shape
    mask = 4**k - 1
    seen = np.full(4**k, -1, np.int64)
    for i in range(rows):
        word, whole = 0, 0
        total = 0.0
        for j in range(length):
            code = codes[i, j]
            if code > 3:
                whole = 0
                continue
            word = ((word << 2) | code) & mask
            whole += 1
            if whole >= k and seen[features[word]] != i:
                seen[features[word]] = i
                total += table[word]
        out[i] = total
