"""Results of the benchmark: the runs of a project's grid and sweeps as one table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ssldata.project.project_file import Project
from ssldata.store.store import HOMOLOGUES, REFERENCE, open_store
from sslmodels.runs import training_rows
from sslmodels.runs.run_folder import complete_record
from sslmodels.runs.run_grid import (
    CELL,
    Cell,
    labelled_loci,
)
from sslmodels.scores.metrics import by_experiment


def collect(cells: Iterable[Cell]) -> pd.DataFrame:
    """Return one row per run and experiment: cell, test metrics, training positives.

    A run with several outputs has a row for each, comparable with those of single runs; its
    ``model`` ends in `` joint``.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, seed, sweep, value, aupr, auroc, prevalence, lift,
        collapsed, positives (of the test), labelled and pseudo_labelled (training positives),
        genomes (whose homologues there are to train on), loci (labelled loci of all outputs),
        parameters, steps, wall_s, run (its folder).
    """
    from sslmodels.evaluation.evaluate import evaluate_run  # loads TensorFlow

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

    ``genomes`` counts the genomes of the pseudo-labelled ones.

    ``loci`` counts the labelled loci of all outputs of the cell, as ``training.labelled_peaks``
    does.
    """
    store = open_store(cell.project.store_path(cell.experiment))
    negatives, seed = cell.project.negatives, cell.seed
    outputs, peaks = cell.project.outputs_of(cell.experiment), cell.project.training.labelled_peaks
    loci = training_rows.chosen_loci(store, outputs, peaks, seed=seed)
    labelled = training_rows.labelled_rows(store, experiment, negatives, seed=seed, loci=loci)
    pseudo, genomes = 0, []
    if store.genomes:
        genomes = training_rows.nearest_genomes(cell.project, store)
        pseudo = training_rows.homologous_rows(
            store, experiment, negatives, seed=seed, genomes=genomes, loci=loci
        ).positive_rows
    return {
        "labelled": labelled.positive_rows,
        "pseudo_labelled": pseudo,
        "genomes": len(genomes),
        "loci": peaks or labelled_loci(cell.project, store, cell.experiment),
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
