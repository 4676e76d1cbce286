"""Calibration of a teacher's probabilities before they are used as weights.

A network trained on few rows is over- or under-confident. Its logit z is mapped to

- ``temperature``: z / T (Guo, Pleiss, Sun, Weinberger, ICML 2017),
- ``platt``: slope · z + intercept, with slope ≥ 0 (Platt 1999),

fitted on the validation rows by maximum likelihood. Each class has half of the total weight:
validation has more negatives than training, and a weight shall be the probability at even odds,
as in the teacher's own training. The targets are Platt's, (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2),
which keep the fit finite when the classes separate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

Method = Literal["temperature", "platt"]

#: Probabilities closer to 0 or 1 than this are rounding of float32, not confidence.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Calibration:
    """A fitted map: probability p → expit(slope · logit(p) + intercept)."""

    slope: float
    intercept: float

    def __call__(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return calibrated probabilities, of the same shape."""
        return expit(self.slope * _logits(probabilities) + self.intercept).astype(np.float32)

    def as_dict(self) -> dict[str, float]:
        """Return slope and intercept, for the record."""
        return asdict(self)


def _logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(logit(clipped))


def fit_calibration(
    probabilities: NDArray[np.float32], labels: NDArray[np.float32], method: Method
) -> Calibration:
    """Fit a calibration on rows whose labels are known.

    Parameters
    ----------
    probabilities, labels
        float32 (n,); both classes must occur.
    method
        ``temperature`` (one parameter) or ``platt`` (two).

    Returns
    -------
    Calibration
        Slope 0: the scores carry no information.

    Raises
    ------
    ValueError
        A class is missing.
    """
    positive = labels > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        raise ValueError("calibration needs rows of both classes")
    z = _logits(probabilities)
    target = np.where(positive, (count + 1) / (count + 2), 1 / (others + 2))
    share = np.where(positive, 0.5 / count, 0.5 / others)

    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept = x[0], x[1] if method == "platt" else 0.0
        line = slope * z + intercept
        # log(1 + exp(line)) − target · line is the cross-entropy of expit(line).
        value = float((share * (np.logaddexp(0, line) - target * line)).sum())
        off = share * (expit(line) - target)
        slopes = [(off * z).sum(), off.sum()]
        return value, np.array(slopes[: len(x)])

    start = np.array([1.0, 0.0] if method == "platt" else [1.0])
    bounds = [(0.0, None), (None, None)][: len(start)]
    precise = {"ftol": 1e-15, "gtol": 1e-10}
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=precise)
    return Calibration(float(found.x[0]), float(found.x[1]) if method == "platt" else 0.0)
