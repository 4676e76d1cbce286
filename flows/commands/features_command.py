"""The command ``crosslabel model features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.options.shared_options import Replace, command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "features")(features)


def features(
    console: Console,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run folder, a .keras or .meme file, sei:PATH, or a model of "
            "`crosslabel model list`.",
        ),
    ],
    sequences: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="A store, a FASTA, a BED file with --genome, or a CSV with the columns "
            "header,sequence and perhaps label and split.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="STORE", help="The feature store to write.")
    ],
    *,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="penultimate, output, log-odds, or the name of a layer. Default: penultimate; of "
            "a model with several outputs, output.",
        ),
    ] = None,
    genome: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FASTA or 2bit of the BED intervals.")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Bases around the centre of intervals or stored rows, for a model that reads any "
            "number.",
        ),
    ] = None,
    group: Annotated[
        str, typer.Option(metavar="NAME", help="Rows of a store: reference or homologs/GENOME.")
    ] = "reference",
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Only the rows of a store of this split."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of a model named by its architecture: a .weights.h5 file, for dnabert2 "
            "the folder of its files. Default: new weights, of dnabert2 the published ones.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of new weights.")] = 0,
    one_strand: Annotated[
        bool,
        typer.Option("--one-strand", help="Do not average with the reverse complement."),
    ] = False,
    strand_rows: Annotated[
        bool,
        typer.Option(
            "--strand-rows",
            help="Make both strands rows of one locus, instead of averaging their features.",
        ),
    ] = False,
    dtype: Annotated[
        Literal["float32", "float16"], typer.Option(help="Type of the stored numbers.")
    ] = "float32",
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many rows, columns and bytes.")
    ] = False,
) -> None:
    """Compute features of sequences by a frozen model, into a store with named columns.

    The store is Zarr and opens with xarray.open_zarr; `crosslabel transfer` fits simple models to
    it. Of a run these are the activations before its last layer, of a model of many experiments
    its outputs, of DNABERT-2 the mean of its last hidden states, of a MEME file the best site and
    the sum of all sites of every motif. A command that was killed continues where it stopped.

    Example: `crosslabel model features my-project/runs/Reb1/cnn-27k/ssl/seed-0 --sequences
    my-project/store/Reb1.zarr --out features.zarr`
    """
    from flows.output import tables
    from flows.steps.quiet_tensorflow import muted_import

    with muted_import(announce=console.draws):
        from sslmodels.features.extract_features import FeatureRequest, extract_features
    value = extract_features(
        FeatureRequest(
            model=model,
            sequences=sequences,
            out=out,
            genome=genome,
            length=length,
            group=group,
            split=split,
            layer=layer,
            weights=weights,
            seed=seed,
            both_strands=not one_strand,
            strand_rows=strand_rows,
            dtype=dtype,
        ),
        replace=replace,
        dry_run=dry_run,
        progress=console,
    )
    rows = [
        ("rows", tables.count(value["rows"])),
        ("columns", tables.count(value["columns"])),
        ("size, not compressed", tables.size(value["bytes"])),
        *((why.replace("_", " "), tables.count(n)) for why, n in value["skipped"].items()),
    ]
    console.result(
        value,
        tables.table("Features", ["what", "number"], rows, numbers=1),
        f"{value['status']}: {value['out']}",
    )
