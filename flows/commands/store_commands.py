"""The commands of ``crosslabel store`` that show, change, check, compare and share stores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.options.shared_options import (
    DaskScheduler,
    Location,
    Memory,
    Replace,
    SchedulerFile,
    StorePath,
    Workers,
    command,
)
from flows.output.console import Console

_ROWS_ADVICE = "damaged rows are rewritten by `crosslabel build PROJECT --repair`"
_WEIGHTS_ADVICE = "wrong weights are removed by `crosslabel weights remove STORE NAME`"
#: Exit code of a check that ran and found something: a wrong store, a difference.
FOUND = 4

Place = Annotated[Path, typer.Argument(metavar="PROJECT|STORE", help="A project or a .zarr store.")]
Licence = Annotated[
    str | None,
    typer.Option(help="Licence of the data, an SPDX name or URL; recorded in the card."),
]
GenomeName = Annotated[str, typer.Argument(metavar="GENOME", help="Name of the genome.")]

app = typer.Typer(
    no_args_is_help=True, help="Inspect, check, compare, share and export stores; add genomes."
)


def _aliases(pairs: Sequence[str]) -> dict[str, str]:
    from ssldata.base.errors import ConfigError

    found = {}
    for pair in pairs:
        alias, equals, name = pair.partition("=")
        if not (alias and equals and name):
            raise ConfigError(f"--alias {pair}: expected ALIAS=NAME")
        found[alias] = name
    return found


def _stores_table(title: str, value: Mapping[str, Any]) -> Any:
    from flows.output import tables

    rows = [(store["path"], store["status"]) for store in value["stores"]]
    return tables.table(title, ["store", "status"], rows)


@command(app)
def inspect(
    console: Console,
    path: Annotated[
        str,
        typer.Argument(
            metavar="STORE|PROJECT",
            help="A folder, a zip, http(s)://…, s3://… or icechunk://…; or a project.",
        ),
    ],
) -> None:
    """Show what a store holds: genomes, rows, bytes, status, digest.

    A project with many genomes gets one line per store; -v lists every genome.

    Example: `crosslabel store inspect my-project/store/Reb1.zarr`
    """
    from flows.output import store_view

    value, tables = store_view.inspect(path, everything=console.verbosity > 0)
    console.result(value, *tables)


@command(app)
def add(
    console: Console,
    place: Place,
    name: Annotated[str, typer.Option(help="Name of the new genome.")],
    sequence: Annotated[Path, typer.Option(help="FASTA or 2bit, plain or packed.")],
    chain: Annotated[Path, typer.Option(help="Chain file from the reference to this genome.")],
    distance: Annotated[
        float | None, typer.Option(min=0, help="Substitutions per site from the reference.")
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ALIAS=NAME",
            help="A contig name in the chain, and its name in the sequence; repeatable.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Sequence of the labelled genome, for a store without its project."),
    ] = None,
    workers: Workers = 0,
    dask_scheduler: DaskScheduler = None,
    scheduler_file: SchedulerFile = None,
    memory: Memory = None,
    replace: Replace = False,
) -> None:
    """Add one genome to every store of a project (or to one store), and list it in the project.

    Only the rows of that genome are written; those of the others are not touched. The list is
    the registry file that the project names, or the project file itself. Adding the same genome
    again changes nothing.

    Example: `crosslabel store add my-project --name N44 --sequence N44.fa.gz --chain N44.chain.gz`
    """
    from flows.commands import actions
    from flows.steps import run_checks
    from ssldata.building.add_remove_genomes import add_genome, memory_to_add
    from ssldata.building.dask_pool import open_pool

    cluster = run_checks.Cluster(workers, dask_scheduler, scheduler_file, memory)
    needed = memory_to_add(place) if memory is not None else 0
    with open_pool(**cluster.options(), needed=needed) as pool:
        value = add_genome(
            place,
            name=name,
            sequence=sequence,
            chain=chain,
            distance=distance,
            aliases=_aliases(alias) if alias else None,
            reference=reference,
            replace=replace,
            pool=pool,
            progress=console,
        )
    notes: list[Any] = list(actions.build_tables([{**s, "steps": [s]} for s in value["stores"]]))
    if value["registered"]:
        notes.append(f"listed in {value['registry']}")
    notes += [f"not in {s} yet; `crosslabel build` adds it" for s in value["lacking"]]
    console.result(value, *notes)


@command(app)
def remove(console: Console, place: Place, genome: GenomeName) -> None:
    """Delete the rows of one genome from every store of a project, or from one store.

    Given a project, the genome is also removed from its list. `yank` keeps the rows instead.

    Example: `crosslabel store remove my-project N44`
    """
    from ssldata.building.add_remove_genomes import remove_genome

    value = remove_genome(place, genome)
    console.result(value, _stores_table(genome, value))


@command(app)
def yank(
    console: Console,
    place: Place,
    genome: GenomeName,
    reason: Annotated[str, typer.Option(help="The reason; recorded in the store.")] = "",
) -> None:
    """Keep the rows of one genome but hide them from readers: training goes on without it.

    Runs trained before recognise by the store's digest that it has changed.

    Example: `crosslabel store yank my-project N44 --reason "contaminated assembly"`
    """
    from ssldata.building.add_remove_genomes import yank_genome

    value = yank_genome(place, genome, reason=reason)
    console.result(value, _stores_table(genome, value))


@command(app)
def unyank(console: Console, place: Place, genome: GenomeName) -> None:
    """Let readers use a yanked genome again; its rows were kept and are not rewritten.

    Example: `crosslabel store unyank my-project N44`
    """
    from ssldata.building.add_remove_genomes import unyank_genome

    value = unyank_genome(place, genome)
    console.result(value, _stores_table(genome, value))


@command(app)
def diff(console: Console, first: Location, second: Location) -> None:
    """Show how two stores differ and why: settings, genomes, inputs, versions, rows.

    Ledgers are compared; no row is read. Exit code 0: readers see the same; 4: they do not.

    Example: `crosslabel store diff old/Reb1.zarr new/Reb1.zarr`
    """
    from flows.output import tables
    from ssldata.checking.store_diff import diff_stores
    from ssldata.store.store import open_store

    value = diff_stores(open_store(first), open_store(second))
    rows = [
        (part, key, *values)
        for part in ("settings", "weights")
        for key, values in value[part].items()
    ]
    for name, group in value["groups"].items():
        if group["status"] == "same":
            continue
        kinds = ("inputs", "versions", "counts")
        details = [(k, *v) for kind in kinds for k, v in group.get(kind, {}).items()]
        if "state" in group:
            details.insert(0, ("status", *group["state"]))
        if group.get("arrays"):
            details.append(("arrays", ", ".join(group["arrays"]), ""))
        rows += [(name, *detail) for detail in details] or [(name, group["status"], "", "")]
    title = "readers see the same" if value["same"] else "the stores differ"
    columns = ["group", "what", "first", "second"]
    cells = [[_short(cell) for cell in row] for row in rows]
    console.result(value, tables.table(title, columns, cells) if rows else title)
    if not value["same"]:
        raise typer.Exit(FOUND)


def _advice(checks: set[str]) -> list[str]:
    """Return what to do about problems of these kinds; a repair leaves published weights alone."""
    rows, weights = checks - {"weights"}, checks & {"weights"}
    return [*([_ROWS_ADVICE] if rows else []), *([_WEIGHTS_ADVICE] if weights else [])]


def _short(value: Any) -> str:
    """Return a value of a comparison in readable form: digests by their first letters."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _own_project(location: str) -> Any:
    """Return the project a store lies in, or None when no readable one is found."""
    from ssldata.base.errors import CrosslabelError
    from ssldata.building.locate import project_above

    if not Path(location).is_dir():
        return None
    try:
        return project_above(Path(location))
    except CrosslabelError:  # it may be anybody's; the store stands for itself
        return None


