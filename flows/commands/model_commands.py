"""The commands of ``crosslabel model``."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.shared_options import command
from flows.output.console import Console

app = typer.Typer(no_args_is_help=True, help="The models that can be trained.")


@app.callback()
def _models() -> None:
    """Keep `list` a command of its own, though it is the only one."""


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
    stored row. Options go to `training.model_options`.

    Example: `crosslabel model list`
    """
    from flows.output import tables
    from flows.steps.quiet_tensorflow import muted_import

    with muted_import():
        from sslmodels.models.catalogue import model_names
        from sslmodels.models.model_builder import entry
    entries = [entry(one) for one in name or model_names()]
    value = [
        {
            "name": model.name,
            "parameters": model.parameters,
            "reads": model.reads,
            "shortest": model.min_length,
            "options": list(model.options),
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
    console.result({"models": value}, tables.table("Models", columns, rows, numbers=1))
