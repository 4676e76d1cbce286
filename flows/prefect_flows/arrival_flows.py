"""The Prefect flows of arriving genomes: watch the registry, append one genome, validate stores.

They are joined by events: ``genome.arrived`` starts an append, ``dataset.updated`` the validation,
``dataset.validated`` the training. Events can come twice; what they start claims its attempt first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed
from pydantic import NonNegativeInt, PositiveInt

from flows.prefect_flows.asset_lineage import Assets, Lineage
from flows.prefect_flows.prefect_runtime import (
    advises_parameters,
    log_groups,
    log_user_errors_plainly,
    never_failing,
    run_name,
    step,
    step_of_assets,
)
from flows.steps.arrival_steps import invalid_stores
from flows.steps.run_checks import Cluster
from ssldata.arrivals.arrival_rules import Attempt, Fate
from ssldata.arrivals.sensor import append_arrival, crashed_runs, polled
from ssldata.base.errors import StoreError
from ssldata.base.files import expanded
from ssldata.building.add_remove_genomes import memory_to_add
from ssldata.building.dask_pool import open_pool
from ssldata.project.project_file import load_project

log_user_errors_plainly()

#: Events, and what the names of their resources begin with.
ARRIVED, UPDATED, VALIDATED = "genome.arrived", "dataset.updated", "dataset.validated"
GENOME, DATASET = "crosslabel.genome", "crosslabel.dataset"

#: Seconds after which a run that has begun, or is about to, has claimed its attempt.
_STUCK_AFTER = 600
_UNFINISHED = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]


def emit_of(event: str, kind: str, name: str, payload: dict[str, Any]) -> None:
    """Emit an event about a genome or a dataset.

    Parameters
    ----------
    event, kind
        One of the names above.
    name
        Of the genome or project.
    payload
        JSON-able values, which triggers can use as parameters.
    """
    resource = {"prefect.resource.id": f"{kind}.{name}", "prefect.resource.name": name}
    emit_event(event=event, resource=resource, payload=payload)


@flow(
    name="crosslabel-watch-genomes",
    flow_run_name=run_name("watch {registry} for {project}"),
    persist_result=False,
)
@advises_parameters
def watch_genomes(
    project: str, registry: str, again: list[str] | None = None
) -> dict[str, list[str]]:
    """Look at a registry of genomes once, and announce those that are to be appended.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``; its stores are built.
    registry
        The registry of arriving genomes: a folder of YAML files, or a YAML file.
    again
        Names of genomes that were refused or given up, and are tried again.

    Returns
    -------
    dict
        Status → names of genomes.
    """
    log = get_run_logger()
    loaded = load_project(expanded(project))
    for run in crashed_runs(loaded):
        _mark_crashed(run)
    runs = _unfinished_appends()

    def ask(digest: str, attempt: Attempt) -> Fate:
        mine = [
            run
            for run in runs
            if run.parameters.get("digest") == digest
            and str(run.parameters.get("attempt")) == str(attempt.number)
        ]
        alive = [run for run in mine if not _is_stuck(run)]
        for run in mine:
            if run not in alive:
                _mark_crashed(str(run.id))
        return Fate.ALIVE if alive else Fate.UNKNOWN if not mine else Fate.ENDED

    found: dict[str, list[str]] = {}
    with polled(expanded(project), expanded(registry), ask=ask, again=again or []) as notices:
        if notices is None:
            log.info("another process looks at the registry; nothing was done")
        for notice in notices or []:
            found.setdefault(notice.status, []).append(notice.name)
            if notice.new:
                log.error("%s: %s: %s", notice.name, notice.status, notice.message)
            elif notice.status == "append":
                log.info("%s: attempt %d announced", notice.name, notice.attempt)
                payload = {"project": project, "registry": registry, "name": notice.name}
                payload |= {"digest": notice.digest, "attempt": str(notice.attempt)}
                emit_of(ARRIVED, GENOME, notice.name, payload)
            elif notice.message:
                log.info("%s: %s: %s", notice.name, notice.status, notice.message)
    return found


def _unfinished_appends() -> list[FlowRun]:
    """Return the runs of appends that wait or run."""
    named = FlowFilter(name=FlowFilterName(any_=[append_genome.name]))
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=named, flow_run_filter=FlowRunFilter(state=state), limit=200
        )


def _is_stuck(run: FlowRun) -> bool:
    """Return whether a run has begun, or was about to, long ago; an append claims at once."""
    if run.state is None or run.state.type not in (StateType.PENDING, StateType.RUNNING):
        return False
    return (datetime.now(UTC) - run.state.timestamp).total_seconds() > _STUCK_AFTER


def _mark_crashed(run: str) -> None:
    """Let Prefect know that the process of a run was killed, which frees its place in the queue.

    A worker does so itself unless it was killed as well.
    """
    with get_client(sync_client=True) as client:
        try:
            found = client.read_flow_run(UUID(run))
            if found.state is None or not found.state.is_final():
                state: State[Any] = Crashed(message="its process and its worker were killed")
                client.set_flow_run_state(found.id, state, force=True)
                get_run_logger().warning("%s: marked as crashed", found.name)
        except (ObjectNotFound, ValueError):  # of another server
            pass


@flow(
    name="crosslabel-append-genome",
    flow_run_name=run_name("append {name} to {project}, attempt {attempt}"),
    persist_result=False,
)
@advises_parameters
def append_genome(
    project: str,
    registry: str,
    name: str,
    digest: str,
    attempt: PositiveInt,
    workers: NonNegativeInt = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    memory: str | None = None,
) -> dict[str, Any]:
    """Append one genome that was announced; a second run of the same attempt does nothing.

    Parameters
    ----------
    project, registry
        As of the flow that announced it.
    name, digest, attempt
        From the event.
    workers, dask_scheduler, scheduler_file, memory
        See :func:`ssldata.building.dask_pool.open_pool`.

    Returns
    -------
    dict
        See :func:`ssldata.arrivals.sensor.append_arrival`.
    """
    cluster = Cluster(workers, dask_scheduler, scheduler_file, memory)
    place = expanded(project)

    def announce(done: dict[str, Any]) -> None:
        stores = [store["path"] for store in done["stores"]]
        payload = {"project": project, "genome": name, "digest": digest, "stores": stores}
        emit_of(UPDATED, DATASET, load_project(place).name, payload)

    def append() -> dict[str, Any]:
        needed = memory_to_add(place) if memory is not None else 0
        with open_pool(**cluster.options(), needed=needed) as pool:
            return append_arrival(
                place,
                expanded(registry),
                name=name,
                digest=digest,
                attempt=attempt,
                run=str(flow_run.id or ""),
                pool=pool,
                appended=announce,
            )

    assets = Assets()
    with never_failing(f"{name}: its assets"):
        assets = Lineage(load_project(place)).of_genome(name)
    label = f"{name}, attempt {attempt}"
    value: dict[str, Any] = step_of_assets(assets, "append-genome", label, append)
    if value["status"] == "superseded":
        get_run_logger().info("%s: attempt %d is superseded, nothing was done", name, attempt)
    else:
        log_groups(value["stores"])
    return value


@flow(
    name="crosslabel-validate-store",
    flow_run_name=run_name("validate {project}"),
    persist_result=False,
)
@advises_parameters
def validate_stores(project: str, deep: bool = False) -> dict[str, Any]:
    """Validate every store of a project; a wrong one fails the flow, and nothing is trained.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``.
    deep
        Decode every sequence, and extract it again from the genomes.

    Returns
    -------
    dict
        ``wrong``: empty.

    Raises
    ------
    StoreError
        A store is wrong; the log has a line for each problem.
    """
    loaded = load_project(expanded(project))
    wrong = invalid_stores(loaded, deep=deep, step=step)
    for path, problems in wrong.items():
        for problem in problems:
            get_run_logger().error("%s: %s", path, problem)
    if wrong:
        first, problems = next(iter(wrong.items()))
        raise StoreError(f"{first}: WRONG, problems: {len(problems)}; the first: {problems[0]}")
    emit_of(VALIDATED, DATASET, loaded.name, {"project": project})
    return {"wrong": wrong}
