"""What a sequence is made of, whatever it says: GC, CpG, and words of up to four bases."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.onehot import N_CODE

#: Longest word. Longer ones begin to spell motifs: with words of four, a motif of ten bases is 7 of
#: the 997 words of a kilobase.
LONGEST = 4
#: Rows counted at a time.
_PART = 2048


@cache
def canonical_words(k: int) -> tuple[NDArray[np.int64], int]:
    """Return the column of every word of `k` bases, and the number of columns.

    A word and its reverse complement share a column: 2, 10, 32, 136 columns for k = 1, 2, 3, 4.

    Returns
    -------
    int64 (4 ** k,), int
        Words are numbered in base 4, first base first, A C G T = 0 1 2 3.
    """
    words = np.arange(4**k)
    reverse, rest = np.zeros(4**k, np.int64), words.copy()
    for _ in range(k):
        reverse = reverse * 4 + 3 - rest % 4
        rest //= 4
    distinct, column = np.unique(np.minimum(words, reverse), return_inverse=True)
    return column.astype(np.int64), len(distinct)


def _counts(codes: NDArray[np.uint8], k: int) -> NDArray[np.float64]:
    """Return how often each canonical word stands in each row; words with an N count nowhere."""
    column, width = canonical_words(k)
    places = codes.shape[1] - k + 1
    word = np.zeros((len(codes), places), np.int64)
    whole = np.ones(word.shape, bool)
    for shift in range(k):
        here = codes[:, shift : shift + places]
        word = word * 4 + np.minimum(here, 3)
        whole &= here < N_CODE
    row = np.broadcast_to(np.arange(len(codes))[:, None], word.shape)
    flat = (row * width + column[word])[whole]
    return np.bincount(flat, minlength=len(codes) * width).reshape(len(codes), width).astype(float)


def gc_fraction(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of G and C among the known bases of every row; 0 where there are none."""
    known = (codes < N_CODE).sum(axis=1)
    found: NDArray[np.float64] = ((codes == 1) | (codes == 2)).sum(axis=1) / np.maximum(known, 1)
    return found


def cpg_ratio(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return observed over expected CpG of every row: CpG × bases / (C × G).

    Gardiner-Garden & Frommer 1987; 0 where there is no C or no G.
    """
    c, g = ((codes == base).sum(axis=1) for base in (1, 2))
    both = ((codes[:, :-1] == 1) & (codes[:, 1:] == 2)).sum(axis=1)
    known = (codes < N_CODE).sum(axis=1)
    found: NDArray[np.float64] = both * known / np.maximum(c * g, 1)
    return found


def unknown_fraction(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of N of every row."""
    found: NDArray[np.float64] = (codes >= N_CODE).mean(axis=1)
    return found


def composition(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the composition of every row, the same for both strands.

    Parameters
    ----------
    codes
        uint8 (n, L), base codes.

    Returns
    -------
    float64 (n, 182)
        GC, CpG observed over expected, then the shares of the words of one to :data:`LONGEST`
        bases, reverse complements collapsed.
    """
    parts = []
    for first in range(0, len(codes), _PART):
        rows = codes[first : first + _PART]
        shares = [gc_fraction(rows)[:, None], cpg_ratio(rows)[:, None]]
        for k in range(1, LONGEST + 1):
            counted = _counts(rows, k)
            shares.append(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1))
        parts.append(np.concatenate(shares, axis=1))
    width = 2 + sum(canonical_words(k)[1] for k in range(1, LONGEST + 1))
    return np.concatenate(parts) if parts else np.empty((0, width))
