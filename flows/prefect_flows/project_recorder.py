"""The steps of a project as Prefect records them: tasks, assets, progress, and what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger

from flows.prefect_flows.asset_lineage import Assets, Lineage
from flows.prefect_flows.prefect_runtime import (
    PROGRESS,
    never_failing,
    step_of_assets,
    task_name,
)
from flows.prefect_flows.run_artifacts import ArtifactProgress, show_results
from ssldata.project.project_file import Project


@dataclass
class ProjectRecorder:
    """Runs and records the steps of one project.

    Attributes
    ----------
    project
        The project.
    progress
        Progress reporter, whose long work Prefect shows.
    """

    project: Project
    progress: ArtifactProgress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = ArtifactProgress(PROGRESS.get(), self.project.name)

    def step(
        self, kind: str, label: str, function: Callable[..., Any], /, *args: Any, **kw: Any
    ) -> Any:
        """Run and record one step: a :data:`ssldata.building.build_store.StepRunner`."""
        assets = Assets()
        with never_failing(f"{label}: its assets"):
            assets = Lineage(self.project).of_step(kind, label, kw)
        result = step_of_assets(assets, kind, label, function, *args, **kw)
        if kind in ("evaluate", "trained") and isinstance(result, Mapping):
            get_run_logger().info("%s: %s", task_name("trained", label), _in_words(result))
        elif kind == "report":
            show_results(self.project, kw["run_folders"], result)
        return result


def _in_words(metrics: Mapping[str, Any]) -> str:
    """Return the AUPR of a run with its interval; of several outputs only their number."""
    if "aupr" not in metrics:
        return f"evaluated, {len(metrics.get('outputs', ()))} outputs"
    bounds = (metrics.get("intervals") or {}).get("aupr")
    shown = "" if bounds is None else f", 95 % {bounds[0]:.3f} to {bounds[1]:.3f}"
    return f"AUPR {metrics['aupr']:.3f}{shown}"
