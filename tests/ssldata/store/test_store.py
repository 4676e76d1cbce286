"""The store: readable by plain xarray, whole or not at all, refused when it is not ours."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from small_store import edit_root, write_store

from ssldata.base.errors import MissingInputError, StoreError
from ssldata.genomes.onehot import one_hot
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import ATTRIBUTE, RowGroup, Store, open_store
from ssldata.store.store_writer import (
    CHUNKS_PER_SHARD,
    StoreWriter,
    chunk_rows,
    remove_tree,
    shard_count,
    write_shard,
    writer_lock,
)


@pytest.fixture
def store_path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own to spoil."""
    path = tmp_path / "own.zarr"
    shutil.copytree(next((built_world / "store").glob("*.zarr")), path)
    return path


@pytest.mark.parametrize(
    ("length", "rows"), [(200, 4096), (1000, 1024), (1, 1_048_576), (2_000_000, 1)]
)
def test_chunks_are_powers_of_two_below_the_limit(length: int, rows: int) -> None:
    assert chunk_rows(length) == rows


def test_xarray_reads_any_group_without_a_warning(store_path: Path) -> None:
    tree = xr.open_datatree(store_path, engine="zarr")
    assert "reference" in tree.children
    for group in ("reference", "sources", f"homologs/{open_store(store_path).genomes[0]}"):
        data = xr.open_zarr(store_path, group=group)
        assert data.sizes
    reference = xr.open_zarr(store_path, group="reference")
    assert reference["sequence"].dims == ("row", "position", "base")
    assert reference["label"].dims == ("row", "experiment")


def test_one_hot_and_codes_agree(store_path: Path) -> None:
    group = open_store(store_path).group("reference")
    codes, hot = group.codes(0, 50), group.one_hot(0, 50)
    assert (hot.sum(-1) == (codes < 4)).all()
    assert (hot.argmax(-1) == codes)[codes < 4].all()


def test_a_store_without_codes_reads_the_same(store_path: Path) -> None:
    with_codes = open_store(store_path).group("reference").codes(3, 40)
    shutil.rmtree(store_path / "reference" / "sequence_codes")
    codes = "reference/sequence_codes"
    edit_root(store_path, lambda root: root["consolidated_metadata"]["metadata"].pop(codes))
    assert (open_store(store_path).group("reference").codes(3, 40) == with_codes).all()


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_are_those_of_zarr_python(store_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(
        store_path, copy, ignore=shutil.ignore_patterns("*.csv", "*.md", "croissant.json")
    )
    zarr.consolidate_metadata(copy)
    theirs, ours = (json.loads((path / "zarr.json").read_text()) for path in (copy, store_path))
    assert ours == theirs


def test_consolidated_metadata_is_fresh_and_lists_complete_groups_only(store_path: Path) -> None:
    root = json.loads((store_path / "zarr.json").read_text())
    listed = set(root["consolidated_metadata"]["metadata"])
    on_disk = {str(p.parent.relative_to(store_path)) for p in store_path.rglob("zarr.json")} - {"."}
    assert listed == on_disk
    genome = open_store(store_path).genomes[0]
    writer = StoreWriter(store_path)
    writer.set_entry(f"homologs/{genome}", {"status": "writing", "digest": "x"})
    root = json.loads((store_path / "zarr.json").read_text())
    assert not any(genome in key for key in root["consolidated_metadata"]["metadata"])


def test_readers_see_complete_genomes_only(store_path: Path) -> None:
    genomes = open_store(store_path).genomes
    before = open_store(store_path).digest
    StoreWriter(store_path).begin(f"homologs/{genomes[0]}", "x")
    store = open_store(store_path)
    assert store.genomes == genomes[1:]
    assert store.digest != before
    with pytest.raises(StoreError, match="is not complete"):
        store.homologues(genomes[0])


def test_reference_cut_half_way_is_said(store_path: Path) -> None:
    StoreWriter(store_path).set_entry("reference", {"status": "writing", "digest": "x"})
    with pytest.raises(StoreError, match="run `crosslabel build` again"):
        open_store(store_path)


def test_other_things_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such store"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a crosslabel store"):
        open_store(tmp_path / "other")
    with pytest.raises(StoreError, match="move it away"):
        StoreWriter(tmp_path / "other").attributes()
    zarr.create_group(store=tmp_path / "foreign.zarr", attributes={"someone": "else"})
    with pytest.raises(StoreError, match="not a crosslabel store"):
        open_store(tmp_path / "foreign.zarr")


