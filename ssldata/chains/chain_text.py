"""Chain files as text: the strict parser that names the line of every error.

The format is UCSC's (https://genome.ucsc.edu/goldenPath/help/chain.html), read as its liftOver
tool reads it: white space of any kind between fields, comments and blank lines anywhere, the id
optional, words after it ignored, the target strand ignored. Lines may end in LF, CRLF or CR, in
any mixture (the tool wants one kind).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ssldata.base.array_types import Int32Array, Int64Array
from ssldata.base.errors import InputError
from ssldata.base.text_file import plain_bytes, read_bytes, shown

#: Positions are stored as 32-bit integers, as in every tool that reads chains.
MAX_POSITION = 2**31 - 1

#: Columns of :attr:`ChainTable.header`, one row per chain.
TARGET, TARGET_SIZE, TARGET_START, TARGET_END = 0, 1, 2, 3
QUERY, QUERY_SIZE, QUERY_STRAND, QUERY_START, QUERY_END = 4, 5, 6, 7, 8
IDENTIFIER, FIRST_BLOCK, LINE = 9, 10, 11
HEADER_COLUMNS = 12


@dataclass(frozen=True)
class ChainTable:
    """The content of a chain file, in file order.

    Attributes
    ----------
    target_names, query_names
        Contig names in order of first appearance.
    header
        int64 (chains, HEADER_COLUMNS): contig codes into the names, sizes, spans, the query
        strand as the code of its character, the id (−1: none), the row of the first block in
        `blocks`, and the line number. Query positions are on the strand of the chain.
    blocks
        int32 (blocks, 3): target start, query start (on the strand of the chain) and size.
    """

    target_names: tuple[str, ...]
    query_names: tuple[str, ...]
    header: Int64Array
    blocks: Int32Array


def read_chain(path: Path) -> bytes:
    """Return the unpacked text of a chain file or pipe; see :mod:`ssldata.base.text_file`."""
    return plain_bytes(read_bytes(path, missing="no such chain file"), where=str(path))


class _Parser:
    """State of one pass over the lines of a chain file."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.line = 0
        self.targets: dict[bytes, int] = {}
        self.queries: dict[bytes, int] = {}
        self.headers: list[list[int]] = []
        self.blocks: list[tuple[int, int, int]] = []

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        raise InputError(f"{self.where}, line {line or self.line}: {message}")

    def number(self, word: bytes, what: str) -> int:
        digits = word[1:] if word[:1] == b"-" else word
        if not digits.isdigit() or (digits[:1] == b"0" and len(digits) > 1):
            self.fail(f"{what} must be a whole number, found {_show(word)}")
        value = int(word)
        if abs(value) > MAX_POSITION:
            self.fail(f"{what} is {value}: more than {MAX_POSITION} is not supported")
        return value

    def start(self, words: list[bytes]) -> list[int]:
        """Read a header line; return its row of the header table."""
        if words[0] != b"chain":
            self.fail(f"expected a line that starts with 'chain', found {_show(words[0])}")
        if len(words) < 12:
            self.fail(f"a chain header has at least 12 words, found {len(words)}")
        tsize = self.number(words[3], "the target size")
        tstart = self.number(words[5], "the target start")
        tend = self.number(words[6], "the target end")
        qsize = self.number(words[8], "the query size")
        qstart = self.number(words[10], "the query start")
        qend = self.number(words[11], "the query end")
        for side, name, begin, end, size in (
            ("target", words[2], tstart, tend, tsize),
            ("query", words[7], qstart, qend, qsize),
        ):
            if begin < 0 or begin >= end or end > size:
                self.fail(
                    f"the {side} span {begin}-{end} of {_show(name)} must lie within 0-{size} "
                    "and not be empty"
                )
        if words[9] not in (b"+", b"-", b"."):
            self.fail(f"the query strand must be + or -, found {_show(words[9])}")
        target = self.targets.setdefault(words[2], len(self.targets))
        query = self.queries.setdefault(words[7], len(self.queries))
        identifier = int(words[12]) if len(words) > 12 and words[12].isdigit() else -1
        if identifier > 2**62:
            identifier = -1
        # fmt: off
        return [target, tsize, tstart, tend, query, qsize, words[9][0], qstart, qend, identifier,
                len(self.blocks), self.line]
        # fmt: on

    def block(self, words: list[bytes], row: list[int], at: list[int]) -> bool:
        """Read a block line; advance `at` = [target, query]. Return True after the last block."""
        if len(words) == 2:
            self.fail("a block line has 1 word (the last of its chain) or 3, found 2")
        size = self.number(words[0], "the block size")
        if size < 0:
            self.fail(f"the block size is {size}: it must not be negative")
        target, query = at
        if target + size > row[TARGET_END] or query + size > row[QUERY_END]:
            self.fail(
                f"the block {target}-{target + size} (target), {query}-{query + size} (query) "
                f"runs beyond the end of its chain ({row[TARGET_END]}, {row[QUERY_END]})"
            )
        self.blocks.append((target, query, size))
        at[0] += size
        at[1] += size
        if len(words) == 1:
            for side, found, expected in (
                ("target", at[0], row[TARGET_END]),
                ("query", at[1], row[QUERY_END]),
            ):
                if found != expected:
                    self.fail(
                        f"the blocks end at {side} position {found}, but the header in line "
                        f"{row[LINE]} has {expected}"
                    )
            return True
        at[0] += self.number(words[1], "the target gap")
        at[1] += self.number(words[2], "the query gap")
        if at[0] < row[TARGET_START] or at[1] < row[QUERY_START]:
            self.fail("a negative gap leads to before the start of the chain")
        return False


def _show(word: bytes) -> str:
    return shown(word.decode("utf-8", "replace"))


def parse_chain(data: bytes, *, where: str) -> ChainTable:
    """Parse the text of a chain file, strictly.

    The reference for the compiled parser, which leaves it to find the line of an error.

    Parameters
    ----------
    data
        The unpacked file.
    where
        The name of the file, for messages.

    Raises
    ------
    InputError
        With the line: words that are not numbers, spans outside of their contigs, blocks that do
        not add up to the header, text that is not a chain, a chain cut off at the end of the file.
    """
    parser = _Parser(where)
    row: list[int] | None = None
    at = [0, 0]
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = data.split(b"\n")
    del data
    for number, text in enumerate(lines, start=1):
        if text[:1] == b"#":
            continue
        words = text.split()
        if not words:
            continue
        parser.line = number
        if row is None:
            row = parser.start(words)
            parser.headers.append(row)
            at = [row[TARGET_START], row[QUERY_START]]
        elif parser.block(words, row, at):
            row = None
    if row is not None:
        parser.fail("the file ends inside this chain: is it cut off?", row[LINE])
    header = np.array(parser.headers, dtype=np.int64).reshape(-1, HEADER_COLUMNS)
    blocks = np.array(parser.blocks, dtype=np.int32).reshape(-1, 3)
    return ChainTable(
        target_names=decode_names(list(parser.targets), where),
        query_names=decode_names(list(parser.queries), where),
        header=header,
        blocks=blocks,
    )


def decode_names(names: list[bytes], where: str) -> tuple[str, ...]:
    """Return contig names as text.

    Raises
    ------
    InputError
        A name is not UTF-8: this is not a chain file.
    """
    try:
        return tuple(name.decode("utf-8") for name in names)
    except UnicodeDecodeError:
        raise InputError(
            f"{where}: a contig name is not text; is it a chain file (plain, gzip, bzip2, zip)?"
        ) from None
