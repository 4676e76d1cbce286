"""Runs with an output per experiment of a joint store: labels, loss, every regime, evaluation."""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from run_tools import StopAfter, record_of
from small_store import write_store

from flows.cli import main
from ssldata.base.errors import ConfigError, StoreError
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.reading.known_labels import RowLabels
from ssldata.reading.mixture import Mixture, Segment
from ssldata.reading.noisy_weights import Weights
from ssldata.reading.reader import TrainingReader
from ssldata.simulation.clade import simulate_clade
from ssldata.store.run_weights import read_weights
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.benchmark import grid_results
from sslmodels.benchmark.paper_page import write_paper
from sslmodels.evaluation.evaluate import evaluate_run, read_scores
from sslmodels.evaluation.resamples_file import read_resamples
from sslmodels.fit.fit_options import FitOptions
from sslmodels.layers.losses import OutputCrossentropy
from sslmodels.models.model_builder import load_model
from sslmodels.report.report_page import write_report
from sslmodels.runs import regimes, run, run_grid, training_rows
from sslmodels.runs.homologue_weights import at_prior, output_priors
from sslmodels.scores import metrics
from sslmodels.scores.metric_intervals import blocks_of_bins, interval, resampled

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOTH = ["alpha", "beta"]
MODEL = "deepbind"


