"""What is known of the teachers of a noisy-student run: are their probabilities right, and where.

A teacher's probability is the weight of a homologue. Two things can be measured without labels of
other genomes: how far probabilities agree with labels on held-out bins of the labelled genome, and
how confident the teachers are of each genome and of each degree of identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssldata.base.files import write_text_atomic
from ssldata.store.run_weights import iterations_of, read_weights
from ssldata.store.store import HOMOLOGUES, Store
from ssldata.trust.findings import Finding, FindingTable, Mark
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.training_rows import label_columns
from sslmodels.scores.calibration import fit_calibration

TEACHERS = "teachers.json"

#: An error above chance of as much as the noise that the published recipe adds to its weights
#: (standard deviation 0.1; Phan, Brouard, Mourad 2024) is worth a warning.
WARN_ERROR = 0.1
#: Lower ends of classes of identity; the last holds identical ones.
_IDENTITY = (0.0, 0.7, 0.8, 0.9, 0.95)
#: Bins of probability for the calibration error.
_BINS = 10


class ScoredBins(NamedTuple):
    """Bins whose labels are known, scored.

    Attributes
    ----------
    score, label
        float32 (n,): probability of the positive class; 0 or 1.
    """

    score: NDArray[np.float32]
    label: NDArray[np.float32]


def even_odds_error(bins: ScoredBins) -> tuple[float, float]:
    """Return the calibration error of probabilities at even odds, and that expected by chance.

    The expected calibration error (Naeini, Cooper, Hauskrecht, AAAI 2015) in ten equal bins of
    probability, where each class has half of the weight: a teacher is trained on even odds, and
    held-out bins have few positives. Chance: what a perfectly calibrated model would show of as
    many bins, the sum of the mean absolute deviations of normal shares, √(2/π) standard errors.

    Parameters
    ----------
    bins
        Of both classes.
    """
    p, positive = bins.score.astype(np.float64), bins.label > 0.5
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    bin_of = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(bin_of, weights=values, minlength=_BINS).astype(np.float64)

    error = float(np.abs(total(weight * positive) - total(weight * p)).sum())
    variance = total(weight**2 * p * (1 - p))
    return error, float(np.sqrt(2 / np.pi * variance).sum())


def teacher_findings(
    folder: RunFolder, store: Store, validation: Mapping[str, ScoredBins]
) -> list[Finding]:
    """Return the findings about the teachers of a run; none for a run without teachers.

    Parameters
    ----------
    folder
        The run.
    store
        Its store.
    validation
        Experiment → held-out labelled bins, scored by the model of the run.
    """
    iterations = iterations_of(folder.weights)
    if not iterations:
        return []
    return [
        _calibration(validation),
        _confidence(folder, store, iterations, list(validation)),
    ]


def write_teacher_findings(
    folder: RunFolder, store: Store, validation: Mapping[str, ScoredBins]
) -> None:
    """Write :data:`TEACHERS` into the evaluation of a run, if it has teachers."""
    found = teacher_findings(folder, store, validation)
    if found:
        text = json.dumps([one.as_json() for one in found], indent=2, allow_nan=False)
        write_text_atomic(folder.evaluation / TEACHERS, text + "\n")


def _calibration(validation: Mapping[str, ScoredBins]) -> Finding:
    rows: list[tuple[str | int | float | None, ...]] = []
    worst = 0.0
    for name, bins in validation.items():
        positives = int((bins.label > 0.5).sum())
        if not 0 < positives < len(bins.label):
            rows.append((name, len(bins.label), positives, None, None, None))
            continue
        error, chance = even_odds_error(bins)
        slope = fit_calibration(bins.score, bins.label, "temperature").slope
        rows.append((name, len(bins.label), positives, error, chance, slope))
        worst = max(worst, error - chance)
    mark: Mark = "warn" if worst > WARN_ERROR else "pass"
    measured = [(str(row[0]), row[3]) for row in rows if row[3] is not None]
    if not measured:
        mark = "note"
    errors = ", ".join(f"{name} {error:.2f}" for name, error in measured)
    return Finding(
        "teachers.calibration",
        "Probabilities agree with labels on held-out bins",
        mark,
        f"Mean error of a probability at even odds: {errors}."
        if measured
        else "Not measured: the validation bins lack a class.",
        "Teachers' probabilities are the weights of homologues; those of an over-confident teacher "
        "are all the same.",
        "Set training.noisy_student.calibration." if mark == "warn" else "",
        {"largest_error_above_chance": worst if measured else None},
        {
            "Calibration of the last student, which would be the next teacher": FindingTable(
                (
                    "experiment",
                    "validation bins",
                    "positives",
                    "error at even odds",
                    "expected by chance",
                    "slope (below 1: over-confident)",
                ),
                tuple(rows),
            )
        },
    )


def _confidence(
    folder: RunFolder, store: Store, iterations: list[int], experiments: list[str]
) -> Finding:
    lines: list[tuple[str | int | float | None, ...]] = []
    last: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for number in iterations:
        arrays, _ = read_weights(folder.weights, number)
        last = []
        for group in sorted(arrays):
            confidence, identity = _judged(store, group, arrays[group], experiments)
            last.append((confidence, identity))
            kind = np.searchsorted(_IDENTITY, identity, side="right") - 1
            for i, name in enumerate(_identity_names()):
                here = confidence[kind == i]
                if len(here):
                    genome = group.removeprefix(f"{HOMOLOGUES}/")
                    shares = float((here >= 0.9).mean()), float((here < 0.5).mean())
                    lines.append((number, genome, name, len(here), float(here.mean()), *shares))
    confidence = np.concatenate([one for one, _ in last]) if last else np.empty(0, np.float32)
    identity = np.concatenate([one for _, one in last]) if last else np.empty(0, np.float32)
    title = "Confidence of the teachers by genome and identity"
    why = (
        "A confidence that falls with identity is what distant homologues deserve; one that "
        "differs by genome at the same identity says that the teacher knows the genome."
    )
    if not len(confidence):
        return Finding(
            "teachers.confidence", title, "note", "Not measured: no pseudo-positives.", why
        )
    far, near = _ends(confidence, identity)
    return Finding(
        "teachers.confidence",
        title,
        "note",
        f"Teacher {iterations[-1]}: mean {confidence.mean():.2f} of {len(confidence):,} "
        f"pseudo-positives, {(confidence < 0.5).mean():.0%} below one half; {far:.2f} in the least "
        f"identical quarter, {near:.2f} in the most identical.",
        why,
        "",
        {
            "teachers": len(iterations),
            "pseudo_positives": len(confidence),
            "mean_confidence": float(confidence.mean()),
            "below_half_fraction": float((confidence < 0.5).mean()),
            "least_identical_quarter": far,
            "most_identical_quarter": near,
        },
        {
            "Confidence": FindingTable(
                (
                    "teacher",
                    "genome",
                    "identity",
                    "pseudo-positives",
                    "mean",
                    "share of 0.9 and more",
                    "share below 0.5",
                ),
                tuple(lines),
            )
        },
    )


def _identity_names() -> list[str]:
    ends = [*_IDENTITY[1:], 1.0]
    return [f"{low:g} to {high:g}" for low, high in zip(_IDENTITY, ends, strict=True)]


def _judged(
    store: Store, group: str, weights: NDArray[np.float32], experiments: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return confidence and identity of every training pseudo-positive that a teacher judged."""
    rows = store.group(group)
    first, end = rows.ranges["positive"]
    label = rows.column("label")[first:end, label_columns(store, experiments)] == 1
    given = weights[first:end].reshape(end - first, -1)
    if given.shape[1] != label.shape[1]:  # one weight for the row, whatever the experiment
        label = label.any(axis=1, keepdims=True)
    identity = np.broadcast_to(rows.column("identity")[first:end, np.newaxis], label.shape)
    return given[label], identity[label]


def _ends(confidence: NDArray[np.float32], identity: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean confidence of the least and of the most identical quarter."""
    order = np.argsort(identity, kind="stable")
    quarter = max(1, len(order) // 4)
    return float(confidence[order[:quarter]].mean()), float(confidence[order[-quarter:]].mean())
