"""Intervals of means and ratios of a grid of runs: bootstrap over blocks of test bins.

Resamples of runs that were scored on the same bins are the same ones, so a mean over seeds or
experiments, a difference and a ratio are taken resample by resample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sslmodels.evaluation.resamples_file import read_resamples
from sslmodels.report.report_data import mean_and_sd
from sslmodels.scores.metric_intervals import interval

Floats = NDArray[np.float64]
#: Experiment, model and regime; and model and regime.
ExperimentCell = tuple[str, str, str]
Compared = tuple[str, str]


def resamples_of(results: pd.DataFrame, metric: str = "aupr") -> dict[ExperimentCell, Floats]:
    """Return a metric of the resamples of every cell, the mean over its seeds.

    Parameters
    ----------
    results
        One row per run, with columns experiment, model, regime, and run (the folder). Cells with
        an evaluation of a release before resamples are left out.
    metric
        ``aupr`` or ``auroc``.
    """
    made: dict[ExperimentCell, Floats] = {}
    for (experiment, model, regime), part in results.groupby(
        ["experiment", "model", "regime"], sort=False
    ):
        read = [read_resamples(Path(run), str(experiment)) for run in part["run"]]
        arrays = [getattr(found, metric) for found in read if found is not None]
        if len(arrays) == len(part):
            made[str(experiment), str(model), str(regime)] = np.mean(arrays, axis=0)
    return made


def summary_lines(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of results from which a page draws its sentences.

    Parameters
    ----------
    results
        One row per run of a grid.

    Returns
    -------
    list of dict
        As :func:`sslmodels.report.report_data.summarise`, without AUROC.
    """
    drawn = resamples_of(results)
    lines = []
    for cell, part in results.groupby(["experiment", "model", "regime"], sort=False):
        names = tuple(str(name) for name in cell)
        array = drawn.get((names[0], names[1], names[2]))
        lines.append(
            {
                **dict(zip(("experiment", "model", "regime"), names, strict=True)),
                "n": len(part),
                "collapsed": int(part["collapsed"].sum()),
                "positives": int(part["positives"].max()),
                "auprs": [*zip(part["seed"].tolist(), part["aupr"].tolist(), strict=True)],
                "resamples": array,
                "interval": None if array is None else interval(array),
                **{key: mean_and_sd(part[key]) for key in ("aupr", "prevalence", "lift")},
            }
        )
    return lines


def mean_interval(arrays: Iterable[Floats | None]) -> tuple[float, float]:
    """Return the interval of the mean of several cells; NaN where one is unknown."""
    known = list(arrays)
    if not known or any(array is None for array in known):
        return np.nan, np.nan
    return interval(np.mean(np.array(known, np.float64), axis=0)) or (np.nan, np.nan)


def with_intervals(table: pd.DataFrame, resamples: Mapping[ExperimentCell, Floats]) -> pd.DataFrame:
    """Return a table of means with the columns low and high.

    Parameters
    ----------
    table
        Columns experiment, model, regime, as of :func:`sslmodels.benchmark.statistics.means`.
    resamples
        Of :func:`resamples_of`.
    """
    cells = zip(table["experiment"], table["model"], table["regime"], strict=True)
    spans = [mean_interval([resamples.get(cell)]) for cell in cells]
    return table.assign(low=[low for low, _ in spans], high=[high for _, high in spans])


def average_intervals(
    experiments: Sequence[str],
    methods: Iterable[Compared],
    resamples: Mapping[ExperimentCell, Floats],
) -> dict[Compared, tuple[float, float]]:
    """Return the interval of the mean of each method over experiments.

    Parameters
    ----------
    experiments
        What is averaged.
    methods
        Models and regimes.
    resamples
        Of :func:`resamples_of`.
    """
    return {
        method: mean_interval(resamples.get((name, *method)) for name in experiments)
        for method in methods
    }


def increase_intervals(
    increases: pd.DataFrame, resamples: Mapping[ExperimentCell, Floats], *, over: str
) -> pd.DataFrame:
    """Return increases over a regime with the columns percent_low and percent_high.

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark.statistics.increases`; where there is no increase there is
        no interval.
    resamples
        Of :func:`resamples_of`.
    over
        The regime that is compared with.
    """
    spans = []
    for row in increases.itertuples():
        above = resamples.get((str(row.experiment), str(row.model), str(row.regime)))
        below = resamples.get((str(row.experiment), str(row.model), over))
        span = (np.nan, np.nan)
        if above is not None and below is not None and np.isfinite(float(str(row.percent))):
            with np.errstate(divide="ignore", invalid="ignore"):
                span = interval(100 * (above / below - 1)) or span
        spans.append(span)
    return increases.assign(
        percent_low=[low for low, _ in spans], percent_high=[high for _, high in spans]
    )


def comparisons(
    table: pd.DataFrame,
    resamples: Mapping[ExperimentCell, Floats],
    pairs: Sequence[tuple[Compared, Compared]],
) -> pd.DataFrame:
    """Compare pairs of models and regimes over the experiments that both have.

    Parameters
    ----------
    table
        Columns experiment, model, regime, mean (over seeds), as of
        :func:`sslmodels.benchmark.statistics.means`.
    resamples
        Of :func:`resamples_of`.
    pairs
        What is compared, each with what.

    Returns
    -------
    pandas.DataFrame
        Columns model, regime, over_model, over, n (experiments), wins, ratio (of the means) with
        low and high, difference (of the means) with difference_low and difference_high, p (paired
        Wilcoxon signed-rank test over the experiments, two-sided; NaN when all are equal).
    """
    cells = {
        (str(e), str(m), str(r)): float(mean)
        for e, m, r, mean in table[["experiment", "model", "regime", "mean"]].itertuples(
            index=False
        )
    }
    rows = []
    for ours, theirs in pairs:
        both = [
            name
            for name in dict.fromkeys(table["experiment"])
            if (name, *ours) in cells and (name, *theirs) in cells
        ]
        if not both:
            continue
        a, b = (np.array([cells[name, *of] for name in both]) for of in (ours, theirs))
        arrays = [[resamples.get((name, *of)) for name in both] for of in (ours, theirs)]
        ratio = difference = (np.nan, np.nan)
        if all(array is not None for half in arrays for array in half):
            above, below = np.mean(np.array(arrays, np.float64), axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = interval(above / below) or ratio
            difference = interval(above - below) or difference
        rows.append(
            {
                "model": ours[0],
                "regime": ours[1],
                "over_model": theirs[0],
                "over": theirs[1],
                "n": len(both),
                "wins": int((a > b).sum()),
                "ratio": float(a.mean() / b.mean()) if b.mean() else np.nan,
                "low": ratio[0],
                "high": ratio[1],
                "difference": float((a - b).mean()),
                "difference_low": difference[0],
                "difference_high": difference[1],
                "p": float(stats.wilcoxon(a - b).pvalue) if np.any(a != b) else np.nan,
            }
        )
    return pd.DataFrame(rows)
