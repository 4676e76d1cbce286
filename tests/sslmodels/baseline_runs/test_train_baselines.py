"""Baselines of a project: trained on training rows alone, and again only after changes."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motif_tools import matrix_of
from run_tools import changed

from ssldata.building.build_store import build_project
from ssldata.project.project_file import MotifEntry, Project, load_project
from ssldata.simulation.clade import small_clade
from ssldata.store.store import REFERENCE, open_store
from sslmodels.baseline_runs import train_baselines as training
from sslmodels.baseline_runs.baseline_status import (
    baseline_results,
    baseline_runs,
    baseline_state,
    baseline_texts,
)
from sslmodels.baseline_runs.train_baselines import train_baselines
from sslmodels.baselines.baseline_file import load_baseline
from sslmodels.baselines.meme_text import SequenceMotif, write_meme
from sslmodels.benchmark.baseline_rows import baseline_rows, with_baselines
from sslmodels.evaluation.evaluate import read_scores
from sslmodels.report.report_page import write_report

NAMES = [
    *("pwm", "pwm-sum", "motif", "motif+hom"),
    *("kmer", "kmer+hom", "gkm", "gkm+hom"),
]


def of_alpha(project: Project, **options: Any) -> Project:
    """The project with one experiment in its grid, which names a motif."""
    motif = options.pop("motif", "M1")
    file = Path(project.training.runs).parent / "motifs.meme"
    write_meme(file, [SequenceMotif("M1", matrix_of("TGACTCA"))])
    entry = MotifEntry(file=file, name=motif) if motif else None
    named = [e.model_copy(update={"motif": entry}) for e in project.experiments]
    project = project.model_copy(update={"experiments": named})
    return changed(project, "training", experiments=["alpha"], **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with its baselines; tests do not write to it."""
    folder = tmp_path_factory.mktemp("baselines") / "project"
    small_clade(folder)
    project = of_alpha(load_project(folder))
    build_project(project)
    train_baselines(project)
    return project


@pytest.fixture
def copied(trained: Project, tmp_path: Path) -> Project:
    """The same project elsewhere, to be changed."""
    home = trained.training.runs.parent
    shutil.copytree(home, tmp_path / "project")
    return of_alpha(load_project(tmp_path / "project"))


def files_of(project: Project) -> dict[str, tuple[int, bytes]]:
    found = (p for p in (project.training.runs / "alpha").rglob("*") if p.is_file())
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in found if p.name != ".lock"}


def test_every_baseline_is_trained_and_scored(trained: Project) -> None:
    results = baseline_results(trained)
    assert [r["baseline"] for r in results] == NAMES
    store = open_store(trained.store_path("alpha"))
    start, stop = store.group(REFERENCE).ranges["test"]
    for result in results:
        assert 0 < result["aupr"] <= 1
        assert result["rows"] == stop - start
        labels, scores = read_scores(Path(result["folder"]), "alpha")
        np.testing.assert_array_equal(labels, store.group(REFERENCE).column("label")[start:stop, 0])
        codes = store.group(REFERENCE).codes(start, stop)
        found = load_baseline(Path(result["folder"]) / "baseline.npz").score(codes)
        np.testing.assert_allclose(scores, found, rtol=1e-6)
    assert [name for name, _ in baseline_texts(NAMES)] == NAMES


