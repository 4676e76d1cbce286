"""MLflow and Weights & Biases: one tracked run per run folder, one entry per epoch and phase.

Both work without a network: MLflow writes a database beside the run folders, Weights & Biases below
``logs/`` of the run, unless their own environment variables name a server.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ssldata.base.errors import ConfigError
from ssldata.base.files import write_json_atomic
from ssldata.project.training_section import Tracker
from sslmodels.runs.run_folder import RunFolder

Record = Mapping[str, float]
Ending = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What trackers record of a run when it starts.

    Attributes
    ----------
    project
        Name under which runs are collected.
    name
        Name of the run.
    digest, store_digest
        Digests of the run's identity and of its store.
    settings
        The identity of the run, nested; its format and content digests are not recorded.
    folder
        The run folder.
    runs
        Folder of all run folders.
    """

    project: str
    name: str
    digest: str
    store_digest: str
    settings: Mapping[str, Any]
    folder: RunFolder
    runs: Path

    def parameters(self) -> dict[str, str]:
        """Return the settings as ``training.batch_size`` → text."""
        known = {key: self.settings[key] for key in self.settings.keys() - {"format", "content"}}
        return dict(sorted(_flat(known)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)


class TrackedRun(Protocol):
    """A run in a tracker."""

    def log(self, phase: str, epochs: Sequence[Record]) -> None:
        """Log the epochs of a phase that are not logged yet."""
        ...

    def close(self, ending: Ending) -> None:
        """Record how the run ended."""
        ...


class MlflowRun:
    """A run in the store that ``MLFLOW_TRACKING_URI`` names; default: ``<runs>/mlflow.db``.

    An interrupted run continues its MLflow run, which is found by digest and folder.
    """

    def __init__(self, description: Description) -> None:
        # A record on this machine was asked for, not reports to others.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import entities
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # they log every new database
            logging.getLogger(name).setLevel(logging.WARNING)
        description.runs.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{(description.runs / 'mlflow.db').resolve()}"
        self._entities = entities
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or database)
        experiment = self._client.get_experiment_by_name(description.project)
        number = (
            self._client.create_experiment(description.project)
            if experiment is None
            else experiment.experiment_id
        )
        tags = {"digest": description.digest, "folder": str(description.folder.path.resolve())}
        interrupted = self._client.search_runs(
            [number], f"tags.digest = '{description.digest}' and attributes.status != 'FINISHED'"
        )
        # The folder is compared here: a query cannot hold every character of its name.
        found = [run for run in interrupted if run.data.tags.get("folder") == tags["folder"]]
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags["store_digest"] = description.store_digest
            self._id = self._client.create_run(
                number, tags=tags, run_name=description.name
            ).info.run_id
            parameters = [entities.Param(*item) for item in description.parameters().items()]
            self._client.log_batch(self._id, params=parameters)
        self._logged: dict[str, int] = {}

    def log(self, phase: str, epochs: Sequence[Record]) -> None:
        """Log the epochs after those that MLflow has."""
        if phase not in self._logged:
            known = self._client.get_metric_history(self._id, f"{phase}/loss")
            self._logged[phase] = len(known)
        now = int(time.time() * 1000)
        for record in epochs[self._logged[phase] :]:
            metrics = [
                self._entities.Metric(f"{phase}/{key}", value, now, int(record["epoch"]))
                for key, value in record.items()
                if key != "epoch"
            ]
            self._client.log_batch(self._id, metrics=metrics)
            self._logged[phase] = int(record["epoch"])

    def close(self, ending: Ending) -> None:
        """Set the run's status."""
        status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[ending]
        self._client.set_terminated(self._id, status)


class WandbRun:
    """A run of Weights & Biases, offline below ``logs/`` unless ``WANDB_MODE`` is set.

    An interrupted run continues under the same id; what was logged is kept in the work folder.
    """

    def __init__(self, description: Description) -> None:
        import wandb

        self._memory = description.folder.work / "wandb.json"
        try:
            self._state = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._state = {"id": uuid.uuid4().hex[:12], "logged": {}}
        description.folder.logs.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=description.project,
            name=description.name,
            id=self._state["id"],
            resume="allow",
            reinit="create_new",  # the run of a teacher lies within that of its student
            dir=description.folder.logs,
            mode=os.environ.get("WANDB_MODE", "offline"),
            config={
                **description.parameters(),
                "digest": description.digest,
                "store_digest": description.store_digest,
            },
            tags=[f"digest {description.digest[:12]}", f"store {description.store_digest[:12]}"],
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, phase: str, epochs: Sequence[Record]) -> None:
        """Log the epochs after those logged before."""
        logged = self._state["logged"]
        if phase not in logged:
            self._run.define_metric(f"{phase}/*", step_metric=f"{phase}/epoch")
        for record in epochs[logged.get(phase, 0) :]:
            self._run.log({f"{phase}/{key}": value for key, value in record.items()})
            logged[phase] = int(record["epoch"])
        write_json_atomic(self._memory, self._state)

    def close(self, ending: Ending) -> None:
        """Record whether the run is complete."""
        self._run.finish(exit_code=0 if ending == "finished" else 1)


_RUNS: dict[Tracker, Callable[[Description], TrackedRun]] = {"mlflow": MlflowRun, "wandb": WandbRun}


class _Reported:
    """A tracker whose failures are :class:`ConfigError`; the run can be continued afterwards."""

    def __init__(self, name: Tracker, description: Description) -> None:
        self._name = name
        with self._errors():
            self._run = _RUNS[name](description)

    def log(self, phase: str, epochs: Sequence[Record]) -> None:
        with self._errors():
            self._run.log(phase, epochs)

    def close(self, ending: Ending) -> None:
        with self._errors():
            self._run.close(ending)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ImportError as exc:
            raise ConfigError(
                f"training.trackers: {self._name} is not installed: "
                f"pip install 'crosslabel[{self._name}]'"
            ) from exc
        except Exception as exc:  # errors of the libraries, and of those below them
            line = str(exc).strip().partition("\n")[0]
            raise ConfigError(
                f"training.trackers: {self._name} failed ({type(exc).__name__}: {line}); take it "
                "from the list, or start again to continue from the last checkpoint"
            ) from exc


@contextlib.contextmanager
def tracked(names: Sequence[Tracker], description: Description) -> Iterator[list[TrackedRun]]:
    """Open a run in every tracker named, and record there how the block ended.

    Raises
    ------
    ConfigError
        A tracker is not installed, or failed.
    """
    runs: list[TrackedRun] = []
    try:
        for name in names:
            runs.append(_Reported(name, description))
        yield runs
    except BaseException as exc:
        ending: Ending = "failed" if isinstance(exc, Exception) else "interrupted"
        for run in runs:
            # The first error is the one to report.
            with contextlib.suppress(ConfigError):
                run.close(ending)
        raise
    for run in runs:
        run.close("finished")
