"""What `crosslabel run --dry-run` shows of the runs: done, to do, refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.output import tables
from ssldata.base.errors import CrosslabelError, MissingInputError, StoreError
from ssldata.project.project_file import Project

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sslmodels.runs.run_grid import Cell

#: How the statuses of runs are shown.
_WORDS = {
    "missing": "to do",
    "partial": "to finish",
    "stale": "stale",
    "complete": "up to date",
    "changed": "refused without --replace",
    "damaged": "refused without --replace",
    "unknown": "not known yet",
    "stranded": "cannot be evaluated",
}
#: Statuses that need no explanation.
_PLAIN = {"missing", "partial", "complete"}
#: Most runs that get a line each; with more, only those that need an explanation are listed.
_MANY_RUNS = 60


def runs(
    project: Project, steps: Sequence[Mapping[str, Any]], *, sweeps: bool, everything: bool
) -> tuple[list[dict[str, Any]], list[RenderableType]]:
    """Return the status of every run; nothing is written.

    Parameters
    ----------
    project
        The project.
    steps
        The groups of its stores, as :func:`ssldata.building.build_plan.plan_project` lists them.
    sweeps
        Also the runs of ``training.sweeps``.
    everything
        Show every run, however many there are.

    Returns
    -------
    tuple
        One JSON entry per run, and what to print.
    """
    from sslmodels.runs import run_grid

    cells = list(run_grid.grid(project))
    shown: list[RenderableType] = []
    if sweeps:
        try:
            cells += run_grid.sweeps(project)
        except CrosslabelError:
            shown.append("runs of the sweeps: known once the stores are built")
    unsettled = {step["store"] for step in steps if step["status"] not in ("complete", "yanked")}
    found = [_run(project, cell, unsettled) for cell in cells]
    value = list({run["run"]: run for run in found}.values())
    lines = [run for run in value if run["status"] not in _PLAIN]
    if everything or len(value) <= _MANY_RUNS:
        lines = value
    words = Counter(_WORDS[run["status"]] for run in value)
    order = [word for word in dict.fromkeys(_WORDS.values()) if words[word]]
    title = ", ".join(f"{words[word]} {word}" for word in order)
    shown.insert(
        0,
        tables.table(
            f"{project.training.runs}: {title}",
            ["run", "status", "differs"],
            [(run["run"], _WORDS[run["status"]], _first_reasons(run["reasons"])) for run in lines],
        ),
    )
    if len(lines) < len(value):
        shown.append(f"{len(value) - len(lines)} more runs are counted above; -v lists them")
    return value, shown


def baselines(project: Project) -> tuple[list[dict[str, Any]], list[RenderableType]]:
    """Return the status of every baseline, one JSON entry each, and what to print."""
    from sslmodels.baseline_runs.baseline_status import baseline_runs, baseline_state

    words = {"complete": "up to date", "failed": "failed", "missing": "to do"}
    value: list[dict[str, Any]] = []
    for run in baseline_runs(project):
        status, more = baseline_state(run)
        name = run.folder.relative_to(project.training.runs).as_posix()
        reasons = [more["reason"]] if "reason" in more else []
        value.append({"baseline": name, "status": status, "reasons": reasons})
    count = Counter(words.get(one["status"], _WORDS["unknown"]) for one in value)
    listed = ", ".join(f"{number} {word}" for word, number in count.items())
    failed = [f"{one['baseline']}: {one['reasons'][0]}" for one in value if one["reasons"]]
    return value, [f"baselines: {listed}", *failed] if value else []


def _run(project: Project, cell: Cell, unsettled: set[str]) -> dict[str, Any]:
    from sslmodels.evaluation.evaluation_status import subject
    from sslmodels.runs.run_status import run_status

    found = run_status(cell.project, **cell.arguments)
    status: str = found.status
    reasons = list(found.reasons)
    if status == "complete":
        if cell.project.store_path(cell.experiment).stem in unsettled:
            status, reasons = "unknown", ["complete for the store as it is now"]
        else:
            try:
                if subject(found.folder).known() is None:
                    status, reasons = "partial", ["trained, not evaluated"]
            except (MissingInputError, StoreError) as error:
                status, reasons = "stranded", [str(error)]
    name = found.folder.relative_to(project.training.runs).as_posix()
    return {"run": name, "status": status, "reasons": reasons}


def _first_reasons(reasons: Sequence[str]) -> str:
    more = f"; {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more
