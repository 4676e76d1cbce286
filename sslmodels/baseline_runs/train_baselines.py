"""Train and score the baselines of a project on the rows of its stores."""

from __future__ import annotations

import logging
import os
import shutil
import time
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import CrosslabelError, InputError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic
from ssldata.base.keyed_random import first_of_permutation
from ssldata.base.locks import exclusive_lock
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.versions import library_versions
from ssldata.project.project_file import Project
from ssldata.reading.mixture import Segment
from ssldata.reading.read_window import take_rows
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    BASELINE_SEED,
    MOST_BASES,
    NEGATIVES,
    VALIDATION_NEGATIVES,
    BaselineRun,
    baseline_results,
    baseline_state,
    baselines_left,
)
from sslmodels.baselines.baseline_file import KINDS, Baseline, save_baseline
from sslmodels.baselines.meme_text import read_meme
from sslmodels.baselines.motif_scan import PwmScan, Statistic
from sslmodels.evaluation.evaluate import test_labels, write_files
from sslmodels.evaluation.evaluation_status import FILES, write_metrics
from sslmodels.runs import training_rows

_LOG = logging.getLogger(__name__)

#: Test rows scored at once.
_SCORED = 16_384


def train_baselines(
    project: Project, *, replace: bool = False, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Train and score the baselines of a project that are not up to date.

    One that cannot be trained is recorded with its reason, and the others go on.

    Parameters
    ----------
    project
        The project; its stores must be built.
    replace
        Try those again that failed with the same rows and settings.
    progress
        Progress reporter, advanced by one for every baseline.

    Returns
    -------
    list of dict
        Of :func:`sslmodels.baseline_runs.baseline_status.baseline_results`.
    """
    left = baselines_left(project, replace=replace)
    if left:
        with (progress or NoProgress()).task("baselines", len(left)) as advance:
            for run in left:
                train_baseline(run, replace=replace)
                advance(1)
    return baseline_results(project)


def train_baseline(run: BaselineRun, *, replace: bool = False) -> None:
    """Train and score one baseline, unless it is up to date, and write its folder.

    A process that is killed leaves no record, and all is done again.

    Parameters
    ----------
    run
        The baseline.
    replace
        Try again if it failed with the same rows and settings.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder = run.folder
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"{folder}: another process trains this baseline; waiting for it"
    with exclusive_lock(folder / ".lock", waiting=waiting):
        status, _ = baseline_state(run)
        if status == "complete" or (status == "failed" and not replace):
            return
        run.record_file.unlink(missing_ok=True)
        run.model_file.unlink(missing_ok=True)
        shutil.rmtree(folder / "evaluation", ignore_errors=True)
        record: dict[str, Any] = {"experiment": run.experiment, "name": run.name}
        began, cpu = time.perf_counter(), time.process_time()
        try:
            store = open_store(run.project.store_path(run.experiment))
            identity = run.identity(store)
            record |= {"identity": identity, "digest": digest_of(identity)}
            record |= {"status": "complete", **_train(run, store, record["digest"])}
        except (CrosslabelError, ArithmeticError, LookupError, ValueError, MemoryError) as exc:
            if "digest" not in record:
                raise  # there is no store
            # A comparison that is missing is no reason to lose the rest of a benchmark.
            _LOG.warning("%s: %s", run.title, exc)
            reason = str(exc) or type(exc).__name__
            record |= {"status": "failed", "reason": " ".join(reason.split())}
        record["seconds"] = round(time.perf_counter() - began, 3)
        record["cpu_s"] = round(time.process_time() - cpu, 3)
        write_json_atomic(run.record_file, record)


def _train(run: BaselineRun, store: Store, digest: str) -> dict[str, Any]:
    """Train, score and write all but the record; return what the record says of it."""
    labels = test_labels(store, [run.experiment])
    codes, label, counts = _training_rows(run, store)
    baseline: Baseline
    if run.kind == "pwm":
        statistic = cast("Statistic", run.variant)
        baseline = PwmScan.fit(codes, label, motif=_known_motif(run), statistic=statistic)
    else:
        validation, known = _validation_rows(run, store)
        counts["validation"] = len(known)
        baseline = KINDS[run.kind].fit(
            codes, label, validation_codes=validation, validation_labels=known
        )
    scores = _test_scores(run, store, baseline)
    save_baseline(run.model_file, baseline)
    rows = store.group(REFERENCE)
    title = f"{run.experiment}, {BASELINE_MODEL}, {run.name}"
    evaluation = run.folder / "evaluation"
    numbers = write_files(
        evaluation, rows, labels, scores[:, None].astype(np.float32), outputs=None, title=title
    )
    cell = {"experiment": run.experiment, "model": BASELINE_MODEL, "regime": run.name}
    written = [name for name in FILES if (evaluation / name).is_file()]
    write_metrics(
        run.folder, {**cell, "seed": BASELINE_SEED, **numbers, "digest": digest}, files=written
    )
    arrays, settings = baseline.to_arrays()
    return {
        "model": sha256_of(run.model_file),
        "settings": settings,
        "parameters": sum(array.size for array in arrays.values()),
        "rows": counts,
        "store": os.path.relpath(store.location, run.folder),
        "versions": library_versions("scikit-learn", "scipy"),
    }


def _known_motif(run: BaselineRun) -> Any:
    entry = run.project.experiment(run.experiment).motif
    assert entry is not None
    motifs = {motif.name: motif for motif in read_meme(entry.file)}
    if entry.name not in motifs:
        few = ", ".join(list(motifs)[:5])
        raise InputError(
            f"{entry.file}: no motif {entry.name!r} (experiments[].motif.name); there are "
            f"{len(motifs)}: {few}{', …' if len(motifs) > 5 else ''}"
        )
    return motifs[entry.name]


def _training_rows(
    run: BaselineRun, store: Store
) -> tuple[ByteArray, NDArray[np.int8], dict[str, int]]:
    """Return codes and labels of the training rows, and how many there are of each kind."""
    project, experiment = run.project, run.experiment
    negatives = project.negatives
    loci = training_rows.chosen_loci(
        store, experiment, project.training.labelled_peaks, seed=BASELINE_SEED
    )
    labelled = training_rows.labelled_rows(
        store, experiment, negatives, seed=BASELINE_SEED, loci=loci
    )
    segments: list[Segment] = list(labelled.positives)
    if run.homologues:
        genomes = training_rows.nearest_genomes(project, store)
        lifted = training_rows.homologous_rows(
            store, experiment, negatives, seed=BASELINE_SEED, genomes=genomes, loci=loci
        )
        segments += lifted.positives
    most = MOST_BASES[run.kind] // run.length
    positives = [(s.group, s.rows(0, len(s))) for s in segments]
    positives = _drawn(positives, max(1, most // 6))
    count = sum(len(rows) for _, rows in positives)
    pool = labelled.negatives[0]
    wanted = min(len(pool), round(NEGATIVES * count), max(count, most - count))
    at = np.sort(first_of_permutation(len(pool), wanted, "baselines", BASELINE_SEED))
    taken = [*positives, (pool.group, pool.rows(0, len(pool))[at])]
    codes, _ = take_rows(store, taken, context=run.length)
    label = np.zeros(len(codes), np.int8)
    label[:count] = 1
    counts = {"positives": len(positives[0][1]), "negatives": wanted}
    if run.homologues:
        counts["homologues"] = count - counts["positives"]
    return codes, label, counts


def _drawn(
    rows: list[tuple[str, NDArray[np.int64]]], most: int
) -> list[tuple[str, NDArray[np.int64]]]:
    """Return at most so many rows of several groups, drawn from all of them together."""
    total = sum(len(part) for _, part in rows)
    if total <= most:
        return rows
    keep = np.zeros(total, bool)
    keep[first_of_permutation(total, most, "positives", BASELINE_SEED)] = True
    ends = np.cumsum([len(part) for _, part in rows])
    return [
        (group, part[keep[end - len(part) : end]])
        for (group, part), end in zip(rows, ends, strict=True)
    ]


def _validation_rows(run: BaselineRun, store: Store) -> tuple[ByteArray, NDArray[np.int8]]:
    rows = training_rows.validation_row_numbers(
        store, run.experiment, negatives_per_positive=VALIDATION_NEGATIVES, seed=BASELINE_SEED
    )
    column = training_rows.label_column(store, run.experiment)
    codes, label = take_rows(store, [(REFERENCE, rows)], label=column, context=run.length)
    return codes, label[:, 0].astype(np.int8)


def _test_scores(run: BaselineRun, store: Store, baseline: Baseline) -> NDArray[np.float64]:
    """Return the score of every test bin."""
    start, stop = store.group(REFERENCE).ranges["test"]
    parts = []
    for first in range(start, stop, _SCORED):
        rows = np.arange(first, min(first + _SCORED, stop))
        codes, _ = take_rows(store, [(REFERENCE, rows)], context=run.length)
        parts.append(baseline.score(codes))
    return np.concatenate(parts)
