"""Odd machines: read-only folders, no home, limits of files, workers that die as they start."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import distributed
import platformdirs
import pytest
import yaml

from flows.cli import main
from flows.prefect_flows.prefect_runtime import prepare
from ssldata.base import cache_folder
from ssldata.base.cache_folder import CACHE_VARIABLE, PRIVATE_VARIABLE, cache_dir
from ssldata.base.errors import ClusterError, ConfigError
from ssldata.base.locks import one_at_a_time
from ssldata.building.build_plan import plan_project
from ssldata.building.build_store import build_project
from ssldata.building.dask_pool import START_ATTEMPTS, open_pool
from ssldata.project.project_file import load_project
from sslmodels.fit import devices

REPOSITORY = Path(__file__).parents[2]


def obey_permissions() -> None:
    """Make permissions count for root as well: drop CAP_DAC_OVERRIDE, _READ_SEARCH and FOWNER."""
    for capability in (1, 2, 3):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; others have none


def run(
    *arguments: Any, prepare: Callable[[], None] = obey_permissions, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Run a command of crosslabel, or of Python, in a process of its own."""
    start = [sys.executable] if arguments[0] == "-c" else [sys.executable, "-m", "flows.cli"]
    values: dict[str, str | None] = {**os.environ, PRIVATE_VARIABLE: None}
    values |= {"PYTHONPATH": str(REPOSITORY)} | environment
    return subprocess.run(
        [*start, *map(str, arguments)],
        env={key: value for key, value in values.items() if value is not None},
        preexec_fn=prepare,
        cwd="/",  # not where the packages are
        capture_output=True,
        text=True,
    )


