"""Processes that are killed at counted moments, the same ones on any machine.

Every file of a store or run appears by a rename. Without workers the build makes them all, with
workers those of shards are theirs.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.building.build_store import build_project
from ssldata.building.dask_pool import Pool, open_pool
from ssldata.project.project_file import load_project

KILLED = -signal.SIGKILL


def start(
    function: str, /, *, stderr: int | None = None, **arguments: Any
) -> subprocess.Popen[str]:
    """Call a function of this module in a process and session of its own."""
    command = (
        "import sys, json, kill_tools\n"
        "sys.exit(getattr(kill_tools, sys.argv[1])(**json.loads(sys.argv[2])))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", command, function, json.dumps(arguments)],
        stderr=stderr,
        text=True,
        start_new_session=True,  # what it leaves behind can be found by it
    )


def before_rename(number: int, act: Callable[[], None]) -> None:
    """Call `act` once, before the `number`-th rename (from 1 on) that this process makes from now.

    Of threads, too: only one builds.
    """
    left = iter(range(number))

    def hook(event: str, _: object) -> None:
        if event == "os.rename" and next(left, None) == number - 1:
            act()

    sys.addaudithook(hook)


_RENAMES = itertools.count()


@functools.cache
def _count_from_now_on() -> None:
    sys.addaudithook(lambda event, _: next(_RENAMES) if event == "os.rename" else None)


def renames() -> int:
    """Return how many renames this process has made since the first call of this function.

    The calls themselves count as one each.
    """
    _count_from_now_on()
    return next(_RENAMES)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def build(
    world: str,
    *,
    workers: int = 0,
    rename: int = 0,
    tasks: Mapping[str, str] | None = None,
    marks: str = "",
) -> None:
    """Build a project; die where told.

    Parameters
    ----------
    world, workers
        Project folder; processes that write shards, 0 for none.
    rename
        The process dies before its so-manieth rename, counted from 1; 0 for never.
    tasks
        Number (from 0) of a task of workers → whom it kills while it writes, once: the ``worker``
        or its ``parent``, the build.
    marks
        Folder where a task leaves a file of its number when it kills.
    """
    if rename:
        before_rename(rename, lambda: kill(os.getpid()))
    with open_pool(workers=workers) as pool:
        build_project(load_project(Path(world)), pool=DeadlyPool(pool, tasks or {}, marks))


def command(arguments: Sequence[str], *, rename: int) -> int:
    """Do a command of the command line; die before its so-manieth rename, counted from 1."""
    from flows.cli import main

    before_rename(rename, lambda: kill(os.getpid()))
    return main(arguments)


def build_without_cache(world: str, cache: str, *, rename: int) -> None:
    """Build a project; its cache is deleted before the so-manieth rename."""
    before_rename(rename, lambda: shutil.rmtree(cache, ignore_errors=True))
    build_project(load_project(Path(world)))


class DeadlyPool:
    """Numbers the tasks it hands to another pool, and tells some of them to kill."""

    def __init__(self, pool: Pool, tasks: Mapping[str, str], marks: str) -> None:
        self.pool, self.tasks, self.marks = pool, tasks, marks
        self.given = 0

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        calls = []
        for item in arguments:
            victim = {"worker": 0, "parent": os.getpid()}.get(self.tasks.get(str(self.given), ""))
            calls.append((f"{self.marks}/{self.given}", victim, function, *item))
            self.given += 1
        return self.pool.map(deadly, calls)


def deadly(mark: str, victim: int | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function; kill (0: itself) as it writes its second file, unless it did before."""
    if victim is not None and not Path(mark).exists():

        def act() -> None:
            Path(mark).touch()
            kill(victim or os.getpid())

        before_rename(2, act)
    return function(*arguments)


def without_cache(cache: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function after the cache was deleted."""
    shutil.rmtree(cache, ignore_errors=True)
    return function(*arguments)


def after_file(ending: str, act: Callable[[], None]) -> None:
    """Call `act` once, before the rename that follows one to a name that ends so."""
    seen = done = False

    def hook(event: str, paths: tuple[Any, ...]) -> None:
        nonlocal seen, done
        if event != "os.rename" or done:
            return
        if seen:
            done = True
            act()
        seen = str(paths[1]).endswith(ending)

    sys.addaudithook(hook)


def train_cell_and_die(mark: str, *arguments: Any) -> Any:
    """Do what a worker does for a run; the first that has a checkpoint dies at its next file."""
    from flows.steps.cell_worker import train_cell

    def act() -> None:
        with contextlib.suppress(FileExistsError):
            Path(mark).touch(exist_ok=False)
            kill(os.getpid())

    after_file(".npz", act)
    return train_cell(*arguments)


def interrupted(folder: str) -> int:
    """Do `crosslabel run`; Ctrl-C when the first run has begun."""
    from flows.cli import main

    # As a terminal does: to the whole group, Prefect's backend in it.
    after_file("run.json", lambda: os.killpg(os.getpgrp(), signal.SIGINT))
    return main(["run", folder])
