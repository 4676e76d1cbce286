"""Regimes beyond the paper's, augmentation, fewer genomes or peaks, models of one's own."""

from __future__ import annotations

import functools
import hashlib
import sys
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import pytest
from dnabert2_tools import SMALL, noise, write_model
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from run_tools import EXPERIMENT, MODEL, StopAfter, changed, identity_of, record_of

from ssldata.base.errors import ConfigError, StoreError
from ssldata.genomes.onehot import one_hot, reverse_complement
from ssldata.project.project_file import Project, load_project
from ssldata.project.training_section import Sampling
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.dnabert2.bert_weights import checkpoint_tensors
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.fit.fit_options import FitOptions
from sslmodels.layers.augment import Mutation, ReverseComplement
from sslmodels.models.augmented_model import Augmented, augmentations
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.models.own_model import source_digest
from sslmodels.runs import regimes, run, training_rows
from sslmodels.runs.regime_table import effective

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def project(built_world: Path, tmp_path: Path) -> Project:
    project = load_project(built_world)
    return changed(project, "training", epochs=2, batch_size=16, runs=tmp_path / "runs")


@pytest.fixture
def store(project: Project) -> Store:
    return open_store(project.store_path(EXPERIMENT))


def train(project: Project, regime: str, *, model: str = MODEL, **options) -> Path:
    return regimes.train(
        project, experiment=EXPERIMENT, model=model, regime=regime, seed=0, **options
    )


# Replacing --------------------------------------------------------------------------------------


def test_replace_keeps_a_run_as_asked(project):
    folder = train(project, "sl")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train(project, "sl", replace=True) == folder
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_replace_reaches_the_teacher_of_ssl_ns(project):
    student = project.training.noisy_student.model_copy(update={"iterations": 1})
    project = changed(project, "training", noisy_student=student)
    teacher = train(project, "sl")
    other = changed(project, "training", epochs=1)
    with pytest.raises(ConfigError, match=r"sl/seed-0: .*epochs: 2 → 1"):
        train(other, "ssl-ns")
    train(other, "ssl-ns", replace=True)
    assert record_of(teacher)["identity"]["training"]["epochs"] == 1


def test_replace_clears_a_damaged_record(project):
    folder = train(project, "sl")
    (folder / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="train again with --replace"):
        train(project, "sl")
    train(project, "sl", replace=True)
    assert record_of(folder)["status"] == "complete"


# Rows -------------------------------------------------------------------------------------------


@given(st.floats(0.01, 1), st.integers(1, 30))
def test_share_of_rate(rate, genomes):
    """A locus is read from the labelled genome with probability 1 − rate · n / (n + 1)."""
    share = training_rows.share_of_rate(rate, genomes)
    assert share / (share + genomes) == pytest.approx(1 - rate * genomes / (genomes + 1))


def test_share_of_rate_at_its_end():
    assert training_rows.share_of_rate(1.0, 4) == pytest.approx(1)
    for rate, genomes in ((0.0, 4), (1.1, 4), (0.5, 0)):
        with pytest.raises(ValueError, match="expected 0 < rate"):
            training_rows.share_of_rate(rate, genomes)


def test_homolog_sampling_takes_each_locus_once(project, store):
    share = training_rows.share_of_rate(0.5, len(store.genomes))
    mixture = training_rows.homologous_rows(
        store,
        EXPERIMENT,
        project.negatives,
        seed=0,
        labelled=True,
        labelled_share=share,
        sampling=Sampling(one_per_locus=True),
    )
    assert mixture.positives[0].group == REFERENCE
    assert mixture.positive_shares == (share, *(1.0 for _ in store.genomes))
    drawn = []
    for epoch in range(40):
        segments = mixture.one_per_locus(epoch)
        loci = np.concatenate(
            [store.group(s.group).column("locus")[s.rows(0, len(s))] for s in segments]
        )
        assert len(np.unique(loci)) == len(loci) == mixture.positive_rows
        drawn.append(len(segments[0]) / len(loci))
    n = len(store.genomes)
    # Loci that some genomes lack, or that are positive in none but homologues, move it a little.
    assert np.mean(drawn) == pytest.approx(1 - 0.5 * n / (n + 1), abs=0.1)