def test_a_second_call_does_nothing(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(trained)
    monkeypatch.setattr(training, "_train", lambda *_: pytest.fail("trained again"))
    train_baselines(trained)
    assert files_of(trained) == before


def test_what_was_killed_or_damaged_is_made_again_to_the_same_bytes(copied: Project) -> None:
    folder = copied.training.runs / "alpha" / "baselines"
    before = {n: (folder / n / "baseline.npz").read_bytes() for n in ("kmer", "gkm+hom", "motif")}
    (folder / "kmer" / "baseline.json").unlink()  # killed before the record
    (folder / "gkm+hom" / "baseline.npz").write_bytes(b"damaged")
    (folder / "motif" / "evaluation" / "curves.csv").write_text("damaged")
    states = {run.name: baseline_state(run)[0] for run in baseline_runs(copied)}
    assert [name for name in NAMES if states[name] == "missing"] == ["motif", "kmer", "gkm+hom"]
    train_baselines(copied)
    assert {baseline_state(run)[0] for run in baseline_runs(copied)} == {"complete"}
    assert {n: (folder / n / "baseline.npz").read_bytes() for n in before} == before


def test_only_training_sources_are_read(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Homologues of validation and test sources are in the store, and never trained on."""
    store = open_store(trained.store_path("alpha"))
    read: list[tuple[str, np.ndarray]] = []
    take = training.take_rows

    def watched(store: Any, rows: Any, **options: Any) -> Any:
        read.extend(rows)
        return take(store, rows, **options)

    monkeypatch.setattr(training, "take_rows", watched)
    runs = {run.name: run for run in baseline_runs(trained)}
    _, labels, counts = training._training_rows(runs["gkm+hom"], store)
    groups = {group for group, _ in read}
    assert groups == {REFERENCE, *(f"homologs/{name}" for name in store.genomes)}
    for group, rows in read:
        assert (store.group(group).column("split")[rows] == 0).all()
    assert counts["homologues"] > 0
    assert labels.sum() == counts["positives"] + counts["homologues"]
    read.clear()
    _, labels, counts = training._training_rows(runs["gkm"], store)
    assert {group for group, _ in read} == {REFERENCE}
    assert labels.sum() == counts["positives"]
    assert len(labels) == counts["positives"] + counts["negatives"]


def test_rows_beyond_the_limit_are_drawn_from_all_groups(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(trained.store_path("alpha"))
    monkeypatch.setitem(training.MOST_BASES, "kmer", 60 * 200)
    run = next(run for run in baseline_runs(trained) if run.name == "kmer+hom")
    codes, labels, _ = training._training_rows(run, store)
    assert len(codes) <= 60
    assert labels.sum() == 10


def test_a_baseline_that_fails_is_a_line(
    copied: Project, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    wrong = of_alpha(copied, motif="M2")
    with caplog.at_level(logging.WARNING):
        results = train_baselines(wrong)
    failed = {r["baseline"]: r["reason"] for r in results if "reason" in r}
    assert list(failed) == ["pwm", "pwm-sum"]
    assert "no motif 'M2' (experiments[].motif.name); there are 1: M1" in failed["pwm"]
    assert "alpha / baseline / pwm: " in caplog.text
    # It is not tried again until something changes, or is asked for.
    assert baseline_state(next(baseline_runs(wrong)))[0] == "failed"
    page = write_report(tmp_path / "r.html", title="t", project=wrong).read_text("utf-8")
    assert "alpha / baseline / pwm: could not be trained" in page
    assert baseline_state(next(baseline_runs(of_alpha(copied))))[0] == "missing"


def test_the_report_shows_baselines(trained: Project, tmp_path: Path) -> None:
    page = write_report(tmp_path / "r.html", title="t", project=trained).read_text("utf-8")
    assert "alpha / baseline</figcaption>" in page
    for result in baseline_results(trained):
        assert f"{result['aupr']:.3f}" in page
    assert "support vector machine on gapped k-mers (6 of 8); homologues are positives too" in page
    assert "not trained" not in page


def test_the_benchmark_gets_them_as_rows(trained: Project) -> None:
    rows = baseline_rows(trained)
    assert list(rows["regime"]) == NAMES
    assert set(rows["model"]) == {"baseline"}
    assert (rows["labelled"] > 0).all()
    assert len(with_baselines(trained, rows)) == 2 * len(rows)


def test_which_baselines_are_asked_for(trained: Project) -> None:
    def names(project: Project) -> list[str]:
        return [run.name for run in baseline_runs(project)]

    assert names(of_alpha(trained, motif=None)) == NAMES[2:]
    assert names(of_alpha(trained, baselines=False)) == []
    assert names(of_alpha(trained, baselines=["kmer"])) == ["kmer", "kmer+hom"]
    alone = of_alpha(trained).model_copy(update={"genomes": []})
    assert names(alone) == ["pwm", "pwm-sum", "motif", "kmer", "gkm"]


def test_other_settings_are_another_identity(trained: Project) -> None:
    few = of_alpha(trained, labelled_peaks=5)
    assert {baseline_state(run)[0] for run in baseline_runs(few)} == {"missing"}
    record = json.loads((next(baseline_runs(trained)).folder / "baseline.json").read_text())
    assert record["identity"]["motif"]["name"] == "M1"


def test_without_a_store_nothing_is_known(trained: Project, tmp_path: Path) -> None:
    gone = changed(trained, "store", path=tmp_path / "none")
    assert {baseline_state(run)[0] for run in baseline_runs(gone)} == {"unknown"}
