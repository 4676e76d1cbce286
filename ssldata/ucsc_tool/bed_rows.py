"""BED files as the UCSC tool reads and writes them: options, rows, numbers, reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ssldata.base.errors import InputError
from ssldata.chains.chain_text import MAX_POSITION
from ssldata.liftover.lift_result import LiftOptions, Status

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
    only this many bases at each end (0: the whole interval). The others are described in
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

    @property
    def replaced_columns(self) -> int:
        """Columns from the fourth on that ``-multiple`` replaces: the name, and the score."""
        if not self.multiple:
            return 0
        # The serial number takes the place of the score, unless that is not a BED column.
        return 1 if self.no_serial or 0 < self.bed_plus < 5 else 2

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
    """What a round adds to the two files, and how many intervals had which outcome."""

    mapped: bytes | memoryview
    unmapped: bytes | memoryview
    counts: dict[str, int]


class BedReader:
    """The rows of a BED file: what is skipped, how fields are split, and how many are expected.

    Attributes
    ----------
    data
        The text.
    first
        Offset of the first row in `data`; before it an indented # is a comment too.
    lines_before
        Number of lines before `first`.
    columns
        Columns of the first row, without the bin; every row must have the same number. 0: no rows.
    bed_columns
        How many of them are BED (``-bedPlus``).
    stranded, thick
        Column 6 is a strand; columns 7 and 8 are the thick part.
    newline
        What ends a line: LF, or CR in a file that has no LF.
    carriage
        The first line ends in CRLF: a CR before the LF is not part of a line.
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
        self.bed_columns = options.bed_plus or self.columns
        self.stranded = min(self.columns, self.bed_columns) >= 6
        self.thick = min(self.columns, self.bed_columns) >= 8
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
        """Continue at `offset`, `lines` lines further on: the rows before were read elsewhere."""
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
                    f"{self.columns}; every row must have the same number"
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


def turned(strand: bytes) -> bytes:
    """Return the other strand; anything but + and - stays."""
    return {b"+": b"-", b"-": b"+"}.get(strand, strand)


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
