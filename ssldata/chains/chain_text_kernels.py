"""Compiled parser of chain files: the same table as :func:`ssldata.chains.chain_text.parse_chain`.

It reads only what is plainly correct. On anything else (a minus sign, a comment inside, a wrong
end) it gives up; the strict parser decides whether that is legal, and names the line if not.
"""

from __future__ import annotations

import numba
import numpy as np

from ssldata.base.array_types import ByteArray, Int32Array, Int64Array
from ssldata.chains.chain_text import (
    FIRST_BLOCK,
    HEADER_COLUMNS,
    IDENTIFIER,
    LINE,
    MAX_POSITION,
    QUERY,
    QUERY_END,
    QUERY_SIZE,
    QUERY_START,
    QUERY_STRAND,
    TARGET,
    TARGET_END,
    TARGET_SIZE,
    TARGET_START,
    ChainTable,
    decode_names,
)
from ssldata.chains.name_slot import empty_name_table, name_slot

_NEWLINE, _RETURN, _SPACE, _TAB, _HASH = 10, 13, 32, 9, 35
_ZERO, _NINE = 48, 57
_STRANDS = (ord("+"), ord("-"), ord("."))
_CHAIN = np.frombuffer(b"chain", np.uint8)


@numba.njit(cache=True, nogil=True)
def _name_code(
    text: ByteArray, start: int, end: int, table: Int32Array, spans: Int64Array, known: int
) -> tuple[int, int]:
    """Return (code of the name text[start:end], number of known names), adding a new name.

    The name of code c is ``text[spans[0, c]:spans[1, c]]``.
    """
    slot = name_slot(text, start, end, text, spans[0], spans[1], table)
    if table[slot] < 0:
        table[slot] = known
        spans[0, known] = start
        spans[1, known] = end
        known += 1
    return table[slot], known


@numba.njit(cache=True, nogil=True)
def _parse(
    text: ByteArray,
    header: Int64Array,
    blocks: Int32Array,
    target_names: Int64Array,
    query_names: Int64Array,
) -> tuple[int, int, int, int]:
    """Fill the tables; return (chains, blocks, target names, query names), or −1 to give up."""
    failed = (-1, 0, 0, 0)
    target_table = empty_name_table(header.shape[0])
    query_table = empty_name_table(header.shape[0])
    word_start = np.zeros(16, np.int64)
    word_end = np.zeros(16, np.int64)
    numbers = np.zeros(16, np.int64)
    chains = 0
    done = 0
    targets = 0
    queries = 0
    inside = False
    target = 0
    query = 0
    position = 0
    line = 0
    size = text.size
    while position < size:
        line += 1
        if text[position] == _HASH:
            while position < size and text[position] not in (_NEWLINE, _RETURN):
                position += 1
        # Words of the line, each with its value as a number (−1: not one).
        words = 0
        while position < size:
            byte = text[position]
            if byte <= _SPACE:
                if byte in (_NEWLINE, _RETURN):
                    break
                if byte not in (_SPACE, _TAB):
                    return failed
                position += 1
                continue
            begin = position
            value = 0
            while position < size:
                byte = text[position]
                if byte <= _SPACE:
                    break
                if value >= 0:
                    if _ZERO <= byte <= _NINE and value <= MAX_POSITION:
                        value = value * 10 + (byte - _ZERO)
                    else:
                        value = -1
                position += 1
            if text[begin] == _ZERO and position - begin > 1:
                value = -1
            if words < 16:
                word_start[words] = begin
                word_end[words] = position
                numbers[words] = value if value <= MAX_POSITION else -1
            words += 1
        position += 1
        if position < size and text[position] == _NEWLINE and text[position - 1] == _RETURN:
            position += 1
        if words == 0:
            continue
        if not inside:
            if words < 12 or word_end[0] - word_start[0] != 5 or chains >= header.shape[0]:
                return failed
            for step in range(5):
                if text[word_start[0] + step] != _CHAIN[step]:
                    return failed
            for word in (3, 5, 6, 8, 10, 11):
                if numbers[word] < 0:
                    return failed
            if numbers[5] >= numbers[6] or numbers[6] > numbers[3]:
                return failed
            if numbers[10] >= numbers[11] or numbers[11] > numbers[8]:
                return failed
            code, targets = _name_code(
                text, word_start[2], word_end[2], target_table, target_names, targets
            )
            row = header[chains]
            row[TARGET] = code
            row[TARGET_SIZE] = numbers[3]
            row[TARGET_START] = numbers[5]
            row[TARGET_END] = numbers[6]
            row[QUERY], queries = _name_code(
                text, word_start[7], word_end[7], query_table, query_names, queries
            )
            row[QUERY_SIZE] = numbers[8]
            row[QUERY_STRAND] = text[word_start[9]]
            if word_end[9] - word_start[9] != 1 or row[QUERY_STRAND] not in _STRANDS:
                return failed
            row[QUERY_START] = numbers[10]
            row[QUERY_END] = numbers[11]
            row[IDENTIFIER] = -1
            if words > 12:
                row[IDENTIFIER] = numbers[12]
                if numbers[12] < 0:  # no number, or a large one: left to the strict parser
                    return failed
            row[FIRST_BLOCK] = done
            row[LINE] = line
            target = numbers[5]
            query = numbers[10]
            chains += 1
            inside = True
            continue
        length = numbers[0]
        row = header[chains - 1]
        if words == 2 or length < 0:
            return failed
        if target + length > row[TARGET_END] or query + length > row[QUERY_END]:
            return failed
        blocks[done, 0] = target
        blocks[done, 1] = query
        blocks[done, 2] = length
        done += 1
        target += length
        query += length
        if words == 1:
            if target != row[TARGET_END] or query != row[QUERY_END]:
                return failed
            inside = False
            continue
        if numbers[1] < 0 or numbers[2] < 0:
            return failed
        target += numbers[1]
        query += numbers[2]
        if target > row[TARGET_END] or query > row[QUERY_END]:
            return failed
    if inside:
        return failed
    return chains, done, targets, queries


def parse_chain(data: bytes, *, where: str) -> ChainTable | None:
    """Parse the text of a chain file, or return None where the strict parser must decide.

    The table is that of :func:`ssldata.chains.chain_text.parse_chain`.
    """
    text = np.frombuffer(data, dtype=np.uint8)
    # Bounds for the tables: lines that start with "c", and all lines.
    ends = [end for end in (b"\n", b"\r") if end in data]
    chains = sum(data.count(end + b"c") for end in ends) + data.startswith(b"c")
    lines = sum(data.count(end) for end in ends) + 1
    header = np.zeros((chains, HEADER_COLUMNS), np.int64)
    blocks = np.zeros((max(lines - chains, 0), 3), np.int32)
    target_names = np.zeros((2, max(chains, 1)), np.int64)
    query_names = np.zeros((2, max(chains, 1)), np.int64)
    found, done, targets, queries = _parse(text, header, blocks, target_names, query_names)
    if found != chains:
        return None

    def names(spans: Int64Array, count: int) -> tuple[str, ...]:
        words = [data[at:end] for at, end in spans[:, :count].T.tolist()]
        return decode_names(words, where)

    return ChainTable(
        target_names=names(target_names, targets),
        query_names=names(query_names, queries),
        header=header,
        blocks=blocks[:done].copy() if done < len(blocks) else blocks,
    )
