"""How fast a store is read, and whether training waits for it: the work of ``store bench``."""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssldata.reading.mixture import mixture_of
from ssldata.reading.reader import Encoding, TrainingReader, tiny_pipeline
from ssldata.store.store import Store

#: A training step that waits for a larger share of its time is data-bound.
BOUND = 0.05
_WARM_UP = 20


def resident_bytes() -> int:
    """Return the memory of this process, in bytes; its peak so far where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory(store: Store, *, batch_size: int) -> int:
    """Return the megabytes that reading one epoch takes beyond those of TensorFlow itself."""
    tiny_pipeline()  # do not count what TensorFlow loads on first use
    before = peak = resident_bytes()
    reader = TrainingReader(store, mixture_of(store), batch_size=batch_size)
    for step, batch in enumerate(reader.dataset().take(reader.steps_per_epoch)):
        del batch
        if step % 10 == 0:
            peak = max(peak, resident_bytes())
    return math.ceil((peak - before) / 1e6)


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What was measured.

    Attributes
    ----------
    rows, length, batch_size
        Rows of the epoch that was read, bases per row, rows per batch.
    direct
        Whether chunks were read without zarr-python.
    codes_per_s, codes_per_cpu_s
        Rows per second of wall and of CPU time (all threads), as base codes.
    onehot_per_s, onehot_per_cpu_s
        The same as float32 one-hot.
    memory_mb
        Growth of the process while reading, in MB.
    step_ms, waiting_ms
        Mean time of a training step, and how much of it was spent waiting for its batch; None
        without a model.
    verdict
        ``data-bound`` when a step waits more than 5 % of its time, else ``model-bound``.
    """

    rows: int
    length: int
    batch_size: int
    direct: bool
    codes_per_s: float
    codes_per_cpu_s: float
    onehot_per_s: float
    onehot_per_cpu_s: float
    memory_mb: int
    step_ms: float | None = None
    waiting_ms: float | None = None
    verdict: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


def _speed(reader: TrainingReader, seconds: float) -> tuple[float, float, int]:
    batches = iter(reader.dataset())
    for _ in range(_WARM_UP):
        next(batches)
    wall, cpu, rows, peak = time.perf_counter(), time.process_time(), 0, 0
    while time.perf_counter() - wall < seconds:
        # Batches may differ in size: the last one of an epoch is smaller.
        rows += sum(int(next(batches)[0].shape[0]) for _ in range(10))
        peak = max(peak, resident_bytes())
    return rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu), peak


def _steps(
    reader: TrainingReader, train: Callable[[Any], None], seconds: float
) -> tuple[float, float]:
    """Return the mean time of a step and the mean wait for its batch, in seconds."""
    batches = iter(reader.dataset())
    for _ in range(3):  # the first step compiles the model
        train(next(batches))
    waits: list[float] = []
    steps: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(steps) < 3:
        start = time.perf_counter()
        batch = next(batches)
        got = time.perf_counter()
        train(batch)
        waits.append(got - start)
        steps.append(time.perf_counter() - start)
    return sum(steps) / len(steps), sum(waits) / len(waits)


def verdict_of(step: float, waiting: float) -> str:
    """Return ``data-bound`` when a step waits more than 5 % of its time, else ``model-bound``."""
    return "data-bound" if waiting > BOUND * step else "model-bound"


def bench(
    store: Store,
    *,
    batch_size: int = 256,
    context: int | None = None,
    seconds: float = 3.0,
    train: Callable[[Any], None] | None = None,
) -> BenchReport:
    """Measure how fast a store is read, and how long training steps wait for their batches.

    Parameters
    ----------
    store
        What to read: its training rows of all genomes.
    batch_size, context
        As of :class:`ssldata.reading.reader.TrainingReader`.
    seconds
        Duration of each measurement.
    train
        Trains on one batch and returns when done.

    Returns
    -------
    BenchReport
        Rates, memory, waiting, verdict.
    """
    mixture = mixture_of(store)
    tiny_pipeline()
    before = resident_bytes()

    def reader(encoding: Encoding) -> TrainingReader:
        return TrainingReader(
            store, mixture, batch_size=batch_size, context=context, encoding=encoding
        )

    first = reader(Encoding())
    codes = _speed(first, seconds)
    onehot = _speed(reader(Encoding(kind="onehot")), seconds)
    step = waiting = None
    if train is not None:
        step, waiting = _steps(reader(Encoding()), train, seconds)
    return BenchReport(
        rows=mixture.rows,
        length=first.length,
        batch_size=batch_size,
        direct=first.is_direct,
        codes_per_s=codes[0],
        codes_per_cpu_s=codes[1],
        onehot_per_s=onehot[0],
        onehot_per_cpu_s=onehot[1],
        memory_mb=round(max(0, codes[2] - before) / 1e6),
        step_ms=None if step is None else step * 1e3,
        waiting_ms=None if waiting is None else waiting * 1e3,
        verdict=None if step is None or waiting is None else verdict_of(step, waiting),
    )
