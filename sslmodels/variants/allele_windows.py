"""The sequence around a variant, with its reference or its alternative allele."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import encode
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
        The bases in their place, at most `length`, A C G T.
    length
        Bases of a window.
    shift
        Bases.

    Returns
    -------
    numpy.ndarray
        Base codes, uint8 (n, length).
    """
    inserted = lengths_of(alleles)
    room = length - inserted
    before = np.clip(room // 2 - shift, 0, room)
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
    windows[in_allele] = encode("".join(alleles))
    return windows


class AllelePairs:
    """The windows of alleles that can be scored, with the reference and with the alternative.

    Alternatives of one place share the window of the reference.

    Parameters
    ----------
    genome
        That of the alleles.
    alleles
        Of :func:`~sslmodels.variants.variant_alleles.read_alleles`.
    rows
        Those to score, int64 (n,).
    length
        Bases of a window.
    """

    def __init__(self, genome: Genome, alleles: Alleles, rows: Int64Array, length: int) -> None:
        self._genome = genome
        self._length = length
        self._contig, self._start = alleles.contig[rows], alleles.start[rows]
        self._replaced = [alleles.replaced[i] for i in rows.tolist()]
        self._inserted = [alleles.inserted[i] for i in rows.tolist()]
        self._lengths = lengths_of(self._replaced)
        places = np.column_stack([self._contig, self._start, self._lengths])
        new = np.ones(len(rows), bool)
        new[1:] = (places[1:] != places[:-1]).any(axis=1)
        self._first = np.flatnonzero(new)
        self._reference_of = np.cumsum(new) - 1

    def windows(self, shift: int) -> ByteArray:
        """Return base codes (references and alternatives, length) for :meth:`split`."""
        first = self._first
        reference = self._cut(first, [self._replaced[i] for i in first.tolist()], shift)
        return np.concatenate([reference, self._cut(slice(None), self._inserted, shift)])

    def _cut(self, rows: Int64Array | slice, alleles: Sequence[str], shift: int) -> ByteArray:
        return allele_windows(
            self._genome,
            contig=self._contig[rows],
            start=self._start[rows],
            replaced=self._lengths[rows],
            alleles=alleles,
            length=self._length,
            shift=shift,
        )

    def split(self, values: Values) -> tuple[Values, Values]:
        """Return what the references and the alternatives have, each (n, …)."""
        return values[self._reference_of], values[len(self._first) :]
