"""The table of a project's public files: destinations, origins and checksums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ssldata.base.errors import InputError
from ssldata.base.files import write_text_atomic
from ssldata.base.text_file import count_in, table_rows

#: Columns of the table, tab-separated with a header line; all but the first two may be empty.
COLUMNS = ("path", "mirror", "bytes", "sha256", "sequence_digest", "url", "licence", "note")

#: Columns of the lock file, which records files without a checksum when they are first fetched.
LOCK_COLUMNS = ("path", "bytes", "sha256", "origin")

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """One public file.

    Attributes
    ----------
    path
        Destination, relative to the project's folder.
    mirror
        Path in a mirror.
    bytes
        Size; None: unknown.
    sha256
        Checksum of the file. Empty: unknown; the first fetch records it in the lock file, and
        later ones verify it.
    sequence_digest
        Digest of the sequences (:attr:`ssldata.genomes.genome.Genome.digest`), by which a genome
        is accepted whose file differs. Empty: only the file itself is accepted.
    url
        Public address. Empty: none is known, and `note` describes where to look.
    licence, note
        For people.
    """

    path: str
    mirror: str
    bytes: int | None
    sha256: str
    sequence_digest: str
    url: str
    licence: str
    note: str

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return PurePosixPath(self.path).name


def read_sources(table: Path) -> list[Source]:
    """Read and check a table of sources.

    Parameters
    ----------
    table
        Tab-separated, with the columns of :data:`COLUMNS`.

    Raises
    ------
    MissingInputError
        The table does not exist.
    InputError
        A column is missing, or a row has a wrong value; the message names the line.
    """
    rows = table_rows(
        table,
        separator="\t",
        missing="no such table of sources; the key 'sources' of the project names it",
    )
    _, header = next(rows, (1, []))
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"{table}, line 1: no column {', '.join(missing)}; expected the tab-separated columns "
            + ", ".join(COLUMNS)
        )
    sources: list[Source] = []
    for number, row in rows:
        sources.append(_source(row, header, f"{table}, line {number}"))
        if sources[-1].path in {s.path for s in sources[:-1]}:
            raise InputError(f"{table}, line {number}: path {sources[-1].path!r} occurs twice")
    if not sources:
        raise InputError(f"{table}: lists no files; expected a row for each")
    known = _locked(lock_file(table))
    return [
        source
        if source.sha256 or source.path not in known
        else replace(source, bytes=known[source.path][0], sha256=known[source.path][1])
        for source in sources
    ]


def lock_file(table: Path) -> Path:
    """Return the path of the file beside a table that records checksums missing in the table."""
    return table.with_name(f"{table.stem}.lock.tsv")


def write_lock(table: Path, found: Mapping[str, tuple[int, str, str]]) -> None:
    """Add files to the lock file.

    Parameters
    ----------
    table
        The table of sources.
    found
        Path → bytes, sha256, origin of the file.
    """
    rows = {**_locked(lock_file(table)), **found}
    lines = ["\t".join(LOCK_COLUMNS)]
    lines += ["\t".join([path, *map(str, rows[path])]) for path in sorted(rows)]
    write_text_atomic(lock_file(table), "\n".join(lines) + "\n")


def _locked(lock: Path) -> dict[str, tuple[int, str, str]]:
    if not lock.is_file():
        return {}
    rows = list(table_rows(lock, separator="\t"))
    found: dict[str, tuple[int, str, str]] = {}
    for number, row in rows[1:]:
        if len(row) != len(LOCK_COLUMNS) or not _HASH.fullmatch(row[2]):
            raise InputError(
                f"{lock}, line {number}: expected path, bytes, sha256 and origin; remove the file "
                "to record the checksums again"
            )
        found[row[0]] = (count_in(row[1], "bytes", where=f"{lock}, line {number}"), row[2], row[3])
    if not rows or tuple(rows[0][1]) != LOCK_COLUMNS:
        raise InputError(
            f"{lock}, line 1: expected the columns {', '.join(LOCK_COLUMNS)}; remove the file to "
            "record the checksums again"
        )
    return found


def _source(row: list[str], header: list[str], where: str) -> Source:
    if len(row) != len(header):
        raise InputError(f"{where}: expected {len(header)} columns, found {len(row)}")
    cells = dict(zip(header, row, strict=True))
    value = {column: cells[column] for column in COLUMNS}
    for column in ("path", "mirror"):
        path = PurePosixPath(value[column])
        # The table may come from someone else: it must not reach outside the project's folder.
        if not value[column] or path.is_absolute() or ".." in path.parts or "\\" in value[column]:
            raise InputError(
                f"{where}: {column} is {value[column]!r}; expected a relative path without '..'"
            )
    size = count_in(value["bytes"], "bytes", where=where) if value["bytes"] else None
    for column in ("sha256", "sequence_digest"):
        value[column] = value[column].lower()
        if value[column] and not _HASH.fullmatch(value[column]):
            raise InputError(
                f"{where}: {column} is {value[column]!r}; expected 64 hex digits or nothing"
            )
    if value["url"] and not value["url"].startswith(("https://", "http://")):
        raise InputError(f"{where}: url is {value['url']!r}; expected http://, https:// or nothing")
    fields: dict[str, Any] = {**value, "bytes": size}
    return Source(**fields)
