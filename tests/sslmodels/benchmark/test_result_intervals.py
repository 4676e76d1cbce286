"""Intervals of a grid of runs: resamples read from run folders, means and comparisons of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sslmodels.benchmark import statistics
from sslmodels.benchmark.result_intervals import (
    average_intervals,
    comparisons,
    increase_intervals,
    resamples_of,
    with_intervals,
)
from sslmodels.evaluation.resamples_file import write_resamples
from sslmodels.scores.metric_intervals import Resampled


def results_in(folder: Path, rng: np.random.Generator) -> tuple[pd.DataFrame, dict]:
    """Runs of two regimes, two experiments and two seeds; one was evaluated by an old release."""
    rows, arrays = [], {}
    for experiment in ("a", "b"):
        for regime, mean in (("sl-plus", 0.3), ("ssl-plus", 0.4), ("old", 0.2)):
            for seed in (0, 1):
                run = folder / experiment / regime / str(seed)
                (run / "evaluation").mkdir(parents=True)
                aupr = rng.normal(mean, 0.02, 500)
                arrays[experiment, regime, seed] = aupr
                if regime != "old" or seed:
                    found = Resampled(aupr, 1 - aupr)
                    write_resamples(run / "evaluation", {"": found})
                rows.append((experiment, "m", regime, seed, mean + seed / 100, str(run)))
    columns = ["experiment", "model", "regime", "seed", "aupr", "run"]
    return pd.DataFrame(rows, columns=columns), arrays


def test_means_over_seeds_and_experiments(tmp_path: Path) -> None:
    results, arrays = results_in(tmp_path, np.random.default_rng(0))
    resamples = resamples_of(results)
    assert {regime for _, _, regime in resamples} == {"sl-plus", "ssl-plus"}
    expected = (arrays["a", "sl-plus", 0] + arrays["a", "sl-plus", 1]) / 2
    np.testing.assert_allclose(resamples["a", "m", "sl-plus"], expected, rtol=1e-5)
    cells = results.groupby(["experiment", "model", "regime"], sort=False)["aupr"]
    table = with_intervals(cells.mean().rename("mean").reset_index(), resamples)
    first = table.iloc[0]
    assert (first["low"], first["high"]) == pytest.approx(
        tuple(np.percentile(expected, [2.5, 97.5])), rel=1e-5
    )
    assert table[table["regime"] == "old"][["low", "high"]].isna().all(axis=None)

    pairs = [(("m", "ssl-plus"), ("m", "sl-plus")), (("m", "ssl-plus"), ("m", "old"))]
    plus, old = comparisons(table, resamples, pairs).to_dict("records")
    above, below = (
        np.mean([arrays[e, regime, s] for e in "ab" for s in (0, 1)], axis=0)
        for regime in ("ssl-plus", "sl-plus")
    )
    for key, values in (("", above / below), ("difference_", above - below)):
        span = (plus[f"{key}low"], plus[f"{key}high"])
        assert span == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), rel=1e-4)
    assert plus["ratio"] == pytest.approx(0.405 / 0.305)
    assert (plus["n"], plus["wins"]) == (2, 2)
    assert np.isnan(old["low"])
    assert old["ratio"] > 1


def test_intervals_of_increases_and_averages(tmp_path: Path) -> None:
    results, arrays = results_in(tmp_path, np.random.default_rng(1))
    results = results.assign(labelled=10, collapsed=False)
    failed = (results["experiment"] == "b") & (results["regime"] == "sl-plus")
    results.loc[failed, "collapsed"] = True
    resamples = resamples_of(results)
    over = "sl-plus"
    increases = statistics.increases(statistics.means(results, "aupr"), over=over)
    made = increase_intervals(increases, resamples, over=over).set_index(["experiment", "regime"])
    mean = {
        (e, r): np.mean([arrays[e, r, s] for s in (0, 1)], axis=0)
        for e in "ab"
        for r in ("sl-plus", "ssl-plus")
    }
    expected = np.percentile(100 * (mean["a", "ssl-plus"] / mean["a", over] - 1), [2.5, 97.5])
    span = made.loc[("a", "ssl-plus"), ["percent_low", "percent_high"]].to_numpy(float)
    np.testing.assert_allclose(span, expected, rtol=1e-3)
    # Neither over a run that collapsed, nor of runs without resamples.
    for cell in (("b", "ssl-plus"), ("a", "old")):
        assert made.loc[cell, ["percent_low", "percent_high"]].isna().all()

    method = ("m", "ssl-plus")
    spans = average_intervals(["a", "b"], [method, ("m", "old")], resamples)
    both = (mean["a", "ssl-plus"] + mean["b", "ssl-plus"]) / 2
    assert spans[method] == pytest.approx(tuple(np.percentile(both, [2.5, 97.5])), rel=1e-4)
    assert np.isnan(spans["m", "old"]).all()
    auroc = resamples_of(results, "auroc")["a", "m", over]
    np.testing.assert_allclose(auroc, 1 - mean["a", over], rtol=1e-5)


def test_tables_show_intervals_below_the_means(tmp_path: Path) -> None:
    results, _ = results_in(tmp_path, np.random.default_rng(2))
    resamples = resamples_of(results)
    means = statistics.means(results.assign(labelled=10, collapsed=False), "aupr")
    table = with_intervals(means, resamples)
    spans = {("m", "ssl-plus"): (0.3712, 0.4288)}
    shown = statistics.wide(table, spans=spans)
    first = table[table["regime"] == "ssl-plus"].iloc[0]
    assert shown.loc["a", "m ssl-plus"] == (
        f"{first['mean']:.3f} ± {first['sd']:.3f}\n[{first['low']:.3f}, {first['high']:.3f}]"
    )
    assert shown.loc["mean of 2", "m ssl-plus"] == "0.405\n[0.371, 0.429]"
    assert "\n" not in shown.loc["a", "m old"]
