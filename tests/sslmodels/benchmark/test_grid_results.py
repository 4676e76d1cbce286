"""The benchmark: its cells, statistics, figures and page."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_tools import changed
from scipy import stats

from ssldata.base.errors import InputError, MissingInputError
from ssldata.project.project_file import Project, load_project
from ssldata.project.sweeps_section import SweepsOfModel
from ssldata.project.training_section import PerModel
from ssldata.store.store import open_store
from sslmodels.benchmark import benchmark_figures as figures
from sslmodels.benchmark import compute_estimate, grid_results, paper_page, paper_tables
from sslmodels.benchmark import statistics as tables
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.runs import run_grid
from sslmodels.runs.regimes import train

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def project(built_world: Path, tmp_path: Path) -> Project:
    project = load_project(built_world)
    student = project.training.noisy_student.model_copy(update={"iterations": 1})
    return changed(
        project,
        "training",
        epochs=1,
        batch_size=64,
        models=["deepbind"],
        regimes=["sl", "ssl"],
        seeds=[0, 1],
        noisy_student=student,
        runs=tmp_path / "runs",
    )


def swept(project: Project, **values) -> Project:
    sweeps = project.training.sweeps.model_copy(update=values)
    return changed(project, "training", sweeps=sweeps)


# Cells ------------------------------------------------------------------------------------------


def test_grid_goes_through_whole_sets(project):
    cells = list(run_grid.grid(project))
    experiments = project.trained_experiments()
    assert [(c.seed, c.experiment, c.regime) for c in cells] == list(
        product([0, 1], experiments, ["sl", "ssl"])
    )
    assert len({c.folder for c in cells}) == len(cells)
    assert {c.sweep for c in cells} == {""}


def test_sweeps_have_folders_and_settings_of_their_own(project):
    project = swept(project, nearest=[1], labelled_peaks=[5], iterations=[2], noise_sd=[0.0, 0.3])
    cells = list(run_grid.sweeps(project))
    assert len({c.folder for c in cells}) == len(cells)
    by = {(c.sweep, c.value): c for c in cells}
    assert set(by) == {
        ("nearest", 1),
        ("labelled_peaks", 5),
        ("iterations", 2),
        ("noise_sd", 0),
        ("noise_sd", 0.3),
    }
    assert by["nearest", 1].project.training.nearest == 1
    assert by["labelled_peaks", 5].project.training.labelled_peaks == 5
    assert by["iterations", 2].project.training.noisy_student.iterations == 2
    assert by["noise_sd", 0.3].project.training.noisy_student.noise_sd == 0.3
    assert {c.regime for c in cells if c.sweep == "nearest"} == {"ssl"}
    assert {c.regime for c in cells if c.sweep == "labelled_peaks"} == {"sl", "ssl"}
    assert {c.regime for c in cells if c.sweep in ("iterations", "noise_sd")} == {"ssl-ns"}
    folder = by["noise_sd", 0.3].folder.relative_to(project.training.runs)
    assert folder.parts[:2] == ("sweeps", "noise_sd-0.3")


def test_sweeps_of_the_noisy_student_have_the_teacher_of_the_grid(project):
    project = changed(project, "training", epochs=1)
    cell = next(run_grid.sweeps(swept(project, iterations=[1])))
    sl = next(c for c in run_grid.grid(project) if c.regime == "sl")
    teacher = train(sl.project, **sl.training)
    assert cell.teacher_folder == teacher
    written = (teacher / "run.json").stat().st_mtime_ns
    student = train(cell.project, **cell.training)
    assert student.is_relative_to(project.training.runs / "sweeps" / "iterations-1")
    assert json.loads((student / "run.json").read_text())["teacher"]["folder"] == str(teacher)
    assert not (student.parents[1] / "sl").exists()
    assert (teacher / "run.json").stat().st_mtime_ns == written


def test_a_value_of_the_grid_is_a_run_of_the_grid(project):
    genomes = len(project.genomes)
    project = changed(project, "training", models=["deepbind", "cnn-7k"])
    project = swept(project, nearest=[1, genomes], noise_sd=[0.1], models=["cnn-7k"])
    folders = {c.folder for c in run_grid.grid(project)}
    cells = list(run_grid.sweeps(project))
    assert {c.model for c in cells} == {"cnn-7k"}
    assert all(c.folder in folders for c in cells if c.value == genomes)
    # ssl-ns is not in this grid, so even its own noise is a run more.
    assert not any(c.folder in folders for c in cells if c.value in (1, 0.1))


def test_each_series_can_have_models_and_values_of_its_own(project):
    project = changed(project, "training", models=["deepbind", "cnn-7k"], seeds=[0])
    own = {"deepbind": {"nearest": [1, 2]}, "cnn-7k": {"nearest": [1], "noise_sd": [0.3]}}
    project = swept(project, per_model={k: SweepsOfModel(**v) for k, v in own.items()})
    cells = [c for c in run_grid.sweeps(project) if c.experiment == "alpha"]
    assert {(c.sweep, c.value, c.model) for c in cells} == {
        ("nearest", 1, "deepbind"),
        ("nearest", 2, "deepbind"),
        ("nearest", 1, "cnn-7k"),
        ("noise_sd", 0.3, "cnn-7k"),
    }
    assert len(cells) == 4


def test_students_are_trained_after_teachers_and_shorter_runs(project):
    project = changed(project, "training", seeds=[0], regimes=["ssl-ns", "sl"])
    student = project.training.noisy_student.model_copy(update={"iterations": 2})
    project = changed(project, "training", noisy_student=student)
    project = swept(project, iterations=[3, 1, 2], noise_sd=[0.5])
    cells = [*run_grid.grid(project), *run_grid.sweeps(project)]
    cells = [c for c in {c.folder: c for c in reversed(cells)}.values() if c.experiment == "alpha"]
    waits = run_grid.prerequisites(cells)
    name = "alpha / deepbind / {} / seed 0".format
    ns = name("ssl-ns")
    assert waits == {
        name("sl"): [],
        f"{ns} / iterations 1": [name("sl")],
        ns: [name("sl"), f"{ns} / iterations 1"],
        f"{ns} / noise_sd 0.5": [name("sl")],
        f"{ns} / iterations 3": [name("sl"), ns],
    }
    order = list(waits)
    for later, earlier in waits.items():
        assert all(order.index(one) < order.index(later) for one in earlier)


# Estimate ---------------------------------------------------------------------------------------

ROWS = {"alpha": compute_estimate.RowCounts(labelled=100, pseudo=1000, test=5000)}


def effort(project: Project, model: str) -> compute_estimate.Effort:
    (found,) = [e for e in compute_estimate.grid_effort(project, ROWS) if e.model == model]
    return found


def test_the_estimate_takes_the_epochs_of_each_model(project):
    project = changed(project, "training", epochs=None, seeds=[0], regimes=["ssl"])
    project = changed(project, "training", models=["cnn-7k", "deepbind", "dnabert2"])
    project = changed(project, "training", per_model={"deepbind": PerModel(epochs=2)})
    epoch = 2 * (100 + 1000)  # both classes of both phases
    assert effort(project, "cnn-7k").rows == 20 * epoch
    assert effort(project, "deepbind").rows == 2 * epoch
    assert (effort(project, "dnabert2").rows, effort(project, "dnabert2").flop) == (3 * epoch, None)


def test_the_estimate_of_a_series_over_iterations_is_that_of_its_longest_run(project):
    project = changed(project, "training", seeds=[0], regimes=["sl", "ssl-ns"], epochs=1)
    student = project.training.noisy_student.model_copy(update={"iterations": 2})
    project = changed(project, "training", noisy_student=student)
    base = effort(project, "deepbind")
    longer = changed(
        project, "training", noisy_student=student.model_copy(update={"iterations": 5})
    )
    series = effort(swept(project, iterations=[1, 2, 3, 4, 5]), "deepbind")
    assert series.runs == base.runs + 4
    assert series.rows == effort(longer, "deepbind").rows
    shorter = effort(swept(project, iterations=[1, 2]), "deepbind")
    assert (shorter.runs, shorter.rows) == (base.runs + 1, base.rows)
    # Without ssl-ns in the grid, the series trains all students of its longest run.
    without = changed(project, "training", regimes=["sl"])
    alone = effort(swept(without, iterations=[1, 3]), "deepbind")
    per_student = 2 * (100 + 1000)
    assert alone.rows == effort(without, "deepbind").rows + 3 * per_student
    assert base.rows == 2 * 100 + 2 * per_student


def test_values_too_large_are_left_out(project):
    project = swept(project, nearest=[50], labelled_peaks=[100_000])
    assert list(run_grid.sweeps(project)) == []


# Statistics -------------------------------------------------------------------------------------


def results_of(values: dict[tuple[str, str, str], list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "experiment": experiment,
            "model": model,
            "regime": regime,
            "seed": seed,
            "aupr": aupr,
            "auroc": 0.5 + aupr / 2,
            "labelled": 100 * (1 + ord(experiment[0]) - ord("a")),
        }
        for (experiment, model, regime), auprs in values.items()
        for seed, aupr in enumerate(auprs)
    )


def world(count: int = 8, *, gain: float = 1.5) -> pd.DataFrame:
    """Experiments a, b, … whose ssl is `gain` times sl."""
    values = {}
    for i in range(count):
        base = 0.1 + 0.02 * i
        values[chr(97 + i), "m", "sl"] = [base - 0.01, base + 0.01]
        values[chr(97 + i), "m", "ssl"] = [gain * base - 0.01, gain * base + 0.01]
    return results_of(values)


def test_means_and_the_table():
    table = tables.means(world(2), "aupr")
    first = table.iloc[0]
    assert (first["experiment"], first["regime"], first["n"]) == ("a", "sl", 2)
    assert first["mean"] == pytest.approx(0.1)
    assert first["sd"] == pytest.approx(0.01 * 2**0.5)
    shown = tables.wide(table)
    assert shown.loc["a", "m sl"] == "0.100 ± 0.014"
    assert shown.loc["mean of 2", "m ssl"] == "0.165"


def test_a_missing_cell_stays_out_of_the_average():
    results = world(3)
    results = results[~((results["experiment"] == "c") & (results["regime"] == "ssl"))]
    shown = tables.wide(tables.means(results, "aupr"))
    assert shown.loc["c", "m ssl"] == "–"
    assert shown.loc["mean of 2", "m sl"] == "0.110"


def test_increases():
    made = tables.increases(tables.means(world(2), "aupr"))
    assert list(made["regime"]) == ["ssl", "ssl"]
    np.testing.assert_allclose(made["percent"], 50)
    np.testing.assert_allclose(made["ratio"], 1.5)


def test_paired_tests_are_wilcoxon_on_means_of_seeds():
    made = tables.paired_tests(tables.means(world(8), "aupr")).iloc[0]
    assert (made["regime_a"], made["regime_b"], made["n"]) == ("sl", "ssl", 8)
    assert (made["wins_a"], made["wins_b"]) == (0, 8)
    # All eight of one sign: 2 / 2^8, whatever the seeds.
    assert made["p"] == pytest.approx(2 / 2**8)
    assert made["ratio"] == pytest.approx(1.5)


def test_the_page_says_which_p_so_few_experiments_can_give():
    tests = tables.paired_tests(tables.means(world(8), "aupr"))
    # One line: nothing to correct for.
    assert "From 8 experiments p cannot be below 0.00781" in paper_tables.least_p_note(tests)
    assert tests["p_holm"].min() == pytest.approx(2 / 2**8)
    five = pd.concat([world(8).assign(model=f"m{i}") for i in range(5)])
    tests = tables.paired_tests(tables.means(five, "aupr"))
    assert "corrected below 0.0391." in paper_tables.least_p_note(tests)
    assert tests["p_holm"].min() == pytest.approx(5 * 2 / 2**8)


def test_prevalence_and_collapsed_runs_stand_beside_auprs():
    results = world(2)
    results["prevalence"] = np.where(results["experiment"] == "a", 0.09, 0.01)
    results["collapsed"] = results["aupr"] < 2 * results["prevalence"]
    made = paper_tables.beside_chance(tables.means(results, "aupr"), results)
    np.testing.assert_allclose(made["lift"], made["mean"] / made["prevalence"])
    assert list(made["collapsed"]) == [2, 2, 0, 0]
    assert paper_tables.collapsed_note(results).startswith("4 of 8 runs collapsed")
    shown = paper_tables.with_prevalence(tables.wide(made).reset_index(), made)
    assert list(shown.columns[:2]) == ["experiment", "prevalence"]
    assert list(shown["prevalence"]) == ["0.09", "0.01", "0.05"]


def test_no_difference_has_no_p_value():
    made = tables.paired_tests(tables.means(world(4, gain=1.0), "aupr")).iloc[0]
    assert np.isnan(made["p"])
    assert (made["wins_a"], made["wins_b"]) == (0, 0)


def test_holm_by_hand():
    np.testing.assert_allclose(
        tables.holm([0.01, np.nan, 0.04, 0.03, 0.005]), [0.03, np.nan, 0.06, 0.06, 0.02]
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_properties(p_values):
    corrected = tables.holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, np.array(p_values) * len(p_values) + 1e-12)).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


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
            "model": ["m"] * 4 + ["other"] * 2,
            "regime": "ssl",
            "labelled": [10.0, 100.0, 1000.0, 50.0, 10.0, 20.0],
            "ratio": [4.0, 2.0, 1.0, 0.0, 2.0, 1.0],  # 0 has no logarithm
        }
    )
    made = tables.lines(increases, x="labelled", y="ratio", log=True)
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


# Figures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.5, 20.0, 0.8])
def test_figures_say_units_and_n(gain):
    results = world(6, gain=gain)
    increases = tables.increases(tables.means(results, "aupr"))
    bars = figures.increase_bars(increases, metric="aupr")
    assert "AUPR increase over sl (%)" in bars
    assert "(n = 6)" in bars
    gains = figures.gain_by_positives(increases, metric="aupr")
    assert "labelled positives" in gains
    assert "n = 6: r = " in gains
    assert "intercept" in figures.scatter(increases, metric="aupr")


def test_series_has_a_panel_per_experiment():
    results = world(3).assign(value=np.tile([1.0, 2.0], 6))
    svg = figures.series(
        results, metric="aupr", x="value", xlabel="genomes, nearest first", by="model"
    )
    assert [name for name in "abc" if f"{name}, n = 2 seeds" in svg] == ["a", "b", "c"]
    assert "genomes, nearest first" in svg


def test_series_of_regimes_keeps_models_apart():
    results = pd.concat([world(1), world(1).assign(model="other")])
    results = pd.concat([results.assign(value=10.0), results.assign(value=100.0)])
    svg = figures.series(
        results, metric="aupr", x="value", xlabel="labelled loci", by="regime", log=True
    )
    assert "a, m, n = 2 seeds" in svg
    assert "a, other, n = 2 seeds" in svg


def test_labels_of_an_axis_do_not_touch():
    names = ["GM12878_ATF3_HudsonAlpha_rep1+2", "REST", "notonesignthatisnoletteriniiiit"]
    labels, height = figures.broken_names(names, inches=4)
    assert [label.replace("\n", "") for label in labels] == names
    assert max(len(line) for label in labels for line in label.split("\n")) <= 4 * 11 / 3
    assert height > 0
    assert figures.broken_names(["a", "b"], inches=4) == (["a", "b"], 0)
    assert figures.labels_apart([1, 2, 3, 100], log=False) == [3, 100]
    assert figures.labels_apart([50, 100, 110, 800], log=True) == [50, 110, 800]
    assert figures.labels_apart([7], log=True) == [7]


def test_counts_are_drawn_with_the_published_and_by_genome():
    counts = pd.DataFrame(
        {
            "experiment": ["a", "a", "a", "b", "b", "b"],
            "genome": ["ref", "g1", "g2", "ref", "g1", "g2"],
            "positives": [100, 90, 50, 2000, 400, 1999],
        }
    )
    published = pd.DataFrame({"positives": [120], "pseudo_labelled": [150]}, index=["a"])
    assert "published" not in figures.count_bars(counts)
    bars = figures.count_bars(counts, published)
    assert all(text in bars for text in ("published", "140", "2.4k", "experiment (n = 2)"))
    by_genome = figures.count_map(counts)
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


def test_a_wide_table_is_one_for_each_model():
    few = tables.means(world(2), "aupr")
    assert [head for head, _ in paper_tables.split_by_model(few)] == [""]
    many = pd.concat([few.assign(model=f"m{i}") for i in range(5)])
    parts = paper_tables.split_by_model(many)
    assert [head for head, _ in parts] == ["m0", "m1", "m2", "m3", "m4"]
    assert list(parts[0][1].columns) == ["experiment", "sl", "ssl"]


def test_published_values_stand_beside_ones_own(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("experiment,model,regime,aupr\na,m,ssl,0.3\nz,m,ssl,0.2\n")
    made = paper_tables.beside_published(path, tables.means(world(2), "aupr"))
    assert made.to_dict("records") == [
        {
            "experiment": "a",
            "model": "m",
            "regime": "ssl",
            "own": pytest.approx(0.15),
            "published": 0.3,
        }
    ]
    path.write_text("experiment,value\na,1\n")
    with pytest.raises(InputError, match="expected columns experiment, model, regime, aupr"):
        paper_tables.beside_published(path, tables.means(world(2), "aupr"))
    with pytest.raises(MissingInputError, match="no such file"):
        paper_tables.beside_published(tmp_path / "none.csv", tables.means(world(2), "aupr"))


# The page ---------------------------------------------------------------------------------------


def test_page_of_a_trained_benchmark(project):
    project = changed(project, "training", experiments=["alpha"])
    project = swept(project, nearest=[1], labelled_peaks=[8])
    cells = [*run_grid.grid(project), *run_grid.sweeps(project)]
    for cell in cells:
        evaluate_run(train(cell.project, **cell.arguments))
    results = grid_results.collect(cells)
    assert len(results) == len(cells) == 10
    of_grid = results[results["sweep"] == ""]
    few = results[results["sweep"] == "labelled_peaks"]
    one = results[results["sweep"] == "nearest"]
    assert few["labelled"].max() < of_grid["labelled"].min()
    assert one["pseudo_labelled"].max() < of_grid["pseudo_labelled"].min()
    folder = project.training.runs / "paper"
    page = paper_page.write_paper(folder, project=project, results=results)
    text = page.read_text()
    for name in re.findall(r'href="([^"#]+)"', text):
        assert (folder / name).is_file(), name
    drawn = {path.stem for path in folder.glob("*.svg")}
    assert drawn >= {
        "figure_1_counts",
        "figure_1_genomes",
        "figure_2_aupr_increase",
        "figure_s2_genomes",
        "figure_s4_genomes_auroc",
        "figure_learning_curves",
    }
    ablation = pd.read_csv(folder / "figure_s2_genomes.csv")
    assert set(zip(ablation["value"], ablation["regime"], strict=True)) == {(0, "sl"), (1, "ssl")}
    curves = pd.read_csv(folder / "figure_learning_curves.csv")
    ends = curves.groupby(["regime", "seed"])["value"].agg(["min", "max", "size"])
    # A curve ends with the grid's own run, of all loci.
    reference = open_store(project.store_path("alpha")).group("reference")
    loci = len(np.unique(reference.column("locus")[slice(*reference.ranges["positive"])]))
    assert ends.to_numpy().tolist() == [[8, loci, 2]] * 4
    assert all((folder / f"{name}.csv").is_file() for name in drawn)
    assert len(pd.read_csv(folder / "runs.csv")) == 10
    table = pd.read_csv(folder / "table_2_aupr.csv")
    assert table["mean"].iloc[0] == pytest.approx(
        of_grid[of_grid["regime"] == "sl"]["aupr"].mean(), rel=1e-5
    )
    together = pd.read_csv(folder / "table_ensembles.csv")
    assert list(together["seeds"]) == [2, 2]
    assert together["aupr"].between(0, 1).all()
    before = page.read_bytes()
    paper_page.write_paper(folder, project=project, results=grid_results.collect(cells))
    assert page.read_bytes() == before
