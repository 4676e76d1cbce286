"""The commands of ``crosslabel store`` about reading: how fast, and into other formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.options.shared_options import Location, command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for function in (bench, export):
        command(app)(function)


def _training_step(model: str, length: int) -> Callable[[Any], None]:
    """Return a function that trains a new model on one batch and waits until that is done."""
    from flows.steps.quiet_tensorflow import muted_import
    from ssldata.base.errors import ConfigError
    from sslmodels.models.catalogue import DNABERT2

    if model == DNABERT2:
        raise ConfigError(
            f"--model {model}: it is built from downloaded files and reads tokens; name a model "
            "that reads bases"
        )
    with muted_import():
        from sslmodels.models.model_builder import build_model

    network = build_model(model, length=length, seed=0)
    network.compile(optimizer="adam", loss="binary_crossentropy")

    def train(batch: Any) -> None:
        sequence, label, weight = batch
        network.train_on_batch(sequence, label, sample_weight=weight)

    return train


def bench(
    console: Console,
    store: Location,
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model whose training step is timed.")
    ] = "cnn-7k",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per batch.")] = 256,
    context: Annotated[
        int | None, typer.Option(min=1, help="Central bases of the windows; default: all.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds per measurement.")] = 3.0,
) -> None:
    """Measure how fast a store is read here, and whether training waits for it.

    Prints rows per second (of wall time and of CPU time), the memory that reading takes, and how
    long one training step of a model waits for its batch. Data-bound means more than 5 % of the
    step: use more processor cores, a local copy of the store, or one with base codes.

    Example: `crosslabel store bench my-project/store/Reb1.zarr --model cnn-27k`
    """
    from flows.steps.quiet_tensorflow import muted_import

    with muted_import(announce=console.draws):
        from ssldata.reading.read_speed import bench as measure
    from flows.output.tables import count, table
    from ssldata.store.store import REFERENCE, open_store

    opened = open_store(store)
    length = context or opened.group(REFERENCE).length
    train = _training_step(model, length)
    report = measure(opened, batch_size=batch_size, context=context, seconds=seconds, train=train)
    waiting, step = report.waiting_ms or 0.0, report.step_ms or 0.0
    lines = [
        ("base codes", count(report.codes_per_s), count(report.codes_per_cpu_s)),
        ("one-hot float32", count(report.onehot_per_s), count(report.onehot_per_cpu_s)),
    ]
    way = "chunks decoded directly" if report.direct else "through zarr-python"
    console.result(
        {"store": store, "model": model, **report.as_dict()},
        f"{store}: {report.rows:,} rows of {report.length} b, batches of {batch_size}, "
        f"{way}, {report.memory_mb} MB",
        table("Reading", ["sequences", "rows/s", "rows/s of CPU time"], lines, numbers=2),
        f"{model}: a step takes {step:.2f} ms and waits {waiting:.2f} ms of it "
        f"({waiting / step:.1%}) for its batch: {report.verdict}",
    )


def export(
    console: Console,
    store: Location,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    kind: Annotated[
        str, typer.Option("--format", "-f", help="tfrecord, parquet or bed (with FASTA).")
    ] = "tfrecord",
    genome: Annotated[
        list[str] | None,
        typer.Option("--genome", "-g", help="Only this genome, or 'reference'; repeatable."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", "-s", help="Only train, validation or test; repeatable."),
    ] = None,
) -> None:
    """Write a store in another format, for other trainers: one file per genome and split.

    tfrecord has `tf.train.Example` records with one-hot sequences; parquet has letters, in the
    layout of Hugging Face datasets; bed has the bins, with their sequences in a FASTA beside them.

    Example: `crosslabel store export my-project/store/Reb1.zarr reb1-parquet --format parquet`
    """
    from flows.output.tables import count, size, table
    from ssldata.sharing.export import SPLITS, export_store
    from ssldata.store.store import HOMOLOGUES, REFERENCE, open_store

    groups = [x if x == REFERENCE else f"{HOMOLOGUES}/{x}" for x in genome or ()]
    files = export_store(
        open_store(store),
        folder,
        kind=kind,  # type: ignore[arg-type]  # checked there
        groups=groups or None,
        splits=split or SPLITS,
        progress=console,
    )
    rows = [(f["file"], f["split"], count(f["rows"]), size(f["bytes"])) for f in files]
    console.result(
        {"folder": str(folder), "files": files},
        table(f"{folder}", ["file", "split", "rows", "size"], rows, numbers=2),
    )
