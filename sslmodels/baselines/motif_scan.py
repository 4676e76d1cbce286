"""A motif as a model: the log-odds of its sites in a sequence, on both strands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.genomes.onehot import N_CODE
from sslmodels.baselines.meme_text import Matrix, SequenceMotif
from sslmodels.baselines.motif_kernels import scan_rows

Floats = NDArray[np.float64]

#: best: the best site; sum: the log of the mean odds of all sites, as in the occupancy of a factor
#: that binds weakly everywhere.
Statistic = Literal["best", "sum"]

#: Bases of the background that are added to every column of a matrix, which has no zeros then.
PSEUDOCOUNT = 1.0
#: Sites of a matrix that does not name their number (the MEME format's own default).
SITES = 20


def base_frequencies(codes: ByteArray) -> Floats:
    """Return the share of A, C, G and T on both strands of some rows."""
    count = np.bincount(codes[codes < N_CODE], minlength=4).astype(np.float64) + 1
    count += count[::-1]
    return np.asarray(count / count.sum())


def log_odds_of(motif: SequenceMotif, background: Floats) -> Matrix:
    """Return the natural log-odds (positions, 4) of a motif over base frequencies."""
    sites = motif.sites or SITES
    smoothed = (motif.matrix * sites + PSEUDOCOUNT * background) / (sites + PSEUDOCOUNT)
    return np.asarray(np.log(smoothed / background))


def scan_scores(codes: ByteArray, log_odds: Matrix, statistic: Statistic) -> Floats:
    """Return the score of every row, both strands included.

    Parameters
    ----------
    codes
        Base codes (rows, length). Sites with an N are not scored.
    log_odds
        Of the motif (positions, 4).
    statistic
        What is taken of the sites of a row.

    Returns
    -------
    float64 (rows,)
        A row in which every site holds an N has the lowest score that a row can have.

    Raises
    ------
    InputError
        The motif is longer than the rows.
    """
    if len(log_odds) > codes.shape[1]:
        raise InputError(
            f"the motif has {len(log_odds)} positions, but the rows only {codes.shape[1]} bases"
        )
    best, total = np.empty(len(codes)), np.empty(len(codes))
    log_odds = np.ascontiguousarray(log_odds, np.float64)
    scan_rows(np.ascontiguousarray(codes), log_odds, best, total)
    found = best if statistic == "best" else total
    lowest = log_odds.min(axis=1).sum()
    if statistic == "sum":
        lowest -= np.log(2 * (codes.shape[1] - len(log_odds) + 1))
    return np.where(np.isfinite(found), found, lowest)


@dataclass(frozen=True)
class PwmScan:
    """A scan with a known motif; nothing in it is trained but the frequencies of the bases.

    Attributes
    ----------
    motif
        The motif.
    background
        Frequencies of A, C, G and T.
    statistic
        What is taken of the sites of a row.
    """

    motif: SequenceMotif
    background: Floats
    statistic: Statistic = "best"

    @classmethod
    def fit(
        cls, codes: ByteArray, labels: NDArray[Any], *, motif: SequenceMotif, statistic: Statistic
    ) -> Self:
        """Return the scan whose background are the negatives among training rows.

        Parameters
        ----------
        codes, labels
            Base codes (rows, length) and labels 0 or 1 (rows,).
        motif, statistic
            As of the class.
        """
        return cls(motif, base_frequencies(codes[labels == 0]), statistic)

    def score(self, codes: ByteArray) -> Floats:
        """Return the score of every row (rows, length), both strands included."""
        return scan_scores(codes, log_odds_of(self.motif, self.background), self.statistic)

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        motif = {"motif": self.motif.name, "label": self.motif.label, "sites": self.motif.sites}
        arrays = {"matrix": self.motif.matrix, "background": self.background}
        return arrays, {**motif, "statistic": self.statistic}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Return the scan that :meth:`to_arrays` was called of."""
        name, label, sites = (settings[key] for key in ("motif", "label", "sites"))
        motif = SequenceMotif(name, arrays["matrix"], label, sites)
        return cls(motif, arrays["background"], settings["statistic"])
