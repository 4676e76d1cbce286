"""``training.sampling``: rates of genomes, one row per locus, balance; down to the rows drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from small_store import write_store

from ssldata.base.errors import ConfigError
from ssldata.project.project_file import Negatives, Project, load_project
from ssldata.project.training_section import Plus, Sampling, Training
from ssldata.reading import sampling_rates
from ssldata.reading.epoch_order import EpochOrder
from ssldata.reading.mixture import Mixture
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.runs import regimes, run, training_rows
from sslmodels.runs.regime_table import REGIME_TABLE

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GENOMES = {"a": 120, "b": 40, "c": 80}
DISTANCES = (0.0, 0.1, 0.2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three genomes of unequal size with lifted negatives; locus n is rows 2n and 2n + 1."""
    rows = {REFERENCE: (60, 400, 4, 4)}
    rows |= {f"homologs/{name}": (size, 130, 0, 0) for name, size in GENOMES.items()}
    return write_store(tmp_path_factory.mktemp("sampling") / "s.zarr", rows=rows)


def mixture(store: Store, *, source: str = "reference", **options: Any) -> Mixture:
    sampling = Sampling(**{k: options.pop(k) for k in tuple(options) if k in Sampling.model_fields})
    return training_rows.homologous_rows(
        store,
        "tf0",
        Negatives(source=source),
        seed=0,
        sampling=sampling,
        distances=DISTANCES if sampling.genomes == "distance" else None,
        **options,
    )


def drawn(store: Store, mix: Mixture, epoch: int = 0) -> dict[str, Counter[str]]:
    """Count the rows of each genome in one epoch, of both classes."""
    chunks = {s.group: store.group(s.group).chunk_rows for s in (*mix.positives, *mix.negatives)}
    order = EpochOrder(mix, epoch, batch_size=8, chunks=chunks, window_rows=64)
    count: dict[str, Counter[str]] = {"positive": Counter(), "negative": Counter()}
    for number in range(len(order)):
        for piece in order.window(number).pieces:
            _, stop = store.group(piece.group).ranges["positive"]
            kind = "positive" if piece.rows[0] < stop else "negative"
            count[kind][piece.group.removeprefix("homologs/")] += len(piece.rows)
    return count


def test_every_row_by_default(store: Store) -> None:
    mix = mixture(store)
    assert mix.positive_shares is None
    assert drawn(store, mix)["positive"] == GENOMES


def test_every_genome_as_often(store: Store) -> None:
    assert drawn(store, mixture(store, genomes="genomes"))["positive"] == dict.fromkeys("abc", 80)


def test_rows_of_far_genomes_less_often(store: Store) -> None:
    found = drawn(store, mixture(store, genomes="distance", halving=0.1))["positive"]
    share = np.array([120, 40 / 2, 80 / 4])
    np.testing.assert_allclose([found[g] for g in "abc"], 240 * share / share.sum(), atol=1)


def test_labelled_rows_are_those_of_a_genome_at_distance_0(store: Store) -> None:
    mix = mixture(store, genomes="distance", halving=0.1, labelled=True)
    share = np.array([60, 120, 40 / 2, 80 / 4])
    found = drawn(store, mix)["positive"]
    expected = 300 * share / share.sum()
    np.testing.assert_allclose([found[g] for g in ("reference", *"abc")], expected, atol=1)


@pytest.mark.parametrize("genomes", ["rows", "genomes", "distance"])
@pytest.mark.parametrize("source", ["lifted", "both"])
def test_lifted_negatives_follow_the_genomes_of_the_positives(
    store: Store, genomes: str, source: str
) -> None:
    """Otherwise the genome would tell the class."""
    found = drawn(store, mixture(store, genomes=genomes, halving=0.1, source=source))
    part = 1.0 if source == "lifted" else 0.5
    for genome in GENOMES:
        expected = part * found["positive"][genome]
        assert found["negative"][genome] == pytest.approx(expected, abs=1.5)


