"""The flow behind ``crosslabel run``: build, train and evaluate the grid, write the report.

A task is a genome of a store, a run, or a stage; never a chunk of rows. Every step is idempotent,
so running the flow again continues where it stopped.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from prefect import flow

from flows._runtime import PROGRESS, step
from flows._tensorflow import muted_import
from ssldata import build
from ssldata.build_inputs import open_inputs, open_target
from ssldata.cluster import Pool, open_pool
from ssldata.config import Project, load_project


@flow(name="crosslabel-run", validate_parameters=False, persist_result=False)
def run_project(
    project_file: str,
    *,
    workers: int = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Build the stores of a project, train and evaluate its grid, and write the report.

    Parameters
    ----------
    project_file
        The project file.
    workers
        Dask worker processes of the build; 0 builds in this process.
    dask_scheduler, scheduler_file
        A running Dask cluster instead.
    replace
        Overwrite genomes and runs that were made from other inputs or settings.

    Returns
    -------
    dict
        ``stores`` (accounts, see :func:`ssldata.build.build_project`), ``runs`` (cell and metrics
        of each) and ``report`` (path).
    """
    project = load_project(project_file)
    with open_pool(
        workers=workers,
        scheduler=dask_scheduler,
        scheduler_file=None if scheduler_file is None else Path(scheduler_file),
    ) as pool:
        stores = _build(project, pool, replace=replace)
    runs = _train(project, replace=replace)
    report = _report(project, stores, [Path(run["run"]) for run in runs])
    return {"stores": stores, "runs": runs, "report": str(report)}


def _build(project: Project, pool: Pool, *, replace: bool) -> list[dict[str, Any]]:
    # Everything is opened and checked before anything is written.
    inputs = {name: open_inputs(project, name) for name in build.store_names(project)}
    targets = {genome.name: open_target(project, genome.name) for genome in project.genomes}
    progress = PROGRESS.get()
    options: dict[str, Any] = {"pool": pool, "progress": progress, "replace": replace}
    stores = []
    with progress.task("build", len(inputs) * (1 + len(targets))) as advance:
        for name, opened in inputs.items():
            done = [
                step(
                    "build-reference",
                    f"{name} / {project.reference.name}",
                    *(build.build_reference, project, name),
                    inputs=opened,
                    **options,
                )
            ]
            advance(1)
            for genome, target in targets.items():
                done.append(
                    step(
                        "build-genome",
                        f"{name} / {genome}",
                        *(build.build_genome, project, name, genome),
                        target=target,
                        **options,
                    )
                )
                advance(1)
            finished = step("finish-store", name, build.finish_store, project, name)
            stores.append({**finished, "steps": done})
    return stores


def _train(project: Project, *, replace: bool) -> list[dict[str, Any]]:
    with muted_import(announce=getattr(PROGRESS.get(), "draws", False)):
        from sslmodels.evaluation import evaluate_run
        from sslmodels.regimes import train

    grid = project.training
    runs = []
    for experiment, model, regime, seed in product(
        project.trained_experiments(), grid.models, grid.regimes, grid.seeds
    ):
        cell = {"experiment": experiment, "model": model, "regime": regime, "seed": seed}
        label = f"{experiment} / {model} / {regime} / seed {seed}"
        progress = PROGRESS.get()
        folder = step("train", label, train, project, progress=progress, replace=replace, **cell)
        metrics = step("evaluate", label, evaluate_run, folder, progress=progress)
        runs.append({"run": str(folder), **metrics})
    return runs


def _report(project: Project, stores: list[dict[str, Any]], folders: list[Path]) -> Path:
    from sslmodels.report import write_report

    return step(
        "report",
        project.name,
        *(write_report, project.training.runs / "report.html"),
        title=project.name,
        project=project,
        build_summaries=stores,
        run_folders=folders,
    )
