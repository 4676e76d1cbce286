"""A motif found in the training positives, by EM.

The model is ZOOPS of MEME (Bailey and Elkan 1994): a positive row has one site of the motif or
none, on either strand and anywhere with equal chance; the rest is background, here a Markov chain
of order 3 of the training negatives, so that runs of A and T are no motif. EM starts from the
words that most more positives hold than negatives: pairs of three bases some distance apart, which
many factors that bind as dimers or with several fingers have (van Helden et al. 2000). The best of
them, each with several widths, are fitted to the end, and the one is kept that ranks the validation
rows best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.base.keyed_random import first_of_permutation
from ssldata.genomes.onehot import N_CODE, reverse_complement
from sslmodels.baselines.meme_text import Matrix, SequenceMotif
from sslmodels.baselines.motif_kernels import dyad_rows, em_step
from sslmodels.baselines.motif_scan import base_frequencies, scan_scores

Floats = NDArray[np.float64]

#: Widths that are tried.
WIDTHS = (8, 10, 12, 15, 18, 21)
#: Order of the background.
ORDER = 3
#: Distances of the two words of a seed, from 0; seeds tried of each; seeds fitted to the end.
GAPS, SEEDS, FITTED = 15, 3, 4
#: Steps of EM from a seed, and of the fits.
FIRST_STEPS, STEPS = 5, 50
#: Weight of the background in every column, in sites.
PRIOR_SITES = 1.0
#: Share of the seed's own base at its positions, before the first step.
SEED_WEIGHT = 0.85
#: Seeds whose scores are correlated more than this find the same motif.
SAME_ABOVE = 0.9
#: Bases of positives that EM reads, and of negatives that seeds are compared on; more are drawn
#: from.
MOST_BASES, COMPARED = 200_000, 800_000


@dataclass(frozen=True)
class EmMotif:
    """A motif found by EM; a row's score is the log of the mean odds of its sites.

    Attributes
    ----------
    matrix
        Probabilities of A, C, G and T (positions, 4).
    background
        Frequencies of the bases, which the odds are over.
    share
        Share of the training positives with a site.
    sites
        Training positives it was found in.
    """

    matrix: Matrix
    background: Floats
    share: float
    sites: int

    kind: ClassVar[str] = "motif"

    @classmethod
    def fit(
        cls,
        codes: ByteArray,
        labels: NDArray[Any],
        *,
        validation_codes: ByteArray,
        validation_labels: NDArray[Any],
    ) -> Self:
        """Find the motif of some rows.

        Parameters
        ----------
        codes, labels
            Base codes of the training rows (rows, length), and their labels, 0 or 1.
        validation_codes, validation_labels
            The same of the rows on which seed and width are chosen.

        Raises
        ------
        InputError
            The rows are shorter than any motif, or no word is more frequent in the positives.
        """
        positives, negatives = codes[labels == 1], codes[labels == 0]
        frequencies = base_frequencies(negatives)
        positives = _drawn(positives, MOST_BASES)
        background = _background(positives, negatives, frequencies)
        negatives = _drawn(negatives, COMPARED)
        best: tuple[float, Matrix, float] | None = None
        for seed in _seeds(positives, negatives, background, frequencies):
            for width in (w for w in WIDTHS if len(seed) <= w <= codes.shape[1]):
                start = _start(seed, width, frequencies)
                theta, share = _em(positives, background, start, frequencies, STEPS)
                scores = scan_scores(validation_codes, np.log(theta / frequencies), "sum")
                aupr = float(average_precision_score(validation_labels, scores))
                if best is None or aupr > best[0]:
                    best = aupr, theta, share
        if best is None:
            raise InputError("no word is more frequent in training positives than in negatives")
        return cls(best[1], frequencies, best[2], len(positives))

    @property
    def motif(self) -> SequenceMotif:
        """The motif, named by its consensus."""
        found = SequenceMotif("motif", self.matrix, "", round(self.share * self.sites))
        return SequenceMotif(found.consensus, found.matrix, "EM", found.sites)

    def score(self, codes: ByteArray) -> Floats:
        """Return the score of every row (rows, length), both strands included."""
        return scan_scores(codes, np.log(self.matrix / self.background), "sum")

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        arrays = {"matrix": self.matrix, "background": self.background}
        found = {"motif": self.motif.name, "width": len(self.matrix)}
        return arrays, {**found, "share": self.share, "sites": self.sites}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Return the motif that :meth:`to_arrays` was called of."""
        numbers = float(settings["share"]), int(settings["sites"])
        return cls(arrays["matrix"], arrays["background"], *numbers)


