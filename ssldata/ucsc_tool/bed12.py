"""BED12 through a chain: intervals made of blocks, lifted block by block as the UCSC tool does.

The best chain is the one that covers most bases of the blocks, on a tie the one that the tool meets
first. A block is kept when both of its
end bases are aligned; what lies between may have gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from ssldata.base.errors import InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.chains.chain_text import MAX_POSITION
from ssldata.liftover.lift_result import Status
from ssldata.ucsc_tool.bed_rows import REASONS, BedOptions, BedReader, Text, bin_number, turned

_CHUNK = 50_000

#: (start, end), 0-based half-open.
Range = tuple[int, int]


@dataclass(frozen=True)
class Blocked:
    """A BED12 row: everything the tool reads into numbers and writes again."""

    chrom: bytes
    start: int
    end: int
    name: bytes
    score: int
    strand: bytes
    thick: Range
    rgb: int
    ranges: tuple[Range, ...]

    def line(self, extra: list[bytes]) -> bytes:
        """Return the row as the tool writes it: numbers reformatted, lists end in a comma."""
        fields = [
            self.chrom, b"%d" % self.start, b"%d" % self.end, self.name, b"%d" % self.score,
            self.strand, b"%d" % self.thick[0], b"%d" % self.thick[1], b"%d" % self.rgb,
            b"%d" % len(self.ranges),
            b"".join(b"%d," % (end - start) for start, end in self.ranges),
            b"".join(b"%d," % (start - self.start) for start, _ in self.ranges),
        ]  # fmt: skip
        return b"\t".join(fields + extra)


class ChainBlocks:
    """The blocks of one chain at a time, and the chains whose span overlaps a range."""

    def __init__(self, index: ChainIndex) -> None:
        self.index = index
        order = np.argsort(index.block_chain, kind="stable")
        self._order = order
        counts = np.bincount(index.block_chain, minlength=index.chains)
        self._first = np.concatenate(([0], np.cumsum(counts)))
        self._spans: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def overlapping(self, target: int, start: int, end: int) -> list[int]:
        """Return the chains of a target contig whose span overlaps [start, end)."""
        if target not in self._spans:
            mine = np.flatnonzero(self.index.chain_target == target)
            mine = mine[np.argsort(self.index.chain_start[mine], kind="stable")]
            ends = self.index.chain_end[mine]
            self._spans[target] = (mine, self.index.chain_start[mine], np.maximum.accumulate(ends))
        mine, starts, reach = self._spans[target]
        low = int(np.searchsorted(reach, max(start, 0), side="right"))
        high = int(np.searchsorted(starts, end, side="left"))
        chains = mine[low:high]
        return [int(c) for c in chains[self.index.chain_end[chains] > start]]

    def rank(self, chain: int) -> tuple[int, int, int]:
        """Return where the tool meets a chain: finest bin first, later in the file first."""
        start, last = int(self.index.chain_start[chain]), int(self.index.chain_end[chain]) - 1
        level = next((n for n in range(5) if start >> 17 + 3 * n == last >> 17 + 3 * n), 5)
        return level, start >> 17 + 3 * level, -int(self.index.chain_position[chain])

    def blocks(self, chain: int, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return (target start, target end, query start) of the blocks from `start` to `end`.

        One block more on either side is included: the walk of the tool looks at it.
        """
        rows = self._order[self._first[chain] : self._first[chain + 1]]
        index = self.index
        low = int(np.searchsorted(index.block_end[rows], start, side="left"))
        high = int(np.searchsorted(index.block_start[rows], end, side="right")) + 1
        rows = rows[max(low - 1, 0) : high]
        return list(
            zip(
                index.block_start[rows].tolist(),
                index.block_end[rows].tolist(),
                index.block_query[rows].tolist(),
                strict=True,
            )
        )


def covered_bases(blocks: list[tuple[int, int, int]], ranges: tuple[Range, ...]) -> int:
    """Return how many bases of the ranges lie in blocks."""
    return sum(
        max(0, min(end, stop) - max(start, begin))
        for begin, stop, _ in blocks
        for start, end in ranges
    )


