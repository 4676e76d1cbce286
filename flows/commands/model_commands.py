"""The commands of ``crosslabel model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.options.shared_options import command
from flows.output.console import Console

app = typer.Typer(
    no_args_is_help=True, help="The models that can be trained, and what to do with trained ones."
)

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a complete run.")]


@command(app, "list")
def list_models(
    console: Console,
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Only these, for example one of your own as my_package.module:function.",
        ),
    ] = None,
) -> None:
    """List the models with their parameters and options, one line each.

    Models that read the bin see `windows.size` bases, those that read the context all bases of a
    stored row. Options go to `training.model_options`. Some models have defaults of their own for
    the settings of a fit; what a project sets for all models or for this one comes first.

    Example: `crosslabel model list`
    """
    from flows.output import tables
    from flows.steps.quiet_tensorflow import muted_import

    with muted_import():
        from sslmodels.models.catalogue import model_names
        from sslmodels.models.model_builder import entry
        from sslmodels.models.model_settings import own_defaults
    entries = [entry(one) for one in name or model_names()]
    value = [
        {
            "name": model.name,
            "parameters": model.parameters,
            "reads": model.reads,
            "shortest": model.min_length,
            "options": list(model.options),
            "fitted_with": dict(model.fitted_with),
            "description": model.description,
        }
        for model in entries
    ]
    rows = [
        (
            model.name,
            model.description,
            ", ".join(model.options) or "–",
            model.reads,
            tables.count(model.parameters),
        )
        for model in entries
    ]
    columns = ["model", "what", "options", "reads", "parameters"]
    lines = [
        f"{model.name} by default: {own_defaults(model.name)}; {model.fitted_as}"
        for model in entries
        if model.fitted_with
    ]
    if not name:
        lines.append("sei, which is not trained, gives 21,907 profiles of a sequence: docs/sei.md")
    table = tables.table("Models", columns, rows, numbers=1)
    console.result({"models": value}, table, *lines)


@command(app, "export")
def export_model(
    console: Console,
    run: RunPath,
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")],
    form: Annotated[
        Literal["keras", "savedmodel", "onnx", "all"],
        typer.Option("--format", help="What to write."),
    ] = "keras",
    licence: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Licence for the card: an SPDX name or URL."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite files of an earlier export.")
    ] = False,
) -> None:
    """Write a trained model for other programs, with a model card.

    keras is a .keras file of built-in layers, savedmodel a folder for TensorFlow, onnx a file for
    ONNX Runtime. All read one-hot (batch, length, 4) in the order A, C, G, T and give the
    probabilities of the run's own model, without crosslabel.

    Example: `crosslabel model export my-project/runs/Reb1/cnn-27k/ssl/seed-0 --to reb1-model`
    """
    from flows.steps.quiet_tensorflow import muted_import

    with muted_import(announce=console.draws):
        from sslmodels.exporting.export_model import export_model as write

    files = write(run, to, None if form == "all" else [form], licence=licence, replace=replace)
    console.result({"files": [str(path) for path in files]}, *(f"wrote {path}" for path in files))


@command(app)
def interpret(
    console: Console,
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, folders of them, or a project."),
    ],
    *,
    known: Annotated[
        Path | None,
        typer.Option("--motifs", metavar="FILE", help="MEME file of known motifs to match with."),
    ] = None,
    rows: Annotated[
        Literal["test", "validation"], typer.Option(help="Split whose rows are read.")
    ] = "test",
    count: Annotated[
        int, typer.Option(min=10, help="Positive rows at most; as many negative rows are read.")
    ] = 500,
    method: Annotated[
        Literal["mutagenesis", "gradient", "integrated"],
        typer.Option(
            help="How the contribution of a base is computed: saturation mutagenesis, gradient × "
            "input, or integrated gradients."
        ),
    ] = "mutagenesis",
    seed: Annotated[int, typer.Option(min=0, help="Of the rows that are drawn.")] = 0,
) -> None:
    """Show what models have learnt: motifs, known ones like them, and what they do.

    Writes the folder `interpretation` of each run: a page, the motifs as MEME and JSON, and the
    contribution of every base that was read. The report of a project links to it.

    Example: `crosslabel model interpret my-project/runs/Reb1/cnn-27k/ssl/seed-0 --motifs
    JASPAR2024_CORE_fungi.meme`
    """
    from flows.commands import actions

    options = {"rows": rows, "count": count, "seed": seed, "method": method, "known": known}
    value, tables = actions.interpret(runs, console, options)
    console.result(value, *tables)


@command(app, "hot-spots")
def hot_spots(
    console: Console,
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="Run folders, folders of them, a project, or .keras files (with --store).",
        ),
    ],
    *,
    known: Annotated[
        Path, typer.Option("--motifs", metavar="FILE", help="MEME file of the motifs.")
    ],
    rows: Annotated[
        Literal["test", "validation"], typer.Option(help="Split whose rows are read.")
    ] = "test",
    output: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Experiment, where a model has several outputs."),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="Rows count that are predicted correctly, with a probability above this.",
        ),
    ] = 0.8,
    count: Annotated[int, typer.Option(min=1, help="Rows of each class at most.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Points of integrated gradients.")] = 20,
    towards: Annotated[
        Literal["own", "positive"],
        typer.Option(
            help="Attributions of each row's own class, or of class 1 in all rows: in class 0 the "
            "bases that speak against class 1, or for it."
        ),
    ] = "own",
    hot: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Positions are hot above this share of the row's largest attribution.",
        ),
    ] = 0.7,
    width: Annotated[
        int, typer.Option(min=1, help="Bases of the window around a hot position.")
    ] = 32,
    windows: Annotated[
        Literal["merged", "single"],
        typer.Option(
            help="Windows that overlap or touch become one hot spot, or each hot position has its "
            "own, as published."
        ),
    ] = "merged",
    match: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Sites count from this share of their motif's largest score on."
        ),
    ] = 0.8,
    background: Annotated[
        str,
        typer.Option(
            metavar="A,C,G,T",
            help="Base frequencies that motifs are scored over: measured (in the rows that are "
            "read), uniform, or four numbers.",
        ),
    ] = "measured",
    store: Annotated[
        str | None,
        typer.Option(metavar="STORE", help="Labelled rows for a .keras file outside a run."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write to; default: hot-spots in the run."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the rows that are drawn.")] = 0,
) -> None:
    """Test which known motifs matter to a model more often in one class than in the other.

    Hot spots are the windows of a sequence whose bases have the largest integrated gradients. They
    are scanned with the motifs on both strands, and the shares of sequences with a motif are
    compared between rows of class 1 and 0 that the model predicts correctly and confidently
    (two-proportion tests, Bonferroni and Benjamini-Hochberg). The defaults are those of Daoud and
    Ben-Hur 2025. Where `model interpret` finds motifs and names them, this asks about every motif
    of a file, both ways.

    Writes a page, all tests as TSV and JSON, and the hot spots as BED, TSV and NumPy arrays.

    Example: `crosslabel model hot-spots my-project/runs/Reb1/cnn-27k/ssl/seed-0 --motifs
    JASPAR2024_CORE_fungi.meme`
    """
    from flows.commands import actions

    options = {
        "known": known,
        "rows": rows,
        "output": output,
        "confidence": confidence,
        "count": count,
        "seed": seed,
        "steps": steps,
        "towards": towards,
        "hot": hot,
        "width": width,
        "windows": windows,
        "match": match,
        "background": background,
    }
    value, tables = actions.hot_spots(models, console, options, store=store, folder=to)
    console.result(value, *tables)
