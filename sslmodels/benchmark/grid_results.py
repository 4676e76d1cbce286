"""The benchmark: which runs a project's grid and sweeps are, and their results as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime
from ssldata.store.store import HOMOLOGUES, REFERENCE, Store, open_store
from sslmodels.runs import training_rows
from sslmodels.runs.run_folder import complete_record
from sslmodels.runs.run_identity import run_folder, with_runs
from sslmodels.scores.metrics import by_experiment

#: Column of every result that says what was measured.
CELL = ("experiment", "model", "regime", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of the benchmark.

    Attributes
    ----------
    project
        With what the sweep changes, and a runs folder of the sweep's own.
    experiment, model, regime, seed
        The cell of the grid; a run of all outputs has the experiment ``joint``.
    sweep, value
        Key of ``training.sweeps`` and its value; empty and NaN for the grid itself.
    teachers
        Runs folder of the teacher of ssl-ns, which no sweep changes: that of the grid; None: the
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
        """What tells the runs of a project apart."""
        return {key: getattr(self, key) for key in CELL}

    @property
    def training(self) -> dict[str, Any]:
        """What :func:`sslmodels.runs.regimes.train` takes beside the project."""
        return {**self.arguments, "teachers": self.teachers}

    @property
    def teacher_folder(self) -> Path:
        """The run folder of the teacher of ssl-ns."""
        project = with_runs(self.project, self.teachers)
        return run_folder(project, **{**self.arguments, "regime": "sl"})

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
    """Yield the cells of the grid: seeds outermost, so that a cut benchmark compares whole sets."""
    training = project.training
    for seed, model, experiment, regime in product(
        training.seeds, training.models, project.cells(), training.regimes
    ):
        yield Cell(project, experiment, model, regime, seed)


def sweeps(project: Project) -> Iterator[Cell]:
    """Yield the cells of the sweeps; the stores must be built.

    Values an experiment is too small for are left out: more genomes than its store holds, more
    labelled loci than it has.
    """
    options = project.training.sweeps
    for value in options.nearest:
        yield from _series(project, "nearest", value, ("ssl",))
    for value in options.labelled_peaks:
        regimes = tuple(r for r in project.training.regimes if r != "ssl-ns")
        yield from _series(project, "labelled_peaks", value, regimes)
    for value in options.iterations:
        yield from _series(project, "iterations", value, ("ssl-ns",))
    for sd in options.noise_sd:
        yield from _series(project, "noise_sd", sd, ("ssl-ns",))


def _series(
    project: Project, sweep: str, value: float, regimes: tuple[Regime, ...]
) -> Iterator[Cell]:
    training = project.training
    student = training.noisy_student
    changes: dict[str, Any] = {"runs": training.runs / "sweeps" / f"{sweep}-{value:g}"}
    if sweep in ("iterations", "noise_sd"):
        changes["noisy_student"] = student.model_copy(update={sweep: value})
    else:
        changes[sweep] = value
    varied = project.model_copy(update={"training": training.model_copy(update=changes)})
    models = training.sweeps.models or training.models
    for seed, model, experiment, regime in product(
        training.seeds, models, project.cells(), regimes
    ):
        if not _fits(project, experiment, sweep, value):
            continue
        # A value that is the grid's own is a run of the grid.
        same = regime in training.regimes and value == _own_value(project, experiment, sweep)
        used = project if same else varied
        yield Cell(used, experiment, model, regime, seed, sweep, float(value), training.runs)


def _own_value(project: Project, experiment: str, sweep: str) -> float | None:
    """Return the value of a sweep that the grid itself is trained with; None: all loci."""
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
        return value <= _labelled_loci(project, store, experiment)
    return True


def _labelled_loci(project: Project, store: Store, experiment: str) -> int:
    """Return how many labelled loci with training peaks of any output there are."""
    outputs = project.outputs_of(experiment)
    rows = training_rows.labelled_rows(store, outputs, project.negatives, seed=0).positives[0]
    return len(np.unique(store.group(REFERENCE).column("locus")[rows.rows(0, len(rows))]))


def collect(cells: Iterable[Cell]) -> pd.DataFrame:
    """Return one row per run and experiment: the cell, metrics of the test bins, what it learnt on.

    A run of several outputs has a row for each, comparable with those of single runs: its
    ``model`` ends in `` joint``.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, seed, sweep, value, aupr, auroc, prevalence, lift,
        collapsed, positives (of the test), labelled and pseudo_labelled (training positives),
        loci (labelled ones of all outputs together), parameters, steps, wall_s, run.
    """
    from sslmodels.evaluation.evaluate import (
        evaluate_run,  # TensorFlow; listing the cells needs none
    )

    rows = []
    for cell in cells:
        record = complete_record(cell.folder)
        for numbers in by_experiment(evaluate_run(cell.folder)):
            rows.append(
                {
                    **{key: numbers[key] for key in CELL},
                    "sweep": cell.sweep,
                    "value": cell.value,
                    **{
                        key: numbers[key]
                        for key in ("aupr", "auroc", "prevalence", "lift", "collapsed", "positives")
                    },
                    **training_positives(cell, numbers["experiment"]),
                    **{key: record[key] for key in ("parameters", "steps", "wall_s")},
                    "run": str(cell.folder),
                }
            )
    return pd.DataFrame(rows)


def training_positives(cell: Cell, experiment: str) -> dict[str, int]:
    """Return the labelled and the pseudo-labelled training positives of one output of a cell.

    ``loci`` are the labelled ones of all outputs of the cell, as ``training.labelled_peaks``
    counts them.
    """
    store = open_store(cell.project.store_path(cell.experiment))
    negatives, seed = cell.project.negatives, cell.seed
    outputs, peaks = cell.project.outputs_of(cell.experiment), cell.project.training.labelled_peaks
    loci = training_rows.chosen_loci(store, outputs, peaks, seed=seed)
    labelled = training_rows.labelled_rows(store, experiment, negatives, seed=seed, loci=loci)
    pseudo = 0
    if store.genomes:
        genomes = training_rows.nearest_genomes(cell.project, store)
        pseudo = training_rows.homologous_rows(
            store, experiment, negatives, seed=seed, genomes=genomes, loci=loci
        ).positive_rows
    return {
        "labelled": labelled.positive_rows,
        "pseudo_labelled": pseudo,
        "loci": peaks or _labelled_loci(cell.project, store, cell.experiment),
    }


def counts(project: Project) -> pd.DataFrame:
    """Return the training positives of every experiment and group (the paper's Tables 1 and S1).

    Returns
    -------
    pandas.DataFrame
        Columns experiment, genome, positives; the labelled genome comes first, the others in the
        order of the project.
    """
    rows = []
    for experiment in project.trained_experiments():
        store = open_store(project.store_path(experiment))
        groups = {project.reference.name: REFERENCE}
        listed = [genome.name for genome in project.genomes]
        ordered = sorted(
            store.genomes, key=lambda g: listed.index(g) if g in listed else len(listed)
        )
        groups |= {name: f"{HOMOLOGUES}/{name}" for name in ordered}
        column = training_rows.label_column(store, experiment)
        for genome, name in groups.items():
            group = store.group(name)
            start, stop = group.ranges["positive"]
            positives = int((group.column("label")[start:stop, column] == 1).sum())
            rows.append({"experiment": experiment, "genome": genome, "positives": positives})
    return pd.DataFrame(rows)


def ensembles(results: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of the mean score over the seeds of every cell of the grid.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, seeds, aupr, auroc; only cells of several seeds.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # takes a second

    from sslmodels.evaluation.evaluate import read_scores

    rows = []
    of_grid = results[results["sweep"] == ""]
    for names, group in of_grid.groupby(["experiment", "model", "regime"], sort=False):
        if len(group) < 2:
            continue
        read = [read_scores(Path(run), str(names[0])) for run in group["run"]]
        mean, label = np.mean([score for _, score in read], axis=0), read[0][0]
        rows.append(
            {
                **dict(zip(("experiment", "model", "regime"), names, strict=True)),
                "seeds": len(group),
                "aupr": float(average_precision_score(label, mean)),
                "auroc": float(roc_auc_score(label, mean)),
            }
        )
    columns = ["experiment", "model", "regime", "seeds", "aupr", "auroc"]
    return pd.DataFrame(rows, columns=columns)
