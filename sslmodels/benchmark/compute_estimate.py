"""Estimate the computing time of a project's grid and sweeps. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime, Training
from sslmodels.models.layer_costs import multiply_adds
from sslmodels.models.model_settings import fit_settings
from sslmodels.runs.regime_table import REGIME_TABLE, effective, swept_regimes

#: Epochs of a phase until early stopping: the mean of a few hundred phases on yeast is 17.
EPOCHS = 20
#: Floating-point operations per second of one CPU core, in thousand millions: measured 46 to 87
#: while the models of the zoo trained (AMD EPYC, TensorFlow 2.21).
GFLOPS_PER_CORE = 70.0
#: Core seconds of a build per stored base, without opening the inputs (docs/results/build.md).
BUILD_SECONDS_PER_BASE = 1.1e-7
#: Two operations per multiply-add; the gradients cost twice the forward pass.
_SCORE, _TRAIN = 2, 6


@dataclass(frozen=True)
class RowCounts:
    """Training positives of an experiment, labelled and pseudo-labelled, and its test bins."""

    labelled: float
    pseudo: float
    test: float


@dataclass(frozen=True)
class Effort:
    """Estimated cost of all runs of one model.

    Attributes
    ----------
    runs
        Number of runs of the grid and the sweeps.
    rows
        Training rows of all epochs of all runs.
    flop
        Floating-point operations; None: unknown for this model.
    epochs
        Epochs of a phase that were assumed.
    """

    model: str
    runs: int
    rows: float
    flop: float | None
    epochs: int


def epochs_of_phase(training: Training, model: str) -> int:
    """Return the epochs that a phase of a model is assumed to take until early stopping."""
    return min(EPOCHS, fit_settings(training, model).epochs)


def trained_rows(
    project: Project, model: str, regime: Regime, rows: RowCounts
) -> tuple[float, float]:
    """Return the rows that one run trains on in all epochs, and those it scores.

    Validation rows are few and not counted.

    Parameters
    ----------
    project
        The project, with the settings of the run.
    model, regime
        Of the run.
    rows
        Rows that it uses.
    """
    entry = REGIME_TABLE[regime]
    project = effective(project, regime)
    training, both = project.training, 1 + project.negatives.ratio
    epoch = entry.rows_per_epoch(training, both * rows.labelled, both * rows.pseudo)
    scored = rows.test
    if entry.teacher is not None:
        scored += training.noisy_student.iterations * rows.pseudo
        if entry.teacher not in training.regimes:
            epoch += both * rows.labelled
    if entry.network is not None and entry.network not in training.regimes:
        network = effective(project, entry.network)
        ratio = 1 + network.negatives.ratio
        epoch += REGIME_TABLE[entry.network].rows_per_epoch(
            training, ratio * rows.labelled, ratio * rows.pseudo
        )
    return epoch * epochs_of_phase(training, model), scored


def _variants(project: Project, model: str) -> Iterator[tuple[Project, Regime, float, float]]:
    """Yield what one experiment and seed of a model runs: project, regime, and parts of rows used.

    The parts are of the pseudo-labelled rows, and, when above 1, the number of labelled loci.
    """
    training = project.training
    for regime in training.regimes:
        yield project, regime, 1.0, 0.0
    for number in training.sweeps.values("nearest", model):
        for regime in swept_regimes(training, "nearest"):
            own = number == (training.nearest or len(project.genomes))
            if number <= len(project.genomes) and not (own and regime in training.regimes):
                yield project, regime, number / len(project.genomes), 0.0
    for loci in training.sweeps.values("labelled_peaks", model):
        for regime in swept_regimes(training, "labelled_peaks"):
            yield project, regime, 1.0, float(loci)
    for key in ("iterations", "noise_sd"):
        values = training.sweeps.values(key, model)
        for regime in swept_regimes(training, key):
            in_grid = regime in training.regimes
            own = getattr(training.noisy_student, key)
            others = [value for value in values if not (in_grid and value == own)]
            for value in others:
                used = value
                if key == "iterations":
                    # The longest run trains what the grid has not; the others take its students.
                    trained = own if in_grid else 0
                    used = max(0, value - trained) if value == max(others) else 0
                student = training.noisy_student.model_copy(update={key: used})
                varied = training.model_copy(update={"noisy_student": student})
                yield project.model_copy(update={"training": varied}), regime, 1.0, 0.0


def grid_effort(project: Project, rows: Mapping[str, RowCounts]) -> list[Effort]:
    """Estimate the cost of the grid and the sweeps, one entry per model.

    Parameters
    ----------
    project
        Its section ``training`` defines the runs.
    rows
        Experiment → its rows; missing experiments are left out.
    """
    training, made = project.training, []
    for model in training.models:
        runs, total, flop = 0, 0.0, 0.0
        cost = multiply_adds(model, size=project.windows.size, stored=project.windows.stored)
        for of_experiment in rows.values():
            for varied, regime, share, loci in _variants(project, model):
                if loci > of_experiment.labelled:
                    continue
                part = loci / of_experiment.labelled if loci else 1.0
                used = RowCounts(
                    labelled=part * of_experiment.labelled,
                    pseudo=part * share * of_experiment.pseudo,
                    test=of_experiment.test,
                )
                trained, scored = trained_rows(varied, model, regime, used)
                runs += len(training.seeds)
                total += len(training.seeds) * trained
                flop += len(training.seeds) * (_TRAIN * trained + _SCORE * scored) * (cost or 0)
        epochs = epochs_of_phase(training, model)
        made.append(Effort(model, runs, total, flop if cost else None, epochs))
    return made
