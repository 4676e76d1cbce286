"""The table of a project's public files: where each goes, where it comes from, what it must be."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ssldata.errors import InputError, MissingInputError

#: Columns of the table, tab-separated with a header line; the last ones may be empty.
COLUMNS = ("path", "mirror", "bytes", "sha256", "sequence_digest", "url", "licence", "note")

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """One public file.

    Attributes
    ----------
    path
        Where it goes, relative to the project's folder.
    mirror
        Where it lies in a mirror.
    bytes
        Its size.
    sha256
        Of the file.
    sequence_digest
        For a genome whose file may differ: the digest of its sequences
        (:attr:`ssldata.genome.Genome.digest`) also identifies it. Empty for none.
    url
        The public address.
    licence, note
        For people.
    """

    path: str
    mirror: str
    bytes: int
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
        No such table.
    InputError
        A missing column, or a row whose values make no sense; named by line.
    """
    if not table.is_file():
        raise MissingInputError(
            f"{table}: no such table of sources; the key 'sources' of the project names it"
        )
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as exc:
        raise InputError(f"{table}: not a text file ({exc.reason} at byte {exc.start})") from exc
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(reader, [])
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"{table}, line 1: no column {', '.join(missing)}; expected the tab-separated columns "
            + ", ".join(COLUMNS)
        )
    sources: list[Source] = []
    for number, row in enumerate(reader, start=2):
        if row:
            sources.append(_source(row, header, f"{table}, line {number}"))
            if sources[-1].path in {s.path for s in sources[:-1]}:
                raise InputError(f"{table}, line {number}: path {sources[-1].path!r} occurs twice")
    if not sources:
        raise InputError(f"{table}: no files in it; expected a row for each")
    return sources


def _source(row: list[str], header: list[str], where: str) -> Source:
    if len(row) != len(header):
        raise InputError(f"{where}: expected {len(header)} columns, found {len(row)}")
    value = {column: text.strip() for column, text in zip(header, row, strict=True)}
    for column in ("path", "mirror"):
        path = PurePosixPath(value[column])
        # The table may come from someone else: it must not reach outside the project's folder.
        if not value[column] or path.is_absolute() or ".." in path.parts or "\\" in value[column]:
            raise InputError(
                f"{where}: {column} is {value[column]!r}; expected a relative path without '..'"
            )
    if not (value["bytes"].isascii() and value["bytes"].isdigit()):
        raise InputError(f"{where}: bytes is {value['bytes']!r}; expected a whole number")
    for column in ("sha256", "sequence_digest"):
        value[column] = value[column].lower()
        empty = column == "sequence_digest" and not value[column]
        if not empty and not _HASH.fullmatch(value[column]):
            raise InputError(f"{where}: {column} is {value[column]!r}; expected 64 hex digits")
    if not value["url"].startswith(("https://", "http://")):
        raise InputError(f"{where}: url is {value['url']!r}; expected http:// or https://")
    return Source(
        path=value["path"],
        mirror=value["mirror"],
        bytes=int(value["bytes"]),
        sha256=value["sha256"],
        sequence_digest=value["sequence_digest"],
        url=value["url"],
        licence=value["licence"],
        note=value["note"],
    )
