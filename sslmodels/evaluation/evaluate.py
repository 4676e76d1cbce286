"""Evaluate a run: score every test bin of the labelled genome; metrics, curves and figures."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError, StoreError
from ssldata.base.files import atomic_path, write_text_atomic
from ssldata.base.progress import Progress
from ssldata.store.store import REFERENCE, RowGroup, Store
from sslmodels.evaluation.curve_figures import draw_all_pr, draw_all_roc, draw_pr, draw_roc
from sslmodels.evaluation.evaluation_status import checked_file, subject, write_metrics
from sslmodels.evaluation.resamples_file import write_resamples
from sslmodels.evaluation.row_scorer import RowScorer
from sslmodels.evaluation.run_calibration import calibrate_run
from sslmodels.fit.devices import make_deterministic
from sslmodels.runs.training_rows import label_columns
from sslmodels.scores import metrics
from sslmodels.scores.metric_intervals import Resampled, blocks_of_bins, resampled


def evaluate_run(run_folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score every test bin with the model of a run, and write the folder ``evaluation`` of the run.

    If the folder already holds the evaluation of this model on these rows, it is only read. It has
    ``metrics.json``, ``curves.csv`` (thinned), ``scores.csv.gz`` (one line per bin, 0-based
    half-open), ``pr.png``, ``roc.png`` and ``resamples.csv``
    (:mod:`sslmodels.evaluation.resamples_file`), and of the validation bins
    ``calibration.json`` and ``reliability.png`` (:mod:`sslmodels.evaluation.run_calibration`).

    Parameters
    ----------
    run_folder
        Folder of a complete run, as returned by :func:`sslmodels.runs.regimes.train`.
    progress
        Progress reporter, advanced by the rows scored; None: no progress is shown.

    Returns
    -------
    dict
        The cell (``experiment``, ``model``, ``regime``, ``seed``), ``digest`` (of the
        evaluation), and the numbers of :func:`sslmodels.scores.metrics.summary`, or of
        :func:`sslmodels.scores.metrics.macro` for a run of several outputs. ``intervals`` has
        95 % intervals of ``aupr`` and ``auroc`` over ``blocks`` blocks of test bins
        (:mod:`sslmodels.scores.metric_intervals`).

    Raises
    ------
    MissingInputError
        There is no run, or its store does not exist.
    ConfigError
        The run is not complete.
    StoreError
        The labelled rows of the store are not those the run was trained on, or the test rows lack
        a class.
    """
    evaluated = subject(run_folder)
    known = evaluated.known()
    if known is not None:
        return known
    folder, record, store = evaluated.folder, evaluated.record, evaluated.store
    make_deterministic()
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    experiments = evaluated.outputs or [record["experiment"]]
    labels = test_labels(store, experiments)
    cell = {key: record[key] for key in ("experiment", "model", "regime", "seed")}
    title = f"{cell['experiment']}, {cell['model']}, {cell['regime']}, seed {cell['seed']}"
    scorer = RowScorer(folder, store)
    scores = scorer(start, stop, progress=progress, description=f"scoring {title}")
    numbers = write_files(
        folder.evaluation, rows, labels, scores, outputs=evaluated.outputs, title=title
    )
    calibrate_run(folder, scorer, store, experiments, title=title, progress=progress)
    result = {**cell, **numbers, "digest": evaluated.digest}
    write_metrics(folder.path, result)
    return result


def test_labels(store: Store, experiments: Sequence[str]) -> NDArray[np.int8]:
    """Return the labels (test bins, experiments); raise StoreError where one lacks a class."""
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    labels = rows.column("label")[start:stop, label_columns(store, experiments)]
    for name, positives in zip(experiments, labels.sum(axis=0, dtype=np.int64), strict=True):
        if not 0 < positives < len(labels):
            raise StoreError(
                f"{store.location}: {name} has {positives} positive test bins of {len(labels)}; "
                "both classes are needed, change split.test and rebuild"
            )
    return labels.astype(np.int8)


def _write_scores(
    path: Path, rows: RowGroup, columns: Mapping[str, NDArray[np.int8] | NDArray[np.float32]]
) -> None:
    """Write one line per test bin: contig, start, end, and further columns."""
    start, stop = rows.ranges["test"]
    table = pd.DataFrame(
        {
            "contig": rows.contig_names(start, stop),
            "start": rows.column("start")[start:stop],
            "end": rows.column("end")[start:stop],
            **{
                # Nine digits identify a float32.
                name: np.char.mod("%.9g", values) if values.dtype == np.float32 else values
                for name, values in columns.items()
            },
        }
    )
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        # Neither name nor time in the header: equal scores give equal bytes.
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        table.to_csv(text, index=False, lineterminator="\n")


