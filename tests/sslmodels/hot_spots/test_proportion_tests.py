"""Two proportions, their tests and intervals: against numbers computed by hand, and their level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from sslmodels.hot_spots.proportion_tests import proportion_tests


def one_test(hits_1: int, count_1: int, hits_0: int, count_0: int) -> dict:
    made = proportion_tests(np.array([hits_1]), count_1, np.array([hits_0]), count_0)
    return made.loc[0].to_dict()


def test_z_is_that_of_the_pooled_share() -> None:
    found = one_test(60, 200, 90, 600)
    pooled = 150 / 800
    z = 0.15 / math.sqrt(pooled * (1 - pooled) * (1 / 200 + 1 / 600))
    assert found["test"] == "z"
    assert found["z"] == pytest.approx(z)
    assert found["p"] == pytest.approx(2 * norm.sf(z))
    assert (found["share_1"], found["share_0"]) == (0.3, 0.15)
    assert found["difference"] == pytest.approx(0.15)
    assert found["bonferroni"] == found["bh"] == found["p"]


def test_both_ways_alike() -> None:
    found, other = one_test(60, 200, 90, 600), one_test(90, 600, 60, 200)
    assert other["z"] == pytest.approx(-found["z"])
    assert other["p"] == pytest.approx(found["p"])
    assert other["low"] == pytest.approx(-found["high"])
    assert other["high"] == pytest.approx(-found["low"])


def test_the_interval_is_that_of_newcombe() -> None:
    """Newcombe 1998, Table II, method 10: its examples (a), (c) and (e)."""
    for numbers, expected in {
        (56, 70, 48, 80): (0.0524, 0.3339),
        (6, 7, 2, 7): (0.0582, 0.8062),
        (5, 56, 0, 29): (-0.0381, 0.1926),
    }.items():
        found = one_test(*numbers)
        assert (found["low"], found["high"]) == pytest.approx(expected, abs=6e-5)


def test_small_counts_are_tested_exactly() -> None:
    found = one_test(3, 10, 1, 100)
    assert found["test"] == "exact"
    # Hypergeometric: 3 or 4 of the 4 hits among the 10 of class 1, of 110.
    chance = [math.comb(10, k) * math.comb(100, 4 - k) / math.comb(110, 4) for k in (3, 4)]
    assert found["p"] == pytest.approx(sum(chance))
    assert 2 * norm.sf(found["z"]) < found["p"] / 100  # the normal approximation is far off
    misses = one_test(7, 10, 99, 100)
    assert misses["test"] == "exact"
    assert misses["p"] == pytest.approx(found["p"])


@pytest.mark.parametrize("hits", [(0, 0), (50, 70)], ids=["none", "all"])
def test_without_variance_nothing_differs(hits: tuple[int, int]) -> None:
    found = one_test(hits[0], 50, hits[1], 70)
    assert (found["difference"], found["z"], found["p"]) == (0, 0, 1)
    assert found["low"] < 0 < found["high"]


def test_a_class_without_sequences_is_not_tested() -> None:
    found = one_test(0, 0, 3, 10)
    assert found["share_0"] == 0.3
    assert found["test"] == ""
    names = ("share_1", "difference", "low", "high", "z", "p", "bonferroni", "bh")
    assert all(math.isnan(found[name]) for name in names)
    assert len(proportion_tests(np.zeros(0, int), 10, np.zeros(0, int), 10)) == 0


def test_corrections_by_hand() -> None:
    ones = np.array([30, 20, 12, 10, 25])
    made = proportion_tests(ones, 100, np.full(5, 10), 100)
    p = made["p"].tolist()
    assert made["bonferroni"].tolist() == pytest.approx([min(1, 5 * value) for value in p])
    # Benjamini and Hochberg: of rank k, the smallest of p · m / rank from there on.
    order = sorted(range(5), key=p.__getitem__)
    expected = {}
    smallest = 1.0
    for rank in range(5, 0, -1):
        place = order[rank - 1]
        smallest = min(smallest, p[place] * 5 / rank)
        expected[place] = smallest
    assert made["bh"].tolist() == pytest.approx([expected[i] for i in range(5)])
    assert order == [0, 4, 1, 2, 3]
    assert made["bh"][1] == pytest.approx(5 / 3 * p[1])


@pytest.mark.parametrize(("count_1", "count_0"), [(40, 1000), (300, 300)])
def test_the_level_holds_where_classes_do_not_differ(count_1: int, count_0: int) -> None:
    """20,000 tests of classes alike, with shares from 0 to 1: the rate is at most the level."""
    rng = np.random.default_rng(6)
    share = rng.beta(0.5, 1.5, 20_000)
    one, zero = rng.binomial(count_1, share), rng.binomial(count_0, share)
    made = proportion_tests(one, count_1, zero, count_0)
    for level, at_most in ((0.05, 0.055), (0.01, 0.013), (0.001, 0.0025)):
        rate = float((made["p"] < level).mean())
        assert level / 4 < rate < at_most, (level, rate)
    assert (made["bonferroni"] < 0.05).sum() <= 1
    inside = (made["low"] <= 0) & (made["high"] >= 0)
    assert 0.94 < inside.mean() < 0.985
