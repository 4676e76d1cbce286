"""Baselines as rows of the table of results, so that the benchmark compares methods with them."""

from __future__ import annotations

from typing import cast

import pandas as pd

from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    BASELINE_SEED,
    baseline_runs,
    baseline_state,
    read_baseline_record,
)
from sslmodels.benchmark.grid_results import training_positives
from sslmodels.runs.run_grid import Cell


def baseline_rows(project: Project) -> pd.DataFrame:
    """Return one row per baseline that is up to date, in the columns of a table of results.

    Its model is ``baseline``, its regime the name, ``sweep`` is empty, ``steps`` 0, and
    ``parameters`` counts the numbers that it was saved with. A baseline that failed has no row.

    Parameters
    ----------
    project
        The project, whose baselines were trained.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`sslmodels.benchmark.grid_results.collect`; empty without baselines.
    """
    rows = []
    for run in baseline_runs(project):
        status, metrics = baseline_state(run)
        record = read_baseline_record(run.folder) if status == "complete" else None
        if record is None:
            continue
        cell = Cell(project, run.experiment, BASELINE_MODEL, cast("Regime", run.name), 0)
        keys = ("aupr", "auroc", "prevalence", "lift", "collapsed", "positives")
        rows.append(
            {
                "experiment": run.experiment,
                "model": BASELINE_MODEL,
                "regime": run.name,
                "seed": BASELINE_SEED,
                "sweep": "",
                "value": float("nan"),
                **{key: metrics[key] for key in keys},
                **training_positives(cell, run.experiment),
                "parameters": record["parameters"],
                "steps": 0,
                "wall_s": record["seconds"],
                "run": str(run.folder),
            }
        )
    return pd.DataFrame(rows)


def with_baselines(project: Project, results: pd.DataFrame) -> pd.DataFrame:
    """Return a table of results with the baselines of its experiments after the runs."""
    rows = baseline_rows(project)
    return pd.concat([results, rows], ignore_index=True) if len(rows) else results
