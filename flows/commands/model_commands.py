"""The commands of ``crosslabel model``."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.shared_options import Json, Quiet, Verbose, console

app = typer.Typer(no_args_is_help=True, help="The models that can be trained.")


@app.callback()
def _models() -> None:
    """Keep `list` a command of its own, though it is the only one."""


@app.command("list")
def list_models(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Only these, for example one of your own as my_package.module:function.",
        ),
    ] = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the models with their parameters and options, a line each.

    Models that read the bin see `windows.size` bases, those that read the context all bases of a
    stored row. Options go to `training.model_options`.

    Example: `crosslabel model list`
    """
    from flows.output import tables
    from flows.steps.quiet_tensorflow import muted_import

    with console(verbose, quiet, as_json) as opened:
        with muted_import():
            from sslmodels.models import model_builder
        entries = [model_builder.entry(one) for one in name or model_builder.model_names()]
        value = [
            {
                "name": entry.name,
                "parameters": entry.parameters,
                "reads": entry.reads,
                "shortest": entry.min_length,
                "options": list(entry.options),
                "description": entry.description,
            }
            for entry in entries
        ]
        shown = tables.table(
            "Models",
            ["model", "what", "options", "reads", "parameters"],
            [
                (
                    entry.name,
                    entry.description,
                    ", ".join(entry.options) or "–",
                    entry.reads,
                    tables.count(entry.parameters),
                )
                for entry in entries
            ],
            numbers=1,
        )
        opened.result({"models": value}, shown)
