"""Damaged and oddly written files: the same result, or a refusal in one line.

Seeded: the same mutations on every machine; over 200 here, over 2,000 with `slow`.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import text_readers
from chain_tools import CHAINS
from fuzz_tools import (
    DAMAGE,
    ODD_TEXT,
    PACKED_DAMAGE,
    SAME_TEXT,
    Mutation,
    Refused,
    outcome,
    time_limit,
)
from text_readers import text_of
from twobit_tools import twobit

from flows.cli import main
from ssldata.chains.chain_index import load_chain
from ssldata.checking.validate import validate_store
from ssldata.genomes.genome import open_genome
from ssldata.project.genome_list import enter_genome, strike_genome
from ssldata.project.project_file import load_project
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import open_store
from ssldata.ucsc_tool.ucsc_command import main as liftover

#: Other ways to write the same text, and damage that a checksum shows: same result, or refused.
SAME = SAME_TEXT | PACKED_DAMAGE
#: May be a valid file of other content: any result.
OTHER = DAMAGE | ODD_TEXT
#: Changes the size of a file.
SHORTER = {name: DAMAGE[name] for name in ("cut", "cut_little", "hole", "empty")}


@dataclass(frozen=True)
class Case:
    """Something that reads one file.

    Attributes
    ----------
    file
        In the folder.
    read
        Folder → a value that equals another when the reader found the same.
    same, other
        Mutations after which the result must be the same; after which it may be another.
    """

    file: str
    read: Callable[[Path], Any]
    same: Mapping[str, Mutation]
    other: Mapping[str, Mutation]


def _hash(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{values.dtype.str} {values.shape}\n".encode() + values.tobytes())
    return digest.hexdigest()


def _lift(path: Path) -> None:
    """Run the drop-in command on a BED file, whose own rules differ from those of other readers."""
    chain = path.with_name("c.chain")
    chain.write_text(CHAINS)
    outputs = [str(path.with_name(name)) for name in ("new.bed", "lost.bed")]
    assert liftover([str(path), str(chain), *outputs, "-minMatch=0.1", "--quiet"]) in (0, 2)


def _edit(path: Path) -> None:
    enter_genome(path, {"name": "new", "sequence": "/a", "chain": "/b"})
    strike_genome(path, "R1")


def _case(read: Callable[[Path], Any], same: Mapping[str, Mutation]) -> Case:
    return Case("file", lambda folder: read(folder / "file"), same, OTHER)


_BED12 = b"tA\t110\t290\ta\t0\t+\t110\t290\t0\t2\t20,20,\t0,160,\n"

#: Reader → how it reads, and a sound file.
READERS: dict[str, tuple[Case, bytes]] = {
    **{
        name: (_case(reader.read, SAME), text_of(name).encode())
        for name, reader in text_readers.READERS.items()
    },
    "2bit": (
        _case(text_readers.genome, {}),
        twobit({"c1": "ACGT" * 50 + "NNacgtn" * 9, "c2": "ttACG"}),
    ),
    "liftover": (_case(_lift, {}), b"tA\t110\t290\ta\t0\t+\ntA\t150\t250\tb\t0\t-\n"),
    "liftover of blocks": (_case(_lift, {}), _BED12),
    "edited registry": (_case(_edit, {}), text_of("registry").encode()),
    "edited project": (_case(_edit, {}), text_of("project").encode()),
}


def _mutants(
    seed: str, sound: bytes, kinds: Mapping[str, Mutation], count: int
) -> list[tuple[str, bytes]]:
    """Return mutations of a file, every kind in turn; none that is the file itself."""
    found = []
    names = sorted(kinds)
    for number in range(count if names else 0):
        name = names[number % len(names)]
        data = kinds[name](random.Random(f"{seed} {number}"), sound)
        if data != sound:
            found.append((f"{name} {number}", data))
    return found


def _check(reader: Case, folder: Path, count: int) -> int:
    """Mutate a reader's file; return how often."""
    file = folder / reader.file
    whole = file.read_bytes()
    expected = outcome(lambda: reader.read(folder))
    assert not isinstance(expected, Refused), expected
    file.write_bytes(whole)  # some edit it
    tried = 0
    for kinds, may_change in ((reader.same, False), (reader.other, True)):
        for name, data in _mutants(reader.file, whole, kinds, count):
            file.write_bytes(data)
            try:
                found = outcome(lambda: reader.read(folder))
            except Exception as exc:
                exc.add_note(f"{reader.file}: {name}")
                raise
            if not may_change:
                refused = isinstance(found, Refused)
                assert refused or found == expected, f"{reader.file}: {name}: changed silently"
            tried += 1
    file.write_bytes(whole)
    assert reader.read(folder) == expected
    return tried


