"""The cache: deleted at any moment, read-only, of other users, or nowhere; the results stay."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from kill_tools import without_cache
from twobit_tools import twobit

from ssldata.base.cache_folder import CACHE_VARIABLE, PRIVATE_VARIABLE, file_digest
from ssldata.base.errors import MissingInputError
from ssldata.building.build_store import build_project
from ssldata.building.dask_pool import Pool, open_pool
from ssldata.chains.chain_index import load_chain
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import load_project


class _Deleter:
    """Deletes the cache before its so-manieth use, counted over this process.

    A use is an event of Python's audit of a path in the cache: opening, renaming, making a folder.
    """

    cache: Path | None = None  # None: inactive
    moments: Sequence[int] = ()
    uses = 0

    @classmethod
    def hook(cls, event: str, arguments: tuple[Any, ...]) -> None:
        cache = cls.cache
        if cache is None or event not in {
            "open",
            "os.rename",
            "os.mkdir",
            "os.utime",
            "os.scandir",
        }:
            return
        if not str(arguments[0]).startswith(str(cache)):
            return
        cls.uses += 1
        if cls.uses in cls.moments:
            cls.cache = None  # what deletes is no use
            shutil.rmtree(cache, ignore_errors=True)
            cls.cache = cache


sys.addaudithook(_Deleter.hook)


@contextlib.contextmanager
def deleted(cache: Path, moments: Sequence[int]) -> Iterator[None]:
    """Delete the cache before each of the given uses of it."""
    _Deleter.cache, _Deleter.moments, _Deleter.uses = cache, moments, 0
    try:
        yield
    finally:
        _Deleter.cache = None


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own-cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def world(small_world: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    shutil.copytree(small_world, folder)
    return folder


def same_stores(one: Path, other: Path) -> None:
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in (folder / "store").rglob("*")
            if path.is_file() and path.suffix != ".lock"
        }
        for folder in (one, other)
    ]
    assert files[0] == files[1]


SEQUENCES = {"chrI": "ACGTNacgtn" * 30, "chrII": "GGCA" * 40}


def fasta(*, ragged: bool) -> bytes:
    width = iter(range(3, 10**6)) if ragged else itertools.repeat(60)
    lines = []
    for name, bases in SEQUENCES.items():
        lines.append(f">{name}")
        while bases:
            size = next(width)
            lines.append(bases[:size])
            bases = bases[size:]
    return "\n".join([*lines, ""]).encode()


def genome(path: Path) -> Any:
    opened = open_genome(path)
    codes = [opened.codes(contig).tolist() for contig in opened.names]
    return opened.names, opened.sizes.tolist(), codes, opened.digest


def genome_in_two_processes(path: Path) -> Any:
    """What a worker does: the parent opens the file, the worker opens it once more."""
    return genome(pickle.loads(pickle.dumps(open_genome(path))).path)


def chain(path: Path) -> Any:
    index = load_chain(path)
    return index.digest, [
        getattr(index, f.name).tolist() for f in fields(index) if f.type == "Int32Array"
    ]


#: What is read through the cache: content of a file, and what reads it.
READ: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "FASTA": (fasta(ragged=False), genome),
    "ragged FASTA": (fasta(ragged=True), genome),
    "gzip": (gzip.compress(fasta(ragged=False)), genome),
    "ragged gzip": (gzip.compress(fasta(ragged=True)), genome_in_two_processes),
    "2bit in gzip": (gzip.compress(twobit(SEQUENCES)), genome),
    "verified": (
        gzip.compress(fasta(ragged=True)),
        lambda path: open_genome(path, verify=True).digest,
    ),
    "chain": (b"chain 1 a 90 + 0 50 b 90 - 10 60 7\n20\t1\t1\n29\n", chain),
    "digest": (b"any file", file_digest),
}


@pytest.mark.parametrize("kind", READ)
def test_the_cache_may_be_deleted_before_any_use_of_it(
    kind: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, read = READ[kind]
    path = tmp_path / "input"
    path.write_bytes(content)
    with deleted(cache, ()):
        expected = read(path)
    uses = _Deleter.uses
    assert uses >= 4
    for moment in range(1, uses + 2):
        for filled in (False, True):
            shutil.rmtree(cache, ignore_errors=True)
            if filled:
                read(path)
            with deleted(cache, [moment]):
                assert read(path) == expected, moment
    # Again and again: in the end a private folder is used.
    monkeypatch.delenv(PRIVATE_VARIABLE, raising=False)
    with deleted(cache, range(1, 10**6)):
        assert read(path) == expected


def test_builds_end_in_the_same_bytes_when_the_cache_is_deleted(
    world: Path, built_world: Path, cache: Path
) -> None:
    project = load_project(world)
    with deleted(cache, ()):
        build_project(project)
    uses = _Deleter.uses
    assert uses > 100
    for moments in ([uses // 3], range(3, uses, 40)):
        shutil.rmtree(cache)
        shutil.rmtree(world / "store")
        with deleted(cache, moments):
            build_project(project)
        same_stores(world, built_world)


class _DeletingPool:
    """Deletes the cache in a worker before every task, and in this process after it."""

    def __init__(self, pool: Pool, cache: Path) -> None:
        self.pool, self.cache = pool, cache

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        calls = [(str(self.cache), function, *item) for item in arguments]
        for result in self.pool.map(without_cache, calls):
            shutil.rmtree(self.cache, ignore_errors=True)
            yield result


def test_workers_do_without_the_cache(world: Path, built_world: Path, cache: Path) -> None:
    with open_pool(workers=2) as pool:
        build_project(load_project(world), pool=_DeletingPool(pool, cache))
    same_stores(world, built_world)


def test_a_missing_input_is_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no file of the cache, whose absence would make the cache a temporary one."""
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingInputError, match=r"gone\.fa: no such file"):
        open_genome(tmp_path / "gone.fa").names  # noqa: B018 - it is read when it is asked for
    assert os.environ["CROSSLABEL_CACHE"] == str(tmp_path / "cache")
    assert not caplog.records
