"""Logs of a run that people watch: TensorBoard always, trackers of experiments when asked for.

They are no part of what a run gives: the same run twice has the same model and history, and logs of
other times and speeds.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sslmodels.trackers import TrackedRun
from sslmodels.training import EpochLog


@contextlib.contextmanager
def tensorboard_log(folder: Path) -> Iterator[EpochLog]:
    """Write event files of one fit: a scalar per epoch for every number of its record.

    The folder is written anew each time, the epochs already done first: of a run that was killed
    it may hold epochs that are done again.
    """
    import tensorflow as tf

    shutil.rmtree(folder, ignore_errors=True)
    writer = tf.summary.create_file_writer(str(folder))
    # As tf.summary.scalar does it, which needs the package tensorboard; event files do not.
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
        Of the event files, a folder in it for every phase.
    trackers
        Opened by :func:`sslmodels.trackers.tracked`.
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
