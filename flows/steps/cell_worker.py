"""Train and evaluate one cell of the grid: the task of a Dask worker in ``crosslabel run``."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from flows.steps.quiet_tensorflow import hush, muted_import
from ssldata.project.project_file import Project

#: A worker with several threads trains one cell after the other: TensorFlow's settings are those
#: of the process.
_ONE_AT_A_TIME = threading.Lock()


class _Kept(logging.Handler):
    """Keeps the warnings of the libraries, for the process that asked."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def _kept_warnings() -> Iterator[list[str]]:
    handler = _Kept()
    loggers = [logging.getLogger(name) for name in ("ssldata", "sslmodels")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def train_cell(
    project: Project, cell: Mapping[str, Any], threads: int, replace: bool
) -> tuple[dict[str, Any], list[str]]:
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

    Returns
    -------
    dict
        ``run`` (the folder) and the metrics.
    list of str
        Warnings of the libraries.
    """
    with _ONE_AT_A_TIME, _kept_warnings() as warnings:
        hush()
        with muted_import():
            from sslmodels.evaluation.evaluate import evaluate_run
            from sslmodels.fit.threads import limit_threads
            from sslmodels.runs.regimes import train
        limit_threads(threads)
        folder = train(project, replace=replace, **cell)
        return {"run": str(folder), **evaluate_run(folder)}, warnings
