"""The flow behind ``crosslabel run``: build, train and evaluate the grid, write the report.

A task is a genome of a store, a run, or a stage; never a chunk of rows. Every step is idempotent,
so running the flow again continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from prefect import flow

from flows._runtime import PROGRESS, step
from flows._tensorflow import muted_import
from ssldata import build
from ssldata.build_inputs import open_inputs, open_target
from ssldata.cluster import Pool, open_pool
from ssldata.config import Project, load_project
from ssldata.plan import memory_per_worker


@flow(name="crosslabel-run", validate_parameters=False, persist_result=False)
def run_project(
    project_file: str,
    *,
    workers: int = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    memory: str | None = None,
    replace: bool = False,
    report: Literal["paper"] | None = None,
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
    memory
        Limit of each local worker, for example ``2GB``.
    replace
        Overwrite genomes and runs that were made from other inputs or settings.
    report
        ``paper``: also train the sweeps, and write the benchmark's tables and figures.

    Returns
    -------
    dict
        ``stores`` (accounts, see :func:`ssldata.build.build_project`), ``runs`` (cell and metrics
        of each), ``report`` (path) and, if asked for, ``paper`` (path).
    """
    project = load_project(project_file)
    with open_pool(
        workers=workers,
        scheduler=dask_scheduler,
        scheduler_file=None if scheduler_file is None else Path(scheduler_file),
        memory=memory,
        needed=memory_per_worker(project),
    ) as pool:
        stores = _build(project, pool, replace=replace)
    with muted_import(announce=getattr(PROGRESS.get(), "draws", False)):
        from sslmodels import benchmark
    cells = list(benchmark.grid(project))
    runs = _train(cells, replace=replace)
    page = _report(project, stores, [Path(run["run"]) for run in runs])
    value = {"stores": stores, "runs": runs, "report": str(page)}
    if report == "paper":
        more = list(benchmark.sweeps(project))
        _train(more, replace=replace)
        value["paper"] = str(_paper(project, [*cells, *more]))
    return value


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


def _train(cells: Iterable[Any], *, replace: bool) -> list[dict[str, Any]]:
    from sslmodels.evaluation import evaluate_run
    from sslmodels.regimes import train

    runs = []
    for cell in cells:
        progress = PROGRESS.get()
        options = {"progress": progress, "replace": replace, **cell.arguments}
        folder = step("train", cell.name, train, cell.project, **options)
        metrics = step("evaluate", cell.name, evaluate_run, folder, progress=progress)
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


def _paper(project: Project, cells: list[Any]) -> Path:
    from sslmodels import benchmark
    from sslmodels.paper import write_paper

    results = step("collect", project.name, benchmark.collect, cells)
    return step(
        "paper",
        project.name,
        *(write_paper, project.training.runs / "paper"),
        project=project,
        results=results,
    )