def test_one_row_per_locus_of_near_genomes_more_often(store: Store) -> None:
    mix = mixture(store, genomes="distance", halving=0.1, one_per_locus=True)
    assert mix.positive_rows == 60  # loci of a; those of b and c are among them
    count = Counter[str]()
    for epoch in range(200):
        for segment in mix.one_per_locus(epoch):
            rows = segment.rows(0, len(segment))
            assert len(set(rows // 2)) == len(rows)
            # Loci below 20 have two rows in every genome.
            count[segment.group[-1]] += int((rows // 2 < 20).sum())
    share = np.array([1, 1 / 2, 1 / 4])
    np.testing.assert_allclose([count[g] / 4000 for g in "abc"], share / share.sum(), atol=0.03)


def test_classes_fall_as_they_may_without_balance(store: Store) -> None:
    def positives_per_batch(**options: Any) -> set[int]:
        mix = mixture(store, **options)
        chunks = {
            s.group: store.group(s.group).chunk_rows for s in (*mix.positives, *mix.negatives)
        }
        order = EpochOrder(mix, 0, batch_size=8, chunks=chunks, window_rows=64)
        window = order.window(2)
        kinds = np.concatenate([np.full(len(p), p.group != REFERENCE) for p in window.pieces])
        return set(kinds[window.order].reshape(-1, 8).sum(axis=1).tolist())

    assert positives_per_batch() == {4}
    assert len(positives_per_batch(balance="none")) > 1
    labelled = training_rows.labelled_rows(
        store, "tf0", Negatives(), seed=0, sampling=Sampling(balance="none")
    )
    assert labelled.balance == "none"


# Regimes ----------------------------------------------------------------------------------------


@pytest.fixture
def project(built_world: Path, tmp_path: Path) -> Project:
    project = load_project(built_world)
    student = project.training.noisy_student.model_copy(update={"iterations": 1})
    changes = {"runs": tmp_path / "runs", "batch_size": 16, "noisy_student": student}
    return project.model_copy(update={"training": project.training.model_copy(update=changes)})


def sampled(project: Project, **values: Any) -> Project:
    training = project.training.model_copy(update={"sampling": Sampling(**values)})
    return project.model_copy(update={"training": training})


def phases_of(
    project: Project, regime: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[Mixture, int]]:
    """Return the rows and the steps of the phases of a regime, without fitting anything."""
    seen: dict[str, tuple[Mixture, int]] = {}

    def fit(run: Any, name: str, model: Any, mixture: Mixture, **options: Any) -> None:
        steps = options.get("steps_per_epoch") or mixture.steps(16)
        seen[f"{run.regime} {name}"] = (mixture, steps)

    monkeypatch.setattr(run.Run, "fit", fit)
    regimes.train(project, experiment="alpha", model="deepbind", regime=regime, seed=0)
    return seen


RATED = {
    "ssl": "ssl pre-train",
    "ssl-ns": "ssl-ns pre-train 1",
    "ssl-plus": "ssl-plus pre-train",
    "pretrain-only": "pretrain-only pre-train",
    "ssl-shuffled": "ssl-shuffled pre-train",
}


@pytest.mark.parametrize("regime", ["ssl", "ssl-ns", "ssl-plus", "pretrain-only", "ssl-shuffled"])
def test_phases_on_homologues_take_the_rates(
    project: Project, regime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(project.store_path("alpha"))
    changed = sampled(project, genomes="distance", halving=0.06, one_per_locus=True, balance="none")
    seen = phases_of(changed, regime, monkeypatch)
    mix, steps = seen[RATED[regime]]
    distances = {genome.name: genome.distance for genome in project.genomes}
    expected = [0.5 ** (distances[name] / 0.06) for name in store.genomes]
    if regime == "ssl-plus":
        expected = [1.0, *expected]
    assert mix.positive_shares == pytest.approx(expected)
    assert mix.loci is not None
    assert {m.balance for m, _ in seen.values()} == {"none"}
    assert all(
        m.loci is None and m.positive_shares is None
        for n, (m, _) in seen.items()
        if "pre-" not in n
    )
    # Validation is looked at as often as without.
    plain = {**project.training.model_dump(), "runs": project.training.runs.with_name("plain")}
    other = project.model_copy(update={"training": Training.model_validate(plain)})
    assert phases_of(other, regime, monkeypatch)[RATED[regime]][1] == steps


def test_homolog_sampling_keeps_its_own_rate(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix, _ = phases_of(sampled(project, genomes="distance"), "homolog-sampling", monkeypatch)[
        "homolog-sampling sample"
    ]
    n = len(project.genomes)
    assert mix.positive_shares == (training_rows.share_of_rate(0.7, n), *[1.0] * n)


def test_only_what_a_regime_uses_is_part_of_its_identity(project: Project) -> None:
    store = open_store(project.store_path("alpha"))

    def options(regime: str, **values: Any) -> dict[str, Any]:
        identity = regimes.run_identity(
            sampled(project, **values),
            store,
            experiment="alpha",
            model="deepbind",
            regime=regime,
            seed=0,
        )
        return identity["training"].get("sampling", {})

    for regime in regimes.REGIMES:
        assert options(regime) == options(regime, halving=0.1) == {}
        assert options(regime, balance="none") == {"balance": "none"}
        rated = (
            {"genomes": "genomes"} if {regime, REGIME_TABLE[regime].network} & set(RATED) else {}
        )
        assert options(regime, genomes="genomes") == rated
    distances = {genome.name: genome.distance for genome in project.genomes}
    assert options("ssl", genomes="distance") == {
        "genomes": "distance",
        "halving": 0.5,
        "distances": distances,
    }


# Settings ---------------------------------------------------------------------------------------


def test_contradictions_are_refused(project: Project) -> None:
    with pytest.raises(ValidationError, match="does not go with one_per_locus"):
        Sampling(genomes="genomes", one_per_locus=True)
    with pytest.raises(ValidationError, match=r"does not go with ssl_plus\.one_per_locus"):
        Training(sampling=Sampling(genomes="genomes"), ssl_plus=Plus(one_per_locus=True))
    far = [{**genome.model_dump(), "distance": None} for genome in project.genomes]
    values = {**project.model_dump(), "genomes": far}
    values["training"]["sampling"] = {"genomes": "distance"}
    with pytest.raises(ValidationError, match="needs the distance of every genome; missing: rela"):
        Project.model_validate(values)
    with pytest.raises(ConfigError, match="the project gives no distance of unlisted"):
        sampling_rates.distances_used(project, ["unlisted"], Sampling(genomes="distance"))


def test_a_joint_run_needs_a_joint_store_and_its_name(project: Project) -> None:
    values = project.model_dump()
    values["training"]["outputs"] = "joint"
    with pytest.raises(ValidationError, match=r"set store\.joint to true"):
        Project.model_validate(values)
    values["store"]["joint"] = True
    joint = Project.model_validate(values)
    assert joint.cells() == ["joint"]
    assert joint.outputs_of("joint") == joint.trained_experiments()
    assert joint.outputs_of("beta") == ["beta"]
    assert joint.store_path("joint").name == "joint.zarr"
    with pytest.raises(ConfigError, match="no experiment 'joint'"):
        project.outputs_of("joint")
    values["experiments"][0]["name"] = "Joint"
    values["training"]["experiments"] = []
    with pytest.raises(ValidationError, match="rename the experiment"):
        Project.model_validate(values)
