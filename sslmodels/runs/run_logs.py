"""Logs for watching a run: CSV and TensorBoard always, trackers if configured.

The history as CSV is part of the result of a run. The other logs are not: they record times and
speeds, which differ between two runs that give the same model and history.
"""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.files import write_text_atomic
from sslmodels.fit.callback import EpochLog
from sslmodels.runs.trackers import TrackedRun

#: Columns of the history of a run.
HISTORY = ("phase", "epoch", "loss", "val_loss", "val_aupr", "learning_rate")


def write_history(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write the epochs of a run as CSV, one line each, whole or not at all.

    Equal numbers give equal files; only the columns of :data:`HISTORY` are written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(records)
    write_text_atomic(path, text.getvalue())


@contextlib.contextmanager
def tensorboard_log(folder: Path) -> Iterator[EpochLog]:
    """Write event files of one fit: a scalar per epoch for every number of its record.

    The folder is rewritten each time, starting with the epochs already done: that of a killed run
    may hold epochs that are now repeated. Summaries are written with ``tf.summary.write`` because
    ``tf.summary.scalar`` and Keras's TensorBoard callback need the package tensorboard, which
    event files do not (TensorFlow 2.21 no longer installs it).
    """
    import tensorflow as tf

    shutil.rmtree(folder, ignore_errors=True)
    writer = tf.summary.create_file_writer(str(folder))
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
    written = 0

    def log(epochs: Sequence[Mapping[str, float]]) -> None:
        nonlocal written
        with writer.as_default():
            for record in epochs[written:]:
                for name in record.keys() - {"epoch"}:
                    step = int(record["epoch"])
                    tf.summary.write(name, np.float32(record[name]), step, metadata)
        written = len(epochs)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


@dataclass(frozen=True)
class RunLogs:
    """Where the epochs of a run are logged.

    Attributes
    ----------
    folder
        Of the event files, with a folder for every phase.
    trackers
        Opened by :func:`sslmodels.runs.trackers.tracked`.
    """

    folder: Path
    trackers: Sequence[TrackedRun] = field(default_factory=list)

    @contextlib.contextmanager
    def phase(self, number: int, name: str) -> Iterator[EpochLog]:
        """Open the logs of one phase; the value is the `log` of a fit."""
        with tensorboard_log(self.folder / f"{number:02d}-{name}") as board:

            def log(epochs: Sequence[Mapping[str, float]]) -> None:
                board(epochs)
                for tracker in self.trackers:
                    tracker.log(name, epochs)

            yield log
