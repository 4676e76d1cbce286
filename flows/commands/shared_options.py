"""Options that several commands share, and the console every command opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flows.output.console import Console
from flows.steps.quiet_tensorflow import hush

Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Say more; -v -v: tracebacks too.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Location = Annotated[
    str,
    typer.Argument(metavar="STORE", help="A folder, a zip, http(s)://…, s3://… or icechunk://…."),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Dask worker processes to start; 0 works in this process.")
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
TrainWorkers = Annotated[
    int,
    typer.Option(
        min=0, help="Dask worker processes that train, a run each; 0 trains in this process."
    ),
]
TrainThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Threads of TensorFlow per run; its bits depend on them. Default: 1 on Dask workers, "
        "all cores in this process.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory each local worker may use, for example 2GB."),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Overwrite what was built from other inputs or settings.")
]


@contextmanager
def console(verbose: int, quiet: bool, as_json: bool) -> Iterator[Console]:
    """Open what a command writes to, and keep other libraries' talk off it."""
    opened = Console(verbosity=-1 if quiet else verbose, as_json=as_json)
    if opened.verbosity < 1:
        hush()
    with opened.warnings_as_lines():
        yield opened
