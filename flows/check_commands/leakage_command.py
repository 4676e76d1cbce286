"""The command ``crosslabel store leakage``."""

from __future__ import annotations

import typer

from flows.options.shared_options import Location, command
from flows.output.console import Console

#: Exit code of a check that ran and found something serious.
_FOUND = 4


def register(app: typer.Typer) -> None:
    """Add the command to ``crosslabel store``."""
    command(app)(leakage)


def leakage(console: Console, location: Location) -> None:
    """Ask whether what a model is tested on is in what it was trained on.

    The split of every row is derived again from where its source lies; places of a genome that
    sources of two splits are lifted to, sequences that occur twice (reverse complements too), and
    test rows that share 16-mers with training rows are counted. All rows are read once; the
    similarity is kept in the cache. -v shows the tables. Exit code 0; 4: a check fails.

    Example: `crosslabel store leakage my-project/store/Reb1.zarr`
    """
    from flows.output.finding_lines import finding_lines
    from ssldata.store.store import open_store
    from ssldata.trust.findings import worst
    from ssldata.trust.leakage import leakage_findings

    findings = leakage_findings(open_store(location), progress=console)
    mark = worst(findings)
    value = {
        "store": location,
        "mark": mark,
        "findings": [finding.as_json() for finding in findings],
    }
    title = f"{location}: {mark}"
    console.result(value, *finding_lines(title, findings, everything=console.verbosity > 0))
    if mark == "fail":
        raise typer.Exit(_FOUND)
