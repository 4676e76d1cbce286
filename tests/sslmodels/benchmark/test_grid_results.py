"""The benchmark: its cells and its page."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_tools import changed

from ssldata.project.project_file import Project, load_project
from ssldata.project.sweeps_section import SweepsOfModel
from ssldata.project.training_section import PerModel
from ssldata.store.store import open_store
from sslmodels.benchmark import compute_estimate, grid_results, paper_page
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


# The page ---------------------------------------------------------------------------------------


# The page of saved results is in test_paper_page.py.
@pytest.mark.slow
def test_page_of_a_trained_benchmark(project):
    project = changed(project, "training", experiments=["alpha"])
    project = swept(project, nearest=[1, len(project.genomes)], labelled_peaks=[8])
    cells = [*run_grid.grid(project), *run_grid.sweeps(project)]
    for cell in cells:
        evaluate_run(train(cell.project, **cell.arguments))
    results = grid_results.collect(cells)
    # A value of a sweep that is the grid's own is a row more, but no run more.
    assert len(results) == len(cells) == 12
    of_grid = results[results["sweep"] == ""]
    few = results[results["sweep"] == "labelled_peaks"]
    one = results[(results["sweep"] == "nearest") & (results["value"] == 1)]
    assert few["labelled"].max() < of_grid["labelled"].min()
    assert one["pseudo_labelled"].max() < of_grid["pseudo_labelled"].min()
    folder = project.training.runs / "paper"
    page = paper_page.write_paper(folder, project=project, results=results)
    text = page.read_text()
    assert "10 runs, 2 seeds" in text
    for name in re.findall(r'href="([^"#]+)"', text):
        assert (folder / name).is_file(), name
    drawn = {path.stem for path in folder.glob("*.svg")}
    assert drawn >= {
        "figure_1_counts",
        "figure_1_genomes",
        "figure_2_aupr_increase",
        "figure_s2_genomes",
        "figure_s2_genomes_auroc",
        "figure_learning_curves",
    }
    ablation = pd.read_csv(folder / "figure_s2_genomes.csv")
    assert set(zip(ablation["value"], ablation["regime"], strict=True)) == {
        (0, "sl"),
        (1, "ssl"),
        (len(project.genomes), "ssl"),  # the grid's own
    }
    curves = pd.read_csv(folder / "figure_learning_curves.csv")
    ends = curves.groupby(["regime", "seed"])["value"].agg(["min", "max", "size"])
    # A curve ends with the grid's own run, of all loci.
    reference = open_store(project.store_path("alpha")).group("reference")
    loci = len(np.unique(reference.column("locus")[slice(*reference.ranges["positive"])]))
    assert ends.to_numpy().tolist() == [[8, loci, 2]] * 4
    assert all((folder / f"{name}.csv").is_file() for name in drawn)
    assert len(pd.read_csv(folder / "runs.csv")) == 12
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