def read_scores(run_folder: Path, experiment: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return label and score of every test bin of an evaluated run.

    Parameters
    ----------
    run_folder
        An evaluated run.
    experiment
        The experiment of the run, or of one of its outputs.

    Raises
    ------
    MissingInputError
        The run is not evaluated.
    InputError
        The scores are damaged.
    StoreError
        The run does not predict this experiment.
    """
    path = checked_file(run_folder, "scores.csv.gz")
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; run `crosslabel evaluate {run_folder}`")
    try:
        table = pd.read_csv(path)
        label, score = _score_columns(experiment) if "label" not in table else ("label", "score")
        if score not in table:
            raise StoreError(f"{path}: holds no scores of {experiment!r}")
        return table[label].to_numpy(np.int64), table[score].to_numpy(np.float64)
    except (OSError, EOFError, zlib.error, KeyError, ValueError) as exc:
        if isinstance(exc, StoreError):
            raise
        raise InputError(
            f"{path}: damaged ({exc}); delete it and call `crosslabel evaluate {run_folder}`"
        ) from exc


def _score_columns(experiment: str) -> tuple[str, str]:
    """Return the names of the columns of one of several outputs."""
    return f"label_{experiment}", f"score_{experiment}"


def _curves_table(pr: metrics.Curve, roc: metrics.Curve) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {"curve": "pr", "threshold": pr.threshold, "recall": pr.x, "precision": pr.y}
            ),
            pd.DataFrame(
                {
                    "curve": "roc",
                    "threshold": roc.threshold,
                    "false_positive_rate": roc.x,
                    "true_positive_rate": roc.y,
                }
            ),
        ]
    )


def write_files(
    folder: Path,
    rows: RowGroup,
    labels: NDArray[np.int8],
    scores: NDArray[np.float32],
    *,
    outputs: Sequence[str] | None,
    title: str,
) -> dict[str, Any]:
    """Write all files of an evaluation but ``metrics.json``, and return the metrics.

    Parameters
    ----------
    folder
        The folder ``evaluation``.
    rows
        The group whose test rows were scored.
    labels, scores
        (test bins, outputs).
    outputs
        Names of the outputs; None: there is one.
    title
        Of the figures.
    """
    columns: dict[str, NDArray[np.int8] | NDArray[np.float32]] = {}
    numbers: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, metrics.Curve]] = {"pr": {}, "roc": {}}
    start, stop = rows.ranges["test"]
    blocks = blocks_of_bins(rows.column("contig")[start:stop], rows.column("start")[start:stop])
    count = int(blocks.max()) + 1
    resamples: dict[str, Resampled] = {}
    tables = []
    for i, name in enumerate(outputs or [""]):
        label, score = labels[:, i], scores[:, i]
        names = _score_columns(name) if outputs else ("label", "score")
        columns |= dict(zip(names, (label, score), strict=True))
        resamples[name] = resampled(label, score, blocks)
        numbers[name] = {
            **metrics.summary(label, score),
            "intervals": resamples[name].intervals(),
            "blocks": count,
        }
        curves["pr"][name] = metrics.thin(metrics.pr_curve(label, score))
        curves["roc"][name] = metrics.thin(metrics.roc(label, score))
        tables.append(_curves_table(curves["pr"][name], curves["roc"][name]))
        if outputs:
            tables[-1].insert(0, "experiment", name)
    _write_scores(folder / "scores.csv.gz", rows, columns)
    write_resamples(folder, resamples)
    table = pd.concat(tables).to_csv(index=False, lineterminator="\n", float_format="%.9g")
    write_text_atomic(folder / "curves.csv", table)
    for kind, draw, draw_all in (("pr", draw_pr, draw_all_pr), ("roc", draw_roc, draw_all_roc)):
        # A dollar sign in a name begins no formula.
        plain = rc_context({"text.parse_math": False})
        with plain, atomic_path(folder / f"{kind}.png") as temporary:
            if outputs:
                draw_all(temporary, curves[kind], numbers, title=title)
            else:
                draw(temporary, curves[kind][""], numbers[""], title=title)
    if not outputs:
        return numbers[""]
    mean = Resampled(
        aupr=np.mean([of.aupr for of in resamples.values()], axis=0),
        auroc=np.mean([of.auroc for of in resamples.values()], axis=0),
    )
    return {**metrics.macro(numbers), "intervals": mean.intervals(), "blocks": count}
