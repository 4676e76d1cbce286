"""Compiled proximal Newton method for L1 logistic regression on columns in memory."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int64Array

Floats = NDArray[np.float64]

#: Curvature that a row has at least, so that certain rows cannot make steps without end.
_LEAST_CURVATURE = 1e-5
#: Passes of coordinate descent in each Newton step.
_EPOCHS = 60


@numba.njit(cache=True, nogil=True)
def _loss(z: Floats, labels: Floats, weight: Floats) -> float:
    total = 0.0
    for i in range(len(z)):
        # log(1 + exp(z)) − y z, without overflow.
        total += weight[i] * (max(z[i], 0.0) - labels[i] * z[i] + math.log1p(math.exp(-abs(z[i]))))
    return total


@numba.njit(cache=True, nogil=True)
def lasso_step(
    columns: NDArray[np.float32],
    labels: Floats,
    weight: Floats,
    use: Int64Array,
    strength: float,
    tolerance: float,
    beta: Floats,
    z: Floats,
    steps: int,
) -> float:
    """Minimise Σ weight · loss + strength · ‖beta‖₁ from where `beta` and `z` are.

    Parameters
    ----------
    columns
        (columns, rows), standardised.
    labels, weight
        0 or 1, and what each row counts; the weights sum to 1.
    use
        The columns that may change.
    strength, tolerance
        λ, and the largest violation of the conditions of optimality that is accepted.
    beta
        (columns + 1,), the intercept last, which is not penalised; written.
    z
        Log-odds (rows,); written.
    steps
        Newton steps at most.

    Returns
    -------
    float
        The largest violation that is left.
    """
    rows = len(labels)
    last = len(beta) - 1
    gradient = np.empty(rows)  # of the quadratic model, as it moves
    curvature = np.empty(rows)
    move = np.empty(rows)
    delta = np.zeros(len(beta))
    active = np.empty(len(use), np.int64)
    second = np.empty(len(use))
    worst = 0.0
    for _ in range(steps):
        bend, slope0 = 0.0, 0.0
        for i in range(rows):
            p = 1.0 / (1.0 + math.exp(-z[i])) if z[i] >= 0 else 1.0 - 1.0 / (1.0 + math.exp(z[i]))
            gradient[i] = weight[i] * (p - labels[i])
            curvature[i] = weight[i] * max(p * (1 - p), _LEAST_CURVATURE)
            bend += curvature[i]
            slope0 += gradient[i]
            move[i] = 0.0
        worst = abs(slope0)
        count = 0
        for k in range(len(use)):
            j = use[k]
            slope = 0.0
            for i in range(rows):
                slope += gradient[i] * columns[j, i]
            if beta[j] != 0:
                violation = abs(slope + strength * (1.0 if beta[j] > 0 else -1.0))
            else:
                violation = max(abs(slope) - strength, 0.0)
            worst = max(worst, violation)
            if beta[j] != 0 or violation > 0:
                active[count] = j
                total = 0.0
                for i in range(rows):
                    total += curvature[i] * columns[j, i] * columns[j, i]
                second[count] = max(total, 1e-12)
                count += 1
        if worst <= tolerance:
            break
        start = gradient.copy()
        delta[:] = 0.0
        for _ in range(_EPOCHS):
            largest = 0.0
            slope = 0.0
            for i in range(rows):
                slope += gradient[i]
            step = -slope / bend
            if step != 0:
                delta[last] += step
                for i in range(rows):
                    move[i] += step
                    gradient[i] += curvature[i] * step
                largest = abs(step) * bend
            for k in range(count):
                j = active[k]
                slope = 0.0
                for i in range(rows):
                    slope += gradient[i] * columns[j, i]
                old = beta[j] + delta[j]
                aim = second[k] * old - slope
                new = math.copysign(max(abs(aim) - strength, 0.0), aim) / second[k]
                step = new - old
                if step != 0:
                    delta[j] += step
                    for i in range(rows):
                        move[i] += step * columns[j, i]
                        gradient[i] += curvature[i] * step * columns[j, i]
                    largest = max(largest, abs(step) * second[k])
            if largest <= 0.1 * tolerance:
                break
        # The step is halved until the loss falls by a share of what the model promised.
        linear = 0.0
        for i in range(rows):
            linear += start[i] * move[i]
        for k in range(count):
            j = active[k]
            linear += strength * (abs(beta[j] + delta[j]) - abs(beta[j]))
        before = _loss(z, labels, weight)
        size = 1.0
        for _ in range(30):
            change = _loss(z + size * move, labels, weight) - before
            for k in range(count):
                j = active[k]
                change += strength * (abs(beta[j] + size * delta[j]) - abs(beta[j]))
            if change <= 1e-4 * size * linear + 1e-15:
                break
            size /= 2
        for i in range(rows):
            z[i] += size * move[i]
        for k in range(count):
            beta[active[k]] += size * delta[active[k]]
        beta[last] += size * delta[last]
    return worst


def compile_kernels() -> None:
    """Compile, or load, what :func:`lasso_step` runs: its memory counts before fits begin."""
    labels = np.array([0.0, 1.0])
    columns, use = np.zeros((1, 2), np.float32), np.zeros(1, np.int64)
    lasso_step(columns, labels, np.full(2, 0.5), use, 1.0, 1.0, np.zeros(2), np.zeros(2), 1)
