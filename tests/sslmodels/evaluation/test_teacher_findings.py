"""Findings about teachers: a miscalibrated one is heard, a calibrated one is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from ssldata.store.run_weights import write_weights
from ssldata.store.store import Store, open_store
from sslmodels.evaluation.teacher_findings import (
    TEACHERS,
    ScoredBins,
    even_odds_error,
    teacher_findings,
    write_teacher_findings,
)
from sslmodels.runs.run_folder import RunFolder


def bins(slope: float, rows: int = 40_000, seed: int = 0) -> ScoredBins:
    """Return bins of even odds whose log odds are `slope` times too large."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, rows)
    label = (rng.random(rows) < expit(z)).astype(np.float32)
    return ScoredBins(expit(slope * z).astype(np.float32), label)


@pytest.fixture
def store(built_world: Path) -> Store:
    return open_store(built_world / "store" / "alpha.zarr")


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> RunFolder:
    """A run whose second teacher is as confident as the rows are identical."""
    folder = RunFolder(tmp_path)
    groups = [f"homologs/{genome}" for genome in store.genomes]
    for number in (1, 2):
        arrays = {
            name: store.group(name).column("identity") ** (0 if number == 1 else 1)
            for name in groups
        }
        write_weights(folder.weights, number, arrays, {"run": "x"})
    return folder


def test_the_error_is_none_where_probabilities_are_right() -> None:
    error, chance = even_odds_error(bins(1.0))
    assert 0 < error < 2.5 * chance < 0.03


def test_the_error_does_not_depend_on_the_share_of_positives() -> None:
    whole = bins(3.0)
    kept = (whole.label < 0.5) | (np.arange(len(whole.label)) % 20 == 0)
    few = ScoredBins(whole.score[kept], whole.label[kept])
    assert even_odds_error(few)[0] == pytest.approx(even_odds_error(whole)[0], abs=0.02)


@pytest.mark.parametrize(("slope", "mark"), [(1.0, "pass"), (4.0, "warn")])
def test_overconfidence_is_a_warning(
    slope: float, mark: str, folder: RunFolder, store: Store
) -> None:
    found = teacher_findings(folder, store, {"alpha": bins(slope)})[0]
    assert found.mark == mark
    (table,) = found.tables.values()
    assert table.rows[0][5] == pytest.approx(1 / slope, rel=0.05)


def test_few_bins_are_no_warning(folder: RunFolder, store: Store) -> None:
    """False alarms of calibrated scores of 60 bins: none of 50."""
    marks = [
        teacher_findings(folder, store, {"alpha": bins(1.0, 60, seed)})[0].mark
        for seed in range(50)
    ]
    assert marks.count("warn") == 0


def test_confidence_by_genome_and_identity(folder: RunFolder, store: Store) -> None:
    found = teacher_findings(folder, store, {"alpha": bins(1.0)})[1]
    (table,) = found.tables.values()
    positives = sum(
        int((g.column("label")[slice(*g.ranges["positive"]), 0] == 1).sum())
        for g in map(store.homologues, store.genomes)
    )
    for number in (1, 2):
        assert sum(int(row[3] or 0) for row in table.rows if row[0] == number) == positives
    assert {row[1] for row in table.rows} == set(store.genomes)
    assert all(row[4] == 1 for row in table.rows if row[0] == 1)
    for row in table.rows:
        if row[0] == 2:
            low, high = map(float, str(row[2]).split(" to "))
            assert low <= float(row[4] or 0) <= high
    assert found.numbers["least_identical_quarter"] < found.numbers["most_identical_quarter"]


def test_a_run_without_teachers_has_no_file(
    store: Store, folder: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "other")
    write_teacher_findings(other, store, {"alpha": bins(1.0)})
    assert not other.evaluation.exists()
    folder.evaluation.mkdir()
    write_teacher_findings(folder, store, {"alpha": bins(1.0)})
    found = json.loads((folder.evaluation / TEACHERS).read_text())
    assert [one["check"] for one in found] == ["teachers.calibration", "teachers.confidence"]


def test_bins_of_one_class_are_not_measured(folder: RunFolder, store: Store) -> None:
    one = bins(1.0)
    lacking = ScoredBins(one.score, np.zeros_like(one.label))
    assert teacher_findings(folder, store, {"alpha": lacking})[0].mark == "note"
