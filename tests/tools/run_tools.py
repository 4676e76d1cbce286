"""What tests of training share: changed settings, records and identities of runs, cutting a run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import keras

from ssldata.base.files import digest_of, sha256_of
from ssldata.project.project_file import Project
from ssldata.store.store import open_store
from sslmodels.fit.training_loop import save_model
from sslmodels.runs.run_identity import run_identity

EXPERIMENT, MODEL = "alpha", "cnn-7k"


def changed(project: Project, section: str, **values) -> Project:
    part = getattr(project, section).model_copy(update=values)
    return project.model_copy(update={section: part})


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def small_record(*, outputs: list[str] | None = None, **values) -> dict:
    """Return a record with what every reader relies on."""
    identity = {"content": {"reference": "0"}, "training": {}, "outputs": outputs}
    cell = {"experiment": EXPERIMENT, "model": MODEL, "regime": "sl", "seed": 0}
    store = {"path": "gone.zarr", "relative": None}
    made = {**cell, "status": "complete", "identity": identity, "store": store, **values}
    return {"digest": digest_of(made["identity"]), **made}


def put_model(run: Path, model: keras.Model | Path) -> None:
    """Give a run another model, with its checksum in the record."""
    if isinstance(model, Path):
        shutil.copy(model, run / "model.keras")
    else:
        save_model(model, run / "model.keras")
    record = record_of(run)
    record.setdefault("files", {})["model.keras"] = sha256_of(run / "model.keras")
    (run / "run.json").write_text(json.dumps(record))


def identity_of(project: Project, regime: str) -> dict:
    store = open_store(project.store_path(EXPERIMENT))
    return run_identity(project, store, experiment=EXPERIMENT, model=MODEL, regime=regime, seed=0)


class StopAfter:
    """A progress that interrupts after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    @contextlib.contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        def advance(amount: float = 1) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        yield advance
