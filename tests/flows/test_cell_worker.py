"""Cells of a grid: how they stand, and training them on Dask workers."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import operator
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from kill_tools import train_cell_and_die

from flows.cli import main
from flows.output import run_view
from flows.steps import cell_worker
from flows.steps.pipeline import Options, Pipeline, finished
from ssldata.base.errors import ClusterError, ConfigError
from ssldata.building import dask_pool
from ssldata.building.build_store import build_project
from ssldata.building.dask_pool import DaskPool, open_pool
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import small_clade
from sslmodels.fit.threads import limit_threads
from sslmodels.runs.run_folder import RunFolder, run_lock
from sslmodels.runs.run_grid import grid
from sslmodels.runs.run_status import run_status

ROOT = Path(__file__).resolve().parents[2]
CELL: dict[str, Any] = {"experiment": "alpha", "model": "deepbind", "regime": "sl", "seed": 0}


def make_project(folder: Path, **training: Any) -> Project:
    """A built project with a small grid."""
    small_clade(folder)
    file = folder / "project.yaml"
    settings = yaml.safe_load(file.read_text())
    small = {"experiments": ["alpha"], "models": ["deepbind"], "epochs": 2, "patience": 2}
    settings["training"] |= {**small, **training}
    file.write_text(yaml.safe_dump(settings))
    project = load_project(folder)
    build_project(project)
    return project


def with_training(project: Project, **values: Any) -> Project:
    training = project.training.model_copy(update=values)
    return project.model_copy(update={"training": training})


# How runs stand ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of two cells, of which the first is trained by a thread in its own process."""
    project = make_project(tmp_path_factory.mktemp("trained") / "p", regimes=["sl", "ssl-ns"])
    train_here(project, ["sl"])
    return project


def train_here(project: Project, regimes: Sequence[str]) -> None:
    """Train with one thread of TensorFlow, which can only be set in a new process."""
    code = (
        "from ssldata.project.project_file import load_project\n"
        "from flows.steps.cell_worker import train_cell\n"
        f"project = load_project({str(project.file)!r})\n"
        f"for regime in {list(regimes)!r}:\n"
        f"    train_cell(project, {CELL!r} | {{'regime': regime}}, 1, False)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_standing_names_what_differs(trained: Project) -> None:
    assert run_status(trained, **CELL).status == "complete"
    longer = run_status(with_training(trained, epochs=7), **CELL)
    assert (longer.status, longer.reasons) == ("changed", ("training.epochs: 2 → 7",))
    # What the regime does not use is not looked at.
    assert run_status(with_training(trained, nearest=1), **CELL).status == "complete"
    assert run_status(trained, **(CELL | {"seed": 1})).status == "missing"


def test_standing_of_cut_damaged_and_foreign_folders(trained: Project, tmp_path: Path) -> None:
    project = with_training(trained, runs=tmp_path)
    folder = run_status(project, **CELL).folder
    folder.mkdir(parents=True)
    (folder / "notes.txt").touch()
    assert run_status(project, **CELL).status == "damaged"
    (folder / "notes.txt").unlink()
    (folder / "run.json").write_text("{")
    assert run_status(project, **CELL).status == "damaged"
    record = json.loads((run_status(trained, **CELL).folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record))  # complete, but without its model
    assert run_status(project, **CELL).status == "partial"


def test_a_run_whose_store_is_gone_stops_no_other(trained: Project, tmp_path: Path) -> None:
    project = with_training(trained, runs=tmp_path, regimes=["sl"])
    folder = run_status(project, **CELL).folder
    shutil.copytree(run_status(trained, **CELL).folder, folder)
    record = json.loads((folder / "run.json").read_text())
    gone = {"path": str(tmp_path / "gone.zarr"), "relative": "gone.zarr"}
    (folder / "run.json").write_text(json.dumps(record | {"store": record["store"] | gone}))
    assert run_status(project, **CELL).status == "complete"
    (run,), _ = run_view.runs(project, [], sweeps=False, everything=False)
    assert run["status"] == "stranded"
    assert "gone.zarr" in run["reasons"][0]
    (cell,) = grid(project)
    assert finished(cell) is None


def test_dry_run_lists_every_run(trained: Project) -> None:
    project = with_training(trained, epochs=7, models=["deepbind", "my.own:model"])
    value, shown = run_view.runs(project, [], sweeps=False, everything=False)
    assert [(run["run"], run["status"]) for run in value] == [
        ("alpha/deepbind/sl/seed-0", "changed"),
        ("alpha/deepbind/ssl-ns/seed-0", "missing"),
        ("alpha/my.own.model/sl/seed-0", "missing"),
        ("alpha/my.own.model/ssl-ns/seed-0", "missing"),
    ]
    assert "3 to do, 1 refused without --replace" in str(shown[0].title)  # type: ignore[union-attr]
    # A store that will change makes its complete runs uncertain.
    todo = [{"store": "alpha", "status": "missing"}]
    value, _ = run_view.runs(trained, todo, sweeps=False, everything=False)
    assert [run["status"] for run in value] == ["unknown", "missing"]


def test_waiting_for_a_run_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path / "run")
    entered = threading.Event()

    def second() -> None:
        with run_lock(folder):
            entered.set()

    with run_lock(folder):
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        while "waiting for it" not in caplog.text:
            time.sleep(0.01)
        assert not entered.is_set()
    assert entered.wait(120)


