"""The command ``crosslabel store shortcut``."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.options.shared_options import Location, command
from flows.output.console import Console

#: Exit code of a check that ran and found something serious.
_FOUND = 4


def register(app: typer.Typer) -> None:
    """Add the command to ``crosslabel store``."""
    command(app)(shortcut)


def shortcut(
    console: Console,
    location: Location,
    rows: Annotated[
        int, typer.Option(min=100, help="Most rows of a class and genome that are looked at.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of rows and of the folds.")] = 0,
) -> None:
    """Ask whether composition alone tells the genomes, or the labels, before anything is trained.

    A small model of GC, CpG and words of up to four bases, cross-validated over blocks of the
    labelled genome, tells target genomes from the labelled one at the same loci, positives from
    negatives, and the classes of pre-training. What the last has over the one before is the
    species shortcut. Only training rows are read. -v shows the tables. Exit code 0; 4: a check
    fails.

    Example: `crosslabel store shortcut my-project/store/Reb1.zarr`
    """
    from flows.output.finding_lines import finding_lines
    from ssldata.store.store import open_store
    from ssldata.trust.findings import worst
    from ssldata.trust.species_shortcut import shortcut_findings

    findings = shortcut_findings(open_store(location), rows=rows, seed=seed)
    mark = worst(findings)
    value = {
        "store": location,
        "rows": rows,
        "seed": seed,
        "mark": mark,
        "findings": [finding.as_json() for finding in findings],
    }
    title = f"{location}: {mark}"
    console.result(value, *finding_lines(title, findings, everything=console.verbosity > 0))
    if mark == "fail":
        raise typer.Exit(_FOUND)
