"""Committees on a small simulated project: what they are made of, and scored with anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_tools import EXPERIMENT, MODEL, changed, identity_of, record_of

from ssldata.base.errors import ConfigError, InputError
from ssldata.building.build_store import build_project
from ssldata.conservation import conserved_windows, homologue_windows
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.baselines.meme_text import read_meme
from sslmodels.committee.committee_file import load_committee
from sslmodels.evaluation.evaluate import evaluate_run, read_scores
from sslmodels.exporting.export_model import export_model
from sslmodels.prediction.prediction_request import PredictionRequest, run_prediction
from sslmodels.prediction.trained_model import load_model
from sslmodels.runs import committee_fit, regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def project(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = load_project(built_world)
    runs = tmp_path_factory.mktemp("runs")
    return changed(project, "training", epochs=2, batch_size=16, runs=runs)


def train(project: Project, regime: str, **options) -> Path:
    cell = {"experiment": EXPERIMENT, "model": MODEL, "regime": regime, "seed": 0}
    return regimes.train(project, **cell, **options)


@pytest.fixture(scope="module")
def committee_run(project: Project) -> Path:
    return train(project, "ssl-committee")


@pytest.fixture(scope="module")
def alone_run(project: Project) -> Path:
    return train(project, "sl-committee")


def test_a_committee_is_made_around_the_network_of_another_run(project, committee_run):
    network = train(project, "ssl-plus")
    record = record_of(committee_run)
    assert record["network"]["folder"] == str(network)
    assert record["weights_sha256"] == record_of(network)["weights_sha256"]
    assert set(record["files"]) >= {"model.keras", "committee.npz"}
    committee = load_committee(committee_run / "committee.npz")
    assert set(committee.members) == {"motif", "gkm", "conservation"}
    assert sorted(committee.genomes) == sorted(genome.name for genome in project.genomes)
    assert committee.combined.members == ("network", "motif", "gkm", "conservation")
    assert committee.alone.members == ("network", "motif", "gkm")


def test_the_control_sees_no_homologue(project, alone_run, monkeypatch):
    for module in (homologue_windows, conserved_windows):
        monkeypatch.setattr(module, "open_target", None)
    again = train(changed(project, "training", runs=alone_run / "again"), "sl-committee")
    assert evaluate_run(again)["aupr"] > 0
    committee = load_committee(again / "committee.npz")
    assert set(committee.members) == {"motif", "gkm"}
    assert committee.groups == ()
    assert (again / "committee.npz").read_bytes() == (alone_run / "committee.npz").read_bytes()
    assert record_of(again)["network"]["folder"].endswith("sl-plus/seed-0")


def test_no_test_row_is_read(project, monkeypatch, tmp_path):
    store = open_store(project.store_path(EXPERIMENT))
    start, stop = store.group(REFERENCE).ranges["test"]
    read = []

    def take(place, rows, **options):
        read.extend(numbers for group, numbers in rows if group == REFERENCE)
        return committee_fit_take(place, rows, **options)

    committee_fit_take = committee_fit.take_rows
    monkeypatch.setattr(committee_fit, "take_rows", take)
    where = committee_fit._Fitting._where
    monkeypatch.setattr(committee_fit._Fitting, "_where", _recorded(where, read))
    runs = tmp_path / "runs"
    shutil.copytree(
        regimes.run_folder(project, experiment=EXPERIMENT, model=MODEL, regime="ssl-plus", seed=0),
        runs / EXPERIMENT / MODEL / "ssl-plus" / "seed-0",
    )
    train(changed(project, "training", runs=runs), "ssl-committee")
    numbers = np.concatenate(read)
    assert len(numbers) > 1000
    assert not ((numbers >= start) & (numbers < stop)).any()


def _recorded(function, read):
    def recorded(self, numbers):
        read.append(numbers)
        return function(self, numbers)

    return recorded


def test_members_are_weighed_on_bins_they_were_not_fitted_to(project, monkeypatch, tmp_path):
    """Each half is scored by members of the other, and homologues go with their sources."""
    fitted, crossed = [], []
    monkeypatch.setattr(committee_fit, "STRETCH", 400)

    class Watched(committee_fit._Fitting):
        def _fit(self, of, half, *, homologues):
            if half is not None:
                store = self.run.store
                sources = store.sources()
                names = store.source_contigs()["contigs"]
                for group, numbers in self._lifted(half):
                    source = store.group(group).column("source")[numbers]
                    contig = [self.rows.contigs.index(names[c]) for c in sources["contig"][source]]
                    assert set((contig + sources["start"][source] // 400) % 2) <= {half}
            fitted.append((half, set(self._labelled(half).tolist())))
            return super()._fit(of, half, homologues=homologues)

        def _crossed(self, half, *, learns):
            found = super()._crossed(half, learns=learns)
            crossed.append((half, set(self._labelled(half).tolist()), found))
            return found

    monkeypatch.setattr(committee_fit, "_Fitting", Watched)
    runs = tmp_path / "runs"
    cell = {"experiment": EXPERIMENT, "model": MODEL, "regime": "ssl-plus", "seed": 0}
    shutil.copytree(
        regimes.run_folder(project, **cell), runs / EXPERIMENT / MODEL / "ssl-plus" / "seed-0"
    )
    train(changed(project, "training", runs=runs), "ssl-committee")
    assert [half for half, _, _ in crossed] == [0, 1]
    for half, rows, found in crossed:
        assert found is not None
        assert set(found.combined) == {"motif", "gkm", "conservation"}
        learnt = [of for other, of in fitted if other == 1 - half]
        assert learnt
        assert not any(rows & of for of in learnt)
    assert not crossed[0][1] & crossed[1][1]


def test_a_committee_is_trained_once(project, committee_run):
    before = (committee_run / "run.json").read_bytes()
    assert train(project, "ssl-committee") == committee_run
    assert (committee_run / "run.json").read_bytes() == before


def test_its_identity_is_its_networks_and_its_genomes(project):
    one, network = (identity_of(project, regime) for regime in ("ssl-committee", "ssl-plus"))
    assert one.pop("committee")["trained_on"] == [genome.name for genome in project.genomes]
    assert {**one, "regime": "ssl-plus"} == network
    slower = changed(project, "training", finetune_learning_rate=1e-5)
    assert identity_of(slower, "ssl-committee") != one
    nearest = changed(project, "training", nearest=1)
    # A network of fewer genomes; the committee still looks at all.
    assert len(identity_of(nearest, "ssl-plus")["content"]) == 2
    fewer = identity_of(nearest, "ssl-committee")
    assert fewer["content"].keys() == one["content"].keys()
    assert len(fewer["committee"]["trained_on"]) == 1


def test_places_are_scored_the_same_wherever_they_are_named(project, committee_run, tmp_path):
    metrics = evaluate_run(committee_run)
    assert metrics["aupr"] > metrics["prevalence"]
    _, score = read_scores(committee_run, EXPERIMENT)
    location = str(project.store_path(EXPERIMENT))
    out = tmp_path / "store.tsv"
    run_prediction(PredictionRequest(models=[committee_run], out=out, store=location, split="test"))
    of_store = pd.read_csv(out, sep="\t")
    np.testing.assert_allclose(of_store[EXPERIMENT], score, rtol=2e-5, atol=1e-7)
    bed = tmp_path / "bins.bed"
    of_store[["contig", "start", "end"]].to_csv(bed, sep="\t", header=False, index=False)
    run_prediction(PredictionRequest(models=[committee_run], out=tmp_path / "bed.tsv", bed=bed))
    of_bed = pd.read_csv(tmp_path / "bed.tsv", sep="\t")
    np.testing.assert_allclose(of_bed[EXPERIMENT], score, rtol=2e-5, atol=1e-7)


def test_a_sequence_alone_is_scored_by_what_reads_sequences(project, committee_run):
    model = load_model(committee_run)
    rows = open_store(project.store_path(EXPERIMENT)).group(REFERENCE)
    codes = rows.codes(0, 50)
    found = model.predict(codes)
    assert found.shape == (50, 1)
    committee = load_committee(committee_run / "committee.npz")
    network = load_model(
        regimes.run_folder(project, experiment=EXPERIMENT, model=MODEL, regime="ssl-plus", seed=0)
    )
    p = network.score_codes(codes)[:, 0].astype(np.float64)
    scores = {
        "network": np.log(p / (1 - p)),
        "motif": committee.members["motif"].score(codes),
        "gkm": committee.members["gkm"].score(codes),
    }
    expected = committee.alone.log_odds(scores)
    np.testing.assert_allclose(model.log_odds(codes)[:, 0], expected, atol=1e-3)


def test_a_committee_is_exported_in_parts(committee_run, tmp_path):
    written = export_model(committee_run, tmp_path / "out", ["keras"])
    names = {path.name for path in written}
    assert names == {"model.keras", "committee.npz", "motif.meme", "README.md"}
    again = load_committee(tmp_path / "out" / "committee.npz")
    found = read_meme(tmp_path / "out" / "motif.meme")
    np.testing.assert_allclose(found[0].matrix, again.members["motif"].matrix, atol=1e-5)
    assert "network alone" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(InputError, match="--replace"):
        export_model(committee_run, tmp_path / "out", ["keras"])


def test_homologues_twice_are_refused(project, committee_run, tmp_path):
    with pytest.raises(ConfigError, match="leave out --homologues"):
        run_prediction(
            PredictionRequest(
                models=[committee_run],
                out=tmp_path / "x.tsv",
                store=str(project.store_path(EXPERIMENT)),
                homologues=True,
            )
        )


def test_a_damaged_committee_is_one_line(committee_run, tmp_path):
    path = tmp_path / "committee.npz"
    whole = (committee_run / "committee.npz").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a committee, or damaged"):
        load_committee(path)


def test_several_outputs_are_refused(small_world, tmp_path):
    project = load_project(small_world)
    project = changed(project, "store", joint=True, path=tmp_path / "stores")
    build_project(project)
    project = changed(project, "training", outputs="joint", experiments=[], runs=tmp_path / "runs")
    with pytest.raises(ConfigError, match="predicts one experiment"):
        regimes.train(project, experiment="joint", model=MODEL, regime="ssl-committee", seed=0)
