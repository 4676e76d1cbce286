"""The sequence around a variant, with its reference or its alternative allele."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int8Array, Int64Array
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import encode, reverse_complement
from sslmodels.variants.variant_alleles import Alleles, lengths_of

Values = NDArray[Any]


def allele_windows(
    genome: Genome,
    *,
    contig: Int64Array,
    start: Int64Array,
    replaced: Int64Array,
    alleles: Sequence[str],
    length: int,
    shift: int = 0,
    strand: Int8Array | None = None,
) -> ByteArray:
    """Return the windows around alleles, cut from the contig that has the allele.

    The allele lies in the middle: (length − its bases) // 2 bases stand before it. `shift` moves
    the window to the right, at most until the allele touches its end. A window that would leave
    the contig is moved inside.

    Parameters
    ----------
    genome
        Where the flanks come from.
    contig, start
        Place of the replaced bases, int64 (n,), 0-based. The contig with the allele must have
        `length` bases.
    replaced
        Bases of the genome that the allele stands for.
    alleles
        The bases in their place, at most `length`, A C G T, as `strand` reads them.
    length
        Bases of a window.
    shift
        Bases.
    strand
        +1 or −1: the strand on which the window is read; default: all +1.

    Returns
    -------
    numpy.ndarray
        Base codes, uint8 (n, length).
    """
    inserted = lengths_of(alleles)
    codes = encode("".join(alleles))
    room = length - inserted
    before = np.clip(room // 2 - shift, 0, room)
    minus = np.zeros(len(alleles), bool) if strand is None else strand < 0
    if minus.any():
        # Cut on the forward strand, and turned at the end.
        before = np.where(minus, room - before, before)
        for i in np.flatnonzero(minus):
            end = inserted[: i + 1].sum()
            codes[end - inserted[i] : end] = reverse_complement(codes[end - inserted[i] : end])
    first = np.minimum(start - before, genome.sizes[contig] - replaced + inserted - length)
    before = start - np.maximum(first, 0)
    after = room - before
    # Both flanks of every window in one gather, in the order in which the windows have them.
    flanks = genome.gather_flat(
        np.repeat(contig, 2),
        np.column_stack([start - before, start + replaced]).ravel(),
        np.column_stack([before, after]).ravel(),
    )
    place = np.arange(length)
    in_allele = (place >= before[:, None]) & (place < (before + inserted)[:, None])
    windows = np.empty((len(alleles), length), np.uint8)
    windows[~in_allele] = flanks
    windows[in_allele] = codes
    windows[minus] = reverse_complement(windows[minus])
    return windows


class AllelePairs:
    """The windows of variants, with the reference and with the alternative allele.

    Alternatives of one place share the window of the reference.

    Parameters
    ----------
    genome
        Where the variants lie.
    contig, start
        Place of the replaced bases, int64 (n,).
    replaced, inserted
        The bases of both alleles, as `strand` reads them. The contig must have as many bases as
        `replaced` at that place; they need not be the same.
    length
        Bases of a window.
    strand
        As of :func:`allele_windows`.
    """

    def __init__(
        self,
        genome: Genome,
        *,
        contig: Int64Array,
        start: Int64Array,
        replaced: Sequence[str],
        inserted: Sequence[str],
        length: int,
        strand: Int8Array | None = None,
    ) -> None:
        self._genome, self._length, self._strand = genome, length, strand
        self._contig, self._start = contig, start
        self._replaced, self._inserted = replaced, inserted
        self._lengths = lengths_of(replaced)
        places = np.column_stack([contig, start, self._lengths])
        new = np.ones(len(contig), bool)
        new[1:] = (places[1:] != places[:-1]).any(axis=1)
        self._first = np.flatnonzero(new)
        self._reference_of = np.cumsum(new) - 1

    def windows(self, shift: int) -> ByteArray:
        """Return base codes (references and alternatives, length) for :meth:`split`."""
        reference = [self._replaced[i] for i in self._first.tolist()]
        parts = ((self._first, reference), (slice(None), self._inserted))
        return np.concatenate([self._cut(rows, alleles, shift) for rows, alleles in parts])

    def _cut(self, rows: Int64Array | slice, alleles: Sequence[str], shift: int) -> ByteArray:
        return allele_windows(
            self._genome,
            contig=self._contig[rows],
            start=self._start[rows],
            replaced=self._lengths[rows],
            alleles=alleles,
            length=self._length,
            shift=shift,
            strand=None if self._strand is None else self._strand[rows],
        )

    def split(self, values: Values) -> tuple[Values, Values]:
        """Return what the references and the alternatives have, each (n, …)."""
        return values[self._reference_of], values[len(self._first) :]


def pairs_of(genome: Genome, alleles: Alleles, rows: Int64Array, length: int) -> AllelePairs:
    """Return the pairs of some alleles in their own genome.

    Parameters
    ----------
    genome
        That of the alleles.
    alleles
        Of :func:`~sslmodels.variants.variant_alleles.read_alleles`.
    rows
        Alleles that can be scored, int64 (n,).
    length
        Bases of a window.
    """
    return AllelePairs(
        genome,
        contig=alleles.contig[rows],
        start=alleles.start[rows],
        replaced=[alleles.replaced[i] for i in rows.tolist()],
        inserted=[alleles.inserted[i] for i in rows.tolist()],
        length=length,
    )