# On workers -------------------------------------------------------------------------------------


def test_named_calls_wait_for_each_other_and_fail_alone() -> None:
    calls = {"bad": (1, 0), "good": (4, 2), "after bad": (9, 3), "after good": (8, 2)}
    after = {"after bad": ["bad"], "after good": ["good"]}
    with open_pool(workers=1, memory="0") as pool:
        assert isinstance(pool, DaskPool)
        found = list(pool.run_all(operator.truediv, calls, after=after))
    outcomes = dict(found)
    assert (outcomes["good"], outcomes["after good"]) == (2, 4)
    assert isinstance(outcomes["bad"], ZeroDivisionError)
    assert isinstance(outcomes["after bad"], ZeroDivisionError)
    names = [name for name, _ in found]
    assert names.index("good") < names.index("after good")


class FakePool(DaskPool):
    """Keeps what it is asked for, and answers at once."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.after: dict[str, Sequence[str]] = {}
        self.heard: dict[str, Callable[[Any], None]] = {}

    def run_all(
        self,
        function: Any,
        calls: Mapping[str, tuple[Any, ...]],
        *,
        after: Mapping[str, Sequence[str]],
    ) -> Iterator[tuple[str, Any]]:
        del function
        self.calls, self.after = list(calls), dict(after)
        for name in calls:
            # One line that is heard at once, and one that could not be.
            lines = [
                {
                    "name": "ssldata.x",
                    "levelno": level,
                    "created": 1.5,
                    "message": f"{name}: {text}",
                }
                for level, text in ((logging.WARNING, "heard"), (logging.WARNING, "kept"))
            ]
            listener = calls[name][-1]
            assert listener.cell == name
            self.heard[listener.topic](lines[0])
            yield name, ({"run": name}, lines[1:])

    @contextlib.contextmanager
    def told(self, topic: str, handler: Callable[[Any], None]) -> Iterator[None]:
        self.heard = {topic: handler}
        yield
        self.heard = {}


def test_ssl_ns_waits_for_its_teacher(trained: Project, caplog: pytest.LogCaptureFixture) -> None:
    project = with_training(trained, regimes=["ssl-ns", "sl", "ssl"], seeds=[0, 1])
    cells = [c for c in grid(project) if (c.regime, c.seed) != ("sl", 1)]
    pool, settled = FakePool(), []
    Pipeline(project, Options(train_workers=2))._drive(
        pool, cells, lambda cell, outcome: settled.append((cell.name, outcome))
    )
    # The teacher of seed 1 is not asked for: the run trains it itself.
    name = "alpha / deepbind / {} / seed 0".format
    assert pool.after == {name("ssl-ns"): [name("sl")]}
    assert pool.calls.index(name("sl")) < pool.calls.index(name("ssl-ns"))
    assert len(settled) == 5
    told = [(r.getMessage(), r.created) for r in caplog.records if r.name == "ssldata.x"]
    first = name("sl")
    assert told[:2] == [(f"{first}: heard", 1.5), (f"{first}: kept", 1.5)]
    assert len(told) == 10


def _warn_and_wait(text: str, listener: cell_worker.Listener) -> str:
    """What a worker does: the libraries log something before their work is done."""
    with cell_worker._told_lines(listener) as kept:
        logging.getLogger("sslmodels.x").info("%s", text)
    assert not kept
    return text


def test_lines_of_workers_are_heard_before_their_call_is_complete() -> None:
    """In order, with the time at which they were logged, under the name of their cell."""
    heard: list[dict[str, Any]] = []
    calls = {f"cell {n}": (f"line {n}", cell_worker.Listener("t", f"cell {n}")) for n in range(3)}
    before = time.time()
    with open_pool(workers=1, memory="0") as pool:
        assert isinstance(pool, DaskPool)
        with pool.told("t", heard.append):
            for name, outcome in pool.run_all(_warn_and_wait, calls, after={}):
                assert f"{name}: {outcome}" in [line["message"] for line in heard]
    assert [line["levelno"] for line in heard] == [logging.INFO] * 3
    times = [line["created"] for line in heard]
    assert before < times[0] <= times[1] <= times[2] < time.time()
    # Not on a worker there is nobody to hear, and the lines come back with the result.
    with cell_worker._told_lines(cell_worker.Listener("t", "cell")) as kept:
        logging.getLogger("ssldata.x").warning("alone")
    assert [line["message"] for line in kept] == ["cell: alone"]


def test_threads_of_a_running_process_are_not_changed_silently() -> None:
    import tensorflow as tf

    tf.constant(1) + 1  # computes, so the number of threads is settled
    with pytest.raises(ConfigError, match=r"31 threads requested, but .* already"):
        limit_threads(31)


def test_ways_to_train_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="--train-workers and --scheduler-file exclude"):
        Options(train_workers=2, scheduler_file="s.json")
    assert Options(workers=2, train_workers=3).train_workers == 3


def test_a_scheduler_that_does_not_answer_is_one_line(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dask_pool, "CONNECT_SECONDS", 0.5)
    assert main(["run", str(trained.file), "--dask-scheduler", "tcp://127.0.0.1:9"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "tcp://127.0.0.1:9: no Dask scheduler" in err


def files_of(project: Project) -> dict[str, str]:
    """Hashes of the files a run is judged by."""
    runs = project.training.runs
    return {
        path.relative_to(runs).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("model.keras", "history.csv", "scores.csv.gz")
        for path in sorted(runs.rglob(name))
    }


@pytest.mark.slow
def test_two_workers_one_killed_give_the_bytes_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regimes = ["ssl-ns", "sl", "ssl"]
    student = {"iterations": 1}
    one = make_project(tmp_path / "one", regimes=regimes, noisy_student=student)
    train_here(one, regimes)
    two = make_project(tmp_path / "two", regimes=regimes, noisy_student=student)
    mark = tmp_path / "killed"
    dying = functools.partial(train_cell_and_die, str(mark))
    monkeypatch.setattr(cell_worker, "train_cell", dying)
    value = Pipeline(two, Options(train_workers=2)).run()
    assert mark.exists()
    assert [run["regime"] for run in value["runs"]] == regimes
    assert len(files_of(one)) == 9
    assert files_of(two) == files_of(one)


@pytest.mark.slow
def test_what_ends_every_worker_is_given_up() -> None:
    calls = {"deadly": (1,)}
    with open_pool(workers=1, memory="0") as pool:
        assert isinstance(pool, DaskPool)
        ((name, outcome),) = pool.run_all(os._exit, calls, after={})
    assert name == "deadly"
    assert isinstance(outcome, ClusterError)
    assert "repeatedly" in str(outcome)