@command(app)
def validate(
    console: Console,
    location: Location,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every sequence and compare checksums.")
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(
            help="With --deep: extract every sequence again from the genomes of this project; "
            "default: the project that the store lies in."
        ),
    ] = None,
) -> None:
    """Check a store against its ledger and the rules of the format.

    Columns are checked whole: checksums, splits (leaks between them), labels against coverage,
    weights, coordinates, liftover results. Sequences are checked in the first chunk of every
    shard; with --deep all are checked, and also extracted again from the genomes. Exit code 0:
    valid; 4: something is wrong.

    Example: `crosslabel store validate my-project/store/Reb1.zarr --deep`
    """
    from flows.output import tables
    from ssldata.base.errors import ConfigError
    from ssldata.checking.validate import validate_store
    from ssldata.project.project_file import load_project
    from ssldata.store.store import open_store

    if project is not None and not deep:
        raise ConfigError("--project needs --deep: without it no sequence is extracted")
    store = open_store(location)
    named = load_project(project) if project is not None else None
    genomes = _own_project(location) if deep and named is None else named
    report = validate_store(
        store, deep=deep, project=genomes, must_extract=named is not None, progress=console
    )
    found = [
        (kind, item.group or "store", item.check, item.message)
        for kind, items in (("wrong", report.problems), ("note", report.warnings))
        for item in items
    ]
    checked, decoded, extracted = (
        tables.count(sum(rows[part] for rows in report.rows.values()))
        for part in ("rows", "sequences", "extracted")
    )
    title = (
        f"{report.store}: {'valid' if report.valid else 'WRONG'}; {checked} rows checked, "
        f"{decoded} sequences decoded, {extracted} compared with the genomes"
    )
    console.result(
        report.as_dict(),
        tables.table(title, ["", "group", "check", "what"], found) if found else title,
        *_advice({problem.check for problem in report.problems}),
    )
    if not report.valid:
        raise typer.Exit(FOUND)


