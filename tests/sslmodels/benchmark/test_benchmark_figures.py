"""Figures that compare methods and count rows: what they say, and that nothing hides a point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmark_tools import (
    assert_legends_are_outside,
    corners,
    groups,
    results_of,
    world,
)

from sslmodels.benchmark import benchmark_figures as figures
from sslmodels.benchmark import count_figures, figure_panels
from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.paired_tests import method_pairs, paired_tests
from sslmodels.benchmark.published_values import with_published_increases
from sslmodels.report.svg_figures import new_figure, page_svg

NOTHING = pd.Series(dtype=float)


def increases_of(results: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    means = tables.means(results, "aupr")
    positives = pd.Series({"a": 150.0, "b": 300.0, "c": 800.0})
    return with_published_increases(tables.increases(means), published, "aupr", positives=positives)


def published_of(values: dict[tuple[str, str, str], float]) -> pd.DataFrame:
    columns = ["experiment", "model", "regime"]
    return pd.DataFrame(
        [dict(zip(columns, cell, strict=True)) | {"aupr": x} for cell, x in values.items()]
    )


@pytest.mark.parametrize("gain", [1.5, 20.0, 0.8])
def test_figures_say_units_and_n(gain):
    increases = increases_of(world(6, gain=gain))
    bars = figures.increase_bars(increases, metric="aupr")
    assert "AUPR increase over sl (%)" in bars
    assert "(n = 6)" in bars
    gains = figures.gain_by_positives(increases, metric="aupr")
    assert "labelled positives" in gains
    # A loss has no logarithm.
    assert ("n = 6: r = " in gains) == (gain > 1)
    assert ("n = 0 of 6" in gains) == (gain < 1)
    scatter = figures.scatter(increases, metric="aupr")
    assert "intercept" in scatter
    for svg in (bars, gains, scatter):
        assert_legends_are_outside(svg)
        assert "published" not in svg
        assert "collapsed" not in svg


def test_published_increases_are_drawn_beside_ones_own():
    cells = {(e, "m", "sl"): 0.1 for e in "abc"}
    cells |= {(e, "m", "ssl"): 0.1 * x for e, x in zip("abc", (5, 2.5, 1.5), strict=True)}
    increases = increases_of(world(3), published_of(cells))
    np.testing.assert_allclose(increases["published_percent"], [400, 150, 50])
    bars = figures.increase_bars(increases, metric="aupr")
    assert "published" in bars
    # Beyond 300 % the scale is logarithmic: 100 and 1,000 are as far apart as 10 and 100.
    assert ">100<" in bars
    gains = figures.gain_by_positives(increases, metric="aupr")
    x, y = np.log10([150.0, 300.0, 800.0]), np.log10([400.0, 150.0, 50.0])
    assert f"ssl, published, n = 3: r = −{-np.corrcoef(x, y)[0, 1]:.2f}" in gains


def test_collapsed_runs_are_marked_and_no_gain_is_drawn():
    results = world(5)
    results.loc[(results["experiment"] == "a") & (results["regime"] == "sl"), "collapsed"] = True
    increases = increases_of(results)
    bars = figures.increase_bars(increases, metric="aupr")
    assert "sl collapsed" in bars
    plain = figures.increase_bars(increases_of(world(5)), metric="aupr")
    drawn = [sum(len(corners(bar)) > 0 for bar in groups(svg, "patch")) for svg in (plain, bars)]
    assert drawn[0] - drawn[1] == 1
    scatter = figures.scatter(increases, metric="aupr")
    assert "open: sl collapsed" in scatter
    assert "ssl, n = 4: intercept" in scatter
    assert "ssl, n = 4: r" in figures.gain_by_positives(increases, metric="aupr")


def test_methods_are_drawn_against_methods_of_other_models():
    rng = np.random.default_rng(0)
    cells = [("cnn", "ssl"), ("cnn", "ssl-ns"), ("deep", "ssl"), ("dnabert2", "sl")]
    results = results_of({(e, *cell): [rng.uniform(0.1, 0.5)] for e in "abcdef" for cell in cells})
    results.loc[0, "collapsed"] = True
    means = tables.means(results, "aupr")
    large = [(("dnabert2", "sl"), cell) for cell in cells[:3]]
    svg = figures.pair_scatter(
        method_pairs(means, large), paired_tests(means, large), metric="aupr", salt="a"
    )
    assert "AUPR of dnabert2 sl" in svg
    assert "AUPR of deep ssl" in svg
    assert "open: a run collapsed" in svg
    test = paired_tests(means, large).iloc[1]
    assert f"ssl-ns, n = 6: higher in {test['wins_b']}, p = {test['p']:.2g}" in svg
    assert_legends_are_outside(svg)
    pair = [(("cnn", "ssl"), ("cnn", "ssl-ns"))]
    svg = figures.pair_scatter(
        method_pairs(means, pair), paired_tests(means, pair), metric="aupr", salt="b"
    )
    assert "AUPR of ssl<" in svg
    assert "AUPR of cnn ssl-ns<" in svg


@pytest.mark.parametrize("inside", [True, False])
def test_a_legend_within_a_panel_would_be_found(inside):
    with new_figure(size=(4, 3), salt="legend") as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "o", label="line")
        axes.legend(
            **({"loc": "center"} if inside else {"loc": "lower left", "bbox_to_anchor": (0, 1)})
        )
        svg = page_svg(figure)
    if inside:
        with pytest.raises(AssertionError):
            assert_legends_are_outside(svg)
    else:
        assert_legends_are_outside(svg)


def test_labels_of_an_axis_do_not_touch():
    names = ["GM12878_ATF3_HudsonAlpha_rep1+2", "REST", "notonesignthatisnoletteriniiiit"]
    labels, height = figure_panels.broken_names(names, inches=4)
    assert [label.replace("\n", "") for label in labels] == names
    assert max(len(line) for label in labels for line in label.split("\n")) <= 4 * 11 / 3
    assert height > 0
    assert figure_panels.broken_names(["a", "b"], inches=4) == (["a", "b"], 0)
    assert figure_panels.labels_apart([1, 2, 3, 100], log=False) == [3, 100]
    assert figure_panels.labels_apart([50, 100, 110, 800], log=True) == [50, 110, 800]
    assert figure_panels.labels_apart([7], log=True) == [7]


def test_counts_are_drawn_with_the_published_and_by_genome():
    counts = pd.DataFrame(
        {
            "experiment": ["a", "a", "a", "b", "b", "b"],
            "genome": ["ref", "g1", "g2", "ref", "g1", "g2"],
            "positives": [100, 90, 50, 2000, 400, 1999],
        }
    )
    published = pd.DataFrame({"positives": [120], "pseudo_labelled": [150]}, index=["a"])
    assert "published" not in count_figures.count_bars(counts)
    bars = count_figures.count_bars(counts, published)
    assert all(text in bars for text in ("published", "140", "2.4k", "experiment (n = 2)"))
    assert_legends_are_outside(bars)
    by_genome = count_figures.count_map(counts)
    assert all(text in by_genome for text in ("genome (n = 2)", ">.90<", ">.20<", "rows per"))
    assert "<image" not in by_genome


def test_own_results_are_drawn_against_the_published():
    beside = pd.DataFrame(
        {
            "experiment": ["a", "b"],
            "model": "m",
            "regime": "ssl",
            "own": [0.1, 0.002],
            "published": [0.2, 0.003],
        }
    )
    svg = figures.against_published(beside)
    assert all(text in svg for text in ("ssl, n = 2", "published AUPR", "own AUPR"))
    assert_legends_are_outside(svg)
