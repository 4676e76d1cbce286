"""Paired tests of methods, against small examples computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmark_tools import results_of, world
from hypothesis import given
from hypothesis import strategies as st

from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.paired_tests import (
    comparisons,
    holm,
    method_pairs,
    paired_tests,
    ratio_interval,
)
from sslmodels.benchmark.table_text import least_p_note, text_of_tests


def compared(results: pd.DataFrame) -> pd.DataFrame:
    means = tables.means(results, "aupr")
    return paired_tests(means, comparisons(means))


def test_paired_tests_are_wilcoxon_on_means_of_seeds():
    made = compared(world(8)).iloc[0]
    assert (made["model_a"], made["regime_a"], made["model_b"], made["regime_b"]) == (
        *("m", "sl"),
        *("m", "ssl"),
    )
    assert (made["n"], made["wins_a"], made["wins_b"]) == (8, 0, 8)
    # All eight of one sign: 2 / 2^8, whatever the seeds.
    assert made["p"] == pytest.approx(2 / 2**8)
    assert made["ratio"] == pytest.approx(1.5)
    # Every resample has the same ratio.
    assert (made["ratio_low"], made["ratio_high"]) == (pytest.approx(1.5), pytest.approx(1.5))


def test_models_and_regimes_of_a_pair_may_differ():
    # Differences + .1, + .2, − .3: signed ranks 1 + 2 against 3, so p is 1 of 2^3 patterns … all.
    results = results_of(
        {
            ("a", "cnn", "ssl"): [0.3],
            ("a", "dnabert2", "sl"): [0.2],
            ("b", "cnn", "ssl"): [0.4],
            ("b", "dnabert2", "sl"): [0.2],
            ("c", "cnn", "ssl"): [0.1],
            ("c", "dnabert2", "sl"): [0.4],
            ("d", "cnn", "ssl"): [0.1],  # no partner
        }
    )
    means = tables.means(results, "aupr")
    pairs = [(("dnabert2", "sl"), ("cnn", "ssl"))]
    made = paired_tests(means, pairs).iloc[0]
    assert (made["n"], made["wins_a"], made["wins_b"]) == (3, 1, 2)
    assert made["difference"] == pytest.approx(0)
    assert made["ratio"] == pytest.approx(1.0)
    assert made["p"] == pytest.approx(1.0)
    points = method_pairs(means, pairs)
    assert list(points["experiment"]) == ["a", "b", "c"]
    assert list(points["a"]) == [0.2, 0.2, 0.4]
    assert list(points["b"]) == [0.3, 0.4, 0.1]
    assert set(points["model_a"]) == {"dnabert2"}
    shown = text_of_tests(paired_tests(means, pairs)).iloc[0]
    assert (shown["method"], shown["against"], shown["wins"]) == (
        "cnn ssl",
        "dnabert2 sl",
        "2 of 3",
    )


def test_the_comparisons_of_a_benchmark():
    cells = [
        *(("cnn", regime) for regime in ("sl", "two-stage", "ssl", "ssl-ns")),
        *(("dnabert2", regime) for regime in ("sl", "ssl")),
        ("baseline", "pwm"),
    ]
    results = results_of({("a", *cell): [0.1] for cell in cells})
    pairs = comparisons(tables.means(results, "aupr"))
    within = [(a, b) for a, b in pairs if a[0] == b[0]]
    assert len(within) == 6 + 1
    assert (("cnn", "ssl"), ("cnn", "ssl-ns")) in within
    # The controls have no homologues and are not compared with the large model.
    assert [pair for pair in pairs if pair not in within] == [
        (("dnabert2", "sl"), ("cnn", "ssl")),
        (("dnabert2", "sl"), ("cnn", "ssl-ns")),
    ]
    without = results[results["model"] != "dnabert2"]
    assert all(a[0] == b[0] for a, b in comparisons(tables.means(without, "aupr")))


def test_a_collapsed_run_is_compared_but_gives_no_ratio():
    results = results_of(
        {
            ("a", "m", "sl"): [0.001, 0.001],
            ("a", "m", "ssl"): [0.5, 0.5],
            ("b", "m", "sl"): [0.1, 0.1],
            ("b", "m", "ssl"): [0.2, 0.2],
        }
    )
    made = compared(results).iloc[0]
    assert (made["n"], made["wins_b"], made["n_ratio"]) == (2, 2, 1)
    assert made["ratio"] == pytest.approx(2.0)
    assert made["difference"] == pytest.approx(0.1)  # of b alone
    both = results[results["experiment"] == "a"]
    assert np.isnan(compared(both).iloc[0]["ratio"])


def test_methods_that_share_no_experiment():
    results = results_of({("a", "m", "sl"): [0.1], ("b", "m", "ssl"): [0.2]})
    made = compared(results).iloc[0]
    assert (made["n"], made["n_ratio"]) == (0, 0)
    assert np.isnan([made[name] for name in ("difference", "ratio", "p", "p_holm")]).all()
    assert text_of_tests(compared(results))["p"].tolist() == ["–"]


def test_the_interval_of_a_ratio_is_that_of_resampled_pairs():
    a, b = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.6, 0.4])
    low, high = ratio_interval(a, b)
    assert 1 <= low < b.mean() / a.mean() < high <= 2
    # By hand: all 4^4 resamples in place of random ones.
    draws = np.stack(np.meshgrid(*[np.arange(4)] * 4), axis=-1).reshape(-1, 4)
    exact = np.percentile(b[draws].mean(axis=1) / a[draws].mean(axis=1), [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(exact), abs=0.05)
    assert np.isnan(ratio_interval(a[:2], b[:2])).all()


def test_the_page_says_which_p_so_few_experiments_can_give():
    tests = compared(world(8))
    # One line: nothing to correct for.
    assert "From 8 experiments p cannot be below 0.00781" in least_p_note(tests)
    assert tests["p_holm"].min() == pytest.approx(2 / 2**8)
    tests = compared(pd.concat([world(8).assign(model=f"m{i}") for i in range(5)]))
    assert "corrected below 0.0391." in least_p_note(tests)
    assert tests["p_holm"].min() == pytest.approx(5 * 2 / 2**8)


def test_no_difference_has_no_p_value():
    made = compared(world(4, gain=1.0)).iloc[0]
    assert np.isnan(made["p"])
    assert (made["wins_a"], made["wins_b"]) == (0, 0)


def test_holm_by_hand():
    np.testing.assert_allclose(
        holm([0.01, np.nan, 0.04, 0.03, 0.005]), [0.03, np.nan, 0.06, 0.06, 0.02]
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_properties(p_values):
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, np.array(p_values) * len(p_values) + 1e-12)).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()
