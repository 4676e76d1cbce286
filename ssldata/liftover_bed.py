"""BED files through a chain as the UCSC tool reads and writes them, for up to ten BED columns.

This is the strict, readable path: line by line, every error with its line. Large regular files
take :mod:`ssldata.liftover_text_kernels`, which must write the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssldata.chain import ChainIndex
from ssldata.chain_text import MAX_POSITION
from ssldata.errors import InputError
from ssldata.liftover import LiftOptions, Status
from ssldata.liftover_thick import map_thick
from ssldata.liftover_ucsc import Regions, find_regions

#: Lines per round: bounds the memory a large file needs.
_CHUNK = 200_000

REASONS = {
    Status.DELETED: b"Deleted in new",
    Status.PARTIAL: b"Partially deleted in new",
    Status.SPLIT: b"Split in new",
    Status.DUPLICATED: b"Duplicated in new",
}


@dataclass(frozen=True, kw_only=True)
class BedOptions:
    """Options of the drop-in command; names and defaults are those of the UCSC tool.

    ``bed_plus``: how many columns are BED, the rest is copied (0: all are BED). ``ends``: lift
    only so many bases at each end (0: the whole interval). The others are described in
    docs/liftover.md.
    """

    min_match: float = 0.95
    min_blocks: float = 1.0
    multiple: bool = False
    no_serial: bool = False
    min_chain_t: int = 0
    min_chain_q: int = 0
    min_size_t: int = 0
    min_size_q: int = 0
    bed_plus: int = 0
    has_bin: bool = False
    tab: bool = False
    ends: int = 0
    fudge_thick: bool = False
    preserve_input: bool = False
    compat: Literal["v491", "v492"] = "v492"

    @property
    def ratio(self) -> float:
        """``-minMatch`` as the tool compares it: a 32-bit number."""
        return float(np.float32(self.min_match))

    def lift_options(self) -> LiftOptions:
        """Return the options of the search."""
        return LiftOptions(
            mode="ucsc-multiple" if self.multiple else "ucsc",
            # 0 is legal here: everything covered at all then counts; gaps are refused later.
            min_match=self.min_match if self.min_match > 0 else 1e-30,
            compat=self.compat,
            min_chain_t=self.min_chain_t,
            min_chain_q=self.min_chain_q,
            min_size_q=self.min_size_q,
        )


class Text(NamedTuple):
    """What a round adds to the two files, and how many intervals became what."""

    mapped: bytes | memoryview
    unmapped: bytes | memoryview
    counts: dict[str, int]


class BedReader:
    """The rows of a BED file: what is skipped, how fields are split, how many there must be.

    Attributes
    ----------
    data
        The text.
    first
        Offset of the first row in `data`; before it an indented # is a comment too.
    lines_before
        Number of lines before `first`.
    columns
        Columns of the first row, without the bin; every row must have as many. 0: no rows.
    newline
        What ends a line: LF, or CR in a file that has no LF.
    carriage
        The first line ends in CRLF: a CR before the LF is no part of a line.
    """

    def __init__(self, data: bytes, *, options: BedOptions, where: str) -> None:
        self.data = data
        self.where = where
        self._separator = b"\t" if options.tab else None
        self._bin = 1 if options.has_bin else 0
        feed = data.find(b"\n")
        self.newline = b"\n" if feed >= 0 else b"\r"
        self.carriage = feed > 0 and data[feed - 1 : feed] == b"\r"
        self.first = len(data)
        self.lines_before = 0
        self.columns = 0
        at = 0
        while at < len(data):
            stop = data.find(self.newline, at)
            stop = len(data) if stop < 0 else stop
            line = data[at:stop]
            if line.strip() and not line.lstrip().startswith(b"#"):
                self.first = at
                self.columns = len(line.split(self._separator)) - self._bin
                break
            at = stop + 1
            self.lines_before += 1
        if data[self.first :].startswith((b"track", b"browser")):
            raise InputError(
                f"{where}, line {self.lines_before + 1}: track and browser lines are not BED; "
                "remove them first"
            )
        if self.first < len(data) and self.columns < 3:
            raise InputError(
                f"{where}, line {self.lines_before + 1}: a BED file has at least 3 columns, found "
                f"{self.columns}"
            )

    def skip(self, offset: int, lines: int) -> None:
        """Go on from `offset`, `lines` lines further: what is before was read by other means."""
        self.first = offset
        self.lines_before += lines

    def rows(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield (line number, fields without the bin) of every row.

        Raises
        ------
        InputError
            A row with another number of columns.
        """
        lines = self.data[self.first :].split(self.newline)
        if not lines[-1]:
            lines.pop()
        for number, text in enumerate(lines, start=self.lines_before + 1):
            if text.startswith(b"#"):
                continue
            line = text.removesuffix(b"\r") if self.carriage else text
            words = line.split(self._separator)
            if not words or (not line and self._separator):
                continue
            words = words[self._bin :]
            if len(words) != self.columns:
                raise InputError(
                    f"{self.where}, line {number}: {len(words)} columns, but the first row has "
                    f"{self.columns}; every row must have as many"
                )
            yield number, words

    def number(self, words: list[bytes], column: int, line: int) -> int:
        """Return field `column` (0-based) as the tool does: digits and '-', read up to the end.

        ``110-5`` is 110, ``0110`` is 110, an empty field is 0; anything else is an error.
        """
        word = words[column]
        if word.isdigit():
            value = int(word)
        else:
            if word.translate(None, b"0123456789-"):
                raise InputError(
                    f"{self.where}, line {line}: column {column + 1} must be a whole number, found "
                    f"{word.decode('utf-8', 'replace')!r}"
                    + (" (narrowPeak and broadPeak need -bedPlus=6)" if column > 5 else "")
                )
            minus = word.startswith(b"-")
            digits = word[minus:].split(b"-")[0]
            value = int(digits or b"0") * (-1 if minus else 1)
        if abs(value) > MAX_POSITION:
            raise InputError(f"{self.where}, line {line}: position {value} is out of range")
        return value


