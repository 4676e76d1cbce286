"""What the report shows, read from run folders; nothing here draws.

A report is written whatever is missing: a run without an evaluation, a store that is not complete,
a damaged file. Problems are collected as plain sentences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.errors import CrosslabelError, InputError, MissingInputError
from ssldata.project.project_file import Project
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    BASELINE_SEED,
    baseline_runs,
    baseline_state,
)
from sslmodels.evaluation.evaluation_status import checked_file, read_metrics
from sslmodels.evaluation.resamples_file import read_resamples
from sslmodels.report.svg_figures import History, SvgCurve
from sslmodels.runs.run_folder import check_files, read_record
from sslmodels.scores.metric_intervals import interval
from sslmodels.scores.metrics import COLLAPSED_BELOW, by_experiment

#: Quantities of the training history that are drawn, in this order.
_DRAWN = ("loss", "val_loss", "aupr", "val_aupr")


@dataclass
class RunSummary:
    """What a run folder holds.

    Attributes
    ----------
    folder
        The run folder.
    experiment, model, regime, seed
        The cell of the grid.
    record
        ``run.json``; empty when it could not be read.
    metrics
        ``evaluation/metrics.json``, or None.
    resamples, auroc_resamples
        AUPR and AUROC of the resamples of the test bins (:func:`with_resamples`), or None.
    """

    folder: Path
    experiment: str
    model: str
    regime: str
    seed: int
    record: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] | None = None
    resamples: NDArray[np.float64] | None = None
    auroc_resamples: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        """The cell in one line."""
        return f"{self.experiment} / {self.model} / {self.regime} / seed {self.seed}"

    @property
    def collapsed(self) -> bool:
        """Whether the model ranks the test rows hardly better than by chance."""
        metrics = self.metrics or {}
        aupr, prevalence = metrics.get("aupr"), metrics.get("prevalence")
        return aupr is not None and prevalence is not None and aupr < COLLAPSED_BELOW * prevalence


def read_run(folder: Path, problems: list[str]) -> RunSummary:
    """Read one run folder, appending what is wrong with it to `problems`."""
    # The path identifies a run even without its record.
    parts = folder.resolve().parts[-4:]
    record: dict[str, Any] = {}
    metrics = None
    try:
        record = read_record(folder)
        metrics = read_metrics(folder)
    except MissingInputError:
        pass  # reported below as not complete
    except CrosslabelError as exc:
        problems.append(str(exc))
    seed = str(record.get("seed", parts[-1].removeprefix("seed-")))
    run = RunSummary(
        folder=folder,
        experiment=str(record.get("experiment", parts[0])),
        model=str(record.get("model", parts[-3])),
        regime=str(record.get("regime", parts[-2])),
        seed=int(seed) if seed.isdecimal() else 0,
        record=record,
        metrics=metrics if record.get("status") == "complete" else None,
    )
    if record.get("status") != "complete":
        problems.append(f"{run.name}: training is not complete ({folder})")
    elif run.metrics is None:
        problems.append(f"{run.name}: not evaluated; run `crosslabel evaluate {folder}`")
    return run


def by_output(runs: Iterable[RunSummary]) -> list[RunSummary]:
    """Return the runs, with an evaluated run of several outputs as one run per experiment.

    These share the folder and the record, and their model is marked as joint.
    """
    made: list[RunSummary] = []
    for run in runs:
        if run.metrics is None or "outputs" not in run.metrics:
            made.append(run)
            continue
        for numbers in by_experiment(run.metrics):
            named = {"experiment": numbers["experiment"], "model": numbers["model"]}
            made.append(replace(run, **named, metrics=numbers))
    return made


def with_resamples(runs: Iterable[RunSummary], problems: list[str]) -> list[RunSummary]:
    """Return the runs with the resamples of their evaluations, appending what is wrong."""
    made = []
    for run in runs:
        found = None
        if run.metrics is not None:
            try:
                found = read_resamples(run.folder, run.experiment)
            except InputError as exc:
                problems.append(f"{run.name}: its interval cannot be read ({exc})")
        if found is not None:
            run = replace(run, resamples=found.aupr, auroc_resamples=found.auroc)
        made.append(run)
    return made


def mean_resamples(
    runs: Iterable[RunSummary], metric: Literal["aupr", "auroc"] = "aupr"
) -> NDArray[np.float64] | None:
    """Return the resamples of the mean of runs that were scored on the same bins, or None."""
    arrays = [run.resamples if metric == "aupr" else run.auroc_resamples for run in runs]
    found = [array for array in arrays if array is not None]
    if len(found) < len(arrays) or len({len(array) for array in found}) != 1:
        return None
    return np.asarray(np.mean(found, axis=0), np.float64)


def read_baselines(project: Project, problems: list[str]) -> list[RunSummary]:
    """Return the baselines of a project that are up to date, as runs whose regime is their name.

    One that failed, or was not trained, is a problem.
    """
    found, left = [], 0
    for run in baseline_runs(project):
        status, more = baseline_state(run)
        summary = RunSummary(run.folder, run.experiment, BASELINE_MODEL, run.name, BASELINE_SEED)
        if status == "complete":
            found.append(replace(summary, metrics=more))
        elif status == "failed":
            problems.append(f"{run.title}: could not be trained ({more['reason']})")
        else:
            left += 1
    if left:
        problems.append(
            f"{left} baseline{'s are' if left > 1 else ' is'} not trained; `crosslabel run` does "
            "it, or training.baselines: false"
        )
    return found


def read_curve(run: RunSummary, problems: list[str]) -> SvgCurve | None:
    """Read the precision-recall curve of an evaluated run, or None."""
    if run.metrics is None:
        return None
    path = run.folder / "evaluation" / "curves.csv"
    try:
        table = pd.read_csv(checked_file(run.folder, path.name))
        table = table[table["curve"] == "pr"] if "curve" in table else table
        if "experiment" in table:
            table = table[table["experiment"] == run.experiment]
        recall, precision = (
            table[name].to_numpy(dtype=np.float64) for name in ("recall", "precision")
        )
    except (OSError, ValueError, KeyError) as exc:
        problems.append(f"{run.name}: its curve cannot be read ({path}: {exc})")
        return None
    aupr = float(run.metrics.get("aupr", math.nan))
    return SvgCurve(run.regime, run.seed, recall, precision, aupr)


def read_history(run: RunSummary, problems: list[str]) -> History | None:
    """Read the training history of a run, or None."""
    path = run.folder / "history.csv"
    try:
        check_files(run.folder, run.record, path.name)
        table = pd.read_csv(path)
        names = (
            table["phase"].astype(str) if "phase" in table else pd.Series(["training"] * len(table))
        )
        series = {name: table[name].to_numpy(dtype=np.float64) for name in _DRAWN if name in table}
    except (OSError, ValueError, KeyError) as exc:
        problems.append(f"{run.name}: its training history cannot be read ({path}: {exc})")
        return None
    if not len(table):
        return None
    starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    phases = [(names[first], end - first) for first, end in pairwise(starts)]
    return History(phases, {k: v for k, v in series.items() if np.isfinite(v).any()})


@dataclass(frozen=True)
class TopMotif:
    """The strongest motif that an interpretation found for an experiment.

    Attributes
    ----------
    experiment, run
        The experiment, and the name of the interpreted run with the best AUPR for it.
    page
        The page of the interpretation.
    consensus
        Empty: no motif was found.
    share
        Share of the positive rows with the motif.
    match, match_q
        Best known motif and its q value; None: it was not matched.
    logo
        The logo as an SVG file; None: there is none.
    """

    experiment: str
    run: str
    page: Path
    consensus: str = ""
    share: float = 0.0
    match: str | None = None
    match_q: float | None = None
    logo: bytes | None = None


def read_top_motifs(runs: Iterable[RunSummary], problems: list[str]) -> list[TopMotif]:
    """Return the top motif of every experiment of which a run was interpreted."""
    best: dict[str, tuple[float, TopMotif]] = {}
    for run in runs:
        folder = run.folder / "interpretation"
        file = folder / "interpretation.json"
        if not file.is_file():
            continue
        aupr = float((run.metrics or {}).get("aupr", -1.0))
        try:
            result = json.loads(file.read_bytes())
            found = _top_motif(run, folder, result["experiments"][run.experiment])
        # Whatever a file of another shape leads to.
        except (
            ArithmeticError,
            LookupError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as exc:
            problems.append(f"{run.name}: its interpretation cannot be read ({folder}: {exc!r})")
            continue
        if run.experiment not in best or aupr > best[run.experiment][0]:
            best[run.experiment] = (aupr, found)
    return [found for _, found in best.values()]


def _top_motif(run: RunSummary, folder: Path, found: dict[str, Any]) -> TopMotif:
    top = TopMotif(run.experiment, run.name, folder / "index.html")
    if not found["motifs"]:
        return top
    first = found["motifs"][0]
    match = first["matches"][0] if first["matches"] else None
    logo = folder / f"{run.experiment}.svg"
    return replace(
        top,
        consensus=str(first["consensus"]),
        share=first["positives"] / found["positives"],
        match=None if match is None else str(match["label"] or match["name"]),
        match_q=None if match is None else float(match["q"]),
        logo=logo.read_bytes() if logo.is_file() else None,
    )


def summarise(runs: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """Return one line per experiment, model and regime: means and SDs over seeds.

    Returns
    -------
    list of dict
        ``experiment``, ``model``, ``regime``, ``n`` (evaluated runs), ``collapsed`` (their
        number), ``positives`` (of the test; 0: unknown), ``auprs`` (seed and AUPR of each run),
        ``resamples`` (of their mean AUPR), ``interval`` (of these) and ``auroc_interval`` (None:
        a run has no resamples), and for ``aupr``, ``auroc``, ``prevalence`` and ``lift`` a pair
        (mean, SD); the SD is None for one run. Collapsed runs are part of the mean.
    """
    lines = []
    cells: dict[tuple[str, str, str], list[RunSummary]] = {}
    for run in runs:
        if run.metrics is not None:
            cells.setdefault((run.experiment, run.model, run.regime), []).append(run)
    for (experiment, model, regime), group in cells.items():
        line: dict[str, Any] = {
            "experiment": experiment,
            "model": model,
            "regime": regime,
            "n": len(group),
            "collapsed": sum(run.collapsed for run in group),
            "positives": max(
                (run.metrics.get("positives") or 0 for run in group if run.metrics), default=0
            ),
            "auprs": [(run.seed, run.metrics["aupr"]) for run in group if run.metrics],
        }
        drawn, of_auroc = mean_resamples(group), mean_resamples(group, "auroc")
        line["resamples"] = drawn
        line["interval"] = None if drawn is None else interval(drawn)
        line["auroc_interval"] = None if of_auroc is None else interval(of_auroc)
        for key in ("aupr", "auroc", "prevalence", "lift"):
            line[key] = mean_and_sd((run.metrics or {}).get(key) for run in group)
        lines.append(line)
    return lines


def mean_and_sd(values: Iterable[float | None]) -> tuple[float, float | None] | None:
    """Return mean and standard deviation of what is known; the SD of one value is None."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return fmean(known), (stdev(known) if len(known) > 1 else None)
