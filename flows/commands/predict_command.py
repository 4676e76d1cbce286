"""The command ``crosslabel predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.options.shared_options import Replace, command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app)(predict)


def predict(
    console: Console,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, folders of runs, or .keras files; several are an ensemble.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The file to write."),
    ],
    *,
    fasta: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score the records of a FASTA.")
    ] = None,
    bed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score the intervals of a BED file.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="STORE", help="Score the rows of a store.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Score a whole genome.")] = False,
    genome: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="FASTA or 2bit of --bed and --all; default: the labelled genome of the project.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Bases from one window of a contig to the next; default: a window.",
        ),
    ] = None,
    contig: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this; may be repeated.")
    ] = None,
    group: Annotated[
        str, typer.Option(metavar="NAME", help="Rows of --store: reference or homologs/GENOME.")
    ] = "reference",
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Only the rows of --store of this split."),
    ] = None,
    format_: Annotated[
        Literal["bed", "tsv", "bigwig", "parquet", "zarr"] | None,
        typer.Option("--format", "-f", help="Default: by the name of the file."),
    ] = None,
    one_strand: Annotated[
        bool,
        typer.Option("--one-strand", help="Do not average with the reverse complement."),
    ] = False,
    calibrated: Annotated[
        bool,
        typer.Option("--calibrated", help="Calibrate by the validation bins of each run."),
    ] = False,
    calibration: Annotated[
        Literal["isotonic", "temperature"] | None,
        typer.Option(help="How; implies --calibrated. Default: isotonic."),
    ] = None,
    homologues: Annotated[
        bool,
        typer.Option(
            "--homologues", help="Average each window with its homologues in the other genomes."
        ),
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(metavar="PROJECT", help="Default: the settings kept with the first run."),
    ] = None,
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the input and count the windows.")
    ] = False,
) -> None:
    """Score sequences, intervals, the rows of a store or a whole genome.

    Give one of --fasta, --bed, --store and --all. Windows of a contig that overlap share their
    first layer where the model allows it. A command that was killed continues where it stopped.

    Example: `crosslabel predict my-project/runs/Reb1/cnn-27k/ssl --all --stride 10 -o reb1.bw`
    """
    from flows.commands import actions
    from flows.output import tables
    from flows.steps.quiet_tensorflow import muted_import

    models = actions.models_of(runs)
    with muted_import(announce=console.draws):
        from sslmodels.prediction.prediction_request import PredictionRequest, run_prediction
    if calibrated and calibration is None:
        calibration = "isotonic"
    value = run_prediction(
        PredictionRequest(
            models=models,
            out=out,
            fasta=fasta,
            bed=bed,
            store=store,
            everything=everything,
            genome=genome,
            stride=stride,
            contigs=tuple(contig or ()),
            group=group,
            split=split,
            format=format_,
            both_strands=not one_strand,
            calibration=calibration,
            homologues=homologues,
            project=project,
        ),
        replace=replace,
        dry_run=dry_run,
        progress=console,
    )
    counts = {
        "windows": value["windows"],
        "on the minus strand": value["windows_on_minus_strand"],
        "with an N": value.get("windows_with_n"),
        **{why.replace("_", " "): count for why, count in value["skipped"].items()},
    }
    rows = [(what, tables.count(count)) for what, count in counts.items()]
    console.result(
        value,
        tables.table("Windows", ["what", "number"], rows, numbers=1),
        *(f"{value['status']}: {path}" for path in value["files"]),
    )
