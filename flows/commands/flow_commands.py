"""The commands of ``crosslabel flows``: what deployments do, without a server."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.store_commands import FOUND
from flows.options.shared_options import ProjectPath, command
from flows.output.console import Console

app = typer.Typer(no_args_is_help=True, help="Watch for new genomes without a Prefect server.")

_UNITS = {"s": 1, "m": 60, "h": 3600}


def _seconds(every: str) -> int:
    from ssldata.base.errors import ConfigError

    found = re.fullmatch(r"([1-9]\d{0,5})([smh])", every)
    if found is None:
        raise ConfigError(f"--every {every}: expected a number with s, m or h, for example 5m")
    return int(found[1]) * _UNITS[found[2]]


@command(app)
def watch(
    console: Console,
    project: ProjectPath,
    registry: Annotated[
        Path,
        typer.Argument(
            metavar="REGISTRY",
            help="The registry of arriving genomes: a folder of YAML files, or a YAML file.",
        ),
    ],
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, do what is to be done, and end.")
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Look again and again, for example every 5m."),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="After an append, train what uses the new rows, and compare."
        ),
    ] = False,
    again: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Try a genome again that was refused or given up; repeatable."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; do and remember nothing.")
    ] = False,
) -> None:
    """Append genomes that have arrived in a registry to the stores of a project, and validate them.

    A genome is taken when its files have not changed between two looks, or at once when their
    checksums are in the registry and agree. Each is appended once; an attempt that was killed is
    repeated, three in all. A wrong genome is reported once and stops no other.

    Exit code 0: nothing is wrong; 4: a genome was refused, failed or given up at this look, or a
    store is wrong.

    Example: `crosslabel flows watch my-project incoming --once`
    """
    from flows.steps.arrival_steps import watch_once
    from ssldata.base.errors import ConfigError

    if once == (every is not None):
        raise ConfigError("flows watch needs either --once or --every TIME")
    if every is not None and dry_run:
        raise ConfigError("--dry-run goes with --once")
    pause = 0 if every is None else _seconds(every)
    names = again or []
    while True:
        value = watch_once(
            project, registry, dry_run=dry_run, again=names, retrain=retrain, progress=console
        )
        if once:
            break
        if any(g["status"] not in ("in store", "waiting") or g["new"] for g in value["genomes"]):
            console.result(value, *_shown(value))
        names = []
        time.sleep(pause)
    console.result(value, *_shown(value))
    if value["found"]:
        raise typer.Exit(FOUND)


def _shown(value: Mapping[str, Any]) -> list[Any]:
    from flows.output import tables

    if value["busy"]:
        return ["another process watches this project; nothing was done"]
    rows = [(g["name"], g["status"], g["attempt"] or "", g["message"]) for g in value["genomes"]]
    columns = ["genome", "", "attempt", ""]
    shown: list[Any] = [tables.table("Arrivals", columns, rows) if rows else "no genome is listed"]
    shown += [
        f"{path}: WRONG: {problem}"
        for path, problems in value["wrong"].items()
        for problem in problems
    ]
    if value["effects"]:
        from sslmodels.report.genome_effect import EFFECT_COLUMNS, effect_lines

        title = "Did it help? AUPR on the same test bins, 95 % intervals"
        shown.append(tables.table(title, list(EFFECT_COLUMNS), effect_lines(value["effects"])))
    return shown
