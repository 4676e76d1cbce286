"""Is a store what its ledger says? Every rule of the format, checked against the arrays.

Without `deep`, columns are checked whole and sequences in the first chunk of every shard; with it,
every sequence is decoded, compared with its checksum and, given the project, extracted anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.cache import digest_of
from ssldata.card import README
from ssldata.config import Project
from ssldata.errors import CrosslabelError
from ssldata.genome import Genome, open_genome
from ssldata.onehot import N_CODE
from ssldata.progress import NoProgress, Progress
from ssldata.published_weights import digest_of_weights, stale_groups
from ssldata.shard_writer import expand
from ssldata.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    REMOVING,
    WEIGHTS,
    WRITING,
    YANKED,
    RowGroup,
    Store,
    arrays_digest,
    belongs,
    codes_digest,
)
from ssldata.validate_rows import (
    Found,
    Group,
    check_coordinates,
    check_liftover,
    check_ranges,
    check_shapes,
    check_sources,
    check_splits,
    check_values,
    offending,
    shared_loci,
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: in which group, found by which check, and what."""

    group: str
    check: str
    message: str


@dataclass
class Report:
    """What was checked, and what was found.

    Attributes
    ----------
    problems
        What makes the store wrong.
    warnings
        What is worth knowing and not wrong: leftovers, unfinished groups, shared target loci.
    rows
        Rows checked, per group; ``sequences`` of them were decoded.
    """

    store: str
    digest: str
    deep: bool
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return asdict(self) | {"valid": self.valid}


