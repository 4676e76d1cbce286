"""Compiled loops over motifs: scans of both strands, and the two steps of EM."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array

Floats = NDArray[np.float64]

#: Log-odds below which a site counts as none.
_NEGLIGIBLE = -14.0


@numba.njit(cache=True, nogil=True)
def scan_rows(codes: ByteArray, log_odds: Floats, best: Floats, total: Floats) -> None:
    """Write the best log-odds of every row, and the log of the mean odds of its sites.

    Sites of log-odds below -14 add nothing to the mean; where all of them are, only the best does.

    Parameters
    ----------
    codes
        (rows, length), length ≥ width. Sites with an N are not scored.
    log_odds
        (width, 4).
    best, total
        float64 (rows,), written. -inf: every site holds an N.
    """
    rows, length = codes.shape
    width = log_odds.shape[0]
    table = np.zeros((2, width, 5))
    for w in range(width):
        for base in range(4):
            table[0, w, base] = log_odds[w, base]
            table[1, width - 1 - w, 3 - base] = log_odds[w, base]
    sites = 2 * (length - width + 1)
    for i in range(rows):
        top, odds = -np.inf, 0.0
        last = -1  # the last N seen
        for w in range(width - 1):
            if codes[i, w] > 3:
                last = w
        for j in range(length - width + 1):
            if codes[i, j + width - 1] > 3:
                last = j + width - 1
            if last >= j:
                continue
            for strand in range(2):
                value = 0.0
                for w in range(width):
                    value += table[strand, w, codes[i, j + w]]
                if value > _NEGLIGIBLE:  # what adds nothing is not worth its exponential
                    odds += math.exp(value)
                if value > top:
                    top = value
        best[i] = top
        # Without a site that counts, rows are still ranked by their best.
        total[i] = (math.log(odds) if odds > 0 else top) - math.log(sites)


@numba.njit(cache=True, nogil=True)
def em_step(
    codes: ByteArray, background: Floats, log_theta: Floats, share: float, counts: Floats
) -> tuple[float, float]:
    """Do one E-step of the model with zero or one site per row, either strand.

    Parameters
    ----------
    codes
        (rows, length).
    background
        (rows, length + 1), sums of the log probabilities of the bases before each position.
    log_theta
        (width, 4), log probabilities of the motif.
    share
        Share of rows with a site.
    counts
        (width, 4), written: expected bases of the sites.

    Returns
    -------
    float
        Log likelihood over that of the background.
    float
        Expected number of rows with a site.
    """
    rows, length = codes.shape
    width = log_theta.shape[0]
    sites = length - width + 1
    counts[:] = 0.0
    table = np.zeros((2, width, 5))
    for w in range(width):
        for base in range(4):
            table[0, w, base] = log_theta[w, base]
            table[1, width - 1 - w, 3 - base] = log_theta[w, base]
        table[0, w, 4] = table[1, w, 4] = -1e3
    weight = np.empty((2, sites))
    prior = share / (2 * sites)
    likelihood, expected = 0.0, 0.0
    for i in range(rows):
        total = 1 - share
        for j in range(sites):
            chance = background[i, j + width] - background[i, j]
            for strand in range(2):
                value = -chance
                for w in range(width):
                    value += table[strand, w, codes[i, j + w]]
                # What a site of no weight adds is not worth its exponential.
                z = prior * math.exp(value) if value > _NEGLIGIBLE else 0.0
                weight[strand, j] = z
                total += z
        likelihood += math.log(total)
        expected += 1 - (1 - share) / total
        for j in range(sites):
            for strand in range(2):
                z = weight[strand, j] / total
                if z < 1e-6:
                    continue
                for w in range(width):
                    base = codes[i, j + w]
                    if strand == 0:
                        counts[w, base] += z
                    else:
                        counts[width - 1 - w, 3 - base] += z
    return likelihood, expected


@numba.njit(cache=True, nogil=True)
def dyad_rows(codes: ByteArray, gaps: int, counts: Int64Array) -> None:
    """Count the rows that hold two words of three bases at each distance, on either strand.

    Parameters
    ----------
    codes
        (rows, length).
    gaps
        Distances counted: 0 to gaps − 1 bases between the words.
    counts
        int64 (gaps, 64, 64), added to. Only the smaller of a pair and its reverse complement is.
    """
    rows, length = codes.shape
    seen = np.full((gaps, 64, 64), -1, np.int32)
    words = np.empty(length, np.int64)
    other = np.empty(length, np.int64)
    for i in range(rows):
        for j in range(length - 2):
            a, b, c = codes[i, j], codes[i, j + 1], codes[i, j + 2]
            if a > 3 or b > 3 or c > 3:
                words[j] = -1
            else:
                words[j] = 16 * a + 4 * b + c
                other[j] = 16 * (3 - c) + 4 * (3 - b) + (3 - a)
        for j in range(length - 5):
            if words[j] < 0:
                continue
            for gap in range(min(gaps, length - 5 - j)):
                k = j + 3 + gap
                if words[k] < 0:
                    continue
                left, right = words[j], words[k]
                if other[k] * 64 + other[j] < left * 64 + right:
                    left, right = other[k], other[j]
                if seen[gap, left, right] != i:
                    seen[gap, left, right] = i
                    counts[gap, left, right] += 1
