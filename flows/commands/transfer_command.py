"""The command ``crosslabel transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.options.shared_options import Replace, command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app)(transfer)


def transfer(
    console: Console,
    store: Annotated[
        Path,
        typer.Argument(metavar="STORE", help="A feature store of `crosslabel model features`."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results.")],
    *,
    labels: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A coordinate of the store, or a CSV with the columns header and label.",
        ),
    ] = "label",
    models: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="What is fitted: logistic, l1, lightgbm, with commas between."
        ),
    ] = "logistic,l1",
    features: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only features of such names; may be repeated."),
    ] = None,
    kind: Annotated[
        Literal["tf", "histone", "accessibility"] | None,
        typer.Option(help="Only profiles of Sei of this kind."),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Sei's own list of targets: names of the columns, in their order."
        ),
    ] = None,
    split_by: Annotated[
        Literal["stored", "random", "contig"] | None,
        typer.Option(help="Default: as stored, else at random by the seed (80, 10 and 10 %)."),
    ] = None,
    validation_contig: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="For --split-by contig; may be repeated."),
    ] = None,
    test_contig: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="For --split-by contig; may be repeated."),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Memory the process may take; the store may be larger."),
    ] = "4GB",
    search: Annotated[
        int,
        typer.Option(min=0, help="Settings of LightGBM to try beside the published ones."),
    ] = 0,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, help="Resamples for the intervals of coefficients; 0: none."),
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, resamples and LightGBM.")] = 0,
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the input and count the rows.")
    ] = False,
) -> None:
    """Fit simple models to features of a frozen model, and show which features matter.

    logistic and l1 are logistic regressions with an L2 and an L1 penalty; they are fitted block by
    block, so the store may be larger than --memory. lightgbm is gradient boosting and needs
    `pip install 'crosslabel[transfer]'`. Penalties and trees are chosen on the validation rows;
    the test rows are scored once. Where a store has both strands as rows, models are fitted to
    both and judged by their mean.

    Example: `crosslabel transfer features.zarr --out results --models logistic,l1`
    """
    from flows.output import tables
    from sslmodels.transfer.fit_transfer import TransferRequest, fit_transfer
    from sslmodels.transfer.memory_limit import parse_memory
    from sslmodels.transfer.row_labels import LabelOptions

    chosen: Any = tuple(name.strip() for name in models.split(",") if name.strip())
    value = fit_transfer(
        TransferRequest(
            features=store,
            out=out,
            labels=LabelOptions(
                labels=labels,
                split_by=split_by,
                validation_contigs=tuple(validation_contig or ()),
                test_contigs=tuple(test_contig or ()),
                seed=seed,
            ),
            models=chosen,
            patterns=tuple(features or ()),
            kind=kind,
            targets=targets,
            memory=parse_memory(memory),
            search=search,
            resamples=bootstrap,
            seed=seed,
        ),
        replace=replace,
        dry_run=dry_run,
        progress=console,
    )
    shown = []
    if "metrics" in value:
        rows = [
            (
                name,
                f"{found['test']['auroc']:.3f}",
                f"{found['test']['aupr']:.3f}",
                f"{found['test']['prevalence']:.3f}",
                tables.count(value["models"][name].get("features")),
            )
            for name, found in value["metrics"].items()
        ]
        columns = ["model", "AUROC", "AUPR", "prevalence", "features used"]
        shown.append(tables.table("Test loci", columns, rows, numbers=4))
        for name, described in value["models"].items():
            for note in described.get("notes", ()):
                console.note(f"{name}: {note}")
    else:
        rows = [
            (name, *(tables.count(count[key]) for key in ("rows", "loci", "positives")))
            for name, count in value["rows"].items()
        ]
        shown.append(
            tables.table("To be fitted", ["split", "rows", "loci", "positives"], rows, numbers=3)
        )
    console.result(value, *shown, f"{value['status']}: {value['out']}")
