"""How fast do batches come out of a store? Ours against the ways people feed Keras, in one run.

    python benchmarks/reader.py                               # L = 200 and 1000, batch 256 and 1024
    python benchmarks/reader.py --peer-python /path/to/venv/bin/python --out reader.csv
    python benchmarks/reader.py --lengths 200 --rounds 3

The stores are synthetic: i.i.d. bases with 0.1 % N, one labelled genome and two others. Every
design gives the same rows as (sequence, label, weight); the designs take turns, so that other work
on the machine hits them alike, and the medians of the rounds are printed. Rows per CPU second (user
+ system, all threads) are the measure; rows per second of wall time stand beside them. Before
anything is timed, every row that ours gives is compared with the store.

``--out FILE.csv`` writes the table, and FILE.json what it was measured on. GenVarLoader needs other
releases of what we need too: ``--peer-python`` is the Python of an environment that has it (``pip
install genvarloader==0.43.1``), where it takes its turns in a process of its own. ``--memory``
measures memory instead, in processes of their own; ``--training cnn-7k deepsea`` compares the steps
of ``fit`` from a store, from memory, and from tensors on the device that computes (a GPU when
CUDA_VISIBLE_DEVICES names one; the default is none).

Targets on codes, rows per CPU second: L = 200 ≥ 1.5 × in memory, ≥ 30 × TFRecord as usually
written, ≥ 4 × naive; L = 1000 ≥ 1.0 × in memory; ≤ 400 MB over TensorFlow's own memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from numpy.typing import NDArray
from reader_rivals import GenVarLoader, naive, slices, tfrecord_as_usual, tfrecord_vectorised

from ssldata.genomes.onehot import one_hot
from ssldata.reading.chunk_cache import SMALL_BYTES
from ssldata.reading.mixture import mixture_of
from ssldata.reading.read_speed import peak_memory
from ssldata.sharing.export import export_tfrecord
from ssldata.store.store import Store, open_store
from ssldata.store.store_writer import CHUNKS_PER_SHARD, StoreWriter, chunk_rows, write_shard

GENOMES = ("a", "b")
GROUPS = ("reference", *(f"homologs/{genome}" for genome in GENOMES))
#: What the format asks of every store; no row depends on it.
SETTINGS: dict[str, Any] = {
    "name": "synthetic",
    "reference": {"name": "synthetic", "digest": ""},
    "peaks": {},
    "windows": {"size": 0, "min_overlap": 0, "mode": "rebin", "n_policy": "keep"},
    "split": {"test": [], "validation": []},
    "negatives": {"source": "reference"},
    "liftover": {"mode": "blocks"},
    "seed": 0,
    "codes": True,
}
WARM_UP = 40
#: Duration of a measurement, and of the reading before it that is not counted.
SECONDS, LEAD = 1.0, 0.3


def synthetic_store(path: Path, rows: int, length: int, *, codes: bool) -> Store:
    """Write a store: half the rows are negatives of the reference, half positives of genomes."""
    if path.exists():
        return open_store(path)
    writer = StoreWriter(path)
    writer.create({**SETTINGS, "experiments": ["tf"]})
    for name in GROUPS:
        rng = np.random.default_rng(len(name))
        positive = name != "reference"
        count = rows // 2 // (len(GENOMES) if positive else 1)
        columns = {
            "contig": np.zeros(count, np.int32),
            "start": np.arange(count) * length,
            "end": np.arange(1, count + 1) * length,
            "strand": np.ones(count, np.int8),
            "label": np.full((count, 1), positive, np.uint8),
            "coverage": np.zeros((count, 1), np.int32),
            "weight": np.ones(count, np.float32),
            "split": np.zeros(count, np.int8),
            "source": np.arange(count),
            "locus": np.arange(count) if positive else np.full(count, -1),
        }
        border = count if positive else 0
        ranges = {
            "positive": [0, border],
            "negative": [border, count],
            "validation": [count, count],
            "test": [count, count],
        }
        writer.begin(name, "synthetic")
        writer.write_arrays(
            name,
            columns,
            dims={k: ("row", "experiment")[: v.ndim] for k, v in columns.items()},
            attributes={"ranges": ranges, "contigs": ["synthetic"]},
        )
        writer.create_sequences(name, rows=count, length=length, codes=codes)
        shard = chunk_rows(length) * CHUNKS_PER_SHARD
        for number in range(-(-count // shard)):
            part = min(shard, count - number * shard)
            bases = rng.choice(4, (part, length), p=[0.29, 0.21, 0.21, 0.29]).astype(np.uint8)
            bases[rng.random((part, length), np.float32) < 0.001] = 4
            write_shard(path, name, number, bases)
        entry = {"status": "complete", "digest": "synthetic", "content": f"{rows} {length}"}
        writer.set_entry(name, {**entry, "rows": count, "ranges": ranges, "counts": {}})
    return open_store(path)


def in_memory(store: Store) -> tuple[NDArray, NDArray]:
    """Return all rows as codes and labels, in the order of the store."""
    groups = [store.group(name) for name in GROUPS]
    codes = np.concatenate([group.codes(0, group.rows) for group in groups])
    return codes, np.concatenate([g.column("label") for g in groups]).astype(np.float32)


# -- designs: each returns an endless iterator of batches ----------------------------------------


def reader_of(store: Store, batch: int, **options: Any) -> Any:
    from ssldata.reading.reader import TrainingReader

    return TrainingReader(store, mixture_of(store), batch_size=batch, **options)


def ours(store: Store, batch: int, **options: Any) -> Iterator:
    return iter(reader_of(store, batch, **options).dataset())


# -- measuring -----------------------------------------------------------------------------------


def check(store: Store) -> None:
    """Compare one epoch of ours with the store, row by row."""
    mixture = mixture_of(store)
    expected = sorted(row.tobytes() for row in in_memory(store)[0])
    got: list[bytes] = []
    data = ours(store, 1000)
    for _ in range(mixture.steps(1000)):
        got += [row.tobytes() for row in next(data)[0].numpy()]
    if sorted(got) != expected:
        sys.exit(f"{store.location}: the reader's rows are not those of the store")


def settle() -> None:
    """Wait until reading ahead has ended; it would be charged to the next design."""
    began = time.perf_counter()
    while time.perf_counter() - began < 10:
        cpu = time.process_time()
        time.sleep(0.05)
        if time.process_time() - cpu < 0.002:
            return


def measure(batches: Iterator, batch: int, seconds: float) -> tuple[float, float]:
    """Return rows per CPU second and per second of wall time.

    Batches that were read ahead are used up before the clock is started.
    """
    began = time.perf_counter()
    while time.perf_counter() - began < LEAD:
        next(batches)
    cpu, wall, steps = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - wall < seconds:
        for _ in range(10):
            next(batches)
        steps += 10
    rows = steps * batch
    return rows / (time.process_time() - cpu), rows / (time.perf_counter() - wall)


def medians(
    turns: Mapping[str, Callable[[], tuple[float, float]]],
    *,
    rounds: int,
    before: Callable[[], None] = lambda: None,
) -> dict[str, tuple[float, float]]:
    """Measure in turns; return the medians over the rounds, per CPU second and wall second."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            before()
            found[name].append(turn())
    return {
        name: (statistics.median(c for c, _ in values), statistics.median(w for _, w in values))
        for name, values in found.items()
    }