@command(app)
def card(
    console: Console,
    location: Location,
    licence: Licence = None,
    published: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="When the data were published, YYYY-MM-DD."),
    ] = None,
    cite: Annotated[
        str | None, typer.Option(metavar="BIBTEX", help="How to cite the data, in BibTeX.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the card here, for a store that cannot be written to."
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Make the checks that take minutes too; they are kept."),
    ] = False,
) -> None:
    """Check a store and write its card: card.html, and README.md, croissant.json, sources.csv.

    The page says what the store is, how many rows each genome and split has, what the checks found
    (pass, note, warn, fail), how to load it, and what it was made from. Slow checks are made with
    --full; what they found is kept for as long as the rows are the same. Nothing is written that
    is already current.

    Example: `crosslabel store card my-project/store/Reb1.zarr --licence CC-BY-4.0`
    """
    from flows.output import tables
    from ssldata.sharing.croissant_file import Facts, checked_date
    from ssldata.store_card.write_store_card import write_store_card

    value = write_store_card(
        location,
        out=out,
        facts=Facts(licence, checked_date(published), cite),
        full=full,
        genomes=_own_project(location) if full else None,
        progress=console,
    )
    found = [(one["mark"], one["title"], one["summary"]) for one in value["findings"]]
    lines = [f"wrote {path}" for path in value["changed"]]
    lines = lines or [f"{out or location}: the card is current"]
    console.result(value, tables.table("Checks", ["", "check", "found"], found), *lines)


@command(app)
def share(
    console: Console,
    store: StorePath,
    to_zip: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="The zip to write.")
    ] = None,
    icechunk: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="An Icechunk repository: a folder or s3://BUCKET/PREFIX."
        ),
    ] = None,
    licence: Licence = None,
) -> None:
    """Share a store: as one zip, or as a commit of an Icechunk repository.

    The zip holds the complete genomes and the dataset card; its checksum and its croissant
    description are written beside it. Equal stores give equal bytes. It can be read in place, from
    a disk, a web server that answers range requests, or S3.

    A repository keeps every published state under the store's digest; only genomes that have
    changed are written, and readers see a commit whole or not at all. It needs the extra icechunk.

    Example: `crosslabel store share my-project/store/Reb1.zarr --zip Reb1.zarr.zip`
    """
    from ssldata.base.errors import ConfigError

    if (to_zip is None) == (icechunk is None):
        raise ConfigError("store share needs either --zip FILE or --icechunk PLACE")
    if to_zip is not None:
        from ssldata.sharing.zip_store import share_zip

        value = share_zip(store, to_zip, licence=licence, progress=console)
    else:
        from ssldata.sharing.publish_icechunk import publish

        value = publish(store, str(icechunk), licence=licence, progress=console)
    for name in value["left_out"]:
        console.note(f"left out, not complete: {name}")
    console.result(value, *(_zip_lines(value) if to_zip is not None else _commit_lines(value)))


def _zip_lines(value: Mapping[str, Any]) -> list[str]:
    from flows.output import tables

    written = f"{value['path']}: {tables.size(value['bytes'])}, {value['files']} files"
    return [written, f"sha256 {value['sha256']}"]


def _commit_lines(value: Mapping[str, Any]) -> list[str]:
    from flows.output import tables

    if value["status"] == "unchanged":
        return [f"{value['address']}: published already, nothing written"]
    return [
        f"{value['address']}: {tables.size(value['bytes'])} written",
        *(
            f"{word} {', '.join(value[key])}"
            for word, key in (("wrote", "written"), ("removed", "removed"), ("left as is", "kept"))
            if value[key]
        ),
    ]


@command(app)
def serve(
    console: Console,
    paths: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Stores (folders) and zips.")
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 8000,
) -> None:
    """Serve stores and zips to other machines, read-only, until interrupted.

    A small web server that answers range requests, for tests and local networks. It has no
    access control: whoever reaches the port can read what is served, and nothing else.

    Example: `crosslabel store serve my-project/store/Reb1.zarr --host 0.0.0.0`
    """
    from ssldata.base.errors import MissingInputError
    from ssldata.sharing.range_server import RangeServer
    from ssldata.store.store import open_store

    for path in paths:
        if not path.exists():
            raise MissingInputError(f"{path}: no such store")
        open_store(path)
    with RangeServer(paths, host=host, port=port) as server:
        console.result({"urls": server.urls}, *(f"serving {url}" for url in server.urls))
        console.note("press Ctrl-C to stop")
        server.serve_forever()