@pytest.fixture
def world(small_world: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    shutil.copytree(small_world, folder)
    return folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Return what makes a tree read-only until the test ends."""

    def forbid(top: Path) -> None:
        for path in (top, *top.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    yield forbid
    for folder, _, _ in os.walk(tmp_path):
        Path(folder).chmod(0o755)
        for path in Path(folder).iterdir():
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def listing(*tops: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for top in tops for p in top.rglob("*"))


@pytest.mark.parametrize(
    "filled",
    [
        pytest.param(True, id="filled cache", marks=pytest.mark.slow),
        pytest.param(False, id="empty cache"),
    ],
)
def test_a_read_only_project_store_and_cache_serve_all_that_writes_nothing(
    filled: bool, built_world: Path, tmp_path: Path, read_only: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world, cache = tmp_path / "world", tmp_path / "cache"
    shutil.copytree(built_world, world)
    cache.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    read_only(world)
    if filled:
        plan_project(load_project(world))
    read_only(cache)
    before = listing(world, cache)
    store, chain = world / "store" / "alpha.zarr", world / "chains" / "simrefToRelative1.chain"
    intervals = tmp_path / "in.bed"
    intervals.write_text("chr1\t100\t200\n")
    read = f"import ssldata; print(ssldata.open_store({str(store)!r}).group('reference').rows)"
    for command in (
        ("--help",),
        ("plan", world),
        ("build", world),  # complete: nothing to write
        ("store", "inspect", world),
        ("store", "validate", store, "--deep"),
        ("liftover", intervals, chain, tmp_path / "out.bed", tmp_path / "unmapped.bed"),
        ("-c", read),
    ):
        done = run(*command, TMPDIR=str(tmp_path))
        assert done.returncode == 0, (command, done.stderr)
        assert ("cannot write to the cache" in done.stderr) <= (not filled)
    assert listing(world, cache) == before
    assert not list(tmp_path.glob("crosslabel-cache-*"))  # private ones end with their process


@pytest.mark.slow
def test_a_new_store_is_built_elsewhere_with_a_read_only_cache(
    world: Path, built_world: Path, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    read_only(cache)
    done = run("build", world, "--workers", 1, CROSSLABEL_CACHE=str(cache), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot write to the cache") == 1  # workers share that of the build
    ledgers = [folder / "store" / "alpha.zarr" / "zarr.json" for folder in (world, built_world)]
    assert ledgers[0].read_bytes() == ledgers[1].read_bytes()
    assert not list(tmp_path.glob("crosslabel-cache-*"))


def test_what_another_user_left_in_the_cache_is_used(
    tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    cache = tmp_path / "cache"
    (cache / "locks").mkdir(parents=True)
    (cache / "locks" / "genome.lock").touch()
    (cache / "hashes").mkdir()
    (cache / "hashes" / "known").touch()
    read_only(cache)
    code = (
        "from ssldata.base.cache_folder import cache_dir, cached\n"
        "from ssldata.base.locks import one_at_a_time\n"
        "with one_at_a_time('genome'): print(cached('hashes', 'known'))\n"
        "print(cached('hashes', 'new'), cache_dir('hashes'), cache_dir('hashes'))\n"
    )
    done = run("-c", code, CROSSLABEL_CACHE=str(cache), TMPDIR=str(tmp_path))
    known, new, one, other = done.stdout.split()
    assert known == str(cache / "hashes" / "known")
    assert new == "None"
    assert one == other
    assert Path(one).parents[1] == tmp_path
    assert not Path(one).exists()


@pytest.mark.parametrize("release", ["raises", "keeps ~"])
def test_a_user_without_a_home_folder(
    release: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def nowhere(*_: object) -> str:
        if release == "raises":
            raise RuntimeError("could not determine the home directory")
        return "~/.cache/crosslabel"

    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv(PRIVATE_VARIABLE, "")  # so that it is restored
    monkeypatch.delenv(PRIVATE_VARIABLE)
    monkeypatch.setattr(platformdirs, "user_cache_dir", nowhere)
    monkeypatch.chdir(tmp_path)
    assert plan_project(load_project(world)).steps
    assert caplog.text.count("there is no home folder for the cache; a temporary one is used") == 1
    assert not (tmp_path / "~").exists()
    assert cache_dir("x").is_relative_to(os.environ[PRIVATE_VARIABLE])


def test_no_place_for_any_cache_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(cache_folder, "_root", lambda: None)
    monkeypatch.delenv(PRIVATE_VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.mkdtemp", none_usable)
    with pytest.raises(
        ConfigError, match=f"nor can a temporary one be made.*; set {CACHE_VARIABLE} to"
    ):
        cache_dir("hashes")


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_prefect_has_a_home_folder_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A copy: what is set for Prefect is not for other tests.
    values = {key: value for key, value in os.environ.items() if key != "HOME"}
    monkeypatch.setattr(os, "environ", {**values, CACHE_VARIABLE: str(tmp_path)})
    monkeypatch.setattr(Path, "home", no_home)
    prepare()
    assert os.environ["HOME"] == str(tmp_path / "home")


def test_the_backend_of_a_user_without_a_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    assert devices.backend() == "tensorflow"


def test_compiled_code_of_a_read_only_installation_has_a_place(
    tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    installed = tmp_path / "installed"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "ssldata", installed / "ssldata", ignore=ignore)
    (tmp_path / "home").mkdir()
    read_only(installed)
    read_only(tmp_path / "home")
    code = "from ssldata.genomes import gather_kernels; print(gather_kernels.__file__)"
    for cache in (tmp_path / "cache", tmp_path / "home"):
        home, place = str(tmp_path / "home"), str(cache)
        done = run("-c", code, PYTHONPATH=str(installed), HOME=home, CROSSLABEL_CACHE=place,
                   TMPDIR=str(tmp_path))  # fmt: skip
        assert done.stdout.startswith(str(installed)), done.stderr


# -- files of limited size -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "file"),
    [
        pytest.param(100, "alpha.zarr/zarr.json", marks=pytest.mark.slow),
        (3000, "sequence/c/0/0/0"),
        pytest.param(50_000, "alpha.zarr/zarr.json", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_may_not_be_as_large_is_named_and_not_left(
    size: int, file: str, world: Path, built_world: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    plan_project(load_project(world))  # unpacked genomes are larger than any file of a small store
    done = run("build", world, prepare=limit)
    assert done.returncode == 2
    assert done.stderr.startswith(f"crosslabel: error: File too large: {world / 'store'}")
    assert f"{file}; make room" in done.stderr
    assert done.stderr.count("\n") == 1
    build_project(load_project(world))
    names = [
        {str(p.relative_to(folder)) for p in (folder / "store").rglob("*")}
        for folder in (world, built_world)
    ]
    assert names[0] - names[1] == {n for n in names[0] if n.endswith(".lock")} - names[1]


def test_an_unpacked_genome_that_is_too_large_names_the_cache(world: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    done = run("plan", world, prepare=limit, CROSSLABEL_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "cannot put its unpacked copy into the cache folder" in done.stderr
    assert "(File too large)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "cache" / "genomes").iterdir() if path.is_file()]


# -- loops of links ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "plan {loop}",
        "init {loop}",
        "build {loop}",
        "run {loop}",
        "train {loop}",
        "evaluate {loop}",
        "fetch {loop}",
        "store inspect {loop}",
        "store validate {loop}",
        "store card {loop}",
        "liftover {loop} {loop} out unmapped",
        "plan {world} reference.sequence",
        "build {world} genomes.0.sequence",
        "build {world} genomes.0.chain",
        "plan {world} experiments.0.peaks",
        "build {world} store.path",
        "build {world} genomes.registry",
    ],
)
def test_a_loop_of_links_is_one_line(
    command: str, world: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    loop = world / "loop"
    loop.symlink_to(world / "back")
    (world / "back").symlink_to(loop)
    words = command.format(loop=loop, world=world).split()
    if "." in words[-1] and words[1] == str(world):
        raw = yaml.safe_load((world / "project.yaml").read_text())
        *sections, key = words.pop().split(".")
        at = raw
        for section in sections:
            at = at[int(section)] if isinstance(at, list) else at.setdefault(section, {})
        if key == "registry":
            raw["genomes"] = {"registry": "loop"}
        else:
            at[key] = "loop"
        (world / "project.yaml").write_text(yaml.safe_dump(raw))
    assert main(words) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert str(loop) in said


# -- workers that die as they start --------------------------------------------------------------

PRELOAD = """
import json, os, signal, pathlib
deaths, folder = json.loads(os.environ["DEATHS"])
def dask_setup(worker):
    if len(list(pathlib.Path(folder).iterdir())) < deaths:
        pathlib.Path(folder, str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("deaths", [1, 100])
def test_workers_killed_while_they_start(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, preload = tmp_path / "marks", tmp_path / "preload.py"
    marks.mkdir()
    preload.write_text(PRELOAD)
    monkeypatch.setenv("DEATHS", json.dumps([deaths, str(marks)]))
    assert distributed.__version__  # its import within a setting would be undone with it
    with dask.config.set({"distributed.worker.preload": [str(preload)]}):
        if deaths == 1:
            with open_pool(workers=1) as pool:
                assert list(pool.map(abs, [(-1,)])) == [1]
        else:
            with (
                pytest.raises(
                    ClusterError, match="--workers 1: local workers cannot be started \\(Nanny"
                ),
                open_pool(workers=1),
            ):
                pass
    assert len(list(marks.iterdir())) == min(deaths, START_ATTEMPTS)


def test_a_lock_of_a_deleted_cache_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr("ssldata.base.locks.cached", lambda *_: tmp_path / "gone" / "x.lock")
    with one_at_a_time("x"):
        assert not (tmp_path / "gone").exists()
