"""Runs of ssl-ns keep their students, and runs of a series over iterations train none twice."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_tools import EXPERIMENT, MODEL, StopAfter, changed, record_of

from flows.steps.pipeline import finished
from ssldata.base.files import sha256_of
from ssldata.project.project_file import Project, load_project
from ssldata.reading.known_labels import RowLabels
from ssldata.store.run_weights import iterations_of, read_weights
from ssldata.store.store import open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.fit.training_loop import weights_digest
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes, run_grid, training_rows
from sslmodels.runs.homologue_weights import Teacher
from sslmodels.runs.run import Run
from sslmodels.runs.run_folder import check_files

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CELL = {"experiment": EXPERIMENT, "model": MODEL, "regime": "ssl-ns", "seed": 0}


def with_iterations(project: Project, iterations: int, runs: Path) -> Project:
    student = project.training.noisy_student.model_copy(update={"iterations": iterations})
    return changed(project, "training", noisy_student=student, runs=runs)


@pytest.fixture(scope="module")
def built(built_world: Path) -> Project:
    project = load_project(built_world)
    student = project.training.noisy_student.model_copy(update={"calibration": "platt"})
    return changed(project, "training", epochs=2, batch_size=32, noisy_student=student)


@pytest.fixture(scope="module")
def alone(built: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs of one, two and three iterations, each trained whole, in runs folders of their own."""
    found = {}
    for number in (1, 2, 3):
        project = with_iterations(built, number, tmp_path_factory.mktemp(f"alone-{number}"))
        found[number] = regimes.train(project, **CELL)
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the names of the phases that are fitted from now on."""
    names: list[str] = []
    fit = Run.fit

    def noted(self: Run, name: str, *args, **kwargs) -> None:
        names.append(name)
        fit(self, name, *args, **kwargs)

    monkeypatch.setattr(Run, "fit", noted)
    return names


def same_run(folder: Path, expected: Path) -> None:
    """Check that a run is what it is when all of its students are trained."""
    for name in ("model.keras", "history.csv", *(f.name for f in expected.glob("students/*"))):
        place = "students" if name.startswith("student-") else "."
        found, wanted = folder / place / name, expected / place / name
        assert found.read_bytes() == wanted.read_bytes(), name
    record, whole = record_of(folder), record_of(expected)
    assert record["digest"] == whole["digest"]
    numbers = iterations_of(expected / "weights.zarr")
    assert iterations_of(folder / "weights.zarr") == numbers
    for number in numbers:
        arrays, made_by = read_weights(folder / "weights.zarr", number)
        others, provenance = read_weights(expected / "weights.zarr", number)
        assert made_by == provenance
        for group, values in others.items():
            np.testing.assert_array_equal(arrays[group], values)
    times = {"wall_s", "cpu_s"}
    for phase, other in zip(record["phases"], whole["phases"], strict=True):
        assert {k: v for k, v in phase.items() if k not in times} == {
            k: v for k, v in other.items() if k not in times
        }
    assert record["noise_seeds"] == whole["noise_seeds"]
    assert record["calibration"] == whole["calibration"]
    assert record["steps"] == whole["steps"]
    for file in record["files"]:
        check_files(folder, record, file)


def test_students_do_not_depend_on_the_number_of_iterations(alone: dict[int, Path]) -> None:
    """What allows students to be shared: a shorter run is the beginning of a longer one."""
    long = record_of(alone[3])
    for number in (1, 2):
        short = record_of(alone[number])
        assert short["noise_seeds"] == long["noise_seeds"][:number]
        last = short["students"][-1]
        assert (last["file"], last["iteration"]) == ("model.keras", number)
        student = alone[3] / "students" / f"student-{number}.keras"
        assert (alone[number] / "model.keras").read_bytes() == student.read_bytes()
        for iteration in range(1, number + 1):
            arrays, _ = read_weights(alone[number] / "weights.zarr", iteration)
            others, _ = read_weights(alone[3] / "weights.zarr", iteration)
            for group, values in others.items():
                np.testing.assert_array_equal(arrays[group], values)
        lines = (alone[number] / "history.csv").read_text()
        assert (alone[3] / "history.csv").read_text().startswith(lines)


def test_every_student_is_kept_and_listed(alone: dict[int, Path]) -> None:
    folder = alone[3]
    record = record_of(folder)
    assert [s["iteration"] for s in record["students"]] == [0, 1, 2, 3]
    assert len({s["weights_sha256"] for s in record["students"]}) == 4
    for student in record["students"]:
        assert record["files"][student["file"]] == sha256_of(folder / student["file"])
        assert weights_digest(load_model(folder / student["file"])) == student["weights_sha256"]
    assert record["students"][0]["weights_sha256"] == record["teacher"]["weights"]


def test_weights_can_be_computed_again_from_the_run_folder(
    built: Project, alone: dict[int, Path]
) -> None:
    """Bit for bit, of every iteration: student k is the teacher of iteration k + 1."""
    folder = alone[3]
    record = record_of(folder)
    project = load_project(folder / "config.yaml")
    store = open_store(built.store_path(EXPERIMENT))
    labels = RowLabels(store, training_rows.label_columns(store, [EXPERIMENT]))
    rows = training_rows.labelled_rows(store, [EXPERIMENT], project.negatives, seed=0)
    validation = training_rows.validation_rows(
        store,
        [EXPERIMENT],
        negatives_per_positive=record["identity"]["training"]["validation_negatives"],
        seed=0,
        length=record["length"],
    )
    for iteration in (1, 2, 3):
        kept = record["students"][iteration - 1]
        model = load_model(folder / kept["file"])
        teacher = Teacher(model, store, labels, rows, project.negatives.ratio)
        again = teacher.weights(store.genomes, teacher.calibrations(validation, "platt"))
        arrays, made_by = read_weights(folder / "weights.zarr", iteration)
        assert made_by["teacher"] == kept["weights_sha256"]
        assert arrays.keys() == again.keys()
        for group, values in arrays.items():
            np.testing.assert_array_equal(again[group], values)


@pytest.mark.parametrize("order", [(1, 2, 3), (2, 3, 1)])
def test_a_series_trains_no_student_twice(
    built: Project,
    alone: dict[int, Path],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: tuple[int, ...],
) -> None:
    names = fits(monkeypatch)
    for number in order:
        varied = with_iterations(built, number, runs / "sweeps" / f"iterations-{number}")
        folder = regimes.train(varied, teachers=runs, **CELL)
        same_run(folder, alone[number])
    students = [name for name in names if name != "train"]
    assert sorted(students) == sorted(
        f"{phase} {number}" for number in (1, 2, 3) for phase in ("pre-train", "fine-tune")
    )


def test_the_grid_lends_to_its_sweep_and_a_second_call_does_nothing(
    built: Project, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = built.training.sweeps.model_copy(update={"iterations": [1, 2, 3]})
    project = with_iterations(built, 2, runs)
    project = changed(project, "training", regimes=["sl", "ssl-ns"], sweeps=sweeps)
    cells = [*run_grid.grid(project), *run_grid.sweeps(project)]
    names = fits(monkeypatch)
    for cell in cells:
        evaluate_run(regimes.train(cell.project, **cell.training))
    assert len(names) == len(set(names)) == 1 + 2 * 3
    by = {cell.value: cell.folder for cell in cells if cell.sweep}
    assert by[2.0] == runs / EXPERIMENT / MODEL / "ssl-ns" / "seed-0"
    for number in (1, 3):
        taken = [s.get("taken_from") for s in record_of(by[number])["students"][1:]]
        for source in taken[:2]:
            assert (by[number] / source).resolve() == by[2.0].resolve()
        assert taken[2:] == [None][: max(0, number - 2)]
    assert all(finished(cell) is not None for cell in cells)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    for cell in cells:
        evaluate_run(regimes.train(cell.project, **cell.training))
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("*") if p.is_file()} == before


def test_a_cut_run_that_takes_students_continues_to_the_same_bits(
    built: Project, alone: dict[int, Path], runs: Path
) -> None:
    shutil.copytree(alone[1].parents[3], runs)
    varied = with_iterations(built, 3, runs / "sweeps" / "iterations-3")
    with pytest.raises(KeyboardInterrupt):
        regimes.train(varied, teachers=runs, progress=StopAfter(3), **CELL)
    folder = regimes.train(varied, teachers=runs, **CELL)
    same_run(folder, alone[3])
    assert ["taken_from" in s for s in record_of(folder)["students"]] == [False, True, False, False]
    assert not (folder / "work").exists()


def test_nothing_is_taken_from_other_settings_or_damaged_runs(
    built: Project,
    alone: dict[int, Path],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(alone[2].parents[3], runs)
    lender = runs / EXPERIMENT / MODEL / "ssl-ns" / "seed-0"
    series = runs / "sweeps" / "iterations-1"
    varied = with_iterations(built, 1, series)
    whole = {path: path.read_bytes() for path in lender.rglob("*") if path.is_file()}

    class Fitted(Exception):
        pass

    def refuse(*args, **kwargs) -> None:
        raise Fitted

    def is_taken(project: Project) -> bool:
        shutil.rmtree(runs / "sweeps", ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(Run, "fit", refuse)
            try:
                regimes.train(project, teachers=runs, **CELL)
            except Fitted:
                return False
        return True

    assert is_taken(varied)
    student = varied.training.noisy_student.model_copy(update={"noise_sd": 0.7})
    assert not is_taken(changed(varied, "training", noisy_student=student))

    def rewritten(**values) -> None:
        record = json.loads(whole[lender / "run.json"])
        (lender / "run.json").write_text(json.dumps(record | values))

    record = record_of(lender)
    for values in (
        {"students": []},
        {"students": [1, 2, 3]},
        {"students": record["students"][:1]},
        {"students": list(reversed(record["students"]))},
        {"phases": record["phases"][:3]},
        {"phases": 3},
        {"teacher": {"weights": "others"}},
        {"teacher": "none"},
        {"status": "training"},
    ):
        rewritten(**values)
        assert not is_taken(varied), values
    (lender / "run.json").write_bytes(whole[lender / "run.json"])
    for name in ("students/student-1.keras", "model.keras", "history.csv"):
        (lender / name).write_bytes(whole[lender / name][:-1] + b"x")
        with caplog.at_level(logging.WARNING):
            assert not is_taken(varied), name
        assert f"{name}: damaged or replaced" in caplog.text
        (lender / name).write_bytes(whole[lender / name])
    assert is_taken(varied)


def test_complete_runs_without_students_stay_complete(
    built: Project, alone: dict[int, Path], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of earlier releases kept none."""
    shutil.copytree(alone[2].parents[3], runs)
    folder = runs / EXPERIMENT / MODEL / "ssl-ns" / "seed-0"
    shutil.rmtree(folder / "students")
    record = record_of(folder)
    del record["students"]
    record["files"] = {k: v for k, v in record["files"].items() if not k.startswith("students/")}
    (folder / "run.json").write_text(json.dumps(record))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    names = fits(monkeypatch)
    assert regimes.train(with_iterations(built, 2, runs), **CELL) == folder
    assert names == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
