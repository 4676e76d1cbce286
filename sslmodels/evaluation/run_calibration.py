"""Calibration of a run's probabilities on all validation bins; kept with its evaluation.

A model is trained on as many negatives as positives, so its probabilities are those of even odds,
over- or under-confident besides. Two maps correct them:

- ``isotonic``: the rising step function of least squares (Zadrozny and Elkan 2002), fitted to the
  bins as they are: the share of positives among bins of such a score in the genome;
- ``temperature``: log odds divided by a number (:mod:`sslmodels.scores.calibration`): the
  probability at even odds.

Both are of scores averaged over the strands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.base.files import atomic_path, write_json_atomic
from ssldata.base.progress import Progress
from ssldata.store.store import REFERENCE, Store
from sslmodels.evaluation.curve_figures import Floats, draw_reliability
from sslmodels.evaluation.evaluation_status import model_digest
from sslmodels.evaluation.row_scorer import RowScorer
from sslmodels.evaluation.teacher_findings import ScoredBins, write_teacher_findings
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.training_rows import label_columns
from sslmodels.scores.calibration import Calibration, fit_calibration

CalibrationMethod = Literal["isotonic", "temperature"]

_FILE = "calibration.json"

#: Bins of a point of the figure, at least: a share of fewer says nothing.
_FEWEST = 10


def fit_isotonic(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, Any]:
    """Return the knots of the isotonic map of one output: ``score``, ``probability``.

    No probability is 0 or 1: n bins of one class are no proof that the next is of it.
    """
    fitted = IsotonicRegression().fit(scores.astype(np.float64), labels)
    lowest = 1 / (len(labels) + 2)
    return {
        "score": fitted.X_thresholds_.tolist(),
        "probability": np.clip(fitted.y_thresholds_, lowest, 1 - lowest).tolist(),
    }


def calibrated(fitted: Mapping[str, Any], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of scores by a map of ``calibration.json``."""
    if "slope" in fitted:
        return Calibration(fitted["slope"], fitted["intercept"])(scores)
    knots = fitted["score"], fitted["probability"]
    return np.interp(scores.astype(np.float64), *knots).astype(np.float32)


def calibrate_run(
    folder: RunFolder,
    scorer: RowScorer,
    store: Store,
    experiments: Sequence[str],
    *,
    title: str,
    progress: Progress | None = None,
) -> None:
    """Fit the maps of a run to its validation bins; write them, the figure, and its teachers.

    Parameters
    ----------
    folder, scorer, store, experiments
        The run, what scores its rows, its store, and the experiments of its outputs.
    title
        Of the figure and the progress.
    progress
        Progress reporter.
    """
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["validation"]
    labels = rows.column("label")[start:stop, label_columns(store, experiments)]
    scores = scorer(
        start, stop, both_strands=True, progress=progress, description=f"calibrating {title}"
    )
    fits, reliability, scored = {}, {}, {}
    for i, name in enumerate(experiments):
        score, label = scores[:, i], (labels[:, i] == 1).astype(np.float32)
        scored[name] = ScoredBins(score, label)
        fits[name] = {
            "positives": int(label.sum()),
            "isotonic": fit_isotonic(score, label),
            "temperature": fit_calibration(score, label, "temperature").as_dict(),
        }
        reliability[name] = {
            "predicted": _reliability(score, label),
            "isotonic": _reliability(_of_the_other_half(score, label), label),
        }
    value = {"model": model_digest(folder), "rows": stop - start, "outputs": fits}
    write_json_atomic(folder.evaluation / _FILE, value)
    with atomic_path(folder.evaluation / "reliability.png") as temporary:
        draw_reliability(temporary, reliability, rows=stop - start, title=title)
    write_teacher_findings(folder, store, scored)


def _of_the_other_half(
    score: NDArray[np.float32], label: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return calibrated probabilities, each by a map that was fitted without its bin."""
    half = np.zeros(len(score), bool)
    half[np.argsort(label, kind="stable")[::2]] = True  # every second bin of each class
    out = np.empty_like(score)
    for here in (half, ~half):
        out[here] = calibrated(fit_isotonic(score[~here], label[~here]), score[here])
    return out


def _reliability(p: NDArray[np.float32], label: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return mean probability and share of positives of each tenth of [0, 1] with enough bins."""
    tenth = np.minimum((p * 10).astype(np.int64), 9)
    count = np.bincount(tenth, minlength=10)
    some = count >= _FEWEST
    means = [np.bincount(tenth, weights=of, minlength=10)[some] / count[some] for of in (p, label)]
    return means[0], means[1]


def read_calibration(
    run_folder: Path, outputs: Sequence[str], method: CalibrationMethod
) -> list[Mapping[str, Any]]:
    """Return the map of each output of a run, for :func:`calibrated`.

    Raises
    ------
    MissingInputError
        The run is not evaluated.
    ConfigError
        No such method, or the calibration is of another model, or damaged.
    """
    if method not in get_args(CalibrationMethod):
        raise ConfigError(
            f"calibration {method!r}; expected {' or '.join(get_args(CalibrationMethod))}"
        )
    folder = RunFolder(run_folder)
    path = folder.evaluation / _FILE
    again = f"run `crosslabel evaluate {run_folder}`"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["model"] == model_digest(folder):
            return [value["outputs"][name][method] for name in outputs]
    except FileNotFoundError:
        raise MissingInputError(f"{path}: no such file; {again}") from None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); remove it and {again}") from exc
    raise ConfigError(f"{path}: is of another model than {folder.model}; {again}")
