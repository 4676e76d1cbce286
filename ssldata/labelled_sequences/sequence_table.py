"""Tables of sequences, read as a stream: CSV and TSV, or FASTA with labels beside it.

A row that cannot be used is left out and counted, with the line of the first of its kind; where
most rows are such, the table is refused. Ambiguous bases (IUPAC codes: R = A or G, Y = C or T, …)
are N in the base codes of this project, and counted.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.base.errors import InputError
from ssldata.base.text_file import shown, streamed_lines
from ssldata.genomes.onehot import IS_BASE_LETTER, N_CODE, encode
from ssldata.project.sequences_section import Fit

#: Labels as they are written.
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}

#: Why a row is left out.
BAD_ROWS = {
    "columns": "too few or too many columns",
    "no_label": "no label",
    "label": "a label that is neither 0 nor 1",
    "empty": "no sequence",
    "letters": "letters that are not bases",
    "length": "another length",
    "duplicate": "a name that occurred before",
}
#: After this many rows, and at the end, most must be good.
_EARLY = 1000


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table of sequences is read.

    Attributes
    ----------
    header, sequence
        Columns of a CSV or TSV: the name of each sequence (may be missing), and its letters.
    labels
        Columns with labels, 0 or 1; none: labels are not read.
    carried
        Columns of a CSV or TSV whose text comes along as it is.
    label_file
        Labels of a FASTA: a table with the columns `header` and `labels`; without a header line,
        a name and a label on each line, or one label on each, in the order of the sequences.
    label_in_header
        The label is the last word of each line with ``>``: ``>chr1:100-700(+) 1``, or ``label=1``.
    length
        Bases that sequences have; None: as many as the first.
    fit
        What is done with others: ``exact`` leaves them out; ``crop`` cuts longer ones around their
        middle; ``pad`` puts N on both ends of shorter ones; ``crop-or-pad`` does both.
    batch
        Sequences at a time.
    """

    header: str = "header"
    sequence: str = "sequence"
    labels: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    label_file: Path | None = None
    label_in_header: bool = False
    length: int | None = None
    fit: Fit = "exact"
    batch: int = 4096


@dataclass(frozen=True)
class SequenceBatch:
    """Some sequences of a table, in the order of the file. All arrays have n rows.

    Attributes
    ----------
    names
        As in the file, without ``>``; ``row 17`` where the table has no names.
    codes
        Base codes, uint8 (n, length): A C G T = 0 1 2 3, anything else 4.
    labels
        uint8 (n, labels); no columns where labels are not read.
    number, line
        int64 (n,): which sequence of the file it is, from 0 and with those that are left out, and
        its line, from 1.
    width
        int64 (n,), bases in the file, before it was cropped or padded.
    ambiguous
        int64 (n,), bases that are neither A, C, G nor T in the file.
    carried
        Text of the carried columns of each row.
    """

    names: list[str]
    codes: ByteArray
    labels: ByteArray
    number: Int64Array
    line: Int64Array
    width: Int64Array
    ambiguous: Int64Array
    carried: list[tuple[str, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.names)

    @staticmethod
    def concatenate(parts: list[SequenceBatch]) -> SequenceBatch:
        """Join batches in order."""

        def joined(key: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, key) for part in parts])

        return SequenceBatch(
            names=[name for part in parts for name in part.names],
            codes=joined("codes"),
            labels=joined("labels"),
            number=joined("number"),
            line=joined("line"),
            width=joined("width"),
            ambiguous=joined("ambiguous"),
            carried=[row for part in parts for row in part.carried],
        )


@dataclass
class TableReport:
    """What was read of a table, and what was left out.

    Attributes
    ----------
    path
        The table.
    rows, kept
        Sequences in the file, and those that can be used.
    bad
        Reason (:data:`BAD_ROWS`) → rows left out for it.
    first
        Reason → what was found first: line, and what it says.
    ambiguous
        Kept sequences with bases that are neither A, C, G nor T.
    fitted
        Kept sequences that were cropped or padded.
    unused_labels
        Labels of a label file that belong to no sequence.
    lengths
        Number of bases → sequences.
    """

    path: Path
    rows: int = 0
    kept: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    ambiguous: int = 0
    fitted: int = 0
    unused_labels: int = 0
    lengths: Counter[int] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """Return a line for each kind of rows that were left out or changed."""
        lines = [
            f"{self.path}: {count} of {self.rows} sequences left out: {BAD_ROWS[reason]} (first: "
            f"{self.first[reason]})"
            for reason, count in self.bad.items()
        ]
        if self.ambiguous:
            lines.append(
                f"{self.path}: {self.ambiguous} sequences have ambiguous bases, which count as N"
            )
        if self.fitted:
            lines.append(f"{self.path}: {self.fitted} sequences of other lengths cropped or padded")
        if self.unused_labels:
            lines.append(f"{self.path}: {self.unused_labels} labels belong to no sequence")
        return lines

    def counts(self) -> dict[str, int]:
        """Return all counts by name."""
        return {
            "sequences": self.rows,
            "kept": self.kept,
            **{f"bad_{reason}": self.bad[reason] for reason in BAD_ROWS},
            "ambiguous": self.ambiguous,
            "fitted": self.fitted,
        }


