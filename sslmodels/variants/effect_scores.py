"""Scores of alleles by models: what a variant does to the probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE
from ssldata.reading.read_window import central
from sslmodels.prediction.genome_scan import Scanner
from sslmodels.prediction.trained_model import Codes, Ensemble, mean_and_sd
from sslmodels.variants.allele_windows import AllelePairs, pairs_of
from sslmodels.variants.variant_alleles import Alleles, VariantStatus
from sslmodels.variants.variant_homologues import VariantHomologues

Floats = NDArray[np.float64]

LOG_ODDS = "log-odds"


def paper(reference: Floats, alternative: Floats) -> Floats:
    """Return (p_alt − p_ref) · max(0, p_alt, p_ref): differences where nothing binds count less."""
    return (alternative - reference) * np.maximum(0, np.maximum(alternative, reference))


def difference(reference: Floats, alternative: Floats) -> Floats:
    """Return alternative − reference."""
    return alternative - reference


#: Name → function of what the reference and the alternative allele have: probabilities, and for
#: log-odds the logarithms of their odds.
SCORES: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "paper": paper,
    "difference": difference,
    LOG_ODDS: difference,
}


@dataclass(frozen=True)
class EffectOptions:
    """How variants are scored.

    Attributes
    ----------
    scores
        Names of :data:`SCORES`.
    shifts
        Bases by which the windows are moved; every score is the mean over them.
    both_strands
        Average the probabilities of both strands.
    homologues
        Average over the homologues of substitutions in the target genomes of the project.
    """

    scores: tuple[str, ...] = ("paper",)
    shifts: tuple[int, ...] = (0,)
    both_strands: bool = True
    homologues: bool = False

    def check(self, length: int) -> None:
        """Refuse scores that do not exist, and shifts that a window of `length` cannot have."""
        for name in self.scores:
            if name not in SCORES:
                raise ConfigError(f"score {name!r}: no such score; there are {', '.join(SCORES)}")
        if not self.scores or len({*self.scores}) < len(self.scores):
            raise ConfigError("scores: name each score once, and at least one")
        if not self.shifts or len({*self.shifts}) < len(self.shifts):
            raise ConfigError("shifts: name each shift once, and at least one (0: none)")
        for shift in self.shifts:
            if 2 * abs(shift) >= length:
                raise ConfigError(
                    f"shift {shift}: moves the variant out of the window of {length} b; "
                    f"at most {(length - 1) // 2} either way"
                )


@dataclass(frozen=True)
class Effects:
    """Scores of alleles.

    Attributes
    ----------
    values
        Name → float32 (n, outputs), NaN for an allele that is not scored: ``p_ref`` and
        ``p_alt``, the mean probabilities over runs, shifts and genomes; each score; with several
        runs also ``<score>_sd``, the standard deviation over them.
    counts
        Name → int64 (n,), 0 for an allele that is not scored: ``window_n``, the most N in a
        window of the allele; with homologues ``genomes``, the number of genomes behind the means.
    """

    values: dict[str, NDArray[np.float32]]
    counts: dict[str, Int64Array]


class EffectScorer:
    """Scores alleles by one model or several.

    Parameters
    ----------
    models
        The models.
    genome
        That of the alleles.
    options
        Scores, shifts, strands.
    homologues
        Where the homologues of a variant are found; None: it is scored in its own genome only.
    """

    def __init__(
        self,
        models: Ensemble,
        genome: Genome,
        options: EffectOptions,
        homologues: VariantHomologues | None = None,
    ) -> None:
        self._models, self._genome = models, genome
        self._options, self._homologues = options, homologues
        self._scanners = [Scanner(model) for model in models.members]

    def score(self, alleles: Alleles) -> Effects:
        """Score the alleles whose status allows it."""
        rows = np.flatnonzero(alleles.status == VariantStatus.SCORED)
        options, runs = self._options, len(self._scanners)
        shape = runs, len(rows), len(self._models.outputs)
        totals = {name: np.zeros(shape) for name in ("p_ref", "p_alt", *options.scores)}
        genomes = np.zeros(len(rows), np.int64)
        most_n = np.zeros(len(rows), np.int64)
        for places, pairs in self._contexts(alleles, rows):
            genomes[places] += 1
            for shift in options.shifts:
                windows = pairs.windows(shift)
                n_here = np.maximum(*pairs.split((windows == N_CODE).sum(axis=1)))
                most_n[places] = np.maximum(most_n[places], n_here)
                for run, scanner in enumerate(self._scanners):
                    p, log_odds = self._scored(scanner, windows)
                    totals["p_ref"][run, places] += pairs.split(p)[0]
                    totals["p_alt"][run, places] += pairs.split(p)[1]
                    for name in options.scores:
                        pair = pairs.split(log_odds if name == LOG_ODDS else p)
                        totals[name][run, places] += SCORES[name](*pair)
        values = {}
        terms = (genomes * len(options.shifts))[:, None]
        for name, total in totals.items():
            mean, deviation = mean_and_sd((total / terms).astype(np.float32))
            values[name] = _spread(mean, rows, len(alleles))
            if runs > 1 and name in options.scores:
                values[f"{name}_sd"] = _spread(deviation, rows, len(alleles))
        counts = {"window_n": _whole(most_n, rows, len(alleles))}
        if self._homologues is not None:
            counts["genomes"] = _whole(genomes, rows, len(alleles))
        return Effects(values, counts)

    def _contexts(
        self, alleles: Alleles, rows: Int64Array
    ) -> Iterator[tuple[Int64Array, AllelePairs]]:
        """Yield places among `rows` and their windows: in the genome itself, then in the others."""
        if len(rows):
            yield np.arange(len(rows)), pairs_of(self._genome, alleles, rows, self._models.length)
            if self._homologues is not None:
                yield from self._homologues.of(alleles, rows)

    def _scored(self, scanner: Scanner, windows: Codes) -> tuple[Floats, Floats]:
        """Return probabilities, and the logarithms of their odds where they are asked for."""
        both_strands = self._options.both_strands
        codes = central(windows, scanner.model.length)
        if LOG_ODDS in self._options.scores:
            log_odds = scanner.model.log_odds(codes, both_strands=both_strands).astype(np.float64)
            return expit(log_odds), log_odds
        p = scanner.score_codes(codes, both_strands=both_strands).astype(np.float64)
        return p, p


def _whole(counts: Int64Array, rows: Int64Array, count: int) -> Int64Array:
    """Return one entry per allele, 0 where it is not scored."""
    whole = np.zeros(count, np.int64)
    whole[rows] = counts
    return whole


def _spread(values: NDArray[np.float32], rows: Int64Array, count: int) -> NDArray[np.float32]:
    """Return one entry per allele, NaN where it is not scored."""
    whole = np.full((count, *values.shape[1:]), np.nan, np.float32)
    whole[rows] = values
    return whole
