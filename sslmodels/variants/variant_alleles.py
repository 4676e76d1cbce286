"""Rows of variants split into alleles and checked against a genome: each gets a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int64Array
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE, encode
from sslmodels.variants.variant_rows import Row


class VariantStatus(IntEnum):
    """What became of an allele; the first that applies, in this order."""

    SCORED = 0
    #: Fewer than eight columns, a position that is no whole number below 2³¹, an empty name.
    MALFORMED = 1
    #: ALT is ``.``
    NO_ALTERNATIVE = 2
    #: ALT is ``*``
    OVERLAPPING_DELETION = 3
    #: ``<DEL>``, ``<*>``, breakends
    SYMBOLIC = 4
    #: N, IUPAC codes and any other letter.
    AMBIGUOUS_ALLELE = 5
    UNKNOWN_CONTIG = 6
    #: Position 0, or an end past that of the contig.
    OUTSIDE_CONTIG = 7
    #: The genome has N in the reference allele.
    REFERENCE_N = 8
    REFERENCE_MISMATCH = 9
    #: ALT is REF.
    SAME_ALLELE = 10
    #: An allele longer than the window.
    LONGER_THAN_WINDOW = 11
    #: A contig shorter than the window, with the reference or with the alternative allele.
    SHORT_CONTIG = 12

    @property
    def label(self) -> str:
        """The name as files and summaries have it."""
        return self.name.lower()


_BASES = frozenset("ACGT")


class ContigNames:
    """Finds contigs of a genome by the names that other files use; remembers what it found.

    Parameters
    ----------
    genome
        Its names and aliases are tried first, then names that differ in case, in a leading
        ``chr``, or as M and MT, if only one contig of the genome fits.

    Attributes
    ----------
    found
        Name in the file → name in the genome, None: no such contig.
    """

    def __init__(self, genome: Genome) -> None:
        self._genome = genome
        self._indices: dict[str, int] = {}
        self.found: dict[str, str | None] = {}
        self._alike: dict[str, list[int]] = {}
        for index, name in enumerate(genome.names):
            self._alike.setdefault(_plain(name), []).append(index)

    def find(self, name: str) -> int:
        """Return the index of a contig, −1 when there is none."""
        index = self._indices.get(name)
        if index is None:
            index = self._genome.find(name)
            alike = self._alike.get(_plain(name), [])
            if index < 0 and len(alike) == 1:
                index = alike[0]
            self._indices[name] = index
            self.found[name] = self._genome.names[index] if index >= 0 else None
        return index


def _plain(name: str) -> str:
    plain = name.lower().removeprefix("chr")
    return "mt" if plain == "m" else plain


@dataclass
class Alleles:
    """The alternative alleles of consecutive rows, one entry each.

    Attributes
    ----------
    row
        int64, index of the allele's row among those given.
    contig, position
        int64, index in the genome (−1: unknown) and 0-based start of the reference allele.
    reference, alternative
        Upper case, as in the file.
    status
        int8, of :class:`VariantStatus`.
    start, replaced, inserted
        What changes, without the bases that both alleles share at their ends: int64 0-based
        start, the replaced and the inserted bases. Meant for alleles that can be scored.
    """

    row: Int64Array
    contig: Int64Array
    position: Int64Array
    reference: list[str]
    alternative: list[str]
    status: NDArray[np.int8]
    start: Int64Array
    replaced: list[str]
    inserted: list[str]

    def __len__(self) -> int:
        return len(self.reference)

    def of_rows(self, rows: int) -> Int64Array:
        """Return the borders of the alleles of each of so many rows, int64 (rows + 1,)."""
        return np.searchsorted(self.row, np.arange(rows + 1))


def read_alleles(
    rows: Sequence[Row], genome: Genome, contigs: ContigNames, *, length: int
) -> Alleles:
    """Split rows into their alternative alleles, and check these.

    Parameters
    ----------
    rows
        Of :class:`~sslmodels.variants.variant_rows.VariantRows`.
    genome, contigs
        What the reference alleles are compared with, and its contigs by name.
    length
        Bases of the windows that will be scored.

    Returns
    -------
    Alleles
        At least one entry for every row, in their order.
    """
    row: list[int] = []
    contig: list[int] = []
    position: list[int] = []
    reference: list[str] = []
    alternative: list[str] = []
    status: list[int] = []
    find = contigs.find
    for number, (_, fields) in enumerate(rows):
        if not fields:
            index, first, ref, alts = -1, -1, "", [""]
        else:
            index, first = find(fields[0]), int(fields[1]) - 1
            ref, alts = fields[3].upper(), fields[4].upper().split(",")
        for alt in alts:
            row.append(number)
            contig.append(index)
            position.append(first)
            reference.append(ref)
            alternative.append(alt)
            status.append(0 if ref in _BASES and alt in _BASES else _status_of_text(ref, alt))
    alleles = Alleles(
        row=np.array(row, np.int64),
        contig=np.array(contig, np.int64),
        position=np.array(position, np.int64),
        reference=reference,
        alternative=alternative,
        status=np.array(status, np.int8),
        start=np.array(position, np.int64),
        replaced=reference,
        inserted=alternative,
    )
    _check_places(alleles, genome)
    _trim(alleles)
    _check_lengths(alleles, genome, length)
    return alleles


def _status_of_text(ref: str, alt: str) -> VariantStatus:
    if not ref or not alt:
        return VariantStatus.MALFORMED
    if alt == ".":
        return VariantStatus.NO_ALTERNATIVE
    if alt == "*":
        return VariantStatus.OVERLAPPING_DELETION
    if alt[0] in "<." or alt[-1] == "." or "[" in alt or "]" in alt:
        return VariantStatus.SYMBOLIC
    if not _BASES.issuperset(ref) or not _BASES.issuperset(alt):
        return VariantStatus.AMBIGUOUS_ALLELE
    return VariantStatus.SCORED


def _check_places(alleles: Alleles, genome: Genome) -> None:
    """Set the status of alleles whose reference is not what the genome has."""
    status = alleles.status
    lengths = lengths_of(alleles.reference)
    status[(status == 0) & (alleles.contig < 0)] = VariantStatus.UNKNOWN_CONTIG
    ends = alleles.position + lengths
    outside = (alleles.position < 0) | (ends > genome.sizes[alleles.contig])
    status[(status == 0) & outside] = VariantStatus.OUTSIDE_CONTIG
    rows = np.flatnonzero(status == 0)
    if not rows.size:
        return
    found = genome.gather_flat(alleles.contig[rows], alleles.position[rows], lengths[rows])
    claimed = encode("".join(alleles.reference[i] for i in rows.tolist()))
    base_row = np.repeat(rows, lengths[rows])
    status[base_row[found != claimed]] = VariantStatus.REFERENCE_MISMATCH
    status[base_row[found == N_CODE]] = VariantStatus.REFERENCE_N
    same = [i for i in rows.tolist() if alleles.reference[i] == alleles.alternative[i]]
    status[[i for i in same if status[i] == 0]] = VariantStatus.SAME_ALLELE


def _trim(alleles: Alleles) -> None:
    """Set what changes: bases that both alleles share at the end, then at the start, are left."""
    alleles.replaced, alleles.inserted = [*alleles.reference], [*alleles.alternative]
    for i in np.flatnonzero(alleles.status == 0).tolist():
        ref, alt = alleles.reference[i], alleles.alternative[i]
        if len(ref) == len(alt) == 1:
            continue
        shorter = min(len(ref), len(alt))
        end = 0
        while end < shorter and ref[-1 - end] == alt[-1 - end]:
            end += 1
        first = 0
        while first < shorter - end and ref[first] == alt[first]:
            first += 1
        alleles.start[i] += first
        alleles.replaced[i] = ref[first : len(ref) - end]
        alleles.inserted[i] = alt[first : len(alt) - end]


def _check_lengths(alleles: Alleles, genome: Genome, length: int) -> None:
    status = alleles.status
    replaced, inserted = lengths_of(alleles.replaced), lengths_of(alleles.inserted)
    longer = np.maximum(replaced, inserted) > length
    status[(status == 0) & longer] = VariantStatus.LONGER_THAN_WINDOW
    smaller = genome.sizes[alleles.contig] - np.maximum(replaced - inserted, 0)
    status[(status == 0) & (smaller < length)] = VariantStatus.SHORT_CONTIG


def lengths_of(texts: Sequence[str]) -> Int64Array:
    """Return the length of each text."""
    return np.fromiter(map(len, texts), np.int64, len(texts))