def test_fewer_loci_are_nested_and_restrict_homologues(project, store):
    few, more = (training_rows.chosen_loci(store, EXPERIMENT, n, seed=3) for n in (5, 9))
    assert set(few) < set(more)
    assert len(more) == 9
    other = training_rows.chosen_loci(store, EXPERIMENT, 9, seed=4)
    assert set(other) != set(more)
    for mixture in (
        training_rows.labelled_rows(store, EXPERIMENT, project.negatives, seed=3, loci=few),
        training_rows.homologous_rows(store, EXPERIMENT, project.negatives, seed=3, loci=few),
    ):
        rows = [store.group(s.group).column("locus")[s.rows(0, len(s))] for s in mixture.positives]
        assert len(np.concatenate(rows)) > 0
        assert set(np.concatenate(rows)) <= set(few)
    assert training_rows.chosen_loci(store, EXPERIMENT, None, seed=3) is None
    with pytest.raises(StoreError, match=r"fewer than training\.labelled_peaks = 100000"):
        training_rows.chosen_loci(store, EXPERIMENT, 100_000, seed=3)


def test_nearest_genomes(project, store):
    names = [genome.name for genome in project.genomes]
    far_first = [
        genome.model_copy(update={"distance": 1.0 - 0.1 * i})
        for i, genome in enumerate(project.genomes)
    ]
    project = project.model_copy(update={"genomes": far_first})
    one = changed(project, "training", nearest=1)
    assert training_rows.nearest_genomes(one, store) == [names[-1]]
    assert training_rows.nearest_genomes(project, store) == store.genomes
    assert set(identity_of(one, "ssl")["content"]) == {REFERENCE, f"homologs/{names[-1]}"}
    assert identity_of(one, "sl") == identity_of(project, "sl")
    with pytest.raises(ConfigError, match=r"training.nearest is 99, but .* holds"):
        training_rows.nearest_genomes(changed(project, "training", nearest=99), store)


# Regimes ----------------------------------------------------------------------------------------


def test_pretrain_only_is_the_first_phase_of_ssl(project):
    alone = (train(project, "pretrain-only") / "history.csv").read_text().splitlines()
    whole = (train(project, "ssl") / "history.csv").read_text().splitlines()
    assert alone == whole[: len(alone)] != whole


def test_homolog_sampling_runs(project, store):
    record = record_of(train(project, "homolog-sampling"))
    sample, finetune = record["phases"]
    assert (sample["name"], finetune["name"]) == ("sample", "fine-tune")
    assert sample["positives"] <= finetune["positives"] * 1.5
    # Without what came later, at its default.
    assert record["identity"]["training"]["homolog_sampling"] == {"rate": 0.7}
    ssl = record_of(train(project, "pretrain-only"))["phases"][0]
    options = project.training.homolog_sampling.model_copy(update={"steps": "ssl"})
    longer = changed(project, "training", homolog_sampling=options)
    record = record_of(train(longer, "homolog-sampling", replace=True))
    assert record["phases"][0]["steps_per_epoch"] == ssl["steps_per_epoch"]
    assert ssl["steps_per_epoch"] > sample["steps_per_epoch"]
    assert record["phases"][0]["positives"] == sample["positives"]
    assert record["identity"]["training"]["homolog_sampling"]["steps"] == "ssl"


def test_ssl_plus(project, store):
    ssl = record_of(train(project, "ssl"))["phases"]
    folder = train(project, "ssl-plus")
    pretrain, finetune = record_of(folder)["phases"]
    assert pretrain["positives"] == ssl[0]["positives"] + ssl[1]["positives"]
    ratio = project.training.ssl_plus.ratio
    assert pretrain["negatives"] == round(ratio * pretrain["positives"])
    assert finetune["negatives"] == round(ratio * finetune["positives"])
    assert load_model(folder / "model.keras").both_strands
    assert not (folder / "work").exists()


def test_general_options_do_not_touch_ssl_plus_nor_its_options_others(project):
    plus = project.training.ssl_plus.model_copy(update={"ratio": 2.0})
    other = changed(project, "training", ssl_plus=plus)
    assert identity_of(other, "ssl") == identity_of(project, "ssl")
    assert identity_of(other, "ssl-plus") != identity_of(project, "ssl-plus")
    general = changed(project, "negatives", ratio=3.0, redraw=True)
    assert identity_of(general, "ssl-plus") == identity_of(project, "ssl-plus")


