"""The L1 path of logistic regression on more columns than fit into memory.

λ falls from where every coefficient is 0, each fit starting from the one before. Only columns that
may be used are held in memory, by the sequential strong rule (Tibshirani et al. 2012); there the
proximal Newton method finds the optimum. One pass over the store then checks the conditions of
optimality of all other columns: one that breaks them is fetched, and the fit goes on. The result is
thus the optimum over all columns, not over those held.

The penalty that ranks best by its loss shrinks, and so keeps many columns that do nothing. Each
choice of columns is therefore fitted again without the penalty (the relaxed lasso, Meinshausen
2007). λ, and which of the two fits, are chosen by the loss of the validation loci.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int64Array
from ssldata.base.progress import Progress
from sslmodels.transfer.feature_table import FeatureTable
from sslmodels.transfer.lasso_kernels import lasso_step
from sslmodels.transfer.linear_model import (
    LinearModel,
    resampled_weights,
    sigmoid,
    start_of_path,
    training_weight,
    validation_loss,
)
from sslmodels.transfer.row_labels import LabelledRows

Floats = NDArray[np.float64]

#: Penalties of the path, and the last one as a share of the first.
PENALTIES, LAST = 50, 0.005
#: Fits without a better validation loss after which the path ends.
_PATIENCE = 6
#: Newton steps of a fit, and of one without a penalty, which has no optimum where the columns
#: separate the classes; columns of such a fit at most, also as a share of the training rows.
_STEPS, _RELAXED_STEPS = 100, 12
_RELAXED_MOST, _RELAXED_SHARE = 300, 0.1
#: Violation of the conditions of optimality that is accepted, as a share of the first λ.
_TOLERANCE = 1e-5


class _Held:
    """The columns in memory: standardised, of training and validation rows."""

    def __init__(
        self, table: FeatureTable, training: BoolArray, other: BoolArray, room: int
    ) -> None:
        self._table, self._rows = table, (training, other)
        per_column = 4 * (int(training.sum()) + int(other.sum()))
        self.most = min(int(room // per_column), table.count)
        self.columns: Int64Array = np.empty(0, np.int64)
        self.train = np.empty((0, int(training.sum())), np.float32)
        self.other = np.empty((0, int(other.sum())), np.float32)

    def fetch(self, wanted: Int64Array, slopes: Floats, needed: Int64Array) -> bool:
        """Hold `wanted` columns, too; return False where there is no room for those of them.

        Columns that are neither wanted nor `needed` make way, those of the smallest slope first;
        where there is room, those of the largest slopes come along, which saves later passes.
        """
        keep = np.union1d(wanted, needed)
        if len(keep) > self.most:
            return False
        if np.isin(keep, self.columns).all():
            return True
        room = min(self.most, max(2 * len(keep), 64))
        order = np.argsort(-np.abs(slopes), kind="stable")
        extra = order[~np.isin(order, keep)][: room - len(keep)]
        # Fetched in the order of the store, all at once: the old ones need not stay in memory.
        self.columns = np.sort(np.concatenate([keep, extra]))
        self.train = self.other = np.empty((0, 0), np.float32)
        self.train, self.other = self._table.gather_both(self.columns, *self._rows)
        return True

    def places(self, columns: Int64Array) -> Int64Array:
        """Return where columns are held."""
        return np.searchsorted(self.columns, columns)


def fit_lasso(
    table: FeatureTable,
    rows: LabelledRows,
    *,
    seed: int,
    resamples: int,
    room: int,
    progress: Progress,
    relax: bool = True,
) -> LinearModel:
    """Fit the path to the training rows; λ is chosen on the validation rows.

    Parameters
    ----------
    table
        The features, standardised.
    rows
        Labels and splits.
    seed, resamples
        Of the bootstrap of the coefficients, and its number; 0: none.
    room
        Bytes that columns in memory may take; where they need more, the path ends.
    progress
        Progress reporter, advanced by the penalties.
    relax
        Try fits without the penalty, too.
    """
    training, validation = rows.of("train"), rows.of("validation")
    labels = rows.labels.astype(np.float64)
    y = labels[training]
    weight = np.full(len(y), 1 / len(y))
    intercept = start_of_path(labels, training)
    beta = np.zeros(table.count)
    share = training_weight(training)
    slopes = table.transposed(
        (share * (sigmoid(np.full(len(labels), intercept)) - labels))[:, None]
    )[:, 0]
    first = float(np.abs(slopes).max())
    held = _Held(table, training, validation, room)
    best: tuple[float, float, Floats, float, bool] | None = None
    path, since, notes, cut = [], 0, [], False
    before = first
    z = np.full(len(y), intercept)
    with progress.task("logistic regression, L1", PENALTIES) as advance:
        for strength in first * np.geomspace(1, LAST, PENALTIES):
            wanted = np.flatnonzero((np.abs(slopes) >= 2 * strength - before) | (beta != 0))
            fitted = None
            while held.fetch(wanted, slopes, np.flatnonzero(beta)):
                fitted = _fit_held(held, beta, intercept, z, y, weight, wanted, strength, first)
                beta, intercept, z = fitted
                error = np.zeros((table.rows, 1))
                error[training, 0] = weight * (sigmoid(z) - y)
                if len(held.columns) < table.count:
                    slopes = table.transposed(error)[:, 0]
                else:
                    slopes[held.columns] = held.train @ error[training, 0]
                outside = np.ones(table.count, bool)
                outside[wanted] = False
                broken = np.flatnonzero(outside & (np.abs(slopes) > strength + _TOLERANCE * first))
                if not len(broken):
                    break
                wanted, fitted = np.union1d(wanted, broken), None
            if fitted is None:
                cut = True
                notes.append(
                    f"the path ends at λ {before:.4g}, before its best is certain: smaller "
                    f"penalties need more than the {held.most:,} columns that fit into memory; "
                    "raise --memory"
                )
                break
            before = strength
            loss = _held_loss(held, rows, validation, beta, intercept)
            used = np.flatnonzero(beta)
            entry = {"lambda": float(strength), "validation_loss": loss, "features": len(used)}
            tried = [(loss, beta.copy(), intercept, False)]
            if relax and 0 < len(used) <= min(_RELAXED_MOST, _RELAXED_SHARE * len(y)):
                free = _fit_held(
                    held, beta, intercept, z, y, weight, used, 0.0, first, steps=_RELAXED_STEPS
                )
                entry["relaxed_loss"] = _held_loss(held, rows, validation, free[0], free[1])
                tried.append((entry["relaxed_loss"], free[0], free[1], True))
            path.append(entry)
            advance(1)
            since += 1
            for value, of, at, free_of_penalty in tried:
                if best is None or value < best[0]:
                    best, since = (value, float(strength), of, at, free_of_penalty), 0
            if since >= _PATIENCE:
                break
    if best is None:
        best = (np.nan, first, np.zeros(table.count), start_of_path(labels, training), False)
    _, strength, beta, intercept, relaxed = best
    replicates = np.empty((0, 0))
    if resamples and len(held.columns):
        needed = np.flatnonzero(beta)
        if not np.isin(needed, held.columns).all():
            held.fetch(needed, slopes, needed)
        weights = resampled_weights(rows, resamples, seed)
        replicates = _replicates(
            held, beta, intercept, y, weights, strength, first, relaxed=relaxed, progress=progress
        )
    elif resamples:
        replicates = np.zeros((resamples, 0))
    if len(path) and path[-1]["lambda"] == strength and since == 0 and len(path) == PENALTIES:
        notes.append(
            "the last penalty of the path is the best: weaker ones were not tried; see logistic"
        )
    return LinearModel(
        coefficients=beta,
        intercept=intercept,
        strength=strength,
        path=path,
        replicates=replicates,
        replicated=held.columns,
        relaxed=relaxed,
        notes=notes,
        cut=cut,
    )


def _fit_held(
    held: _Held,
    beta: Floats,
    intercept: float,
    z: Floats,
    y: Floats,
    weight: Floats,
    wanted: Int64Array,
    strength: float,
    first: float,
    steps: int = _STEPS,
) -> tuple[Floats, float, Floats]:
    """Return coefficients of all columns, intercept and log-odds, with only `wanted` free."""
    local = np.append(beta[held.columns], intercept)
    z = z.copy()
    use = held.places(wanted)
    lasso_step(held.train, y, weight, use, strength, 0.1 * _TOLERANCE * first, local, z, steps)
    out = np.zeros(len(beta))
    out[held.columns] = local[:-1]
    return out, float(local[-1]), z


def _held_loss(
    held: _Held, rows: LabelledRows, validation: BoolArray, beta: Floats, intercept: float
) -> float:
    z = np.zeros(len(rows.labels))
    used = np.flatnonzero(beta[held.columns])
    z[validation] = intercept + beta[held.columns[used]] @ held.other[used].astype(np.float64)
    return validation_loss(rows, z)


def _replicates(
    held: _Held,
    beta: Floats,
    intercept: float,
    y: Floats,
    weights: Floats,
    strength: float,
    first: float,
    *,
    relaxed: bool,
    progress: Progress,
) -> Floats:
    """Return the coefficients of resamples, fitted to the columns in memory."""
    use = np.arange(len(held.columns))
    begin = beta[held.columns]
    nonzero = np.flatnonzero(begin)
    z = intercept + begin[nonzero] @ held.train[nonzero].astype(np.float64)
    out = np.empty((weights.shape[1], len(use)))
    with progress.task("resamples of the coefficients", weights.shape[1]) as advance:
        for number in range(weights.shape[1]):
            local, here = np.append(begin, intercept), z.copy()
            counted = np.ascontiguousarray(weights[:, number])
            accepted = _TOLERANCE * first
            lasso_step(held.train, y, counted, use, strength, accepted, local, here, _STEPS)
            if relaxed:
                free = np.flatnonzero(local[:-1])
                lasso_step(held.train, y, counted, free, 0.0, accepted, local, here, _RELAXED_STEPS)
            out[number] = local[:-1]
            advance(1)
    return out
