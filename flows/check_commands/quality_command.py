"""``crosslabel store quality`` and ``store audit-labels``: how far lifted labels can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.options.shared_options import Location, command
from flows.output.console import Console

if TYPE_CHECKING:
    from ssldata.project.project_file import Project
    from ssldata.trust.findings import Finding

#: Exit code of a check that ran and found something.
_FOUND = 4


def _tables(findings: Sequence[Finding]) -> list[Any]:
    """Return what a person reads: a table of the findings, what to do, then their own tables."""
    from flows.output import tables

    rows = [(finding.mark, finding.title, finding.summary) for finding in findings]
    shown: list[Any] = [tables.table("Findings", ["", "what", "found"], rows)]
    shown += [f"{f.check}: {f.advice}" for f in findings if f.advice]
    for finding in findings:
        for title, table in finding.tables.items():
            cells = [[_cell(value) for value in row] for row in table.rows]
            shown.append(tables.table(title, table.columns, cells))
    return shown


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _aliases(pairs: Sequence[str]) -> dict[str, str]:
    from ssldata.base.errors import ConfigError

    found = {}
    for pair in pairs:
        alias, equals, name = pair.partition("=")
        if not (alias and equals and name):
            raise ConfigError(f"--alias {pair}: expected ALIAS=NAME")
        found[alias] = name
    return found


def _motifs(project: Project, experiments: Sequence[str]) -> dict[str, Any]:
    """Return the matrices of the motifs that a project names for experiments."""
    from ssldata.base.errors import ConfigError
    from sslmodels.baselines.meme_text import read_meme

    found = {}
    for name in experiments:
        entry = project.experiment(name).motif
        if entry is not None:
            known = {motif.name: motif.matrix for motif in read_meme(entry.file)}
            if entry.name not in known:
                raise ConfigError(
                    f"{entry.file}: no motif {entry.name!r} (experiments[].motif.name of {name}); "
                    f"there are {', '.join(list(known)[:5])}, …"
                )
            found[name] = known[entry.name]
    return found


def _report(console: Console, location: str, findings: Sequence[Finding]) -> None:
    """Print findings; exit with 4 where one of them fails."""
    from ssldata.trust.findings import worst

    value = {
        "store": location,
        "mark": worst(findings),
        "findings": [finding.as_json() for finding in findings],
    }
    console.result(value, *_tables(findings))
    if value["mark"] == "fail":
        raise typer.Exit(_FOUND)


def register(app: typer.Typer) -> None:
    """Add the commands to ``crosslabel store``."""
    for function, name in ((quality, "quality"), (audit_labels, "audit-labels")):
        command(app, name)(function)


def quality(
    console: Console,
    location: Location,
    project: Annotated[
        Path | None,
        typer.Option(
            help="Also read the genomes, chains and motifs of this project: chains against both "
            "genomes, N and masked bases, motifs kept, distances between genomes."
        ),
    ] = None,
    tree: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Newick tree, in substitutions per site, whose leaves are the reference and the "
            "genomes: for the effective sample size.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
) -> None:
    """Show how good the liftover to each genome is, and what the rows are worth.

    What became of every source, how like their sources the homologues are, which genomes are worse
    than their distance explains, and how many independent examples the copies are. Exit code 0:
    nothing failed; 4: a check failed.

    Example: `crosslabel store quality my-project/store/Reb1.zarr --project my-project`
    """
    from ssldata.lift_checks.store_quality import quality_findings
    from ssldata.project.project_file import load_project
    from ssldata.store.store import open_store

    store = open_store(location)
    named = None if project is None else load_project(project)
    motifs = {} if named is None else _motifs(named, store.experiments)
    findings = quality_findings(store, named, motifs=motifs, tree=tree, seed=seed, progress=console)
    _report(console, location, findings)


def audit_labels(
    console: Console,
    location: Location,
    peaks: Annotated[
        Path,
        typer.Option(metavar="FILE", help="BED or narrowPeak, plain or packed, of the genome."),
    ],
    genome: Annotated[str, typer.Option(help="Name of the genome they were measured in.")],
    experiment: Annotated[
        str | None, typer.Option(help="Which labels; needed where the store has several.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=1, help="Set every peak to so many bases around its summit."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ALIAS=NAME",
            help="A contig name in the peaks, and its name in the genome; repeatable.",
        ),
    ] = None,
) -> None:
    """Compare the pseudo-labels of a genome with peaks measured in it: precision and recall.

    By identity with the source, with 95 % intervals that count loci, and with places beside the
    pseudo-positives as a control. Exit code 0: better than chance; 4: no better.

    Example: `crosslabel store audit-labels store/CTCF.zarr --genome mm39 --peaks mm39_CTCF.bed`
    """
    from ssldata.lift_checks.label_transport import audit_labels as audit
    from ssldata.lift_checks.label_transport import transport_finding
    from ssldata.store.store import open_store

    found = audit(
        open_store(location),
        peaks,
        genome=genome,
        experiment=experiment,
        width=width,
        aliases=_aliases(alias) if alias else None,
    )
    _report(console, location, [transport_finding(found)])
