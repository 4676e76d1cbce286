"""Compiled reading and writing of BED text; :mod:`ssldata.ucsc_tool.bulk_bed` says what for."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_text import MAX_POSITION

_NEWLINE, _RETURN, _SPACE, _TAB, _HASH, _DOT = 10, 13, 32, 9, 35, 46
_PLUS, _MINUS, _ZERO, _NINE, _COLON = 43, 45, 48, 57, 58
#: Longest number as text, with its tab.
_NUMBER = 12


@numba.njit(cache=True, nogil=True)
def hash_names(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.int32]
) -> None:
    """Enter the names into a hash table (open addressing, FNV-1a, −1 where empty)."""
    mask = table.size - 1
    for code in range(offsets.size - 1):
        value = np.uint64(14695981039346656037)
        for at in range(offsets[code], offsets[code + 1]):
            value = (value ^ np.uint64(text[at])) * np.uint64(1099511628211)
        slot = np.int64(value & np.uint64(mask))
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = code


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
def read_rows(
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
    mark: NDArray[np.int64],
    strand: NDArray[np.uint8],
) -> tuple[int, int, int, bool]:
    """Read rows until the arrays are full; return (rows, offset, lines, regular).

    `word` gets the offset of the contig name, `rest` that of the fourth column (the end of the
    line without one), `stop` the end of the last column. `mark` says how columns four and on can
    be copied: ≥ 0 whole, but for the strand at that offset; −1 whole; −2 only one by one.
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
        how = -1
        while True:
            begin = at
            if not tab:
                while at < finish and (text[at] == _SPACE or text[at] == _TAB):
                    at += 1
                if at >= finish:
                    break
                if count > 3 and (at != begin + 1 or text[begin] != _TAB):
                    how = -2  # the output has single tabs
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
                elif count == 5:
                    if not stranded or at != begin + 1:
                        how = -2
                    elif how == -1:
                        how = begin
                    if stranded:
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
        mark[rows] = how
        strand[rows] = sign
        rows += 1
        position = after
        lines += 1
    return rows, min(position, size), lines, True


@numba.njit(cache=True, nogil=True, inline="always")
def _digits(out: NDArray[np.uint8], at: int, value: int) -> int:
    """Write a number from 0 to 2³² − 1 at `at`; return the place behind it."""
    left = np.uint32(value)  # division by a constant is cheapest at 32 bits
    size = 1
    limit = np.int64(10)
    while value >= limit:
        size += 1
        limit *= 10
    for step in range(size - 1, -1, -1):
        next_left = left // np.uint32(10)
        out[at + step] = np.uint32(_ZERO) + (left - next_left * np.uint32(10))
        left = next_left
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


@numba.njit(cache=True, nogil=True, inline="always")
def _tail(
    out: NDArray[np.uint8],
    at: int,
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    how: int,
    tab: bool,
    sign: int,
) -> int:
    """Write the columns from the fourth on, whole where `how` (a mark of `_read`) allows it."""
    if how == -2:
        return _columns(out, at, text, begin, end, tab, 0, sign)
    out[at] = _TAB
    stop = _copy(out, at + 1, text, begin, end)
    if how >= 0 and sign > 0:
        out[at + 1 + how - begin] = sign
    return stop


@numba.njit(cache=True, nogil=True)
def write_rows(
    text: NDArray[np.uint8],
    rows: int,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    word: NDArray[np.int64],
    rest: NDArray[np.int64],
    stop: NDArray[np.int64],
    mark: NDArray[np.int64],
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
                lost = _tail(bad, lost, text, rest[row], stop[row], mark[row], tab, strand[row])
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
                if skip:
                    used = _columns(good, used, text, rest[row], stop[row], tab, skip, sign)
                else:
                    used = _tail(good, used, text, rest[row], stop[row], mark[row], tab, sign)
            good[used] = _NEWLINE
            used += 1
    return rows, used, lost
