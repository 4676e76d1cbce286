"""Statistics of the benchmark, against small examples computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmark_tools import results_of, world
from scipy import stats

from sslmodels.benchmark import statistics as tables


def test_means_and_the_table():
    table = tables.means(world(2), "aupr")
    first = table.iloc[0]
    assert (first["experiment"], first["regime"], first["n"]) == ("a", "sl", 2)
    assert first["mean"] == pytest.approx(0.1)
    assert first["sd"] == pytest.approx(0.01 * 2**0.5)
    shown = tables.wide(table)
    assert shown.loc["a", "m sl"] == "0.100 ± 0.014"
    assert shown.loc["mean of 2", "m ssl"] == "0.165"
    assert list(shown.loc["first places"]) == ["0", "2"]


def test_small_values_keep_two_digits():
    shown = tables.wide(tables.means(results_of({("a", "m", "sl"): [0.0041, 0.0043]}), "aupr"))
    assert shown.loc["a", "m sl"] == "0.0042 ± 0.0001"
    # One method is not the first of anything.
    assert list(shown.index) == ["a", "mean of 1"]


def test_a_missing_cell_stays_out_of_the_average():
    results = world(3)
    results = results[~((results["experiment"] == "c") & (results["regime"] == "ssl"))]
    shown = tables.wide(tables.means(results, "aupr"))
    assert shown.loc["c", "m ssl"] == "–"
    assert shown.loc["mean of 2", "m sl"] == "0.110"
    # In the third experiment sl is alone, and so not first.
    assert list(shown.loc["first places"]) == ["0", "2"]


def test_first_places_are_among_all_methods_and_ties_count_for_each():
    results = results_of(
        {
            ("a", "m", "sl"): [0.1],
            ("a", "n", "ssl"): [0.3],
            ("a", "baseline", "pwm"): [0.2],
            ("b", "m", "sl"): [0.4],
            ("b", "n", "ssl"): [0.4],
            ("b", "baseline", "pwm"): [0.1],
            ("c", "m", "sl"): [0.1],
            ("c", "n", "ssl"): [0.1],
            ("c", "baseline", "pwm"): [0.5],
            ("d", "m", "sl"): [0.9],  # alone: it does not count
        }
    )
    table = tables.means(results, "aupr")
    assert tables.first_places(table) == {
        ("m", "sl"): 1,
        ("n", "ssl"): 2,
        ("baseline", "pwm"): 1,
    }
    # A part of a table shows its places in the whole.
    part = tables.wide(table[table["model"] == "m"], whole=table)
    assert part.loc["first places", "m sl"] == "1"
    assert part.loc["mean of 3", "m sl"] == "0.200"


def test_a_baseline_that_is_missing_somewhere_takes_nothing_from_the_others():
    results = results_of(
        {
            ("a", "m", "sl"): [0.1],
            ("a", "n", "ssl"): [0.3],
            ("a", "baseline", "pwm"): [0.4],
            ("a", "baseline", "gkm"): [0.2],
            ("b", "m", "sl"): [0.3],
            ("b", "n", "ssl"): [0.5],  # no motif of b is known
            ("b", "baseline", "gkm"): [0.1],
        }
    )
    shown = tables.wide(tables.means(results, "aupr"))
    assert list(shown.columns) == ["m sl", "n ssl", "baseline pwm", "baseline gkm"]
    assert list(shown.loc["mean of 2"]) == ["0.200", "0.400", "–", "0.150"]
    assert list(shown.loc["first places"]) == ["0", "1", "1", "0"]
    assert list(shown.loc["b"]) == ["0.300", "0.500", "–", "0.100"]


def test_increases():
    made = tables.increases(tables.means(world(2), "aupr"))
    assert list(made["regime"]) == ["ssl", "ssl"]
    np.testing.assert_allclose(made["percent"], 50)
    np.testing.assert_allclose(made["ratio"], 1.5)


def test_no_increase_is_computed_over_a_collapsed_run():
    results = results_of(
        {
            ("a", "m", "sl"): [0.001, 0.3],  # one of two runs learnt nothing
            ("a", "m", "ssl"): [0.4, 0.4],
            ("b", "m", "sl"): [0.2, 0.2],
            ("b", "m", "ssl"): [0.001, 0.2],  # a collapsed run of ssl is a loss like any other
            ("b", "baseline", "pwm"): [0.1],
        }
    )
    made = tables.increases(tables.means(results, "aupr")).set_index("experiment")
    assert list(made.index) == ["a", "b"]  # baselines have no sl
    assert made.loc["a", "base_collapsed"] == 1
    assert np.isnan(made.loc["a", "percent"])
    assert np.isnan(made.loc["a", "ratio"])
    assert made.loc["b", "percent"] == pytest.approx(100 * (0.1005 / 0.2 - 1))


def test_the_best_baseline_of_each_experiment():
    results = results_of(
        {
            ("a", "m", "sl"): [0.9],
            ("a", "baseline", "pwm"): [0.1],
            ("a", "baseline", "gkm"): [0.2],
            ("b", "baseline", "pwm"): [0.4],
            ("b", "baseline", "gkm"): [0.3],
        }
    )
    made = tables.with_best_baseline(tables.means(results, "aupr"))
    best = made[made["regime"] == tables.BEST_BASELINE[1]]
    assert list(zip(best["experiment"], best["mean"], strict=True)) == [("a", 0.2), ("b", 0.4)]
    assert set(best["model"]) == {"baseline"}
    assert tables.trained_methods(made) == [("m", "sl")]


def test_fitted_line_agrees_with_the_normal_equations():
    rng = np.random.default_rng(0)
    x = rng.random(20)
    y = 0.5 + 2 * x + 0.1 * rng.standard_normal(20)
    line = tables.fitted_line(x, y)
    design = np.stack([np.ones(20), x], axis=1)
    coefficients, residual, _, _ = np.linalg.lstsq(design, y)
    assert (line.intercept, line.slope) == pytest.approx(tuple(coefficients))
    covariance = residual[0] / 18 * np.linalg.inv(design.T @ design)
    t = coefficients / np.sqrt(np.diag(covariance))
    p = 2 * stats.t.sf(np.abs(t), 18)
    assert (line.p_intercept, line.p_slope) == pytest.approx(tuple(p))
    assert tables.fitted_line(x[:2], y[:2]) is None
    assert tables.fitted_line(np.ones(5), y[:5]) is None


def test_lines_are_fitted_by_model_and_regime():
    increases = pd.DataFrame(
        {
            "model": ["m"] * 5 + ["other"] * 2,
            "regime": "ssl",
            "labelled": [10.0, 100.0, 1000.0, 50.0, 60.0, 10.0, 20.0],
            # 0 has no logarithm, and an increase over a collapsed run is unknown.
            "percent": [4.0, 2.0, 1.0, 0.0, np.nan, 2.0, 1.0],
        }
    )
    made = tables.lines(increases, x="labelled", y="percent", log=True)
    assert list(zip(made["model"], made["n"], strict=True)) == [("m", 3)]  # two points: no line
    assert made["slope"][0] == pytest.approx(-np.log10(2))
    assert 10 ** made["intercept"][0] == pytest.approx(8)


def test_counts_table():
    counts = pd.DataFrame(
        {
            "experiment": ["a", "a", "a", "b", "b"],
            "genome": ["ref", "g1", "g2", "ref", "g2"],
            "positives": [10, 8, 7, 5, 3],
        }
    )
    made = tables.counts_wide(counts)
    assert list(made.columns) == ["ref", "g1", "g2", "pseudo-labelled"]
    assert list(made.loc["a"]) == [10, 8, 7, 15]
    assert list(made.loc["b"]) == [5, 0, 3, 3]
