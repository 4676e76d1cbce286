"""Stores in Icechunk repositories: each state once, whole, and readable for ever."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr

from flows.cli import main
from ssldata.base.errors import InputError, MissingInputError, StoreError
from ssldata.building.add_remove_genomes import remove_genome, unyank_genome, yank_genome
from ssldata.checking.validate import validate_store
from ssldata.sharing import publish_icechunk as module
from ssldata.sharing.publish_icechunk import publish
from ssldata.store.icechunk_repository import Address, address_of
from ssldata.store.published_weights import publish_weights, read_published, remove_weights
from ssldata.store.store import Store, open_store


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


def chunks(repository: Path) -> set[str]:
    return {item.name for item in (repository / "chunks").iterdir()}


def test_only_what_changed_is_written_and_every_state_stays(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    first = publish(path, place)
    assert (first["status"], first["kept"], first["removed"]) == ("published", [], [])
    assert first["written"] == sorted(open_store(path).ledger)
    assert first["tag"] == open_store(path).digest
    written = chunks(place)

    again = publish(path, place)
    assert (again["status"], again["written"], again["files"]) == ("unchanged", [], 0)

    yank_genome(path, "relative2")
    second = publish(path, place)
    assert (second["written"], second["removed"]) == ([], ["homologs/relative2"])
    assert second["left_out"] == ["homologs/relative2"]
    assert chunks(place) == written

    unyank_genome(path, "relative2")
    remove_genome(path, "relative1")
    third = publish(path, place)
    assert third["written"] == ["homologs/relative2"]
    assert third["removed"] == ["homologs/relative1"]
    assert third["kept"] == ["homologs/relative3", "reference"]

    for state, genomes in ((first, "123"), (second, "13"), (third, "23")):
        store = open_store(state["address"])
        assert store.digest == state["tag"]
        assert store.genomes == [f"relative{number}" for number in genomes]
        report = validate_store(store, deep=True)
        assert (report.problems, report.warnings) == ([], [])
    assert open_store(f"icechunk://{place}").digest == third["tag"]
    assert open_store(f"icechunk://{place}@{first['tag'][:9]}").digest == first["tag"]
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(place)))
    commits = list(repository.ancestry(branch="main"))[:-1]
    assert [commit.metadata["digest"] for commit in commits] == [
        state["tag"] for state in (third, second, first)
    ]


def test_what_was_published_are_the_bytes_of_the_folder(path: Path, tmp_path: Path) -> None:
    publish(path, tmp_path / "repository")
    storage = icechunk.local_filesystem_storage(str(tmp_path / "repository"))
    session = icechunk.Repository.open(storage).readonly_session("main")
    group = zarr.open_group(session.store, mode="r")  # as anyone reads it, without crosslabel
    ours = zarr.open_group(path, mode="r")
    names = [name for name, item in ours.members(max_depth=None) if isinstance(item, zarr.Array)]
    assert len(names) > 40
    for name in names:
        assert (group[name][:] == ours[name][:]).all(), name


def test_a_state_comes_back(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    first = publish(path, place)
    yank_genome(path, "relative2")
    publish(path, place)
    unyank_genome(path, "relative2")
    assert publish(path, place)["status"] == "published"
    assert open_store(f"icechunk://{place}").digest == first["tag"]
    assert open_store(first["address"]).digest == first["tag"]


def test_weights_make_another_state_of_the_same_rows(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    without = publish(path, place)
    store = open_store(path)
    group = "homologs/relative1"
    publish_weights(
        path,
        "mine",
        {group: np.full(store.group(group).rows, 0.5, np.float32)},
        contents={group: store.ledger[group]["content"]},
        provenance={"run": "abc"},
    )
    given = publish(path, place)
    assert (given["status"], given["written"]) == ("published", [group])
    assert given["tag"].startswith(f"{store.digest}-")
    assert set(read_published(open_store(given["address"]), "mine")) == {group}
    for address in (without["address"], f"icechunk://{place}@{store.digest[:9]}"):
        assert open_store(address).weights == {}
    remove_weights(path, "mine")
    assert publish(path, place)["tag"] == store.digest
    assert open_store(f"icechunk://{place}").weights == {}


def test_a_cut_publication_leaves_no_trace(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "repository"
    yank_genome(path, "relative2")
    before = publish(path, place)
    unyank_genome(path, "relative2")
    really = Path.read_bytes

    def read(file: Path) -> bytes:
        if "relative2/sequence/c" in str(file):
            raise OSError(5, "Input/output error", str(file))
        return really(file)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        with pytest.raises(OSError, match="Input/output"):
            publish(path, place)
    assert open_store(f"icechunk://{place}").digest == before["tag"]
    assert publish(path, place)["written"] == ["homologs/relative2"]
    assert validate_store(open_store(f"icechunk://{place}"), deep=True).valid


def test_one_of_two_writers_is_refused_and_nothing_is_lost(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "repository"
    publish(path, place)
    yank_genome(path, "relative2")
    really = module.members_of

    def members(store: Store) -> Iterator[tuple[str, Path]]:
        storage = icechunk.local_filesystem_storage(str(place))
        other = icechunk.Repository.open(storage).writable_session("main")
        zarr.open_group(other.store, path="meanwhile", mode="w")
        other.commit("another writer")
        return really(store)

    with monkeypatch.context() as patch:
        patch.setattr(module, "members_of", members)
        with pytest.raises(StoreError, match="published meanwhile; nothing was changed"):
            publish(path, place)
    assert open_store(f"icechunk://{place}").genomes == ["relative1", "relative2", "relative3"]
    publish(path, place)
    assert open_store(f"icechunk://{place}").genomes == ["relative1", "relative3"]


@pytest.mark.parametrize(
    ("text", "place", "tag"),
    [
        ("data/repo", "data/repo", None),
        ("icechunk://data/repo@ab12", "data/repo", "ab12"),
        ("icechunk:///me@home/repo", "/me@home/repo", None),
        ("s3://bucket/a/b/", "s3://bucket/a/b", None),
        ("icechunk+s3://bucket/a@ab12", "s3://bucket/a", "ab12"),
    ],
)
def test_addresses(text: str, place: str, tag: str | None) -> None:
    address = address_of(text)
    assert address == Address(place, tag)
    assert address_of(str(address)) == address


def test_what_cannot_be_published_or_opened(
    path: Path, built_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "repository"
    publish(path, place)
    with pytest.raises(StoreError, match="holds the store of alpha"):
        publish(built_world / "store" / "beta.zarr", place)
    with pytest.raises(StoreError, match="something other than an Icechunk repository"):
        publish(built_world / "store" / "beta.zarr", path)
    with pytest.raises(InputError, match="inside the store"):
        publish(path, path / "repository")
    with pytest.raises(InputError, match="leave out @…"):
        publish(path, f"icechunk://{place}@abcdefg")
    with pytest.raises(StoreError, match=r"no tags start with 'abcdefg'; there are [0-9a-f]{12}$"):
        open_store(f"icechunk://{place}@abcdefg")
    with pytest.raises(MissingInputError, match="no Icechunk repository there"):
        open_store(f"icechunk://{tmp_path}/nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(StoreError, match="names no repository"):
        open_store("icechunk://")
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(StoreError, match=r"pip install 'crosslabel\[icechunk\]'$"):
        open_store(f"icechunk://{place}")


def test_the_command(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "repository"
    command = ["store", "share", str(path)]
    assert main([*command, "--icechunk", str(place), "--licence", "CC0-1.0"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith(f"icechunk://{place}@{open_store(path).digest}: ")
    assert "wrote homologs/relative1, homologs/relative2" in said.out
    assert said.err == ""
    assert main([*command, "--icechunk", str(place)]) == 0
    assert "published already, nothing written" in capsys.readouterr().out
    assert main(["store", "validate", f"icechunk://{place}", "--deep"]) == 0
    for wrong in ([], ["--zip", "a.zip", "--icechunk", str(place)]):
        assert main([*command, *wrong]) == 2
        assert "either --zip FILE or --icechunk PLACE" in capsys.readouterr().err
