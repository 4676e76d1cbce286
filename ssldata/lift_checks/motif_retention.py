"""Whether the motif at the centre of a peak is still there in the homologue, more than by luck.

The control are motifs of the same columns in another order: as long, as informative and as rich in
GC, searched in the same peaks and homologues. Selection does not keep them, the alignment does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.keyed_random import first_of_permutation, permutation
from ssldata.building.build_inputs import TargetInputs
from ssldata.conservation.aligned_bases import padded_windows
from ssldata.genomes.onehot import N_CODE
from ssldata.lift_checks.lift_quality import positive_sources
from ssldata.lift_checks.proportions import Share, interval_text, share_of
from ssldata.liftover.lift_result import Status
from ssldata.trust.findings import Finding, FindingTable

#: Bases around the centre of a peak, and around the centre of its homologue, that are searched. A
#: homologue is not as long as its source, so that its site may lie farther from the middle.
AROUND, AROUND_HOMOLOGUE = 50, 150
#: Chance of a site at one place and strand of random sequence of the same composition.
SITE = 1e-4
#: Motifs with shuffled columns, and peaks looked at of each genome.
SHUFFLED, PEAKS = 20, 2_000
#: Least share of the sites that should be kept where they are kept no better than shuffled ones.
KEPT = 0.5
#: Steps of a bit in the distribution of scores, and what a base is worth that never occurs.
_STEPS, _PSEUDO = 100, 0.05
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MotifRetention:
    """Sites of one experiment kept in one genome.

    Attributes
    ----------
    genome, experiment
        Names.
    peaks
        Peaks with a homologue that were looked at.
    with_site
        Those with a site at their centre.
    kept
        Share of these whose homologue has a site, too.
    shuffled_sites, shuffled
        The same of motifs with shuffled columns, all of them together.
    """

    genome: str
    experiment: str
    peaks: int
    with_site: int
    kept: Share
    shuffled_sites: int
    shuffled: Share

    @property
    def lost(self) -> bool:
        """Whether fewer than half of the sites are kept, and no more than shuffled ones."""
        if self.kept.high is None or self.shuffled.high is None or self.kept.low is None:
            return False
        return self.kept.high < KEPT and self.kept.low <= self.shuffled.high


def motif_retention(
    matrix: Matrix,
    sources: Mapping[str, NDArray[Any]],
    lifted: Mapping[str, NDArray[Any]],
    target: TargetInputs,
    *,
    experiment: str,
    number: int,
    seed: int = 0,
) -> MotifRetention:
    """Search a motif at the centres of peaks and in their homologues.

    Parameters
    ----------
    matrix
        float64 (width, 4): probabilities of A, C, G, T.
    sources, lifted
        Arrays of ``sources/`` and of the genome's ``liftover/``; contigs of `sources` are those of
        the labelled genome.
    target
        The opened genomes.
    experiment, number
        Name of the experiment and its column among the labels.
    seed
        Of the peaks looked at, and of the shuffled columns.
    """
    rows = positive_sources(sources, number)
    rows = rows[lifted["status"][rows] == Status.MAPPED]
    rows = rows[np.sort(first_of_permutation(len(rows), PEAKS, "motif-retention", seed))]
    ours = _around(target.reference, sources, rows, AROUND)
    theirs = _around(target.genome, lifted, rows, AROUND_HOMOLOGUE)
    counts = np.bincount(np.concatenate([ours.ravel(), theirs.ravel()]), minlength=5)[:4] + 1.0
    background = counts / counts.sum()
    background = (background + background[::-1]) / 2  # both strands
    own, kept = _sites(matrix, background, ours, theirs)
    others, kept_others = 0, 0
    for shuffle in range(SHUFFLED):
        columns = permutation(len(matrix), "motif-columns", seed, shuffle)
        a, b = _sites(matrix[columns], background, ours, theirs)
        others += a
        kept_others += b
    return MotifRetention(
        target.settings.name,
        experiment,
        len(rows),
        own,
        share_of(kept, own),
        others,
        # The shuffles search the same peaks: no more of them are independent than there are peaks.
        share_of(kept_others, others, independent=len(rows)),
    )


def retention_finding(found: list[MotifRetention]) -> Finding:
    """Return the finding on kept motifs.

    Parameters
    ----------
    found
        One for each genome and experiment with a motif.
    """
    lost = [f for f in found if f.lost]
    known = [f for f in found if f.kept.value is not None]
    if lost:
        summary = "; ".join(
            f"{f.genome}: {interval_text(f.kept)} of the sites of {f.experiment} are kept, "
            f"{interval_text(f.shuffled)} of shuffled motifs"
            for f in lost
        )
    elif known:
        low = min(known, key=lambda f: f.kept.value or 0.0)
        summary = (
            f"at least {interval_text(low.kept)} of the sites are kept ({low.experiment} in "
            f"{low.genome}), {interval_text(low.shuffled)} of shuffled motifs"
        )
    else:
        summary = "not checked: no peak has a site of a given motif at its centre"
    rows = tuple(
        (f.genome, f.experiment, f.peaks, f.with_site, *f.kept, f.shuffled_sites, *f.shuffled)
        for f in found
    )
    return Finding(
        "quality.motif",
        "The motif at the peak is kept in the homologue",
        "warn" if lost else "pass" if known else "note",
        summary,
        "a homologue without the site is probably not bound, whatever its label says",
        "weigh these labels down (ssl-ns), or leave the genome out" if lost else "",
        {"genomes_and_experiments": len(found), "lost": len(lost)},
        {
            "Sites kept": FindingTable(
                ("genome", "experiment", "peaks with a homologue", "with a site", "kept (share)",
                 "kept from", "kept to", "sites of shuffled motifs", "kept of these (share)",
                 "of these from", "of these to"),
                rows,
            )
        },
    )  # fmt: skip


def _around(
    genome: Any, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], flank: int
) -> ByteArray:
    """Return the bases around the centres of intervals; N outside contigs."""
    centre = (columns["start"][rows] + columns["end"][rows]) // 2
    return padded_windows(genome, columns["contig"][rows], centre - flank, 2 * flank)


def _sites(
    matrix: Matrix, background: NDArray[np.float64], ours: ByteArray, theirs: ByteArray
) -> tuple[int, int]:
    """Return how many windows of `ours` have a site, and how many of these in `theirs`, too."""
    scores = np.log2((matrix + _PSEUDO * background) / (1 + _PSEUDO) / background)
    limit = site_limit(scores, background)
    site = best_score(scores, ours) >= limit
    return int(site.sum()), int((best_score(scores, theirs[site]) >= limit).sum())


def site_limit(scores: Matrix, background: NDArray[np.float64], *, chance: float = SITE) -> float:
    """Return the score that random sequence reaches at one place with at most this chance.

    The distribution of the sum over columns is computed exactly, for scores rounded to a hundredth
    of a bit (Staden 1989, Comput. Appl. Biosci. 5: 89).

    Parameters
    ----------
    scores
        (width, 4), bits of each base.
    background
        (4,), frequencies of the bases.
    chance
        Of one place on one strand.
    """
    steps = np.round(scores * _STEPS).astype(np.int64)
    low = steps.min(axis=1)
    density = np.ones(1)
    for column, lowest in zip(steps, low, strict=True):
        longer = np.zeros(len(density) + int(column.max() - lowest))
        for step, share in zip((column - lowest).tolist(), background.tolist(), strict=True):
            longer[step : step + len(density)] += share * density
        density = longer
    tail = np.cumsum(density[::-1])[::-1]
    reached = np.flatnonzero(tail <= chance)
    best = len(density) - 1
    # Half a step for each column: rounding must not lose the best word.
    return float((reached[0] if len(reached) else best) + low.sum() - len(low) / 2) / _STEPS


def best_score(scores: Matrix, codes: ByteArray) -> NDArray[np.float64]:
    """Return the best score of each window on either strand; words with an N score nothing.

    Parameters
    ----------
    scores
        (width, 4), bits of each base.
    codes
        uint8 (n, length), N = 4.
    """
    width = len(scores)
    if not codes.size or codes.shape[1] < width:
        return np.full(len(codes), -np.inf)
    best = np.full(len(codes), -np.inf)
    for strand in (scores, scores[::-1, ::-1]):
        padded = np.concatenate([strand, np.full((width, 1), -np.inf)], axis=1)
        assert padded.shape[1] == N_CODE + 1
        words = sliding_window_view(codes, width, axis=1)
        total = np.zeros(words.shape[:2])
        for column in range(width):
            total += padded[column][words[:, :, column]]
        best = np.maximum(best, total.max(axis=1))
    return best
