"""Statistics of the benchmark: means, first places, increases, lines. Data frames in and out.

What is compared are methods: a model trained in a regime, or a baseline. Both are named by the
columns model and regime; the model of a baseline is :data:`BASELINE_MODEL`, its regime its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sslmodels.runs.regime_table import BASELINE, REGIME_TABLE

Floats = NDArray[np.float64]

#: A method: model and regime, or :data:`BASELINE_MODEL` and the name of a baseline.
Method = tuple[str, str]

#: What baselines have in the column model.
BASELINE_MODEL = "baseline"

#: The baseline that is the best one of each experiment; see :func:`with_best_baseline`.
BEST_BASELINE: Method = (BASELINE_MODEL, "best of each")

#: The large model that small ones with homologues are compared with, and how it is trained: as
#: published, without homologues.
LARGE: Method = ("dnabert2", BASELINE)


def methods_of(table: pd.DataFrame) -> list[Method]:
    """Return the methods of a table in the order in which they first occur."""
    return list(dict.fromkeys(zip(table["model"], table["regime"], strict=True)))


def trained_methods(table: pd.DataFrame) -> list[Method]:
    """Return the methods of a table that are no baselines."""
    return [method for method in methods_of(table) if method[0] != BASELINE_MODEL]


def method_name(method: Method) -> str:
    """Return a method as a page shows it."""
    return " ".join(method)


def uses_homologues(method: Method) -> bool:
    """Return whether a method is a regime that trains on homologues; unknown regimes do not."""
    return any(name == method[1] and entry.homologues for name, entry in REGIME_TABLE.items())


def means(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return mean and standard deviation over seeds.

    Parameters
    ----------
    results
        Of :func:`sslmodels.benchmark.grid_results.collect`, grid only.
    metric
        A column, for example ``aupr``.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, labelled, mean, sd (n − 1; NaN with one seed), n,
        collapsed (number of the n runs); in the order of `results`.
    """
    grouped = results.groupby(["experiment", "model", "regime"], sort=False)
    table = grouped.agg(
        labelled=("labelled", "first"),
        mean=(metric, "mean"),
        sd=(metric, "std"),
        n=(metric, "size"),
        collapsed=("collapsed", "sum"),
    )
    return table.astype({"collapsed": np.int64}).reset_index()


