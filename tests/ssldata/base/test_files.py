"""Files that appear whole or not at all, and digests of their content."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssldata.base import cache_folder
from ssldata.base.cache_folder import CACHE_VARIABLE, cache_dir, file_digest, file_key
from ssldata.base.errors import ConfigError
from ssldata.base.files import (
    atomic_path,
    digest_of,
    expanded,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_replaces_the_old_one_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_text_atomic(path, "old")
    with path.open() as reader:
        write_text_atomic(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("named", "expected"), [(None, "file"), ("temporary", "file"), ("other", "other")]
)
def test_a_failure_names_the_file_that_could_not_be_written(
    tmp_path: Path, named: str | None, expected: str
) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "file") as temporary:
            temporary.touch()
            name = temporary if named == "temporary" else tmp_path / "other"
            raise OSError(errno.ENOSPC, "No space left on device", named and str(name))

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.filename == str(tmp_path / expected)
    assert not list(tmp_path.iterdir())


def test_the_data_reach_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "file", []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        assert not path.exists()
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text_atomic(path, "text")
    assert synced == [path.stat().st_ino]


def test_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [letter * 100_000 for letter in "abcdefgh"]
    threads = [threading.Thread(target=write_text_atomic, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_equal_values_give_equal_bytes_and_digests(tmp_path: Path) -> None:
    one, two = {"b": 1, "a": {"d": "ä", "c": [1]}}, {"a": {"c": [1], "d": "ä"}, "b": 1}
    for name, value in (("one", one), ("two", two)):
        write_json_atomic(tmp_path / name, value)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert digest_of(one) == digest_of(two)
    assert digest_of(one) != digest_of({**one, "b": 2})
    # Stored in ledgers: this value may never change.
    text = '{"a":{"c":[1],"d":"ä"},"b":1}'
    assert digest_of(one) == hashlib.sha256(text.encode("utf-8")).hexdigest()


# -- digests remembered in the cache -------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file, with a cache of its own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\nACGT\n")
    return path


def change_unseen(path: Path) -> None:
    """Change all of a file but neither its size nor its modification time."""
    stat = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def change_byte(position: int) -> Callable[[Path], None]:
    """Return what changes one byte of a file, and neither its size nor its modification time."""

    def change(path: Path) -> None:
        stat = path.stat()
        with path.open("r+b") as handle:
            handle.seek(position, os.SEEK_SET if position >= 0 else os.SEEK_END)
            handle.write(b"#")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    return change


def replace_by_its_copy(path: Path) -> None:
    stat = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


LARGE = 3_000_001


@pytest.mark.parametrize("size", [1, 4096, 70_000, 64 * 4096, 64 * 4096 + 1, LARGE])
@pytest.mark.parametrize(
    "change",
    [change_unseen, change_byte(0), change_byte(-1), replace_by_its_copy, Path.touch],
    ids=["all", "first", "last", "another file", "time"],
)
def test_no_digest_outlives_its_file(file: Path, size: int, change: Callable[[Path], None]) -> None:
    content = bytearray(bytes(range(65, 91)) * (size // 26 + 1))[:size]
    file.write_bytes(content)
    keys = {file_key(file)}
    assert file_digest(file) == hashlib.sha256(content).hexdigest()
    change(file)
    keys.add(file_key(file))
    assert len(keys) == 2
    assert file_digest(file) == sha256_of(file)


@pytest.fixture
def frozen_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files look as if no time passed and none was replaced; only content tells them apart."""

    def fstat(descriptor: int) -> SimpleNamespace:
        size = really(descriptor).st_size
        return SimpleNamespace(st_size=size, st_mtime_ns=1, st_ctime_ns=1, st_ino=1)

    really = os.fstat
    monkeypatch.setattr(cache_folder.os, "fstat", fstat)


