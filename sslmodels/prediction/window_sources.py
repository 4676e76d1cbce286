"""Windows to score, a block at a time: along contigs, of BED lines, of the rows of a store.

A source can be passed over again: the blocks are always the same, and cost little without scores.
What it leaves out is counted in ``skipped``, which is whole after each pass.
"""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int8Array, Int32Array, Int64Array
from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE
from ssldata.reading.read_window import lead_of
from ssldata.store.store import RANGES, REFERENCE, RowGroup, Store
from sslmodels.prediction.genome_scan import window_count
from sslmodels.prediction.trained_model import Scores

#: Windows of a block; a contig with fewer than so many is read window by window.
BLOCK, _FEW = 2**16, 64


class Scored(Protocol):
    """What scores windows (:class:`sslmodels.prediction.window_scorer.WindowScorer`)."""

    def rows(self, codes: ByteArray) -> Scores:
        """Return the scores (models, n, outputs) of base codes (n, length)."""

    def along(self, codes: ByteArray, stride: int) -> Scores:
        """Return the scores (models, windows, outputs) of a sequence."""


@dataclass(frozen=True, eq=False)
class WindowBlock:
    """Consecutive windows of a source.

    Attributes
    ----------
    contig, start, end
        What is written of each window; the contig is an index into those of the source.
    strand
        ±1; None: the source has no strands.
    names
        None: the source has none.
    segments
        Along contigs: (contig, number of the first window, windows).
    first_row
        Of a store: number of the first row.
    """

    contig: Int32Array
    start: Int64Array
    end: Int64Array
    strand: Int8Array | None = None
    names: Sequence[str] | None = None
    segments: Sequence[tuple[int, int, int]] = ()
    first_row: int = 0

    def __len__(self) -> int:
        return len(self.start)


class WindowSource(ABC):
    """Base of the sources.

    Attributes
    ----------
    contigs, sizes
        Names of the contigs, and their sizes.
    identity
        What decides the windows and their sequences; JSON.
    skipped
        What the last pass left out, by reason.
    """

    contigs: Sequence[str]
    sizes: Sequence[int]
    identity: dict[str, Any]
    skipped: Counter[str]

    @abstractmethod
    def blocks(self) -> Iterator[WindowBlock]:
        """Yield all windows."""

    @abstractmethod
    def score(self, block: WindowBlock, scorer: Scored) -> tuple[Scores, int]:
        """Return the scores (models, n, outputs) of a block, and how many windows have an N."""


def _with_n(codes: ByteArray) -> int:
    return int((codes >= N_CODE).any(axis=1).sum())