def small_first_steps(project: Project, **options) -> Project:
    """The project with options of ssl_plus, and augmentation whose draws depend on the phase."""
    augment = project.training.augment.model_copy(update={"mutation": 0.05})
    plus = project.training.ssl_plus.model_copy(update=options)
    return changed(project, "training", augment=augment, ssl_plus=plus)


def test_sl_plus_is_two_stage_with_the_parts_of_ssl_plus(project, tmp_path):
    # Without labelled rows among the homologues both count the same steps.
    project = small_first_steps(project, labelled=False)
    record = record_of(train(project, "sl-plus"))
    control = effective(changed(project, "training", runs=tmp_path / "control"), "ssl-plus")
    twin = record_of(train(control, "two-stage"))
    assert record["weights_sha256"] == twin["weights_sha256"]
    assert record["validation"] == twin["validation"]
    # Nor does the order in which homologues are drawn concern it.
    other = small_first_steps(project, labelled=False, one_per_locus=True)
    assert identity_of(other, "sl-plus") == record["identity"]


@pytest.mark.parametrize("options", [{}, {"finetune": False, "reverse_complement": False}])
def test_sl_plus_has_the_steps_of_ssl_plus_and_only_labelled_rows(project, options, monkeypatch):
    project = small_first_steps(project, **options)
    plus = project.training.ssl_plus
    seen = []
    genuine = run.TrainingReader
    monkeypatch.setattr(
        run,
        "TrainingReader",
        lambda store, mixture, **kept: seen.append(mixture) or genuine(store, mixture, **kept),
    )
    folder = train(project, "sl-plus")
    assert {s.group for m in seen for s in (*m.positives, *m.negatives)} == {REFERENCE}
    assert all((m.redraw, m.ratio) == (plus.redraw, plus.ratio) for m in seen)
    phases = record_of(folder)["phases"]
    expected = record_of(train(project, "ssl-plus"))["phases"]
    assert len(phases) == len(expected) == 1 + plus.finetune
    for key in ("steps_per_epoch", "learning_rate"):
        assert [p[key] for p in phases] == [p[key] for p in expected]
    assert phases[0]["steps_per_epoch"] > 2 * seen[0].steps(project.training.batch_size)
    if plus.finetune:
        assert phases[1]["positives"] == phases[0]["positives"]
    assert load_model(folder / "model.keras").both_strands == plus.reverse_complement


def test_sl_plus_depends_on_the_number_of_homologues_and_not_on_their_use(project, store):
    identity = identity_of(project, "sl-plus")
    assert set(identity["content"]) == {REFERENCE, *training_rows.homologue_groups(store)}
    weighting = project.training.weighting.model_copy(update={"identity_power": 2.0})
    sampling = Sampling(genomes="genomes")
    other = changed(project, "training", weighting=weighting, sampling=sampling, nearest=None)
    assert identity_of(other, "sl-plus") == identity
    one = changed(project, "training", nearest=1)
    assert len(identity_of(one, "sl-plus")["content"]) == 2


def test_regimes_that_count_homologues_need_some(project):
    alone = project.model_dump()
    alone["genomes"] = []
    alone["training"]["regimes"] = ["sl", "two-stage", "sl-plus"]
    with pytest.raises(ValidationError, match="regimes: sl-plus need at least one genome"):
        Project.model_validate(alone)


