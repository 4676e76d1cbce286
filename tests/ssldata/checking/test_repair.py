"""Damaged groups, and nothing else, are written again to the bytes they had."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_store import edit_root

from flows.cli import main
from ssldata.base.errors import StoreError
from ssldata.building import build_store
from ssldata.building.add_remove_genomes import yank_genome
from ssldata.checking.repair import take_out_damaged
from ssldata.checking.validate import validate_store
from ssldata.store.store import ATTRIBUTE, open_store


def files(folder: Path) -> dict[str, tuple[str, int]]:
    """Return sha256 and modification time of every file of a store."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a bit of a column": ("reference/start/c/0", flip, "reference"),
    "a bit of a shard": ("homologs/relative1/sequence/c/0/0/0", flip, "homologs/relative1"),
    "a shard": ("homologs/relative2/sequence_codes/c/0/0", Path.unlink, "homologs/relative2"),
    "metadata": ("homologs/relative3/zarr.json", lambda p: p.write_text("{"), "homologs/relative3"),
    "metadata of the sources": ("sources/zarr.json", lambda p: p.write_text(""), "reference"),
}


def test_what_is_damaged_is_written_again_and_nothing_else(
    built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tmp_path / "world"
    shutil.copytree(built_world, world)
    assert main(["build", str(world), "-e", "alpha", "--repair"]) == 0
    assert "damaged" not in capsys.readouterr().err
    store = world / "store" / "alpha.zarr"
    for kind, (name, damage, group) in DAMAGE.items():
        before = files(store)
        damage(store / name)
        report = validate_store(open_store(store), deep=True)
        assert {"reference" if p.group == "sources" else p.group for p in report.problems} == {
            group
        }, kind
        assert main(["build", str(world), "-e", "alpha", "--repair"]) == 0
        assert f"{group} is damaged and will be rewritten" in capsys.readouterr().err
        after = files(store)
        assert {key: value[0] for key, value in after.items()} == {
            key: value[0] for key, value in before.items()
        }, kind
        touched = {key for key in after if after[key][1] != before.get(key, ("", 0))[1]}
        own = ("sources/",) if group == "reference" else ()
        assert all(key.startswith((f"{group}/", *own, "zarr.json")) for key in touched), kind


def test_a_repair_that_is_cut_goes_on_and_keeps_the_genomes(
    built_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = tmp_path / "world"
    shutil.copytree(built_world, world)
    store = world / "store" / "alpha.zarr"
    yank_genome(store, "relative2")
    before = files(store)
    flip(store / "reference" / "start" / "c" / "0")

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_store, "write_group", cut)
        assert main(["build", str(world), "-e", "alpha", "--repair"]) == 130
    with pytest.raises(StoreError, match="not complete"):
        open_store(store)
    # With other settings the build would start over, and lose the genomes: only if asked.
    settings = (world / "project.yaml").read_text()
    raw = yaml.safe_load(settings)
    raw["store"] = {**raw.get("store", {}), "seed": 99}
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    taken_out = files(store)
    assert main(["build", str(world), "-e", "alpha"]) == 2
    assert "was built from other inputs or settings" in capsys.readouterr().err
    assert files(store) == taken_out
    (world / "project.yaml").write_text(settings)
    assert main(["build", str(world), "-e", "alpha"]) == 0
    assert open_store(store).ledger["homologs/relative2"]["status"] == "yanked"
    after = files(store)
    assert {key: value[0] for key, value in after.items()} == {
        key: value[0] for key, value in before.items()
    }
    assert all(after[key] == before[key] for key in after if key.startswith("homologs/"))


def test_a_damaged_store_of_other_settings_is_not_rebuilt_unasked(
    built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tmp_path / "world"
    shutil.copytree(built_world, world)
    flip(world / "store" / "alpha.zarr" / "reference" / "start" / "c" / "0")
    raw = yaml.safe_load((world / "project.yaml").read_text())
    raw["store"] = {**raw.get("store", {}), "seed": 99}
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    before = files(world / "store" / "alpha.zarr")
    assert main(["build", str(world), "-e", "alpha", "--repair"]) == 2
    assert "damaged and were built from other inputs or settings" in capsys.readouterr().err
    assert files(world / "store" / "alpha.zarr") == before


def test_a_wrong_ledger_and_no_store(built_world: Path, tmp_path: Path) -> None:
    path = tmp_path / "alpha.zarr"
    assert take_out_damaged(path, "digest") == []
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    content = open_store(path).ledger["reference"]["content"]

    def edit(root: dict[str, Any]) -> None:
        entry = root["attributes"][ATTRIBUTE]["ledger"]["reference"]
        entry["content"] = content[::-1]

    edit_root(path, edit)
    with pytest.raises(StoreError, match="its ledger is wrong"):
        take_out_damaged(path, "digest")