class _BadRowError(Exception):
    """A row that is left out: why, and what it says."""

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(found)
        self.reason, self.found = reason, found


@dataclass
class _Record:
    """One sequence as it stands in the file; `labels` is None where it has none."""

    line: int
    name: str | None
    letters: str
    labels: list[str] | None
    #: How many columns its line has, where they are not those of the header.
    columns: int | None = None
    carried: tuple[str, ...] = ()


#: Name, codes, labels, number, line, width, ambiguous bases, carried text.
_Row = tuple[str, ByteArray, list[int], int, int, int, int, tuple[str, ...]]


class SequenceStream:
    """The sequences of a table, batch by batch; made by :func:`read_sequences`.

    Attributes
    ----------
    report
        Of the rows read so far; complete after the last batch.
    """

    def __init__(self, path: Path, options: TableOptions) -> None:
        self.path, self.options = path, options
        self.report = TableReport(path)
        self._length = options.length
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[SequenceBatch]:
        """Yield batches, from the beginning of the file."""
        self.report = TableReport(self.path)
        self._length, self._seen = self.options.length, set()
        rows: list[_Row] = []
        for record in self._records():
            number = self.report.rows
            self.report.rows += 1
            try:
                rows.append(self._row(record, number))
            except _BadRowError as exc:
                self.report.bad[exc.reason] += 1
                self.report.first.setdefault(exc.reason, f"line {record.line}, {exc.found}")
            if self.report.rows == _EARLY:
                self._refuse_if_most_are_bad()
            if len(rows) == self.options.batch:
                yield self._batch(rows)
                rows = []
        self._refuse_if_most_are_bad()
        if not self.report.rows:
            raise InputError(f"{self.path}: no sequences in it")
        if rows:
            yield self._batch(rows)

    def _records(self) -> Iterator[_Record]:
        lines = _rows_of(self.path)
        first = next(lines, None)
        if first is None:
            raise InputError(f"{self.path}: is empty; expected sequences (CSV, TSV or FASTA)")
        if first[1].startswith(">"):
            return self._fasta_records(first, lines)
        return self._table_records(first, lines)

    def _table_records(
        self, first: tuple[int, str], lines: Iterator[tuple[int, str]]
    ) -> Iterator[_Record]:
        options = self.options
        if options.label_file is not None or options.label_in_header:
            raise InputError(
                f"{self.path}: is a table, and its labels are columns of it; a file of labels, or "
                "labels in headers, go with FASTA"
            )
        separator = _separator(first[1])
        header = _columns(first[1], separator)
        place = {name: number for number, name in reversed(list(enumerate(header)))}
        wanted = [options.sequence, *options.labels, *options.carried]
        missing = [name for name in wanted if name not in place]
        if missing:
            raise InputError(
                f"{self.path}, line {first[0]}: no column {', '.join(missing)}; its columns are "
                f"{', '.join(map(shown, header[:10]))}"
            )
        name_at = place.get(options.header)
        label_at = [place[name] for name in options.labels]
        carried_at = [place[name] for name in options.carried]
        for number, line in lines:
            row = _columns(line, separator, most=len(header))
            if len(row) != len(header):
                yield _Record(number, None, "", None, columns=len(row))
                continue
            yield _Record(
                number,
                None if name_at is None else row[name_at].removeprefix(">"),
                row[place[options.sequence]],
                [row[at] for at in label_at],
                carried=tuple(row[at] for at in carried_at),
            )

    def _fasta_records(
        self, first: tuple[int, str], lines: Iterator[tuple[int, str]]
    ) -> Iterator[_Record]:
        labels = self._label_file()
        name, at, parts = first[1][1:].strip(), first[0], []
        order = 0
        for number, line in lines:
            if not line.startswith(">"):
                parts.append(line.strip())
                continue
            yield self._fasta_record(name, at, "".join(parts), labels, order)
            name, at, parts = line[1:].strip(), number, []
            order += 1
        yield self._fasta_record(name, at, "".join(parts), labels, order)
        if labels is not None:
            self.report.unused_labels = len(labels) - sum(key in labels.used for key in labels)

    def _fasta_record(
        self, name: str, line: int, letters: str, labels: _Labels | None, order: int
    ) -> _Record:
        if self.options.label_in_header:
            name, _, word = name.rpartition(" ") if " " in name else (name, "", "")
            return _Record(line, name.strip(), letters, [word.rpartition("=")[2]])
        if labels is None:
            return _Record(line, name, letters, None)
        return _Record(line, name, letters, labels.of(name, order))

    def _label_file(self) -> _Labels | None:
        options = self.options
        if options.label_file is not None:
            return _read_labels(options.label_file, options)
        if options.labels and not options.label_in_header:
            raise InputError(
                f"{self.path}: is FASTA, which needs a file of labels ('labels'), or "
                "'label_in_header'"
            )
        return None

    def _row(self, record: _Record, number: int) -> _Row:
        options, name, letters = self.options, record.name, record.letters
        if record.columns is not None:
            raise _BadRowError("columns", f"it has {record.columns}")
        labels = [] if not options.labels else _label_values(record.labels)
        if not letters:
            raise _BadRowError("empty", f"{shown(name or '')} has none")
        raw = letters.encode("ascii", "replace")
        known = IS_BASE_LETTER[np.frombuffer(raw, np.uint8)]
        if not known.all():
            at = int(np.argmin(known))
            raise _BadRowError("letters", f"{letters[at]!r} at base {at + 1}")
        self.report.lengths[len(raw)] += 1
        if self._length is None:
            self._length = len(raw)
        codes = encode(raw)
        ambiguous = int((codes == N_CODE).sum())
        if len(raw) != self._length:
            codes = _fitted(codes, self._length, options.fit)
        if name is not None:
            if name in self._seen:
                raise _BadRowError("duplicate", shown(name))
            self._seen.add(name)
        self.report.kept += 1
        self.report.ambiguous += ambiguous > 0
        self.report.fitted += len(raw) != self._length
        called = f"row {number}" if name is None else name
        size, carried = len(raw), record.carried
        return called, codes, labels, number, record.line, size, ambiguous, carried

    def _batch(self, rows: list[_Row]) -> SequenceBatch:
        names, codes, labels, number, line, width, ambiguous, carried = zip(*rows, strict=True)
        return SequenceBatch(
            names=list(names),
            codes=np.stack(codes),
            labels=np.array(labels, np.uint8).reshape(len(rows), -1),
            number=np.array(number, np.int64),
            line=np.array(line, np.int64),
            width=np.array(width, np.int64),
            ambiguous=np.array(ambiguous, np.int64),
            carried=list(carried),
        )

    def _refuse_if_most_are_bad(self) -> None:
        report = self.report
        if not report.rows or 2 * sum(report.bad.values()) <= report.rows:
            return
        reason, count = report.bad.most_common(1)[0]
        more = ""
        if reason == "length":
            common = ", ".join(f"{b} ({n})" for b, n in report.lengths.most_common(3))
            more = f"; expected {self._length} bases, found {common}; "
            more += "set the length (windows.size, --length) or 'fit'"
        raise InputError(
            f"{self.path}: {count} of the first {report.rows} sequences cannot be used: "
            f"{BAD_ROWS[reason]} (first: {report.first[reason]}){more}"
        )