def test_ssl_plus_continues_to_the_same_bits(project, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FitOptions", functools.partial(FitOptions, checkpoint_seconds=0))
    augment = project.training.augment.model_copy(update={"mutation": 0.05, "insertion": 5})
    project = changed(project, "training", augment=augment)
    whole = record_of(train(project, "ssl-plus"))
    cut = changed(project, "training", runs=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        train(cut, "ssl-plus", progress=StopAfter(1))
    assert record_of(train(cut, "ssl-plus"))["weights_sha256"] == whole["weights_sha256"]


def test_augmentation_is_left_out_of_fine_tuning(project):
    options = project.training.augment.model_copy(
        update={"reverse_complement": 0.5, "mutation": 0.1}
    )
    kinds = [type(layer) for layer in augmentations(options, seed=1, originals=False)]
    assert kinds == [ReverseComplement, Mutation]
    kinds = [type(layer) for layer in augmentations(options, seed=1, originals=True)]
    assert kinds == [ReverseComplement]
    assert augmentations(project.training.augment, seed=1, originals=False) == []


@pytest.mark.parametrize("changes", [{"mutation": 1.0}, {"noise": 0.5}, {"inversion": 9}])
def test_augmented_model_shares_weights_and_predicts_originals(project, changes):
    inner = build_model(MODEL, length=60, seed=0)
    options = project.training.augment.model_copy(update=changes)
    model = Augmented(inner, augmentations(options, seed=1, originals=False))
    codes = np.random.default_rng(0).integers(0, 5, (4, 60)).astype(np.uint8)
    np.testing.assert_array_equal(model.predict(codes, verbose=0), inner.predict(codes, verbose=0))
    for mine, its in zip(model.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    plain = np.asarray(inner(codes, training=False))
    assert not np.allclose(np.asarray(model(codes, training=True)), plain)


def test_noise_is_added_to_the_one_hot_that_other_augmentation_leaves(project, monkeypatch):
    options = project.training.augment.model_copy(update={"reverse_complement": 1.0, "noise": 0.2})
    inner = build_model(MODEL, length=500, seed=0)
    model = Augmented(inner, augmentations(options, seed=1, originals=False))
    seen = []
    monkeypatch.setattr(inner, "call", lambda inputs, training: seen.append(np.asarray(inputs)))
    codes = np.random.default_rng(0).integers(0, 4, (20, 500)).astype(np.uint8)
    model.call(codes, training=True)
    noise = seen[0] - one_hot(reverse_complement(codes))
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 0.2) < 0.01


def test_a_shift_needs_flanks_in_the_store(project):
    augment = project.training.augment.model_copy(update={"shift": 10})
    with pytest.raises(ConfigError, match=r"augment\.shift: .* rebuild with a longer windows"):
        train(changed(project, "training", augment=augment), "sl")


def test_augmentation_is_part_of_the_identity(project):
    augment = project.training.augment.model_copy(update={"mutation": 0.1})
    assert identity_of(changed(project, "training", augment=augment), "sl") != identity_of(
        project, "sl"
    )
    both = changed(project, "training", both_strands=True)
    assert identity_of(both, "sl") != identity_of(project, "sl")
    # Noise came later: runs without stay what they were.
    assert (
        "noise"
        not in identity_of(changed(project, "training", augment=augment), "sl")["training"][
            "augment"
        ]
    )
    noisy = project.training.augment.model_copy(update={"noise": 0.1})
    noisy_identity = identity_of(changed(project, "training", augment=noisy), "sl")
    assert noisy_identity["training"]["augment"]["noise"] == 0.1


# Models -----------------------------------------------------------------------------------------

OWN = """
import keras

def small(sequence, seeds, outputs):
    hidden = keras.layers.GlobalAveragePooling1D(name="mean")(sequence)
    return keras.layers.Dense(outputs, "sigmoid", name="p", kernel_initializer=seeds.glorot())(
        hidden
    )
"""


def test_a_model_of_ones_own_trains_and_a_change_makes_it_stale(project, tmp_path, monkeypatch):
    (tmp_path / "own_regime.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = "own_regime:small"
    folder = train(project, "sl", model=name)
    assert folder.parts[-3:] == ("own_regime.small", "sl", "seed-0")
    assert record_of(folder)["parameters"] == 5
    assert 0 < evaluate_run(folder)["aupr"] <= 1
    (tmp_path / "own_regime.py").write_text(OWN + "\n# changed\n")
    with pytest.raises(ConfigError, match=r"training\.source"):
        train(project, "sl", model=name)


def test_code_that_a_model_of_ones_own_imports_is_part_of_it(tmp_path, monkeypatch):
    files = {
        "own_plain.py": OWN,
        "own_main.py": "import own_widths, json, keras.layers\n" + OWN,
        "own_widths.py": "def other():\n    from own_package.deep import WIDTH\n",
        "own_package/__init__.py": "",
        "own_package/deep.py": "from . import far\nWIDTH = far.WIDTH\n",
        "own_package/far.py": "WIDTH = 5\n",
        "own_package/unused.py": "",
        "lib/installed.py": "",  # as an environment in the working directory
        "own_partial.py": "import functools, installed, own_plain\n"
        "small = functools.partial(own_plain.small)\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "lib")])
    models = {name: f"own_{name}:small" for name in ("plain", "main", "partial")}

    def digests():
        return {name: source_digest(model) for name, model in models.items()}

    before = digests()
    # As it was before modules that are imported counted.
    assert before["plain"] == hashlib.sha256(OWN.encode()).hexdigest()
    for changed_file, stale in (
        ("own_package/far.py", {"main"}),
        ("own_widths.py", {"main"}),
        ("own_plain.py", {"plain", "partial"}),
        ("own_package/unused.py", set()),
        ("lib/installed.py", set()),
    ):
        path = tmp_path / changed_file
        path.write_text(path.read_text() + "# changed\n")
        now = digests()
        assert {name for name in models if now[name] != before[name]} == stale, changed_file
        before = now


def test_options_of_a_model(project):
    options = {"deep-cnn-64": {"dilations": [1]}}
    project = changed(project, "training", model_options=options)
    record = record_of(train(project, "sl", model="deep-cnn-64"))
    assert record["parameters"] == 6_869 + 3 * 64 * 64 + 64
    assert record["identity"]["training"]["model_options"] == {"dilations": [1]}


@pytest.fixture
def dnabert2(project: Project, tmp_path: Path) -> Project:
    folder = write_model(tmp_path / "dnabert2", with_fields(SMALL, num_hidden_layers=1))
    return changed(
        project,
        "training",
        noisy_student=project.training.noisy_student.model_copy(update={"iterations": 1}),
        dnabert2=project.training.dnabert2.model_copy(update={"folder": folder}),
    )


def test_dnabert2_trains_in_every_phase_of_ssl_ns(dnabert2):
    folder = train(dnabert2, "ssl-ns", model="dnabert2")
    record = record_of(folder)
    assert [phase["name"] for phase in record["phases"]] == ["pre-train 1", "fine-tune 1"]
    assert [phase["learning_rate"] for phase in record["phases"]] == [3e-5, 3e-5]
    files = record["identity"]["training"]["dnabert2"]["files"]
    assert sorted(files) == ["config.json", "pytorch_model.bin", "tokenizer.json"]
    model = load_model(folder / "model.keras")
    frozen = checkpoint_tensors(model.backbone, adapters=False)
    assert all(np.array_equal(value, noise(name, value.shape)) for name, value in frozen.items())
    trained = [np.asarray(x.lora_b) for x in model.backbone.linears() if x.lora]
    assert all(np.abs(value).max() > 0 for value in trained)
    assert 0 < evaluate_run(folder)["aupr"] <= 1


@pytest.mark.slow
def test_dnabert2_takes_students_of_another_run(dnabert2):
    runs = dnabert2.training.runs
    first = train(dnabert2, "ssl-ns", model="dnabert2")
    series = {}
    for number in (2, 1):
        student = dnabert2.training.noisy_student.model_copy(update={"iterations": number})
        place = runs / "sweeps" / f"iterations-{number}"
        varied = changed(dnabert2, "training", noisy_student=student, runs=place)
        series[number] = train(varied, "ssl-ns", model="dnabert2", teachers=runs)
    digests = {record_of(folder)["weights_sha256"] for folder in (series[1], first)}
    assert len(digests) == 1
    records = {number: record_of(folder) for number, folder in series.items()}
    assert ["taken_from" in s for s in records[2]["students"]] == [False, True, False]
    assert ["taken_from" in s for s in records[1]["students"]] == [False, True]
    described = record_of(first)["dnabert2"]
    for record in records.values():
        assert record["dnabert2"].keys() == described.keys()
    assert 0 < evaluate_run(series[1])["aupr"] <= 1


def test_dnabert2_has_no_other_strand(dnabert2):
    with pytest.raises(ConfigError, match="reads tokens of one strand"):
        train(dnabert2, "ssl-plus", model="dnabert2")
    both = changed(dnabert2, "training", both_strands=True)
    with pytest.raises(ConfigError, match="reads tokens of one strand"):
        train(both, "sl", model="dnabert2")
    mutated = dnabert2.training.augment.model_copy(update={"mutation": 0.1})
    with pytest.raises(ConfigError, match=r"reads tokens; training\.augment"):
        train(changed(dnabert2, "training", augment=mutated), "sl", model="dnabert2", replace=True)
    options = changed(dnabert2, "training", model_options={"dnabert2": {"tokens": 9}})
    with pytest.raises(ConfigError, match=r"takes none; its options are training\.dnabert2"):
        train(options, "sl", model="dnabert2", replace=True)
