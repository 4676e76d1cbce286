"""What an evaluation depends on, and whether it is up to date. No TensorFlow."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.runs.run_folder import RunFolder, complete_record, misshapen, store_place

#: Incremented when a release writes other files from the same run.
EVALUATION_FORMAT = 2
#: See :mod:`sslmodels.evaluation.resamples_file`.
RESAMPLES_FILE = "resamples.csv"
#: What an evaluation writes, and the file with its numbers, which is written last.
FILES = (
    *("curves.csv", "scores.csv.gz", "pr.png", "roc.png"),
    *("calibration.json", "reliability.png", RESAMPLES_FILE),
)
METRICS = "metrics.json"
#: Keys of ``metrics.json`` that are not metrics.
_CHECKSUMS = ("files", "checksum")

_NUMBERS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("aupr", "aupr_trapezoid", "auroc", "prevalence", "lift"), (float, int, type(None))
    ),
    "intervals": (dict,),
    "blocks": (int,),
}
_NEEDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("experiment", "model", "regime"), (str,)),
    "seed": (int,),
}
_POSSIBLE: dict[str, tuple[type, ...]] = {
    **_NUMBERS,
    "digest": (str,),
    "outputs": (dict,),
    "files": (dict,),
    "checksum": (str,),
}

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A complete run, and the store with its test rows."""

    folder: RunFolder
    record: dict[str, Any]
    store: Store

    @property
    def outputs(self) -> list[str] | None:
        """Experiments of a run with several outputs; None: the run has one experiment."""
        return self.record["identity"].get("outputs")

    @cached_property
    def digest(self) -> str:
        """Identity of the evaluation: model, test rows, experiment or outputs."""
        return digest_of(
            {
                "format": EVALUATION_FORMAT,
                "model": file_digest(self.folder.model),
                "content": self.store.ledger[REFERENCE]["content"],
                "experiment": self.record["experiment"],
                **({} if self.outputs is None else {"outputs": self.outputs}),
            }
        )

    def known(self) -> dict[str, Any] | None:
        """Return the metrics on disk if they belong to `digest`, and all files are as written."""
        folder = self.folder.evaluation
        try:
            found = read_metrics(self.folder.path)
            if found is not None:
                for name in FILES:
                    checked_file(self.folder.path, name)
        except InputError as exc:
            _LOG.warning("%s; the run is evaluated again", exc)
            return None
        if found is None or found.get("digest") != self.digest:
            return None
        return found if all((folder / name).is_file() for name in FILES) else None


def read_metrics(run_folder: Path) -> dict[str, Any] | None:
    """Return the metrics of an evaluated run; None: it is not evaluated.

    Raises
    ------
    InputError
        ``metrics.json`` is damaged.
    """
    found = _read(run_folder)
    return found and {key: value for key, value in found.items() if key not in _CHECKSUMS}


def checked_file(run_folder: Path, name: str) -> Path:
    """Return the path of a file of an evaluation, if it is the one that was written.

    Evaluations of releases before checksums pass.

    Raises
    ------
    InputError
        It is damaged or replaced.
    """
    path = RunFolder(run_folder).evaluation / name
    expected = ((_read(run_folder) or {}).get("files") or {}).get(name)
    if expected is not None and path.is_file() and file_digest(path) != expected:
        raise InputError(
            f"{path}: damaged or replaced (not the sha256 in metrics.json); delete it and call "
            f"`crosslabel evaluate {run_folder}`"
        )
    return path


def write_metrics(
    run_folder: Path, metrics: Mapping[str, Any], *, files: Sequence[str] = FILES
) -> None:
    """Write ``metrics.json``, with checksums of the other `files` and of itself.

    Written last: its presence means that the other files are complete.
    """
    folder = RunFolder(run_folder).evaluation
    value = {**metrics, "files": {name: sha256_of(folder / name) for name in files}}
    write_json_atomic(folder / METRICS, {**value, "checksum": digest_of(value)})


def _read(run_folder: Path) -> dict[str, Any] | None:
    path = RunFolder(run_folder).evaluation / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as exc:
        wrong = f"cannot be read: {exc}"
    else:
        wrong = misshapen(found, _NEEDED, _POSSIBLE)
        for numbers in {} if wrong else found.get("outputs", {}).values():
            wrong = wrong or misshapen(numbers, {}, _NUMBERS)
        given = {} if wrong else {key: found[key] for key in found if key != "checksum"}
        if not wrong and found.get("checksum", digest_of(given)) != digest_of(given):
            wrong = "its checksum is another"
    if wrong:
        raise InputError(
            f"{path}: damaged ({wrong}); delete it and call `crosslabel evaluate {run_folder}`"
        )
    return dict(found)


def subject(run_folder: Path) -> Subject:
    """Open a run and its store.

    Raises
    ------
    MissingInputError
        There is no run, or its store is gone.
    ConfigError
        The run is not complete.
    StoreError
        The store's labelled rows are not those the run was trained on.
    """
    record = complete_record(run_folder)
    folder = RunFolder(run_folder)
    store = open_store(store_place(folder, record))
    trained_on = record["identity"]["content"][REFERENCE]
    content = store.ledger[REFERENCE]["content"]
    if content != trained_on:
        raise StoreError(
            f"{store.location}: its labelled rows changed since {run_folder} was trained on them "
            f"(content {content[:12]}, was {trained_on[:12]}); train it again"
        )
    return Subject(folder, record, store)
