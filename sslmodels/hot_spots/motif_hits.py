"""Which hot spots hold a site of a motif: log-odds of both strands against a threshold of its own.

A motif's threshold is a share of the largest log-odds that any sequence can have with it, so that
long and short motifs are asked for equally good sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import N_CODE
from sslmodels.baselines.meme_text import Matrix, SequenceMotif
from sslmodels.baselines.motif_scan import log_odds_of, scan_scores

#: The two strands of a site are summed in opposite order: rounding decides nothing.
_ROUNDING = 1e-9


def largest_log_odds(log_odds: Matrix) -> float:
    """Return the log-odds of the sequence that fits a motif (positions, 4) best."""
    return float(log_odds.max(axis=1).sum())


def motif_hits(
    windows: ByteArray,
    motifs: Sequence[SequenceMotif],
    background: NDArray[np.float64],
    *,
    share: float = 0.8,
    progress: Progress | None = None,
) -> NDArray[np.bool_]:
    """Return which windows have a site of which motif, on either strand: bool (n, motifs).

    Parameters
    ----------
    windows
        Base codes (n, width). Sites with an N do not count, so a window that is shorter than the
        others, or than a motif, can end in N.
    motifs
        The motifs.
    background
        Frequencies of A, C, G and T that log-odds are over.
    share
        Of the motif's largest log-odds: sites of at least that much count.
    progress
        Progress reporter, advanced by motifs.
    """
    found = np.zeros((len(windows), len(motifs)), bool)
    if not len(windows):
        return found
    with (progress or NoProgress()).task("motif scan", total=len(motifs)) as advance:
        for number, motif in enumerate(motifs):
            log_odds = log_odds_of(motif, background)
            missing = max(0, len(log_odds) - windows.shape[1])
            padded = np.pad(windows, ((0, 0), (0, missing)), constant_values=N_CODE)
            best = scan_scores(padded, log_odds, "best")
            found[:, number] = best >= share * largest_log_odds(log_odds) - _ROUNDING
            advance(1)
    return found


def hits_by_sequence(
    hits: NDArray[np.bool_], sequence: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Return which sequences have a hit in any of their windows: bool (count, motifs).

    Parameters
    ----------
    hits
        Of :func:`motif_hits`.
    sequence
        Number of the sequence of every window.
    count
        Sequences; those without a window have no hit.
    """
    found = np.zeros((count, hits.shape[1]), bool)
    np.logical_or.at(found, sequence, hits)
    return found
