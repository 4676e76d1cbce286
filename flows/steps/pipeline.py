"""What ``crosslabel run`` does, stage by stage, recorded by Prefect or not at all.

Every stage is idempotent, so running again continues where it stopped.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.steps import cell_worker
from flows.steps.quiet_tensorflow import muted_import
from ssldata.base.errors import CrosslabelError, MissingInputError, RunsFailedError, StoreError
from ssldata.base.progress import NoProgress, Progress
from ssldata.building import build_store
from ssldata.building.build_inputs import open_project
from ssldata.building.build_plan import memory_per_worker
from ssldata.building.build_store import StepRunner, plain_step
from ssldata.building.dask_pool import DaskPool, Pool, SerialPool, check_one_place, open_pool
from ssldata.building.up_to_date import is_built
from ssldata.project.project_file import Project

if TYPE_CHECKING:
    from sslmodels.runs.run_grid import Cell

_LOG = logging.getLogger(__name__)

#: Takes the outcome of a cell: its folder and metrics, or why it failed.
Settle = Callable[["Cell", "dict[str, Any] | Exception"], None]


@dataclass(frozen=True)
class Options:
    """Options of a run of a project.

    Attributes
    ----------
    workers
        Dask worker processes of the build; 0 builds in this process.
    train_workers
        Dask worker processes that train; 0 trains in this process.
    dask_scheduler, scheduler_file
        A running Dask cluster in place of both.
    memory
        Memory limit of each local worker of the build, for example ``2GB``.
    train_threads
        Threads of TensorFlow per run. Default: 1 on Dask workers, all cores in this process.
    replace
        Overwrite genomes and runs that were made from other inputs or settings.
    report
        ``paper``: also train the sweeps, and write the benchmark's tables and figures.
    verify_cache
        Read genomes and chains whole, whatever the cache holds of them.
    """

    workers: int = 0
    train_workers: int = 0
    dask_scheduler: str | None = None
    scheduler_file: str | None = None
    memory: str | None = None
    train_threads: int | None = None
    replace: bool = False
    report: Literal["paper"] | None = None
    verify_cache: bool = False

    def __post_init__(self) -> None:
        elsewhere = {
            "--dask-scheduler": self.dask_scheduler,
            "--scheduler-file": self.scheduler_file,
        }
        check_one_place({"--workers": self.workers, **elsewhere})
        check_one_place({"--train-workers": self.train_workers, **elsewhere})

    @property
    def elsewhere(self) -> bool:
        """Whether a running Dask cluster does the work."""
        return bool(self.dask_scheduler or self.scheduler_file)

    @property
    def cluster(self) -> dict[str, Any]:
        """The running Dask cluster, as :func:`ssldata.building.dask_pool.open_pool` takes it."""
        file = self.scheduler_file
        return {
            "scheduler": self.dask_scheduler,
            "scheduler_file": None if file is None else Path(file),
        }


@dataclass
class Pipeline:
    """One run of a project.

    Attributes
    ----------
    project, options
        What to run, and how.
    step
        Runs and records one step.
    progress
        Progress reporter.
    """

    project: Project
    options: Options
    step: StepRunner = plain_step
    progress: Progress = field(default_factory=NoProgress)

    def __post_init__(self) -> None:
        # Everything is opened and checked before anything is written.
        self._inputs = open_project(self.project, verify=self.options.verify_cache)

    def is_done(self) -> bool:
        """Return whether all stores, runs and evaluations exist as the project asks."""
        if not is_built(self._inputs):
            return False
        cells = self._cells() + (self._sweeps() if self.options.report == "paper" else [])
        return not self._baselines_left() and all(finished(cell) is not None for cell in cells)

    def run(self) -> dict[str, Any]:
        """Run all stages.

        Returns
        -------
        dict
            ``stores`` (accounts, see :func:`ssldata.building.build_store.build_project`),
            ``baselines`` (metrics of each, or why it failed), ``runs`` (cell and metrics of each),
            ``report`` (path) and, if asked for, ``paper`` (path).

        Raises
        ------
        RunsFailedError
            Runs failed; all others are complete, and in the report.
        """
        stores = self._build()
        baselines = self._baselines()
        cells = self._cells()
        paper = self.options.report == "paper"
        more = self._sweeps() if paper else []
        done, failures = self._train([*cells, *more])
        runs = [done[cell.folder] for cell in cells if cell.folder in done]
        page = self._report([cell.folder for cell in cells])
        value = {"stores": stores, "baselines": baselines, "runs": runs, "report": str(page)}
        if failures:
            raise _failed(failures, runs=len(failures) + len(done))
        if paper:
            value["paper"] = str(self._paper([*cells, *more]))
        return value

    def _cells(self) -> list[Cell]:
        with self._tensorflow():
            from sslmodels.runs import run_grid
        return list(run_grid.grid(self.project))

    def _sweeps(self) -> list[Cell]:
        from sslmodels.runs import run_grid

        return list(run_grid.sweeps(self.project))

    def _tensorflow(self) -> contextlib.AbstractContextManager[None]:
        return muted_import(announce=getattr(self.progress, "draws", False))

    def _build(self) -> list[dict[str, Any]]:
        with self._build_pool() as pool:
            return build_store.build_project(
                self.project,
                replace=self.options.replace,
                pool=pool,
                progress=self.progress,
                inputs=self._inputs,
                step=self.step,
            )

    def _build_pool(self) -> contextlib.AbstractContextManager[Pool]:
        if is_built(self._inputs):
            return contextlib.nullcontext(SerialPool())  # nothing to give to workers
        return open_pool(
            workers=self.options.workers,
            memory=self.options.memory,
            needed=memory_per_worker(self.project),
            **self.options.cluster,
        )

    def _baselines_left(self) -> bool:
        from sslmodels.baseline_runs.baseline_status import baselines_left

        return bool(baselines_left(self.project, replace=self.options.replace))

    def _baselines(self) -> list[dict[str, Any]]:
        """Train the baselines, in seconds each; those that fail are lines of the report."""
        from sslmodels.baseline_runs.baseline_status import baseline_results

        if not self._baselines_left():
            return baseline_results(self.project)
        with self._tensorflow():
            from sslmodels.baseline_runs.train_baselines import train_baselines
        how = {"replace": self.options.replace, "progress": self.progress}
        return self.step("baselines", self.project.name, train_baselines, self.project, **how)

    def _train(
        self, cells: Sequence[Cell]
    ) -> tuple[dict[Path, dict[str, Any]], dict[str, Exception]]:
        """Train and evaluate cells; return metrics by folder, and failures by name."""
        done: dict[Path, dict[str, Any]] = {}
        left: dict[Path, Cell] = {}  # a value of a sweep may be a run of the grid
        for cell in cells:
            metrics = finished(cell)
            if metrics is None:
                left.setdefault(cell.folder, cell)
            else:
                done[cell.folder] = metrics
        failures: dict[str, Exception] = {}
        if not left:
            return done, failures
        with self.progress.task("train", len(left)) as advance:

            def settle(cell: Cell, outcome: dict[str, Any] | Exception) -> None:
                if isinstance(outcome, Exception):
                    failures[cell.name] = outcome
                    _LOG.error("%s: %s", cell.name, outcome)
                else:
                    done[cell.folder] = outcome
                advance(1)

            if self.options.elsewhere or self.options.train_workers:
                self._on_workers(list(left.values()), settle)
            else:
                self._here(list(left.values()), settle)
        return done, failures

    def _here(self, cells: Sequence[Cell], settle: Settle) -> None:
        """Train in this process, one cell after the other."""
        with self._tensorflow():
            from sslmodels.evaluation.evaluate import evaluate_run
            from sslmodels.fit.threads import limit_threads
            from sslmodels.runs.regimes import train

        if self.options.train_threads:
            limit_threads(self.options.train_threads)
        for cell in cells:
            how = {"progress": self.progress, "replace": self.options.replace, **cell.training}
            try:
                folder = self.step("train", cell.name, train, cell.project, **how)
                metrics = self.step(
                    "evaluate", cell.name, evaluate_run, folder, progress=self.progress
                )
            except CrosslabelError as exc:
                settle(cell, exc)
            else:
                settle(cell, {"run": str(folder), **metrics})

    def _on_workers(self, cells: Sequence[Cell], settle: Settle) -> None:
        """Train on Dask workers, as many cells at once as there are workers."""
        options = self.options
        # No memory limit: a run takes what it would take in this process.
        memory = "0" if options.train_workers else None
        with open_pool(workers=options.train_workers, memory=memory, **options.cluster) as pool:
            # One step for all: otherwise the recorder would be called from many threads.
            self.step("train", f"{len(cells)} runs on Dask", self._drive, pool, cells, settle)

    def _drive(self, pool: DaskPool, cells: Sequence[Cell], settle: Settle) -> None:
        """Hand cells to workers, and settle each when it completes."""
        from sslmodels.runs import run_grid

        # Otherwise a worker of a student would wait for that of its teacher.
        waits = run_grid.prerequisites(cells)
        named = {cell.name: cell for cell in cells}
        by_name = {name: named[name] for name in waits}
        after = {name: others for name, others in waits.items() if others}
        how = (self.options.train_threads or 1, self.options.replace)
        topic = f"crosslabel-{uuid.uuid4()}"
        calls = {
            name: (cell.project, cell.training, *how, cell_worker.Listener(topic, name))
            for name, cell in by_name.items()
        }
        # Lines come in a thread of Dask's; those who log them there know the run by its context.
        context = contextvars.copy_context()

        def heard(line: Mapping[str, Any]) -> None:
            context.copy().run(cell_worker.log_line, line)

        with pool.told(topic, heard):
            for name, outcome in pool.run_all(cell_worker.train_cell, calls, after=after):
                try:
                    metrics = self.step("trained", name, _metrics_of, outcome)
                except Exception as exc:
                    if not isinstance(outcome, Exception):
                        raise  # it could not be recorded
                    settle(by_name[name], exc)
                else:
                    settle(by_name[name], metrics)

    def _report(self, folders: list[Path]) -> Path:
        from sslmodels.report.report_page import write_report

        return self.step(
            "report",
            self.project.name,
            *(write_report, self.project.training.runs / "report.html"),
            title=self.project.name,
            project=self.project,
            run_folders=folders,
        )

    def _paper(self, cells: list[Cell]) -> Path:
        from sslmodels.benchmark import grid_results
        from sslmodels.benchmark.baseline_rows import with_baselines
        from sslmodels.benchmark.paper_page import write_paper

        results = self.step("collect", self.project.name, grid_results.collect, cells)
        results = with_baselines(self.project, results)
        return self.step(
            "paper",
            self.project.name,
            *(write_paper, self.project.training.runs / "paper"),
            project=self.project,
            results=results,
        )


def _metrics_of(outcome: tuple[dict[str, Any], list[dict[str, Any]]] | Exception) -> dict[str, Any]:
    """Return the metrics of a cell that a worker has finished, or raise why it failed."""
    if isinstance(outcome, Exception):
        raise outcome
    metrics, lines = outcome
    for line in lines:
        cell_worker.log_line(line)
    return metrics


def finished(cell: Cell) -> dict[str, Any] | None:
    """Return the folder and the metrics of a cell that is trained and evaluated as asked."""
    from sslmodels.evaluation.evaluation_status import subject
    from sslmodels.runs.run_status import run_status

    if run_status(cell.project, **cell.arguments).status != "complete":
        return None
    try:
        metrics = subject(cell.folder).known()
    except (MissingInputError, StoreError):
        return None  # its evaluation reports what is wrong, and fails this run alone
    return None if metrics is None else {"run": str(cell.folder), **metrics}


def _failed(failures: Mapping[str, Exception], *, runs: int) -> Exception:
    """Return the one error that stands for all runs that failed; each was logged before."""
    for error in failures.values():
        if not isinstance(error, CrosslabelError):
            return error  # a full disk, or a bug: reported as such
    return RunsFailedError(
        f"{len(failures)} of {runs} runs failed, see above; once that is mended, run again: what "
        "is complete is left alone"
    )
