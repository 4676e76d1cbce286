"""L2 logistic regression on more columns and rows than fit into memory.

Minimised by L-BFGS: every evaluation is one pass over the store. λ falls along a path, each fit
starting from the one before, and is chosen by the loss of the validation loci. Intervals are those
of one Newton step for every resample of the training loci: their Hessian is that of the optimum,
and the systems of all resamples are solved together by conjugate gradients, one pass a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ssldata.base.one_thread import one_thread
from ssldata.base.progress import Progress
from sslmodels.transfer.feature_table import FeatureTable
from sslmodels.transfer.linear_model import (
    LinearModel,
    log_loss,
    resampled_weights,
    sigmoid,
    start_of_path,
    training_weight,
    validation_loss,
)
from sslmodels.transfer.row_labels import LabelledRows

Floats = NDArray[np.float64]

#: Penalties tried, of the mean loss + λ/2 · ‖w‖² on standardised features.
STRENGTHS = tuple(float(f"{10.0**power:.1e}") for power in np.arange(0, -4.51, -0.5))
#: Fits without a better validation loss after which smaller penalties are not tried.
_PATIENCE = 2
#: Largest component of the gradient at the optimum, and iterations of L-BFGS and of CG.
_TOLERANCE, _ITERATIONS, _CG_STEPS = 1e-6, 500, 40


@dataclass
class _RidgeProblem:
    """The mean loss of some rows, counted by weights, plus the penalty."""

    table: FeatureTable
    labels: Floats
    weight: Floats

    def value(self, point: Floats, strength: float) -> tuple[float, Floats, Floats]:
        """Return objective, gradient and log-odds at coefficients + intercept."""
        beta, intercept = point[:-1, None], point[-1]
        labels, weight = self.labels, self.weight

        def residual(first: int, last: int, z: Floats) -> Floats:
            p = sigmoid(z[:, 0] + intercept)
            return np.asarray((weight[first:last] * (p - labels[first:last]))[:, None])

        z, slope = self.table.both(beta, residual)
        z = z[:, 0] + intercept
        total = float(self.weight @ log_loss(labels, z) + strength / 2 * (point[:-1] @ point[:-1]))
        gradient = np.append(
            slope[:, 0] + strength * point[:-1], (weight * (sigmoid(z) - labels)).sum()
        )
        return total, gradient, z

    def minimise(self, point: Floats, strength: float) -> tuple[Floats, Floats]:
        """Return the optimum and its log-odds, from a start."""
        last: dict[str, Floats] = {}

        def evaluate(at: Floats) -> tuple[float, Floats]:
            total, gradient, z = self.value(at, strength)
            last["at"], last["z"] = at.copy(), z
            return total, gradient

        options = {"maxiter": _ITERATIONS, "gtol": _TOLERANCE, "ftol": 1e-15, "maxcor": 20}
        with one_thread():
            found = minimize(evaluate, point, jac=True, method="L-BFGS-B", options=options)
        if not np.array_equal(last["at"], found.x):
            evaluate(found.x)
        return np.asarray(found.x), last["z"]


def fit_ridge(
    table: FeatureTable,
    rows: LabelledRows,
    *,
    seed: int,
    resamples: int,
    room: int,
    progress: Progress,
) -> LinearModel:
    """Fit to the training rows; λ is chosen on the validation rows.

    Parameters
    ----------
    table
        The features, standardised.
    rows
        Labels and splits.
    seed, resamples
        Of the bootstrap of the coefficients, and its number; 0: none.
    room
        Bytes that the resamples may take; as many are computed at a time as fit.
    progress
        Progress reporter, advanced by the penalties.
    """
    training = rows.of("train")
    labels = rows.labels.astype(np.float64)
    problem = _RidgeProblem(table, labels, training_weight(training))
    point = np.append(np.zeros(table.count), start_of_path(labels, training))
    best: tuple[float, float, Floats, Floats] | None = None
    path, since = [], 0
    with progress.task("logistic regression, L2", len(STRENGTHS)) as advance:
        for strength in STRENGTHS:
            point, z = problem.minimise(point, strength)
            loss = validation_loss(rows, z)
            used = int(np.count_nonzero(point[:-1]))
            path.append({"lambda": strength, "validation_loss": loss, "features": used})
            advance(1)
            since += 1
            if best is None or loss < best[0]:
                best, since = (loss, strength, point.copy(), z), 0
            elif since >= _PATIENCE:
                break
    assert best is not None
    _, strength, point, z = best
    replicates = np.empty((0, table.count))
    if resamples:
        weights = resampled_weights(rows, resamples, seed)
        # Vectors of columns and of rows that the steps of one resample hold.
        at_once = max(1, room // (8 * (8 * table.count + 5 * table.rows)))
        replicates = np.empty((resamples, table.count))
        with progress.task("resamples of the coefficients", resamples) as advance:
            for first in range(0, resamples, at_once):
                some = weights[:, first : first + at_once]
                moves = _newton_moves(problem, rows, strength, point, z, weights=some)
                replicates[first : first + at_once] = point[:-1] + moves.T
                advance(some.shape[1])
    return LinearModel(
        coefficients=point[:-1],
        intercept=float(point[-1]),
        strength=strength,
        path=path,
        replicates=replicates,
        replicated=np.arange(table.count),
    )


def _newton_moves(
    problem: _RidgeProblem,
    rows: LabelledRows,
    strength: float,
    point: Floats,
    z: Floats,
    *,
    weights: Floats,
) -> Floats:
    """Return how far one Newton step moves the coefficients in each resample (columns, n).

    The intercept is profiled out of the Hessian, which is then definite.
    """
    table, labels = problem.table, problem.labels
    training = rows.of("train")
    p = sigmoid(z)
    counted = np.zeros((len(labels), weights.shape[1]))
    counted[training] = weights
    error = (p - labels)[:, None] * counted
    bend = (problem.weight * p * (1 - p))[:, None]
    centre = table.transposed(bend)  # Xᵀ D 1
    share = float(bend.sum())
    slope = table.transposed(error) + strength * point[:-1, None]
    target = -(slope - centre * (error.sum(axis=0) / share))

    def curved(direction: Floats) -> Floats:
        """Return H · direction, the intercept eliminated."""
        _, found = table.both(direction, lambda first, last, z: bend[first:last] * z)
        return np.asarray(found - centre * (centre.T @ direction / share) + strength * direction)

    move = np.zeros_like(target)
    residual, direction = target.copy(), target.copy()
    norm = (residual**2).sum(axis=0)
    goal = 1e-6 * norm
    for _ in range(_CG_STEPS):
        if (norm <= goal).all():
            break
        image = curved(direction)
        along = (direction * image).sum(axis=0)
        step = np.divide(norm, along, out=np.zeros_like(norm), where=along > 0)
        move += step * direction
        residual -= step * image
        before, norm = norm, (residual**2).sum(axis=0)
        ratio = np.divide(norm, before, out=np.zeros_like(norm), where=before > 0)
        direction = residual + ratio * direction
    return move
