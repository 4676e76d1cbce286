"""Genomes that evolve by substitutions, indels and rearrangements, with the history of every base.

Every base carries the id of the ancestral base it descends from, so the alignment of any two
genomes is exact by construction: two bases are aligned if their ids are equal. Nothing here
reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Bases = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

#: Frequencies of A, C, G, T in new sequence.
BACKGROUND = (0.3, 0.2, 0.2, 0.3)

_IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT",
    "K": "GT", "M": "AC", "N": "ACGT",
}  # fmt: skip


@dataclass(frozen=True)
class Tract:
    """One contig of an evolving genome; all arrays have one value per base.

    Attributes
    ----------
    codes
        uint8, A C G T = 0 1 2 3.
    origin
        int64 id of the ancestral base; inserted bases have ids of their own.
    strand
        int8 +1/−1, relative to the ancestral base.
    site
        int32 index of the binding site the base belongs to, whose selection protects it; −1 for
        none.
    duplicate
        bool, true in the second copy of a segmental duplication.
    """

    name: str
    codes: Bases
    origin: Integers
    strand: npt.NDArray[np.int8]
    site: npt.NDArray[np.int32]
    duplicate: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The arrays, in the order of the attributes."""
        return self.codes, self.origin, self.strand, self.site, self.duplicate

    def each(self, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Tract:
        """Return a contig with `change` applied to every array."""
        return Tract(self.name, *(change(values) for values in self.arrays))

    def __getitem__(self, part: slice | npt.NDArray[np.bool_]) -> Tract:
        return self.each(lambda values: values[part])

    def inverted(self) -> Tract:
        """Return the reverse complement, strands and history included."""
        turned = self.each(lambda values: values[::-1])
        return replace(turned, codes=3 - turned.codes, strand=-turned.strand)


def join(name: str, parts: Sequence[Tract]) -> Tract:
    """Return one contig made of several."""
    columns = zip(*(part.arrays for part in parts), strict=True)
    return Tract(name, *map(np.concatenate, columns))


@dataclass(frozen=True)
class Motif:
    """A degenerate binding motif.

    Attributes
    ----------
    consensus
        IUPAC letters.
    matrix
        float64 (width, 4), probabilities of A, C, G, T.
    """

    consensus: str
    matrix: npt.NDArray[np.float64]

    @classmethod
    def of(cls, consensus: str, strength: float) -> Motif:
        """Return a motif; the letters that an IUPAC code allows share probability `strength`."""
        matrix = np.empty((len(consensus), 4))
        for column, letter in enumerate(consensus):
            allowed = ["ACGT".index(base) for base in _IUPAC[letter]]
            rest = 4 - len(allowed)
            matrix[column] = (1 - strength) / rest if rest else 0.25
            matrix[column, allowed] = (strength if rest else 1.0) / len(allowed)
        return cls(consensus, matrix)

    @property
    def width(self) -> int:
        """Number of bases."""
        return len(self.consensus)

    def draw(self, columns: Integers, rng: np.random.Generator) -> Bases:
        """Draw one base for each of the given columns."""
        cumulative = np.cumsum(self.matrix[columns], axis=1)[:, :3]
        return (rng.random(len(columns))[:, None] > cumulative).sum(axis=1).astype(np.uint8)


@dataclass(frozen=True)
class Sites:
    """Binding sites of the common ancestor, as parallel arrays.

    Attributes
    ----------
    motif
        Index of the motif (the experiment) of each site.
    strand
        int8 +1/−1 of the motif in the ancestor.
    start
        Id of the first ancestral base of the site; the ids of its bases are consecutive.
    """

    motifs: tuple[Motif, ...]
    motif: Integers
    strand: npt.NDArray[np.int8]
    start: Integers

    def __len__(self) -> int:
        return len(self.start)

    @property
    def width(self) -> Integers:
        """Width of each site in bases."""
        return np.array([m.width for m in self.motifs], dtype=np.int64)[self.motif]

    @property
    def centre(self) -> Integers:
        """Id of the middle ancestral base of each site."""
        return self.start + self.width // 2

    def columns(self, site: Integers, origin: Integers) -> Integers:
        """Return the motif column of bases `origin` that belong to `site`."""
        offset = origin - self.start[site]
        return np.where(self.strand[site] > 0, offset, self.width[site] - 1 - offset)


@dataclass
class Evolution:
    """Rates of change and the source of new base ids.

    Attributes
    ----------
    indels
        Indels per substitution.
    indel_mean
        Mean length of a common indel (geometric).
    long_indels, long_range
        Fraction of indels that are long, and the range of their lengths (uniform).
    loss
        Rate at which sites are lost, per substitution per site.
    next_origin
        The next free base id.
    """

    sites: Sites
    next_origin: int
    indels: float = 0.08
    indel_mean: float = 3.0
    long_indels: float = 0.04
    long_range: tuple[int, int] = (15, 400)
    loss: float = 1.0
    _background: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.cumsum(BACKGROUND)[:3], repr=False
    )

    def random_bases(self, count: int, rng: np.random.Generator) -> Bases:
        """Draw background sequence."""
        return np.searchsorted(self._background, rng.random(count)).astype(np.uint8)

    def branch(
        self, genome: Sequence[Tract], length: float, rng: np.random.Generator
    ) -> list[Tract]:
        """Return the contigs after a branch of `length` substitutions per site."""
        lost = rng.random(len(self.sites)) < 1 - np.exp(-self.loss * length)
        return [
            self._indels(self._substitutions(tract, length, lost, rng), length, rng)
            for tract in genome
        ]

    def _substitutions(
        self,
        tract: Tract,
        length: float,
        lost: npt.NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Tract:
        """Substitute (Jukes and Cantor 1969); bases of a kept site are redrawn from its motif."""
        codes, site = tract.codes.copy(), tract.site.copy()
        chance = np.full(len(tract), 0.75 * (1 - np.exp(-4 / 3 * length)))
        dropped = np.zeros(len(tract), dtype=bool)
        inside = site >= 0
        dropped[inside] = lost[site[inside]]
        # A lost site has been destroyed by mutations.
        chance[dropped] = 0.6
        site[dropped] = -1
        hit = rng.random(len(tract)) < chance
        free = np.flatnonzero(hit & (site < 0))
        codes[free] = (codes[free] + rng.integers(1, 4, len(free))) % 4
        kept = np.flatnonzero(hit & (site >= 0))
        which = site[kept].astype(np.int64)
        for index, motif in enumerate(self.sites.motifs):
            mine = self.sites.motif[which] == index
            at, owner = kept[mine], which[mine]
            drawn = motif.draw(self.sites.columns(owner, tract.origin[at]), rng)
            forward = self.sites.strand[owner] * tract.strand[at] > 0
            codes[at] = np.where(forward, drawn, 3 - drawn)
        return replace(tract, codes=codes, site=site)

    def _lengths(self, count: int, rng: np.random.Generator) -> Integers:
        common = rng.geometric(1 / self.indel_mean, count)
        long = rng.integers(self.long_range[0], self.long_range[1], count, endpoint=True)
        return np.where(rng.random(count) < self.long_indels, long, common).astype(np.int64)

    def _indels(self, tract: Tract, length: float, rng: np.random.Generator) -> Tract:
        """Delete and insert bases; an indel that would break a protected site does not survive."""
        size = len(tract)
        expected = self.indels * length * size / 2
        protected = np.concatenate([[0], np.cumsum(tract.site >= 0)])

        start = rng.integers(0, size, rng.poisson(expected))
        end = np.minimum(start + self._lengths(len(start), rng), size)
        harmless = protected[end] == protected[start]
        depth = np.zeros(size + 1, dtype=np.int64)
        np.add.at(depth, start[harmless], 1)
        np.add.at(depth, end[harmless], -1)
        keep = np.cumsum(depth[:-1]) == 0

        at = np.sort(rng.integers(1, size, rng.poisson(expected))) if size > 1 else np.empty(0, int)
        at = at[(tract.site[at - 1] < 0) | (tract.site[at - 1] != tract.site[at])]
        lengths = self._lengths(len(at), rng)
        total = int(lengths.sum())
        where = np.repeat(at, lengths)
        origin = np.arange(self.next_origin, self.next_origin + total, dtype=np.int64)
        self.next_origin += total
        inserted: tuple[Any, ...] = (self.random_bases(total, rng), origin, 1, -1, False)
        grown = Tract(
            tract.name,
            *(np.insert(old, where, new) for old, new in zip(tract.arrays, inserted, strict=True)),
        )
        kept = grown[np.insert(keep, where, True)]
        return kept if len(kept) else tract


def breakpoint_in(
    tract: Tract, rng: np.random.Generator, *, near_site: float = 0.5, reach: int = 90
) -> int:
    """Draw a position at which a contig can be cut without cutting a protected site.

    Parameters
    ----------
    tract
        A contig of at least 2 bases.
    rng
        Source of randomness.
    near_site, reach
        How often the cut falls within `reach` bases of a site: the hard cases of a liftover.

    Raises
    ------
    RuntimeError
        No such position was found.
    """
    size = len(tract)
    occupied = np.flatnonzero(tract.site >= 0)
    for _ in range(1000):
        if len(occupied) and rng.random() < near_site:
            position = int(rng.choice(occupied)) + int(rng.integers(-reach, reach + 1))
        else:
            position = int(rng.integers(1, size))
        if 0 < position < size and (
            tract.site[position] < 0 or tract.site[position] != tract.site[position - 1]
        ):
            return position
    raise RuntimeError(f"no position of {tract.name} lies outside a binding site")


def invert(tract: Tract, start: int, end: int) -> Tract:
    """Return the contig with bases [start, end) reverse-complemented in place."""
    return join(tract.name, [tract[:start], tract[start:end].inverted(), tract[end:]])


def random_segment(
    tract: Tract,
    shortest: int,
    longest: int,
    rng: np.random.Generator,
    *,
    near_site: float = 0.5,
) -> tuple[int, int]:
    """Draw a segment of log-uniform length with both ends outside protected sites.

    Parameters
    ----------
    tract
        The contig.
    shortest, longest
        Range of lengths in bases.
    rng
        Source of randomness.
    near_site
        How often the start falls near a site, see :func:`breakpoint_in`.

    Returns
    -------
    int, int
        Start and end, 0-based half-open.
    """
    length = int(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
    start = breakpoint_in(tract[: len(tract) - length - 1], rng, near_site=near_site)
    end = start + length
    while end < len(tract) and tract.site[end] >= 0 and tract.site[end] == tract.site[end - 1]:
        end += 1
    return start, end


def move(source: Tract, start: int, end: int, goal: Tract, at: int) -> tuple[Tract, Tract]:
    """Move a segment of one contig into another.

    Parameters
    ----------
    source, start, end
        The segment, 0-based half-open.
    goal, at
        Another contig, and the position before which the segment is inserted.

    Returns
    -------
    Tract, Tract
        Both contigs afterwards.
    """
    segment = source[start:end]
    left = join(source.name, [source[:start], source[end:]])
    return left, join(goal.name, [goal[:at], segment, goal[at:]])


def duplicate(source: Tract, start: int, end: int, goal: Tract, at: int) -> Tract:
    """Return a contig into which a segment of it, or of another, was copied.

    Parameters
    ----------
    source, start, end
        The segment, 0-based half-open.
    goal, at
        The contig, and the position before which the copy is inserted.
    """
    copy = source[start:end]
    copy = replace(copy, duplicate=np.ones(len(copy), dtype=bool))
    return join(goal.name, [goal[:at], copy, goal[at:]])


def aligned_blocks(old: Sequence[Tract], new: Sequence[Tract], ids: int) -> Integers:
    """Return every maximal ungapped aligned run between two genomes of one clade.

    Parameters
    ----------
    old, new
        The genomes.
    ids
        One more than the largest base id.

    Returns
    -------
    int64 (n, 7)
        Columns: copy (0, or 1 for the second copies of a duplication in `new`), contig of `old`,
        start in `old`, length, contig of `new`, position in `new` of the base aligned to the
        first one (forward strand), strand +1/−1. Sorted by the first three.
    """
    found = []
    for copy in (0, 1):
        contig = np.full(ids, -1, dtype=np.int64)
        position = np.zeros(ids, dtype=np.int64)
        strand = np.zeros(ids, dtype=np.int64)
        for index, tract in enumerate(new):
            mine = np.flatnonzero(tract.duplicate == bool(copy))
            contig[tract.origin[mine]] = index
            position[tract.origin[mine]] = mine
            strand[tract.origin[mine]] = tract.strand[mine]
        for index, tract in enumerate(old):
            where, at = contig[tract.origin], position[tract.origin]
            turn = strand[tract.origin] * tract.strand
            follows = np.zeros(len(tract), dtype=bool)
            follows[1:] = (
                (where[1:] == where[:-1]) & (turn[1:] == turn[:-1]) & (at[1:] == at[:-1] + turn[1:])
            )
            first = np.flatnonzero(~follows)
            length = np.diff(np.append(first, len(tract)))
            block = np.stack(
                [
                    np.full(len(first), copy),
                    np.full(len(first), index),
                    first,
                    length,
                    where[first],
                    at[first],
                    turn[first],
                ],
                axis=1,
            )
            found.append(block[where[first] >= 0])
    return np.concatenate(found).astype(np.int64)
