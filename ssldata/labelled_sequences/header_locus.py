"""Where sequences come from, by names such as ``chr21:43226275-43226875(+)``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int64Array
from ssldata.labelled_sequences.sequence_table import SequenceBatch
from ssldata.rows.intervals import Intervals

#: As ``bedtools getfasta -s`` writes them (with ``-name``: ``peak7::chr21:…``). ``samtools faidx``
#: writes ``chr21:43226276-43226875``, counted from 1 and with the last base.
_LOCUS = re.compile(
    r"(?:.*::)?(?P<contig>[^\s:]+):(?P<start>\d+)-(?P<end>\d+)(?:\((?P<strand>[+.-])\))?"
)
#: The only contig of sequences whose names say nothing.
SYNTHETIC = "sequences"


@dataclass(frozen=True)
class Loci:
    """Where the stored windows of sequences lie; all arrays have n entries.

    Attributes
    ----------
    contigs
        Names, in the order in which they first occur.
    intervals
        0-based half-open, on the forward strand.
    strand
        int8 ±1; on −1 the sequence is the reverse complement of the forward strand.
    note
        Why the names are not used; empty: they are.
    """

    contigs: tuple[str, ...]
    intervals: Intervals
    strand: NDArray[np.int8]
    note: str = ""

    @property
    def sizes(self) -> Int64Array:
        """How far sequences reach on each contig, int64."""
        sizes = np.zeros(len(self.contigs), np.int64)
        np.maximum.at(sizes, self.intervals.contig, self.intervals.end)
        return sizes

    @property
    def parsed(self) -> bool:
        """Whether the names of the sequences gave these loci."""
        return not self.note


def loci_of(batch: SequenceBatch) -> Loci:
    """Return the loci of sequences by their names; see :func:`loci_of_names`."""
    return loci_of_names(batch.names, batch.width, batch.codes.shape[1])


def loci_of_names(names: Sequence[str], width: Int64Array, length: int) -> Loci:
    """Return the loci of sequences by their names, or one after the other on a synthetic contig.

    Names are used where all of them are loci, by one way of counting, and no two sequences lie at
    the same place. Of a sequence that was cropped or padded it is the place of what is stored.

    Parameters
    ----------
    names
        Of the sequences.
    width
        How many bases each has in its file.
    length
        How many are stored.
    """
    found = [_LOCUS.fullmatch(name.split(" ")[0]) for name in names]
    if missing := [i for i, match in enumerate(found) if match is None]:
        return _synthetic(len(names), length, f"the name {names[missing[0]]!r} is no locus")
    matches = [match for match in found if match is not None]
    start = np.array([int(match["start"]) for match in matches], np.int64)
    end = np.array([int(match["end"]) for match in matches], np.int64)
    strand = np.array([-1 if m["strand"] == "-" else 1 for m in matches], np.int8)
    spare = width - (end - start)
    if (spare == 1).all() and len(spare) and start.min() > 0:
        start = start - 1  # counted from 1, with the last base
    elif (spare != 0).any():
        at = int(np.flatnonzero(spare)[0])
        return _synthetic(
            len(names), length, f"{names[at]!r} has {width[at]} bases, other than its name says"
        )
    # What was cut, or put, before the middle, in reading direction.
    cut = width - length
    before = np.where(cut >= 0, cut // 2, -(-cut // 2))
    start = np.where(strand > 0, start + before, start + width - before - length)
    if len(start) and start.min() < 0:
        return _synthetic(len(names), length, "padding reaches beyond the beginning of a contig")
    contigs = tuple(dict.fromkeys(match["contig"] for match in matches))
    number = {name: index for index, name in enumerate(contigs)}
    contig = np.array([number[match["contig"]] for match in matches], np.int32)
    places = np.stack([contig, start, strand], axis=1)
    if len(np.unique(places, axis=0)) < len(places):
        return _synthetic(len(names), length, "two sequences lie at one place")
    return Loci(contigs, Intervals(contig, start, start + length), strand)


def _synthetic(count: int, length: int, note: str) -> Loci:
    """Return loci one after the other, in the order of the file."""
    start = np.arange(count, dtype=np.int64) * length
    return Loci(
        (SYNTHETIC,),
        Intervals(np.zeros(count, np.int32), start, start + length),
        np.ones(count, np.int8),
        note,
    )
