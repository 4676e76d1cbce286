"""What `crosslabel plan` and `--dry-run` show: rows, bytes, hours, missing inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.output import tables
from flows.steps.quiet_tensorflow import muted_import
from flows.steps.run_checks import missing_weights
from ssldata.base.errors import MissingInputError
from ssldata.project.project_file import Project

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ssldata.building.build_plan import Step
    from ssldata.project.training_section import Training

#: How the statuses of a plan are shown.
_TO_DO = {"missing": "to do", "partial": "to finish", "complete": "up to date"}
#: Most groups that get a line each; with more, the genomes of a store share one.
_MANY_GROUPS = 60
#: Most missing files that get a line each; with more, one line per folder names the first.
_MANY_FILES = 12
#: Statuses of groups that a build leaves as they are.
_STORED = {"complete", "yanked"}


def plan(
    project: Project,
    *,
    everything: bool = False,
    gflops: float | None = None,
    verify_cache: bool = False,
) -> tuple[dict[str, Any], list[RenderableType]]:
    """Return what a build would do, and how long training would take.

    Parameters
    ----------
    project
        The project.
    everything
        Show every genome and missing file, however many there are.
    gflops
        Training speed in Gflop/s; default: that of this machine's cores.
    verify_cache
        Read genomes and chains whole, whatever the cache holds of them.

    Returns
    -------
    tuple
        The JSON value, and what to print.
    """
    from ssldata.building.build_plan import plan_project
    from sslmodels.models.catalogue import check_models

    training = project.training
    with muted_import():  # a model of one's own imports Keras
        check_models([*training.models, *training.model_options, *training.per_model])
    planned = plan_project(project, verify_cache=verify_cache)
    weights = [str(path) for path in missing_weights(project)]
    planned = replace(planned, missing=[*planned.missing, *weights])
    value = planned.as_dict()
    total = sum(step.bytes or 0 for step in planned.steps if step.status not in _STORED)
    unknown = any(step.rows is None for step in planned.steps)
    head = f"about {tables.size(total)} to write" if total else "nothing to do"
    if unknown:
        head = f"{head}, and more that is not known yet" if total else "not known yet"
    shown: list[RenderableType] = [
        tables.table(
            f"{planned.stores}: {head}",
            ["store", "genome", "status", "rows", "on disk"],
            _lines(planned.steps, everything=everything),
            numbers=2,
        )
    ]
    shown.append(f"a Dask worker needs up to {tables.size(planned.memory_per_worker)} of memory")
    if any(step.status == "stale" for step in planned.steps):
        shown.append("stale: built from other inputs or settings; --replace rebuilds it")
    value["hours"], lines = _hours(project, planned.steps, gflops)
    shown += lines
    value["settings"], lines = _settings(training)
    shown += lines
    shown += planned.notes
    if planned.assumptions:
        shown.append("Inputs are missing, so rows are estimated (≈) under these assumptions:")
        shown += [f"  - {line}" for line in planned.assumptions]
    shown += _missing(planned.missing, everything=everything)
    return value, shown


def run_status(folder: Path) -> str:
    """Return the status in a run's record; ``missing`` without one."""
    from sslmodels.runs.run_folder import read_record

    try:
        return str(read_record(folder).get("status", "partial"))
    except MissingInputError:
        return "missing"


def _lines(steps: Sequence[Step], *, everything: bool) -> list[tuple[str, ...]]:
    lines = []
    for store, members in groupby(steps, key=lambda step: step.store):
        of_store = list(members)
        if everything or len(steps) <= _MANY_GROUPS:
            lines += [_line(store, tables.genome(step.group), [step]) for step in of_store]
            continue
        genomes = of_store[1:]
        lines.append(_line(store, "reference", of_store[:1]))
        lines.append(_line(store, f"{len(genomes)} genomes", genomes))
    return lines


def _line(store: str, genome: str, steps: Sequence[Step]) -> tuple[str, ...]:
    """Return a line of the table, for one group or for several together."""
    counts: dict[str, int] = {}
    for step in steps:
        word = _TO_DO.get(step.status, step.status)
        counts[word] = counts.get(word, 0) + 1
    status = ", ".join(f"{count} {word}" for word, count in counts.items())
    # Rows of a target genome are counted from lifted intervals that are not cut into bins yet.
    sign = "≈" if any(step.assumed for step in steps) else "~" if genome != "reference" else ""
    rows = [step.rows for step in steps if step.rows is not None]
    known = len(rows) == len(steps)
    return (
        store,
        genome,
        next(iter(counts)) if len(counts) == 1 else status,
        f"{sign}{tables.count(sum(rows))}" if known else "–",
        tables.size(sum(step.bytes or 0 for step in steps)) if known else "–",
    )