@pytest.mark.usefixtures("frozen_times")
def test_content_decides_even_where_no_time_changes(file: Path) -> None:
    rng = random.Random(1)
    file.write_bytes(rng.randbytes(LARGE))
    first = file_key(file)
    for change in (change_unseen, change_byte(100), change_byte(-100)):
        before = file_key(file)
        change(file)
        assert file_key(file) != before
    change_unseen(file)
    assert file_key(file) != first
    # A change of 5 % of a file in one place is found wherever it is.
    whole = file.read_bytes()
    before = file_key(file)
    for start in range(0, LARGE, LARGE // 50):
        end = min(start + LARGE // 20, LARGE)
        file.write_bytes(whole[:start] + rng.randbytes(end - start) + whole[end:])
        assert file_key(file) != before


@pytest.mark.usefixtures("frozen_times")
def test_verify_reads_the_whole_file_and_corrects_what_is_remembered(file: Path) -> None:
    content = bytes(LARGE)
    file.write_bytes(content)
    first, key = file_digest(file), file_key(file)
    unsampled = next(at for at in range(5000, LARGE, 999) if sees_no(file, key, at))
    change_byte(unsampled)(file)
    assert file_digest(file) == first  # what a sample cannot see
    assert file_digest(file, verify=True) == sha256_of(file) != first
    assert file_digest(file) == sha256_of(file)


def sees_no(file: Path, key: str, position: int) -> bool:
    """Return whether the key of a file of zeros stays when a byte changes; leave the file as is."""
    change_byte(position)(file)
    same = file_key(file) == key
    file.write_bytes(bytes(LARGE))
    return same


def test_a_key_costs_no_more_for_a_large_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file.open("r+b") as handle:
        handle.truncate(3 * 2**30)
    read = []
    pread = os.pread

    def counted(descriptor: int, size: int, position: int) -> bytes:
        read.append(position)
        return pread(descriptor, size, position)

    monkeypatch.setattr(cache_folder.os, "pread", counted)
    file_key(file)
    assert len(read) == 64
    assert read == sorted(read)
    assert (read[0], read[-1]) == (0, 3 * 2**30 - 4096)
    assert max(b - a for a, b in itertools.pairwise(read)) < 2 * 3 * 2**30 // 64


def test_a_link_and_its_file_share_a_digest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = file_digest(file)
    link = file.with_name("link.fa")
    link.symlink_to(file)

    def unexpected(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(cache_folder, "sha256_of", unexpected)
    assert file_digest(link) == digest


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"path": "elsewhere", "digest": "0"}'])
def test_a_damaged_note_is_made_again(file: Path, damage: str) -> None:
    digest = file_digest(file)
    (note,) = cache_dir("hashes").iterdir()
    note.write_text(damage)
    assert file_digest(file) == digest
    assert file_digest(file) == digest
    assert digest in note.read_text()


def test_a_cache_that_cannot_be_made_is_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(file))
    with pytest.raises(ConfigError, match=rf"^{file}/hashes: .*; set {CACHE_VARIABLE} to a folder"):
        cache_dir("hashes")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a/b", "a/b"),
        ("~/b", "/home/me/b"),
        ("~", "/home/me"),
        ("a/~/b", "a/~/b"),
        ("$X/b", "one/b"),
        ("${X}b", "oneb"),
        ("a$X.bed", "aone.bed"),
        ("a$", "a$"),
        ("$1", "$1"),
        ("${X", "${X"),
        ("$EMPTY/a", "/a"),
    ],
)
def test_paths_are_expanded_as_a_shell_does(
    written: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOME", "/home/me"), ("X", "one"), ("EMPTY", "")):
        monkeypatch.setenv(name, value)
    assert expanded(written) == Path(meant)
    assert expanded(Path(written)) == Path(meant)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match=r"^\$NOT_SET/a: the variable NOT_SET is not set$"):
        expanded("$NOT_SET/a")


def test_only_what_dead_processes_left_of_a_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with atomic_path(path) as own:
        host = own.name.removeprefix(f"{path.name}.").partition("-")[0]
        names = {
            f"{path.name}.{host}-{ended.pid}-0a0a0a.partial": False,
            f"{path.name}.{host}-{os.getpid()}-0a0a0a.partial": True,  # another thread's
            f"{path.name}.{host}-1-0a0a0a.partial": True,
            f"{path.name}.{'0' * 8}-{ended.pid}-0a0a0a.partial": True,  # of another machine
            f"b.txt.{host}-{ended.pid}-0a0a0a.partial": True,
            f"{path.name}.notes.partial": True,
        }
        for name in names:
            (tmp_path / name).touch()
        own.write_text("first")
    with atomic_path(path) as own:
        own.write_text("second")
    assert path.read_text() == "second"
    assert {name: (tmp_path / name).exists() for name in names} == names