class _Rows(NamedTuple):
    """A round of rows."""

    lines: list[int]
    words: list[list[bytes]]
    code: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: list[bytes]
    thick: NDArray[np.int64] | None


def lift_small(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[Text]:
    """Lift the rows of a BED file of up to ten BED columns; yield the text of each round.

    Raises
    ------
    InputError
        Ragged rows, positions that are no numbers, an interval that ends before it starts; thick
        columns with ``-ends``.
    """
    if options.ends and reader.columns >= 8 and not 0 < options.bed_plus < 8:
        raise InputError(
            f"{reader.where}: -ends does not move the thick columns 7 and 8; give -bedPlus=6 to "
            "copy them as they are"
        )
    for rows in _rounds(reader, index, options):
        if options.ends:
            yield _lift_ends(rows, index, options)
        else:
            yield _lift_rows(rows, index, options, reader.where)


def _rounds(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[_Rows]:
    plus = options.bed_plus
    stranded = reader.columns >= 6 and (plus == 0 or plus >= 6)
    thick = reader.columns >= 8 and (plus == 0 or plus >= 8)
    names = {name.encode("utf-8"): code for code, name in enumerate(index.target_names)}
    lines: list[int] = []
    words: list[list[bytes]] = []
    numbers: list[tuple[int, ...]] = []
    for line, row in reader.rows():
        start = reader.number(row, 1, line)
        end = reader.number(row, 2, line)
        if start > end:
            raise InputError(
                f"{reader.where}, line {line}: the start {start} is after the end {end}"
            )
        if thick:
            numbers.append((start, end, reader.number(row, 6, line), reader.number(row, 7, line)))
        else:
            numbers.append((start, end))
        lines.append(line)
        words.append(row)
        if len(lines) == _CHUNK:
            yield _round(lines, words, numbers, names, stranded)
            lines, words, numbers = [], [], []
    if lines:
        yield _round(lines, words, numbers, names, stranded)


def _round(
    lines: list[int],
    words: list[list[bytes]],
    numbers: list[tuple[int, ...]],
    names: dict[bytes, int],
    stranded: bool,
) -> _Rows:
    table = np.array(numbers, dtype=np.int64)
    return _Rows(
        lines=lines,
        words=words,
        code=np.array([names.get(row[0], -1) for row in words], dtype=np.int32),
        start=np.ascontiguousarray(table[:, 0]),
        end=np.ascontiguousarray(table[:, 1]),
        strand=[row[5][:1] for row in words] if stranded else [b"."] * len(words),
        thick=table[:, 2:] if table.shape[1] == 4 else None,
    )


def turned(strand: bytes) -> bytes:
    """Return the other strand; anything but + and - stays."""
    return {b"+": b"-", b"-": b"+"}.get(strand, strand)


def refuse_gaps(
    found: Regions, rows: _Rows, index: ChainIndex, options: BedOptions, where: str
) -> NDArray[np.int8]:
    """Return the statuses for ``-minMatch=0``, at which a chain counts wherever it spans.

    The UCSC tool then takes a chain with a gap over the whole interval for a hit, and stops.
    """
    status = found.status.copy()
    length = np.maximum(rows.end - rows.start, 1)
    spans = np.zeros(len(status), np.int64)
    for contig in np.unique(rows.code[rows.code >= 0]).tolist():
        mine = rows.code == contig
        of = index.chain_target == contig
        begins = np.sort(index.chain_start[of])
        ends = np.sort(index.chain_end[of])
        stop = rows.start[mine] + length[mine]
        spans[mine] = np.searchsorted(begins, stop, side="left") - np.searchsorted(
            ends, rows.start[mine], side="right"
        )
    gap = spans > np.diff(found.offsets)
    duplicated = (spans > 1) & (not options.multiple)
    status[duplicated] = Status.DUPLICATED
    wrong = np.flatnonzero(gap & ~duplicated)
    if len(wrong):
        raise InputError(
            f"{where}, line {rows.lines[wrong[0]]}: with -minMatch=0 an interval inside a gap of a "
            "chain would count as mapped; use a value above 0, such as 0.000001"
        )
    return status


def _lift_rows(rows: _Rows, index: ChainIndex, options: BedOptions, where: str) -> Text:
    """Lift a round of whole intervals."""
    # Where the compiled search is not there yet, starting it costs more than it saves here.
    found = find_regions(
        index, rows.code, rows.start, rows.end,
        options=options.lift_options(), compiled="numba" in sys.modules,
    )  # fmt: skip
    status = found.status
    if options.min_match <= 0:
        status = refuse_gaps(found, rows, index, options, where)
    thick = None
    if rows.thick is not None:
        thick = map_thick(
            index, found, rows.thick, ratio=0.0 if options.multiple else options.ratio
        )
    names = [name.encode("utf-8") for name in index.query_names]
    contig = index.chain_query[found.chain].tolist()
    minus = index.flipped[found.chain].tolist()
    begin, finish = found.start.tolist(), found.end.tolist()
    offsets = found.offsets.tolist()
    mapped: list[bytes] = []
    unmapped: list[bytes] = []
    plus = options.bed_plus
    for row, (words, result) in enumerate(zip(rows.words, status.tolist(), strict=True)):
        strand = rows.strand[row]
        if options.preserve_input:
            _keep_input(words, rows, row)
        if result != Status.MAPPED:
            unmapped.append(_unmapped_line(REASONS[Status(result)], words, rows, row))
            continue
        region = b""
        if options.multiple:
            region = words[3] if len(words) > 3 else _position(rows, row)
        for serial, at in enumerate(range(offsets[row], offsets[row + 1]), start=1):
            fields = _place(names[contig[at]], begin[at], finish[at], options)
            if options.multiple:
                fields.append(region)
                if not options.no_serial:
                    fields.append(b"%d" % serial)
            tail = words[3:]
            if len(words) >= 6 and (plus == 0 or plus >= 6):
                tail[2] = turned(strand) if minus[at] else strand
            if thick is not None:
                tail[3:5] = (b"%d" % value for value in thick[at])
            if options.multiple:
                # The serial takes the place of the score, unless that is not a BED column.
                skip = 1 if options.no_serial or 0 < plus < 5 else 2
                tail = tail[skip:]
            mapped.append(b"\t".join(fields + tail))
    return _text(mapped, unmapped, status)


def _lift_ends(rows: _Rows, index: ChainIndex, options: BedOptions) -> Text:
    """Lift the first and the last bases of each interval and join what they give (``-ends``)."""
    search = options.lift_options()
    parts = [
        find_regions(index, rows.code, begin, finish, options=search, compiled=False)
        for begin, finish in (
            (rows.start, rows.start + options.ends),
            (rows.end - options.ends, rows.end),
        )
    ]
    names = [name.encode("utf-8") for name in index.query_names]
    mapped: list[bytes] = []
    unmapped: list[bytes] = []
    status = np.where(parts[0].status != Status.MAPPED, parts[0].status, parts[1].status)
    plus = options.bed_plus
    for row, (words, result) in enumerate(zip(rows.words, status.tolist(), strict=True)):
        if options.preserve_input:
            _keep_input(words, rows, row)
        if result != Status.MAPPED:
            reason = REASONS[Status(result)] + b" on one or both ends"
            unmapped.append(_unmapped_line(reason, words, rows, row))
            continue
        left, right = (part.offsets[row] for part in parts)
        chains = [part.chain[at] for part, at in zip(parts, (left, right), strict=True)]
        first, last = (
            (int(part.start[at]), int(part.end[at]))
            for part, at in zip(parts, (left, right), strict=True)
        )
        minus = bool(index.flipped[chains[0]])
        if index.mirrored[chains[0]]:
            first, last = last, first
        if (
            index.chain_query[chains[0]] != index.chain_query[chains[1]]
            or minus != bool(index.flipped[chains[1]])
            or first[0] >= last[1]
        ):
            status[row] = Status.SPLIT
            unmapped.append(
                _unmapped_line(b"ends mapped differently or incompletely", words, rows, row)
            )
            continue
        fields = _place(names[index.chain_query[chains[0]]], first[0], last[1], options)
        tail = words[3:]
        if len(words) >= 6 and (plus == 0 or plus >= 6):
            tail[2] = turned(rows.strand[row]) if minus else rows.strand[row]
        mapped.append(b"\t".join(fields + tail))
    return _text(mapped, unmapped, status)


def _place(name: bytes, start: int, end: int, options: BedOptions) -> list[bytes]:
    """Return the first columns of a mapped line."""
    fields = [name, b"%d" % start, b"%d" % end]
    if options.has_bin:
        fields.insert(0, b"%d" % bin_number(start, end))
    return fields


def _position(rows: _Rows, row: int) -> bytes:
    """Return the interval as a browser position, 1-based."""
    return b"%b:%d-%d" % (rows.words[row][0], rows.start[row] + 1, rows.end[row])


def _keep_input(words: list[bytes], rows: _Rows, row: int) -> None:
    """Put the input position before the name (``-preserveInput``)."""
    if len(words) > 3:
        words[3] = _position(rows, row) + b":" + words[3]


def _unmapped_line(reason: bytes, words: list[bytes], rows: _Rows, row: int) -> bytes:
    """Return the two lines of an interval that did not map."""
    fields = [words[0], b"%d" % rows.start[row], b"%d" % rows.end[row], *words[3:]]
    if len(fields) > 5:
        fields[5] = rows.strand[row]
    return b"#" + reason + b"\n" + b"\t".join(fields)


def _text(mapped: list[bytes], unmapped: list[bytes], status: NDArray[np.int8]) -> Text:
    numbers = np.bincount(status, minlength=len(Status)).tolist()
    return Text(
        b"".join(line + b"\n" for line in mapped),
        b"".join(line + b"\n" for line in unmapped),
        {s.name.lower(): numbers[s] for s in Status if numbers[s]},
    )


def bin_number(start: int, end: int) -> int:
    """Return the bin of a range in UCSC tables (http://genomewiki.ucsc.edu/index.php/Bin_indexing_system).

    The standard scheme reaches to 512 Mb, the extended one, offset by 4681, to 4 Gb.
    """
    last = end - 1
    offsets = (585, 73, 9, 1, 0)
    base = 0
    if end > 2**29:
        offsets = (4681, 585, 73, 9, 1)
        base = 4681
    for level, offset in enumerate(offsets):
        shift = 17 + 3 * level
        if start >> shift == last >> shift:
            return base + offset + (start >> shift)
    return base
