"""Checks of seconds: silent on a sound store, heard on a damaged or small one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from small_store import edit_root

from ssldata.store.store import open_store
from ssldata.store_card import basic_checks
from ssldata.store_card.basic_checks import counts, integrity_findings, row_findings


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


def test_a_sound_store_passes(path: Path) -> None:
    store = open_store(path)
    assert [one.mark for one in integrity_findings(store, deep=True)] == ["pass", "pass"]
    found = {one.check: one for one in row_findings(store)}
    assert found["rows.homologues"].mark == "pass"
    rows = store.group("reference")
    positive = rows.column("label")[:, 0] == 1
    test = int((positive & (rows.column("split") == 2)).sum())
    assert found["rows.labelled"].numbers["fewest_test_positives"] == test
    assert sum(sum(one.values()) for _, one in counts(store)) == sum(
        entry["rows"] for entry in store.ledger.values()
    )


def test_a_damaged_store_fails_and_is_quoted(path: Path) -> None:
    file = path / "homologs" / "relative1" / "split" / "c" / "0"
    data = bytearray(file.read_bytes())
    data[-6] ^= 1
    file.write_bytes(data)
    (path / "reference" / "x.partial").write_text("")
    rules, state = integrity_findings(open_store(path))
    assert (rules.mark, state.mark) == ("fail", "note")
    (table,) = rules.tables.values()
    assert any(row[0] == "homologs/relative1" for row in table.rows)
    assert rules.advice


@pytest.mark.parametrize(("least", "mark"), [(0, "pass"), (10**6, "warn")])
def test_few_test_positives_are_a_warning(
    least: int, mark: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basic_checks, "FEW_POSITIVES", least)
    assert row_findings(open_store(path))[0].mark == mark


def test_an_experiment_without_test_positives_fails(path: Path) -> None:
    store = open_store(path)
    rows = store.group("reference")
    label = rows.column("label").copy()
    label[rows.column("split") == 2] = 0
    rows._columns["label"] = label
    found = row_findings(store)[0]
    assert found.mark == "fail"
    assert found.summary == "No positives of alpha in test."


def test_a_genome_without_rows_is_named(path: Path) -> None:
    def empty(root: dict[str, Any]) -> None:
        entry = root["attributes"]["crosslabel"]["ledger"]["homologs/relative2"]
        entry["ranges"] = {key: [0, 0] for key in entry["ranges"]}

    edit_root(path, empty)
    found = {one.check: one for one in row_findings(open_store(path))}
    assert found["rows.homologues"].mark == "warn"
    assert "None from relative2." in found["rows.homologues"].summary
