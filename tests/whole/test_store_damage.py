"""Damage to any file of a store is without effect, or an error that names the place; in one line.

Every file of a built store is damaged: bits are flipped at places drawn with a seed, and the file is
cut, emptied, removed, replaced by a folder. What is read then is what was there before, or it is a
``StoreError``. The commands are run on a file of each kind (all files in the slow test).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import edit_root

from flows.cli import main
from ssldata.base.errors import StoreError
from ssldata.checking.ledger_checks import check_metadata
from ssldata.sharing.range_server import RangeServer
from ssldata.sharing.zip_store import share_zip
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import Store, open_store

#: Bits flipped in each file.
PLACES = 20


@pytest.fixture(scope="module")
def world(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a built project of its own; every test leaves it as it was."""
    folder = tmp_path_factory.mktemp("damage") / "world"
    shutil.copytree(built_world, folder)
    return folder


@pytest.fixture(scope="module")
def path(world: Path) -> Path:
    return world / "store" / "alpha.zarr"


def files_of(path: Path) -> list[Path]:
    """Return every file that a reader may read: all but the card."""
    return sorted(file for file in path.rglob("*") if file.is_file() and file.parent != path)


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@contextlib.contextmanager
def damaged(file: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    """Damage a file, and put it back."""
    data = file.read_bytes()
    try:
        damage(file)
        yield
    finally:
        if file.is_dir():
            file.rmdir()
        file.write_bytes(data)


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


COARSE: dict[str, Callable[[Path], None]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0\0\0\0"),
    "empty": lambda file: file.write_bytes(b""),
    "missing": Path.unlink,
    "a folder": as_folder,
}


def array_of(file: Path, path: Path) -> str:
    """Return the array that a chunk or the metadata of an array belong to."""
    parts = list(file.relative_to(path).parts[:-1])
    return "/".join(parts[: parts.index("c")] if "c" in parts else parts)


def values(store: Store, name: str) -> list[bytes]:
    """Return the values of one array, in each of the ways in which it is read."""
    group, _, array = name.rpartition("/")
    if group == "sources":
        return [store.sources()[array].tobytes()]
    if group.endswith("/liftover"):
        group, array = group.removesuffix("/liftover"), f"liftover/{array}"
    rows = store.group(group)
    if array == "sequence_codes":
        direct = ChunkReader(rows).codes(0, rows.rows)
        return [direct.tobytes(), rows.codes(0, rows.rows).tobytes()]
    if array == "sequence":
        return [rows.one_hot(0, rows.rows).tobytes()]
    count = rows.rows if "/" not in array else len(store.sources()["start"])
    return [rows.column_part(array, 0, count).tobytes()]


def test_every_chunk(path: Path) -> None:
    """The root has not changed, so that one open store sees the damage to every chunk."""
    store, rng, found = open_store(path), random.Random(1), 0
    chunks = [file for file in files_of(path) if file.name != "zarr.json"]
    assert len(chunks) > 50
    for file in chunks:
        name, data = array_of(file, path), file.read_bytes()
        before = values(store, name)
        damages = [*COARSE.values()]
        damages += [lambda file, d=data: file.write_bytes(flipped(d, rng))] * PLACES
        for damage in damages:
            with damaged(file, damage):
                try:
                    assert values(store, name) == before, file
                except StoreError as exc:
                    assert name in str(exc)
                    assert "\n" not in str(exc)
                    found += 1
        assert values(store, name) == before
    # A few bits of a Blosc header mean nothing; the checksum sees them as well.
    assert found == len(chunks) * (PLACES + len(COARSE))


def test_metadata_beside_the_chunks(path: Path) -> None:
    """Readers take the copy in the root; what differs from it is found by `store validate`."""
    rng = random.Random(2)
    described = [file for file in files_of(path) if file.name == "zarr.json"]
    assert len(described) > 50
    arrays = [array_of(f, path) for f in described if json.loads(f.read_bytes()).get("shape")]
    before = {name: values(open_store(path), name) for name in arrays}
    for number in range(PLACES + len(COARSE)):
        wrong = {"nothing"}
        with contextlib.ExitStack() as stack:
            for file in described:
                whole = file.read_bytes()
                damage = [*COARSE.values(), lambda f, w=whole: f.write_bytes(flipped(w, rng))]
                stack.enter_context(damaged(file, damage[min(number, len(COARSE))]))
                same = False
                if file.is_file():
                    with contextlib.suppress(ValueError):
                        same = json.loads(file.read_bytes()) == json.loads(whole)
                wrong |= set() if same else {file.parent.relative_to(path).as_posix()}
            store = open_store(path)
            said = {message.split(":")[0] for _, (_, message) in check_metadata(store)}
            for name in wrong - {"nothing"}:
                assert [words for words in said if name in words], name
            name = rng.choice(arrays)
            assert values(store, name) == before[name]


def test_the_root(path: Path) -> None:
    rng, file = random.Random(3), path / "zarr.json"
    data, attributes = file.read_bytes(), open_store(path).attributes
    for damage in [
        *COARSE.values(),
        *[lambda file: file.write_bytes(flipped(data, rng))] * 400,
    ]:
        with damaged(file, damage):
            try:
                assert open_store(path).attributes == attributes
                assert json.loads(file.read_bytes()) == json.loads(data)
            except StoreError as exc:
                assert str(path) in str(exc)
                assert "\n" not in str(exc)


# -- commands ------------------------------------------------------------------------------------

KINDS = [
    "zarr.json",
    "reference/zarr.json",
    "homologs/zarr.json",
    "homologs/relative1/start/zarr.json",
    "reference/label/c/0/0",
    "reference/sequence/c/0/0/0",
    "homologs/relative1/sequence_codes/c/0/0",
    "sources/start/c/0",
    "homologs/relative2/liftover/status/c/0",
]


def digest_of_folder(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def outcomes(world: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Run the commands that read a store; return their exit codes, after a look at their words."""
    store, codes = world / "store" / "alpha.zarr", {}
    for name, arguments in {
        "inspect": ["store", "inspect", str(store)],
        "validate": ["store", "validate", str(store), "--deep"],
        "build": ["build", str(world), "-e", "alpha"],
        "export": ["store", "export", str(store), str(out), "--format", "bed"],
    }.items():
        codes[name] = main(arguments)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "bug" not in said, said
        if codes[name] == 2:
            assert said.count("error:") == 1, said
    return codes


def check_commands(
    files: list[str], world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world / "store" / "alpha.zarr"
    codes = outcomes(world, tmp_path / "whole", capsys)
    assert set(codes.values()) == {0}, codes
    expected, before = digest_of_folder(tmp_path / "whole"), digest_of_folder(path)
    rng = random.Random(4)
    for name in files:
        data = (path / name).read_bytes()
        with damaged(path / name, lambda file, d=data: file.write_bytes(flipped(d, rng))):
            spoilt = digest_of_folder(path)
            codes = outcomes(world, tmp_path / "out", capsys)
            assert set(codes.values()) <= {0, 2, 4}, name
            assert codes["validate"] in (2, 4), name
            if codes["export"] == 0:
                assert digest_of_folder(tmp_path / "out") == expected, name
            assert digest_of_folder(path) == spoilt, name  # nothing is written over the damage
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert digest_of_folder(path) == before


def test_commands_on_a_file_of_each_kind(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_commands(KINDS, world, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_commands_on_every_file(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world / "store" / "alpha.zarr"
    files = ["zarr.json", *(file.relative_to(path).as_posix() for file in files_of(path))]
    check_commands(files, world, tmp_path, capsys)