class ContigWindows(WindowSource):
    """All windows along the contigs of a genome or the records of a FASTA.

    Parameters
    ----------
    genome
        The sequences.
    length
        Bases of a window.
    stride
        Bases from one window of a contig to the next; the first begins at 0.
    contigs
        Only these; default: all.

    Raises
    ------
    InputError
        No such contig.
    """

    def __init__(
        self, genome: Genome, *, length: int, stride: int, contigs: Sequence[str] = ()
    ) -> None:
        self.genome, self.length, self.stride = genome, length, stride
        self.contigs = genome.names
        self.sizes = genome.sizes.tolist()
        self._chosen = sorted({genome.index(name) for name in contigs} or range(len(self.sizes)))
        self.skipped = Counter()
        self.identity = {
            "sequence": genome.digest,
            "contigs": [self.contigs[i] for i in self._chosen],
            "stride": stride,
        }

    def blocks(self) -> Iterator[WindowBlock]:
        """Yield the windows in the order of the file."""
        self.skipped = Counter()
        segments: list[tuple[int, int, int]] = []
        room = BLOCK
        for contig in self._chosen:
            size = self.sizes[contig]
            count = window_count(size, self.length, self.stride)
            if not count:
                self.skipped["contigs_shorter_than_a_window"] += 1
                continue
            self.skipped["bases_at_contig_ends"] += size - self.length - (count - 1) * self.stride
            first = 0
            while first < count:
                taken = min(room, count - first)
                segments.append((contig, first, taken))
                first, room = first + taken, room - taken
                if not room:
                    yield self._block(segments)
                    segments, room = [], BLOCK
        if segments:
            yield self._block(segments)

    def _block(self, segments: list[tuple[int, int, int]]) -> WindowBlock:
        contig = np.concatenate([np.full(count, c, np.int32) for c, _, count in segments])
        number = np.concatenate([np.arange(first, first + n) for _, first, n in segments])
        start = number * self.stride
        return WindowBlock(contig, start, start + self.length, segments=segments)

    def score(self, block: WindowBlock, scorer: Scored) -> tuple[Scores, int]:
        """Score a block: long stretches along the contig, many short contigs as rows."""
        long = np.repeat(
            [count >= _FEW for _, _, count in block.segments],
            [count for _, _, count in block.segments],
        )
        parts: list[tuple[NDArray[np.int64], Scores]] = []
        with_n = at = 0
        for contig, first, count in block.segments:
            if count >= _FEW:
                begin = first * self.stride
                end = begin + (count - 1) * self.stride + self.length
                codes = self.genome.codes(contig, begin, end)
                parts.append((np.arange(at, at + count), scorer.along(codes, self.stride)))
                before = np.concatenate([[0], np.cumsum(codes >= N_CODE)])
                starts = np.arange(count) * self.stride
                with_n += int((before[starts + self.length] > before[starts]).sum())
            at += count
        short = np.flatnonzero(~long)
        if len(short):
            codes = self.genome.gather(block.contig[short], block.start[short], self.length)
            parts.append((short, scorer.rows(codes)))
            with_n += _with_n(codes)
        models, _, outputs = parts[0][1].shape
        scores = np.empty((models, len(block), outputs), np.float32)
        for where, some in parts:
            scores[:, where] = some
        return scores, with_n


class BedWindows(WindowSource):
    """The windows around the intervals of a BED file.

    A window is centred on its interval: it begins at (start + end) // 2 − length // 2.

    Parameters
    ----------
    path
        BED of three columns or more, plain or gzip; a strand in column 6 counts.
    genome
        The genome of the intervals.
    length
        Bases of a window.
    contigs
        Only intervals on these; default: all.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        No such contig.
    """

    def __init__(
        self, path: Path, genome: Genome, *, length: int, contigs: Sequence[str] = ()
    ) -> None:
        if not path.is_file():
            raise MissingInputError(f"{path}: no such file; expected a BED file")
        self.path, self.genome, self.length = path, genome, length
        self.contigs = genome.names
        self.sizes = genome.sizes.tolist()
        self._chosen = {genome.index(name) for name in contigs} or set(range(len(self.sizes)))
        self.skipped = Counter()
        self.identity = {
            "bed": file_digest(path),
            "sequence": genome.digest,
            "contigs": [self.contigs[i] for i in sorted(self._chosen)] if contigs else None,
        }

    def blocks(self) -> Iterator[WindowBlock]:
        """Yield the windows in the order of the lines."""
        self.skipped = Counter()
        columns: tuple[list[Any], ...] = ([], [], [], [], [])
        for line in self._lines():
            for column, value in zip(columns, line, strict=True):
                column.append(value)
            if len(columns[0]) == BLOCK:
                yield self._block(columns)
                columns = ([], [], [], [], [])
        if columns[0]:
            yield self._block(columns)

    @staticmethod
    def _block(columns: tuple[list[Any], ...]) -> WindowBlock:
        contig, start, end, strand, names = columns
        return WindowBlock(
            np.array(contig, np.int32),
            np.array(start, np.int64),
            np.array(end, np.int64),
            np.array(strand, np.int8),
            names,
        )

    def _lines(self) -> Iterator[tuple[int, int, int, int, str]]:
        """Yield contig, start, end, strand, name of the lines that have a window."""
        for number, line in enumerate(self._text(), start=1):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(("#", "track", "browser")):
                continue
            fields = text.split("\t") if "\t" in text else text.split()
            try:
                start, end = int(fields[1]), int(fields[2])
            except (IndexError, ValueError):
                raise InputError(
                    f"{self.path}, line {number}: {text[:60]!r}; expected contig, start, end"
                ) from None
            if not 0 <= start <= end:
                raise InputError(
                    f"{self.path}, line {number}: interval {start}-{end}; expected 0 ≤ start ≤ end"
                )
            strand = fields[5] if len(fields) > 5 else "."
            if strand not in ("+", "-", "."):
                raise InputError(
                    f"{self.path}, line {number}: strand {strand!r}; expected +, - or ."
                )
            contig = self.genome.find(fields[0])
            first = _first_base(start, end, self.length)
            if contig < 0:
                self.skipped["contig_not_in_the_genome"] += 1
            elif contig not in self._chosen:
                self.skipped["contig_not_chosen"] += 1
            elif first < 0 or first + self.length > self.sizes[contig]:
                self.skipped["window_leaves_the_contig"] += 1
            else:
                name = fields[3] if len(fields) > 3 else "."
                yield contig, start, end, -1 if strand == "-" else 1, name

    def _text(self) -> Iterator[str]:
        with self.path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened = gzip.open if packed else open
        try:
            with opened(self.path, "rt", encoding="utf-8") as lines:
                yield from lines
        except UnicodeDecodeError as exc:
            raise InputError(f"{self.path}: not a text file ({exc.reason})") from exc
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise InputError(
                f"{self.path}: gzip data damaged or truncated ({exc}); fetch the file again"
            ) from exc

    def codes(self, block: WindowBlock) -> ByteArray:
        """Return the base codes of a block; a line of the minus strand is read in its direction."""
        first = _first_base(block.start, block.end, self.length)
        return self.genome.gather(block.contig, first, self.length, block.strand)

    def score(self, block: WindowBlock, scorer: Scored) -> tuple[Scores, int]:
        """Score a block."""
        codes = self.codes(block)
        return scorer.rows(codes), _with_n(codes)


