"""Figures of the sweeps: a series for every model that was swept, with the points of the grid."""

from __future__ import annotations

import pandas as pd
import pytest
from benchmark_tools import assert_legends_are_outside, published_project, results_of
from run_tools import changed

from ssldata.project.project_file import Project
from sslmodels.benchmark import sweep_figures
from sslmodels.benchmark.paper_page import _few_against_all


@pytest.fixture
def project() -> Project:
    project = published_project()
    student = project.training.noisy_student.model_copy(update={"iterations": 2, "noise_sd": 0.1})
    return changed(project, "training", noisy_student=student)


def results() -> pd.DataFrame:
    """Return a grid of three models, and sweeps of its own for each."""
    regimes = ("sl", "ssl", "ssl-ns")
    models = ("deepbind", "cnn-27k", "dnabert2")
    grid = results_of(
        {(e, m, r): [0.3, 0.4] for e in "ab" for m in models for r in regimes}, genomes=6, loci=90
    )
    parts = [grid]
    for key, model, regime, values in (
        ("nearest", "deepbind", "ssl", (2, 4, 6)),  # 6 is a run of the grid
        ("nearest", "dnabert2", "ssl", (2,)),
        ("iterations", "cnn-27k", "ssl-ns", (1,)),
        ("noise_sd", "cnn-27k", "ssl-ns", (0.0,)),
        ("labelled_peaks", "deepbind", "sl", (40,)),
        ("labelled_peaks", "deepbind", "ssl", (40,)),
    ):
        for value in values:
            one = results_of({(e, model, regime): [0.2, 0.25] for e in "ab"}, genomes=6, loci=90)
            parts.append(one.assign(sweep=key, value=float(value)))
    return pd.concat(parts, ignore_index=True)


def points(rows: pd.DataFrame) -> dict[str, list[tuple[float, str]]]:
    """Return method → values and their regimes, of one experiment and seed."""
    one = rows[(rows["experiment"] == "a") & (rows["seed"] == 0)]
    return {
        name: sorted(zip(part["value"], part["regime"], strict=True))
        for name, part in one.groupby("method", sort=False)
    }


def test_every_swept_model_has_its_series_with_the_points_of_the_grid(project):
    rows = sweep_figures.sweep_rows(project, results(), "nearest")
    assert points(rows) == {
        "deepbind ssl": [(0, "sl"), (2, "ssl"), (4, "ssl"), (6, "ssl")],
        "dnabert2 ssl": [(0, "sl"), (2, "ssl"), (6, "ssl")],
    }
    assert not rows.duplicated(["experiment", "seed", "method", "value"]).any()
    assert points(sweep_figures.sweep_rows(project, results(), "iterations")) == {
        "cnn-27k ssl-ns": [(0, "ssl"), (1, "ssl-ns"), (2, "ssl-ns")]
    }
    assert points(sweep_figures.sweep_rows(project, results(), "noise_sd")) == {
        "cnn-27k ssl-ns": [(0, "ssl-ns"), (0.1, "ssl-ns")]
    }
    assert points(sweep_figures.sweep_rows(project, results(), "labelled_peaks")) == {
        "deepbind sl": [(40, "sl"), (90, "sl")],
        "deepbind ssl": [(40, "ssl"), (90, "ssl")],
    }


def test_a_sweep_that_was_not_run_has_no_rows(project):
    grid = results()
    grid = grid[grid["sweep"] == ""]
    for key in ("nearest", "iterations"):
        assert sweep_figures.sweep_rows(project, grid, key).empty


@pytest.mark.parametrize("sweep", sweep_figures.SWEEPS, ids=lambda sweep: sweep.name)
def test_series_have_a_panel_per_experiment_and_name_their_lines(project, sweep):
    rows = sweep_figures.sweep_rows(project, results(), sweep.key)
    svg = sweep_figures.series(rows, sweep)
    of_model = ", deepbind" if sweep.by == "regime" else ""
    assert [name for name in "ab" if f">{name}{of_model}, n = 2 seeds" in svg] == ["a", "b"]
    assert sweep.xlabel in svg
    if sweep.by == "regime":
        assert ">ssl<" in svg
    elif sweep.key == "nearest":
        assert ">deepbind<" in svg
        assert ">dnabert2<" in svg
    assert_legends_are_outside(svg)


def test_series_of_regimes_keep_models_apart(project):
    both = results()
    few = both[both["sweep"] == "labelled_peaks"].assign(model="cnn-27k")
    rows = sweep_figures.sweep_rows(project, pd.concat([both, few]), "labelled_peaks")
    svg = sweep_figures.series(rows, sweep_figures.SWEEPS[0])
    assert "a, deepbind, n = 2 seeds" in svg
    assert "a, cnn-27k, n = 2 seeds" in svg


def test_the_large_model_with_few_and_with_all_genomes(project):
    found = results()
    swept = (found["sweep"] == "nearest") & (found["model"] == "dnabert2")
    found.loc[swept & (found["experiment"] == "b"), "aupr"] = 0.9
    large = sweep_figures.of_large(sweep_figures.sweep_rows(project, found, "nearest"))
    assert set(large["model"]) == {"dnabert2"}
    named = large.groupby("genomes_used")["value"].unique()
    assert {name: list(values) for name, values in named.items()} == {
        "0": [0],
        "2": [2],
        "all": [6],
    }
    svg = sweep_figures.genome_bars(large, metric="aupr")
    assert all(f">{text}<" in svg for text in ("0 genomes (sl)", "2 genomes", "all genomes"))
    assert "AUPR of dnabert2" in svg
    assert_legends_are_outside(svg)
    # a: .35 with all against .225, b: .35 against .9.
    assert "All genomes against 2: higher in 1 of 2 experiments, p = 1" in _few_against_all(large)