def test_a_newer_major_format_is_refused(store_path: Path) -> None:
    root = json.loads((store_path / "zarr.json").read_text())
    root["attributes"][ATTRIBUTE]["format_version"] = "2.0"
    (store_path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(StoreError, match=r"store format 2\.0, this release reads 1\.x"):
        open_store(store_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda ledger: None, "ledger is not a mapping"),
        (lambda ledger: [], "ledger is not a mapping"),
        (lambda ledger: {**ledger, "homologs/x": None}, "ledger homologs/x is not a mapping"),
        (lambda ledger: {**ledger, "homologs/x": {}}, "ledger homologs/x has no status"),
        (lambda ledger: {"reference": {"status": "complete"}}, "entry reference has no digest"),
        (lambda ledger: {"reference": {**ledger["reference"], "rows": "9"}}, 'rows is "9"'),
        (lambda ledger: {"reference": {**ledger["reference"], "rows": True}}, "rows is true"),
    ],
)
def test_a_damaged_ledger_is_one_line(store_path: Path, change, told: str) -> None:
    def edit(root: dict[str, Any]) -> None:
        root["attributes"][ATTRIBUTE]["ledger"] = change(root["attributes"][ATTRIBUTE]["ledger"])

    edit_root(store_path, edit)
    with pytest.raises(StoreError, match=f"its root zarr.json is damaged \\(.*{told}"):
        open_store(store_path)


def test_a_newer_minor_format_is_read_and_keeps_its_number(store_path: Path) -> None:
    edit_root(store_path, lambda root: root["attributes"][ATTRIBUTE].update(format_version="1.17"))
    assert open_store(store_path).experiments
    StoreWriter(store_path).set_entry("homologs/x", {"status": "writing", "digest": "x"})
    assert open_store(store_path).attributes["format_version"] == "1.17"


# -- a store that is replaced while it is read ---------------------------------------------------

ROWS = {"reference": (0, 150, 20, 29), "homologs/a": (3, 2, 0, 0)}
READ: dict[str, Callable[[RowGroup], object]] = {
    "codes": lambda rows: ChunkReader(rows).codes(0, 3),
    "codes through zarr": lambda rows: rows.codes(0, 3),
    "one-hot": lambda rows: rows.one_hot(0, 3),
    "a column": lambda rows: rows.column("start"),
    "part of a column": lambda rows: rows.column_part("label", 0, 3),
}


@pytest.mark.parametrize("group", ROWS)
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("form", ["folder", "zip", "gone"])
def test_rows_of_two_stores_are_never_mixed(
    form: str, read: str, group: str, tmp_path: Path
) -> None:
    """Files that were not open yet hold sound rows of another store."""
    path = tmp_path / "s.zarr"
    write_store(path, rows=ROWS)
    store = open_store(path)
    if form == "zip":
        store = open_store(zipped(path, tmp_path / "s.zip"))
    rows = store.group(group)
    shutil.rmtree(path)
    if form != "gone":
        write_store(path, rows=ROWS, seed=1)
    if form == "zip":
        zipped(path, tmp_path / "s.zip")
    with pytest.raises(StoreError, match="replaced while it was read"):
        READ[read](rows)


def zipped(folder: Path, out: Path) -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return out


