"""The commands of ``crosslabel weights``: teacher weights of runs, in stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shared_options import Json, Quiet, Verbose, console

app = typer.Typer(
    no_args_is_help=True,
    help="Teacher weights of `ssl-ns` runs: put them in a store, for others to train with.",
)


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a complete ssl-ns run.")],
    iteration: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Default: the last one.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Default: 12 digits of the run's digest, a dash, and the iteration."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite other weights of that name.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the teacher weights of one iteration of a run into the store it was trained from.

    They lie beside the rows, one number per row, and change nothing else in the store. Projects
    train with them by `training.weights: NAME`; `crosslabel store inspect` lists them. When rows
    of the store change, their weights are stale and are refused.

    Example: `crosslabel weights publish my-project/runs/Reb1/cnn-27k/ssl-ns/seed-0 --name reb1`
    """
    from flows.commands import actions
    from sslmodels.runs.publish_weights import publish_run

    with console(verbose, quiet, as_json) as shown:
        value = publish_run(run, iteration=iteration, name=name, replace=replace)
        shown.result(value, actions.published_line(value))


@app.command()
def remove(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A .zarr store.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the weights.")],
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Take published weights out of a store; it is then byte for byte what it was without them.

    Example: `crosslabel weights remove my-project/store/Reb1.zarr reb1`
    """
    from ssldata.store.published_weights import remove_weights

    with console(verbose, quiet, as_json) as shown:
        remove_weights(store, name)
        shown.result({"path": str(store), "name": name}, f"{store}: removed weights {name}")