class _Thick:
    """Where the ends of the thick part go, strictly and to the closest aligned base."""

    def __init__(self, thick: Range) -> None:
        self.wanted = thick[0] != thick[1]
        self.old = thick
        self.start: int | None = None
        self.end: int | None = None
        self.near_start: int | None = None
        self.near_end = 0

    def look(self, begin: int, stop: int, query: int) -> None:
        """Account for one chain block; `begin` and `stop` are on the target."""
        start, end = self.old
        if begin <= start < stop:
            self.start = self.near_start = start - begin + query
        if begin <= end <= stop:
            self.end = self.near_end = end - begin + query
        if self.near_start is None and start < stop:
            self.near_start = query
        if stop <= end:
            self.near_end = query + stop - begin

    def result(self, good: list[Range], fudge: bool) -> Range | None:
        """Return the new thick part, None when an end is not aligned and may not be moved."""
        if not self.wanted:
            return (good[0][0], good[0][0]) if good else self.old
        near_start, near_end = self.near_start, self.near_end
        if near_start is None and good:
            near_start = near_end = good[0][0]
        if not fudge and (self.start is None or self.end is None):
            return None
        start = self.start if self.start is not None else near_start
        end = self.end if self.end is not None else near_end
        return (start if start is not None else self.old[0], end)


def map_ranges(
    blocks: list[tuple[int, int, int]], ranges: tuple[Range, ...], thick: Range
) -> tuple[list[Range], _Thick]:
    """Map the ranges whose first and last base are aligned, walking blocks and ranges together.

    Returns
    -------
    ranges, thick
        On the strand of the chain.
    """
    good: list[Range] = []
    marks = _Thick(thick)
    block = 0
    at = 0
    new_start: int | None = None
    while at < len(ranges):
        while block < len(blocks) and blocks[block][1] <= ranges[at][0]:
            block += 1
        if block == len(blocks):
            break
        begin, stop, query = blocks[block]
        while at < len(ranges) and ranges[at][1] <= begin:
            at += 1  # it ends before anything is aligned: lost
            new_start = None
        if at == len(ranges):
            break
        if marks.wanted:
            marks.look(begin, stop, query)
        start, end = ranges[at]
        if begin <= start < stop and new_start is None:
            new_start = start - begin + query
        if begin < end <= stop:
            if new_start is not None:
                good.append((new_start, end - begin + query))
            at += 1
            new_start = None
        # The tool compares with the next range here when this one is done: a range that ends
        # where the block ends, and is not the first in it, is then not seen.
        if at < len(ranges) and stop <= ranges[at][1]:
            block += 1
            if block == len(blocks):
                break
    return good, marks


def lift_row(row: Blocked, chains: ChainBlocks, options: BedOptions) -> list[Blocked] | str:
    """Lift one BED12 row; return the rows it becomes, or the reason why it does not map."""
    index = chains.index
    target = index.target_codes.get(row.chrom.decode("utf-8", "replace"), -1)
    candidates = chains.overlapping(target, row.start, row.end) if target >= 0 else []
    if not candidates:
        return REASONS[Status.DELETED].decode()
    size = sum(end - start for start, end in row.ranges)
    low = min((start for start, _ in row.ranges), default=row.start)
    high = max((end for _, end in row.ranges), default=row.end)
    low, high = min(low, row.thick[0]), max(high, row.thick[1])
    parts = {chain: chains.blocks(chain, low, high) for chain in candidates}
    score = {chain: covered_bases(parts[chain], row.ranges) for chain in candidates}
    ordered = sorted(candidates, key=lambda chain: (-score[chain], *chains.rank(chain)))
    best = score[ordered[0]]
    needed = options.ratio * size
    if best < needed:
        return REASONS[Status.PARTIAL].decode()
    if not options.multiple:
        # Also where others cover as many bases: releases v491 and v492 no longer answer "Duplicated
        # in new" to that.
        ordered = ordered[:1]
    results: list[Blocked] = []
    reason = ""
    for chain in ordered:
        if score[chain] < needed:
            break
        found = _through(row, chain, parts[chain], index, options)
        if isinstance(found, Blocked):
            results.append(found)
        else:
            reason = found
    return results or reason


