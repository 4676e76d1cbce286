"""What readers are shown is on the disk first: a chunk lost in a power cut would read as zeros."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from disk_log import DiskLog, disk_log
from small_store import write_store

from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
from ssldata.store.published_weights import publish_weights
from ssldata.store.run_weights import write_weights
from ssldata.store.store import ATTRIBUTE, WEIGHTS, open_store

HALF = {"homologs/a": np.full(2, 0.5, np.float32)}


def test_a_group_is_on_the_disk_before_the_ledger_calls_it_complete(
    small_world: Path, tmp_path: Path
) -> None:
    world = tmp_path / "world"
    shutil.copytree(small_world, world)
    lost: dict[str, list[Path]] = {}
    nameless: list[Path] = []
    roots: dict[Path, int] = {}

    def check(log: DiskLog, old: Path, new: Path) -> None:
        if new.name != "zarr.json" or new.parent.suffix != ".zarr":
            return
        store = new.parent
        roots[new] = store.stat().st_ino
        nameless.extend(log.unflushed(old))
        ledger = json.loads(old.read_bytes())["attributes"][ATTRIBUTE]["ledger"]
        for name, entry in ledger.items():
            if entry["status"] == "complete" and f"{store.name}/{name}" not in lost:
                found = log.unflushed_below(store / name)
                if name == "reference":
                    found += log.unflushed_below(store / "sources")
                else:
                    found += log.unflushed(store / "homologs", store / "homologs/zarr.json")
                lost[f"{store.name}/{name}"] = found

    with disk_log(check) as log:
        build_project(load_project(world), workers=0)
    stores = [open_store(path) for path in (world / "store").glob("*.zarr")]
    assert stores
    assert lost == {f"{Path(s.location).name}/{name}": [] for s in stores for name in s.ledger}
    assert nameless == []
    # The ledger itself: its new name is on the disk before anything else happens.
    for number, event in enumerate(log.events):
        if event[0] == "rename" and event[2] in roots:
            assert log.events[number + 1] == ("fsync", roots[event[2]])


def test_published_weights_are_on_the_disk_before_they_have_an_entry(tmp_path: Path) -> None:
    rows = {"reference": (2, 2, 0, 0), "homologs/a": (2, 0, 0, 0)}
    store = write_store(tmp_path / "s.zarr", rows=rows)
    path, lost = Path(store.location), []

    def check(log: DiskLog, old: Path, new: Path) -> None:
        if WEIGHTS in json.loads(old.read_bytes())["attributes"].get(ATTRIBUTE, {}):
            lost.append(log.unflushed_below(path / "homologs/a" / WEIGHTS))

    contents = {"homologs/a": store.ledger["homologs/a"]["content"]}
    with disk_log(check):
        publish_weights(path, "w", HALF, contents=contents, provenance={})
    assert lost == [[]]


def test_weights_of_a_run_are_on_the_disk_before_they_have_their_name(tmp_path: Path) -> None:
    lost = []

    def check(log: DiskLog, old: Path, new: Path) -> None:
        if new.name == "iteration-1":
            lost.append(log.unflushed_below(old))

    with disk_log(check):
        write_weights(tmp_path / "weights.zarr", 1, HALF, {})
    assert lost == [[]]
