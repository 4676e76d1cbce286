"""Validate a store: every rule of the format, checked against its arrays.

Without `deep`, columns are checked whole and sequences in the first chunk of every shard; with it,
every sequence is decoded, compared with its checksum and, given the project, extracted again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import CrosslabelError, UnreachableError
from ssldata.base.progress import NoProgress, Progress
from ssldata.checking.ledger_checks import check_ledger, check_leftovers, check_metadata
from ssldata.checking.row_checks import (
    Found,
    Group,
    check_contigs,
    check_coordinates,
    check_counts,
    check_liftover,
    check_ranges,
    check_shapes,
    check_sources,
    check_splits,
    check_values,
    offending,
    shared_loci,
)
from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import N_CODE
from ssldata.project.project_file import Project
from ssldata.store.published_weights import digest_of_weights
from ssldata.store.remote_stores import RangesError
from ssldata.store.shard_writer import expand
from ssldata.store.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    WEIGHTS,
    RowGroup,
    Store,
    arrays_digest,
    codes_digest,
)

#: These are raised: the place of the store fails, not the store.
_AWAY = (UnreachableError, RangesError)


@dataclass(frozen=True)
class Problem:
    """One finding: the group, the check that found it, and what is wrong."""

    group: str
    check: str
    message: str


@dataclass
class Report:
    """What was checked and found.

    Attributes
    ----------
    problems
        What makes the store wrong.
    warnings
        What is not wrong but worth knowing: leftovers, unfinished groups, shared target loci.
    rows
        Rows checked, per group; ``sequences`` of them were decoded, and ``extracted`` of them
        compared with the genome.
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
    must_extract: bool = True,
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
    must_extract
        Report a genome that is missing, or is not the one a group was built from, as a problem;
        otherwise as a warning.
    progress
        Progress reporter.

    Returns
    -------
    Report
        Problems are collected, not raised.

    Raises
    ------
    CrosslabelError
        The place of the store cannot be read (any more), so nothing is known of the store.
    """
    progress = progress or NoProgress()
    report = Report(store.location, store.digest, deep)
    try:
        report.problems += [Problem("", *found) for found in check_ledger(store)]
    except (LookupError, TypeError, AttributeError) as exc:
        report.problems.append(Problem("", "ledger", _unreadable(exc)))
    report.problems += [Problem(group, *found) for group, found in check_metadata(store)]
    report.warnings += [Problem("", *found) for found in check_leftovers(store)]
    entry = store.ledger[REFERENCE]
    sources: dict[str, Any] = {}
    try:
        arrays = store.sources()
        sources = arrays | store.source_contigs()
        found = [*check_contigs(sources, entry), *_check_content(entry, "sources", arrays)]
        found += check_sources(sources, store.attributes)
        report.problems += [Problem("sources", *one) for one in found]
    except _AWAY:
        raise
    except Exception as exc:  # whatever a damaged store makes zarr raise is a finding
        report.problems.append(Problem("sources", "arrays", _unreadable(exc)))
    names = [name for name, item in store.ledger.items() if item["status"] == COMPLETE]
    total = sum(int(store.ledger[name]["rows"]) for name in names)
    with progress.task(f"validate {Path(store.location).name}", max(total, 1)) as advance:
        for name in sorted(names, key=lambda name: (name != REFERENCE, name)):
            genome, problem = _genome_of(project, name, store) if deep else (None, None)
            if problem:
                (report.problems if must_extract else report.warnings).append(
                    Problem(name, *problem)
                )
            decoded = 0
            try:
                rows = store.group(name)
                report.problems += [
                    Problem(name, *one) for one in _check_group(store, rows, sources, genome)
                ]
                for size, one in _check_sequences(store, rows, deep=deep, genome=genome):
                    decoded += size
                    advance(size)
                    report.problems += [Problem(name, *one)] if one else []
                report.warnings += [Problem(name, *one) for one in _shared(store, rows)]
            except _AWAY:
                raise
            except Exception as exc:  # as above
                report.problems.append(Problem(name, "arrays", _unreadable(exc)))
            report.rows[name] = {
                "rows": int(store.ledger[name]["rows"]),
                "sequences": decoded,
                "extracted": 0 if genome is None else decoded,
            }
    return report


def _unreadable(exc: Exception) -> str:
    first = (str(exc).strip().splitlines() or [""])[0]
    return f"cannot be read: {type(exc).__name__}: {first}"


def _check_content(
    entry: Mapping[str, Any], part: str, arrays: Mapping[str, NDArray[Any]]
) -> Iterator[Found]:
    """Compare arrays with their checksum in the ledger, if it has one."""
    expected = entry.get("checksums", {}).get(part)
    if expected is not None and arrays_digest(arrays) != expected:
        yield "checksums", f"the arrays of {part} are not those that were written"


def _check_group(
    store: Store, rows: RowGroup, sources: Mapping[str, Any], genome: Genome | None
) -> Iterator[Found]:
    """Check the attributes and columns of one group."""
    entry = store.ledger[rows.name]
    columns = {name: rows.column(name) for name in rows.column_names()}
    yield from _check_content(entry, "columns", columns)
    group = Group(rows.name, columns, rows.attributes(), entry, store.attributes, rows.length)
    shapes = list(check_shapes(group))
    yield from shapes
    if shapes:
        return
    if group.attributes.get("digest") != entry["digest"]:
        yield "ledger", "the group and the ledger give other digests"
    yield from check_contigs(group.attributes, entry, genome)
    yield from check_counts(group)
    yield from check_ranges(group)
    yield from check_values(group)
    yield from check_coordinates(group)
    if sources:
        yield from check_splits(group, sources)
        if not group.is_reference:
            lifted = rows.liftover()
            yield from _check_content(entry, "liftover", lifted)
            yield from check_liftover(group, lifted, sources)
    yield from _check_weights(store, rows)


def _check_weights(store: Store, rows: RowGroup) -> Iterator[Found]:
    """Check the published weights of one group, unless they were made for other rows."""
    for name in store.weights:
        entry = store.weights[name]["groups"].get(rows.name)
        if entry is None or entry["rows"] != store.ledger[rows.name]["content"]:
            continue
        try:
            weight = rows.column_part(f"{WEIGHTS}/{name}", 0, rows.rows)
        except _AWAY:
            raise
        except Exception as exc:  # whatever damaged weights make zarr raise
            yield "weights", f"weights/{name}: {_unreadable(exc)}"
            continue
        if len(weight) != rows.rows:
            yield "weights", f"weights/{name}: {len(weight)} rows, expected {rows.rows}"
        outside = ~((weight >= 0) & (weight <= 1))
        yield from offending("weights", outside, f"weights/{name} not in [0, 1]")
        if digest_of_weights(weight) != entry["sha256"]:
            yield "weights", f"weights/{name} are not those that were published"


def _shared(store: Store, rows: RowGroup) -> Iterator[Found]:
    """Report rows of paralogues, see :func:`ssldata.checking.row_checks.shared_loci`."""
    if rows.name == REFERENCE:
        return
    columns = {key: rows.column(key) for key in ("contig", "start", "end", "split")}
    group = Group(rows.name, columns, {}, {}, store.attributes, rows.length)
    for split, count in shared_loci(group).items():
        yield "paralogues", f"{count} train rows share bases with {split} rows of this genome"


def _genome_of(
    project: Project | None, name: str, store: Store
) -> tuple[Genome | None, Found | None]:
    """Open the genome of a group, if the project has the one the group was built from."""
    if project is None or project.of_sequences:  # checksums cover the sequences of a table
        return None, None
    inputs = store.ledger[name].get("inputs", {})
    if name == REFERENCE:
        path, aliases = project.reference.sequence, project.reference.aliases
        expected = inputs.get("reference sequence")
    else:
        settings = [g for g in project.genomes if f"{HOMOLOGUES}/{g.name}" == name]
        if not settings:
            return None, ("genome", "not in the project: sequences not compared")
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
        yield 0, ("checksums", f"{shards} shards, expected {len(checksums)} as in the ledger")
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
            except _AWAY:
                raise
            except Exception as exc:  # whatever a damaged chunk makes the decoder raise
                yield 0, ("sequences", f"rows {start} to {stop}: {_unreadable(exc)}")
                continue
            decoded.append(codes)
            found = [*_wrong_rows(codes, hot, keep_n=keep_n, first=start)]
            if genome is not None:
                found += _other_bases(rows, genome, start, codes)
            yield from ((0, one) for one in found)
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
) -> Iterator[Found]:
    """Check the chunk of row `first`: one-hot sums to 1, or to 0 for N, and agrees with codes."""
    again = np.empty_like(hot)
    expand(codes, again)
    if not keep_n:
        message = "has N, which this store drops"
        yield from offending("sequences", codes == N_CODE, message, first=first)
    if codes.max(initial=0) <= N_CODE and np.array_equal(hot, again):
        return  # the common case, in one pass; below, what exactly is wrong
    total = hot.sum(axis=-1, dtype=np.int64)
    wrong = (hot > 1).any(axis=-1) | (total > 1)
    yield from offending("sequences", wrong, "not one-hot", first=first)
    expected = np.where(total == 0, N_CODE, hot.argmax(axis=-1))
    yield from offending("sequences", codes != expected, "codes and one-hot differ", first=first)


def _other_bases(
    rows: RowGroup, genome: Genome, first: int, codes: NDArray[np.uint8]
) -> Iterator[Found]:
    """Compare the chunk of row `first` with the genome."""
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
    yield from offending("sequences", differs, "not the bases of the genome", first=first)
