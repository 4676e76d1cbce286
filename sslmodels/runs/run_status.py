"""The status of runs, and what it allows; nothing is trained or evaluated. No TensorFlow."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssldata.base.cache_folder import file_digest
from ssldata.base.differences import described, differences
from ssldata.base.errors import (
    ConfigError,
    FetchError,
    InputError,
    MissingInputError,
    StoreError,
    UnreachableError,
)
from ssldata.base.files import digest_of
from ssldata.project.project_file import Project
from ssldata.store.store import open_store
from sslmodels.models.catalogue import MODEL_FILE
from sslmodels.runs.run_folder import EARLIER, RunFolder, check_files, read_record
from sslmodels.runs.run_identity import changed_rows, run_folder, run_identity

_LOG = logging.getLogger(__name__)

Status = Literal["missing", "complete", "partial", "stale", "changed", "damaged", "unknown"]


@dataclass(frozen=True)
class RunStatus:
    """The status of one run.

    Attributes
    ----------
    folder
        The run folder.
    status
        ``missing`` (to be trained), ``complete`` (with these settings and rows), ``partial``
        (interrupted; will continue), ``stale`` (the same settings, but the store holds other
        rows now: will be trained again, and kept as an earlier run), ``changed`` (made from other
        settings: refused without ``--replace``), ``damaged`` (its record cannot be read, its model
        is not the one that was saved, or the folder holds something else: refused too),
        ``unknown`` (its store must be built, or the files of DNABERT-2 downloaded, first).
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

    def identity() -> dict[str, Any]:
        store = open_store(project.store_path(cell["experiment"]))
        # Looking at the status downloads nothing.
        return run_identity(project, store, offline=True, **cell)

    try:
        genomes = [genome.name for genome in project.genomes]
        return status_for(folder, identity, genomes=genomes)
    except UnreachableError:
        reason = "DNABERT-2 is not downloaded yet; the run does it"
        return RunStatus(folder.path, "unknown", (reason,))
    except (MissingInputError, StoreError, FetchError) as exc:
        return RunStatus(folder.path, "unknown", (str(exc),))


def status_for(
    folder: RunFolder, identity: Callable[[], Mapping[str, Any]], *, genomes: Sequence[str] = ()
) -> RunStatus:
    """Return the status of a run folder for the run of an identity, asked for if it matters.

    Genomes are named in the order of `genomes`.
    """
    path = folder.path
    try:
        record = read_record(path)
    except MissingInputError:
        others = folder.others()
        if not others:
            return RunStatus(path, "missing")
        reason = (
            f"{path}: not a run folder but holds {', '.join(others[:3])}; "
            "choose another training.runs or remove it"
        )
        return RunStatus(path, "damaged", (reason,))
    except ConfigError as exc:
        return RunStatus(path, "damaged", (str(exc),))
    wanted = identity()
    if record["digest"] != digest_of(wanted):
        rows = changed_rows(record["identity"], wanted, genomes=genomes)
        if rows:
            return RunStatus(path, "stale", (f"rows changed: {rows}",))
        changed = described(differences(record["identity"], wanted))
        return RunStatus(path, "changed", tuple(changed) or ("made by another release",))
    if not folder.is_complete(record):
        return RunStatus(path, "partial")
    expected = record.get("files", {}).get(MODEL_FILE)
    if expected not in (None, file_digest(folder.model)):
        try:
            check_files(path, record, MODEL_FILE)
        except InputError as exc:
            return RunStatus(path, "damaged", (str(exc),))
    return RunStatus(path, "complete")


def claim(folder: RunFolder, *, identity: Mapping[str, Any], replace: bool) -> bool:
    """Return whether a run folder is complete; if not, leave it ready to train or continue in.

    Parameters
    ----------
    folder
        The run folder, locked by the caller.
    identity
        The identity of the wanted run (:mod:`sslmodels.runs.run_identity`).
    replace
        Remove a run of other settings with its earlier runs, or a damaged one. A run of this
        identity is kept, and continued if it is not complete.

    Raises
    ------
    ConfigError
        The folder holds something else, a run of other settings or a damaged one, and `replace`
        is false.
    """
    for place in (folder.path, folder.students):
        for leftover in place.glob("*.partial*"):
            leftover.unlink()  # of a writer that was killed: the lock is held
    for leftover in (folder.path / EARLIER).glob("*.partial"):
        shutil.rmtree(leftover)
    found = status_for(folder, lambda: identity)
    if found.status in ("complete", "partial"):
        return found.status == "complete"
    if found.status == "stale":
        record = read_record(folder.path)
        if folder.is_complete(record):
            folder.keep(record)
        _LOG.info("%s: trained again (%s)", folder.path, found.reasons[0])
    elif found.status != "missing":
        if not replace:
            raise ConfigError(_refusal(found))
        shutil.rmtree(folder.path / EARLIER, ignore_errors=True)
    folder.clear()
    return False


def _refusal(found: RunStatus) -> str:
    if found.status == "damaged":
        return found.reasons[0]
    return (
        f"{found.folder}: holds a run of other settings ({'; '.join(found.reasons[:3])}); "
        "train again with --replace or choose another training.runs"
    )
