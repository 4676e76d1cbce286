"""Every command that writes, killed at counted moments: done again, it leaves the same bytes.

Kills of builds with Dask workers are in ``test_faults.py``.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kill_tools import KILLED, renames, start

from flows.cli import main
from ssldata.building.add_remove_genomes import remove_genome


def everything(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder; locks and logs of attempts left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".log")
    }


@dataclass(frozen=True)
class Operation:
    """A command, and the state it starts from.

    Attributes
    ----------
    arguments
        Of the command line; ``{}`` is the project.
    results
        What it writes, below the project.
    before
        Changes a built project into the state before the command.
    kills
        How often it is killed in the slow test.
    """

    arguments: str
    results: tuple[str, ...]
    before: Callable[[Path], None] = lambda world: None
    kills: int = 6


def _not_built(world: Path) -> None:
    shutil.rmtree(world / "store")


def _without_a_genome(world: Path) -> None:
    remove_genome(world, "relative3")


def _short_training(world: Path) -> None:
    project = yaml.safe_load((world / "project.yaml").read_text())
    project["training"] |= {"epochs": 2, "patience": 2}
    (world / "project.yaml").write_text(yaml.safe_dump(project))


OPERATIONS = {
    "build": Operation("build {}", ("store",), _not_built, 20),
    "add": Operation(
        "store add {} --name relative3 --sequence {}/genomes/relative3.fa.gz "
        "--chain {}/chains/simrefToRelative3.chain --distance 0.15",
        ("store", "project.yaml"),
        _without_a_genome,
        16,
    ),
    "remove": Operation("store remove {} relative2", ("store", "project.yaml"), kills=10),
    "yank": Operation("store yank {} relative2 --reason odd", ("store",), kills=3),
    "card": Operation("store card {}/store/alpha.zarr --licence CC0-1.0", ("store",), kills=3),
    "zip": Operation("store share {}/store/alpha.zarr --zip {}/shared/alpha.zip", ("shared",)),
    "parquet": Operation(
        "store export {}/store/alpha.zarr {}/exported --format parquet", ("exported",)
    ),
    "bed": Operation("store export {}/store/beta.zarr {}/exported --format bed", ("exported",)),
    "liftover": Operation(
        "liftover {}/peaks/alpha.bed {}/chains/simrefToRelative1.chain {}/out/lifted {}/out/not",
        ("out",),
        lambda world: (world / "out").mkdir(),
        2,
    ),
    "train": Operation(
        "train {} -e alpha -m deepbind -r sl -q", ("runs",), _short_training, 8
    ),
}  # fmt: skip


def _words(operation: Operation, world: Path) -> list[str]:
    return [word.format(world) for word in operation.arguments.replace("{}", "{0}").split()]


def _state(operation: Operation, world: Path) -> dict[str, str]:
    found = {}
    for name in operation.results:
        path = world / name
        found |= everything(path) if path.is_dir() else {name: path.read_text()}
    # When it was made, how long it took, where it lies: of the attempt, not of the result.
    return {
        name: value
        for name, value in found.items()
        if not name.endswith("run.json") and "/logs/" not in name
    }


def _kill(name: str, built: Path, folder: Path, kills: int) -> None:
    """Kill an operation at moments spread over all of it, and do it again each time."""
    operation = OPERATIONS[name]
    world = folder / "world"  # always at the same place: files may name it

    def prepare() -> None:
        shutil.rmtree(world, ignore_errors=True)
        shutil.copytree(built, world)
        operation.before(world)

    for _ in range(2):  # the first fills the cache
        prepare()
        before = renames()
        assert main(_words(operation, world)) == 0
        count = renames() - before - 1
    expected = _state(operation, world)
    assert expected
    assert count >= 1
    for moment in sorted({1 + i * (count - 1) // max(1, kills - 1) for i in range(kills)}):
        prepare()
        with start("command", arguments=_words(operation, world), rename=moment) as process:
            assert process.wait() == KILLED, f"{name}, rename {moment} of {count}"
        assert main(_words(operation, world)) == 0, f"{name}, rename {moment} of {count}"
        assert _state(operation, world) == expected, f"{name}, rename {moment} of {count}"


@pytest.mark.parametrize("name", ["add", "zip"])
def test_a_killed_command_is_done_again(name: str, built_world: Path, tmp_path: Path) -> None:
    """Two commands here, all in the slow test."""
    _kill(name, built_world, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_command_killed_often(name: str, built_world: Path, tmp_path: Path) -> None:
    _kill(name, built_world, tmp_path, OPERATIONS[name].kills)


@pytest.mark.parametrize("moment", [1, 4, 9])
def test_the_cache_is_deleted_while_a_build_runs(
    moment: int, small_world: Path, built_world: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world, cache = tmp_path / "world", tmp_path / "cache"
    shutil.copytree(small_world, world)
    monkeypatch.setenv("CROSSLABEL_CACHE", str(cache))
    plan = {"world": str(world), "cache": str(cache), "rename": moment}
    with start("build_without_cache", **plan) as process:
        assert process.wait() == 0
    assert everything(world / "store") == everything(built_world / "store")