@pytest.fixture(scope="module")
def joint_world(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Project file of a joint store of both experiments, built; not to be written to."""
    folder = tmp_path_factory.mktemp("joint") / "world"
    text = yaml.safe_load((small_world / "project.yaml").read_text())
    for part in (text["reference"], *text["experiments"], *text["genomes"]):
        part |= {
            key: str(small_world / part[key])
            for key in ("sequence", "peaks", "chain")
            if key in part
        }
    text["store"] = {"joint": True}
    text["training"] |= {
        "experiments": [],
        "outputs": "both",
        "models": [MODEL],
        "regimes": ["sl", "ssl"],
        "epochs": 2,
        "batch_size": 32,
        "noisy_student": {"iterations": 1},
    }
    folder.mkdir()
    (folder / "project.yaml").write_text(yaml.safe_dump(text))
    build_project(load_project(folder))
    return folder


@pytest.fixture
def project(joint_world: Path, tmp_path: Path) -> Project:
    project = load_project(joint_world)
    training = project.training.model_copy(update={"runs": tmp_path / "runs"})
    return project.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def store(joint_world: Path) -> Store:
    return open_store(joint_world / "store" / "joint.zarr")


def train(project: Project, regime: str, *, experiment: str = "joint", **options) -> Path:
    return regimes.train(
        project, experiment=experiment, model=MODEL, regime=regime, seed=0, **options
    )


def everything(store: Store) -> Mixture:
    groups = [REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)]
    positives = [Segment(g, *store.group(g).ranges["positive"]) for g in groups]
    negatives = (Segment(REFERENCE, *store.group(REFERENCE).ranges["negative"]),)
    return Mixture(tuple(positives), negatives, seed=3)


def epoch_of(store: Store, **options) -> list[np.ndarray]:
    reader = TrainingReader(store, everything(store), batch_size=16, **options)
    batches = list(reader.dataset().take(reader.steps_per_epoch))
    return [
        np.concatenate([part.numpy() for part in parts]) for parts in zip(*batches, strict=True)
    ]


# Reading ----------------------------------------------------------------------------------------


def test_columns_change_neither_rows_nor_their_order(store):
    # Weights tell which row it is: its number, and half of it more in the labelled genome.
    rows = {
        name: np.arange(store.group(name).rows, dtype=np.float32) + 1000 * number
        for number, name in enumerate(
            [REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)]
        )
    }
    named = Weights(rows)
    codes, first, who = epoch_of(store, label=0, weights=named)
    all_codes, labels, same = epoch_of(store, label=None, weights=named)
    np.testing.assert_array_equal(all_codes, codes)
    np.testing.assert_array_equal(same, who)
    assert labels.shape == (len(codes), 2)
    np.testing.assert_array_equal(labels[:, :1], first)
    swapped = epoch_of(store, label=[1, 0], weights=named)[1]
    np.testing.assert_array_equal(swapped, labels[:, ::-1])
    _, _, masked = epoch_of(store, label=None, weights=named, weigh_outputs=True)
    unknown = 0
    for number, name in enumerate(rows):
        here = (who >= 1000 * number) & (who < 1000 * (number + 1))
        row = (who[here] - 1000 * number).astype(int)
        group = store.group(name)
        label, covered = group.column("label")[row], group.column("coverage")[row] > 0
        np.testing.assert_array_equal(labels[here], label)
        # A bin covered in part is no sure negative of that output, and counts for the others.
        partial = (label == 0) & covered
        np.testing.assert_array_equal(masked[here], np.where(partial, 0, who[here][:, None]))
        unknown += partial.sum()
        assert not partial.all(axis=1).any()
    assert unknown > 0, "the world must have a case that could fail"


def test_wrong_columns_are_refused(store):
    for columns in (2, [0, 2], [-1], []):
        with pytest.raises(ConfigError, match=r"expected 0 to 1 \(alpha, beta\)"):
            RowLabels(store, columns)


def test_noise_of_every_output_is_its_own(tmp_path):
    store = write_store(
        tmp_path / "s.zarr", rows={REFERENCE: (400, 40, 4, 4)}, experiments=2, seed=4
    )
    mixture = Mixture((Segment(REFERENCE, 0, 400),), (Segment(REFERENCE, 400, 440),))
    half = {REFERENCE: np.full((444, 2), 0.5, np.float32)}
    weights = Weights(half, noise_sd=0.1, seed=2)
    options = {"batch_size": 16, "label": None, "weights": weights}
    reader = TrainingReader(store, mixture, **options, weigh_outputs=True)
    epochs = []
    for epoch in range(2):
        taken = reader.dataset(start_epoch=epoch).take(reader.steps_per_epoch)
        parts = [(y.numpy(), w.numpy()) for _, y, w in taken]
        label, weight = (np.concatenate(x) for x in zip(*parts, strict=True))
        assert (weight[label == 0] == 0.5).all()
        noise = weight[label == 1] - 0.5
        assert noise.std() == pytest.approx(0.1, rel=0.15)
        both = label.all(axis=1)
        assert abs(np.corrcoef(weight[both].T)[0, 1]) < 0.3
        epochs.append(np.sort(noise))
    assert not np.array_equal(*epochs)
    with pytest.raises(ConfigError, match="need a reader of as many labels with 'weigh_outputs'"):
        TrainingReader(store, mixture, **options).window(0)


# Loss -------------------------------------------------------------------------------------------


def test_loss_weighs_every_output():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (20, 3)).astype(np.float32)
    p = rng.uniform(0.05, 0.95, (20, 3)).astype(np.float32)
    weight = rng.uniform(0, 1, (20, 3)).astype(np.float32)
    terms = -(label * np.log(p) + (1 - label) * np.log(1 - p))
    loss = OutputCrossentropy()
    assert float(loss(label, p, sample_weight=weight)) == pytest.approx((terms * weight).mean())
    by_row = weight[:, :1]
    plain = float(keras.losses.BinaryCrossentropy()(label, p, sample_weight=by_row[:, 0]))
    assert float(loss(label, p, sample_weight=np.tile(by_row, 3))) == pytest.approx(plain)


def test_unknown_labels_count_in_no_number_of_the_validation():
    label = np.array([[1, 1], [0, 0], [0, 1], [1, 0]])
    score = np.array([[0.9, 0.2], [0.1, 0.3], [0.8, 0.6], [0.7, 0.9]])
    known = np.ones((4, 2), bool)
    known[3, 1] = known[2, 0] = False
    terms = -np.log(np.where(label == 1, score, 1 - score))
    assert metrics.cross_entropy(label, score, known) == pytest.approx(terms[known].mean())
    # alpha: 1 1 | 0; beta: 1 0 1 by score, average precision (1 + 2/3) / 2.
    assert metrics.mean_aupr(label, score, known) == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)


# Phases -----------------------------------------------------------------------------------------


def test_phases_take_the_union(project, store):
    make = functools.partial(
        training_rows.labelled_rows, store, negatives=project.negatives, seed=0
    )
    union, alpha, beta = (make(outputs=x).positives[0] for x in (BOTH, "alpha", "beta"))
    rows = [set(s.rows(0, len(s)).tolist()) for s in (union, alpha, beta)]
    assert rows[0] == rows[1] | rows[2]
    assert rows[1] - rows[2]
    assert rows[2] - rows[1]
    homologous = training_rows.homologous_rows(store, BOTH, project.negatives, seed=0)
    for segment in homologous.positives:
        assert (segment.start, segment.stop) == store.group(segment.group).ranges["positive"]
        assert segment.members is None


def test_validation_rows_are_the_union_and_sure_negatives(project, store):
    rows = training_rows.validation_row_numbers(store, BOTH, negatives_per_positive=3, seed=0)
    reference = store.group(REFERENCE)
    label, covered = (reference.column(name)[rows] for name in ("label", "coverage"))
    start, stop = reference.ranges["validation"]
    union = reference.column("label")[start:stop].any(axis=1)
    assert label.any(axis=1).sum() == union.sum()
    negatives = ~label.any(axis=1)
    assert negatives.sum() == 3 * union.sum()
    assert not covered[negatives].any()


def test_an_output_that_cannot_be_judged_is_refused_before_training(project, tmp_path):
    store = write_store(tmp_path / "s.zarr", rows={REFERENCE: (20, 20, 20, 20)}, experiments=2)
    column = store.group(REFERENCE).column("label")
    training_rows.check_outputs(store, ["tf0", "tf1"])
    column[60:, 1] = 0
    with pytest.raises(StoreError, match="tf1 has 0 positive test rows of 20; leave it out"):
        training_rows.check_outputs(store, ["tf0", "tf1"])


# Weights of the teacher -------------------------------------------------------------------------


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 9), st.floats(0.01, 9))
def test_probability_at_another_prior(prior, wanted, positive, negative):
    """By Bayes' rule, from the densities of a score in the two classes."""

    def posterior(share: float) -> float:
        return share * positive / (share * positive + (1 - share) * negative)

    given_p = np.array([[posterior(prior)]], np.float64)
    moved = at_prior(given_p, prior=np.array([prior]), wanted=wanted)
    assert moved[0, 0] == pytest.approx(posterior(wanted), rel=1e-4)


def test_priors_are_shares_of_known_labels(store):
    mixture = everything(store)
    found = output_priors(mixture, RowLabels(store, None))
    _, label, weight = epoch_of(store, label=None, weigh_outputs=True)
    np.testing.assert_allclose(found, label.sum(axis=0) / (weight > 0).sum(axis=0))


# Runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "regime",
    [
        # ssl-ns has the runs of sl and the phases of ssl in it; the others draw other rows.
        r if r in ("ssl-ns", "ssl-plus") else pytest.param(r, marks=pytest.mark.slow)
        for r in regimes.REGIMES
    ],
)
def test_every_regime_trains_all_outputs(project, store, regime):
    folder = train(project, regime)
    assert folder == project.training.runs / "joint" / MODEL / regime / "seed-0"
    record = record_of(folder)
    assert record["identity"]["outputs"] == BOTH
    assert record["label"] == [0, 1]
    labelled = np.subtract(*store.group(REFERENCE).ranges["positive"][::-1])
    if regime != "pretrain-only" and record["phases"][-1]["name"] != "sample":
        assert record["phases"][-1]["positives"] == labelled
    result = evaluate_run(folder)
    assert set(result["outputs"]) == set(BOTH)
    if regime == "ssl-ns":
        assert record_of(folder.parents[1] / "sl" / "seed-0")["identity"]["outputs"] == BOTH
        check_teacher_weights(folder, store, project)


