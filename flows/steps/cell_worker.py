"""Train and evaluate one cell of the grid: the task of a Dask worker in ``crosslabel run``."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.steps.quiet_tensorflow import hush, muted_import
from ssldata.building.dask_pool import tell
from ssldata.project.project_file import Project

#: A worker with several threads trains one cell after the other: TensorFlow's settings are those
#: of the process.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Listener:
    """Who wants to hear what the libraries log about a cell while it is trained.

    Attributes
    ----------
    topic
        Of :func:`ssldata.building.dask_pool.tell`.
    cell
        Name of the cell, which its lines begin with.
    """

    topic: str
    cell: str


class _Told(logging.Handler):
    """Tells what the libraries log to the process that asked, or keeps it if that cannot hear."""

    def __init__(self, listener: Listener | None) -> None:
        super().__init__(logging.INFO)
        self._listener = listener
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Tell or keep one record."""
        line = {key: getattr(record, key) for key in ("name", "levelno", "created")}
        message = record.getMessage()
        if self._listener is None:
            self.kept.append({**line, "message": message})
            return
        line["message"] = f"{self._listener.cell}: {message}"
        if not tell(self._listener.topic, line):
            self.kept.append(line)


def log_line(line: Mapping[str, Any]) -> None:
    """Log a line of a worker here, with its time there."""
    logger = logging.getLogger(line["name"])
    if logger.isEnabledFor(line["levelno"]):
        record = logger.makeRecord(line["name"], line["levelno"], "", 0, line["message"], (), None)
        record.created = line["created"]
        record.msecs = (line["created"] % 1) * 1000
        logger.handle(record)


@contextlib.contextmanager
def _told_lines(listener: Listener | None) -> Iterator[list[dict[str, Any]]]:
    handler = _Told(listener)
    loggers = {name: logging.getLogger(name) for name in ("ssldata", "sslmodels")}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield handler.kept
    finally:
        for name, logger in loggers.items():
            logger.removeHandler(handler)
            logger.setLevel(levels[name])
            logger.propagate = True


def train_cell(
    project: Project,
    cell: Mapping[str, Any],
    threads: int,
    replace: bool,
    listener: Listener | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train and evaluate one cell, continuing where another process was stopped.

    Parameters
    ----------
    project
        The project: settings, and absolute paths that the worker must see too.
    cell
        The other arguments of :func:`sslmodels.runs.regimes.train`.
    threads
        Threads of TensorFlow.
    replace
        Overwrite a run of other settings or data.
    listener
        Who hears what the libraries log, as it happens.

    Returns
    -------
    dict
        ``run`` (the folder) and the metrics.
    list of dict
        Lines of the libraries that nobody heard, for :func:`log_line`.
    """
    with _ONE_AT_A_TIME, _told_lines(listener) as lines:
        hush()
        with muted_import():
            from sslmodels.evaluation.evaluate import evaluate_run
            from sslmodels.fit.threads import limit_threads
            from sslmodels.runs.regimes import train
        limit_threads(threads)
        folder = train(project, replace=replace, **cell)
        return {"run": str(folder), **evaluate_run(folder)}, lines
