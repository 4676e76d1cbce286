"""The commands of ``crosslabel weights``: teacher weights of runs, in stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options.shared_options import StorePath, command
from flows.output.console import Console

app = typer.Typer(
    no_args_is_help=True,
    help="Teacher weights of `ssl-ns` runs: publish them in a store, for others to train with.",
)


@command(app)
def publish(
    console: Console,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a complete ssl-ns run.")],
    iteration: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Default: the last one.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Default: 12 digits of the run's digest, a dash, and the iteration."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite different weights of that name.")
    ] = False,
) -> None:
    """Write the teacher weights of one iteration of a run into the store it was trained from.

    They are stored beside the rows, one number per row, and change nothing else in the store.
    Projects train with them by `training.weights: NAME`; `crosslabel store inspect` lists them.
    When rows of the store change, their weights are stale and are refused.

    Example: `crosslabel weights publish my-project/runs/Reb1/cnn-27k/ssl-ns/seed-0 --name reb1`
    """
    from flows.commands import actions
    from sslmodels.runs.publish_weights import publish_run

    value = publish_run(run, iteration=iteration, name=name, replace=replace)
    console.result(value, actions.published_line(value))


@command(app)
def remove(
    console: Console,
    store: StorePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the weights.")],
) -> None:
    """Remove published weights from a store, which is then byte for byte as without them.

    Example: `crosslabel weights remove my-project/store/Reb1.zarr reb1`
    """
    from ssldata.store.published_weights import remove_weights

    remove_weights(store, name)
    console.result({"path": str(store), "name": name}, f"{store}: removed weights {name}")
