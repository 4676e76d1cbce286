"""What follows the arrival of a genome: append, validate, train again, compare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flows.steps.pipeline import Options, Pipeline
from ssldata.arrivals.sensor import Notice, append_arrival, polled
from ssldata.base.errors import CrosslabelError
from ssldata.base.progress import NoProgress, Progress
from ssldata.building.build_store import StepRunner, plain_step
from ssldata.building.locate import find_place
from ssldata.checking.validate import validate_store
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import open_store
from ssldata.store.store_history import record_history

_LOG = logging.getLogger(__name__)


def watch_once(
    project: Path,
    registry: Path,
    *,
    dry_run: bool = False,
    again: Sequence[str] = (),
    retrain: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Look at a registry once and do all that follows, in this process.

    Parameters
    ----------
    project
        A project whose stores are built.
    registry
        A folder of YAML files, or a YAML file.
    dry_run
        Decide, but do and remember nothing.
    again
        Genomes that were refused or given up, and are tried again.
    retrain
        Train what uses new rows, and compare.
    progress
        Progress reporter.

    Returns
    -------
    dict
        ``busy``: another process polls, so nothing was done; ``genomes``: the notices, in which
        ``append`` has become ``appended``, ``refused`` or ``failed``; ``wrong``: problems of
        stores that were validated, by path; ``effects``: see
        :func:`sslmodels.report.genome_effect.effects_of_rows`; ``found``: whether something was
        found that a person should look at.

    Raises
    ------
    CrosslabelError
        The project or the registry cannot be read, or runs failed.
    """
    value: dict[str, Any] = {"busy": False, "genomes": [], "wrong": {}, "effects": []}
    with polled(project, registry, dry_run=dry_run, again=again, progress=progress) as notices:
        value["busy"] = notices is None
        for notice in notices or []:
            shown = notice.as_dict()
            if notice.status == "append" and not dry_run:
                shown |= _append(project, registry, notice, progress)
            value["genomes"].append(shown)
    if any(genome["status"] == "appended" for genome in value["genomes"]):
        value["wrong"] = invalid_stores(load_project(project), progress=progress)
    if retrain and not (dry_run or value["busy"] or value["wrong"]):
        pipeline = Pipeline(load_project(project), Options(), progress=progress or NoProgress())
        if not pipeline.is_done():  # also when an earlier look was killed after its append
            pipeline.run()
            value["effects"] = compare_rows(pipeline.project)
    value["found"] = bool(value["wrong"]) or any(genome["new"] for genome in value["genomes"])
    return value


def _append(
    project: Path, registry: Path, notice: Notice, progress: Progress | None
) -> dict[str, Any]:
    """Append one genome; its failure is a line about it and stops no other."""
    try:
        done = append_arrival(
            project,
            registry,
            name=notice.name,
            digest=notice.digest,
            attempt=notice.attempt,
            progress=progress,
        )
    except (CrosslabelError, OSError) as exc:
        _LOG.error("%s: attempt %d failed: %s", notice.name, notice.attempt, exc)
        return {"status": "failed", "message": str(exc), "new": True}
    return {"status": done["status"], "stores": done.get("stores", [])}


def invalid_stores(
    project: Project,
    *,
    deep: bool = False,
    step: StepRunner = plain_step,
    progress: Progress | None = None,
) -> dict[str, list[str]]:
    """Validate every built store of a project; return the problems of those that are wrong.

    Parameters
    ----------
    project
        The project.
    deep
        Decode every sequence, and extract it again from the genomes.
    step
        Runs and records the validation of one store.
    progress
        Progress reporter.
    """
    wrong: dict[str, list[str]] = {}
    assert project.file is not None
    for path in find_place(project.file).stores:
        genomes = project if deep else None
        report = step(
            "validate",
            path.stem,
            lambda path=path, genomes=genomes: validate_store(
                open_store(path), deep=deep, project=genomes, progress=progress
            ),
        )
        if not report.valid:
            wrong[str(path)] = [
                f"{problem.group or 'store'}: {problem.check}: {problem.message}"
                for problem in report.problems
            ]
    return wrong


def compare_rows(
    project: Project, *, show: Callable[[list[dict[str, Any]]], None] | None = None
) -> list[dict[str, Any]]:
    """Return what the last change of rows brought, and enter it in the history of the stores.

    `show` is called with the result before that.
    """
    from sslmodels.report.genome_effect import effects_of_rows

    effects = effects_of_rows(project)
    if show is not None:
        show(effects)
    stores: dict[Path, list[dict[str, Any]]] = {}
    for effect in effects:
        name = effect["experiment"]
        if name in {experiment.name for experiment in project.experiments}:
            entry = {"what": "rows changed", **effect}
            stores.setdefault(project.store_path(name), []).append(entry)
    for path, entries in stores.items():
        record_history(path, entries)
    return effects
