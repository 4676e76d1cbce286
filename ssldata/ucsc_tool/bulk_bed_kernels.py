"""Compiled reading and writing of BED text, for :mod:`ssldata.ucsc_tool.bulk_bed`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ssldata.base.array_types import Arrays, BoolArray, ByteArray, Int32Array, Int64Array
from ssldata.chains.chain_text import MAX_POSITION
from ssldata.chains.name_slot import empty_name_table, name_slot
from ssldata.liftover.lift_result import Status

_NEWLINE, _RETURN, _SPACE, _TAB, _HASH, _DOT = 10, 13, 32, 9, 35, 46
_PLUS, _MINUS, _ZERO, _NINE, _COLON = 43, 45, 48, 57, 58
#: Longest number as text, with its tab.
_NUMBER = 12


class Names(NamedTuple):
    """Contig names as one byte array, with a hash table to find them.

    The name of code c is ``text[offsets[c]:offsets[c + 1]]``; ``table`` is that of
    :func:`ssldata.chains.name_slot.name_slot`.
    """

    text: ByteArray
    offsets: Int64Array
    table: Int32Array


class RowLayout(NamedTuple):
    """How rows are written: number of columns, and what the options say of them."""

    columns: int
    tab: bool  #: columns are separated by tabs only
    carriage: bool  #: lines end in CRLF
    stranded: bool  #: column 6 is a strand
    multiple: bool
    serials: bool
    skip: int  #: columns from the fourth on that ``-multiple`` replaces


class RowArrays(NamedTuple):
    """Rows of a BED file, with offsets in its text."""

    code: Int32Array  #: contig; −1: unknown
    start: Int64Array
    end: Int64Array
    word: Int64Array  #: where the contig name begins
    rest: Int64Array  #: where the fourth column begins; the end of the line without one
    stop: Int64Array  #: the end of the last column
    #: How columns from the fourth on can be copied: ≥ 0 whole, but for the strand at that offset;
    #: −1 whole; −2 only one by one.
    mark: Int64Array
    strand: ByteArray


@numba.njit(cache=True, nogil=True)
def name_table(text: ByteArray, offsets: Int64Array) -> Int32Array:
    """Return the hash table of names."""
    table = empty_name_table(offsets.size - 1)
    for code in range(offsets.size - 1):
        begin, end = offsets[code], offsets[code + 1]
        table[name_slot(text, begin, end, text, offsets[:-1], offsets[1:], table)] = code
    return table


@numba.njit(cache=True, nogil=True, inline="always")
def _word_end(text: ByteArray, at: int, end: int, tab: bool) -> int:
    """Return where the column that begins at `at` ends."""
    while at < end and text[at] != _TAB and (tab or text[at] != _SPACE):
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def read_rows(
    text: ByteArray, position: int, layout: tuple[Any, ...], names: Arrays, out: Arrays
) -> tuple[int, int, int, bool]:
    """Read rows until the arrays are full; return (rows, offset, lines, regular).

    Parameters
    ----------
    text
        uint8, the file.
    position
        Offset of the first row to read.
    layout, names, out
        Fields of :class:`RowLayout`, :class:`Names` and :class:`RowArrays`.
    """
    columns, tab, carriage, stranded = layout[:4]
    code, start, end, word, rest, stop, mark, strand = out
    name_text, name_offsets, name_codes = names
    name_first, name_stop = name_offsets[:-1], name_offsets[1:]
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
            slot = name_slot(
                text, name_begin, name_end, name_text, name_first, name_stop, name_codes
            )
            old = name_codes[slot]
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
def _number(out: ByteArray, at: int, before: int, value: int) -> int:
    """Write a byte and a number from 0 to 2³² − 1 at `at`; return the place behind them."""
    out[at] = before
    at += 1
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
def _copy(out: ByteArray, at: int, source: ByteArray, begin: int, end: int) -> int:
    """Copy source[begin:end] to `at`; return the place behind it."""
    for step in range(end - begin):
        out[at + step] = source[begin + step]
    return at + end - begin


@numba.njit(cache=True, nogil=True, inline="always")
def _columns(
    out: ByteArray,
    at: int,
    text: ByteArray,
    begin: int,
    end: int,
    how: int,
    tab: bool,
    skip: int,
    sign: int,
) -> int:
    """Write the columns from the fourth on, each after a tab; return the place behind them.

    They are text[begin:end], copied whole where `how`, the mark of the row, allows it. The first
    `skip` of them are left out; column 6 becomes `sign` (0: stays as it is).
    """
    if skip == 0 and how != -2:
        out[at] = _TAB
        if how >= 0 and sign > 0:
            strand_at = at + 1 + how - begin
            at = _copy(out, at + 1, text, begin, end)
            out[strand_at] = sign
            return at
        return _copy(out, at + 1, text, begin, end)
    column = 3
    position = begin
    while True:
        finish = _word_end(text, position, end, tab)
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
def write_rows(
    text: ByteArray,
    rows: Arrays,
    layout: tuple[Any, ...],
    regions: Arrays,
    contig: Int32Array,
    flipped: BoolArray,
    names: Arrays,
    reasons: Arrays,
    good: ByteArray,
    bad: ByteArray,
    first_row: int,
) -> tuple[int, int, int]:
    """Write mapped rows into `good`, the others into `bad`; return (row, used, lost).

    That is the row at which one of them was too short (the number of rows when all are done),
    and how many bytes are written in each.

    Parameters
    ----------
    text
        uint8, the file that was read.
    rows, layout, regions, names
        Fields of :class:`RowArrays`, :class:`RowLayout`, :class:`.Regions` and :class:`Names` (of
        the query).
    contig, flipped
        Contig of each region, and whether the strand turns over.
    reasons
        Text and offsets of the line before an unmapped row, by status.
    good, bad
        uint8, where mapped and unmapped rows are written.
    first_row
        Row to begin with.
    """
    columns, tab, _, stranded, multiple, serials, skip = layout
    _, start, end, word, rest, stop, mark, strand = rows
    status, _, offsets, _, region_start, region_end = regions
    name_text, name_offsets, _ = names
    reason_text, reason_offsets = reasons
    used = 0
    lost = 0
    longest = 0
    for name in range(name_offsets.size - 1):
        longest = max(longest, name_offsets[name + 1] - name_offsets[name])
    for row in range(first_row, start.size):
        name_end = _word_end(text, word[row], text.size, tab)
        tail = stop[row] - rest[row] + 8
        if status[row] != Status.MAPPED:
            reason = status[row]
            length = name_end - word[row]
            if lost + length + tail + 2 * _NUMBER + 64 > bad.size:
                return row, used, lost
            lost = _copy(bad, lost, reason_text, reason_offsets[reason], reason_offsets[reason + 1])
            lost = _copy(bad, lost, text, word[row], name_end)
            lost = _number(bad, lost, _TAB, start[row])
            lost = _number(bad, lost, _TAB, end[row])
            if columns > 3:
                lost = _columns(
                    bad, lost, text, rest[row], stop[row], mark[row], tab, 0, strand[row]
                )
            bad[lost] = _NEWLINE
            lost += 1
            continue
        low, high = offsets[row], offsets[row + 1]
        longest_region = longest + 2 * tail + 5 * _NUMBER + name_end - word[row] + 16
        if used + (high - low) * longest_region > good.size:
            return row, used, lost
        for at in range(low, high):
            name = contig[at]
            used = _copy(good, used, name_text, name_offsets[name], name_offsets[name + 1])
            used = _number(good, used, _TAB, region_start[at])
            used = _number(good, used, _TAB, region_end[at])
            if multiple:
                good[used] = _TAB
                used += 1
                if columns > 3:
                    finish = _word_end(text, rest[row], stop[row], tab)
                    used = _copy(good, used, text, rest[row], finish)
                else:
                    used = _copy(good, used, text, word[row], name_end)
                    used = _number(good, used, _COLON, start[row] + 1)
                    used = _number(good, used, _MINUS, end[row])
                if serials:
                    used = _number(good, used, _TAB, at - low + 1)
            if columns > 3:
                sign = np.uint8(0)
                if stranded:
                    sign = strand[row]
                    if flipped[at]:
                        if sign == _PLUS:
                            sign = np.uint8(_MINUS)
                        elif sign == _MINUS:
                            sign = np.uint8(_PLUS)
                used = _columns(good, used, text, rest[row], stop[row], mark[row], tab, skip, sign)
            good[used] = _NEWLINE
            used += 1
    return start.size, used, lost