def _drawn(codes: ByteArray, bases: int) -> ByteArray:
    """Return rows of so many bases at most, the same of the same number of rows."""
    most = max(1, bases // codes.shape[1])
    if len(codes) <= most:
        return codes
    return codes[np.sort(first_of_permutation(len(codes), most, "em"))]


def _chain(codes: ByteArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of the word of ORDER + 1 bases that ends at each position after ORDER."""
    length = codes.shape[1] - ORDER
    words = np.zeros((len(codes), length), np.int64)
    whole = np.ones(words.shape, bool)
    for first in range(ORDER + 1):
        here = codes[:, first : first + length]
        words = 4 * words + np.minimum(here, 3)
        whole &= here < N_CODE
    return words, whole


def _background(codes: ByteArray, negatives: ByteArray, frequencies: Floats) -> Floats:
    """Return sums of the log probabilities of the bases of rows before each position.

    The probability of a base is the geometric mean of those that the chain gives it on both
    strands, so that a site has the same background on either.
    """
    count = np.ones(4 ** (ORDER + 1))
    for strand in (negatives, reverse_complement(negatives)):
        words, whole = _chain(strand)
        count += np.bincount(words[whole], minlength=len(count))
    table = count.reshape(-1, 4)
    chain = np.log(table / table.sum(axis=1, keepdims=True)).ravel()
    alone = np.log(np.append(frequencies, 1 / 4))
    strands = []
    for strand in (codes, reverse_complement(codes)):
        words, whole = _chain(strand)
        log_p = alone[strand]
        log_p[:, ORDER:] = np.where(whole, chain[words], log_p[:, ORDER:])
        strands.append(log_p)
    mean = (strands[0] + strands[1][:, ::-1]) / 2
    return np.concatenate([np.zeros((len(codes), 1)), mean.cumsum(axis=1)], axis=1)


Seed = tuple[int | None, ...]


def _seeds(
    positives: ByteArray, negatives: ByteArray, background: Floats, frequencies: Floats
) -> list[Seed]:
    """Return the seeds worth fitting, best first: bases, None where any will do."""
    rows = np.concatenate([positives, negatives])
    labels = np.arange(len(rows)) < len(positives)
    tried: list[tuple[float, int, Seed, Floats]] = []
    for number, seed in enumerate(_enriched(positives, negatives)):
        width = min(max(12, len(seed)), rows.shape[1])
        start = _start(seed, width, frequencies)
        theta, _ = _em(positives, background, start, frequencies, FIRST_STEPS)
        scores = scan_scores(rows, np.log(theta / frequencies), "sum")
        aupr = float(average_precision_score(labels, scores))
        tried.append((-aupr, number, seed, scores))
    chosen: list[tuple[Seed, Floats]] = []
    for _, _, seed, scores in sorted(tried, key=lambda one: one[:2]):
        same = (np.corrcoef(scores, other)[0, 1] > SAME_ABOVE for _, other in chosen)
        if not any(same):
            chosen.append((seed, scores))
    return [seed for seed, _ in chosen[:FITTED]]


def _enriched(positives: ByteArray, negatives: ByteArray) -> list[Seed]:
    """Return the pairs of words that most more positives hold than negatives, by likelihood."""
    gaps = min(GAPS, positives.shape[1] - 5)
    if gaps < 1:
        raise InputError(f"rows of {positives.shape[1]} bases are too short for a motif")
    counts = []
    for rows in (positives, negatives):
        counts.append(np.zeros((gaps, 64, 64), np.int64))
        dyad_rows(rows, gaps, counts[-1])
    n, m = len(positives), len(negatives)
    p, q = (counts[0] + 0.5) / (n + 1), (counts[1] + 0.5) / (m + 1)
    gain = n * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    gain = np.where(p > q, gain, 0.0).reshape(gaps, -1)
    found = []
    for gap in range(gaps):
        for pair in np.argsort(-gain[gap], kind="stable")[:SEEDS]:
            left, right = divmod(int(pair), 64)
            bases: list[int | None] = [*_bases(left), *[None] * gap, *_bases(right)]
            found.append((-float(gain[gap, pair]), gap, tuple(bases)))
    return [seed for gain_of, _, seed in sorted(found, key=lambda f: f[:2]) if gain_of < 0]


def _bases(word: int) -> tuple[int, int, int]:
    return word // 16, word // 4 % 4, word % 4


def _start(seed: Seed, width: int, frequencies: Floats) -> Matrix:
    """Return the matrix of a seed in the middle of `width` positions."""
    theta = np.tile(frequencies, (width, 1))
    for position, base in enumerate(seed, start=(width - len(seed)) // 2):
        if base is not None:
            theta[position] *= 1 - SEED_WEIGHT
            theta[position, base] += SEED_WEIGHT
    return theta


def _em(
    positives: ByteArray, background: Floats, theta: Matrix, frequencies: Floats, steps: int
) -> tuple[Matrix, float]:
    """Return the matrix after `steps` of EM, or fewer, and the share of rows with a site."""
    share, before = 0.5, -np.inf
    counts = np.empty_like(theta)
    for _ in range(steps):
        likelihood, sites = em_step(positives, background, np.log(theta), share, counts)
        smoothed = counts + PRIOR_SITES * frequencies
        theta = smoothed / smoothed.sum(axis=1, keepdims=True)
        share = float(np.clip(sites / len(positives), 0.02, 0.98))
        if likelihood - before < 1e-5 * abs(likelihood):
            break
        before = likelihood
    return theta, share
