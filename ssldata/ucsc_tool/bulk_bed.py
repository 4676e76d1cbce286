"""The drop-in command on large BED files: compiled reading, search and writing.

The same bytes as :mod:`ssldata.ucsc_tool.bed3_to_bed10` writes. Only plainly regular text is read
here: reading stops before the first row that is not (a sign, another number of columns, an interval
that ends before it starts), and the strict path goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status
from ssldata.liftover.ucsc_mode import find_regions
from ssldata.ucsc_tool import bulk_bed_kernels as kernels
from ssldata.ucsc_tool.bed_rows import REASONS, BedOptions, BedReader, Text

#: Rows per round: bounds the memory a large file needs.
_CHUNK = 500_000
#: Size of the buffers of each output.
_BUFFER = 4_000_000


@dataclass(frozen=True)
class Names:
    """Contig names as one byte array, with a hash table to find them.

    ``text`` uint8, ``offsets`` int64 (names + 1), ``table`` int32 with a power of two entries:
    codes by open addressing of the FNV-1a hash, −1 where empty.
    """

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    table: NDArray[np.int32]


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
    kernels.hash_names(text, offsets, table)
    return Names(text, offsets, table)


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
    numbers = [np.empty(rows, np.int64) for _ in range(6)]
    code = np.empty(rows, np.int32)
    strand = np.empty(rows, np.uint8)
    good, bad = np.empty(_BUFFER, np.uint8), np.empty(_BUFFER, np.uint8)
    regular = True
    while regular and reader.first < len(text):
        found, offset, lines, regular = kernels.read_rows(
            text, reader.first, reader.columns, options.tab, reader.carriage, stranded,
            target.text, target.offsets, target.table, code, *numbers, strand,
        )  # fmt: skip
        reader.skip(offset, lines)
        if not found:
            continue
        start, end, word, rest, stop, mark = (column[:found] for column in numbers)
        regions = find_regions(
            index, code[:found], start, end, options=options.lift_options(), compiled=True
        )
        contig, flipped = index.chain_query[regions.chain], index.flipped[regions.chain]
        row = 0
        while row < found:
            # Done in rounds of a bounded size; most rows fit in the first.
            row, used, lost = kernels.write_rows(
                text, found, start, end, word, rest, stop, mark, strand, reader.columns,
                options.tab, stranded, options.multiple, not options.no_serial, skip,
                regions.status, regions.offsets, contig, flipped, regions.start,
                regions.end, query.text, query.offsets, reason_text,
                reason_offsets, good, bad, row,
            )  # fmt: skip
            yield Text(good[:used].data, bad[:lost].data, {})
            if used == lost == 0:  # a single row of many regions, or a very long line
                good, bad = (np.empty(2 * len(buffer), np.uint8) for buffer in (good, bad))
        totals = np.bincount(regions.status, minlength=len(Status)).tolist()
        yield Text(b"", b"", {s.name.lower(): totals[s] for s in Status if totals[s]})
