"""The Prefect flow behind ``crosslabel run``.

A task is a genome of a store, a run, or a stage; never a chunk of rows. What is done is in
:mod:`flows.pipeline`.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows._runtime import PROGRESS, step
from flows.pipeline import Options, Pipeline
from ssldata.config import load_project


@flow(name="crosslabel-run", validate_parameters=False, persist_result=False)
def run_project(project_file: str, **options: Any) -> dict[str, Any]:
    """Build the stores of a project, train and evaluate its grid, and write the report.

    Parameters
    ----------
    project_file
        The project file.
    options
        Fields of :class:`flows.pipeline.Options`.

    Returns
    -------
    dict
        See :meth:`flows.pipeline.Pipeline.run`.
    """
    project = load_project(project_file)
    return Pipeline(project, Options(**options), step=step, progress=PROGRESS.get()).run()
