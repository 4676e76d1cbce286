"""Training rows of a store, drawn so that classes differ in one thing only. Bounded memory.

Positives of two genomes are of the same loci, negatives of two sources of the same number. All are
of the train split: checks say nothing about the test rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import hash_rows
from ssldata.store.store import HOMOLOGUES, REFERENCE, RowGroup, Store

#: Rows of a range that are looked at for each that is drawn. Ranges are permuted when they are
#: written, so the first rows are a random sample of them, and their chunks are read in one go.
LOOKED_AT = 16
#: Bases of a block of the labelled genome, and the least where contigs are few and short.
BLOCK = 100_000
SMALLEST_BLOCK = 5_000
#: Blocks that are wanted at least.
_WANTED_BLOCKS = 50


@dataclass(frozen=True)
class DrawnRows:
    """Rows of a store in memory.

    Attributes
    ----------
    codes
        uint8 (n, L): the stored windows.
    block
        int64 (n,): number of the block of the labelled genome that the row, or the source that it
        was lifted from, lies in.
    """

    codes: NDArray[np.uint8]
    block: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.block)

    def __add__(self, other: DrawnRows) -> DrawnRows:
        """Return the rows of both."""
        return DrawnRows(
            np.concatenate([self.codes, other.codes]), np.concatenate([self.block, other.block])
        )


class RowDrawer:
    """Draws training rows of a store by keys.

    Parameters
    ----------
    store
        The store.
    rows
        Most rows of a class.
    seed
        Equal seeds draw equal rows.
    """

    def __init__(self, store: Store, *, rows: int, seed: int) -> None:
        self.store = store
        self._rows = rows
        self._seed = seed
        self._sources = store.sources()
        self._block = self._block_size()
        self._loci = {
            name: self._first_of_loci(store.group(name))
            for name in (REFERENCE, *(f"{HOMOLOGUES}/{g}" for g in store.genomes))
        }

    def shared_loci(self, genome: str | None = None) -> NDArray[np.int64]:
        """Return the loci that are drawn: those of the labelled genome that have a homologue.

        `genome`: in this genome; None: in any.
        """
        names = self.store.genomes if genome is None else [genome]
        there = [self._loci[f"{HOMOLOGUES}/{name}"][0] for name in names]
        ours = self._loci[REFERENCE][0]
        loci = ours[np.isin(ours, np.concatenate(there))] if there else ours
        return loci[self._order(loci, "loci")][: self._rows]

    def labelled_positives(self, loci: NDArray[np.int64]) -> DrawnRows:
        """Return one row of the labelled genome for each locus."""
        return self._of_loci(REFERENCE, loci)

    def homologues(self, loci: NDArray[np.int64], genome: str) -> DrawnRows:
        """Return one row of a target genome for each locus."""
        return self._of_loci(f"{HOMOLOGUES}/{genome}", loci)

    def spread(self, loci: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return the loci that each genome stands for, a genome for each, drawn by its locus."""
        best = np.full(len(loci), np.iinfo(np.uint64).max, np.uint64)
        owner = np.full(len(loci), -1)
        for number, genome in enumerate(self.store.genomes):
            has = np.isin(loci, self._loci[f"{HOMOLOGUES}/{genome}"][0])
            value = hash_rows(loci, "genome", self._seed, genome)
            better = has & (value < best)
            best[better], owner[better] = value[better], number
        return {g: loci[owner == n] for n, g in enumerate(self.store.genomes) if (owner == n).any()}

    def negatives(self, group: str, count: int) -> DrawnRows:
        """Return training negatives of a group, `count` or all that it has."""
        first, stop = self.store.group(group).ranges["negative"]
        rows = np.arange(first, min(stop, first + LOOKED_AT * self._rows))
        drawn = rows[self._order(rows, f"negatives of {group}")][:count]
        return self._read(group, np.sort(drawn))

    def _order(self, numbers: NDArray[np.int64], key: str) -> NDArray[np.int64]:
        return np.argsort(hash_rows(numbers, "trust", self._seed, key), kind="stable")

    def _first_of_loci(self, group: RowGroup) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the loci of the positives that are looked at, ascending, and a row of each."""
        first, stop = group.ranges["positive"]
        stop = min(stop, first + LOOKED_AT * self._rows)
        rows = np.arange(first, stop, dtype=np.int64)
        locus = group.column("locus")[first:stop]
        loci, place = np.unique(locus, return_index=True)
        return loci.astype(np.int64), rows[place]

    def _of_loci(self, group: str, loci: NDArray[np.int64]) -> DrawnRows:
        known, rows = self._loci[group]
        return self._read(group, rows[np.searchsorted(known, loci)])

    def _read(self, name: str, rows: NDArray[np.int64]) -> DrawnRows:
        group = self.store.group(name)
        source = group.column("source")[rows]
        lifted = source >= 0
        contig = group.column("contig")[rows].astype(np.int64)
        start = group.column("start")[rows].astype(np.int64)
        contig[lifted] = self._sources["contig"][source[lifted]]
        start[lifted] = self._sources["start"][source[lifted]]
        return DrawnRows(group.take_codes(rows), self._block_of(contig, start))

    def _block_of(
        self, contig: NDArray[np.integer], start: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        return contig.astype(np.int64) * 2**32 + start.astype(np.int64) // self._block

    def _block_size(self) -> int:
        """Return the bases of a block: halved until there are enough blocks with a peak."""
        group = self.store.group(REFERENCE)
        first, stop = group.ranges["positive"]
        contig = group.column("contig")[first:stop].astype(np.int64)
        start = group.column("start")[first:stop].astype(np.int64)
        size = BLOCK
        while size // 2 >= SMALLEST_BLOCK:
            if len(np.unique(contig * 2**32 + start // size)) >= _WANTED_BLOCKS:
                break
            size //= 2
        return size
