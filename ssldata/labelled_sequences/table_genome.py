"""The windows of a table of sequences as a genome: what a build cuts rows from."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.base.errors import InputError
from ssldata.genomes.genome import Genome
from ssldata.labelled_sequences.header_locus import Loci


class TableGenome(Genome):
    """A genome of which only the windows of a table are known.

    It pickles with its sequences, a byte per base.

    Parameters
    ----------
    path
        The table.
    loci
        Where its sequences lie.
    codes
        uint8 (n, length), as they are read: on strand −1 the reverse complement of the genome.
    """

    def __init__(self, path: Path, loci: Loci, codes: ByteArray) -> None:
        super().__init__(path)
        self._loci, self._codes = loci, codes
        intervals = loci.intervals
        self._place = self._key(intervals.contig, intervals.start, loci.strand)
        self._order = np.argsort(self._place, kind="stable")

    def __reduce__(self) -> tuple[Any, ...]:
        return TableGenome, (self.path, self._loci, self._codes)

    @property
    def names(self) -> tuple[str, ...]:
        """Contigs that sequences lie on."""
        return self._loci.contigs

    @cached_property
    def sizes(self) -> Int64Array:
        """How far sequences reach on each contig, int64."""
        return self._loci.sizes

    @cached_property
    def digest(self) -> str:
        """sha256 of contigs, places and sequences."""
        digest = hashlib.sha256("\0".join(self.names).encode())
        intervals = self._loci.intervals
        for array in (intervals.contig, intervals.start, self._loci.strand, self._codes):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _key(self, contig: NDArray[Any], start: NDArray[Any], strand: NDArray[Any]) -> Int64Array:
        """Return a number for each window of the length of the sequences."""
        offset = np.cumsum(self.sizes) - self.sizes
        return (offset[contig] + start) * 2 + (strand < 0)

    def gather(self, contig: Any, start: Any, length: int, strand: Any | None = None) -> ByteArray:
        """Return windows of the table; see :meth:`ssldata.genomes.genome.Genome.gather`.

        Parameters
        ----------
        contig, start, length, strand
            As there; the strand of a sequence is that of its name.

        Raises
        ------
        InputError
            A window that the table does not have.
        """
        contig, start = np.asarray(contig), np.asarray(start)
        strand = np.ones(len(contig), np.int8) if strand is None else np.asarray(strand)
        if not len(contig):
            return np.empty((0, length), np.uint8)
        key = self._key(contig, start, strand)
        at = np.searchsorted(self._place, key, sorter=self._order)
        row = self._order[np.minimum(at, len(self._order) - 1)]
        if length != self._codes.shape[1] or (self._place[row] != key).any():
            raise InputError(
                f"{self.path}: has no sequence of {length} bases at the places asked for"
            )
        return self._codes[row]

    def release(self) -> None:
        """Do nothing: no file is mapped."""
