"""The run folder: its files, and the record of what made them."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssldata.base.differences import described, differences
from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.base.files import write_json_atomic
from ssldata.base.locks import exclusive_lock
from ssldata.base.versions import library_versions
from sslmodels.models.catalogue import MODEL_FILE


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of one run."""

    path: Path

    @property
    def record(self) -> Path:
        """``run.json``."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """The project file, with all defaults."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """One row per epoch and phase."""
        return self.path / "history.csv"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / MODEL_FILE

    @property
    def weights(self) -> Path:
        """Teacher weights of every iteration (ssl-ns); see :mod:`ssldata.store.run_weights`."""
        return self.path / "weights.zarr"

    @property
    def logs(self) -> Path:
        """Event files of TensorBoard, and files of trackers."""
        return self.path / "logs"

    @property
    def evaluation(self) -> Path:
        """Folder of the evaluation."""
        return self.path / "evaluation"

    @property
    def interpretation(self) -> Path:
        """Folder of the interpretation: motifs, their effects, and a page."""
        return self.path / "interpretation"

    @property
    def work(self) -> Path:
        """Checkpoints; removed when the run is complete."""
        return self.path / "work"

    def others(self) -> list[str]:
        """Return the names of files that do not belong in a folder without a record."""
        known = {"evaluation", "interpretation", ".lock"}
        found = self.path.iterdir() if self.path.is_dir() else ()
        # Partial files were left by a writer that was killed.
        return sorted(p.name for p in found if p.name not in known and ".partial" not in p.name)

    def is_complete(self, record: Mapping[str, Any]) -> bool:
        """Return whether the run is complete by its `record`, and has a model."""
        return record.get("status") == "complete" and self.model.exists()

    def clear(self) -> None:
        """Remove the files of a run and nothing else."""
        self.record.unlink(missing_ok=True)  # first: without it the other files do not count
        for path in (self.config, self.history, self.model):
            path.unlink(missing_ok=True)
        for path in (
            self.weights,
            self.evaluation,
            self.interpretation,
            self.logs,
            self.work,
        ):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def run_lock(folder: RunFolder) -> Iterator[None]:
    """Hold the run folder for one writer; others log a warning and wait."""
    folder.path.mkdir(parents=True, exist_ok=True)
    waiting = f"{folder.path}: another process trains this run; waiting for it"
    with exclusive_lock(folder.path / ".lock", waiting=waiting):
        yield


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a run folder.

    Raises
    ------
    MissingInputError
        There is no record.
    ConfigError
        The record is damaged.
    """
    path = RunFolder(folder).record
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder}: not a run folder (no run.json); train one with `crosslabel train`"
        ) from None
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); train again with --replace") from exc
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: expected a mapping; train again with --replace")
    return record


def complete_record(folder: Path) -> dict[str, Any]:
    """Return the record of a complete run.

    Raises
    ------
    MissingInputError
        There is no run.
    ConfigError
        The run is not complete, or its record is damaged.
    """
    record = read_record(folder)
    if record.get("status") != "complete":
        raise ConfigError(
            f"{folder}: this run is not complete; continue it with `crosslabel train`"
        )
    return record


def store_place(folder: RunFolder, record: Mapping[str, Any]) -> Path | str:
    """Return the path or address of the store of a run.

    A local store is looked for relative to the run folder, and then where it was in training.
    """
    path, relative = record["store"]["path"], record["store"]["relative"]
    if relative is None:
        return str(path)
    beside = (folder.path / relative).resolve()
    return beside if beside.exists() else Path(path)


def write_record(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write ``run.json`` atomically."""
    write_json_atomic(folder.record, dict(record))


def claim(folder: RunFolder, *, digest: str, identity: Mapping[str, Any], replace: bool) -> bool:
    """Return whether a run folder is complete; if not, leave it ready to train or continue in.

    Parameters
    ----------
    folder
        The run folder, locked by the caller.
    digest, identity
        The identity of the wanted run (:mod:`sslmodels.runs.run_identity`) and its digest.
    replace
        Remove a run of other settings or data, or a damaged one. A run of this identity is kept,
        and continued if it is not complete.

    Raises
    ------
    ConfigError
        The folder holds something else, or a run of other settings or data, and `replace` is
        false.
    """
    for leftover in folder.path.glob("*.partial*"):
        leftover.unlink()  # of a writer that was killed: the lock is held
    if not folder.record.exists():
        others = folder.others()
        if others and not replace:
            raise ConfigError(
                f"{folder.path}: not a run folder but holds {', '.join(others[:3])}; "
                "choose another training.runs or remove it"
            )
        folder.clear()
        return False
    try:
        record = read_record(folder.path)
    except ConfigError:
        if not replace:
            raise
        record = {}
    if record.get("digest") != digest:
        if replace:
            folder.clear()
            return False
        changed = described(differences(record.get("identity", {}), identity))
        raise ConfigError(
            f"{folder.path}: holds a run of other settings or data "
            f"({'; '.join(changed[:3]) or 'another release'}); train again with --replace "
            "or choose another training.runs"
        )
    return folder.is_complete(record)


def machine() -> dict[str, Any]:
    """Return the system, processors, threads and accelerators of this process, and versions."""
    import tensorflow as tf

    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        # Of TensorFlow; 0 stands for one per core.
        "threads": tf.config.threading.get_intra_op_parallelism_threads()
        or len(os.sched_getaffinity(0)),
        "accelerators": [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ],
        "versions": library_versions("tensorflow", "keras", "scikit-learn"),
    }
