"""Damage to any file of a store is without effect, or an error of one line that names the place.

Every file of a built store is damaged: bits are flipped at places drawn with a seed; the file is
cut, emptied, removed, replaced by a folder. What is read then is what was there before, or it is a
``StoreError``. The commands are run on a file of each kind (all files in the slow test), and on
roots of odd shapes with a valid checksum, as a stranger might make them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


def told(call: Callable[[], Any]) -> Any:
    """Return the value of a call, or the one line of its error."""
    try:
        return call()
    except StoreError as exc:
        return str(exc)


def is_told(found: Any, *words: str) -> bool:
    return isinstance(found, str) and "\n" not in found and all(word in found for word in words)


@pytest.mark.slow
def test_every_chunk(path: Path) -> None:
    """The root has not changed, so that one open store sees the damage to every chunk."""
    store, rng = open_store(path), random.Random(1)
    chunks = [file for file in files_of(path) if file.name != "zarr.json"]
    assert len(chunks) > 50
    for file in chunks:
        name, data = array_of(file, path), file.read_bytes()
        before = values(store, name)
        damages = [*COARSE.values()]
        damages += [lambda file, d=data: file.write_bytes(flipped(d, rng))] * PLACES
        for damage in damages:
            with damaged(file, damage):
                # Some bits of a Blosc header mean nothing; the checksum sees them as well.
                assert is_told(told(lambda n=name: values(store, n)), str(path), name), file
        assert values(store, name) == before


@pytest.mark.parametrize("place", ["zip", "http"])
@pytest.mark.parametrize("damage", ["a bit", "missing"])
def test_chunks_of_other_places(place: str, damage: str, path: Path, tmp_path: Path) -> None:
    shutil.copytree(path, tmp_path / "alpha.zarr")
    store, rng = open_store(path), random.Random(5)
    files = [file for file in files_of(path) if file.name != "zarr.json"]
    files = [path / kind for kind in KINDS if "/c/" in kind] + rng.sample(files, 5)
    names = [file.relative_to(path).as_posix() for file in files]
    share_zip(tmp_path / "alpha.zarr", tmp_path / "whole.zip")
    with (
        zipfile.ZipFile(tmp_path / "whole.zip") as whole,
        zipfile.ZipFile(tmp_path / "alpha.zip", "w") as archive,
    ):
        for member in whole.infolist():
            data = whole.read(member)
            if member.filename in names:
                data = flipped(data, rng)
                (tmp_path / "alpha.zarr" / member.filename).write_bytes(data)
                if damage == "missing":
                    (tmp_path / "alpha.zarr" / member.filename).unlink()
                    continue
            archive.writestr(member, data)
    with RangeServer([tmp_path / "alpha.zarr"]) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address[:2]
        url = f"http://{host!s}:{port}/alpha.zarr"
        there = open_store(tmp_path / "alpha.zip" if place == "zip" else url)
        assert there.digest == store.digest
        arrays = {array_of(file, path) for file in files}
        for name in arrays:  # the sources are read together
            found = told(lambda n=name: values(there, n))
            assert is_told(found, "alpha."), name
            assert any(one in found for one in arrays)
        server.shutdown()
        thread.join()


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
    flips = [lambda file: file.write_bytes(flipped(data, rng))] * 20 * PLACES
    for damage in [*COARSE.values(), *flips]:
        with damaged(file, damage):
            found = told(lambda: open_store(path).attributes)
            if found == attributes:  # white space
                assert json.loads(file.read_bytes()) == json.loads(data)
            else:
                assert is_told(found, str(path))


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
        if file.is_file() and not file.name.startswith("alpha.zip")
    }


def outcomes(world: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Run the commands that read a store; return their exit codes, after a look at their words."""
    store, codes = world / "store" / "alpha.zarr", {}
    for name, arguments in {
        "inspect": ["store", "inspect", str(store)],
        "validate": ["store", "validate", str(store), "--deep"],
        "build": ["build", str(world), "-e", "alpha"],
        "share": ["store", "share", str(store), "--zip", str(out / "alpha.zip")],
        "export": ["store", "export", str(store), str(out), "--format", "bed"],
    }.items():
        codes[name] = main(arguments)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "bug" not in said, said
        if codes[name] == 2:
            assert said.count("error:") == 1, said
    return codes


