"""Teacher weights: versions of a run; published in a store whole or not at all, never stale."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from small_store import write_store

from ssldata.base.errors import ConfigError, MissingInputError, StoreError
from ssldata.building.add_remove_genomes import remove_genome, unyank_genome, yank_genome
from ssldata.checking.store_diff import diff_stores
from ssldata.checking.validate import validate_store
from ssldata.project.project_file import load_project
from ssldata.reading.noisy_weights import Weights
from ssldata.sharing.zip_store import members_of, share_zip
from ssldata.store import published_weights
from ssldata.store.published_weights import (
    publish_weights,
    read_published,
    remove_weights,
    stale_groups,
)
from ssldata.store.run_weights import iterations_of, kept_weights, read_weights, write_weights
from ssldata.store.store import Store, open_store
from ssldata.store.store_writer import StoreWriter

A, B = "homologs/a", "homologs/b"
MADE_BY = {"run": "abc", "iteration": 2}


# Versions of a run ------------------------------------------------------------------------------


def test_every_iteration_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "weights.zarr"
    with pytest.raises(MissingInputError, match="no weights of iteration 1; found none"):
        read_weights(path, 1)
    versions = {k: {A: np.linspace(0, 1 / k, 5).astype(np.float32)} for k in (1, 2, 10)}
    for k, arrays in versions.items():
        write_weights(path, k, arrays, {"iteration": k})
    assert iterations_of(path) == [1, 2, 10]
    for k, arrays in versions.items():
        found, made_by = read_weights(path, k)
        np.testing.assert_array_equal(found[A], arrays[A])
        assert made_by == {"iteration": k}
    # Readable by whoever has zarr, from the top.
    assert zarr.open_group(path, mode="r")["iteration-10/homologs/a"].shape == (5,)
    shutil.copytree(path / "iteration-1", path / "iteration-3.123.partial")  # a killed writer's
    write_weights(path, 2, {B: np.zeros(1, np.float32)}, {"iteration": 2, "again": True})
    assert not list(path.glob("*.partial"))
    assert set(read_weights(path, 2)[0]) == {B}
    with pytest.raises(MissingInputError, match="iteration 3; found 1, 2, 10"):
        read_weights(path, 3)


def test_only_weights_of_the_same_origin_are_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "weights.zarr"
    assert kept_weights(path, 1, MADE_BY) is None
    write_weights(path, 1, {A: np.ones(3, np.float32)}, MADE_BY)
    assert set(kept_weights(path, 1, dict(MADE_BY)) or {}) == {A}
    assert kept_weights(path, 1, {**MADE_BY, "run": "other"}) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [([0, np.nan], "row 1 of homologs/a is nan"), ([[1, 1], [0, 1.5]], "row 1 .* is 1.5")],
)
def test_weights_out_of_range(values: list[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{words}, expected 0 to 1"):
        write_weights(tmp_path / "w", 1, {A: np.array(values, np.float32)}, {})
    assert not (tmp_path / "w").exists()


# In a store -------------------------------------------------------------------------------------


def tree(path: Path) -> dict[str, str]:
    """Return the sha256 of every file of a store."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = {"reference": (0, 30, 5, 5), A: (20, 0, 0, 4), B: (9, 0, 1, 1)}
    return write_store(tmp_path / "s.zarr", rows=rows)


@pytest.fixture
def path(store: Store) -> Path:
    return Path(store.location)


def arrays_of(store: Store, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(store.group(name).rows, np.float32) for name in (A, B)}


def contents_of(store: Store) -> dict[str, str]:
    return {name: store.ledger[name]["content"] for name in (A, B)}


def publish(store: Store, name: str = "mine", seed: int = 0, **options: Any) -> dict[str, Any]:
    return publish_weights(
        Path(store.location),
        name,
        arrays_of(store, seed),
        contents=contents_of(store),
        provenance=MADE_BY,
        **options,
    )