@pytest.mark.parametrize(
    ("times", "least"), [(12, 10), pytest.param(150, 120, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", READERS)
def test_inputs(
    name: str, times: int, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    case, text = READERS[name]
    (tmp_path / "file").write_bytes(text)
    assert _check(case, tmp_path, times) >= least


# -- stores --------------------------------------------------------------------------------------


def _rows(path: Path) -> Any:
    """Return all that readers get from a store, as `export` and training do."""
    store = open_store(path)
    found: dict[str, Any] = {"digest": store.digest, "weights": dict(store.weights)}
    for name in sorted(store.ledger):
        group = store.group(name)
        arrays = {key: group.column(key) for key in group.column_names()}
        codes = ChunkReader(group).codes(0, group.rows)
        found[name] = group.rows, group.ranges, group.contigs, _hash(codes, *arrays.values())
    return found


def _store_files(path: Path) -> list[Path]:
    """Return the files of a store that readers read: not those of the card."""
    cards = {"README.md", "croissant.json", "sources.csv", "card.html", "findings.json"}
    return sorted(f for f in path.rglob("*") if f.is_file() and f.name not in cards)


def _check_store(path: Path, count: int) -> int:
    expected = outcome(lambda: _rows(path))
    assert not isinstance(expected, Refused), expected
    files = _store_files(path)
    rng = random.Random("store")
    tried = 0
    for number in range(count):
        file = rng.choice(files)
        whole = file.read_bytes()
        name, mutate = rng.choice(sorted(DAMAGE.items()))
        data = mutate(rng, whole)
        kind = rng.randrange(12)
        if kind == 0:
            name = "missing"
            file.unlink()
        elif kind == 1:
            name = "folder"
            file.unlink()
            file.mkdir()
        elif kind == 2:
            name = "other file"
            file.write_bytes(rng.choice(files).read_bytes() if len(files) > 1 else b"")
        else:
            file.write_bytes(data)
        where = f"{file.relative_to(path)}: {name} {number}"
        try:
            found = outcome(lambda: _rows(path))
            report = outcome(lambda: validate_store(open_store(path), deep=True))
        except Exception as exc:
            exc.add_note(where)
            raise
        assert isinstance(found, Refused) or found == expected, f"{where}: changed silently"
        if isinstance(found, Refused):
            assert isinstance(report, Refused) or not report.valid, f"{where}: validated"
        if file.is_dir():
            file.rmdir()
        file.write_bytes(whole)
        tried += 1
    assert _rows(path) == expected
    return tried


@pytest.fixture
def store(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own."""
    return Path(shutil.copytree(built_world / "store" / "beta.zarr", tmp_path / "beta.zarr"))


def test_stores(store: Path) -> None:
    assert _check_store(store, 20) == 20


@pytest.mark.slow
def test_stores_at_length(store: Path) -> None:
    assert _check_store(store, 400) == 400


# -- the cache -----------------------------------------------------------------------------------


def _opened(folder: Path) -> Any:
    """Return what is read of inputs through every kind of cached file."""
    genomes = [
        open_genome(folder / "genomes" / name) for name in ("relative1.fa.gz", "relative2.fa")
    ]
    index = load_chain(folder / "chains" / "simrefToRelative1.chain")
    return (
        [(genome.names, genome.digest, _hash(genome.codes(0))) for genome in genomes],
        _hash(index.block_start, index.block_end, index.block_query, index.chain_strand),
    )


def _check_cache(folder: Path, cache: Path, count: int) -> None:
    expected = _opened(folder)
    files = sorted(file for file in cache.rglob("*") if file.is_file())
    assert len(files) >= 4
    rng = random.Random("cache")
    for number in range(count):
        file = rng.choice(files)
        if not file.is_file():
            _opened(folder)  # made again
        whole = file.read_bytes()
        # Other bases in an unpacked copy of the same size are found by `--verify-cache` only.
        kinds = DAMAGE if file.suffix != ".fa" else SHORTER
        name, mutate = rng.choice(sorted(kinds.items()))
        file.write_bytes(mutate(rng, whole) if number % 8 else b"{}")
        where = f"{file.relative_to(cache)}: {name} {number}"
        with time_limit():
            assert _opened(folder) == expected, where


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of its own."""
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache(small_world: Path, cache: Path) -> None:
    _check_cache(small_world, cache, 30)


@pytest.mark.slow
def test_the_cache_at_length(small_world: Path, cache: Path) -> None:
    _check_cache(small_world, cache, 300)


# -- runs ----------------------------------------------------------------------------------------


def _scores(folder: Path) -> Any:
    """Return what the model of a run gives, in the world it lies in."""
    from sslmodels.models.model_builder import load_model

    codes = np.random.default_rng(0).integers(0, 5, (4, 200)).astype(np.uint8)
    return _hash(load_model(folder / "run").predict(codes, verbose=0))


def _evaluation(folder: Path) -> Any:
    from sslmodels.evaluation.evaluate import evaluate_run, read_scores

    found = evaluate_run(folder / "run")
    return found["aupr"], _hash(*read_scores(folder / "run", "alpha"))


RUN_CASES = {
    "model": Case("run/model.keras", _scores, DAMAGE, {}),
    "run record": Case("run/run.json", _evaluation, {}, DAMAGE | ODD_TEXT),
    "scores": Case("run/evaluation/scores.csv.gz", _evaluation, DAMAGE, {}),
    "metrics": Case("run/evaluation/metrics.json", _evaluation, {}, DAMAGE | ODD_TEXT),
}


@pytest.fixture(scope="module")
def evaluated(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an evaluated run."""
    from sslmodels.evaluation.evaluate import evaluate_run
    from sslmodels.runs.regimes import train

    project = load_project(built_world)
    folder = tmp_path_factory.mktemp("evaluated")
    short = project.training.model_copy(
        update={"epochs": 1, "batch_size": 16, "runs": folder / "runs"}
    )
    run = train(
        project.model_copy(update={"training": short}),
        experiment="alpha", model="deepbind", regime="sl", seed=0,
    )  # fmt: skip
    evaluate_run(run)
    (folder / "run").symlink_to(run)
    return folder


@pytest.fixture
def run_folder(evaluated: Path, tmp_path: Path) -> Path:
    """Return a copy of the run."""
    shutil.copytree(evaluated / "run", tmp_path / "run")
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # of NumPy and Keras, on what is in a damaged file
@pytest.mark.parametrize("name", RUN_CASES)
def test_runs(name: str, run_folder: Path) -> None:
    assert _check(RUN_CASES[name], run_folder, 10) >= 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RUN_CASES)
def test_runs_at_length(name: str, run_folder: Path) -> None:
    assert _check(RUN_CASES[name], run_folder, 60) >= 50


# -- the command line ----------------------------------------------------------------------------

COMMANDS = {
    "plan": ("project.yaml", ["plan", "{}"]),
    "fetch": ("sources.tsv", ["fetch", "{}", "--dry-run"]),
    "inspect": ("store/beta.zarr/zarr.json", ["store", "inspect", "{}/store/beta.zarr"]),
    "validate": ("store/beta.zarr/zarr.json", ["store", "validate", "{}/store/beta.zarr"]),
    "up to date": ("store/beta.zarr/zarr.json", ["build", "{}", "-e", "beta"]),
    "peaks": ("peaks/alpha.bed", ["plan", "{}"]),
    "chain": ("chains/simrefToRelative1.chain", ["plan", "{}"]),
    "liftover": (
        "peaks/alpha.bed",
        ["liftover", "{}/peaks/alpha.bed", "{}/chains/simrefToRelative1.chain", "{}/o", "{}/u"],
    ),
    "liftover chain": (
        "chains/simrefToRelative1.chain",
        ["liftover", "{}/peaks/alpha.bed", "{}/chains/simrefToRelative1.chain", "{}/o", "{}/u"],
    ),
}


def _check_command(name: str, world: Path, capfd: pytest.CaptureFixture[str], count: int) -> None:
    path, command = COMMANDS[name]
    file = world / path
    whole = file.read_bytes()
    for kind, data in _mutants(name, whole, SAME | OTHER, count):
        file.write_bytes(data)
        with time_limit():
            code = main([word.format(world) for word in command])
        said = capfd.readouterr()
        where = f"{name}: {kind}: exit {code}: {said.err[-400:]}"
        assert code in (0, 2, 4), where
        assert "Traceback" not in said.err + said.out, where
        if code == 2 and command[0] != "liftover":
            assert sum("error: " in line for line in said.err.splitlines()) == 1, where
    file.write_bytes(whole)


@pytest.fixture
def world(built_world: Path, tmp_path: Path) -> Path:
    """Return a built project of its own, with a table of sources."""
    folder = Path(shutil.copytree(built_world, tmp_path / "world"))
    (folder / "sources.tsv").write_text(text_of("sources"))
    project = folder / "project.yaml"
    project.write_text(project.read_text() + "sources: sources.tsv\n")
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _check_command(name, world, capfd, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_at_length(name: str, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _check_command(name, world, capfd, 60)
