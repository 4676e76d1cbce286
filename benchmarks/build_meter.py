"""The cost of the parts of a program: processor seconds, wall seconds and peak memory."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any


def peak_mb() -> int:
    """Return the most memory (VmHWM) this process had since the last call, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    # "5" resets the peak: man proc_pid_clear_refs.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def cpu_seconds() -> float:
    """Return user and system seconds of this process, its threads and its finished children."""
    return time.process_time() + sum(os.times()[2:4])


class Meter:
    """Costs of stages: parts of a stage in one round add up, rounds are kept apart."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[int, list[float]]] = defaultdict(dict)
        self.round = 0

    @contextmanager
    def __call__(self, stage: str, rows: int = 0) -> Iterator[None]:
        peak_mb()
        cpu, wall = cpu_seconds(), time.perf_counter()
        yield
        self.add(stage, rows, cpu_seconds() - cpu, time.perf_counter() - wall, peak_mb())

    def add(self, stage: str, rows: float, cpu: float, wall: float, peak: float) -> None:
        old = self.stages[stage].get(self.round, [0, 0, 0, 0])
        new = [old[0] + rows, old[1] + cpu, old[2] + wall, max(old[3], peak)]
        self.stages[stage][self.round] = new

    def result(self, **more: Any) -> dict[str, Any]:
        return {"stages": {k: list(v.values()) for k, v in self.stages.items()}, **more}


def found(name: str) -> tuple[Any, str, Callable[..., Any]]:
    """Return the owner, name and function of ``module:function`` or ``module:Class.method``."""
    module, path = name.split(":")
    *parents, last = path.split(".")
    owner: Any = functools.reduce(getattr, parents, import_module(module))
    return owner, last, getattr(owner, last)


class Attribution:
    """Charges every processor second of a program to the stage that is running.

    Parameters
    ----------
    meter
        Collects the costs.
    stages
        Stage → functions, see :func:`found`. A function that runs within that of another stage is
        charged to its own stage; everything outside of all stages is `REST`.
    """

    REST = "all else"

    def __init__(self, meter: Meter, stages: Mapping[str, Sequence[str]]) -> None:
        self.meter = meter
        self.under_way = [self.REST]
        self.mark = (cpu_seconds(), time.perf_counter())
        for stage, names in stages.items():
            for name in names:
                self._wrap(stage, name)

    def turn(self) -> None:
        """Charge what was spent since the last turn."""
        cpu, wall = cpu_seconds(), time.perf_counter()
        spent = cpu - self.mark[0], wall - self.mark[1]
        self.meter.add(self.under_way[-1], 0, *spent, peak_mb())
        self.mark = cpu, wall

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        self.turn()
        self.under_way.append(stage)
        try:
            yield
        finally:
            self.turn()
            self.under_way.pop()

    def _wrap(self, stage: str, name: str) -> None:
        owner, last, function = found(name)

        @functools.wraps(function)
        def charged(*args: Any, **options: Any) -> Any:
            with self.stage(stage):
                return function(*args, **options)

        # Modules that imported the function by name hold it too.
        ours = [loaded for key, loaded in sys.modules.items() if key.startswith("ssldata.")]
        for holder in (owner, *ours):
            if getattr(holder, last, None) is function:
                setattr(holder, last, charged)
