"""Statistics of the benchmark: means, increases, paired tests, lines. Data frames in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


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
        Columns experiment, model, regime, labelled, mean, sd (n − 1; NaN with one seed), n; in the
        order of `results`.
    """
    grouped = results.groupby(["experiment", "model", "regime"], sort=False)
    table = grouped.agg(
        labelled=("labelled", "first"),
        mean=(metric, "mean"),
        sd=(metric, "std"),
        n=(metric, "size"),
    )
    return table.reset_index()


def wide(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Return experiments × (model, regime) as text, mean ± SD; the last line is the average."""
    columns = list(dict.fromkeys(zip(table["model"], table["regime"], strict=True)))
    lines = {}
    for experiment, part in table.groupby("experiment", sort=False):
        names = zip(part["model"], part["regime"], strict=True)
        values = zip(part["mean"].to_numpy(float), part["sd"].to_numpy(float), strict=True)
        cells = {
            name: _mean_sd(mean, sd, digits) for name, (mean, sd) in zip(names, values, strict=True)
        }
        lines[experiment] = [cells.get(column, "–") for column in columns]
    made = pd.DataFrame.from_dict(
        lines, orient="index", columns=[f"{model} {regime}" for model, regime in columns]
    )
    whole = common_experiments(table)
    if whole:
        inside = table[table["experiment"].isin(whole)]
        average = inside.groupby(["model", "regime"])["mean"].mean()
        made.loc[f"mean of {len(whole)}"] = [f"{average[c]:.{digits}f}" for c in columns]
    made.index.name = "experiment"
    return made


def _mean_sd(mean: float, sd: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def common_experiments(table: pd.DataFrame) -> list[str]:
    """Return the experiments with every (model, regime) of the table."""
    cells = table.groupby("experiment", sort=False).size()
    most = len(set(zip(table["model"], table["regime"], strict=True)))
    return [str(name) for name, count in cells.items() if count == most]


def increases(table: pd.DataFrame, *, over: str = "sl") -> pd.DataFrame:
    """Return the increase of every regime over another, by experiment and model.

    Parameters
    ----------
    table
        Of :func:`means`.
    over
        The regime to compare with.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, labelled, base, mean, percent (of `base`), ratio.
    """
    base = table[table["regime"] == over][["experiment", "model", "mean"]]
    base = base.rename(columns={"mean": "base"})
    joined = table[table["regime"] != over].merge(base, on=["experiment", "model"])
    joined["ratio"] = joined["mean"] / joined["base"]
    joined["percent"] = 100 * (joined["ratio"] - 1)
    return joined[
        ["experiment", "model", "regime", "labelled", "base", "mean", "percent", "ratio"]
    ].reset_index(drop=True)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Return p values corrected for multiple tests by Holm's step-down method (1979).

    NaN stays NaN and does not count as a test.
    """
    p = np.asarray(p_values, np.float64)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
    return corrected


def paired_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of regimes of every model across experiments.

    Each experiment gives one pair of numbers, the means over its seeds, because seeds of one
    experiment are not independent.

    Returns
    -------
    pandas.DataFrame
        Columns model, regime_a, regime_b, n (experiments), wins_a, wins_b, difference (mean of
        b − a), ratio (of the means, b over a), p (Wilcoxon signed-rank, two-sided, exact for
        small n without ties; NaN when all differences are 0 or n is 0), p_holm (over the table).
    """
    rows = []
    for model, part in table.groupby("model", sort=False):
        cells = part.pivot(index="experiment", columns="regime", values="mean")
        for a, b in combinations(dict.fromkeys(part["regime"]), 2):
            pairs = cells[[a, b]].dropna()
            difference = (pairs[b] - pairs[a]).to_numpy()
            p = float("nan")
            if np.any(difference != 0):
                p = float(stats.wilcoxon(difference).pvalue)
            rows.append(
                {
                    "model": model,
                    "regime_a": a,
                    "regime_b": b,
                    "n": len(pairs),
                    "wins_a": int((difference < 0).sum()),
                    "wins_b": int((difference > 0).sum()),
                    "difference": float(difference.mean()) if len(pairs) else float("nan"),
                    "ratio": float(pairs[b].mean() / pairs[a].mean()) if len(pairs) else np.nan,
                    "p": p,
                }
            )
    columns = ["model", "regime_a", "regime_b", "n", "wins_a", "wins_b", "difference", "ratio", "p"]
    made = pd.DataFrame(rows, columns=columns)
    made["p_holm"] = holm(made["p"].to_numpy(float))
    return made


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
        Fit the logarithms to base 10; points without a logarithm are left out.

    Returns
    -------
    pandas.DataFrame
        Columns model, regime and those of :class:`Line`; no row where no line can be fitted.
    """
    rows = []
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