def is_same_json(file: Path, data: bytes) -> bool:
    with contextlib.suppress(ValueError):
        return bool(json.loads(file.read_bytes()) == json.loads(data))
    return False


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
            if not is_same_json(path / name, data):  # other white space, or mended: see below
                assert codes["validate"] in (2, 4), (name, codes)
                assert codes["share"] == 2, (name, codes)
            if codes["export"] == 0:
                assert digest_of_folder(tmp_path / "out") == expected, name
            mended = name == "homologs/zarr.json"  # it says nothing: the next build makes it again
            found = digest_of_folder(path)
            # Nothing is written over other damage.
            assert found == spoilt or (mended and found == before), name
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert digest_of_folder(path) == before


def test_commands_on_a_file_of_each_kind(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_commands(KINDS, world, tmp_path, capsys)


@pytest.mark.parametrize("name", ["reference/label/c/0/0", "reference/sequence_codes/c/0/0"])
def test_training_on_damage(name: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    with damaged(
        world / "store" / "alpha.zarr" / name,
        lambda file: file.write_bytes(flipped(file.read_bytes(), rng)),
    ):
        assert main(["train", str(world), "-e", "alpha", "-m", "cnn-7k", "-r", "ssl"]) == 2
    said = capsys.readouterr().err
    assert said.count("error:") == 1
    assert name.split("/c/")[0] in said
    assert not list((world / "runs").rglob("*.keras"))


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_commands_on_every_file(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world / "store" / "alpha.zarr"
    files = ["zarr.json", *(file.relative_to(path).as_posix() for file in files_of(path))]
    check_commands(files, world, tmp_path, capsys)


# -- roots of odd shapes -------------------------------------------------------------------------

ODD: list[Any] = [
    None,
    [],
    {},
    "",
    "7",
    0,
    -1,
    1.5,
    True,
    10**30,
    [1, 2],
    {"a": 1},
    ["x"],
    "\ud800",
]


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the parts of a JSON value are; of a list the first three."""
    parts = value.items() if isinstance(value, dict) else []
    parts = enumerate(value[:3]) if isinstance(value, list) else parts
    for key, part in parts:
        yield (*at, key)
        yield from paths_in(part, (*at, key))


def check_odd_roots(
    number: int, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rng = world / "store" / "alpha.zarr", random.Random(6)
    root = json.loads((path / "zarr.json").read_bytes())
    everywhere = list(paths_in(root))
    ours = [place for place in everywhere if place[:2] == ("attributes", "crosslabel")]

    def spoil(root: dict[str, Any]) -> None:
        *inner, key = rng.choice(rng.choice([ours, everywhere]))
        part = root
        for name in inner:
            part = part[name]
        if isinstance(part, dict) and rng.random() < 0.2:
            del part[key]
        else:
            part[key] = rng.choice(ODD)

    def as_of_1_0(root: dict[str, Any]) -> None:
        spoil(root)
        with contextlib.suppress(TypeError, KeyError):
            root["attributes"]["crosslabel"]["format_version"] = "1.0"
            del root["attributes"]["crosslabel"]["checksum"]

    def damage(file: Path) -> None:
        del file
        try:
            edit_root(path, spoil)
        except (TypeError, KeyError, UnicodeEncodeError):
            edit_root(path, as_of_1_0, sealed=False)

    for _ in range(number):
        with damaged(path / "zarr.json", damage):
            assert set(outcomes(world, tmp_path / "out", capsys).values()) <= {0, 2, 4}
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_roots_of_odd_shapes(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_odd_roots(12, world, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_many_roots_of_odd_shapes(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_odd_roots(1000, world, tmp_path, capsys)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"7", b"\xff", b"[" * 200_000, b'{"attributes":' * 50_000, b"1" * 10_000]
)
def test_a_root_that_is_no_root(
    text: bytes, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = world / "store" / "alpha.zarr" / "zarr.json"
    with damaged(root, lambda file: file.write_bytes(text)):
        assert set(outcomes(world, tmp_path / "out", capsys).values()) == {2}