def wide(
    table: pd.DataFrame,
    *,
    digits: int = 3,
    whole: pd.DataFrame | None = None,
    spans: Mapping[Method, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Return experiments × methods as text, mean ± SD; at the end averages and first places.

    A second line of a cell is its interval.

    Parameters
    ----------
    table
        Of :func:`means`; with columns low and high the cells have their interval.
    digits
        Decimals.
    whole
        The table that `table` is a part of: which experiments are averaged, and who is first in
        them, is decided among all of its methods. Default: `table`.
    spans
        The interval of the average of every method, if known.
    """
    whole = table if whole is None else whole
    columns = methods_of(table)
    lines = {}
    known = table.reindex(columns=["mean", "sd", "low", "high"]).astype(float)
    for experiment, part in table.groupby("experiment", sort=False):
        names = zip(part["model"], part["regime"], strict=True)
        values = known.loc[part.index].to_numpy()
        cells = {
            name: _mean_sd(mean, sd, digits) + span_text((low, high), digits)
            for name, (mean, sd, low, high) in zip(names, values, strict=True)
        }
        lines[experiment] = [cells.get(column, "–") for column in columns]
    titles = [method_name(column) for column in columns]
    made = pd.DataFrame.from_dict(lines, orient="index", columns=titles)
    common = common_experiments(whole)
    if common:
        averages = _averages(table, common, digits)
        ends = [(spans or {}).get(column, (np.nan, np.nan)) for column in columns]
        made.loc[f"mean of {len(common)}"] = [
            text if text == "–" else text + span_text(pair, digits)
            for text, pair in zip(averages, ends, strict=True)
        ]
        if len(methods_of(whole)) > 1:
            first = first_places(whole)
            made.loc["first places"] = [str(first[column]) for column in columns]
    made.index.name = "experiment"
    return made


def _averages(table: pd.DataFrame, experiments: list[str], digits: int) -> list[str]:
    """Return the average of every method as text; a dash where it lacks one of the experiments."""
    inside = table[table["experiment"].isin(experiments)]
    values = inside.groupby(["model", "regime"])["mean"]
    average, count = values.mean(), values.size()
    return [
        f"{average[method]:.{digits}f}" if count.get(method, 0) == len(experiments) else "–"
        for method in methods_of(table)
    ]


def span_text(span: tuple[float, float], digits: int) -> str:
    """Return an interval as the second line of a cell; "" where it is unknown."""
    low, high = span
    if np.isnan(low):
        return ""
    digits += abs(high) < 10 ** (1 - digits)
    return f"\n[{low:.{digits}f}, {high:.{digits}f}]"


def _mean_sd(mean: float, sd: float, digits: int) -> str:
    digits += abs(mean) < 10 ** (1 - digits)  # two digits that count
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def common_experiments(table: pd.DataFrame) -> list[str]:
    """Return the experiments with every trained method of the table.

    Baselines do not count, unless there is nothing else: one may fail, or lack its motif.
    """
    trained = trained_methods(table) or methods_of(table)
    pairs = pd.Series(list(zip(table["model"], table["regime"], strict=True)), index=table.index)
    cells = table[pairs.isin(trained)].groupby("experiment", sort=False).size()
    return [str(name) for name, count in cells.items() if count == len(trained)]


def first_places(table: pd.DataFrame) -> dict[Method, int]:
    """Return in how many experiments each method has the highest mean (last line of Table 2).

    Experiments that lack a trained method do not count. A tie counts for each of the tied.
    """
    first = table[is_first(table)].groupby(["model", "regime"]).size()
    return {method: int(first.get(method, 0)) for method in methods_of(table)}


def is_first(table: pd.DataFrame) -> pd.Series:
    """Return for every row whether it is a first place, as :func:`first_places` counts them."""
    best = table.groupby("experiment")["mean"].transform("max")
    return (table["mean"] == best) & table["experiment"].isin(common_experiments(table))


def with_best_baseline(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with :data:`BEST_BASELINE`: in each experiment the highest of its baselines.

    Which one is the best is decided by the values compared, so this is kind to the baselines.
    """
    baselines = table[table["model"] == BASELINE_MODEL]
    best = baselines.loc[baselines.groupby("experiment", sort=False)["mean"].idxmax()]
    return pd.concat([table, best.assign(regime=BEST_BASELINE[1])], ignore_index=True)


def increases(table: pd.DataFrame, *, over: str = BASELINE) -> pd.DataFrame:
    """Return the increase of every regime over another, by experiment and model.

    No increase is computed over a mean that a collapsed run is part of: it would measure the
    failure of a run to train.

    Parameters
    ----------
    table
        Of :func:`means`; baselines have no regime `over`, and so no increase.
    over
        The regime to compare with.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, labelled, base, mean, base_collapsed (runs of `over`),
        percent (of `base`) and ratio (both NaN where `base_collapsed` is not 0).
    """
    base = table[table["regime"] == over][["experiment", "model", "mean", "collapsed"]]
    base = base.rename(columns={"mean": "base", "collapsed": "base_collapsed"})
    joined = table[table["regime"] != over].merge(base, on=["experiment", "model"])
    joined["ratio"] = (joined["mean"] / joined["base"]).where(joined["base_collapsed"] == 0)
    joined["percent"] = 100 * (joined["ratio"] - 1)
    columns = ["experiment", "model", "regime", "labelled", "base", "mean", "base_collapsed"]
    return joined[[*columns, "percent", "ratio"]].reset_index(drop=True)


@dataclass(frozen=True)
class Line:
    """A least-squares line y = intercept + slope · x with two-sided p values; r is Pearson's."""

    n: int
    slope: float
    intercept: float
    r: float
    p_slope: float
    p_intercept: float


def fitted_line(x: Floats, y: Floats) -> Line | None:
    """Fit a line; None with fewer than three points or without spread in x.

    The p value of the intercept is that of the t test against 0, n − 2 degrees of freedom.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 3 or np.ptp(x) == 0:
        return None
    fit = stats.linregress(x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = fit.intercept / fit.intercept_stderr
    return Line(
        n=len(x),
        slope=float(fit.slope),
        intercept=float(fit.intercept),
        r=float(fit.rvalue),
        p_slope=float(fit.pvalue),
        p_intercept=float(2 * stats.t.sf(abs(t), len(x) - 2)),
    )


def lines(increases: pd.DataFrame, *, x: str, y: str, log: bool) -> pd.DataFrame:
    """Fit a line for every model and regime, as the figures draw it.

    Parameters
    ----------
    increases
        Of :func:`increases`.
    x, y
        Columns.
    log
        Fit the logarithms to base 10; points without a logarithm are left out, as are unknown ones.

    Returns
    -------
    pandas.DataFrame
        Columns model, regime and those of :class:`Line`; no row where no line can be fitted.
    """
    rows = []
    increases = increases.dropna(subset=[x, y])
    if log:
        increases = increases[(increases[x] > 0) & (increases[y] > 0)]
    for (model, regime), part in increases.groupby(["model", "regime"], sort=False):
        points = part[[x, y]].to_numpy(float)
        line = fitted_line(*(np.log10(points) if log else points).T)
        if line is not None:
            rows.append({"model": model, "regime": regime, **asdict(line)})
    return pd.DataFrame(rows, columns=["model", "regime", *(f.name for f in fields(Line))])


def counts_wide(counts: pd.DataFrame) -> pd.DataFrame:
    """Return experiments × genomes, the labelled one first, with the sum of the others."""
    made = counts.pivot(index="experiment", columns="genome", values="positives")
    made = made.reindex(
        index=list(dict.fromkeys(counts["experiment"])),
        columns=list(dict.fromkeys(counts["genome"])),
    )
    made = made.fillna(0).astype(np.int64)
    made.columns.name = None
    made["pseudo-labelled"] = made.iloc[:, 1:].sum(axis=1)
    return made