def designs(
    folder: Path, store: Store, bare: Store, length: int, batch: int
) -> dict[str, Callable[[], Iterator]]:
    from ssldata.reading.reader import Encoding

    codes, label = in_memory(store)
    hot = one_hot(codes)
    zlib, plain = folder / f"zlib-{length}.tfrecord", folder / f"plain-{length}.tfrecord"
    for path, compression in ((zlib, "ZLIB"), (plain, "")):
        if not path.exists():
            export_tfrecord(store, path, groups=["homologs/a"], compression=compression)
    result: dict[str, Callable[[], Iterator]] = {
        "ours: codes": lambda: ours(store, batch),
        "ours: one-hot uint8": lambda: ours(
            store, batch, encoding=Encoding(kind="onehot", dtype="uint8")
        ),
        "ours: one-hot float32": lambda: ours(store, batch, encoding=Encoding(kind="onehot")),
        "ours: codes, one-hot-only store": lambda: ours(bare, batch),
        "ours: codes, through zarr-python": lambda: ours(store, batch, direct=False),
        "in memory: one-hot uint8": lambda: slices(hot, label, batch),
        "in memory: codes": lambda: slices(codes, label, batch),
        "TFRecord, usual": lambda: tfrecord_as_usual(zlib, length, batch),
        "TFRecord, plain, vectorised": lambda: tfrecord_vectorised(plain, length, batch),
        "naive: chunks, unbatch, shuffle": lambda: naive(store, GROUPS, batch),
    }
    return result