def check_teacher_weights(folder: Path, store: Store, project: Project) -> None:
    teacher = load_model(folder.parents[1] / "sl" / "seed-0" / "model.keras")
    labelled = training_rows.labelled_rows(store, BOTH, project.negatives, seed=0)
    prior = output_priors(labelled, RowLabels(store, None))
    weights, _ = read_weights(folder / "weights.zarr", 1)
    for name, values in weights.items():
        group = store.group(name)
        start, stop = group.ranges["positive"]
        label = group.column("label")[start:stop]
        p = teacher.predict(group.codes(start, stop), verbose=0)
        expected = np.where(label == 1, at_prior(p, prior=prior, wanted=0.5), 1)
        assert values.shape == (group.rows, 2)
        np.testing.assert_allclose(values[start:stop], expected, rtol=1e-4)
        assert (values[stop:] == 1).all()
        assert (values[start:stop][label == 0] == 1).all()


def test_a_cut_run_continues_to_the_same_bits(project, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FitOptions", functools.partial(FitOptions, checkpoint_seconds=0))
    whole = record_of(train(project, "ssl"))
    training = project.training.model_copy(update={"runs": tmp_path / "cut"})
    cut = project.model_copy(update={"training": training})
    with pytest.raises(KeyboardInterrupt):
        train(cut, "ssl", progress=StopAfter(1))
    assert record_of(train(cut, "ssl"))["weights_sha256"] == whole["weights_sha256"]


def test_outputs_are_part_of_the_identity_of_a_joint_run_alone(project, store):
    def identity(experiment: str, project: Project = project) -> dict:
        cell = {"experiment": experiment, "model": MODEL, "regime": "sl", "seed": 0}
        return regimes.run_identity(project, store, **cell)

    training = project.training.model_copy(update={"experiments": ["beta"]})
    other = project.model_copy(update={"training": training})
    assert identity("joint")["outputs"] == BOTH
    assert identity("joint", other)["outputs"] == ["beta"]
    assert identity("beta", other) == identity("beta")
    assert "outputs" not in identity("beta")


# Evaluation -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(joint_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with the sl runs of one seed trained and evaluated; not to be written to."""
    project = load_project(joint_world)
    training = {"runs": tmp_path_factory.mktemp("runs"), "regimes": ["sl"]}
    project = project.model_copy(update={"training": project.training.model_copy(update=training)})
    for cell in run_grid.grid(project):
        evaluate_run(regimes.train(project, **cell.arguments))
    return project


def test_numbers_files_and_curves_of_every_output(evaluated, store):
    folder = evaluated.training.runs / "joint" / MODEL / "sl" / "seed-0"
    result = evaluate_run(folder)
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["test"]
    p = load_model(folder / "model.keras").predict(rows.codes(start, stop), verbose=0)
    table = pd.read_csv(folder / "evaluation" / "scores.csv.gz")
    names = [f"{what}_{name}" for name in BOTH for what in ("label", "score")]
    assert list(table) == ["contig", "start", "end", *names]
    curves = pd.read_csv(folder / "evaluation" / "curves.csv")
    blocks = blocks_of_bins(table["contig"].to_numpy(), table["start"].to_numpy())
    resamples = {
        name: resampled(
            table[f"label_{name}"].to_numpy(), table[f"score_{name}"].to_numpy(np.float32), blocks
        )
        for name in BOTH
    }
    mean = np.mean([of.aupr for of in resamples.values()], axis=0)
    assert result["intervals"]["aupr"] == pytest.approx(interval(mean))
    for i, name in enumerate(BOTH):
        label, score = read_scores(folder, name)
        np.testing.assert_array_equal(label, rows.column("label")[start:stop, i])
        np.testing.assert_allclose(score, p[:, i], rtol=1e-5)
        numbers = metrics.summary(label, score.astype(np.float32))
        spans = {"intervals": resamples[name].intervals(), "blocks": result["blocks"]}
        assert result["outputs"][name] == {**numbers, **spans}
        assert read_resamples(folder, name).aupr == pytest.approx(resamples[name].aupr, rel=1e-5)
        own = curves[(curves["experiment"] == name) & (curves["curve"] == "pr")]
        assert own["precision"].iloc[-1] == pytest.approx(numbers["prevalence"])
    auprs = [result["outputs"][name]["aupr"] for name in BOTH]
    assert result["aupr"] == pytest.approx(np.mean(auprs))
    with pytest.raises(StoreError, match="holds no scores of 'gamma'"):
        read_scores(folder, "gamma")


def test_outputs_stand_beside_runs_of_their_own(evaluated, tmp_path):
    results = grid_results.collect(run_grid.grid(evaluated))
    assert list(zip(results["experiment"], results["model"], strict=True)) == [
        ("alpha", MODEL),
        ("beta", MODEL),
        ("alpha", f"{MODEL} joint"),
        ("beta", f"{MODEL} joint"),
    ]
    # The same rows judge both, and the same positives are counted.
    for _, pair in results.groupby("experiment"):
        for column in ("positives", "prevalence", "labelled", "pseudo_labelled"):
            assert pair[column].nunique() == 1
    page = write_paper(tmp_path / "paper", project=evaluated, results=results)
    shown = page.with_name("table_2_aupr.csv").read_text()
    assert f"beta,{MODEL} joint,sl" in shown
    runs = [cell.folder for cell in run_grid.grid(evaluated)]
    report = write_report(tmp_path / "r.html", title="t", project=evaluated, run_folders=runs)
    text = report.read_text()
    assert f"beta / {MODEL} joint" in text
    assert "could not" not in text


def test_seed_ensembles_of_an_output(evaluated):
    results = grid_results.collect(run_grid.grid(evaluated))
    twice = pd.concat([results, results.assign(seed=1)])
    found = grid_results.ensembles(twice).set_index(["experiment", "model"])["aupr"]
    single = results.set_index(["experiment", "model"])["aupr"]
    for cell in found.index:
        assert found[cell] == pytest.approx(single[cell])


def test_the_command_line_trains_and_shows_all_outputs(joint_world, tmp_path, capsys):
    text = yaml.safe_load((joint_world / "project.yaml").read_text())
    text["store"]["path"] = str(joint_world / "store")
    text["training"] |= {"outputs": "joint", "regimes": ["sl"], "runs": str(tmp_path / "runs")}
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(text))
    # The only cell of the grid is the joint one: nothing need be named.
    assert main(["train", str(tmp_path)]) == 0
    assert main(["evaluate", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for line in (f"alpha +{MODEL} joint", f"beta +{MODEL} joint", f"mean of 2 +{MODEL} joint"):
        assert pd.Series(out.splitlines()).str.contains(line).any()
    assert main(["train", str(tmp_path), "--experiment", "gamma"]) == 2


@pytest.mark.slow
def test_homologues_help_every_output(tmp_path: Path) -> None:
    """On a simulated clade whose motifs are known, ssl finds both; a run of both is no worse."""
    simulate_clade(tmp_path, seed=3, contigs=4, contig_size=120_000, genomes=4, peaks=(300, 150))
    text = yaml.safe_load((tmp_path / "project.yaml").read_text())
    text["store"] = {**text.get("store", {}), "joint": True}
    text["training"] |= {"experiments": [], "outputs": "joint", "epochs": 40, "patience": 6}
    text["training"] |= {"batch_size": 32, "models": ["cnn-7k"], "noisy_student": {"iterations": 2}}
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(text))
    project = load_project(tmp_path)
    build_project(project)
    found = {}
    for regime in ("sl", "ssl", "ssl-ns"):
        cell = {"experiment": "joint", "model": "cnn-7k", "regime": regime, "seed": 0}
        found[regime] = evaluate_run(regimes.train(project, **cell))["outputs"]
    for name in BOTH:
        assert found["ssl"][name]["aupr"] > 1.5 * found["sl"][name]["aupr"]
        assert found["ssl"][name]["lift"] > 2
        # With the teacher's small probabilities of the rarer output as they are, it falls to 1.
        assert found["ssl-ns"][name]["lift"] > 2