def _hours(
    project: Project, steps: Sequence[Step], gflops: float | None
) -> tuple[dict[str, Any] | None, list[RenderableType]]:
    """Return how long building, training and scoring take, and the lines that show it."""
    from sslmodels.benchmark import compute_estimate

    rows = {}
    for cell in project.cells():
        of_store = [step for step in steps if step.store == project.store_path(cell).stem]
        if all(step.positives is not None for step in of_store):
            labelled, *pseudo = [float(step.positives or 0) for step in of_store]
            test = float(of_store[0].test or 0)
            rows[cell] = compute_estimate.RowCounts(labelled, sum(pseudo), test)
    if not rows:
        return None, []
    cores = os.cpu_count() or 1
    speed = gflops or cores * compute_estimate.GFLOPS_PER_CORE
    to_write = sum(step.rows or 0 for step in steps if step.status not in _STORED)
    building = to_write * project.windows.stored * compute_estimate.BUILD_SECONDS_PER_BASE / 3600
    efforts = compute_estimate.grid_effort(project, rows)
    hours = [None if e.flop is None else e.flop / (1e9 * speed) / 3600 for e in efforts]
    value = {
        "gflops": speed,
        "epochs": max(effort.epochs for effort in efforts),
        "build_core_hours": building,
        "models": [{**asdict(e), "hours": taken} for e, taken in zip(efforts, hours, strict=True)],
    }
    known = [taken for taken in hours if taken is not None]
    speed_of = (
        "as given" if gflops else f"{cores} cores of {compute_estimate.GFLOPS_PER_CORE:g} Gflop/s"
    )
    shown: list[RenderableType] = [
        tables.table(
            "Training and scoring: grid and sweeps",
            ["model", "runs", "rows in training", "operations", "time"],
            [
                (
                    e.model,
                    tables.count(e.runs),
                    f"{e.rows:.2g}",
                    "–" if e.flop is None else f"{e.flop:.2g}",
                    "not estimated" if taken is None else _time(taken),
                )
                for e, taken in zip(efforts, hours, strict=True)
            ],
            numbers=4,
        )
    ]
    if known:
        fewest, most = min(e.epochs for e in efforts), value["epochs"]
        epochs = str(most) if fewest == most else f"{fewest} to {most}"
        shown.append(
            f"about {_time(sum(known))} at {speed:,.0f} Gflop/s ({speed_of}; --gflops N for "
            f"another device), {epochs} epochs per phase, complete runs included"
        )
    if building:
        shown.append(f"building: about {_time(building)} on one core, without opening the inputs")
    return value, shown


def _settings(training: Training) -> tuple[dict[str, Any], list[RenderableType]]:
    """Return how each model is fitted, and a line for each that differs from the defaults."""
    from sslmodels.models import model_settings

    value: dict[str, Any] = {}
    shown: list[RenderableType] = []
    for model in training.models:
        value[model] = {
            **asdict(model_settings.fit_settings(training, model)),
            "from": model_settings.origins(training, model),
        }
        if words := model_settings.in_words(training, model):
            shown.append(f"{model} is fitted with {words}")
    return value, shown


def _time(hours: float) -> str:
    if hours < 1:
        return f"{max(1.0, 60 * hours):.0f} min"
    if hours < 100:
        return f"{hours:.1f} h"
    return f"{hours / 24:,.0f} days" if hours < 24_000 else f"{hours / 8766:,.0f} years"


def _missing(paths: Sequence[str], *, everything: bool) -> list[RenderableType]:
    if everything or len(paths) <= _MANY_FILES:
        return [f"missing: {path}" for path in paths]
    folders: dict[Path, list[str]] = {}
    for path in map(Path, paths):
        folders.setdefault(path.parent, []).append(path.name)
    return [
        f"missing: {folder / names[0]}"
        + (f" and {len(names) - 1} more in that folder (-v names them)" if names[1:] else "")
        for folder, names in folders.items()
    ]
