"""The sentences of a report, for what can be found and what makes it uncertain."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sslmodels.report.report_findings import FEW_POSITIVES, findings, recall_margin
from sslmodels.report.report_gains import (
    BEST_BASELINE,
    Gain,
    Ratio,
    best_leading,
    leading_gains,
)


def line(regime: str, aupr: float, **more: Any) -> dict[str, Any]:
    return {
        "experiment": "Reb1",
        "model": "cnn",
        "regime": regime,
        "n": 2,
        "collapsed": 0,
        "positives": 200,
        "auprs": [(0, aupr), (1, aupr)],
        "interval": (aupr - 0.05, aupr + 0.05),
        "aupr": (aupr, 0.01),
        "prevalence": (0.02, None),
        "lift": (aupr / 0.02, 0.1),
    } | more


def gain_of(interval: tuple[float, float] | None, over: str = "sl-plus") -> Gain:
    name = "motif" if over == BEST_BASELINE else over
    one = Ratio(name="Reb1", over=name, aupr=0.4, base=0.3, interval=interval, runs=(2, 2))
    return Gain(model="cnn", regime="ssl-plus", over=over, lines=[one], mean=one)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((1.1, 1.4), "Homologues help in this test"),
        ((0.7, 0.9), "Homologues do harm in this test"),
        ((0.9, 1.2), "No gain from homologues can be shown"),
        ((1.004, 1.09), "No gain from homologues can be shown"),  # printed as 1.00
        ((0.9, 0.996), "No gain from homologues can be shown"),
        (None, "no interval is known"),
    ],
)
def test_a_gain_is_claimed_only_where_the_printed_interval_excludes_one(
    interval: tuple[float, float] | None, words: str
) -> None:
    found = findings([line("ssl-plus", 0.4)], [], [gain_of(interval)], {"Reb1": 200})
    assert words in found[1]


def test_nothing_is_said_of_homologues_without_a_control() -> None:
    found = findings([line("ssl-plus", 0.4)], [], [], {"Reb1": 200})
    assert "add sl-plus to training.regimes" in found[1]
    assert "No regime that uses homologues" in findings([line("sl", 0.4)], [], [], {})[1]


def test_the_summary_is_of_the_best_leading_regime_that_has_its_control() -> None:
    """Not of the first in the table: ssl-ns is its last, and ssl-committee has no control here."""
    auprs = {"ssl-committee": 0.5, "ssl-plus": 0.2, "sl-plus": 0.1, "ssl-ns": 0.4, "two-stage": 0.3}
    lines = [line(regime, aupr) for regime, aupr in auprs.items()]
    gains = leading_gains(lines, [line("motif", 0.3, model="baseline")])
    assert [(gain.regime, gain.over) for gain in gains] == [
        ("ssl-plus", "sl-plus"),
        ("ssl-ns", "two-stage"),
        ("ssl-committee", BEST_BASELINE),
    ]
    found = findings(lines, [], gains, {"Reb1": 200})
    assert "ssl-ns has × 1.33" in found[1]
    assert "of 2 such comparisons the one with the highest AUPR" in found[1]
    assert "ssl-committee has the highest AUPR, but its control (sl-committee) was not" in found[1]
    assert "ssl-committee has × 1.67" in found[2]


def test_more_experiments_count_before_a_higher_mean() -> None:
    """A regime that was trained for the easy experiment only does not lead."""
    lines = [line("ssl", 0.3), line("ssl", 0.2, experiment="Abf1"), line("ssl-plus", 0.9)]
    assert best_leading(lines) == "ssl"
    assert best_leading([line("sl", 0.9)]) is None


def test_every_mean_of_the_summary_has_its_interval() -> None:
    lines = [line("ssl", 0.3), line("ssl", 0.2, experiment="Abf1")]
    assert "Reb1 0.300 [0.250, 0.350]" in findings(lines, [], [], {})[0]
    assert "Abf1 0.200 [0.150, 0.250]" in findings(lines, [], [], {})[0]


def test_the_best_baseline_is_named() -> None:
    gains = [gain_of((0.6, 0.8), BEST_BASELINE)]
    (sentence,) = (f for f in findings([line("ssl", 0.3)], [], gains, {}) if "simple models" in f)
    assert sentence.startswith("The network is worse than simple models")
    assert sentence.endswith("the best baseline (motif).")


def test_a_collapsed_network_is_not_the_best() -> None:
    lines = [line("sl", 0.03, lift=(1.5, None), collapsed=2), line("ssl", 0.3)]
    found = findings(lines, [], [], {"Reb1": 200})
    assert "trained as ssl" in found[0]
    assert "2 of 4 runs collapsed" in found[-1]
    assert findings(lines[:1], [], [], {})[0].startswith("No network has learnt")
    assert findings([], [], [], {}) == [
        "No network has been evaluated yet, so there is nothing to compare."
    ]


@pytest.mark.parametrize("count", [0, 1, 5, FEW_POSITIVES - 1, FEW_POSITIVES])
def test_few_positives_are_said_in_words(count: int) -> None:
    lines = [line("ssl", 0.3)]
    text = " ".join(findings(lines, [], [], {"Reb1": count}))
    assert ("few positives" in text) == (0 < count < FEW_POSITIVES)
    assert ("cannot be evaluated" in text) == (count == 0)


def test_one_seed_is_named() -> None:
    text = findings([line("ssl", 0.3, n=1, auprs=[(7, 0.3)])], [], [], {"Reb1": 200})[-1]
    assert "there is one seed (7)" in text
    assert "caution" not in " ".join(findings([line("ssl", 0.3)], [], [], {"Reb1": 200}))


def test_the_margin_is_that_of_a_binomial() -> None:
    assert recall_margin(FEW_POSITIVES) == pytest.approx(1.96 * 0.5 / math.sqrt(FEW_POSITIVES))
    assert recall_margin(0) == recall_margin(1) == 0.5
