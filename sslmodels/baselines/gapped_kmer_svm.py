"""A support vector machine on gapped k-mers (gkm-SVM: Ghandi et al. 2014, Lee 2016).

The features of a sequence are its gapped words: 6 bases at chosen positions of 8, counted over the
sequence and both strands, and scaled to unit length as its kernel is. A linear machine on them,
with squared hinge loss (LIBLINEAR's default), is trained in the primal. A weight of every word of
8 is the sum of those of its 28 gapped words, so that both training and scores need one look-up for
each base; an explicit matrix of the features would have 28.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score

from ssldata.base.array_types import ByteArray
from ssldata.base.one_thread import one_thread
from sslmodels.baselines.word_features import gapped_words, merged_words, word_counts
from sslmodels.baselines.word_kernels import feature_norms, sum_words

Floats = NDArray[np.float64]

#: Bases of a word, and those of them that a gapped word has.
LENGTH, K = 8, 6
#: Inverse strengths of the penalty that are tried.
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
#: Steps of the optimiser.
STEPS = 100


@dataclass(frozen=True)
class GappedKmerSvm:
    """A linear support vector machine on gapped words; scores are distances, not log-odds.

    Attributes
    ----------
    weights
        Of every word of 8 bases, its reverse complement has the same: float64 (4 ** 8,).
    intercept
        Score of a row without words.
    strength
        The C that was chosen.
    """

    weights: Floats
    intercept: float
    strength: float

    kind: ClassVar[str] = "gkm"

    @classmethod
    def fit(
        cls,
        codes: ByteArray,
        labels: NDArray[Any],
        *,
        validation_codes: ByteArray,
        validation_labels: NDArray[Any],
    ) -> Self:
        """Fit to some rows, with the penalty that ranks the validation rows best.

        Parameters
        ----------
        codes, labels
            Base codes of the training rows (rows, length), and their labels, 0 or 1.
        validation_codes, validation_labels
            The same of the rows on which C is chosen.
        """
        gapped, words = _gapped_of_words(), word_counts(codes, LENGTH)
        scale, signs = 1 / _norms(codes), np.where(labels == 1, 1.0, -1.0)
        problem = _Problem(words, gapped, scale, signs)
        features, _ = merged_words(LENGTH)
        solution = np.zeros(gapped.shape[1] + 1)
        best: tuple[float, Self] | None = None
        for strength in STRENGTHS:  # each from the solution of the one before
            solution = problem.solved(strength, solution)
            weights = (gapped @ solution[:-1])[features]
            model = cls(weights, float(solution[-1]), strength)
            scores = model.score(validation_codes)
            aupr = float(average_precision_score(validation_labels, scores))
            if best is None or aupr > best[0]:
                best = aupr, model
        assert best is not None
        return best[1]

    def score(self, codes: ByteArray) -> Floats:
        """Return the score of every row (rows, length), both strands included."""
        scores = np.empty(len(codes))
        sum_words(np.ascontiguousarray(codes), LENGTH, self.weights, scores)
        return scores / _norms(codes) + self.intercept

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        return {"weights": self.weights}, {"intercept": self.intercept, "C": self.strength}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Return the machine that :meth:`to_arrays` was called of."""
        return cls(arrays["weights"], float(settings["intercept"]), float(settings["C"]))


@cache
def _gapped_of_words() -> csr_array:
    """Return how often each merged word of 8 has each gapped word."""
    features, size = gapped_words(LENGTH, K)
    merged, words = merged_words(LENGTH)
    one_of = np.zeros(words, np.int64)
    one_of[merged] = np.arange(len(merged))  # whichever strand: they have the same gapped words
    columns = features[one_of]
    rows = np.repeat(np.arange(words), columns.shape[1])
    cells = rows, columns.ravel()
    return csr_array((np.ones(columns.size), cells), shape=(words, size))


def _norms(codes: ByteArray) -> Floats:
    """Return the length of the vector of features of every row; 1 for one without words."""
    features, size = gapped_words(LENGTH, K)
    norms = np.empty(len(codes))
    feature_norms(np.ascontiguousarray(codes), LENGTH, features, size, norms)
    return norms


class _Problem:
    """Squared hinge loss and half of the squared weights, in the weights of the gapped words."""

    def __init__(self, words: csr_array, gapped: csr_array, scale: Floats, signs: Floats) -> None:
        self._words, self._rows = words, words.T.tocsr()
        self._gapped, self._of_gapped = gapped, gapped.T.tocsr()
        self._scale, self._signs = scale, signs

    def solved(self, strength: float, start: Floats) -> Floats:
        """Return weights of the gapped words and, last, the intercept, which is not penalised."""
        options = {"maxiter": STEPS, "maxcor": 10}
        with one_thread():
            found = minimize(
                self._loss, start, args=(strength,), jac=True, method="L-BFGS-B", options=options
            )
        return np.asarray(found.x, np.float64)

    def _loss(self, solution: Floats, strength: float) -> tuple[float, Floats]:
        weights, intercept = solution[:-1], solution[-1]
        margins = self._scale * (self._words @ (self._gapped @ weights)) + intercept
        short = np.maximum(0.0, 1 - self._signs * margins)
        slope = -2 * strength * self._signs * short
        gradient = self._of_gapped @ (self._rows @ (self._scale * slope)) + weights
        loss = strength * float(short @ short) + 0.5 * float(weights @ weights)
        return loss, np.append(gradient, slope.sum())
