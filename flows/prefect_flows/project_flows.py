"""The Prefect flows of a project: all of it (``crosslabel run``), or its stores alone.

A task is a genome of a store, a run, or a stage; never a chunk of rows. The work itself is in
:mod:`flows.steps.pipeline` and :mod:`ssldata.building.build_store`. ``prefect.yaml`` deploys both.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import NonNegativeInt, PositiveInt

from flows.prefect_flows.prefect_runtime import (
    advises_parameters,
    log_groups,
    log_user_errors_plainly,
    run_name,
)
from flows.prefect_flows.project_recorder import ProjectRecorder
from flows.steps import run_checks
from flows.steps.pipeline import Options, Pipeline
from ssldata.building import build_store
from ssldata.project.project_file import load_project

log_user_errors_plainly()


@flow(name="crosslabel-run", flow_run_name=run_name("run {project}"), persist_result=False)
@advises_parameters
def run_project(
    project: str,
    workers: NonNegativeInt = 0,
    train_workers: NonNegativeInt = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    memory: str | None = None,
    train_threads: PositiveInt | None = None,
    replace: bool = False,
    report: Literal["paper"] | None = None,
    publish_weights: bool = False,
    verify_cache: bool = False,
) -> dict[str, Any]:
    """Build the stores of a project, train and evaluate its grid, and write the report.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``.
    workers, train_workers, dask_scheduler, scheduler_file, memory, train_threads, replace, report,
    verify_cache
        See :class:`flows.steps.pipeline.Options`.
    publish_weights
        Put the last teacher weights of the ssl-ns runs in their stores.

    Returns
    -------
    dict
        See :meth:`flows.steps.pipeline.Pipeline.run`; with `publish_weights` also ``weights``.
    """
    loaded = load_project(project)
    options = Options(
        workers=workers,
        train_workers=train_workers,
        dask_scheduler=dask_scheduler,
        scheduler_file=scheduler_file,
        memory=memory,
        train_threads=train_threads,
        replace=replace,
        report=report,
        verify_cache=verify_cache,
    )
    run_checks.check_run(loaded, publish_weights=publish_weights)
    recorder = ProjectRecorder(loaded)
    value = Pipeline(loaded, options, step=recorder.step, progress=recorder.progress).run()
    log_groups([group for store in value["stores"] for group in store["steps"]])
    if publish_weights:
        value["weights"] = run_checks.publish_teachers(value["runs"])
    return value


@flow(name="crosslabel-build", flow_run_name=run_name("build {project}"), persist_result=False)
@advises_parameters
def build_stores(
    project: str,
    experiment: list[str] | None = None,
    workers: NonNegativeInt = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    memory: str | None = None,
    replace: bool = False,
    repair: bool = False,
    verify_cache: bool = False,
) -> dict[str, Any]:
    """Build the stores of a project; complete and unchanged genomes are left alone.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``.
    experiment
        Names of experiments whose stores are built; default: all.
    workers, dask_scheduler, scheduler_file, memory, replace, repair, verify_cache
        See :func:`ssldata.building.build_store.build_project`.

    Returns
    -------
    dict
        ``stores``: a report of each, see :func:`ssldata.building.build_store.build_project`.
    """
    cluster = run_checks.Cluster(workers, dask_scheduler, scheduler_file, memory)
    loaded = load_project(project)
    recorder = ProjectRecorder(loaded)
    stores = build_store.build_project(
        loaded,
        experiments=experiment,
        replace=replace,
        repair=repair,
        verify_cache=verify_cache,
        progress=recorder.progress,
        step=recorder.step,
        **cluster.options(),
    )
    log_groups([group for store in stores for group in store["steps"]])
    return {"stores": stores}