def read_sequences(path: Path | str, options: TableOptions | None = None) -> SequenceStream:
    """Return the sequences of a table as a stream of batches.

    Parameters
    ----------
    path
        CSV or TSV with a header line, or FASTA; plain, gzip, bgzip, bzip2 or zip; lines may end in
        LF, CRLF or CR, and letters may be lower case.
    options
        Columns, labels, and length.

    Returns
    -------
    SequenceStream
        It can be iterated more than once, and reads the file from its beginning each time. Its
        ``report`` says what was left out.

    Raises
    ------
    MissingInputError
        No such file (when it is iterated, as the errors below).
    InputError
        Neither such a table nor FASTA, a column is missing, or most rows cannot be used.
    """
    return SequenceStream(Path(path), options or TableOptions())


def table_columns(path: Path | str) -> list[str]:
    """Return the names of the columns of a CSV or TSV.

    Raises
    ------
    InputError
        It is empty.
    """
    _, first = next(_rows_of(Path(path)), (0, ""))
    if not first:
        raise InputError(f"{path}: is empty; expected a line header,sequence,label")
    return _columns(first, _separator(first))


def read_whole(
    path: Path | str, options: TableOptions | None = None
) -> tuple[SequenceBatch, TableReport]:
    """Return all sequences of a table as one batch, and the report; see :func:`read_sequences`."""
    stream = read_sequences(path, options)
    return SequenceBatch.concatenate(list(stream)), stream.report


