"""What homologues weigh before any training, and calibrated teachers: known answers, and runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_tools import EXPERIMENT, MODEL, changed, identity_of, record_of
from scipy.special import logit

from ssldata.base.errors import ConfigError, StoreError
from ssldata.project.project_file import Project, load_project
from ssldata.project.training_section import Weighting
from ssldata.reading.mixture import Segment
from ssldata.store.published_weights import publish_weights, remove_weights
from ssldata.store.run_weights import read_weights
from ssldata.store.store import Store, open_store
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes, run, training_rows
from sslmodels.runs.homologue_weights import (
    distance_weight,
    homologue_weights,
    identity_weight,
    normalised,
)
from sslmodels.runs.publish_weights import publish_run
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# Formulas ---------------------------------------------------------------------------------------


def test_distance_and_identity_weights() -> None:
    assert distance_weight(0.0, 0.3) == 1.0
    assert distance_weight(0.3, 0.3) == pytest.approx(0.36787944)
    assert distance_weight(0.6, 0.3) == pytest.approx(0.13533528)
    np.testing.assert_allclose(identity_weight(floats(1, 0.5, 0), 2), [1, 0.25, 0])
    np.testing.assert_array_equal(identity_weight(floats(1, 0.5, 0), 0), [1, 1, 1])
    for wrong in (lambda: distance_weight(-0.1, 1), lambda: distance_weight(1, 0)):
        with pytest.raises(ValueError, match="expected ≥ 0 and > 0"):
            wrong()
    for identity, power in ((floats(1.1), 1), (floats(np.nan), 1), (floats(1), -1)):
        with pytest.raises(ValueError, match="identities in"):
            identity_weight(identity, power)


def test_normalised_weights_have_the_mean_one() -> None:
    first, second = normalised([floats(1, 1, 1), floats(0.2)])
    np.testing.assert_allclose(first, 1.25)
    np.testing.assert_allclose(second, 0.25)
    assert normalised([]) == []
    with pytest.raises(ConfigError, match="every homologue the weight 0"):
        normalised([floats(0, 0)])


# Rows of a store --------------------------------------------------------------------------------


@pytest.fixture
def project(built_world: Path, tmp_path: Path) -> Project:
    """A built project with one store of its own."""
    project = load_project(built_world)
    shutil.copytree(project.store_path(EXPERIMENT), tmp_path / "store" / f"{EXPERIMENT}.zarr")
    project = changed(project, "store", path=tmp_path / "store")
    return changed(project, "training", epochs=1, batch_size=16, runs=tmp_path / "runs")


@pytest.fixture
def store(project: Project) -> Store:
    return open_store(project.store_path(EXPERIMENT))


def train(project: Project, regime: str, **options) -> Path:
    return regimes.train(
        project, experiment=EXPERIMENT, model=MODEL, regime=regime, seed=0, **options
    )


def publish(store: Store, name: str, value: float, **said: object) -> dict[str, np.ndarray]:
    arrays = {
        f"homologs/{g}": np.full(store.homologues(g).rows, value, np.float32) for g in store.genomes
    }
    contents = {group: store.ledger[group]["content"] for group in arrays}
    path = Path(store.location)
    made_by = {"run": "x", **said}
    publish_weights(path, name, arrays, contents=contents, provenance=made_by, replace=True)
    return arrays


def test_weights_of_the_homologues_of_a_store(project: Project, store: Store) -> None:
    mixture = training_rows.homologous_rows(
        store, EXPERIMENT, project.negatives, seed=0, labelled=True
    )
    distances = {genome.name: genome.distance for genome in project.genomes}
    options = Weighting(distance_scale=0.1, identity_power=3.0, normalise=False)
    found = homologue_weights(store, mixture.positives, options, distances=distances)
    assert set(found) == {f"homologs/{g}" for g in store.genomes}
    total = count = 0
    for genome in store.genomes:
        rows, values = store.homologues(genome), found[f"homologs/{genome}"]
        start, stop = rows.ranges["positive"]
        expected = np.exp(-distances[genome] / 0.1) * rows.column("identity")[start:stop] ** 3
        np.testing.assert_allclose(values[start:stop], expected, rtol=1e-5)
        assert (values[stop:] == 1).all()
        total, count = total + expected.sum(), count + stop - start
    assert total / count < 0.9, "the world must have a case that could fail"
    publish(store, "half", 0.5)
    again = homologue_weights(
        open_store(store.location),
        mixture.positives,
        options.model_copy(update={"normalise": True}),
        distances=distances,
        published="half",
    )
    for name, values in again.items():
        start, stop = store.group(name).ranges["positive"]
        np.testing.assert_allclose(
            values[start:stop], 0.5 * found[name][start:stop] * count / total, rtol=1e-5
        )
    assert homologue_weights(store, mixture.positives, Weighting(), distances={}) is None


def test_only_chosen_rows_are_weighed(store: Store) -> None:
    group = f"homologs/{store.genomes[0]}"
    chosen = Segment(group, 0, 10, np.array([2, 5]))
    options = Weighting(identity_power=2.0)
    values = homologue_weights(store, [chosen], options, distances={})[group]
    assert set(np.flatnonzero(values != 1)) <= {2, 5}
    assert values[[2, 5]].mean() == pytest.approx(1)


# Runs -------------------------------------------------------------------------------------------


def test_defaults_leave_identities_as_they_were(project: Project) -> None:
    for regime in ("ssl", "ssl-ns", "ssl-plus", "homolog-sampling"):
        text = json.dumps(identity_of(project, regime))
        assert not any(word in text for word in ("weighting", "weights", "calibration"))


def test_weights_count_where_they_are_used(project: Project, store: Store) -> None:
    weighting = Weighting(distance_scale=0.1)
    other = changed(project, "training", weighting=weighting)
    assert identity_of(other, "sl") == identity_of(project, "sl")
    assert identity_of(other, "ssl-ns") == identity_of(project, "ssl-ns")
    assert identity_of(other, "ssl-plus") == identity_of(project, "ssl-plus")
    used = identity_of(other, "ssl")["training"]["weighting"]
    assert used["distances"] == {g.name: g.distance for g in project.genomes}
    plus = project.training.ssl_plus.model_copy(update={"weighting": weighting})
    plus_project = changed(project, "training", ssl_plus=plus)
    assert identity_of(plus_project, "ssl-plus")["training"]["weighting"] == used
    assert identity_of(plus_project, "ssl") == identity_of(project, "ssl")
    nowhere = other.model_copy(
        update={"genomes": [g.model_copy(update={"distance": None}) for g in project.genomes]}
    )
    with pytest.raises(ConfigError, match=r"distance_scale is set, .* no distance of relative1"):
        identity_of(nowhere, "ssl")
    # Published weights: by their values, not by their name.
    publish(store, "one", 0.5)
    named = identity_of(changed(project, "training", weights="one"), "ssl")
    assert named != identity_of(project, "ssl")
    publish(store, "same", 0.5)
    assert identity_of(changed(project, "training", weights="same"), "ssl") == named
    remove_weights(Path(store.location), "one")
    publish(store, "two", 0.25)
    assert identity_of(changed(project, "training", weights="two"), "ssl") != named
    with pytest.raises(StoreError, match="no weights 'one'"):
        identity_of(changed(project, "training", weights="one"), "ssl")
    # A teacher of other experiments, whose rows are in the same store.
    publish(store, "others", 0.5, outputs=[EXPERIMENT, "other"])
    with pytest.raises(StoreError, match=f"a teacher of {EXPERIMENT}, other, this run predicts"):
        identity_of(changed(project, "training", weights="others"), "ssl")


@pytest.mark.parametrize("regime", ["ssl", "ssl-plus", "homolog-sampling"])
def test_training_sees_the_weights(
    project: Project, store: Store, regime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "half", 0.5)
    seen = []
    genuine = run.TrainingReader

    def watched(*args, weights, **options):
        seen.append(weights)
        return genuine(*args, weights=weights, **options)

    monkeypatch.setattr(run, "TrainingReader", watched)
    plain = record_of(train(project, regime))["weights_sha256"]
    assert seen == [None, None]
    seen.clear()
    folder = train(changed(project, "training", weights="half"), regime, replace=True)
    assert record_of(folder)["weights_sha256"] != plain
    pretrain, finetune = seen
    assert finetune is None
    group = store.homologues(store.genomes[0])
    assert set(pretrain.arrays[group.name][: group.ranges["positive"][1]]) == {0.5}


def test_a_run_publishes_and_a_project_trains_with_it(project: Project, store: Store) -> None:
    student = project.training.noisy_student.model_copy(
        update={"iterations": 2, "calibration": "platt"}
    )
    project = changed(project, "training", noisy_student=student)
    folder = train(project, "ssl-ns")
    record = record_of(folder)
    # The first weights are the calibrated probabilities of the sl run.
    (first, made_by), (second, _) = (read_weights(folder / "weights.zarr", k) for k in (1, 2))
    ((fitted,), (_,)) = record["calibration"]
    assert made_by["calibration"] == [fitted]
    teacher = load_model(folder.parents[1] / "sl" / "seed-0" / "model.keras")
    rows = store.homologues(store.genomes[0])
    start, stop = rows.ranges["positive"]
    raw = score(teacher, rows.codes(start, stop))[:, 0]
    expected = 1 / (1 + np.exp(-fitted["slope"] * logit(raw.astype(float)) - fitted["intercept"]))
    np.testing.assert_allclose(first[rows.name][start:stop], expected, rtol=1e-4)
    assert np.abs(expected - raw).max() > 1e-3, "the world must have a case that could fail"
    # Published by number, read by name.
    done = publish_run(folder)
    assert done["name"] == f"{record['digest'][:12]}-2"
    assert publish_run(folder)["status"] == "unchanged"
    assert publish_run(folder, iteration=1, name="first")["status"] == "published"
    said = open_store(store.location).weights["first"]
    assert (said["iteration"], said["experiment"], said["seed"]) == (1, EXPERIMENT, 0)
    assert said["outputs"] == [EXPERIMENT]
    identity = identity_of(changed(project, "training", weights=done["name"]), "ssl")
    assert set(identity["training"]["weights"]) == set(second)
    with pytest.raises(ConfigError, match="a run of sl has no teacher weights"):
        publish_run(folder.parents[1] / "sl" / "seed-0")
