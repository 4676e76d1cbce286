"""The Prefect flows of existing stores: add a genome, validate.

``prefect.yaml`` deploys them; the command line does the same without Prefect.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from pydantic import NonNegativeFloat, NonNegativeInt

from flows.prefect_flows.prefect_runtime import (
    advises_parameters,
    log_groups,
    log_user_errors_plainly,
    run_name,
    step,
)
from flows.steps.run_checks import Cluster
from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.files import expanded
from ssldata.building.add_remove_genomes import add_genome, memory_to_add
from ssldata.building.dask_pool import open_pool
from ssldata.checking.validate import Report, validate_store
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store

log_user_errors_plainly()


@flow(
    name="crosslabel-store-add",
    flow_run_name=run_name("add {name} to {project}"),
    persist_result=False,
)
@advises_parameters
def add(
    project: str,
    name: str,
    sequence: str,
    chain: str,
    distance: NonNegativeFloat | None = None,
    alias: dict[str, str] | None = None,
    reference: str | None = None,
    workers: NonNegativeInt = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    memory: str | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Add one genome to every store of a project, and list it there; repeating it changes nothing.

    Parameters
    ----------
    project
        A project (every store of it) or one ``.zarr`` store.
    name, sequence, chain, distance, alias
        The genome, as in a project file.
    reference
        Sequence of the labelled genome, for a store without its project.
    workers, dask_scheduler, scheduler_file, memory
        See :func:`ssldata.building.dask_pool.open_pool`.
    replace
        Rebuild the genome if the store has it from other inputs or settings.

    Returns
    -------
    dict
        See :func:`ssldata.building.add_remove_genomes.add_genome`.
    """
    cluster = Cluster(workers, dask_scheduler, scheduler_file, memory)

    def append() -> dict[str, Any]:
        needed = memory_to_add(expanded(project)) if memory is not None else 0
        with open_pool(**cluster.options(), needed=needed) as pool:
            return add_genome(
                expanded(project),
                name=name,
                sequence=expanded(sequence),
                chain=expanded(chain),
                distance=distance,
                aliases=alias,
                reference=None if reference is None else expanded(reference),
                replace=replace,
                pool=pool,
            )

    value: dict[str, Any] = step("add-genome", name, append)
    log_groups(value["stores"])
    return value


@flow(
    name="crosslabel-store-validate",
    flow_run_name=run_name("validate {store}"),
    persist_result=False,
)
@advises_parameters
def validate(store: str, deep: bool = False, project: str | None = None) -> dict[str, Any]:
    """Check a store against its ledger and the rules of the format; a wrong store fails the flow.

    Parameters
    ----------
    store
        A folder, a zip, http(s)://…, s3://… or icechunk://….
    deep
        Decode every sequence and compare checksums.
    project
        With `deep`: extract every sequence again from the genomes of this project.

    Returns
    -------
    dict
        See :meth:`ssldata.checking.validate.Report.as_dict`.

    Raises
    ------
    StoreError
        The store is wrong; the log has a line for each problem.
    """
    if project is not None and not deep:
        raise ConfigError("project needs deep: without it no sequence is extracted")
    loaded = None if project is None else load_project(project)
    report: Report = step(
        "validate", store, lambda: validate_store(open_store(store), deep=deep, project=loaded)
    )
    for problem in report.problems:
        where = problem.group or "store"
        get_run_logger().error("%s: %s: %s", where, problem.check, problem.message)
    if not report.valid:
        first = report.problems[0]
        raise StoreError(
            f"{store}: WRONG, problems: {len(report.problems)}; the first in "
            f"{first.group or 'the store'}: {first.message}"
        )
    return report.as_dict()
