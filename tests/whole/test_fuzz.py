"""Damaged and oddly written files: the same result, or a refusal in one line.

Seeded: the same mutations on every machine; over 200 here, over 2,000 with `slow`.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
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
from twobit_tools import twobit

from flows.cli import main
from ssldata.chains.chain_index import load_chain
from ssldata.checking.validate import validate_store
from ssldata.genomes.genome import open_genome
from ssldata.liftover.lift import lift
from ssldata.project.project_file import load_project
from ssldata.project.source_table import COLUMNS, read_sources
from ssldata.rows.intervals import read_peaks
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import open_store

#: Other ways to write the same text, and damage that a checksum shows: same result, or refused.
SAME = SAME_TEXT | PACKED_DAMAGE
#: May be a valid file of other content: any result.
OTHER = DAMAGE | ODD_TEXT
#: Changes the size of a file.
SHORTER = {name: DAMAGE[name] for name in ("cut", "cut_little", "hole", "empty")}


@dataclass(frozen=True)
class Reader:
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


def _genome(file: str, folder: Path) -> Any:
    genome = open_genome(folder / file)
    return genome.names, genome.sizes.tolist(), genome.digest


def _peaks(file: str, folder: Path) -> Any:
    reference = open_genome(folder / "sound.fa")
    aliases = load_project(folder / "sound").reference.aliases
    found = read_peaks(
        folder / file, names=reference.names, sizes=reference.sizes, aliases=aliases, width=200
    )
    intervals = found.intervals
    return _hash(intervals.contig, intervals.start, intervals.end, found.score), dict(found.counts)


def _chain(folder: Path) -> Any:
    index = load_chain(folder / "a.chain")
    contig = np.repeat(np.arange(len(index.target_names)), 40).astype(np.int32)
    start = np.tile(np.arange(40) * 500, len(index.target_names))
    result = lift(index, contig, start, start + 200)
    return (
        index.target_names, index.query_names, _hash(index.target_sizes, index.query_sizes),
        _hash(result.contig, result.start, result.end, result.strand, result.status),
    )  # fmt: skip


def _project(file: str, folder: Path) -> Any:
    return load_project(folder / file).model_dump(mode="json", exclude={"file"})


def _sources(folder: Path) -> Any:
    return read_sources(folder / "sources.tsv")


READERS = {
    "fasta": Reader("a.fa", partial(_genome, "a.fa"), SAME, OTHER),
    "2bit": Reader("a.2bit", partial(_genome, "a.2bit"), {}, DAMAGE),
    "bed": Reader("a.bed", partial(_peaks, "a.bed"), SAME, OTHER),
    "narrowPeak": Reader("a.narrowPeak", partial(_peaks, "a.narrowPeak"), SAME, OTHER),
    "chain": Reader("a.chain", _chain, SAME, OTHER),
    "project": Reader("project.yaml", partial(_project, "project.yaml"), SAME, OTHER),
    "registry": Reader("genomes.yaml", partial(_project, "listed.yaml"), SAME, OTHER),
    "sources": Reader("sources.tsv", _sources, SAME, OTHER),
}


@pytest.fixture(scope="module")
def sound(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sound files, one for each reader."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(small_world, folder / "sound")
    project = yaml.safe_load((small_world / "project.yaml").read_text())
    (folder / "genomes").symlink_to(small_world / "genomes")
    (folder / "chains").symlink_to(small_world / "chains")
    (folder / "peaks").symlink_to(small_world / "peaks")
    shutil.copy(small_world / "project.yaml", folder)
    (folder / "genomes.yaml").write_text(yaml.safe_dump(project["genomes"]))
    listed = project | {"genomes": {"registry": "genomes.yaml"}}
    (folder / "listed.yaml").write_text(yaml.safe_dump(listed))
    reference = gzip.decompress((small_world / "genomes" / "simref.fa.gz").read_bytes())
    (folder / "sound.fa").write_bytes(reference)
    (folder / "a.fa").write_bytes(reference[:20_000])
    contigs = {f"chr{i}": text for i, text in enumerate(["ACGT" * 500 + "NNacgtn" * 9, "ttACG"])}
    (folder / "a.2bit").write_bytes(twobit(contigs))
    shutil.copy(small_world / "peaks" / "alpha.bed", folder / "a.bed")
    peaks = gzip.decompress((small_world / "peaks" / "beta.narrowPeak.gz").read_bytes())
    (folder / "a.narrowPeak").write_bytes(peaks)
    shutil.copy(small_world / "chains" / "simrefToRelative3.chain", folder / "a.chain")
    row = ["data/a.fa", "a.fa", "12", "ab" * 32, "", "https://example.org/a.fa", "CC0", "a note"]
    table = ["\t".join(COLUMNS), "\t".join(row), "\t".join(["b.bed", *row[1:]])]
    (folder / "sources.tsv").write_text("\n".join(table) + "\n")
    return folder


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


def _check(reader: Reader, folder: Path, count: int) -> int:
    """Mutate a reader's file; return how often."""
    file = folder / reader.file
    whole = file.read_bytes()
    expected = outcome(lambda: reader.read(folder))
    assert not isinstance(expected, Refused), expected
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


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of the sound files."""
    shutil.copytree(sound, tmp_path / "files", symlinks=True)
    return tmp_path / "files"


@pytest.mark.parametrize("name", READERS)
def test_inputs(name: str, folder: Path) -> None:
    assert _check(READERS[name], folder, 20) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_inputs_at_length(name: str, folder: Path) -> None:
    assert _check(READERS[name], folder, 150) >= 120


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
    cards = {"README.md", "croissant.json", "sources.csv"}
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
    assert _check_store(store, 40) == 40


@pytest.mark.slow
def test_stores_at_length(store: Path) -> None:
    assert _check_store(store, 400) == 400


# -- the cache -----------------------------------------------------------------------------------


def _opened(folder: Path) -> Any:
    """Return what is read of inputs through every kind of cached file."""
    names = ("a.fa", "genomes/relative1.fa.gz")
    return [_genome(name, folder) for name in names], _chain(folder)


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


def test_the_cache(folder: Path, cache: Path) -> None:
    _check_cache(folder, cache, 30)


@pytest.mark.slow
def test_the_cache_at_length(folder: Path, cache: Path) -> None:
    _check_cache(folder, cache, 300)


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


RUN_READERS = {
    "model": Reader("run/model.keras", _scores, DAMAGE, {}),
    "run record": Reader("run/run.json", _evaluation, {}, DAMAGE | ODD_TEXT),
    "scores": Reader("run/evaluation/scores.csv.gz", _evaluation, DAMAGE, {}),
    "metrics": Reader("run/evaluation/metrics.json", _evaluation, {}, DAMAGE | ODD_TEXT),
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
@pytest.mark.parametrize("name", RUN_READERS)
def test_runs(name: str, run_folder: Path) -> None:
    assert _check(RUN_READERS[name], run_folder, 10) >= 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RUN_READERS)
def test_runs_at_length(name: str, run_folder: Path) -> None:
    assert _check(RUN_READERS[name], run_folder, 60) >= 50


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
def world(sound: Path, built_world: Path, tmp_path: Path) -> Path:
    """Return a built project of its own, with a table of sources."""
    folder = Path(shutil.copytree(built_world, tmp_path / "world"))
    shutil.copy(sound / "sources.tsv", folder)
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