class _Labels(dict[str, list[str]]):
    """Labels by name, or by order (``#0``, ``#1``, …); `used` are those that were asked for."""

    by_order = False

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    def of(self, name: str, order: int) -> list[str] | None:
        """Return the labels of a sequence, or None."""
        for key in (f"#{order}",) if self.by_order else (name, name.split(" ")[0]):
            if key in self:
                self.used.add(key)
                return self[key]
        return None


def _read_labels(path: Path, options: TableOptions) -> _Labels:
    """Read a file of labels."""
    found = _Labels()
    lines = _rows_of(path)
    separator, at, width = ",", [1], 2
    for row_number, (number, line) in enumerate(lines):
        if not row_number:
            separator = _separator(line)
        row = _columns(line, separator, most=width if row_number else 1)
        if not row_number:
            width = len(row)
            found.by_order = width == 1
            at = [0] if found.by_order else list(range(1, width))
            if any(name in row for name in options.labels):
                place = _label_places(path, row, options, found.by_order)
                name_at, *at = place if not found.by_order else (0, *place)
                if name_at:
                    raise InputError(
                        f"{path}, line {number}: the column {options.header!r} must be the first"
                    )
                continue
        if len(row) != width:
            raise InputError(
                f"{path}, line {number}: {len(row)} columns, but the first row has {width}"
            )
        key = f"#{len(found)}" if found.by_order else row[0].removeprefix(">")
        if key in found:
            raise InputError(f"{path}, line {number}: {shown(key)} has labels twice")
        found[key] = [row[column] for column in at]
    if not found:
        raise InputError(f"{path}: no labels in it")
    expected, columns = len(options.labels), len(at)
    if expected != columns:
        raise InputError(
            f"{path}: {columns} labels per sequence, expected {expected}: "
            f"{', '.join(options.labels)}"
        )
    return found


def _label_places(path: Path, row: list[str], options: TableOptions, by_order: bool) -> list[int]:
    wanted = [*([] if by_order else [options.header]), *options.labels]
    missing = [name for name in wanted if name not in row]
    if missing:
        raise InputError(
            f"{path}, line 1: no column {', '.join(missing)}; its columns are {', '.join(row[:10])}"
        )
    return [row.index(name) for name in wanted]


def _rows_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty; in a table ``#`` begins a comment."""
    return (item for item in streamed_lines(path) if item[1].strip() and item[1][0] != "#")


def _separator(first: str) -> str:
    return "\t" if "\t" in first.rstrip() else ","


def _columns(line: str, separator: str, *, most: int = 1) -> list[str]:
    """Return the values of a line, without empty ones at its end beyond the first `most`."""
    row = line.split(separator)
    if separator == "," and '"' in line:
        try:
            row = next(csv.reader([line], strict=True))
        except csv.Error:
            return []
    row = [value.strip() for value in row]
    while len(row) > most and not row[-1]:
        row.pop()
    return row


def _label_values(labels: list[str] | None) -> list[int]:
    if labels is None or not all(labels):
        raise _BadRowError("no_label", "none is given")
    for text in labels:
        if text not in _LABELS:
            raise _BadRowError("label", f"{shown(text)}, expected 0 or 1")
    return [_LABELS[text] for text in labels]


def _fitted(codes: ByteArray, length: int, fit: Fit) -> ByteArray:
    """Return codes cut, or extended by N, around their middle."""
    spare = len(codes) - length
    if (spare > 0 and "crop" not in fit) or (spare < 0 and "pad" not in fit):
        raise _BadRowError("length", f"{len(codes)} bases, expected {length}")
    if spare > 0:
        return codes[spare // 2 : spare // 2 + length]
    padded = np.full(length, N_CODE, np.uint8)
    before = -spare // 2
    padded[before : before + len(codes)] = codes
    return padded
