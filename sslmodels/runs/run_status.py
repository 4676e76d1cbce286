"""The status of runs, without training or evaluating anything. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssldata.base.differences import described, differences
from ssldata.base.errors import (
    ConfigError,
    FetchError,
    MissingInputError,
    StoreError,
    UnreachableError,
)
from ssldata.base.files import digest_of
from ssldata.project.project_file import Project
from ssldata.store.store import open_store
from sslmodels.runs.run_folder import RunFolder, read_record
from sslmodels.runs.run_identity import run_folder, run_identity

Status = Literal["missing", "complete", "partial", "changed", "damaged", "unknown"]


@dataclass(frozen=True)
class RunStatus:
    """The status of one run.

    Attributes
    ----------
    folder
        The run folder.
    status
        ``missing`` (to be trained), ``complete`` (with these settings and rows), ``partial``
        (interrupted; will continue), ``changed`` (made from other settings or rows: refused
        without ``--replace``), ``damaged`` (its record cannot be read, or the folder holds
        something else: refused too), ``unknown`` (its store must be built, or the files of
        DNABERT-2 downloaded, first).
    reasons
        What differs, as ``key: old → new``, or what is wrong.
    """

    folder: Path
    status: Status
    reasons: tuple[str, ...] = ()


def run_status(project: Project, **cell: Any) -> RunStatus:
    """Return the status of one run.

    Parameters
    ----------
    project
        The project.
    cell
        ``experiment``, ``model``, ``regime`` and ``seed``.

    Raises
    ------
    ConfigError
        No such experiment or model, or a setting that no run of this project can have.
    """
    folder = RunFolder(run_folder(project, **cell))
    try:
        record = read_record(folder.path)
    except MissingInputError:
        others = folder.others()
        if others:
            return RunStatus(folder.path, "damaged", (f"no run.json, but {', '.join(others[:3])}",))
        return RunStatus(folder.path, "missing")
    except ConfigError as exc:
        return RunStatus(folder.path, "damaged", (str(exc),))
    try:
        store = open_store(project.store_path(cell["experiment"]))
        # Looking at the status downloads nothing.
        identity = run_identity(project, store, offline=True, **cell)
    except UnreachableError:
        reason = "DNABERT-2 is not downloaded yet; the run does it"
        return RunStatus(folder.path, "unknown", (reason,))
    except (MissingInputError, StoreError, FetchError) as exc:
        return RunStatus(folder.path, "unknown", (str(exc),))
    if record.get("digest") != digest_of(identity):
        changed = described(differences(record.get("identity", {}), identity))
        return RunStatus(folder.path, "changed", tuple(changed) or ("made by another release",))
    return RunStatus(folder.path, "complete" if folder.is_complete(record) else "partial")
