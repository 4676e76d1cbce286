"""Read and check BED and narrowPeak files; merge intervals with pyranges.

Coordinates are 0-based half-open. This is the only module that imports pyranges.
"""

from __future__ import annotations

import difflib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyranges.methods.merge import find_clusters

from ssldata.base.errors import InputError
from ssldata.base.text_file import bed_rows, read_text, real_number, shown, whole_number

#: Columns of a narrowPeak line; the last is the summit's offset from start, or -1.
NARROWPEAK_COLUMNS = 10

#: Peaks that may reach past the ends of their contigs: this many, or this share of a larger file.
#: Peak callers extend a few so far; many mean that the peaks are of another assembly.
STRAY_PEAKS, STRAY_SHARE = 10, 0.01
_STRANDS = {"+", "-", "."}


@dataclass(frozen=True)
class Intervals:
    """Intervals of one genome.

    Attributes
    ----------
    contig
        int32 (n,), index into the genome's contig names.
    start, end
        int64 (n,), 0-based half-open.
    """

    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of intervals."""
        return len(self.start)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Intervals:
        """Return the intervals at `rows` (indices or a mask), in that order."""
        return Intervals(self.contig[rows], self.start[rows], self.end[rows])


@dataclass(frozen=True)
class Peaks:
    """Peaks of one experiment, sorted by contig, start, end, then file order.

    Attributes
    ----------
    intervals
        After extension to the fixed width, clipped to the contig.
    score
        float32 (n,), BED column 5, 0 where it is missing.
    counts
        What was read and what was left out: ``lines``, ``kept``, ``unknown_contig``,
        ``beyond_contig`` (they reach past an end of their contig in the file), ``clipped`` (those
        cut to the contig, after extension).
    unknown
        Contigs of the file that the genome lacks, with their number of lines.
    middles
        Peaks of more than one base that were set to a width around their middle, because the file
        has no summit for them.
    """

    intervals: Intervals
    score: NDArray[np.float32]
    counts: Mapping[str, int]
    unknown: Mapping[str, int] = field(default_factory=dict)
    middles: int = 0


def _span(fields: list[str], *, empty: bool) -> tuple[int, int]:
    """Return start and end of a BED line, or raise a ValueError that describes its fault."""
    if len(fields) < 3:
        raise ValueError(f"{len(fields)} columns, expected contig, start, end")
    start, end = whole_number(fields[1], "start"), whole_number(fields[2], "end")
    if end < start:
        raise ValueError(f"end {end} lies before start {start}")
    if end == start and not empty:
        raise ValueError(f"empty interval at {start}; set 'width' to widen summits")
    if len(fields) > 5 and fields[5] not in _STRANDS:
        raise ValueError(f"strand is {shown(fields[5])}, expected '+', '-' or '.'")
    return start, end


def _score(fields: list[str]) -> float:
    """Return column 5 of a BED line, 0 where it is missing."""
    if len(fields) < 5 or fields[4] in {"", "."}:
        return 0.0
    return real_number(fields[4], "score")


def _has_summits(fields: list[str]) -> bool:
    """Return whether the rows of a file are narrowPeak, judged by its first row.

    narrowPeak has ten columns; other programs, such as IDR, append theirs.
    """
    if len(fields) <= NARROWPEAK_COLUMNS:
        return len(fields) == NARROWPEAK_COLUMNS
    try:
        start, end = _span(fields, empty=True)
        offset = whole_number(fields[9], "summit")
        for value in fields[6:9]:
            float(value)
    except ValueError:
        return False
    return -1 <= offset < max(end - start, 1) and not _is_bed12(fields, end - start)


def _is_bed12(fields: list[str], length: int) -> bool:
    """Return whether columns 10 to 12 are a list of blocks that spans the interval."""
    if len(fields) < 12:
        return False
    sizes, starts = (column.removesuffix(",").split(",") for column in fields[10:12])
    if not len(sizes) == len(starts) == int(fields[9]):
        return False
    try:
        return int(starts[0]) == 0 and int(starts[-1]) + int(sizes[-1]) == length
    except ValueError:
        return False


def _summit(fields: list[str], start: int, end: int) -> int | None:
    """Return the position of the summit, narrowPeak column 10; None where none was called."""
    offset = whole_number(fields[9] if len(fields) > 9 else "", "summit (column 10)")
    if offset < 0:
        return None
    if start + offset >= end:
        raise ValueError(f"summit offset {offset} lies outside the peak of {end - start} b")
    return start + offset


def _check_beyond(path: Path, lines: int, beyond: list[str], outside: list[str]) -> None:
    """Refuse peaks outside their contigs, and more than a stray few that reach past the ends."""
    if not outside and len(beyond) <= max(STRAY_PEAKS, STRAY_SHARE * lines):
        return
    what = "lie outside their contigs" if outside else "reach past the ends of their contigs"
    wrong = outside or beyond
    raise InputError(
        f"{path}: {len(wrong)} of {lines} peaks {what}, the first in {wrong[0]}; "
        "are they of another assembly?"
    )


def read_peaks(
    path: Path,
    *,
    names: Sequence[str],
    sizes: NDArray[np.int64],
    aliases: Mapping[str, str] | None = None,
    width: int | None = None,
) -> Peaks:
    """Read the peaks of one experiment.

    Parameters
    ----------
    path
        BED (3 columns or more) or narrowPeak (which may have further columns), plain or packed:
        see :mod:`ssldata.base.text_file`. Header lines (``#``, ``track``, ``browser``) and blank
        lines are skipped; columns are separated by tabs, or by blanks in lines without tabs.
    names, sizes
        Contigs of the labelled genome, and their sizes in bases.
    aliases
        Other names of contigs, alias → name.
    width
        If given, each peak becomes `width` bases: [summit − width // 2, … + width). The summit is
        column 10 of narrowPeak, else the middle of the peak.

    A peak that reaches past an end of its contig is clipped, and counted.

    Returns
    -------
    Peaks

    Raises
    ------
    MissingInputError
        The file does not exist.
    InputError
        A line is malformed or ends before it starts; a summit (without `width` the middle of a
        peak) lies outside its contig, or more than a stray few peaks reach past the ends of
        theirs; the file has no peaks; or no peak lies on a contig of the genome.
    """
    index = {name: i for i, name in enumerate(names)}
    for alias, name in (aliases or {}).items():
        if name in index:
            index.setdefault(alias, index[name])
    length_of = sizes.tolist()
    contigs, starts, ends, scores = array("i"), array("q"), array("q"), array("f")
    unknown: Counter[str] = Counter()
    lines = clipped = middles = 0
    beyond: list[str] = []
    outside: list[str] = []
    has_summits = False
    for number, fields in bed_rows(read_text(path), where=str(path)):
        lines += 1
        if lines == 1:
            has_summits = _has_summits(fields)
        try:
            start, end = _span(fields, empty=width is not None)
            contig = index.get(fields[0])
            if contig is None:
                unknown[fields[0]] += 1
                continue
            size = length_of[contig]
            score = _score(fields)
            summit = _summit(fields, start, end) if has_summits and width is not None else None
            if summit is None:
                summit = (start + end) // 2
                middles += width is not None and end - start > 1
            if start < 0 or end > size:
                where = f"line {number}: {start}-{end} of {names[contig]}, which has {size} b"
                (beyond if 0 <= summit < size else outside).append(where)
            if width is not None:
                start = summit - width // 2
                end = start + width
            clipped += start < 0 or end > size
            start, end = max(0, start), min(size, end)
        except ValueError as exc:
            raise InputError(f"{path}, line {number}: {exc}") from None
        contigs.append(contig)
        starts.append(start)
        ends.append(end)
        scores.append(score)
    if not lines:
        raise InputError(f"{path}: no peaks in the file")
    _check_beyond(path, lines, beyond, outside)
    if not starts:
        example = next(iter(unknown))
        near = difflib.get_close_matches(example, names, n=3) or list(names[:3])
        raise InputError(
            f"{path}: none of {lines} peaks is on a contig of the genome: the file has "
            f"{example!r}, the genome has {', '.join(near)}, …; map the names under "
            "'reference.aliases'"
        )
    intervals = Intervals(
        np.array(contigs, np.int32), np.array(starts, np.int64), np.array(ends, np.int64)
    )
    # lexsort is stable: equal intervals keep the order of the file.
    order = np.lexsort((intervals.end, intervals.start, intervals.contig))
    return Peaks(
        intervals=intervals.take(order),
        score=np.array(scores, np.float32)[order],
        counts={
            "lines": lines,
            "kept": len(starts),
            "unknown_contig": sum(unknown.values()),
            "beyond_contig": len(beyond),
            "clipped": clipped,
        },
        unknown=dict(sorted(unknown.items())),
        middles=middles,
    )


def merge(intervals: Intervals) -> Intervals:
    """Return the union of intervals: overlapping and abutting ones merged, sorted."""
    if not len(intervals):
        return intervals
    # All contigs on one axis, with gaps between them, for one call of the compiled loop of
    # pyranges; its data frames would cost 5 ms per call.
    low = min(0, int(intervals.start.min()))
    reach = np.zeros(int(intervals.contig.max()) + 1, np.int64)
    np.maximum.at(reach, intervals.contig, intervals.end)
    first = np.concatenate(([0], np.cumsum(reach + 1 - low))) - low
    start, end = intervals.start + first[intervals.contig], intervals.end + first[intervals.contig]
    order = np.argsort(start)
    start, end, _ = find_clusters(start[order], end[order], 0)
    contig = (np.searchsorted(first + low, start, side="right") - 1).astype(np.int32)
    return Intervals(contig, start - first[contig], end - first[contig])


def containing(merged: Intervals, intervals: Intervals) -> NDArray[np.int64]:
    """Return for each interval the index of the merged interval that contains its start, or −1."""
    order_key = merged.contig.astype(np.int64) << 40 | merged.start
    key = intervals.contig.astype(np.int64) << 40 | intervals.start
    found = np.searchsorted(order_key, key, side="right") - 1
    inside = (
        (found >= 0)
        & (merged.contig[found] == intervals.contig)
        & (intervals.start < merged.end[found])
        if len(merged)
        else np.zeros(len(intervals), bool)
    )
    return np.where(inside, found, -1)
