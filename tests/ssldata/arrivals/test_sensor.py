"""The sensor on a small built project: whole files only, one append each, trouble stays apart."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssldata.arrivals import sensor
from ssldata.arrivals.arrival_rules import Attempt, Fate
from ssldata.arrivals.arrival_state import ArrivalState
from ssldata.arrivals.sensor import append_arrival, polled
from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.locks import exclusive_lock
from ssldata.building.add_remove_genomes import remove_genome
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store
from ssldata.store.store_history import history_of, record_history


@pytest.fixture
def place(built_world: Path, tmp_path: Path) -> Path:
    """A project that lacks its third genome, whose files lie in ``incoming``."""
    folder = Path(shutil.copytree(built_world, tmp_path / "project"))
    entry = yaml.safe_load((folder / "project.yaml").read_text())["genomes"][-1]
    remove_genome(folder, entry["name"])
    incoming = folder / "incoming"
    incoming.mkdir()
    for key in ("sequence", "chain"):
        path = (folder / entry[key]).rename(incoming / Path(entry[key]).name)
        entry[key] = path.name
    (incoming / "third.yaml").write_text(yaml.safe_dump(entry))
    return folder


def look(place: Path, **options: Any) -> dict[str, sensor.Notice]:
    options = {"ask": lambda *_: Fate.ALIVE, **options}
    with polled(place, place / "incoming", **options) as notices:
        assert notices is not None
        return {notice.name: notice for notice in notices}


def append(place: Path, notice: sensor.Notice) -> dict[str, Any]:
    return append_arrival(
        place,
        place / "incoming",
        name=notice.name,
        digest=notice.digest,
        attempt=notice.attempt,
    )


def test_a_genome_is_appended_once(place: Path) -> None:
    (name,) = look(place)
    assert look(place, dry_run=True)[name].status == "append"
    notice = look(place)[name]
    assert (notice.status, notice.attempt) == ("append", 1)
    assert look(place)[name].status == "appending"  # it waits in a queue
    assert append(place, notice)["status"] == "appended"
    assert append(place, notice)["status"] == "superseded"  # the event came twice
    assert look(place)[name].status == "in store"
    assert name in [genome.name for genome in load_project(place).genomes]
    shutil.rmtree(ArrivalState(load_project(place)).folder)  # the ledger knows it as well
    look(place)
    assert look(place)[name].status == "in store"


def test_only_whole_files_are_taken(place: Path) -> None:
    incoming = place / "incoming"
    entry = yaml.safe_load((incoming / "third.yaml").read_text())
    name, sequence = entry["name"], incoming / entry["sequence"]
    sequence.rename(incoming / "later")
    assert "not there yet" in look(place)[name].message
    whole = (incoming / "later").read_bytes()
    for size in (100, 2000, len(whole)):  # it grows between looks
        sequence.write_bytes(whole[:size])
        assert look(place)[name].status == "waiting"
    assert look(place)[name].status == "append"


def test_checksums_are_proof_enough(place: Path) -> None:
    file = place / "incoming" / "third.yaml"
    entry = yaml.safe_load(file.read_text())
    entry["sha256"] = {
        key: hashlib.sha256((file.parent / entry[key]).read_bytes()).hexdigest()
        for key in ("sequence", "chain")
    }
    file.write_text(yaml.safe_dump(entry))
    assert look(place)[entry["name"]].status == "append"
    entry["sha256"]["chain"] = "0" * 64
    file.write_text(yaml.safe_dump(entry))
    assert look(place)[entry["name"]].status == "waiting"
    wrong = look(place)[entry["name"]]
    assert (wrong.status, wrong.new) == ("refused", True)
    assert "sha256" in wrong.message


def test_a_corrupt_genome_is_reported_once_and_blocks_no_other(place: Path) -> None:
    incoming = place / "incoming"
    entry = yaml.safe_load((incoming / "third.yaml").read_text())
    (incoming / "cut.fa.gz").write_bytes(b"\x1f\x8b\x08\x00 and no more")
    (incoming / "a.yaml").write_text(json.dumps({**entry, "name": "cut", "sequence": "cut.fa.gz"}))
    (incoming / "b.yaml").write_text("name: [")
    (incoming / "c.yaml").write_text("{name: later, sequence: cut.fa.gz, chain: align}")
    look(place)
    found = look(place)
    assert [found[name].status for name in ("cut", "b", "later")] == ["refused"] * 2 + ["waiting"]
    assert found["cut"].new
    assert append(place, found[entry["name"]])["status"] == "appended"
    assert not any(notice.new for notice in look(place).values())
    assert look(place, again=["cut"])["cut"].new
    with pytest.raises(ConfigError, match="lists no genome nothing"):
        look(place, again=["nothing"])


def test_a_killed_append_is_repeated_three_times_in_all(place: Path) -> None:
    (name,) = look(place)
    state = ArrivalState(load_project(place))
    for number in (1, 2, 3):
        notice = look(place)[name]
        assert (notice.status, notice.attempt) == ("append", number)
        with state.changing() as memory:
            memory.attempts[notice.digest] = Attempt(name, "appending", number, run="x")
        with exclusive_lock(state.appending(notice.digest)):
            assert look(place)[name].status == "appending"
    assert sensor.crashed_runs(load_project(place)) == ["x"]
    last = look(place)[name]
    assert (last.status, last.new) == ("given up", True)
    assert not look(place)[name].new
    assert look(place, again=[name])[name].attempt == 1


def test_failures_of_the_machine_are_repeated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = look(place)
    notice = look(place)[name]
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "add_genome", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            append(place, notice)
    again = look(place)[name]
    assert (again.status, again.attempt, again.message) == ("append", 2, "full")


def test_two_do_not_poll_at_once(place: Path) -> None:
    look(place)
    with polled(place, place / "incoming") as first:
        assert first is not None
        with polled(place, place / "incoming") as second:
            assert second is None
    # What it issued and did not begin is issued again, under the same number.
    (notice,) = look(place, ask=None).values()
    assert (notice.status, notice.attempt) == ("append", 1)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 2}', '{"version": 1, "seen": 3}'])
def test_a_damaged_state_is_one_line(place: Path, text: str) -> None:
    state = ArrivalState(load_project(place))
    state.folder.mkdir()
    state.file.write_text(text)
    with pytest.raises(StoreError, match=r"state\.json: damaged"):
        look(place)


def test_history_changes_no_digest(place: Path) -> None:
    path = next((place / "store").glob("*.zarr"))
    digest = open_store(path).digest
    entry = {"what": "rows changed", "before": 0.25}
    assert [record_history(path, [entry]) for _ in range(2)] == [1, 0]
    assert history_of(path) == [entry]
    assert open_store(path).digest == digest
