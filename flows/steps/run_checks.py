"""Checks of commands and Prefect flows before any work, and weights published after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.steps.quiet_tensorflow import muted_import
from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.building.dask_pool import check_one_place
from ssldata.project.project_file import Project
from sslmodels.models.catalogue import FSEI, check_models
from sslmodels.runs.regime_table import WITH_TEACHER
from sslmodels.sei.sei_options import SeiOptions


@dataclass(frozen=True)
class Cluster:
    """Where a build runs: in this process, on local workers, or on a running Dask cluster."""

    workers: int = 0
    scheduler: str | None = None
    scheduler_file: Path | str | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        check_one_place(
            {
                "--workers": self.workers,
                "--dask-scheduler": self.scheduler,
                "--scheduler-file": self.scheduler_file,
            }
        )

    def options(self) -> dict[str, Any]:
        """Return the options :func:`ssldata.building.build_store.build_project` takes."""
        return {
            "workers": self.workers,
            "scheduler": self.scheduler,
            "scheduler_file": None if self.scheduler_file is None else Path(self.scheduler_file),
            "memory": self.memory,
        }


def require_inputs(project: Project) -> None:
    """Refuse a project with missing input files."""
    from ssldata.building.build_plan import require_inputs as require

    require(project)


def missing_weights(project: Project) -> list[Path]:
    """Return the files of weights that a model of the project begins with and that are missing."""
    training = project.training
    if FSEI not in training.models:
        return []
    missing = SeiOptions(**training.sei.model_dump()).missing()
    return [] if missing is None else [missing]


def require_weights(project: Project) -> None:
    """Refuse a project whose models begin with weights that are missing."""
    for path in missing_weights(project):
        raise MissingInputError(
            f"{project.file or 'project'}: missing weights {path}, which the model {FSEI} begins "
            f"with; docs/sei.md says where they are had, and training.models without {FSEI} needs "
            "none"
        )


def require_teachers(regimes: Sequence[str]) -> None:
    """Refuse ``--publish-weights`` if no regime has a teacher."""
    if not set(WITH_TEACHER) & set(regimes):
        raise ConfigError(
            f"--publish-weights: only {', '.join(WITH_TEACHER)} runs have teacher weights, "
            f"not {', '.join(regimes)}"
        )


def publish_runs(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """Publish the last teacher weights of runs in the stores they were trained from."""
    from sslmodels.runs.publish_weights import publish_run

    return [publish_run(folder) for folder in runs]


def check_run(project: Project, *, publish_weights: bool) -> None:
    """Refuse a project that cannot be run, before hours of building."""
    if publish_weights:
        require_teachers(project.training.regimes)
    with muted_import():
        training = project.training
        check_models([*training.models, *training.model_options, *training.per_model])
    require_inputs(project)
    require_weights(project)


def publish_teachers(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Publish the last teacher weights of the runs that have them in their stores."""
    return publish_runs(Path(item["run"]) for item in runs if item["regime"] in WITH_TEACHER)
