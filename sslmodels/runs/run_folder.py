"""The run folder: its files, the record of what made them, and its earlier runs.

``earlier/1``, ``earlier/2``, … are run folders themselves, the oldest first: made with the same
settings from the rows that the store held then. When its rows change, the run is kept there before
it is trained again, so that the two can be compared.
"""

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

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic
from ssldata.base.locks import exclusive_lock
from ssldata.base.processor import processor
from ssldata.base.versions import library_versions
from ssldata.store.store_writer import sync_tree
from sslmodels.models.catalogue import COMMITTEE_FILE, MODEL_FILE

#: Folder of the earlier runs.
EARLIER = "earlier"
#: What is not kept of an earlier run: checkpoints, event files, the lock, rests of killed writers.
_NOT_KEPT = shutil.ignore_patterns(EARLIER, "work", "logs", ".lock", "*.partial*")

_NUMBER = (int, float)
#: Dotted key → types: what is relied on in every record, and what may be in it.
_NEEDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("status", "digest", "experiment", "model", "regime"), (str,)),
    "seed": (int,),
    **dict.fromkeys(("identity", "identity.training", "identity.content", "store"), (dict,)),
    **dict.fromkeys(("identity.content.reference", "store.path"), (str,)),
    "store.relative": (str, type(None)),
}
_POSSIBLE: dict[str, tuple[type, ...]] = {
    "files": (dict,),
    "students": (list,),
    "parameters": (int,),
    "steps": (int,),
    "wall_s": _NUMBER,
}


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
    def committee(self) -> Path:
        """The members of a committee beside its network, and how they are combined."""
        return self.path / COMMITTEE_FILE

    @property
    def weights(self) -> Path:
        """Teacher weights of every iteration (ssl-ns); see :mod:`ssldata.store.run_weights`."""
        return self.path / "weights.zarr"

    @property
    def students(self) -> Path:
        """The first teacher and the students before the last (ssl-ns)."""
        return self.path / "students"

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
    def hot_spots(self) -> Path:
        """Folder of the known motifs in hot spots: tests between classes, and a page."""
        return self.path / "hot-spots"

    @property
    def work(self) -> Path:
        """Checkpoints; removed when the run is complete."""
        return self.path / "work"

    @property
    def earlier(self) -> list[Path]:
        """Folders of the earlier runs, the oldest first."""
        found = [path for path in (self.path / EARLIER).glob("*") if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))

    def others(self) -> list[str]:
        """Return the names of files that do not belong in a folder without a record."""
        known = {"evaluation", "interpretation", "hot-spots", ".lock", EARLIER}
        found = self.path.iterdir() if self.path.is_dir() else ()
        # Partial files were left by a writer that was killed.
        return sorted(p.name for p in found if p.name not in known and ".partial" not in p.name)

    def is_complete(self, record: Mapping[str, Any]) -> bool:
        """Return whether the run is complete by its `record`, and has a model."""
        return record.get("status") == "complete" and self.model.exists()

    def checksums(self) -> dict[str, str]:
        """Return the sha256 of the files of a trained run, by their paths in the folder."""
        files = [self.model, self.config, self.history, self.committee]
        files += [file for part in (self.weights, self.students) for file in part.rglob("*")]
        return {
            file.relative_to(self.path).as_posix(): sha256_of(file)
            for file in sorted(files)
            if file.is_file()
        }

    def keep(self, record: Mapping[str, Any]) -> None:
        """Keep this complete run among its earlier ones, whole or not at all; it stays in place.

        Files are linked rather than copied where the file system can: all of them are replaced by
        renames, never written to. A run that was kept by a process killed since is not kept twice.
        """
        known = self.earlier
        if known and _digest_in(known[-1]) == record["digest"]:
            return
        place = self.path / EARLIER / str(int(known[-1].name) + 1 if known else 1)
        temporary = place.with_name(f"{place.name}.partial")
        shutil.copytree(self.path, temporary, ignore=_NOT_KEPT, copy_function=link_or_copy)
        sync_tree(temporary)
        temporary.rename(place)

    def clear(self) -> None:
        """Remove the files of a run, but neither its earlier runs nor anything else.

        The model first: without it a run is not complete. The record last: it says what this is.
        """
        for path in (self.model, self.history, self.config):
            path.unlink(missing_ok=True)
        for path in (
            self.weights,
            self.students,
            self.evaluation,
            self.interpretation,
            self.hot_spots,
            self.logs,
            self.work,
        ):
            shutil.rmtree(path, ignore_errors=True)
        self.record.unlink(missing_ok=True)


def _digest_in(folder: Path) -> str | None:
    """Return the digest in the record of a run folder; None: it cannot be read."""
    try:
        return str(read_record(folder)["digest"])
    except (ConfigError, MissingInputError):
        return None


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Make `target` the same file as `source`, or a copy of it."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


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
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(
            f"{folder}: not a run folder (no run.json); train one with `crosslabel train`"
        ) from None
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); train again with --replace") from exc
    wrong = misshapen(record, _NEEDED, _POSSIBLE)
    if not wrong and record["digest"] != digest_of(record["identity"]):
        wrong = "its digest is not that of its identity"
    if wrong:
        raise ConfigError(
            f"{path}: not the record of a run, or damaged ({wrong}); train again with --replace"
        )
    return dict(record)


def misshapen(
    value: Any,
    needed: Mapping[str, tuple[type, ...]],
    possible: Mapping[str, tuple[type, ...]],
) -> str:
    """Return what is wrong with JSON that others may have written, or "".

    Parameters
    ----------
    value
        The parsed JSON.
    needed, possible
        Dotted key → types, outer keys first; `possible` keys may be missing.
    """
    if not isinstance(value, dict):
        return "not a mapping"
    for key, types in {**needed, **possible}.items():
        found: Any = value
        for part in key.split("."):
            if part not in found:
                if key in needed:
                    return f"no {key}"
                break
            found = found[part]
        else:
            if type(found) not in types:
                return f"{key} is {str(found)[:40]!r}"
    return ""


def check_files(folder: Path, record: Mapping[str, Any], part: str) -> None:
    """Raise :class:`InputError` unless files of a run are those that were written.

    Runs of releases before checksums pass.

    Parameters
    ----------
    folder, record
        The run folder and its record.
    part
        A file, or a folder for all files in it.
    """
    for name, expected in record.get("files", {}).items():
        if name != part and not name.startswith(f"{part}/"):
            continue
        path = folder / name
        found = sha256_of(path) if path.is_file() else "none"
        if found != expected:
            raise InputError(
                f"{path}: damaged or replaced (sha256 {found[:12]}, run.json has "
                f"{str(expected)[:12]}); copy it again, or train again with --replace"
            )


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
    home = folder.path.parents[1] if folder.path.parent.name == EARLIER else folder.path
    beside = (home / relative).resolve()
    return beside if beside.exists() else Path(path)


def write_record(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write ``run.json`` atomically."""
    write_json_atomic(folder.record, dict(record))


def machine() -> dict[str, Any]:
    """Return the system, processors, threads and accelerators of this process, and versions."""
    import tensorflow as tf

    return {
        "system": platform.platform(),
        "processor": processor(),
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