def test_a_chunk_that_was_indexed_before_is_not_that_of_the_new_store(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s.zarr", rows=ROWS)
    reader = ChunkReader(store.group("reference"))
    reader.codes(0, 3)
    shutil.rmtree(tmp_path / "s.zarr")
    write_store(tmp_path / "s.zarr", rows=ROWS, seed=1)
    for first in (0, 60, 150):
        with pytest.raises(StoreError, match="reference has been replaced while it was read"):
            reader.codes(first, first + 3)


def test_other_changes_of_a_store_do_not_disturb_its_readers(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s.zarr", rows=ROWS)
    writer = StoreWriter(tmp_path / "s.zarr")
    expected = store.group("reference").codes(0, 199)
    writer.remove("homologs/a")
    for change in range(3):
        writer.set_entry("homologs/b", {"status": "writing", "digest": str(change)})
        assert (ChunkReader(store.group("reference")).codes(0, 199) == expected).all()
    with pytest.raises(StoreError):
        store.homologues("a").codes(0, 5)


def test_only_whole_shards_are_written(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s.zarr")
    writer.create({"experiments": []})
    length = 1000
    shard = chunk_rows(length) * CHUNKS_PER_SHARD
    rows = shard + 100
    writer.write_arrays("g", {"start": np.arange(rows)}, dims={"start": ("row",)})
    writer.create_sequences("g", rows=rows, length=length, codes=True)
    assert shard_count(rows, length) == 2
    rng = np.random.default_rng(0)
    tail = rng.integers(0, 5, (100, length), dtype=np.uint8)
    write_shard(writer.path, "g", 1, tail)
    group = zarr.open_group(writer.path / "g", mode="r", use_consolidated=False)
    assert (np.asarray(group["sequence_codes"][shard:]) == tail).all()
    with pytest.raises(StoreError, match=f"shard 0 takes {shard} rows"):
        write_shard(writer.path, "g", 0, tail)


@pytest.mark.parametrize("length", [200, 1001])
def test_shards_are_the_bytes_zarr_would_write(length: int, tmp_path: Path) -> None:
    """Whole and part chunks, a chunk of zeros (all N, or all A), N here and there."""
    shard = chunk_rows(length) * CHUNKS_PER_SHARD
    rows = shard + chunk_rows(length) + 3
    rng = np.random.default_rng(length)
    codes = rng.integers(0, 5, (rows, length), dtype=np.uint8)
    codes[: chunk_rows(length)] = 4
    codes[chunk_rows(length) : 2 * chunk_rows(length)] = 0
    for name in ("ours", "zarrs"):
        writer = StoreWriter(tmp_path / f"{name}.zarr")
        writer.create({"experiments": []})
        writer.write_arrays("g", {"start": np.arange(rows)}, dims={"start": ("row",)})
        writer.create_sequences("g", rows=rows, length=length, codes=True)
    ours, zarrs = tmp_path / "ours.zarr", tmp_path / "zarrs.zarr"
    for number in range(shard_count(rows, length)):
        write_shard(ours, "g", number, codes[number * shard : (number + 1) * shard])
    group = zarr.open_group(zarrs / "g", mode="r+", use_consolidated=False)
    with zarr.config.set({"array.write_empty_chunks": True}):
        group["sequence"][...] = one_hot(codes)
        group["sequence_codes"][...] = codes
    read = zarr.open_group(ours / "g", mode="r", use_consolidated=False)
    assert (np.asarray(read["sequence"][...]) == one_hot(codes)).all()
    assert (np.asarray(read["sequence_codes"][...]) == codes).all()
    files = sorted(f.relative_to(zarrs) for f in (zarrs / "g").rglob("*") if f.is_file())
    assert files == sorted(f.relative_to(ours) for f in (ours / "g").rglob("*") if f.is_file())
    for file in files:
        assert (ours / file).read_bytes() == (zarrs / file).read_bytes(), file


def test_groups_are_the_bytes_zarr_would_write(tmp_path: Path) -> None:
    """Parents too; attributes are added to those that are there."""
    parts = {"contigs": ["chr1", "chrµ"], "sizes": [1, 2]}, {}, {"sizes": [3], "share": 0.5}
    ours, theirs = StoreWriter(tmp_path / "ours.zarr"), tmp_path / "theirs.zarr"
    ours.create({"experiments": []})
    group = zarr.create_group(theirs).require_group("homologs/a")
    for attributes in parts:
        ours.write_arrays("homologs/a", {}, dims={}, attributes=attributes)
        group.attrs.update(attributes)
    for name in ("homologs/zarr.json", "homologs/a/zarr.json"):
        assert (ours.path / name).read_bytes() == (theirs / name).read_bytes()


def test_a_shard_of_zeros_has_its_file(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s.zarr")
    writer.create({"experiments": []})
    writer.write_arrays("g", {"start": np.arange(3)}, dims={"start": ("row",)})
    writer.create_sequences("g", rows=3, length=10, codes=True)
    write_shard(writer.path, "g", 0, np.full((3, 10), 4, np.uint8))
    assert (writer.path / "g" / "sequence" / "c" / "0" / "0" / "0").is_file()
    assert (writer.path / "g" / "sequence_codes" / "c" / "0" / "0").is_file()


def _hold(path: Path, ready: Event, release: Event) -> None:
    with writer_lock(path):
        ready.set()
        release.wait()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[BaseProcess, Event]]:
    """Return a process that holds the lock of a store, and what makes it let go."""
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "s.zarr", ready, release))
    process.start()
    assert ready.wait(120)
    yield process, release
    process.kill()
    process.join()


def test_a_second_writer_waits(
    tmp_path: Path, holder: tuple[BaseProcess, Event], caplog: pytest.LogCaptureFixture
) -> None:
    _, release = holder
    entered = threading.Event()

    def second() -> None:
        with writer_lock(tmp_path / "s.zarr"):
            entered.set()

    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    while "another process is writing" not in caplog.text:
        time.sleep(0.01)
    assert not entered.is_set()
    release.set()
    assert entered.wait(120)


def test_the_lock_of_a_killed_writer_is_free(
    tmp_path: Path, holder: tuple[BaseProcess, Event], caplog: pytest.LogCaptureFixture
) -> None:
    process, _ = holder
    process.kill()
    process.join()
    with writer_lock(tmp_path / "s.zarr"):
        assert caplog.text == ""  # nothing to wait for


def test_leftovers_are_swept(store_path: Path) -> None:
    (store_path / "reference" / "zarr.json.abc.partial").write_text("x")
    (store_path / ".homologs.1.deleting").mkdir()
    StoreWriter(store_path).sweep()
    assert not list(store_path.rglob("*.partial"))
    assert not list(store_path.rglob("*.deleting"))


def test_metadata_of_the_folder_of_homologues_are_made_anew(store_path: Path) -> None:
    file = store_path / "homologs" / "zarr.json"
    before = file.read_bytes()
    for damage in (file.unlink, lambda: file.write_text("{")):
        damage()
        StoreWriter(store_path).sweep()
        assert file.read_bytes() == before
    changed = file.stat().st_mtime_ns
    StoreWriter(store_path).sweep()
    assert file.stat().st_mtime_ns == changed


def test_remove_tree_of_nothing(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_groups_know_their_rows(store_path: Path) -> None:
    store: Store = open_store(store_path)
    group: RowGroup = store.group("reference")
    assert group.rows == store.ledger["reference"]["rows"] == len(group.column("start"))
    ends = [group.ranges[k] for k in ("positive", "negative", "validation", "test")]
    assert ends[0][0] == 0
    assert ends[-1][1] == group.rows
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