def validate_store(
    store: Store,
    *,
    deep: bool = False,
    project: Project | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check an opened store.

    Parameters
    ----------
    store
        The store.
    deep
        Decode every sequence and compare checksums.
    project
        With `deep`: extract every sequence again from the genomes of this project and compare.
    progress
        Who is told.

    Returns
    -------
    Report
        Problems are collected, not raised.
    """
    progress = progress or NoProgress()
    report = Report(store.location, store.digest, deep)
    report.problems += [Problem("", *found) for found in _check_ledger(store)]
    report.problems += _check_metadata(store)
    report.warnings += [Problem("", *found) for found in _leftovers(store)]
    entry = store.ledger[REFERENCE]
    sources: dict[str, Any] = {}
    try:
        arrays = store.sources()
        sources = arrays | store.source_contigs()
        expected = entry.get("checksums", {}).get("sources")
        found = check_sources(sources, store.attributes, expected, arrays_digest(arrays))
        report.problems += [Problem("sources", *one) for one in found]
    except Exception as exc:  # whatever a damaged store makes zarr raise is a finding
        report.problems.append(Problem("sources", "arrays", _unreadable(exc)))
    names = [name for name, item in store.ledger.items() if item["status"] == COMPLETE]
    total = sum(int(store.ledger[name]["rows"]) for name in names)
    with progress.task(f"validate {Path(store.location).name}", max(total, 1)) as advance:
        for name in sorted(names, key=lambda name: (name != REFERENCE, name)):
            genome, problem = _genome_of(project, name, store) if deep else (None, None)
            if problem:
                report.problems.append(Problem(name, *problem))
            decoded = 0
            try:
                rows = store.group(name)
                report.problems += [
                    Problem(name, *one) for one in _check_group(store, rows, sources)
                ]
                for size, one in _check_sequences(store, rows, deep=deep, genome=genome):
                    decoded += size
                    advance(size)
                    report.problems += [Problem(name, *one)] if one else []
                report.warnings += [Problem(name, *one) for one in _shared(store, rows)]
            except Exception as exc:  # as above
                report.problems.append(Problem(name, "arrays", _unreadable(exc)))
            report.rows[name] = {"rows": int(store.ledger[name]["rows"]), "sequences": decoded}
    return report


def _unreadable(exc: Exception) -> str:
    first = (str(exc).strip().splitlines() or [""])[0]
    return f"cannot be read: {type(exc).__name__}: {first}"


def _check_ledger(store: Store) -> Iterator[Found]:
    """Check the ledger against itself."""
    for name, entry in store.ledger.items():
        status = entry["status"]
        if status not in (WRITING, COMPLETE, YANKED, REMOVING):
            yield "ledger", f"{name}: no such status {status!r}"
        checksums = entry.get("checksums")
        if status == COMPLETE and checksums and entry["content"] != digest_of(checksums):
            yield "ledger", f"{name}: content is not the digest of its checksums"
        if name != REFERENCE and not name.startswith(f"{HOMOLOGUES}/"):
            yield "ledger", f"{name}: no such kind of group"


def _check_metadata(store: Store) -> Iterator[Problem]:
    """Check the consolidated metadata of a local store against the files they were made of."""
    folder = Path(store.location)
    if not folder.is_dir():
        return

    def problem(name: str, message: str) -> Problem:
        parts = name.split("/")
        group = "/".join(parts[:2]) if parts[0] == HOMOLOGUES else parts[0]
        return Problem(group, "metadata", message)

    root = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    consolidated = (root.get("consolidated_metadata") or {}).get("metadata", {})
    complete = [name for name, entry in store.ledger.items() if entry["status"] == COMPLETE]
    on_disk = {}
    for name in [*complete, "sources"]:
        for file in (folder / name).rglob("zarr.json"):
            if belongs(file.relative_to(folder / name), name, store.weights):
                on_disk[str(file.parent.relative_to(folder))] = file
    for name in sorted(set(on_disk) - set(consolidated)):
        yield problem(name, f"consolidated metadata lacks {name}")
    for name in sorted(set(on_disk) & set(consolidated)):
        try:
            found = json.loads(on_disk[name].read_bytes())
        except ValueError:
            yield problem(name, f"{name}/zarr.json is no JSON")
            continue
        listed = dict(consolidated[name])
        for value in (found, listed):
            value.pop("consolidated_metadata", None)
        if found != listed:
            yield problem(name, f"consolidated metadata of {name} is stale")
    for name in sorted(set(consolidated) - set(on_disk) - {HOMOLOGUES}):
        yield problem(name, f"consolidated metadata lists {name}, which is not there")


def _leftovers(store: Store) -> Iterator[Found]:
    """Unfinished groups, and files that no complete build leaves."""
    for name, entry in store.ledger.items():
        if entry["status"] in (WRITING, REMOVING):
            yield "ledger", f"{name} is unfinished ({entry['status']}); `crosslabel build` ends it"
        elif entry["status"] == YANKED:
            yield "ledger", f"{name} is yanked and was not checked"
    for name in store.weights:
        if stale := stale_groups(store, name):
            yield "weights", f"{name} were made for other rows of {', '.join(stale)}; not used"
    folder = Path(store.location)
    if folder.is_dir():
        for item in sorted(folder.glob(f"{HOMOLOGUES}/*/{WEIGHTS}/*/zarr.json")):
            group = item.parents[2]
            if not belongs(item.relative_to(group), str(group.relative_to(folder)), store.weights):
                place = item.parent.relative_to(folder)
                yield "leftovers", f"{place}: not published; the next build sweeps it"
        for pattern in ("*.partial", ".*.deleting"):
            for item in sorted(folder.rglob(pattern)):
                yield "leftovers", f"{item.relative_to(folder)}: the next build sweeps it"
        card = folder / README
        if card.is_file() and store.digest not in card.read_text(encoding="utf-8"):
            yield "card", f"{README} is of other rows; `crosslabel store card` writes it anew"
        for item in sorted((folder / HOMOLOGUES).glob("[!.]*/")):
            if f"{HOMOLOGUES}/{item.name}" not in store.ledger:
                yield "leftovers", f"{HOMOLOGUES}/{item.name} is not in the ledger"


def _check_group(store: Store, rows: RowGroup, sources: Mapping[str, Any]) -> Iterator[Found]:
    """Check the columns of one group."""
    entry = store.ledger[rows.name]
    columns = {name: rows.column(name) for name in rows.column_names()}
    expected = entry.get("checksums", {}).get("columns")
    if expected is not None and arrays_digest(columns) != expected:
        yield "checksums", "the columns are not those that were written"
    group = Group(rows.name, columns, rows.attributes(), entry, store.attributes, rows.length)
    shapes = list(check_shapes(group))
    yield from shapes
    if shapes:
        return
    yield from check_ranges(group)
    yield from check_values(group)
    yield from check_coordinates(group)
    if sources:
        yield from check_splits(group, sources)
        if not group.is_reference:
            lifted = rows.liftover()
            expected = entry.get("checksums", {}).get("liftover")
            if expected is not None and arrays_digest(lifted) != expected:
                yield "checksums", "the arrays of liftover/ are not those that were written"
            yield from check_liftover(group, lifted, sources)
    yield from _check_weights(store, rows)


def _check_weights(store: Store, rows: RowGroup) -> Iterator[Found]:
    """Check the published weights of one group; those of other rows are no problem of these."""
    for name in store.weights:
        said = store.weights[name]["groups"].get(rows.name)
        if said is None or said["rows"] != store.ledger[rows.name]["content"]:
            continue
        try:
            weight = rows.column_part(f"{WEIGHTS}/{name}", 0, rows.rows)
        except Exception as exc:  # whatever damaged weights make zarr raise
            yield "weights", f"weights/{name}: {_unreadable(exc)}"
            continue
        if len(weight) != rows.rows:
            yield "weights", f"weights/{name}: {len(weight)} rows, expected {rows.rows}"
        for line in offending(~((weight >= 0) & (weight <= 1)), f"weights/{name} not in [0, 1]"):
            yield "weights", line
        if digest_of_weights(weight) != said["sha256"]:
            yield "weights", f"weights/{name} are not those that were published"


def _shared(store: Store, rows: RowGroup) -> Iterator[Found]:
    if rows.name == REFERENCE:
        return
    columns = {key: rows.column(key) for key in ("contig", "start", "end", "split")}
    group = Group(rows.name, columns, {}, {}, store.attributes, rows.length)
    for split, count in shared_loci(group).items():
        yield "paralogues", f"{count} train rows share bases with {split} rows of this genome"


def _genome_of(
    project: Project | None, name: str, store: Store
) -> tuple[Genome | None, Found | None]:
    """Open the genome of a group, when the project has the one the group was built from."""
    if project is None:
        return None, None
    inputs = store.ledger[name].get("inputs", {})
    if name == REFERENCE:
        path, aliases = project.reference.sequence, project.reference.aliases
        expected = inputs.get("reference sequence")
    else:
        settings = [g for g in project.genomes if f"{HOMOLOGUES}/{g.name}" == name]
        if not settings:
            return None, ("genome", "the project does not name it: sequences not compared")
        path, aliases = settings[0].sequence, settings[0].aliases
        expected = inputs.get("sequence")
    try:
        genome = open_genome(path, aliases=aliases)
        if expected is not None and genome.digest != expected:
            return None, ("genome", f"{path} is not the sequence this group was built from")
    except CrosslabelError as exc:
        return None, ("genome", str(exc))
    return genome, None


def _check_sequences(
    store: Store, rows: RowGroup, *, deep: bool, genome: Genome | None
) -> Iterator[tuple[int, Found | None]]:
    """Check sequences chunk by chunk; yield the rows decoded, and a finding or None."""
    checksums = store.ledger[rows.name].get("checksums", {}).get("sequences", [])
    keep_n = store.attributes["windows"]["n_policy"] == "keep"
    shards = -(-rows.rows // rows.shard_rows)
    if checksums and len(checksums) != shards:
        yield 0, ("checksums", f"{shards} shards, the ledger has {len(checksums)}")
        checksums = []
    for shard in range(shards):
        first, end = shard * rows.shard_rows, min((shard + 1) * rows.shard_rows, rows.rows)
        for name in rows.missing_shards(shard):
            if not (checksums and _is_blank(name, (end - first, rows.length), checksums[shard])):
                yield 0, ("sequences", f"{name}: the file of rows {first} to {end} is missing")
        decoded = []
        for start in range(first, end if deep else first + 1, rows.chunk_rows):
            stop = min(start + rows.chunk_rows, end)
            try:
                codes = rows.codes(start, stop)
                hot = rows.one_hot(start, stop)
            except Exception as exc:  # whatever a damaged chunk makes the decoder raise
                yield 0, ("sequences", f"rows {start} to {stop}: {_unreadable(exc)}")
                continue
            decoded.append(codes)
            for line in _wrong_rows(codes, hot, keep_n=keep_n, first=start):
                yield 0, ("sequences", line)
            if genome is not None:
                for line in _other_bases(rows, genome, start, codes):
                    yield 0, ("sequences", line)
            yield stop - start, None
        whole = deep and checksums and sum(map(len, decoded)) == end - first
        if whole and codes_digest(np.concatenate(decoded)) != checksums[shard]:
            line = f"rows {first} to {end} are not those that were written"
            yield 0, ("checksums", f"shard {shard}: {line}")


def _is_blank(array: str, shape: tuple[int, int], checksum: str) -> bool:
    """Return whether a shard is all zeros, which has no file: N as one-hot, A as codes."""
    code = N_CODE if array == "sequence" else 0
    return checksum == codes_digest(np.full(shape, code, np.uint8))


def _wrong_rows(
    codes: NDArray[np.uint8], hot: NDArray[np.uint8], *, keep_n: bool, first: int
) -> Iterator[str]:
    """Check the chunk of row `first`: one-hot rows sum to 1, or to 0 for N; codes say the same."""
    again = np.empty_like(hot)
    expand(codes, again)
    if not keep_n:
        yield from offending(codes == N_CODE, "has N, which this store drops", first=first)
    if codes.max(initial=0) <= N_CODE and np.array_equal(hot, again):
        return  # the common case, in one pass; below, what exactly is wrong
    total = hot.sum(axis=-1, dtype=np.int64)
    yield from offending((hot > 1).any(axis=-1) | (total > 1), "not one-hot", first=first)
    expected = np.where(total == 0, N_CODE, hot.argmax(axis=-1))
    yield from offending(codes != expected, "codes and one-hot differ", first=first)


def _other_bases(
    rows: RowGroup, genome: Genome, first: int, codes: NDArray[np.uint8]
) -> Iterator[str]:
    """Compare a chunk with the genome."""
    end = first + len(codes)
    pad = (rows.length - int(rows.attributes()["bin_size"])) // 2
    start = rows.column("start")[first:end] - pad
    contig = rows.column("contig")[first:end]
    inside = (contig >= 0) & (contig < len(genome.sizes)) & (start >= 0)
    inside[inside] &= start[inside] + rows.length <= genome.sizes[contig[inside]]
    again = genome.gather(
        contig[inside], start[inside], rows.length, rows.column("strand")[first:end][inside]
    )
    differs = np.zeros(len(codes), bool)
    differs[inside] = (again != codes[inside]).any(axis=1)
    yield from offending(differs, "not the bases of the genome", first=first)
