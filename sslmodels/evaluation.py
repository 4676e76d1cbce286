"""Evaluate a run: every test bin of the labelled genome scored, metrics, curves and figures."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.cache import atomic_path, write_json_atomic, write_text_atomic
from ssldata.errors import StoreError
from ssldata.progress import NoProgress, Progress
from ssldata.reader import rows_dataset
from ssldata.store import REFERENCE, RowGroup, Store
from sslmodels import metrics
from sslmodels.evaluated import subject
from sslmodels.figures import draw_pr, draw_roc
from sslmodels.layers import SequenceModel
from sslmodels.phases import label_column
from sslmodels.training import SCORE_BATCH, make_deterministic, score
from sslmodels.zoo import load_model


def score_rows(
    model: SequenceModel,
    store: Store,
    *,
    group: str,
    start: int,
    stop: int,
    progress: Progress | None = None,
    description: str = "scoring",
) -> NDArray[np.float32]:
    """Return the probabilities (stop − start, outputs) of a contiguous range of rows."""
    batches = rows_dataset(store, group, start, stop, batch_size=SCORE_BATCH, context=model.length)
    parts = []
    with (progress or NoProgress()).task(description, total=stop - start) as advance:
        for codes in batches:
            parts.append(score(model, codes.numpy()))
            advance(len(codes))
    return np.concatenate(parts)


def evaluate_run(run_folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score every test bin with a run's model and write ``<run>/evaluation/``.

    Nothing is done when the folder already holds the evaluation of this model on these rows.

    Parameters
    ----------
    run_folder
        A complete run.
    progress
        Told of every batch scored.

    Returns
    -------
    dict
        The numbers of :func:`sslmodels.metrics.summary` and the cell (experiment, model, regime,
        seed). Beside ``metrics.json`` the folder gets ``curves.csv`` (thinned), ``scores.csv.gz``
        (one line per bin, 0-based half-open), ``pr.png`` and ``roc.png``.

    Raises
    ------
    MissingInputError
        There is no run, or its store is gone.
    ConfigError
        The run is not complete.
    StoreError
        The store's labelled rows are not those the run was trained on, or the test rows lack a
        class.
    """
    judged = subject(run_folder)
    known = judged.known()
    if known is not None:
        return known
    folder, record, store = judged.folder, judged.record, judged.store
    make_deterministic()
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    column = label_column(store, record["experiment"])
    labels = rows.column("label")[start:stop, column].astype(np.int8)
    positives = int(labels.sum())
    if not 0 < positives < len(labels):
        raise StoreError(
            f"{store.location}: {record['experiment']} has {positives} positive test bins of "
            f"{len(labels)}; both classes are needed, change split.test and rebuild"
        )
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
    )[:, 0]
    numbers = metrics.summary(labels, scores)
    pr = metrics.thin(metrics.pr_curve(labels, scores))
    roc = metrics.thin(metrics.roc(labels, scores))
    _write_scores(folder.evaluation / "scores.csv.gz", rows, start, stop, labels, scores)
    write_text_atomic(folder.evaluation / "curves.csv", _curves_csv(pr, roc))
    for name, draw, curve in (("pr.png", draw_pr, pr), ("roc.png", draw_roc, roc)):
        with atomic_path(folder.evaluation / name) as temporary:
            draw(temporary, curve, numbers, title=title)
    result = {**cell, **numbers, "digest": judged.digest}
    # Last: its presence says that the rest is whole.
    write_json_atomic(folder.evaluation / "metrics.json", result)
    return result


def _write_scores(
    path: Path,
    rows: RowGroup,
    start: int,
    stop: int,
    labels: NDArray[np.int8],
    scores: NDArray[np.float32],
) -> None:
    contigs = np.array(rows.contigs, dtype=object)
    table = pd.DataFrame(
        {
            "contig": contigs[rows.column("contig")[start:stop]],
            "start": rows.column("start")[start:stop],
            "end": rows.column("end")[start:stop],
            "label": labels,
            # Nine digits give a float32 back exactly.
            "score": np.char.mod("%.9g", scores),
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


def _curves_csv(pr: metrics.Curve, roc: metrics.Curve) -> str:
    table = pd.concat(
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
    return str(table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
