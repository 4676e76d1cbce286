"""Regimes on a small simulated project: which rows they train on, records, resuming, refusing."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_tools import EXPERIMENT, MODEL, StopAfter, changed, record_of

from ssldata.base.errors import ConfigError, MissingInputError, StoreError
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.reading.known_labels import RowLabels
from ssldata.store.run_weights import read_weights
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.fit.fit_options import FitOptions
from sslmodels.models.model_builder import load_model
from sslmodels.models.model_settings import GENERAL
from sslmodels.runs import regimes, run, training_rows
from sslmodels.runs.homologue_weights import Teacher
from sslmodels.runs.run_identity import run_identity

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def built(built_world: Path) -> Project:
    project = load_project(built_world)
    return changed(project, "training", epochs=3, batch_size=16)


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """The built project with a runs folder of the test's own."""
    return changed(built, "training", runs=tmp_path / "runs")


@pytest.fixture(scope="module")
def sl_run(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sl run of seed 0, not to be written to."""
    return train(changed(built, "training", runs=tmp_path_factory.mktemp("sl")), "sl")


@pytest.fixture
def project_with_sl(project: Project, sl_run: Path) -> Project:
    """The project with that run already in its runs folder."""
    folder = regimes.run_folder(project, experiment=EXPERIMENT, model=MODEL, regime="sl", seed=0)
    shutil.copytree(sl_run, folder)
    return project


@pytest.fixture(scope="module")
def store(built: Project) -> Store:
    return open_store(built.store_path(EXPERIMENT))


@pytest.fixture(scope="module")
def joint(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A joint store of both experiments, with lifted negatives."""
    project = load_project(small_world)
    project = changed(project, "store", joint=True, path=tmp_path_factory.mktemp("joint"))
    project = changed(project, "negatives", source="both")
    build_project(project)
    return project


def train(project: Project, regime: str, *, seed: int = 0, **options) -> Path:
    return regimes.train(
        project, experiment=EXPERIMENT, model=MODEL, regime=regime, seed=seed, **options
    )


# Rows -------------------------------------------------------------------------------------------


def test_labelled_rows_are_all_train_positives_and_the_pool(project, store):
    mixture = training_rows.labelled_rows(store, EXPERIMENT, project.negatives, seed=0)
    ranges = store.group(REFERENCE).ranges
    assert [(s.group, s.start, s.stop) for s in mixture.positives] == [
        (REFERENCE, *ranges["positive"])
    ]
    assert [(s.group, s.start, s.stop) for s in mixture.negatives] == [
        (REFERENCE, *ranges["negative"])
    ]
    assert mixture.negative_rows == mixture.positive_rows > 0


def test_homologous_rows_are_train_rows_of_every_genome(project, store):
    mixture = training_rows.homologous_rows(store, EXPERIMENT, project.negatives, seed=0)
    assert [s.group for s in mixture.positives] == [f"homologs/{g}" for g in store.genomes]
    for segment in mixture.positives:
        split = store.group(segment.group).column("split")[segment.rows(0, len(segment))]
        label = store.group(segment.group).column("label")[segment.rows(0, len(segment)), 0]
        assert (split == 0).all()
        assert (label == 1).all()
    assert {s.group for s in mixture.negatives} == {REFERENCE}
    assert mixture.negative_rows == mixture.positive_rows


def test_draws_differ_by_seed_and_by_phase(project, store):
    seeds = {
        make(store, EXPERIMENT, project.negatives, seed=seed).seed
        for make in (training_rows.labelled_rows, training_rows.homologous_rows)
        for seed in (0, 1, 2)
    }
    assert len(seeds) == 6


def test_lifted_and_half_lifted_negatives(joint):
    store = open_store(joint.store_path(EXPERIMENT))
    groups = [f"homologs/{g}" for g in store.genomes]

    def mixture(source):
        options = joint.negatives.model_copy(update={"source": source})
        return training_rows.homologous_rows(store, EXPERIMENT, options, seed=0)

    lifted = mixture("lifted")
    assert [s.group for s in lifted.negatives] == groups
    assert sum(lifted.negative_shares) == pytest.approx(1)
    positives = [len(s) for s in lifted.positives]
    np.testing.assert_allclose(
        lifted.negative_shares, np.array(positives) / sum(positives), rtol=1e-12
    )
    both = mixture("both")
    assert [s.group for s in both.negatives] == [REFERENCE, *groups]
    assert both.negative_shares[0] == 0.5
    assert sum(both.negative_shares) == pytest.approx(1)
    for segment in lifted.negatives:
        rows = segment.rows(0, len(segment))
        group = store.group(segment.group)
        assert (group.column("label")[rows] == 0).all()
        assert (group.column("split")[rows] == 0).all()


def test_lifted_negatives_must_be_in_the_store(project, store):
    options = project.negatives.model_copy(update={"source": "lifted"})
    with pytest.raises(StoreError, match="holds no lifted negatives"):
        training_rows.homologous_rows(store, EXPERIMENT, options, seed=0)


@pytest.mark.parametrize("experiment", ["alpha", "beta"])
def test_joint_store_gives_the_positives_of_one_experiment(joint, experiment):
    store = open_store(joint.store_path(experiment))
    column = store.experiments.index(experiment)
    mixture = training_rows.labelled_rows(store, experiment, joint.negatives, seed=0)
    segment = mixture.positives[0]
    labels = store.group(REFERENCE).column("label")
    start, stop = store.group(REFERENCE).ranges["positive"]
    assert (labels[segment.rows(0, len(segment)), column] == 1).all()
    assert 0 < len(segment) == labels[start:stop, column].sum() < stop - start


def test_validation_rows(project, store):
    rows = training_rows.validation_row_numbers(store, EXPERIMENT, negatives_per_positive=5, seed=0)
    reference = store.group(REFERENCE)
    label = reference.column("label")[:, 0]
    coverage = reference.column("coverage")[:, 0]
    split = reference.column("split")
    assert (np.diff(rows) > 0).all()
    assert (split[rows] == 1).all()
    assert label[rows].sum() == label[split == 1].sum() > 0
    negatives = rows[label[rows] == 0]
    assert (coverage[negatives] == 0).all()
    partial = np.flatnonzero((split == 1) & (label == 0) & (coverage > 0))
    assert len(partial) > 0, "the world must have a case that could fail"
    certain = ((split == 1) & (label == 0) & (coverage == 0)).sum()
    assert len(negatives) == min(certain, 5 * label[rows].sum())
    few = training_rows.validation_row_numbers(store, EXPERIMENT, negatives_per_positive=1, seed=0)
    assert (label[few] == 0).sum() == label[few].sum()
    other = training_rows.validation_row_numbers(
        store, EXPERIMENT, negatives_per_positive=1, seed=1
    )
    assert not np.array_equal(few, other)
    read = training_rows.validation_rows(
        store, EXPERIMENT, negatives_per_positive=1, seed=0, length=100
    )
    np.testing.assert_array_equal(read.labels[:, 0], label[few])
    whole = reference.codes(0, reference.rows)
    np.testing.assert_array_equal(read.codes, whole[few][:, 50:150])


def test_validation_rows_where_half_covered_bins_are_negatives(built, store, tmp_path):
    project = changed(built, "negatives", half_covered="negative")
    project = changed(project, "store", path=tmp_path)
    build_project(project, experiments=[EXPERIMENT])
    other = open_store(project.store_path(EXPERIMENT))
    reference = other.group(REFERENCE)
    label, coverage, split = (reference.column(name) for name in ("label", "coverage", "split"))
    rows = training_rows.validation_row_numbers(
        other, EXPERIMENT, negatives_per_positive=99, seed=0
    )
    np.testing.assert_array_equal(rows, np.flatnonzero(split == 1))
    assert (coverage[rows][label[rows] == 0] > 0).any()
    known = RowLabels(other, None).known(REFERENCE, np.arange(reference.rows))
    assert known.all()
    assert not RowLabels(store, None).known(REFERENCE, np.arange(store.group(REFERENCE).rows)).all()
    options = {"experiment": EXPERIMENT, "model": MODEL, "regime": "sl", "seed": 0}
    identity = run_identity(project, other, **options)
    assert identity["negatives"].pop("half_covered") == "negative"
    assert identity["negatives"] == run_identity(built, store, **options)["negatives"]


def test_unknown_experiment_of_a_store(store):
    with pytest.raises(StoreError, match="holds alpha, not 'gamma'"):
        training_rows.label_column(store, "gamma")


# Runs -------------------------------------------------------------------------------------------


def test_sl_writes_a_whole_run_and_then_does_nothing(project_with_sl, store):
    project = project_with_sl
    folder = regimes.run_folder(project, experiment=EXPERIMENT, model=MODEL, regime="sl", seed=0)
    assert folder == project.training.runs / "alpha" / "cnn-7k" / "sl" / "seed-0"
    record = record_of(folder)
    assert record["status"] == "complete"
    assert record["parameters"] == 6_869
    assert record["store"]["digest"] == store.digest
    assert [phase["name"] for phase in record["phases"]] == ["train"]
    phase = record["phases"][0]
    assert phase["steps"] == phase["epochs"] * phase["steps_per_epoch"]
    assert record["machine"]["versions"]["keras"]
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == list(range(1, phase["epochs"] + 1))
    assert phase["val_loss"] == pytest.approx(history["val_loss"].min())
    assert load_project(folder / "config.yaml").training.epochs == 3
    assert not (folder / "work").exists()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train(project, "sl") == folder
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_same_seed_same_files_other_seed_other_weights(project, sl_run):
    again = train(project, "sl")
    for name in ("model.keras", "history.csv"):
        assert (again / name).read_bytes() == (sl_run / name).read_bytes()
    other = record_of(train(project, "sl", seed=1))
    assert other["weights_sha256"] != record_of(again)["weights_sha256"]


def test_ssl_pretrains_then_finetunes_as_sl(project, sl_run, store):
    record = record_of(train(project, "ssl"))
    pretrain, finetune = record["phases"]
    sl = record_of(sl_run)["phases"][0]
    homologues = sum(np.diff(store.homologues(g).ranges["positive"])[0] for g in store.genomes)
    assert (pretrain["name"], finetune["name"]) == ("pre-train", "fine-tune")
    assert pretrain["positives"] == pretrain["negatives"] == homologues
    assert pretrain["learning_rate"] == GENERAL.learning_rate
    for key in ("positives", "negatives", "steps_per_epoch"):
        assert finetune[key] == sl[key]
    assert finetune["learning_rate"] == GENERAL.finetune_learning_rate


@pytest.mark.parametrize("steps", ["own", "ssl"])
def test_two_stage_never_sees_homologues(project, store, steps, monkeypatch):
    project = changed(project, "training", two_stage_steps=steps)
    seen = []
    genuine = run.TrainingReader
    monkeypatch.setattr(
        run,
        "TrainingReader",
        lambda store, mixture, **options: (
            seen.append(mixture) or genuine(store, mixture, **options)
        ),
    )
    first, second = record_of(train(project, "two-stage"))["phases"]
    groups = {s.group for m in seen for s in (*m.positives, *m.negatives)}
    assert groups == {REFERENCE}
    # More steps are more passes over the rows of sl; more negatives would be another control.
    labelled = training_rows.labelled_rows(store, EXPERIMENT, project.negatives, seed=0)
    for mixture in seen:
        assert (mixture.seed, mixture.rows) == (labelled.seed, labelled.rows)
    homologous = training_rows.homologous_rows(store, EXPERIMENT, project.negatives, seed=0)
    expected = {
        "own": second["steps_per_epoch"],
        "ssl": homologous.steps(project.training.batch_size),
    }
    assert first["steps_per_epoch"] == expected[steps]
    assert homologous.positive_rows > 2 * second["positives"]


def test_ssl_ns_weighs_rows_by_the_teacher(project_with_sl, store):
    options = project_with_sl.training.noisy_student.model_copy(update={"iterations": 2})
    project = changed(project_with_sl, "training", noisy_student=options)
    teacher_folder = train(project, "sl")
    touched = (teacher_folder / "model.keras").stat().st_mtime_ns
    folder = train(project, "ssl-ns")
    assert (teacher_folder / "model.keras").stat().st_mtime_ns == touched
    record = record_of(folder)
    assert [phase["name"] for phase in record["phases"]] == [
        "pre-train 1",
        "fine-tune 1",
        "pre-train 2",
        "fine-tune 2",
    ]
    assert record["teacher"]["weights"] == record_of(teacher_folder)["weights_sha256"]
    assert len(set(record["noise_seeds"])) == 2
    (first, by), (second, then_by) = (read_weights(folder / "weights.zarr", k) for k in (1, 2))
    assert by["teacher"] == record["teacher"]["weights"] != then_by["teacher"]
    assert all(not np.array_equal(first[name], second[name]) for name in first)


def test_ssl_ns_trains_its_teacher_and_keeps_the_weights(project, sl_run, store):
    """With one iteration, the weights on disk are the probabilities of the sl model."""
    options = project.training.noisy_student.model_copy(update={"iterations": 1})
    folder = train(changed(project, "training", noisy_student=options), "ssl-ns")
    teacher_folder = folder.parents[1] / "sl" / "seed-0"
    assert (teacher_folder / "model.keras").read_bytes() == (sl_run / "model.keras").read_bytes()
    teacher = load_model(teacher_folder / "model.keras")
    weights, made_by = read_weights(folder / "weights.zarr", 1)
    assert set(weights) == {f"homologs/{g}" for g in store.genomes}
    assert made_by["run"] == record_of(folder)["digest"]
    assert made_by["teacher"] == record_of(teacher_folder)["weights_sha256"]
    for name, values in weights.items():
        group = store.group(name)
        start, stop = group.ranges["positive"]
        expected = teacher.predict(group.codes(start, stop), verbose=0)[:, 0]
        np.testing.assert_allclose(values[start:stop], expected, rtol=1e-5)
        assert (values[stop:] == 1).all()


def test_interrupted_run_continues_to_the_same_bits(project, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FitOptions", functools.partial(FitOptions, checkpoint_seconds=0))
    whole_run = train(project, "ssl")
    whole = record_of(whole_run)
    cut = changed(project, "training", runs=tmp_path / "cut")
    folder = regimes.run_folder(cut, experiment=EXPERIMENT, model=MODEL, regime="ssl", seed=0)
    # First after two epochs; then, told of the two at once, after a third and one of fine-tuning.
    lines = (whole_run / "history.csv").read_text().splitlines()
    for epochs, seen in ((2, 2), (3, 4)):
        with pytest.raises(KeyboardInterrupt):
            train(cut, "ssl", progress=StopAfter(epochs))
        assert record_of(folder)["status"] == "training"
        assert (folder / "history.csv").read_text().splitlines() == lines[: 1 + seen]
    assert sorted(path.name for path in (folder / "work").iterdir()) == [
        "00-pre-train.npz",
        "01-fine-tune.npz",
    ]
    again = record_of(train(cut, "ssl"))
    assert again["weights_sha256"] == whole["weights_sha256"]
    for new, old in zip(again["phases"], whole["phases"], strict=True):
        assert {**new, "wall_s": 0, "cpu_s": 0} == {**old, "wall_s": 0, "cpu_s": 0}


def test_run_cut_between_two_phases_continues_to_the_same_bits(project, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FitOptions", functools.partial(FitOptions, checkpoint_seconds=0))
    whole = record_of(train(project, "ssl"))
    cut = changed(project, "training", runs=tmp_path / "cut")
    folder = regimes.run_folder(cut, experiment=EXPERIMENT, model=MODEL, regime="ssl", seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(cut, "ssl", progress=StopAfter(whole["phases"][0]["epochs"] + 1))
    # As after a kill before the first checkpoint of fine-tuning: only the finished phase is left.
    (folder / "work" / "01-fine-tune.npz").unlink(missing_ok=True)
    assert (folder / "work" / "00-pre-train.npz").exists()
    again = record_of(train(cut, "ssl"))
    assert again["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.slow
def test_a_cut_noisy_student_keeps_the_weights_it_has(project_with_sl, tmp_path, monkeypatch):
    """Cut in its second iteration: no teacher scores again, and the student has the same bits."""
    monkeypatch.setattr(run, "FitOptions", functools.partial(FitOptions, checkpoint_seconds=0))
    options = project_with_sl.training.noisy_student.model_copy(update={"iterations": 2})
    project = changed(project_with_sl, "training", noisy_student=options, epochs=2)
    whole = record_of(train(project, "ssl-ns", replace=True))
    cut = changed(project, "training", runs=tmp_path / "cut")
    # The teacher and the first student, and one epoch of the second.
    with pytest.raises(KeyboardInterrupt):
        train(cut, "ssl-ns", progress=StopAfter(2 + 4 + 1))
    scored = []
    genuine = Teacher.weights
    monkeypatch.setattr(Teacher, "weights", lambda *args: scored.append(1) or genuine(*args))
    again = record_of(train(cut, "ssl-ns"))
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert not scored


def test_a_moved_project_is_evaluated_on_its_own_store(project, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(project.file.parent, first)
    own = load_project(first).model_copy(update={"training": project.training})
    own = changed(own, "training", runs=first / "runs")
    run = train(own, "sl").relative_to(first)
    first.rename(tmp_path / "second")
    assert evaluate_run(tmp_path / "second" / run)["rows"] > 0


def test_a_run_without_its_model_is_trained_again(project_with_sl):
    folder = train(project_with_sl, "sl")
    model = (folder / "model.keras").read_bytes()
    (folder / "model.keras").unlink()
    train(project_with_sl, "sl")
    assert (folder / "model.keras").read_bytes() == model


def test_other_settings_are_refused_unless_replaced(project_with_sl):
    project = project_with_sl
    folder = train(project, "sl")
    old = record_of(folder)
    other = changed(project, "training", epochs=2)
    with pytest.raises(ConfigError, match=r"training\.epochs: 3 → 2.*--replace"):
        train(other, "sl")
    assert record_of(folder) == old
    (folder / "evaluation").mkdir()
    train(other, "sl", replace=True)
    assert record_of(folder)["identity"]["training"]["epochs"] == 2
    assert not (folder / "evaluation").exists()


def test_a_foreign_folder_is_refused_and_left_alone(project):
    folder = regimes.run_folder(project, experiment=EXPERIMENT, model=MODEL, regime="sl", seed=0)
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("do not lose me")
    with pytest.raises(ConfigError, match=r"not a run folder but holds thesis\.tex"):
        train(project, "sl")
    assert (folder / "thesis.tex").read_text() == "do not lose me"


def test_identity_holds_only_what_the_regime_uses(project, store):
    def identity(regime, project=project):
        return regimes.run_identity(
            project, store, experiment=EXPERIMENT, model=MODEL, regime=regime, seed=0
        )

    student = project.training.noisy_student.model_copy(update={"noise_sd": 0.3})
    other = changed(project, "training", noisy_student=student, finetune_learning_rate=1e-5)
    assert identity("sl", other) == identity("sl")
    assert set(identity("sl")["content"]) == {REFERENCE}
    assert identity("ssl", other) != identity("ssl")
    assert len(identity("ssl")["content"]) == 1 + len(store.genomes)
    lifted = changed(project, "negatives", source="lifted")
    assert identity("sl", lifted) == identity("sl")
    assert identity("ssl", lifted) != identity("ssl")
    own = changed(project, "training", two_stage_steps="own")
    assert set(identity("two-stage", own)["content"]) == {REFERENCE}


def test_wrong_names(project, tmp_path):
    with pytest.raises(ConfigError, match="no regime 'sll'; there are sl, ssl, ssl-ns, two-stage"):
        train(project, "sll")
    with pytest.raises(ConfigError, match="no model 'cnn'"):
        regimes.train(project, experiment=EXPERIMENT, model="cnn", regime="sl", seed=0)
    with pytest.raises(ConfigError, match="no experiment 'gamma'"):
        regimes.train(project, experiment="gamma", model=MODEL, regime="sl", seed=0)
    unbuilt = changed(project, "store", path=tmp_path / "nothing")
    with pytest.raises(MissingInputError, match="run `crosslabel build` first"):
        train(unbuilt, "sl")
    assert not (tmp_path / "runs").exists()
