"""Methods by the number of labelled examples: means, intervals, differences, words, figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sslmodels.transfer.learning_curves import (
    LearningCurves,
    curve_figure,
    curve_table,
    difference_table,
    in_words,
    learning_curve_page,
    mean_over_seeds,
)

METHODS = {"ours": "our method", "theirs": "another"}
#: AUPR by labelled positives: ahead, undecided, behind.
AUPR = {"ours": {10: 0.5, 100: 0.5, 1000: 0.5}, "theirs": {10: 0.2, 100: 0.5, 1000: 0.8}}


@pytest.fixture
def curves() -> LearningCurves:
    rng = np.random.default_rng(0)
    rows, resamples = [], {}
    for method, values in AUPR.items():
        for count, aupr in values.items():
            drawn = aupr + rng.normal(0, 0.02, (3, 200))
            resamples["task", count, method] = drawn
            for seed in range(3):
                rows.append(
                    {
                        "task": "task",
                        "labelled": count,
                        "method": method,
                        "seed": seed,
                        "aupr": aupr + (seed - 1) * 0.01,
                        "prevalence": 0.02,
                        "test_positives": 60,
                    }
                )
    return LearningCurves(
        results=pd.DataFrame(rows),
        resamples=resamples,
        methods=METHODS,
        ours="ours",
        theirs="theirs",
    )


def test_the_table_has_means_deviations_and_intervals(curves: LearningCurves) -> None:
    table = curve_table(curves)
    assert list(table["labelled"]) == [10, 10, 100, 100, 1000, 1000]
    line = table.iloc[1]
    assert (line["method"], line["seeds"]) == ("theirs", 3)
    assert line["aupr"] == pytest.approx(0.2)
    assert line["sd"] == pytest.approx(0.01)
    assert 0.1 < line["low"] < 0.2 < line["high"] < 0.3


def test_seeds_that_differ_widen_the_interval() -> None:
    same = np.zeros((3, 400))
    apart = same + np.array([[-1.0], [0.0], [1.0]])
    assert np.ptp(mean_over_seeds(same)) == 0
    assert np.ptp(mean_over_seeds(apart)) == 2
    # Methods share the draws of seeds: what is equal in each of them differs by nothing.
    assert np.allclose(mean_over_seeds(apart + 0.25) - mean_over_seeds(apart), 0.25)


def test_differences_and_words_say_where_a_method_is_ahead(curves: LearningCurves) -> None:
    table = difference_table(curves, "ours", "theirs")
    assert list(table["verdict"]) == ["ahead", "undecided", "behind"]
    assert list(table["difference"]) == pytest.approx([0.3, 0.0, -0.3])
    assert list(difference_table(curves, "theirs", "ours")["verdict"]) == [
        "behind",
        "undecided",
        "ahead",
    ]
    assert in_words(curves)["task"] == (
        "“our method” is ahead of “another” with 10; nothing can be said with 100; “another” is "
        "ahead with 1,000 labelled positives."
    )


def test_the_figure_has_a_line_and_intervals_for_each_method(curves: LearningCurves) -> None:
    svg = curve_figure(curves)
    assert svg.startswith("<svg")
    for title in METHODS.values():
        assert title in svg
    assert curve_figure(curves, file=True).startswith("<?xml")


def test_the_page_shows_numbers_and_escapes_names(curves: LearningCurves) -> None:
    page = learning_curve_page(curves, title="a <b>", lead="lead & more", details={"x": "y"})
    assert "a &lt;b&gt;" in page
    assert "lead &amp; more" in page
    assert "0.200" in page
    assert "+0.300 [" in page
    assert "“our method” is ahead of “another” with 10" in page
