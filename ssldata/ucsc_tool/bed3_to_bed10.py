"""BED files of up to ten BED columns through a chain, as the UCSC tool does it.

This is the strict, readable path: line by line, every error with its line. Large regular files
take :mod:`ssldata.ucsc_tool.bulk_bed`, which must write the same bytes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ssldata.base.array_types import Int8Array, Int32Array, Int64Array
from ssldata.base.errors import InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status, count_statuses
from ssldata.liftover.ucsc_mode import Regions, find_regions
from ssldata.ucsc_tool.bed_rows import REASONS, BedOptions, BedReader, Text, bin_number, turned
from ssldata.ucsc_tool.thick_parts import map_thick

#: Lines per round: bounds the memory a large file needs.
_CHUNK = 200_000


class _Rows(NamedTuple):
    """A round of rows."""

    lines: Sequence[int]
    words: Sequence[list[bytes]]
    code: Int32Array
    start: Int64Array
    end: Int64Array
    strand: list[bytes]
    thick: Int64Array | None


def lift_small(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[Text]:
    """Lift the rows of a BED file of up to ten BED columns; yield the text of each round.

    Raises
    ------
    InputError
        Ragged rows, positions that are not numbers, an interval that ends before it starts; thick
        columns with ``-ends``.
    """
    if options.ends and reader.thick:
        raise InputError(
            f"{reader.where}: -ends does not move the thick columns 7 and 8; give -bedPlus=6 to "
            "copy them as they are"
        )
    for rows in _rounds(reader, index):
        yield _lift_rows(rows, index, options, reader)


def _checked_rows(reader: BedReader) -> Iterator[tuple[int, list[bytes], list[int]]]:
    """Yield line number, fields, and start, end (thick start, thick end) of every row."""
    for line, row in reader.rows():
        start, end = reader.number(row, 1, line), reader.number(row, 2, line)
        if start > end:
            raise InputError(
                f"{reader.where}, line {line}: the start {start} is after the end {end}"
            )
        thick = [reader.number(row, column, line) for column in (6, 7)] if reader.thick else []
        yield line, row, [start, end, *thick]


def _rounds(reader: BedReader, index: ChainIndex) -> Iterator[_Rows]:
    """Yield the rows of the file, a bounded number at a time."""
    names = {name.encode("utf-8"): code for code, name in enumerate(index.target_names)}
    waiting = _checked_rows(reader)
    while some := list(itertools.islice(waiting, _CHUNK)):
        lines, words, numbers = zip(*some, strict=True)
        table = np.array(numbers, dtype=np.int64)
        yield _Rows(
            lines=lines,
            words=words,
            code=np.array([names.get(row[0], -1) for row in words], dtype=np.int32),
            start=np.ascontiguousarray(table[:, 0]),
            end=np.ascontiguousarray(table[:, 1]),
            strand=[row[5][:1] if reader.stranded else b"." for row in words],
            thick=table[:, 2:] if reader.thick else None,
        )


def refuse_gaps(
    found: Regions, rows: _Rows, index: ChainIndex, options: BedOptions, where: str
) -> Int8Array:
    """Return the statuses for ``-minMatch=0``, at which a chain counts wherever it spans.

    The UCSC tool then takes a chain with a gap over the whole interval for a hit, and stops.

    Parameters
    ----------
    found
        Regions of the rows.
    rows
        The rows of the file.
    index
        Chains.
    options
        Of the command.
    where
        Name of the file in messages.
    """
    status = found.status.copy()
    length = np.maximum(rows.end - rows.start, 1)
    spans = np.zeros(len(status), np.int64)
    for contig in np.unique(rows.code[rows.code >= 0]).tolist():
        mine = rows.code == contig
        of = index.chain_target == contig
        if options.multiple:
            of &= index.chain_end - index.chain_start >= options.min_chain_t
            of &= index.chain_query_end - index.chain_query_start >= options.min_chain_q
        begins = np.sort(index.chain_start[of])
        ends = np.sort(index.chain_end[of])
        stop = rows.start[mine] + length[mine]
        spans[mine] = np.searchsorted(begins, stop, side="left") - np.searchsorted(
            ends, rows.start[mine], side="right"
        )
    if options.min_size_q:  # regions that were dropped as too small are not gaps
        search = replace(options.lift_options(), min_size_q=0)
        found = find_regions(index, rows.code, rows.start, rows.end, options=search, compiled=False)
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


def _search_rows(
    rows: _Rows, index: ChainIndex, options: BedOptions, where: str
) -> tuple[Regions, list[bytes]]:
    """Return the regions of whole intervals, and the reason of each that does not map."""
    # Where the compiled search is not loaded yet, starting it costs more than it saves here.
    found = find_regions(
        index, rows.code, rows.start, rows.end,
        options=options.lift_options(), compiled="numba" in sys.modules,
    )  # fmt: skip
    if options.min_match <= 0:
        found = found._replace(status=refuse_gaps(found, rows, index, options, where))
    return found, [REASONS.get(status, b"") for status in found.status.tolist()]


def _search_ends(
    rows: _Rows, index: ChainIndex, options: BedOptions
) -> tuple[Regions, list[bytes]]:
    """Do the same for the first and the last bases of each interval, joined (``-ends``)."""
    first, last = (
        find_regions(index, rows.code, start, end, options=options.lift_options(), compiled=False)
        for start, end in (
            (rows.start, rows.start + options.ends),
            (rows.end - options.ends, rows.end),
        )
    )
    status = np.where(first.status != Status.MAPPED, first.status, last.status)
    reasons = [REASONS.get(one, b"") + b" on one or both ends" for one in status.tolist()]
    both = np.flatnonzero(status == Status.MAPPED)
    left, right = first.offsets[both], last.offsets[both]
    chain, other = first.chain[left], last.chain[right]
    turned_over = index.mirrored[chain]
    start = np.where(turned_over, last.start[right], first.start[left])
    end = np.where(turned_over, first.end[left], last.end[right])
    joined = (index.chain_query[chain] == index.chain_query[other]) & (start < end)
    joined &= index.flipped[chain] == index.flipped[other]
    for row in both[~joined].tolist():
        reasons[row] = b"ends mapped differently or incompletely"
    status[both[~joined]] = Status.SPLIT
    offsets = np.concatenate(([0], np.cumsum(status == Status.MAPPED)))
    none = np.zeros(len(status), np.int64)
    return Regions(status, none, offsets, chain[joined], start[joined], end[joined]), reasons


def _lift_rows(rows: _Rows, index: ChainIndex, options: BedOptions, reader: BedReader) -> Text:
    """Lift a round of rows."""
    if options.ends:
        found, reasons = _search_ends(rows, index, options)
    else:
        found, reasons = _search_rows(rows, index, options, reader.where)
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
    for row, (words, result) in enumerate(zip(rows.words, found.status.tolist(), strict=True)):
        strand = rows.strand[row]
        if options.preserve_input:
            _keep_input(words, rows, row)
        if result != Status.MAPPED:
            unmapped.append(_unmapped_line(reasons[row], words, rows, row))
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
            if reader.stranded:
                tail[2] = turned(strand) if minus[at] else strand
            if thick is not None:
                tail[3:5] = (b"%d" % value for value in thick[at])
            mapped.append(b"\t".join(fields + tail[options.replaced_columns :]))
    return Text(
        b"".join(line + b"\n" for line in mapped),
        b"".join(line + b"\n" for line in unmapped),
        count_statuses(found.status),
    )


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
