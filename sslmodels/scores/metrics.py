"""Metrics of scores: losses, areas under curves, and the curves. Arrays in, numbers out.

scikit-learn takes a second to load, so it is imported where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]

#: A run whose AUPR is below this multiple of the prevalence has learnt next to nothing.
COLLAPSED_BELOW = 2.0

#: Probabilities are clipped to this distance from 0 and 1 in the loss, as in Keras.
EPSILON = 1e-7


def cross_entropy(labels: Numbers, scores: Numbers, known: Numbers | None = None) -> float:
    """Return the mean binary cross-entropy in nats over the known labels of all outputs."""
    scores = np.clip(scores.astype(np.float64), EPSILON, 1 - EPSILON)
    terms = labels * np.log(scores) + (1 - labels) * np.log1p(-scores)
    return float(-np.mean(terms if known is None else terms[known]))


def mean_aupr(labels: Numbers, scores: Numbers, known: Numbers | None = None) -> float:
    """Return the average precision, averaged over the outputs that have both classes.

    Parameters
    ----------
    labels, scores
        (rows, outputs).
    known
        bool (rows, outputs), the labels that count; default: all.

    Returns
    -------
    float
        NaN when no output has both classes.
    """
    from sklearn.metrics import average_precision_score

    values = []
    for column in range(labels.shape[1]):
        rows = slice(None) if known is None else known[:, column]
        label = labels[rows, column]
        if 0 < label.sum() < len(label):
            values.append(average_precision_score(label, scores[rows, column]))
    return float(np.mean(values)) if values else math.nan


@dataclass(frozen=True)
class Curve:
    """Points of a curve and the score at or above which a row counts as positive."""

    x: Numbers
    y: Numbers
    threshold: Numbers


def summary(labels: Numbers, scores: Numbers) -> dict[str, float | int | bool]:
    """Return the metrics of one output.

    Parameters
    ----------
    labels
        0 or 1 (rows,); both must occur.
    scores
        (rows,), higher is more positive.

    Returns
    -------
    dict
        ``aupr`` (average precision: Σ (Rₙ − Rₙ₋₁) Pₙ, no interpolation), ``aupr_trapezoid``
        (trapezoids under the same curve; optimistic), ``auroc``, ``prevalence``, ``lift`` (aupr
        over prevalence, the aupr of a random guess), ``positives``, ``rows``, ``collapsed``
        (aupr below twice the prevalence).
    """
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

    precision, recall, _ = precision_recall_curve(labels, scores)
    aupr = float(average_precision_score(labels, scores))
    positives = int(labels.sum())
    prevalence = positives / len(labels)
    return {
        "aupr": aupr,
        "aupr_trapezoid": float(auc(recall, precision)),
        "auroc": float(roc_auc_score(labels, scores)),
        "prevalence": prevalence,
        "lift": aupr / prevalence,
        "positives": positives,
        "rows": len(labels),
        "collapsed": aupr < COLLAPSED_BELOW * prevalence,
    }


#: Metrics of :func:`summary` that are averaged over the outputs of a run.
_AVERAGED = ("aupr", "aupr_trapezoid", "auroc", "prevalence", "lift")


def macro(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics of a run with several outputs.

    Parameters
    ----------
    outputs
        Experiment → :func:`summary`.

    Returns
    -------
    dict
        The unweighted means over the outputs of ``aupr``, ``aupr_trapezoid``, ``auroc``,
        ``prevalence`` and ``lift``; ``rows``; and ``outputs`` as given.
    """
    means = {key: float(np.mean([of[key] for of in outputs.values()])) for key in _AVERAGED}
    rows = {int(of["rows"]) for of in outputs.values()}
    return {**means, "rows": max(rows), "outputs": {name: dict(of) for name, of in outputs.items()}}


def by_experiment(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics of an evaluated run, one set per experiment that it predicts.

    Those of a run with one output are returned unchanged. Those of a run with several have the
    same keys: ``experiment`` is that of the output, and ``model`` ends in `` joint``; they are
    sorted by experiment.
    """
    if "outputs" not in result:
        return [dict(result)]
    shared = {k: v for k, v in result.items() if k not in {*_AVERAGED, "rows", "outputs"}}
    return [
        {**shared, "experiment": name, "model": f"{result['model']} joint", **numbers}
        for name, numbers in sorted(result["outputs"].items())
    ]


def pr_curve(labels: Numbers, scores: Numbers) -> Curve:
    """Return recall (x), precision (y) and thresholds, by increasing recall."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, threshold = precision_recall_curve(labels, scores)
    # scikit-learn appends the point (recall 0, precision 1), which belongs to no threshold.
    return Curve(recall[-2::-1], precision[-2::-1], threshold[::-1])


def roc(labels: Numbers, scores: Numbers) -> Curve:
    """Return false positive rate (x), true positive rate (y) and thresholds."""
    from sklearn.metrics import roc_curve

    false_rate, true_rate, threshold = roc_curve(labels, scores)
    return Curve(false_rate, true_rate, threshold)


def thin(curve: Curve, points: int = 500) -> Curve:
    """Keep about `points` of a curve at most, evenly spaced along its length, ends included.

    Even spacing in x would lose the steep left end of a ROC curve and the noisy one of a
    precision-recall curve. The length of a step is |Δx| + |Δy|.
    """
    if len(curve.x) <= points:
        return curve
    step = np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))
    along = np.concatenate([[0.0], np.cumsum(step)])
    keep = np.unique(np.searchsorted(along, np.linspace(0, along[-1], points)))
    keep = np.unique(np.concatenate([[0], keep[keep < len(along)], [len(along) - 1]]))
    return Curve(curve.x[keep], curve.y[keep], curve.threshold[keep])
