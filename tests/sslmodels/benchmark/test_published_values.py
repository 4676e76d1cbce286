"""Published results beside one's own: the statistics of the paper from its own tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmark_tools import published_project, results_of, world
from run_tools import changed

from ssldata.base.errors import InputError, MissingInputError
from ssldata.project.project_file import Project
from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.paired_tests import comparisons, paired_tests
from sslmodels.benchmark.paper_tables import totals
from sslmodels.benchmark.published_values import (
    beside_published,
    published_means,
    published_positives,
    read_published,
    with_published_increases,
)


@pytest.fixture(scope="module")
def paper() -> pd.DataFrame:
    published = read_published(published_project())
    assert published is not None
    return published


def project_with(path: Path) -> Project:
    return changed(published_project(), "training", published=path)


# What the paper says, from Tables 1 and 2 ---------------------------------------------------------


def test_dnabert2_is_published_without_homologues(paper):
    large = paper[paper["model"] == "dnabert2"]
    assert set(large["regime"]) == {"sl"}
    assert len(large) == 11
    # So it stands beside an own run.
    own = tables.means(results_of({("ATF3", "dnabert2", "sl"): [0.05]}), "aupr")
    beside = beside_published(paper, own, "aupr")
    assert beside.to_dict("records") == [
        {
            "experiment": "ATF3",
            "model": "dnabert2",
            "regime": "sl",
            "own": 0.05,
            "published": 0.039,
        }
    ]


def test_published_first_places(paper):
    means = published_means(paper, "aupr")
    assert tables.first_places(means) == {
        ("cnn-7k", "sl"): 0,
        ("cnn-7k", "ssl"): 0,
        ("cnn-27k", "sl"): 0,
        ("cnn-27k", "ssl"): 4,  # ANDR, REST, P300, RAD21
        ("cnn-27k", "ssl-ns"): 5,  # ATF3, ETS1, CTCF, POL2, ATAC
        ("dnabert2", "sl"): 2,  # MAX, H3K4me3
    }


def test_published_percentages_are_those_of_table_2(paper):
    made = tables.increases(published_means(paper, "aupr"))
    percent = made.set_index(["experiment", "model", "regime"])["percent"].round(1)
    # (.124 − .008) / .008, and so on.
    assert percent["ATF3", "cnn-7k", "ssl"] == 1450.0
    assert percent["CTCF", "cnn-7k", "ssl"] == 14.1
    assert percent["RAD21", "cnn-27k", "ssl"] == 28.8
    assert percent["ANDR", "cnn-27k", "ssl-ns"] == 50.0
    assert percent["ATAC", "cnn-27k", "ssl-ns"] == 40.7
    assert (made["percent"] > 0).all()
    assert "dnabert2" not in set(made["model"])  # published without homologues only


def test_published_correlation_of_positives_and_increase(paper):
    positives = published_positives(published_project())
    made = tables.increases(published_means(paper, "aupr"))
    made["labelled"] = made["experiment"].map(positives)
    lines = tables.lines(made, x="labelled", y="percent", log=True)
    r = lines.set_index(["model", "regime"])["r"].round(2).to_dict()
    assert r == {
        ("cnn-7k", "ssl"): -0.86,
        ("cnn-27k", "ssl"): -0.89,
        ("cnn-27k", "ssl-ns"): -0.86,
    }
    # Independently: the correlation of the logarithms.
    one = made[(made["model"] == "cnn-7k") & (made["regime"] == "ssl")]
    expected = np.corrcoef(np.log10(one["labelled"]), np.log10(one["percent"]))[0, 1]
    assert lines["r"][0] == pytest.approx(expected)


def test_published_comparisons(paper):
    means = published_means(paper, "aupr")
    tests = paired_tests(means, comparisons(means))
    wins = {
        (r["model_b"], r["regime_b"], r["model_a"], r["regime_a"]): (r["wins_b"], r["wins_a"])
        for r in tests.to_dict("records")
    }
    assert wins == {
        ("cnn-7k", "ssl", "cnn-7k", "sl"): (11, 0),
        ("cnn-27k", "ssl", "cnn-27k", "sl"): (11, 0),
        ("cnn-27k", "ssl-ns", "cnn-27k", "sl"): (11, 0),
        ("cnn-27k", "ssl-ns", "cnn-27k", "ssl"): (6, 5),
        ("cnn-7k", "ssl", "dnabert2", "sl"): (8, 3),
        ("cnn-27k", "ssl", "dnabert2", "sl"): (9, 2),
        ("cnn-27k", "ssl-ns", "dnabert2", "sl"): (9, 2),
    }
    sure = tests[(tests["regime_a"] == "sl") & (tests["model_a"] != "dnabert2")]
    np.testing.assert_allclose(sure["p"], 2 / 2**11)


def test_table_1_has_its_factor():
    wide = pd.DataFrame(
        {"hg38": [10, 0], "mm10": [20, 5], "pseudo-labelled": [20, 5]}, index=["ATF3", "other"]
    )
    made = totals(published_project(), wide).set_index("experiment")
    assert made.loc["ATF3", "factor"] == 2.0
    assert np.isnan(made.loc["other", "factor"])  # nothing labelled
    assert made.loc["ATF3", "published_factor"] == pytest.approx(23_555 / 1_306)
    assert np.isnan(made.loc["other", "published_factor"])  # not published


# Beside one's own ---------------------------------------------------------------------------------


def test_published_values_stand_beside_ones_own(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("experiment,model,regime,aupr\na,m,ssl,0.3\nz,m,ssl,0.2\n")
    published = read_published(project_with(path))
    made = beside_published(published, tables.means(world(2), "aupr"), "aupr")
    assert made.to_dict("records") == [
        {
            "experiment": "a",
            "model": "m",
            "regime": "ssl",
            "own": pytest.approx(0.15),
            "published": 0.3,
        }
    ]
    assert read_published(changed(published_project(), "training", published=None)) is None


def test_published_increases_stand_beside_ones_own(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "experiment,model,regime,aupr,auroc\n"
        "a,m,sl,0.1,0.8\na,m,ssl,0.3,0.9\nb,m,sl,0.2,\nb,m,ssl,0.2,0.9\n"
    )
    published = read_published(project_with(path))
    means = tables.means(world(3), "aupr")
    positives = pd.Series({"a": 50.0})
    made = with_published_increases(
        tables.increases(means), published, "aupr", positives=positives
    ).set_index("experiment")
    assert made["published_percent"].to_dict() == {
        "a": pytest.approx(200),
        "b": pytest.approx(0),
        "c": pytest.approx(float("nan"), nan_ok=True),
    }
    assert made.loc["a", "published_labelled"] == 50
    np.testing.assert_allclose(made["percent"], 50)
    # Of the second metric as much as is known.
    of_auroc = with_published_increases(
        tables.increases(tables.means(world(3), "auroc")), published, "auroc", positives=positives
    ).set_index("experiment")["published_percent"]
    assert of_auroc["a"] == pytest.approx(12.5)
    assert np.isnan(of_auroc[["b", "c"]]).all()
    none = with_published_increases(tables.increases(means), None, "aupr", positives=positives)
    assert none["published_percent"].isna().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment,value\na,1\n", "expected columns experiment, model, regime, aupr"),
        ("a,m,unstated,0.3\n", "line 2: regime is 'unstated', expected one of sl, two-stage"),
        ("a,m,ssl,0.3\na,m,ssl,0.4\n", "line 3: a, m, ssl occurs twice"),
        ("a,m,ssl,much\n", "line 2: aupr is 'much', expected a number"),
        ("a,m,ssl,30\n", "line 2: aupr is '30', expected a number from 0 to 1"),
        ("a,m,ssl,\n", "line 2: aupr is '', expected a number"),
    ],
)
def test_wrong_published_values(tmp_path, text, message):
    path = tmp_path / "published.csv"
    head = "" if text.startswith("experiment") else "experiment,model,regime,aupr\n"
    path.write_text(head + text)
    with pytest.raises(InputError, match=message):
        read_published(project_with(path))


def test_published_values_may_be_missing_and_of_baselines(tmp_path):
    with pytest.raises(MissingInputError, match=r"no such file; see training\.published"):
        read_published(project_with(tmp_path / "none.csv"))
    path = tmp_path / "published.csv"
    path.write_text("experiment,model,regime,aupr\na,baseline,gkm,0.3\n")
    published = read_published(project_with(path))
    assert list(published["regime"]) == ["gkm"]
