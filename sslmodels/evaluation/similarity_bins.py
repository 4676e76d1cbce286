"""AUPR of a run by how similar test bins are to the rows it was trained on.

The file ``similarity.json`` of an evaluation. It is no part of ``metrics.json`` and changes no byte
of it: an evaluation of an earlier release gets it when it is next asked for. Test bins are compared
with the training rows of every genome the run was trained on
(:mod:`ssldata.trust.residual_similarity`), once for each content of the store; runs share that.

Bins of high similarity are few and of another prevalence than the rest: compare ``lift`` (AUPR over
prevalence) or AUROC between bins, and AUPR between runs within one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import digest_of, write_json_atomic
from ssldata.base.progress import Progress
from ssldata.store.remote_stores import is_url
from ssldata.store.store import REFERENCE, Store
from ssldata.trust.residual_similarity import (
    bin_names,
    bins_of,
    most_similar_of,
    similarity_to_training,
)
from ssldata.trust.window_kernels import K
from sslmodels.evaluation.evaluation_status import Subject
from sslmodels.runs.run_folder import RunFolder
from sslmodels.scores import metrics
from sslmodels.scores.metric_intervals import blocks_of_bins, resampled

SIMILARITY_FILE = "similarity.json"
#: Incremented when the same rows and scores give other numbers.
_FORMAT = 1
#: Resamples of an interval: enough for its two digits, at a fifth of the time of the metrics.
_RESAMPLES = 200
#: Fewer bins of a class than this give no metrics: an AUPR of three positives is a rank of three.
_FEWEST = 5
#: The line of all test bins.
ALL = "all"

#: Experiment → label and score of every test bin.
ScoresOf = Callable[[str], tuple[NDArray[np.int64], NDArray[np.float64]]]

_LOG = logging.getLogger(__name__)


def write_similarity_bins(
    evaluated: Subject, scores_of: ScoresOf, *, progress: Progress | None = None
) -> None:
    """Write ``similarity.json`` of an evaluated run, unless it is there and current.

    What keeps it from being made (a damaged training row, a folder that cannot be written to) is a
    warning: the evaluation stands without it. Rows of remote stores are not fetched for it.

    Parameters
    ----------
    evaluated
        The run.
    scores_of
        Reads the scores of one of its experiments.
    progress
        Progress reporter, advanced by training rows compared.
    """
    store = evaluated.store
    groups = _trained_on(evaluated)
    content = {name: store.ledger[name]["content"] for name in groups}
    digest = digest_of([_FORMAT, evaluated.digest, content])
    path = evaluated.folder.evaluation / SIMILARITY_FILE
    if is_url(store.location) or REFERENCE not in groups:
        return
    try:
        found = read_similarity_bins(evaluated.folder.path)
        if found is not None and found.get("digest") == digest:
            return
    except InputError as exc:
        _LOG.warning("%s", exc)
    try:
        value = {
            "digest": digest,
            "k": K,
            "groups": groups,
            "experiments": _of_experiments(evaluated, groups, scores_of, progress),
        }
        write_json_atomic(path, {**value, "checksum": digest_of(value)})
    except (StoreError, InputError, OSError) as exc:
        _LOG.warning("%s: not written: %s", path, exc)


def read_similarity_bins(run_folder: Path) -> dict[str, Any] | None:
    """Return ``similarity.json`` of an evaluated run; None: there is none.

    Raises
    ------
    InputError
        It is damaged.
    """
    path = RunFolder(run_folder).evaluation / SIMILARITY_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checksum = found.pop("checksum")
        if checksum == digest_of(found):
            return dict(found)
        wrong = "its checksum is another"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as exc:
        wrong = f"cannot be read: {exc}"
    raise InputError(
        f"{path}: damaged ({wrong}); delete it and call `crosslabel evaluate {run_folder}`"
    )


def _trained_on(evaluated: Subject) -> list[str]:
    """Return the groups that the run was trained on, as far as the store has the same rows."""
    store = evaluated.store
    known = {REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)}
    content = evaluated.record["identity"]["content"]
    return sorted(
        name for name in known & set(content) if store.ledger[name]["content"] == content[name]
    )


def _of_experiments(
    evaluated: Subject, groups: Sequence[str], scores_of: ScoresOf, progress: Progress | None
) -> dict[str, list[dict[str, Any]]]:
    store = evaluated.store
    found = similarity_to_training(store, groups, progress=progress)
    number = bins_of(most_similar_of(found).share)
    blocks = _blocks(store)
    experiments = evaluated.outputs or [evaluated.record["experiment"]]
    return {name: similarity_table(*scores_of(name), number, blocks) for name in experiments}


def _blocks(store: Store) -> NDArray[np.int64]:
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    return blocks_of_bins(rows.column("contig")[start:stop], rows.column("start")[start:stop])


def similarity_table(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    number: NDArray[np.int64],
    blocks: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Return a line for all test bins, then one for each bin of similarity.

    Parameters
    ----------
    labels, scores
        0 or 1, and the score of every test bin.
    number
        Bin of similarity of every test bin (:func:`ssldata.trust.residual_similarity.bins_of`).
    blocks
        Block of every test bin, for intervals.
    """
    lines = []
    names = bin_names()
    for name, here in [(ALL, number >= 0), *((n, number == i) for i, n in enumerate(names))]:
        label, score = labels[here], scores[here]
        positives = int(label.sum())
        line: dict[str, Any] = {"similarity": name, "rows": len(label), "positives": positives}
        if min(positives, len(label) - positives) >= _FEWEST:
            of = metrics.summary(label, score)
            line |= {key: of[key] for key in ("prevalence", "aupr", "auroc", "lift")}
            drawn = resampled(label, score, blocks[here], resamples=_RESAMPLES)
            line["intervals"] = drawn.intervals()
        lines.append(line)
    return lines
