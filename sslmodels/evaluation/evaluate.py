"""Evaluate a run: every test bin of the labelled genome scored, metrics, curves and figures."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.errors import MissingInputError, StoreError
from ssldata.base.files import atomic_path, write_json_atomic, write_text_atomic
from ssldata.base.progress import Progress
from ssldata.store.store import REFERENCE, RowGroup, Store
from sslmodels.evaluation.curve_figures import draw_all_pr, draw_all_roc, draw_pr, draw_roc
from sslmodels.evaluation.evaluation_status import subject
from sslmodels.fit.devices import make_deterministic
from sslmodels.models.model_builder import load_model
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.training_rows import label_columns
from sslmodels.scores import metrics
from sslmodels.scores.score_rows import score_rows


def evaluate_run(run_folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score every test bin with the model of a run, and write the folder ``evaluation`` of the run.

    If the folder already holds the evaluation of this model on these rows, it is only read. It has
    ``metrics.json``, ``curves.csv`` (thinned), ``scores.csv.gz`` (one line per bin, 0-based
    half-open), ``pr.png`` and ``roc.png``.

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
        :func:`sslmodels.scores.metrics.macro` for a run of several outputs.

    Raises
    ------
    MissingInputError
        There is no run, or its store is gone.
    ConfigError
        The run is not complete.
    StoreError
        The labelled rows of the store are not those the run was trained on, or the test rows lack
        a class.
    """
    judged = subject(run_folder)
    known = judged.known()
    if known is not None:
        return known
    folder, record, store = judged.folder, judged.record, judged.store
    make_deterministic()
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    labels = _test_labels(store, judged.outputs or [record["experiment"]])
    cell = {key: record[key] for key in ("experiment", "model", "regime", "seed")}
    title = f"{cell['experiment']}, {cell['model']}, {cell['regime']}, seed {cell['seed']}"
    scores = score_rows(
        load_model(folder.model),
        store,
        group=REFERENCE,
        start=start,
        stop=stop,
        progress=progress,
        description=f"scoring {title}",
    )
    if judged.outputs is None:
        numbers = _judge_one(folder.evaluation, rows, labels[:, 0], scores[:, 0], title=title)
    else:
        numbers = _judge_all(folder.evaluation, rows, judged.outputs, labels, scores, title=title)
    result = {**cell, **numbers, "digest": judged.digest}
    # Last: its presence says that the rest is whole.
    write_json_atomic(folder.evaluation / "metrics.json", result)
    return result


def _test_labels(store: Store, experiments: Sequence[str]) -> NDArray[np.int8]:
    """Return the labels (test bins, experiments).

    Raises
    ------
    StoreError
        An experiment lacks a class there.
    """
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
    """Write one line per test bin: where it is, and further columns; scores are float32."""
    start, stop = rows.ranges["test"]
    contigs = np.array(rows.contigs, dtype=object)
    table = pd.DataFrame(
        {
            "contig": contigs[rows.column("contig")[start:stop]],
            "start": rows.column("start")[start:stop],
            "end": rows.column("end")[start:stop],
            **{
                # Nine digits give a float32 back exactly.
                name: np.char.mod("%.9g", values) if values.dtype == np.float32 else values
                for name, values in columns.items()
            },
        }
    )
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        # No name and no time in the header: equal scores give equal bytes.
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        table.to_csv(text, index=False, lineterminator="\n")


def read_scores(run_folder: Path, experiment: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return label and score of every test bin of an evaluated run.

    Parameters
    ----------
    run_folder
        The run.
    experiment
        That of the run, or of one output of a run of several.

    Raises
    ------
    MissingInputError
        The run is not evaluated.
    StoreError
        It does not predict this experiment.
    """
    path = RunFolder(run_folder).evaluation / "scores.csv.gz"
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; run `crosslabel evaluate {run_folder}`")
    table = pd.read_csv(path)
    label, score = _score_columns(experiment) if "label" not in table else ("label", "score")
    if score not in table:
        raise StoreError(f"{path}: holds no scores of {experiment!r}")
    return table[label].to_numpy(np.int64), table[score].to_numpy(np.float64)


def _score_columns(experiment: str) -> tuple[str, str]:
    """Return the names of the columns of one output of several."""
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


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))


def _judge_one(
    folder: Path,
    rows: RowGroup,
    labels: NDArray[np.int8],
    scores: NDArray[np.float32],
    *,
    title: str,
) -> dict[str, Any]:
    """Write the files of a run of one output, and return its numbers."""
    numbers = metrics.summary(labels, scores)
    pr = metrics.thin(metrics.pr_curve(labels, scores))
    roc = metrics.thin(metrics.roc(labels, scores))
    _write_scores(folder / "scores.csv.gz", rows, {"label": labels, "score": scores})
    write_text_atomic(folder / "curves.csv", _csv(_curves_table(pr, roc)))
    for name, draw, curve in (("pr.png", draw_pr, pr), ("roc.png", draw_roc, roc)):
        with atomic_path(folder / name) as temporary:
            draw(temporary, curve, numbers, title=title)
    return numbers


def _judge_all(
    folder: Path,
    rows: RowGroup,
    experiments: Sequence[str],
    labels: NDArray[np.int8],
    scores: NDArray[np.float32],
    *,
    title: str,
) -> dict[str, Any]:
    """Write the files of a run of several outputs, and return their numbers."""
    columns: dict[str, NDArray[np.int8] | NDArray[np.float32]] = {}
    numbers: dict[str, dict[str, Any]] = {}
    pr: dict[str, metrics.Curve] = {}
    roc: dict[str, metrics.Curve] = {}
    for i, name in enumerate(experiments):
        label, score = labels[:, i], scores[:, i]
        columns |= dict(zip(_score_columns(name), (label, score), strict=True))
        numbers[name] = metrics.summary(label, score)
        pr[name] = metrics.thin(metrics.pr_curve(label, score))
        roc[name] = metrics.thin(metrics.roc(label, score))
    _write_scores(folder / "scores.csv.gz", rows, columns)
    tables = []
    for name in experiments:
        table = _curves_table(pr[name], roc[name])
        table.insert(0, "experiment", name)
        tables.append(table)
    write_text_atomic(folder / "curves.csv", _csv(pd.concat(tables)))
    for name, draw, drawn in (("pr", draw_all_pr, pr), ("roc", draw_all_roc, roc)):
        with atomic_path(folder / f"{name}.png") as temporary:
            draw(temporary, drawn, numbers, title=title)
    return metrics.macro(numbers)