def _first_base(start: Any, end: Any, length: int) -> Any:
    return (start + end) // 2 - length // 2


#: The ranges of a group that make a split.
_SPLITS = {"train": RANGES[:2], "validation": RANGES[2:3], "test": RANGES[3:], None: RANGES}


class StoreWindows(WindowSource):
    """The rows of a store.

    Parameters
    ----------
    store
        The store.
    length
        Bases of a window: the centre of each row.
    group
        ``reference``, or ``homologs/NAME``.
    split
        ``train``, ``validation`` or ``test``; None: all rows.

    Raises
    ------
    StoreError
        There is no such group.
    ConfigError
        No such split, or a model that reads more than the store holds.
    """

    def __init__(
        self, store: Store, *, length: int, group: str = REFERENCE, split: str | None = None
    ) -> None:
        if split not in _SPLITS:
            raise ConfigError(f"no split {split!r}; expected train, validation or test")
        self.group: RowGroup = store.group(group)
        self._lead = lead_of(self.group.length, length)
        self.length = length
        self.contigs = self.group.contigs
        self.sizes = self.group.attributes()["contig_sizes"]
        self.skipped = Counter()
        self._ranges = [self.group.ranges[name] for name in _SPLITS[split]]
        content = store.ledger[group]["content"]
        self.identity = {"rows": content, "ranges": [list(r) for r in self._ranges]}

    def blocks(self) -> Iterator[WindowBlock]:
        """Yield the rows in the order of the store."""
        for begin, stop in self._ranges:
            for first in range(begin, stop, BLOCK):
                last = min(first + BLOCK, stop)
                contig, start, end, strand = (
                    self.group.column_part(name, first, last)
                    for name in ("contig", "start", "end", "strand")
                )
                yield WindowBlock(contig, start, end, strand, first_row=first)

    def score(self, block: WindowBlock, scorer: Scored) -> tuple[Scores, int]:
        """Score the rows of a block, each in its stored direction."""
        codes = self.group.codes(block.first_row, block.first_row + len(block))
        codes = codes[:, self._lead : self._lead + self.length]
        return scorer.rows(np.ascontiguousarray(codes)), _with_n(codes)
