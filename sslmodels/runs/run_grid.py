"""Which runs a project asks for: the cells of its grid and of its sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.runs import training_rows
from sslmodels.runs.regime_table import REGIME_TABLE, swept_regimes
from sslmodels.runs.run_identity import run_folder, with_runs

#: Keys of ``training.sweeps`` that are series of values.
SWEEPS = ("nearest", "labelled_peaks", "iterations", "noise_sd")

#: Columns of every table of results that identify the run.
CELL = ("experiment", "model", "regime", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of the benchmark.

    Attributes
    ----------
    project
        The project with the settings of the sweep, whose runs folder is its own.
    experiment, model, regime, seed
        The cell of the grid; a run of all outputs has the experiment ``joint``.
    sweep, value
        Key of ``training.sweeps`` and its value; empty and NaN for the grid itself.
    teachers
        Runs folder of the teacher of ssl-ns, which is that of the grid in every sweep; None: the
        project's.
    """

    project: Project
    experiment: str
    model: str
    regime: Regime
    seed: int
    sweep: str = ""
    value: float = float("nan")
    teachers: Path | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What identifies a run of a project."""
        return {key: getattr(self, key) for key in CELL}

    @property
    def training(self) -> dict[str, Any]:
        """The arguments of :func:`sslmodels.runs.regimes.train` beside the project."""
        return {**self.arguments, "teachers": self.teachers}

    @property
    def teacher_folder(self) -> Path | None:
        """The run folder of the teacher, or of a committee's network; None: neither."""
        teacher = REGIME_TABLE[self.regime].first
        if teacher is None:
            return None
        project = with_runs(self.project, self.teachers)
        return run_folder(project, **{**self.arguments, "regime": teacher})

    @property
    def folder(self) -> Path:
        """The run folder."""
        return run_folder(self.project, **self.arguments)

    @property
    def name(self) -> str:
        """The cell in one line."""
        sweep = f" / {self.sweep} {self.value:g}" if self.sweep else ""
        return f"{self.experiment} / {self.model} / {self.regime} / seed {self.seed}{sweep}"


def grid(project: Project) -> Iterator[Cell]:
    """Yield the cells of the grid, seeds outermost: an interrupted benchmark has whole sets."""
    training = project.training
    for seed, model, experiment, regime in product(
        training.seeds, training.models, project.cells(), training.regimes
    ):
        yield Cell(project, experiment, model, regime, seed)


def sweeps(project: Project) -> Iterator[Cell]:
    """Yield the cells of the sweeps; the stores must be built.

    Values that an experiment is too small for are left out: more genomes than its store holds,
    more labelled loci than it has.
    """
    training = project.training
    for sweep in SWEEPS:
        of_model = {model: training.sweeps.values(sweep, model) for model in training.models}
        for value in dict.fromkeys(value for values in of_model.values() for value in values):
            models = [model for model, values in of_model.items() if value in values]
            yield from _series(project, sweep, value, models)


def prerequisites(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the names of cells in an order of training, each with those that it waits for.

    A student waits for its teacher, a committee for its network, and a run of k iterations for
    that of the next smaller number among `cells`, whose students it takes.
    """
    ordered = sorted(cells, key=_rank)
    by_folder = {cell.folder: cell.name for cell in ordered}
    before: dict[tuple[Any, ...], str] = {}
    found: dict[str, list[str]] = {}
    for cell in ordered:
        waits = [by_folder.get(cell.teacher_folder)] if cell.teacher_folder else []
        if cell.teacher_folder is not None and cell.sweep in ("", "iterations"):
            series = (cell.experiment, cell.model, cell.regime, cell.seed)
            waits.append(before.get(series))
            before[series] = cell.name
        found[cell.name] = [name for name in waits if name is not None]
    return found


def _rank(cell: Cell) -> tuple[bool, int]:
    return cell.teacher_folder is not None, cell.project.training.noisy_student.iterations


def _series(project: Project, sweep: str, value: float, models: Sequence[str]) -> Iterator[Cell]:
    training = project.training
    student = training.noisy_student
    changes: dict[str, Any] = {"runs": training.runs / "sweeps" / f"{sweep}-{value:g}"}
    if sweep in ("iterations", "noise_sd"):
        changes["noisy_student"] = student.model_copy(update={sweep: value})
    else:
        changes[sweep] = value
    varied = project.model_copy(update={"training": training.model_copy(update=changes)})
    for seed, model, experiment, regime in product(
        training.seeds, models, project.cells(), swept_regimes(training, sweep)
    ):
        if not _fits(project, experiment, sweep, value):
            continue
        # With the value of the grid itself it is a run of the grid.
        same = regime in training.regimes and value == _own_value(project, experiment, sweep)
        used = project if same else varied
        yield Cell(used, experiment, model, regime, seed, sweep, float(value), training.runs)


def _own_value(project: Project, experiment: str, sweep: str) -> float | None:
    """Return the value that the grid itself is trained with; None: all loci."""
    training = project.training
    if sweep == "nearest":
        genomes = len(open_store(project.store_path(experiment)).genomes)
        return min(training.nearest or genomes, genomes)
    if sweep == "labelled_peaks":
        return training.labelled_peaks
    return float(getattr(training.noisy_student, sweep))


def _fits(project: Project, experiment: str, sweep: str, value: float) -> bool:
    store = open_store(project.store_path(experiment))
    if sweep == "nearest":
        return value <= len(store.genomes)
    if sweep == "labelled_peaks":
        return value <= labelled_loci(project, store, experiment)
    return True


def labelled_loci(project: Project, store: Store, experiment: str) -> int:
    """Return the number of labelled loci with training peaks of any output."""
    outputs = project.outputs_of(experiment)
    rows = training_rows.labelled_rows(store, outputs, project.negatives, seed=0).positives[0]
    return len(np.unique(store.group(REFERENCE).column("locus")[rows.rows(0, len(rows))]))
