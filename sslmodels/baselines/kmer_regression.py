"""Logistic regression on the words that a sequence holds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from ssldata.base.array_types import ByteArray
from sslmodels.baselines.word_features import merged_words, word_counts
from sslmodels.baselines.word_kernels import sum_present

Floats = NDArray[np.float64]

#: Bases of a word.
K = 6
#: Inverse strengths of the penalty that are tried.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class KmerRegression:
    """L2 logistic regression on which 6-mers a row holds, either strand; scores are log-odds.

    Attributes
    ----------
    weights
        Of every word, its reverse complement has the same: float64 (4 ** k,).
    intercept
        Log-odds of a row without words.
    strength
        The C that was chosen.
    """

    weights: Floats
    intercept: float
    strength: float

    kind: ClassVar[str] = "kmer"

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
        held, checked = (_held(rows) for rows in (codes, validation_codes))
        best: tuple[float, LogisticRegression] | None = None
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
            with warnings.catch_warnings():
                # What is not at its optimum after so many steps is judged as it is.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(held, labels)
            scores = model.decision_function(checked)
            aupr = float(average_precision_score(validation_labels, scores))
            if best is None or aupr > best[0]:
                best = aupr, model
        assert best is not None
        features, _ = merged_words(K)
        model = best[1]
        weights = np.asarray(model.coef_[0], np.float64)[features]
        return cls(weights, float(model.intercept_[0]), float(model.C))

    def score(self, codes: ByteArray) -> Floats:
        """Return the log-odds of every row (rows, length), both strands included."""
        features, _ = merged_words(K)
        scores = np.empty(len(codes))
        sum_present(np.ascontiguousarray(codes), K, features, self.weights, scores)
        return scores + self.intercept

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        return {"weights": self.weights}, {"intercept": self.intercept, "C": self.strength}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Return the regression that :meth:`to_arrays` was called of."""
        return cls(arrays["weights"], float(settings["intercept"]), float(settings["C"]))


def _held(codes: ByteArray) -> Any:
    counts = word_counts(codes, K)
    counts.data[:] = 1.0
    return counts
