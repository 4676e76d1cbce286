"""Which chains of a file fit two genomes: the rest is left out and counted, or refused.

Public chain files name every contig of an assembly, patches and alternates too; a primary assembly
has fewer. Chains of another assembly are recognised by how much is lacking, and by contig sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int32Array
from ssldata.base.errors import InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.genomes.genome import Genome
from ssldata.project.project_file import Windows
from ssldata.rows.windows import kept_contigs

#: A chain file is refused if more than this share of its aligned bases is on contigs that a genome
#: lacks; excluded contigs do not count.
MOST = 0.5
#: Contigs that a message names.
_NAMED = 4


@dataclass(frozen=True)
class LeftOutChains:
    """Chains of a file that are not used.

    Attributes
    ----------
    chains, bases
        How many, and their aligned bases.
    note
        One line that says so; empty if there are none.
    """

    chains: int
    bases: int
    note: str

    def counts(self) -> dict[str, int]:
        """Return what the ledger records."""
        return {"chains_left_out": self.chains, "chain_bases_left_out": self.bases}


@dataclass(frozen=True)
class _Side:
    """One side of a chain file against its genome; one entry per contig name, or per chain."""

    what: str
    names: Sequence[str]
    genome: Genome
    contig: Int32Array  #: per name: contig of the genome, or −1
    excluded: BoolArray  #: per name
    name_of_chain: Int32Array
    size_in_chain: Int32Array

    @property
    def lacking(self) -> BoolArray:
        """Chains on a contig that the genome lacks."""
        return np.asarray(self.contig[self.name_of_chain] < 0)

    @property
    def left_aside(self) -> BoolArray:
        """Chains on an excluded contig, whether the genome has it or not."""
        return np.asarray(self.excluded[self.name_of_chain])

    @property
    def wrong(self) -> BoolArray:
        """Chains on a contig that has another size in the genome."""
        size = self.genome.sizes[self.contig[self.name_of_chain]]
        return np.asarray(~self.lacking & (size != self.size_in_chain))

    def named(self, chains: BoolArray) -> list[str]:
        """Return the contigs of some chains."""
        return [self.names[code] for code in np.unique(self.name_of_chain[chains])]

    def sizes(self, chains: BoolArray) -> list[str]:
        """Return what is wrong with the contigs of some chains."""
        pairs = np.stack([self.name_of_chain, self.size_in_chain], axis=1)[chains]
        return [
            f"{self.what} contig {self.names[code]} has {size} b, but "
            f"{self.genome.sizes[self.contig[code]]} b in {self.genome.path}"
            for code, size in np.unique(pairs, axis=0).tolist()
        ]


def _side(
    what: str, genome: Genome, exclude: Sequence[str], names: Sequence[str],
    name_of_chain: Int32Array, size_in_chain: Int32Array,
) -> _Side:  # fmt: skip
    contig = np.array([genome.find(name) for name in names], np.int32)
    # By either of its names, which aliases may have made two.
    own = [genome.names[at] if at >= 0 else name for at, name in zip(contig, names, strict=True)]
    excluded = ~(kept_contigs(names, exclude) & kept_contigs(own, exclude))
    return _Side(what, names, genome, contig, excluded, name_of_chain, size_in_chain)


def fitting_chains(
    path: Path, index: ChainIndex, reference: Genome, genome: Genome, windows: Windows
) -> tuple[ChainIndex, LeftOutChains]:
    """Return the chains whose contigs both genomes have, and an account of the others.

    Parameters
    ----------
    path, index
        The chain file, and what it holds.
    reference, genome
        The genomes of its target and its query contigs.
    windows
        Names the contigs that are left out: they may be lacking, or of any size.

    Raises
    ------
    InputError
        Two contigs of the chain are one of a genome; a contig that is used has another size in its
        genome; or most aligned bases are on contigs that a genome lacks.
    """
    target = _side("target", reference, windows.exclude, index.target_names,
                   index.chain_target, index.chain_target_size)  # fmt: skip
    query = _side("query", genome, windows.exclude_target, index.query_names,
                  index.chain_query, index.chain_query_size)  # fmt: skip
    sides = (target, query)
    for side in sides:
        _check_names(path, side)
    lacking = target.lacking | query.lacking
    wrong = target.wrong | query.wrong
    if not (lacking | wrong).any():
        return index, LeftOutChains(0, 0, "")
    # Nothing is lifted from an excluded contig of the reference, nor kept on one of the genome.
    used = ~(lacking | target.left_aside)
    faults = [
        *target.sizes(used & target.wrong),
        *query.sizes(used & query.wrong & ~query.left_aside),
    ]
    if faults:
        raise InputError(f"{path}: the chain was made for another assembly: {_some(faults, '; ')}")
    aligned = np.bincount(
        index.block_chain, weights=index.block_end - index.block_start, minlength=index.chains
    )
    asked = ~(target.left_aside | query.left_aside)
    missed, total = aligned[lacking & asked].sum(), aligned[asked].sum()
    if missed > MOST * total:
        where = " and ".join(
            f"{side.genome.path} (the {side.what} contigs {_some(names, ', ')})"
            for side in sides
            if (names := side.named(side.lacking & asked))
        )
        raise InputError(
            f"{path}: {missed / total:.0%} of its aligned bases, {(lacking & asked).sum()} of "
            f"{asked.sum()} chains, are on contigs that are not in {where}; is it a chain of "
            "another assembly? Names that differ go under 'aliases'"
        )
    out = lacking | wrong
    names = [name for side in sides for name in side.named(side.lacking | side.wrong)]
    share = aligned[out].sum() / aligned.sum()
    note = (
        f"{path}: {out.sum()} of {len(out)} chains left out ({share:.2%} of the aligned bases): a "
        "genome lacks their contigs, or they are excluded and have another size there "
        f"({_some(names, ', ')})"
    )
    return index.only(~out), LeftOutChains(int(out.sum()), int(aligned[out].sum()), note)


def _check_names(path: Path, side: _Side) -> None:
    """Refuse a chain file that calls one contig by two names; half of it would be lost."""
    known: NDArray[np.intp] = np.flatnonzero(side.contig >= 0)
    contigs, count = np.unique(side.contig[known], return_counts=True)
    for contig in contigs[count > 1].tolist():
        names = [side.names[at] for at in np.flatnonzero(side.contig == contig).tolist()]
        raise InputError(
            f"{path}: its {side.what} contigs {' and '.join(names)} are one contig of "
            f"{side.genome.path}; use one name in the chain, or correct 'aliases'"
        )


def _some(items: Sequence[str], separator: str) -> str:
    """Return the first few items, and how many more there are."""
    more = [f"and {len(items) - _NAMED} more"] if len(items) > _NAMED else []
    return separator.join([*items[:_NAMED], *more])