def _through(
    row: Blocked,
    chain: int,
    blocks: list[tuple[int, int, int]],
    index: ChainIndex,
    options: BedOptions,
) -> Blocked | str:
    """Map a row through one chain."""
    ranges, marks = map_ranges(blocks, row.ranges, row.thick)
    need, got = len(row.ranges), len(ranges)
    if need and got / need < float(np.float32(options.min_blocks)):
        return (
            f"Boundary problem: need {need}, got {got}, diff {need - got}, mapped {got / need:.1f}"
        )
    thick = marks.result(ranges, options.fudge_thick)
    if thick is None:
        return "Can't find thickStart/thickEnd"
    if not ranges:
        return REASONS[Status.PARTIAL].decode()
    strand = row.strand
    if index.flipped[chain]:
        length = int(index.chain_query_size[chain])
        ranges = [(length - end, length - start) for start, end in reversed(ranges)]
        thick = (length - thick[1], length - thick[0])
        strand = turned(strand)
    return replace(
        row,
        chrom=index.query_names[index.chain_query[chain]].encode("utf-8"),
        start=ranges[0][0],
        end=ranges[-1][1],
        strand=strand,
        thick=thick,
        ranges=tuple(ranges),
    )


def lift_blocked(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[Text]:
    """Lift the rows of a BED12 file (or BED12 with further columns); yield text by rounds.

    Raises
    ------
    InputError
        Ragged rows, fields that are not numbers, block lists that disagree with the block count.
    """
    if reader.bed_columns != 12 or reader.columns < 12:
        raise InputError(
            f"{reader.where}: {reader.columns} columns of which {reader.bed_columns} are BED: "
            "lists of blocks need exactly 12 BED columns (-bedPlus=12 for a file with further "
            "columns, -bedPlus=6 when columns 7 and on are not BED)"
        )
    chains = ChainBlocks(index)
    mapped: list[bytes] = []
    unmapped: list[bytes] = []
    counts: Counter[str] = Counter()
    for line, words in reader.rows():
        row = read_blocked(reader, words, line)
        if options.preserve_input:
            name = b"%b:%d-%d:%b" % (row.chrom, row.start + 1, row.end, row.name)
            row = replace(row, name=name)
        found = lift_row(row, chains, options)
        if isinstance(found, str):
            unmapped.append(b"#%b\n%b\n" % (found.encode(), row.line(words[12:])))
            counts["unmapped"] += 1
        else:
            counts["mapped"] += 1
            for serial, new in enumerate(found, start=1):
                if options.multiple and not options.no_serial:
                    new = replace(new, score=serial)
                start = b"%d\t" % bin_number(new.start, new.end) if options.has_bin else b""
                mapped.append(start + new.line(words[12:]) + b"\n")
        if len(mapped) + len(unmapped) >= _CHUNK:
            yield Text(b"".join(mapped), b"".join(unmapped), dict(counts))
            mapped, unmapped, counts = [], [], Counter()
    yield Text(b"".join(mapped), b"".join(unmapped), dict(counts))


def read_blocked(reader: BedReader, words: list[bytes], line: int) -> Blocked:
    """Read a BED12 row, strictly.

    Raises
    ------
    InputError
        With the line and the column.
    """

    def fail(column: int, expected: str) -> NoReturn:
        raise InputError(
            f"{reader.where}, line {line}: column {column + 1} must be {expected}, found "
            f"{words[column].decode('utf-8', 'replace')!r}"
        )

    def whole(column: int, word: bytes, *, signed: bool = False) -> int:
        digits = word[1:] if signed and word[:1] == b"-" else word
        if not digits.isdigit() or int(digits) > MAX_POSITION:
            fail(column, "a whole number" if signed else "a whole number from 0")
        return int(word)

    start, end, count = whole(1, words[1]), whole(2, words[2]), whole(9, words[9])
    if start > end:
        raise InputError(f"{reader.where}, line {line}: the start {start} is after the end {end}")
    lists = []
    for column in (10, 11):
        numbers = [
            whole(column, word, signed=True) for word in words[column].rstrip(b",").split(b",")
        ]
        if len(numbers) != count:
            fail(column, f"{count} numbers (the block count) with commas between")
        lists.append(numbers)
    rgb = words[8].split(b",")
    if len(rgb) == 3:
        red, green, blue = (whole(8, part) for part in rgb)
        colour = red << 16 | green << 8 | blue
    else:
        colour = whole(8, words[8])
    return Blocked(
        chrom=words[0],
        start=start,
        end=end,
        name=words[3],
        score=whole(4, words[4], signed=True),
        strand=words[5][:1],
        thick=(whole(6, words[6]), whole(7, words[7])),
        rgb=colour,
        ranges=tuple((start + b, start + b + s) for s, b in zip(*lists, strict=True)),
    )
