"""Options that several commands share, and the console that every command prints to."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.output.console import Console
from flows.output.log_file import SCREEN, logged_to
from flows.steps.quiet_tensorflow import hush
from ssldata.base.files import expanded

Verbose = Annotated[
    int,
    typer.Option("-v", "--verbose", count=True, help="Print more; -v -v also prints tracebacks."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
LogFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append what is shown, and what libraries log, to this file, with the time.",
    ),
]
ProjectPath = Annotated[
    Path,
    typer.Argument(
        metavar="PROJECT", help="The project file, or the folder that holds project.yaml."
    ),
]


def _location(value: str) -> str:
    return value if "://" in value else str(expanded(value))


Location = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="A folder, a zip, http(s)://…, s3://… or icechunk://….",
        callback=_location,
    ),
]
StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="A .zarr store.")]
Workers = Annotated[
    int,
    typer.Option(min=0, help="Dask worker processes to start; 0 does the work in this process."),
]
DaskScheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Use a running Dask cluster, for example tcp://host:8786."
    ),
]
SchedulerFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Scheduler file of a running Dask cluster.")
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory each local worker may use, for example 2GB."),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Overwrite what was built from other inputs or settings.")
]
VerifyCache = Annotated[
    bool,
    typer.Option(
        "--verify-cache", help="Read genomes and chains whole, whatever the cache holds of them."
    ),
]


def _expanded(value: Any) -> Any:
    """Return an option with ``~`` and variables filled in, where it is a path or a list of them.

    A shell does not do so after ``=``, and a scheduler nowhere.
    """
    if isinstance(value, Path):
        return expanded(value)
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value


#: What every command takes beside its own options.
_CONSOLE_OPTIONS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
    for name, default, option in (
        ("verbose", 0, Verbose),
        ("quiet", False, Quiet),
        ("as_json", False, Json),
        ("log_file", None, LogFile),
    )
]

#: Has the arguments of the process or of the call, as :func:`flows.commands.app.invoke` got them.
_CONTEXT = inspect.Parameter(
    "called", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
)


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command that also takes ``-v``, ``-q``, ``--json``, ``--log-file``.

    The first parameter of the function is the console these options ask for. They are listed
    after its positional parameters and before those that are keyword-only.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        last = [option for option in own if option.kind is inspect.Parameter.KEYWORD_ONLY]
        options = [_CONTEXT, *own[: len(own) - len(last)], *_CONSOLE_OPTIONS, *last]

        @functools.wraps(function)
        def run(
            called: typer.Context,
            verbose: int,
            quiet: bool,
            as_json: bool,
            log_file: Path | None,
            **given: Any,
        ) -> None:
            console = Console(verbosity=-1 if quiet else verbose, as_json=as_json)
            if console.verbosity < 1:
                hush()
            file = None if log_file is None else expanded(log_file)
            with logged_to(file), console.warnings_as_lines():
                if file is not None:
                    SCREEN.info("%s", shlex.join(["crosslabel", *called.find_root().obj]))
                function(console, **{name: _expanded(value) for name, value in given.items()})

        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        return app.command(name)(run)

    return register
