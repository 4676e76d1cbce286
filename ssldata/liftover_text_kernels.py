"""Compiled reading and writing of large BED files for the drop-in command.

The same bytes as :mod:`ssldata.liftover_bed` writes. Only plainly regular text is read here:
reading stops before the first row that is not (a sign, another number of columns, an interval
that ends before it starts), and the strict path goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chain import ChainIndex
from ssldata.chain_text import MAX_POSITION
from ssldata.liftover import Status
from ssldata.liftover_bed import REASONS, BedOptions, BedReader, Text
from ssldata.liftover_ucsc import find_regions

_NEWLINE, _RETURN, _SPACE, _TAB, _HASH, _DOT = 10, 13, 32, 9, 35, 46
_PLUS, _MINUS, _ZERO, _NINE, _COLON = 43, 45, 48, 57, 58
#: Rows per round: bounds the memory a large file needs.
_CHUNK = 500_000
#: Size of the buffers of each output.
_BUFFER = 4_000_000
#: Longest number as text, with its tab.
_NUMBER = 12


@dataclass(frozen=True)
class Names:
    """Contig names as one byte array, with a hash table to find them.

    ``text`` uint8, ``offsets`` int64 (names + 1), ``table`` int32 with a power of two entries:
    codes by open addressing of the FNV-1a hash, −1 where empty.
    """

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    table: NDArray[np.int32]


@numba.njit(cache=True, nogil=True)
def _hash_names(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.int32]
) -> None:
    mask = table.size - 1
    for code in range(offsets.size - 1):
        value = np.uint64(14695981039346656037)
        for at in range(offsets[code], offsets[code + 1]):
            value = (value ^ np.uint64(text[at])) * np.uint64(1099511628211)
        slot = np.int64(value & np.uint64(mask))
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = code


def name_table(names: tuple[str, ...]) -> Names:
    """Return contig names as bytes with their hash table."""
    encoded = [name.encode("utf-8") for name in names]
    offsets = np.zeros(len(names) + 1, np.int64)
    offsets[1:] = np.cumsum([len(name) for name in encoded])
    size = 16
    while size < 2 * len(names):
        size *= 2
    table = np.full(size, -1, np.int32)
    text = np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8)
    _hash_names(text, offsets, table)
    return Names(text, offsets, table)


@numba.njit(cache=True, nogil=True, inline="always")
def _find(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    names: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.int32],
) -> int:
    """Return the code of the name text[begin:end], −1 when unknown."""
    value = np.uint64(14695981039346656037)
    for at in range(begin, end):
        value = (value ^ np.uint64(text[at])) * np.uint64(1099511628211)
    mask = table.size - 1
    slot = np.int64(value & np.uint64(mask))
    while table[slot] >= 0:
        code = table[slot]
        first = offsets[code]
        if offsets[code + 1] - first == end - begin:
            same = True
            for at in range(end - begin):
                if names[first + at] != text[begin + at]:
                    same = False
                    break
            if same:
                return code
        slot = (slot + 1) & mask
    return -1


@numba.njit(cache=True, nogil=True)
def _read(
    text: NDArray[np.uint8],
    position: int,
    columns: int,
    tab: bool,
    carriage: bool,
    stranded: bool,
    names: NDArray[np.uint8],
    name_offsets: NDArray[np.int64],
    table: NDArray[np.int32],
    code: NDArray[np.int32],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    word: NDArray[np.int64],
    rest: NDArray[np.int64],
    stop: NDArray[np.int64],
    strand: NDArray[np.uint8],
) -> tuple[int, int, int, bool]:
    """Read rows until the arrays are full; return (rows, offset, lines, regular).

    `word` gets the offset of the contig name, `rest` that of the fourth column (the end of the
    line without one), `stop` the end of the last column.
    """
    rows = 0
    lines = 0
    size = text.size
    old = -1
    old_begin = 0
    old_end = 0
    while position < size and rows < code.size:
        line = position
        finish = line
        while finish < size and text[finish] != _NEWLINE:
            finish += 1
        after = finish + 1
        if finish > line and text[finish - 1] == _RETURN:
            if tab and not carriage:
                return rows, position, lines, False
            finish -= 1
        if finish == line or text[line] == _HASH:
            position = after
            lines += 1
            continue
        at = line
        count = 0
        begin = 0
        last = line
        s = np.int64(0)
        e = np.int64(0)
        tail = finish
        sign = np.uint8(_DOT)
        name_begin = line
        name_end = line
        while True:
            if not tab:
                while at < finish and (text[at] == _SPACE or text[at] == _TAB):
                    at += 1
                if at >= finish:
                    break
            begin = at
            if count == 1 or count == 2:
                value = np.int64(0)
                while at < finish and _ZERO <= text[at] <= _NINE and value <= MAX_POSITION:
                    value = value * 10 + (text[at] - _ZERO)
                    at += 1
                if at == begin or value > MAX_POSITION:
                    return rows, position, lines, False
                if at < finish and text[at] != _TAB and (tab or text[at] != _SPACE):
                    return rows, position, lines, False
                if count == 1:
                    s = value
                else:
                    e = value
            else:
                while at < finish:
                    byte = text[at]
                    if byte == _TAB or (byte == _SPACE and not tab):
                        break
                    if byte < _SPACE:
                        return rows, position, lines, False
                    at += 1
                if count == 0:
                    name_begin = begin
                    name_end = at
                elif count == 3:
                    tail = begin
                elif count == 5 and stranded:
                    if at == begin:
                        return rows, position, lines, False
                    sign = text[begin]
            last = at
            count += 1
            if at >= finish:
                break
            if tab:
                at += 1
        if count == 0:
            position = after
            lines += 1
            continue
        if count != columns or s > e:
            return rows, position, lines, False
        same = name_end - name_begin == old_end - old_begin
        if same:
            for step in range(name_end - name_begin):
                if text[name_begin + step] != text[old_begin + step]:
                    same = False
                    break
        if not same or rows == 0:
            old = _find(text, name_begin, name_end, names, name_offsets, table)
            old_begin = name_begin
            old_end = name_end
        code[rows] = old
        start[rows] = s
        end[rows] = e
        word[rows] = name_begin
        rest[rows] = tail if columns > 3 else last
        stop[rows] = last
        strand[rows] = sign
        rows += 1
        position = after
        lines += 1
    return rows, min(position, size), lines, True


@numba.njit(cache=True, nogil=True, inline="always")
def _digits(out: NDArray[np.uint8], at: int, value: int) -> int:
    """Write a number ≥ 0 at `at`; return the place behind it."""
    size = 1
    limit = np.int64(10)
    while value >= limit:
        size += 1
        limit *= 10
    for step in range(size - 1, -1, -1):
        out[at + step] = _ZERO + value % 10
        value //= 10
    return at + size


@numba.njit(cache=True, nogil=True, inline="always")
def _copy(out: NDArray[np.uint8], at: int, source: NDArray[np.uint8], begin: int, end: int) -> int:
    """Copy source[begin:end] to `at`; return the place behind it."""
    for step in range(end - begin):
        out[at + step] = source[begin + step]
    return at + end - begin


@numba.njit(cache=True, nogil=True)
def _columns(
    out: NDArray[np.uint8],
    at: int,
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    tab: bool,
    skip: int,
    sign: int,
) -> int:
    """Write the columns from the fourth on, each after a tab; return the place behind them.

    The first `skip` of them are left out; column 6 becomes `sign` (0: stays as it is).
    """
    column = 3
    position = begin
    while True:
        finish = position
        while finish < end and text[finish] != _TAB and (tab or text[finish] != _SPACE):
            finish += 1
        if column - 3 >= skip:
            out[at] = _TAB
            at += 1
            if column == 5 and sign > 0:
                out[at] = sign
                at += 1
            else:
                at = _copy(out, at, text, position, finish)
        column += 1
        if finish >= end:
            break
        position = finish + 1
        if not tab:
            while text[position] == _SPACE or text[position] == _TAB:
                position += 1
    return at


@numba.njit(cache=True, nogil=True)
def _write(
    text: NDArray[np.uint8],
    rows: int,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    word: NDArray[np.int64],
    rest: NDArray[np.int64],
    stop: NDArray[np.int64],
    strand: NDArray[np.uint8],
    columns: int,
    tab: bool,
    stranded: bool,
    multiple: bool,
    serials: bool,
    skip: int,
    status: NDArray[np.int8],
    offsets: NDArray[np.int64],
    contig: NDArray[np.int32],
    flipped: NDArray[np.bool_],
    region_start: NDArray[np.int64],
    region_end: NDArray[np.int64],
    names: NDArray[np.uint8],
    name_offsets: NDArray[np.int64],
    reasons: NDArray[np.uint8],
    reason_offsets: NDArray[np.int64],
    good: NDArray[np.uint8],
    bad: NDArray[np.uint8],
    first_row: int,
) -> tuple[int, int, int]:
    """Write mapped rows into `good`, the others into `bad`; return (row, used, lost).

    That is the row at which one of them was too short (the number of rows when all are done),
    and how many bytes are written in each.
    """
    used = 0
    lost = 0
    longest = 0
    for name in range(name_offsets.size - 1):
        longest = max(longest, name_offsets[name + 1] - name_offsets[name])
    for row in range(first_row, rows):
        name_end = word[row]
        while text[name_end] != _TAB and (tab or text[name_end] != _SPACE):
            name_end += 1
        tail = stop[row] - rest[row] + 8
        if status[row] != 0:
            reason = status[row]
            length = name_end - word[row]
            if lost + length + tail + 2 * _NUMBER + 64 > bad.size:
                return row, used, lost
            lost = _copy(bad, lost, reasons, reason_offsets[reason], reason_offsets[reason + 1])
            lost = _copy(bad, lost, text, word[row], name_end)
            bad[lost] = _TAB
            lost = _digits(bad, lost + 1, start[row])
            bad[lost] = _TAB
            lost = _digits(bad, lost + 1, end[row])
            if columns > 3:
                lost = _columns(bad, lost, text, rest[row], stop[row], tab, 0, strand[row])
            bad[lost] = _NEWLINE
            lost += 1
            continue
        regions = offsets[row + 1] - offsets[row]
        if (
            used + regions * (longest + 2 * tail + 5 * _NUMBER + name_end - word[row] + 16)
            > good.size
        ):
            return row, used, lost
        for at in range(offsets[row], offsets[row + 1]):
            serial = at - offsets[row] + 1
            name = contig[at]
            used = _copy(good, used, names, name_offsets[name], name_offsets[name + 1])
            good[used] = _TAB
            used = _digits(good, used + 1, region_start[at])
            good[used] = _TAB
            used = _digits(good, used + 1, region_end[at])
            if multiple:
                good[used] = _TAB
                used += 1
                if columns > 3:
                    finish = rest[row]
                    while finish < stop[row] and (
                        text[finish] != _TAB and (tab or text[finish] != _SPACE)
                    ):
                        finish += 1
                    used = _copy(good, used, text, rest[row], finish)
                else:
                    used = _copy(good, used, text, word[row], name_end)
                    good[used] = _COLON
                    used = _digits(good, used + 1, start[row] + 1)
                    good[used] = _MINUS
                    used = _digits(good, used + 1, end[row])
                if serials:
                    good[used] = _TAB
                    used = _digits(good, used + 1, serial)
            if columns > 3:
                sign = np.uint8(0)
                if stranded:
                    sign = strand[row]
                    if flipped[at]:
                        if sign == _PLUS:
                            sign = np.uint8(_MINUS)
                        elif sign == _MINUS:
                            sign = np.uint8(_PLUS)
                used = _columns(good, used, text, rest[row], stop[row], tab, skip, sign)
            good[used] = _NEWLINE
            used += 1
    return rows, used, lost


def can_read(reader: BedReader, options: BedOptions) -> bool:
    """Return whether the compiled path knows this kind of file and these options."""
    bed_columns = options.bed_plus or reader.columns
    return (
        reader.newline == b"\n"
        and bed_columns < 8
        and not (options.ends or options.has_bin or options.preserve_input)
        and options.min_match > 0
    )


def lift_regular(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[Text]:
    """Lift the regular rows at the start of a file; the reader is left at the first other row."""
    text = np.frombuffer(reader.data, dtype=np.uint8)
    target = name_table(index.target_names)
    query = name_table(index.query_names)
    plus = options.bed_plus
    stranded = reader.columns >= 6 and (plus == 0 or plus >= 6)
    reasons = [b"#" + REASONS[s] + b"\n" if s in REASONS else b"" for s in Status]
    reason_offsets = np.cumsum([0, *map(len, reasons)]).astype(np.int64)
    reason_text = np.frombuffer(b"".join(reasons), dtype=np.uint8)
    skip = 0
    if options.multiple:
        skip = 1 if options.no_serial or 0 < plus < 5 else 2
    rows = min(_CHUNK, len(text) // 6 + 1)
    numbers = [np.empty(rows, np.int64) for _ in range(5)]
    code = np.empty(rows, np.int32)
    strand = np.empty(rows, np.uint8)
    good, bad = np.empty(_BUFFER, np.uint8), np.empty(_BUFFER, np.uint8)
    regular = True
    while regular and reader.first < len(text):
        found, offset, lines, regular = _read(
            text, reader.first, reader.columns, options.tab, reader.carriage, stranded,
            target.text, target.offsets, target.table, code, *numbers, strand,
        )  # fmt: skip
        reader.skip(offset, lines)
        if not found:
            continue
        start, end, word, rest, stop = (column[:found] for column in numbers)
        regions = find_regions(
            index, code[:found], start, end, options=options.lift_options(), compiled=True
        )
        row = 0
        while row < found:
            # Done in rounds of a bounded size; most rows fit in the first.
            row, used, lost = _write(
                text, found, start, end, word, rest, stop, strand, reader.columns, options.tab,
                stranded, options.multiple, not options.no_serial, skip, regions.status,
                regions.offsets, index.chain_query[regions.chain], index.flipped[regions.chain],
                regions.start, regions.end, query.text, query.offsets, reason_text,
                reason_offsets, good, bad, row,
            )  # fmt: skip
            yield Text(good[:used].data, bad[:lost].data, {})
            if used == lost == 0:  # a single row of many regions, or a very long line
                good, bad = (np.empty(2 * len(buffer), np.uint8) for buffer in (good, bad))
        totals = np.bincount(regions.status, minlength=len(Status)).tolist()
        yield Text(b"", b"", {s.name.lower(): totals[s] for s in Status if totals[s]})