def test_published_weights_are_read_by_name(store: Store, path: Path) -> None:
    with pytest.raises(StoreError, match=r"no weights 'mine' .* found none; .*weights publish RUN"):
        Weights.published(store, "mine")
    before, digest = tree(path), store.digest
    assert publish(store)["status"] == "published"
    after = tree(path)
    # Nothing but the root's metadata and the new arrays.
    assert {name for name in before if after[name] != before[name]} == {"zarr.json"}
    assert all("/weights/" in name for name in after.keys() - before.keys())
    again = open_store(path)
    assert again.digest == digest
    assert {k: again.weights["mine"][k] for k in MADE_BY} == MADE_BY
    weights = Weights.published(again, "mine", noise_sd=0.5)
    assert weights.noise_sd == 0.5
    for name, values in arrays_of(store).items():
        np.testing.assert_array_equal(weights.arrays[name], values)
        # The documented place, with plain zarr and the consolidated metadata.
        array = zarr.open_group(path, mode="r", use_consolidated=True)[f"{name}/weights/mine"]
        assert (array.dtype, array.metadata.dimension_names) == (np.float32, ("row",))
        np.testing.assert_array_equal(array[:], values)
    assert set(read_published(again, "mine", [A])) == {A}
    with pytest.raises(StoreError, match=r"no weights 'other' .* found mine"):
        Weights.published(again, "other")


def test_publishing_and_removing_leave_the_store_as_it_was(store: Store, path: Path) -> None:
    before = tree(path)
    publish(store, "one")
    one = tree(path)
    publish(store, "two", seed=1)
    remove_weights(path, "two")
    assert tree(path) == one
    remove_weights(path, "one")
    assert tree(path) == before
    with pytest.raises(StoreError, match="no weights 'one'"):
        remove_weights(path, "one")


def test_the_same_name_twice(store: Store, path: Path) -> None:
    publish(store)
    first = tree(path)
    assert publish(store)["status"] == "unchanged"
    with pytest.raises(StoreError, match=r"as 'mine' \(iteration 2, run abc\).*--replace"):
        publish(store, seed=1)
    assert tree(path) == first
    before = open_store(path)
    found = diff_stores(store, before)
    assert (found["same"], found["weights"]) == (False, {"mine": [None, "published"]})
    assert publish(store, seed=1, replace=True)["status"] == "published"
    found = diff_stores(before, open_store(path))
    assert not found["same"]
    assert set(found["weights"]) == {f"mine.groups.{name}.sha256" for name in (A, B)}
    np.testing.assert_array_equal(
        read_published(open_store(path), "mine")[A], arrays_of(store, 1)[A]
    )


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "zarr.json/x"])
def test_names_are_plain(store: Store, path: Path, name: str) -> None:
    before = tree(path)
    with pytest.raises(ConfigError, match="a name is letters, digits"):
        publish(store, name)
    assert tree(path) == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("at", range(6))
