"""The drop-in command on large BED files: compiled reading, search and writing.

The same bytes as :mod:`ssldata.ucsc_tool.bed3_to_bed10` writes. Only plainly regular text is read
here: reading stops before the first row that is not (a sign, another number of columns, an interval
that ends before it starts), and the strict path goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift_result import Status, count_statuses
from ssldata.liftover.ucsc_mode import find_regions
from ssldata.ucsc_tool import bulk_bed_kernels as kernels
from ssldata.ucsc_tool.bed_rows import REASONS, BedOptions, BedReader, Text

#: Rows per round: bounds the memory a large file needs.
_CHUNK = 500_000
#: Size of the buffers of each output.
_BUFFER = 4_000_000


def names_of(names: tuple[str, ...]) -> kernels.Names:
    """Return contig names as bytes with their hash table."""
    encoded = [name.encode("utf-8") for name in names]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    text = np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8)
    return kernels.Names(text, offsets, kernels.name_table(text, offsets))


def can_read(reader: BedReader, options: BedOptions) -> bool:
    """Return whether the compiled path supports this kind of file and these options."""
    return (
        reader.newline == b"\n"
        and reader.bed_columns < 8
        and not (options.ends or options.has_bin or options.preserve_input)
        and options.min_match > 0
    )


def lift_regular(reader: BedReader, index: ChainIndex, options: BedOptions) -> Iterator[Text]:
    """Lift the regular rows at the start of a file; the reader is left at the first other row."""
    text = np.frombuffer(reader.data, dtype=np.uint8)
    target, query = names_of(index.target_names), names_of(index.query_names)
    layout = kernels.RowLayout(
        reader.columns, options.tab, reader.carriage, reader.stranded,
        options.multiple, not options.no_serial, options.replaced_columns,
    )  # fmt: skip
    lines_before = [b"#" + REASONS[s] + b"\n" if s in REASONS else b"" for s in Status]
    reasons = (
        np.frombuffer(b"".join(lines_before), dtype=np.uint8),
        np.cumsum([0, *map(len, lines_before)], dtype=np.int64),
    )
    rows = min(_CHUNK, len(text) // 6 + 1)
    kinds = (np.int32, *6 * (np.int64,), np.uint8)
    arrays = kernels.RowArrays._make(np.empty(rows, kind) for kind in kinds)
    good, bad = np.empty(_BUFFER, np.uint8), np.empty(_BUFFER, np.uint8)
    regular = True
    while regular and reader.first < len(text):
        found, offset, lines, regular = kernels.read_rows(
            text, reader.first, tuple(layout), tuple(target), tuple(arrays)
        )
        reader.skip(offset, lines)
        if not found:
            continue
        read = kernels.RowArrays._make(column[:found] for column in arrays)
        regions = find_regions(
            index, read.code, read.start, read.end, options=options.lift_options(), compiled=True
        )
        contig, flipped = index.chain_query[regions.chain], index.flipped[regions.chain]
        row = 0
        while row < found:
            # Done in rounds of a bounded size; most rows fit in the first.
            row, used, lost = kernels.write_rows(
                text, tuple(read), tuple(layout), tuple(regions), contig, flipped,
                tuple(query), reasons, good, bad, row,
            )  # fmt: skip
            yield Text(good[:used].data, bad[:lost].data, {})
            if used == lost == 0:  # a single row of many regions, or a very long line
                good, bad = (np.empty(2 * len(buffer), np.uint8) for buffer in (good, bad))
        yield Text(b"", b"", count_statuses(regions.status))
