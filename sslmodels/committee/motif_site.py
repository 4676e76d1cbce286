"""Whether the best site of a motif in a bin is conserved: the same site in the aligned genomes.

A homologue often has some other site that fits as well, so the best score anywhere in its window
says little. Here the site is followed through the alignment: does the motif still fit the bases
that are aligned with it, and are they the same (phylogenetic footprinting: Moses et al. 2004,
doi:10.1186/gb-2004-5-12-r98).
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.genomes.onehot import N_CODE

Floats = NDArray[np.float64]

#: Features before those of the groups, and of each group.
SITE_NAMES = ("best", "sum")
GROUP_NAMES = ("score", "identical", "aligned")


def site_names(groups: Sequence[Sequence[int]]) -> list[str]:
    """Return the names of the features of :func:`site_features`, in their order."""
    return [
        *(f"site_{name}" for name in SITE_NAMES),
        *(f"site_{name}_{number}" for number in range(len(groups)) for name in GROUP_NAMES),
    ]


def site_features(
    bins: ByteArray,
    aligned: Sequence[ByteArray],
    log_odds: Floats,
    groups: Sequence[Sequence[int]],
) -> NDArray[np.float32]:
    """Return features of the best site of a motif in bins.

    ``best``: its log-odds; ``sum``: log of the summed odds of all sites. For each group the mean
    over its genomes of ``score``, the log-odds of the bases aligned with the site (a base that is
    not aligned has the lowest of the matrix); ``identical``, the share of the site's bases that
    are aligned and the same; ``aligned``, the share that is aligned.

    Parameters
    ----------
    bins
        Base codes of bins, uint8 (n, length); at least as long as the motif.
    aligned
        For each genome the bases aligned with them, uint8 (n, length); 4 for none.
    log_odds
        Of the motif (width, 4).
    groups
        Numbers of genomes.

    Returns
    -------
    float32 (n, features)
        Named by :func:`site_names`.
    """
    table = np.concatenate([log_odds, np.full((len(log_odds), 1), log_odds.min())], axis=1)
    position, forward, best, total = (
        np.empty(len(bins), dtype) for dtype in (np.int64, np.bool_, np.float64, np.float64)
    )
    _best_sites(np.ascontiguousarray(bins), table, position, forward, best, total)
    columns = [best, total]
    measured = [
        _followed(np.ascontiguousarray(bins), np.ascontiguousarray(codes), table, position, forward)
        for codes in aligned
    ]
    for group in groups:
        columns += list(np.mean([measured[genome] for genome in group], axis=0))
    return np.stack(columns, axis=1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _best_sites(
    bins: ByteArray,
    table: Floats,
    position: NDArray[np.int64],
    forward: NDArray[np.bool_],
    best: Floats,
    total: Floats,
) -> None:
    """Write the place, strand and log-odds of the best site of every bin, and the sum of odds."""
    width = len(table)
    other = np.empty_like(table)
    for w in range(width):
        for base in range(4):
            other[w, base] = table[width - 1 - w, 3 - base]
        other[w, 4] = table[width - 1 - w, 4]
    for i in range(len(bins)):
        best[i] = -np.inf
        odds = 0.0
        for j in range(bins.shape[1] - width + 1):
            plus, minus = 0.0, 0.0
            for w in range(width):
                code = bins[i, j + w]
                plus += table[w, code]
                minus += other[w, code]
            higher = max(plus, minus)
            odds += np.exp(higher)
            if higher > best[i]:
                best[i], position[i], forward[i] = higher, j, plus >= minus
        total[i] = np.log(odds)


@numba.njit(cache=True, nogil=True)
def _followed(
    bins: ByteArray,
    codes: ByteArray,
    table: Floats,
    position: NDArray[np.int64],
    forward: NDArray[np.bool_],
) -> Floats:
    """Return log-odds, identical and aligned share of the bases aligned with sites: (3, n)."""
    width = len(table)
    out = np.zeros((3, len(bins)))
    for i in range(len(bins)):
        for w in range(width):
            code = codes[i, position[i] + w]
            if forward[i] or code == N_CODE:
                out[0, i] += table[w if forward[i] else width - 1 - w, code]
            else:
                out[0, i] += table[width - 1 - w, 3 - code]
            if code != N_CODE:
                out[2, i] += 1 / width
                if code == bins[i, position[i] + w]:
                    out[1, i] += 1 / width
    return out