def test_a_kill_leaves_no_half_version(
    store: Store, path: Path, at: int, replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before any of the writer's steps: readers see a whole version or none."""
    if replace:
        publish(store)
    clean = tree(path)
    steps = iter(range(99))

    def dying(genuine: Any) -> Any:
        def step(*args: Any, **options: Any) -> Any:
            if next(steps) == at:
                raise Killed
            return genuine(*args, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("write_arrays", "announce_weights", "_sweep_weights"):
            patch.setattr(StoreWriter, name, dying(getattr(StoreWriter, name)))
        patch.setattr(published_weights, "sync_tree", dying(published_weights.sync_tree))
        with pytest.raises(Killed):
            publish(store, seed=1, replace=replace)
    seen = open_store(path)
    if "mine" in seen.weights:
        np.testing.assert_array_equal(read_published(seen, "mine")[B], arrays_of(store)[B])
    else:
        assert not [name for name, _ in members_of(seen) if "weights" in name]
    assert publish(store, seed=1, replace=replace)["status"] == "published"
    whole = tree(path)
    remove_weights(path, "mine")
    publish(store, seed=1)
    assert tree(path) == whole
    remove_weights(path, "mine")
    assert tree(path) == clean or replace


def test_weights_of_other_rows_are_refused(store: Store, path: Path) -> None:
    arrays, contents = arrays_of(store), contents_of(store)
    options: dict[str, Any] = {"contents": contents, "provenance": MADE_BY}
    with pytest.raises(StoreError, match=r"rows of homologs/b are not those .*train their run"):
        publish_weights(path, "w", arrays, contents={**contents, B: "old"}, provenance=MADE_BY)
    with pytest.raises(StoreError, match="rows of homologs/a are not those"):
        publish_weights(path, "w", {A: arrays[A][:-1]}, **options)
    with pytest.raises(StoreError, match="has no complete homologs/c"):
        publish_weights(
            path, "w", {"homologs/c": arrays[A]}, contents={"homologs/c": ""}, provenance=MADE_BY
        )
    with pytest.raises(StoreError, match=r"weights w: weight of row 3 .* expected 0 to 1"):
        publish_weights(path, "w", {A: np.where(np.arange(24) == 3, 2, arrays[A])}, **options)
    with pytest.raises(StoreError, match="not a local store"):
        publish_weights(path / "none", "w", arrays, **options)
    assert not open_store(path).weights


def test_weights_go_stale_with_their_rows(store: Store, path: Path) -> None:
    publish(store)
    writer = StoreWriter(path)
    entry = writer.ledger()[B]
    writer.set_entry(B, {**entry, "content": "new rows"})
    seen = open_store(path)
    assert stale_groups(seen, "mine") == [B]
    with pytest.raises(StoreError, match=r"'mine' are stale: homologs/b has other rows"):
        Weights.published(seen, "mine")
    assert set(Weights.published(seen, "mine", [A]).arrays) == {A}
    with pytest.raises(StoreError, match=r"'mine' leave out homologs/new"):
        Weights.published(seen, "mine", [A, "homologs/new"])


def test_weights_of_a_group_built_anew_are_gone_though_its_rows_are_the_same(
    store: Store, path: Path
) -> None:
    publish(store)
    whole, kept = tree(path), path.parent / "kept"
    shutil.copytree(path / B, kept, ignore=shutil.ignore_patterns("weights"))
    writer = StoreWriter(path)
    entry = writer.ledger()[B]
    writer.begin(B, "d")
    kept.rename(path / B)
    writer.complete(B, entry)
    with pytest.raises(StoreError, match="'mine' are stale: homologs/b"):
        Weights.published(open_store(path), "mine")
    assert publish(store)["status"] == "published"
    assert tree(path) == whole


def test_damaged_weights_are_refused(store: Store, path: Path) -> None:
    publish(store)
    group = zarr.open_group(path / A, mode="r+", use_consolidated=False)
    group["weights/mine"][3] = 0.5
    with pytest.raises(StoreError, match="'mine' of homologs/a are damaged"):
        Weights.published(open_store(path), "mine")
    os.truncate(next((path / A / "weights/mine/c").rglob("0")), 20)
    with pytest.raises(StoreError, match="'mine' of homologs/a are damaged"):
        Weights.published(open_store(path), "mine")


# On a built store -------------------------------------------------------------------------------


def test_weights_in_the_life_of_a_store(built_world: Path, tmp_path: Path) -> None:
    path = tmp_path / "alpha.zarr"
    shutil.copytree(load_project(built_world).store_path("alpha"), path)
    store = open_store(path)
    first, second, *_ = store.genomes
    groups = [f"homologs/{name}" for name in store.genomes]
    publish_weights(
        path,
        "mine",
        {name: np.full(store.group(name).rows, 0.5, np.float32) for name in groups},
        contents={name: store.ledger[name]["content"] for name in groups},
        provenance=MADE_BY,
    )
    assert validate_store(open_store(path)).valid
    # Damage that not even decodes is that of the weights: a repair leaves the rows alone.
    chunk = path / groups[0] / "weights" / "mine" / "c" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    assert {p.check for p in validate_store(open_store(path)).problems} == {"weights"}
    chunk.write_bytes(whole)
    # From afar, where nothing can be listed.
    share_zip(path, tmp_path / "alpha.zip")
    arrays = read_published(open_store(tmp_path / "alpha.zip"), "mine")
    assert {name: len(values) for name, values in arrays.items()} == {
        name: store.group(name).rows for name in groups
    }
    # Other rows: said, not wrong, and of no concern to the other genomes.
    yank_genome(path, first)
    remove_genome(path, second)
    report = validate_store(open_store(path))
    notes = [item.message for item in report.warnings if item.check == "weights"]
    assert notes == [
        f"mine were made for other rows of homologs/{first}, homologs/{second}; not used"
    ]
    assert report.valid
    assert read_published(open_store(path), "mine", groups[2:])
    unyank_genome(path, first)
    assert read_published(open_store(path), "mine", groups[:1])
    # What no reader sees is a leftover; what readers see must be what was published.
    shutil.copytree(path / groups[0] / "weights" / "mine", path / groups[0] / "weights" / "torn")
    report = validate_store(open_store(path))
    assert report.valid
    assert f"{groups[0]}/weights/torn: not published" in str(report.warnings)
    group = zarr.open_group(path / groups[0], mode="r+", use_consolidated=False)
    group["weights/mine"][0] = 1.5
    messages = [item.message for item in validate_store(open_store(path)).problems]
    assert messages[0].startswith("weights/mine not in [0, 1]")
    assert messages[1] == "weights/mine are not those that were published"
    remove_weights(path, "mine")
    assert not list(path.rglob("weights"))
