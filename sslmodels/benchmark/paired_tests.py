"""Methods compared in pairs across experiments: which pairs, their tests and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from sslmodels.benchmark.statistics import (
    LARGE,
    Floats,
    Method,
    trained_methods,
    uses_homologues,
)

#: Resamples of the experiments behind an interval, and the share of them inside it.
RESAMPLES, LEVEL = 2000, 0.95

_TEST_COLUMNS = [
    *("model_a", "regime_a", "model_b", "regime_b", "n", "wins_a", "wins_b"),
    *("difference", "ratio", "ratio_low", "ratio_high", "n_ratio", "p"),
]


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


def comparisons(table: pd.DataFrame) -> list[tuple[Method, Method]]:
    """Return the pairs of trained methods that a benchmark compares; the first is the reference.

    All pairs of regimes of every model, then every other model trained on homologues against
    :data:`LARGE`.
    """
    trained = trained_methods(table)
    pairs = []
    for model in dict.fromkeys(model for model, _ in trained):
        pairs += list(combinations([method for method in trained if method[0] == model], 2))
    if LARGE in trained:
        pairs += against_large(trained)
    return pairs


def against_large(trained: Iterable[Method]) -> list[tuple[Method, Method]]:
    """Return the pairs of :data:`LARGE` and every other model trained on homologues."""
    return [(LARGE, m) for m in trained if m[0] != LARGE[0] and uses_homologues(m)]


def paired_tests(table: pd.DataFrame, pairs: Sequence[tuple[Method, Method]]) -> pd.DataFrame:
    """Compare pairs of methods across experiments; their models and regimes may both differ.

    Each experiment gives one pair of numbers, the means over its seeds, because seeds of one
    experiment are not independent.

    Parameters
    ----------
    table
        Of :func:`means`.
    pairs
        Methods a and b; a pair that shares no experiment has a line with n = 0.

    Returns
    -------
    pandas.DataFrame
        Columns model_a, regime_a, model_b, regime_b, n (experiments), wins_a, wins_b; difference
        (mean of b − a) and ratio (of the means, b over a), both of the n_ratio experiments in which
        no run of a collapsed, ratio_low and ratio_high (its 95 % bootstrap interval over
        experiments; NaN from fewer than three), n_ratio, p (Wilcoxon signed-rank, two-sided, exact
        for small n without ties; NaN when all differences are 0 or n is 0), p_holm (over the
        lines).
    """
    cells = table.pivot(index="experiment", columns=["model", "regime"], values="mean")
    collapsed = table.pivot(index="experiment", columns=["model", "regime"], values="collapsed")
    rows = []
    for a, b in pairs:
        both = cells[[a, b]].dropna()
        x, y = both[a].to_numpy(float), both[b].to_numpy(float)
        sound = collapsed.loc[both.index, [a]].to_numpy(float)[:, 0] == 0
        low, high = ratio_interval(x[sound], y[sound])
        rows.append(
            {
                "model_a": a[0],
                "regime_a": a[1],
                "model_b": b[0],
                "regime_b": b[1],
                "n": len(both),
                "wins_a": int((y < x).sum()),
                "wins_b": int((y > x).sum()),
                "difference": float((y - x)[sound].mean()) if sound.any() else float("nan"),
                "ratio": float(y[sound].mean() / x[sound].mean()) if sound.any() else float("nan"),
                "ratio_low": low,
                "ratio_high": high,
                "n_ratio": int(sound.sum()),
                "p": float(stats.wilcoxon(y - x).pvalue) if np.any(x != y) else float("nan"),
            }
        )
    made = pd.DataFrame(rows, columns=_TEST_COLUMNS)
    made["p_holm"] = holm(made["p"].to_numpy(float))
    return made


def method_pairs(table: pd.DataFrame, pairs: Sequence[tuple[Method, Method]]) -> pd.DataFrame:
    """Return the values behind paired tests: a row for every pair and experiment that has both.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model_a, regime_a, model_b, regime_b, a, b (means), collapsed_a and
        collapsed_b (numbers of runs).
    """
    columns = ["experiment", "mean", "collapsed"]
    parts = []
    for first, second in pairs:
        one, other = (
            table[(table["model"] == model) & (table["regime"] == regime)][columns]
            for model, regime in (first, second)
        )
        both = one.merge(other, on="experiment", suffixes=("_a", "_b"))
        names = dict(
            zip(("model_a", "regime_a", "model_b", "regime_b"), first + second, strict=True)
        )
        parts.append(both.assign(**names).rename(columns={"mean_a": "a", "mean_b": "b"}))
    order = ["experiment", "model_a", "regime_a", "model_b", "regime_b"]
    order += ["a", "b", "collapsed_a", "collapsed_b"]
    return pd.concat(parts, ignore_index=True)[order] if parts else pd.DataFrame(columns=order)


def ratio_interval(a: Floats, b: Floats) -> tuple[float, float]:
    """Return the bootstrap interval of mean(b) / mean(a): pairs are drawn with replacement.

    NaN from fewer than three pairs, or where a resample of `a` is all 0.
    """
    if len(a) < 3:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(0, len(a), (RESAMPLES, len(a)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = b[drawn].mean(axis=1) / a[drawn].mean(axis=1)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)