def table(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for length in options.lengths:
        rows = options.rows * 200 // length
        store = synthetic_store(folder / f"codes-{length}.zarr", rows, length, codes=True)
        bare = synthetic_store(folder / f"bare-{length}.zarr", rows, length, codes=False)
        check(store)
        check(bare)
        if rows * length <= SMALL_BYTES:
            print("So few rows stay in memory once read: this is not the speed of a store")
        for batch in options.batches:
            running = {
                name: make() for name, make in designs(folder, store, bare, length, batch).items()
            }
            for batches in running.values():
                for _ in range(WARM_UP):
                    next(batches)
            turns = {
                name: partial(measure, made, batch, options.seconds)
                for name, made in running.items()
            }
            peer = None
            if options.peer_python:
                codes = in_memory(store)[0]
                peer = GenVarLoader(options.peer_python, folder, codes, batch)
                turns["GenVarLoader, one-hot uint8"] = partial(peer.measure, options.seconds)
            found = medians(turns, rounds=options.rounds, before=settle)
            if peer:
                peer.close()
            base = found["in memory: one-hot uint8"][0]
            print(f"\nL = {length}, batch {batch}: k rows per CPU second, wall second, × in memory")
            for name, (cpu, wall) in found.items():
                print(f"  {name:36}{cpu / 1e3:9.1f}{wall / 1e3:9.1f}{cpu / base:8.2f}", flush=True)
                lines.append(
                    {
                        "length": length,
                        "batch": batch,
                        "design": name,
                        "rows_per_cpu_s": round(cpu),
                        "rows_per_s": round(wall),
                        "times_in_memory": round(cpu / base, 3),
                    }
                )
            del running, turns
    return lines


def memory(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the memory of an epoch, each in a process of its own, for two sizes of store."""
    lines = []
    for length in options.lengths:
        for rows in (options.rows * 200 // length, options.rows * 2000 // length):
            store = synthetic_store(folder / f"mem-{length}-{rows}.zarr", rows, length, codes=True)
            out = subprocess.run(
                [sys.executable, __file__, "--one-epoch", store.location],
                capture_output=True,
                check=True,
                text=True,
            )
            megabytes = json.loads(out.stdout.splitlines()[-1])
            print(f"L = {length}, {rows} rows: {megabytes} MB over TensorFlow's own", flush=True)
            lines.append({"length": length, "rows": rows, "mb_over_tensorflow": megabytes})
    return lines


def on_device(model: Any, codes: NDArray, label: NDArray, batch: int) -> Any:
    """Let a model take its batches from tensors on its device; return the dataset for ``fit``."""
    import tensorflow as tf

    rows = len(codes) // batch * batch
    tensors = [tf.constant(x[:rows]) for x in (codes, label, np.ones(rows, np.float32))]
    genuine = model.train_step

    def train_step(first: Any) -> Any:
        return genuine(tuple(tensor[first : first + batch] for tensor in tensors))

    model.train_step = train_step
    return tf.data.Dataset.range(0, rows, batch).repeat()


def fit_speed(model: Any, batches: Any, steps: int) -> tuple[float, float]:
    """Return steps of ``fit`` per CPU second and per second of wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    return steps / (time.process_time() - cpu), steps / (time.perf_counter() - wall)


def training(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare the steps of ``fit`` from a store with those from tensors in memory.

    "on the device" is a model that never waits: its rows are already on its device.
    """
    import tensorflow as tf

    from sslmodels.models.model_builder import build_model

    lines = []
    for length in options.lengths:
        rows = options.rows * 200 // length
        store = synthetic_store(folder / f"codes-{length}.zarr", rows, length, codes=True)
        codes, label = in_memory(store)
        weight = np.ones(len(label), np.float32)
        for name in options.training:
            for batch in options.batches:
                whole = tf.data.Dataset.from_tensor_slices((codes, label, weight))
                data = {
                    "store": reader_of(store, batch).dataset(),
                    "in memory": whole.repeat().batch(batch, drop_remainder=True).prefetch(4),
                    "on the device": None,
                }
                models = {}
                for source, batches in data.items():
                    models[source] = build_model(name, length=length, seed=0)
                    models[source].compile(optimizer="adam", loss="binary_crossentropy")
                    if batches is None:
                        data[source] = on_device(models[source], codes, label, batch)
                    models[source].fit(data[source], steps_per_epoch=10, shuffle=False, verbose=0)
                turns = {
                    source: partial(fit_speed, models[source], batches, options.steps)
                    for source, batches in data.items()
                }
                found = medians(turns, rounds=options.rounds)
                print(f"\n{name}, L = {length}, batch {batch}: steps per CPU second, wall second")
                for source, (by_cpu, by_wall) in found.items():
                    print(f"  {source:14}{by_cpu:9.1f}{by_wall:9.1f}", flush=True)
                    lines.append(
                        {
                            "model": name,
                            "length": length,
                            "batch": batch,
                            "source": source,
                            "steps_per_cpu_s": round(by_cpu, 2),
                            "steps_per_s": round(by_wall, 2),
                        }
                    )
    return lines


def machine() -> dict[str, Any]:
    import keras
    import tensorflow as tf
    import zarr

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), ""),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "zarr": zarr.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "commit": git.stdout.strip(),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rows", type=int, default=524_288, help="at 200 b; fewer when longer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per design and round")
    parser.add_argument("--folder", type=Path, help="keep the stores here for the next run")
    parser.add_argument("--peer-python", type=Path, help="Python that has GenVarLoader")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    parser.add_argument("--training", nargs="+", metavar="MODEL", help="measure fit instead")
    parser.add_argument("--steps", type=int, default=100, help="of fit, per round")
    parser.add_argument("--one-epoch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one_epoch:
        print(peak_memory(open_store(options.one_epoch), batch_size=256))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = memory if options.memory else training if options.training else table
        lines = measured(folder, options)
        if options.out:
            with options.out.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, list(lines[0]))
                writer.writeheader()
                writer.writerows(lines)
            text = json.dumps(machine(), indent=1)
            options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
