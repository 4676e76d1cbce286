"""Files that appear whole or not at all, and digests of their content."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from ssldata.base import cache_folder
from ssldata.base.cache_folder import CACHE_VARIABLE, cache_dir, file_digest
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
    """Change a file but neither its size nor its modification time."""
    stat = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_digest_is_remembered_until_the_file_looks_changed(file: Path) -> None:
    first = file_digest(file)
    assert first == sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    change_unseen(file)
    assert file_digest(file) == first  # not read again
    file.write_text(">chr1\nACGTA\n")
    assert file_digest(file) == sha256_of(file) != first


def test_verify_reads_the_file_and_corrects_what_is_remembered(file: Path) -> None:
    first = file_digest(file)
    change_unseen(file)
    assert file_digest(file, verify=True) == sha256_of(file) != first
    assert file_digest(file) == sha256_of(file)


def test_a_link_and_its_file_share_a_digest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = file_digest(file)
    link = file.with_name("link.fa")
    link.symlink_to(file)

    def unexpected(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(cache_folder, "sha256_of", unexpected)
    assert file_digest(link) == digest


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"path": "elsewhere", "sha256": "0"}'])
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
