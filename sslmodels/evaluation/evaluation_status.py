"""What an evaluation depends on, and whether it is up to date. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import StoreError
from ssldata.base.files import digest_of
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.runs.run_folder import RunFolder, complete_record, store_place

#: Incremented when a release writes other files from the same run.
EVALUATION_FORMAT = 1
_FILES = (
    *("metrics.json", "curves.csv", "scores.csv.gz", "pr.png", "roc.png"),
    *("calibration.json", "reliability.png"),
)


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
        """Return the metrics on disk if they belong to `digest` and no file is missing."""
        folder = self.folder.evaluation
        try:
            found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        complete = all((folder / name).is_file() for name in _FILES)
        same = isinstance(found, dict) and found.get("digest") == self.digest
        return found if complete and same else None


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
            f"(content {content[:12]}, was {trained_on[:12]}); train again with --replace"
        )
    return Subject(folder, record, store)
