"""A chain checked against both genomes: the bases that it aligns must be alike, not by chance.

A chain of another version of an assembly, or one whose contigs are mixed up, still lifts every
interval; only the bases tell. Sampled stretches of aligned blocks are compared with what two
sequences of their composition share by chance, about 0.25 to 0.30.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import uniform_rows
from ssldata.building.build_inputs import TargetInputs
from ssldata.genomes.onehot import N_CODE
from ssldata.lift_checks.proportions import Share, share_of
from ssldata.trust.findings import Finding, FindingTable, Mark

#: Stretches drawn over all aligned bases, and more for each of the largest pairs of contigs.
STRETCHES, PER_PAIR, PAIRS = 4_000, 20, 200
#: Bases of a stretch at most; one that compares fewer bases decides nothing.
LENGTH, FEWEST_BASES = 100, 20
#: Identity of related sequence that is still alignable. A stretch counts as unrelated where chance
#: explains it better than this does: below about 0.43.
RELATED = 0.60
#: A pair of contigs is wrong if at least half of its stretches, ten or more, are unrelated.
WRONG_PAIR, FEWEST_STRETCHES = 0.5, 10
#: Share of unrelated stretches beyond which a chain is doubtful, and wrong. Sound chains have none
#: (seven yeasts) to 0.2 % (human to rat); ten times that is no accident.
DOUBTFUL, WRONG = 0.02, 0.10


@dataclass(frozen=True)
class PairIdentity:
    """Stretches of one pair of contigs: how many, how many unrelated, aligned bases of the pair."""

    contig: str
    other: str
    stretches: int
    unrelated: int
    identity: float
    bases: int

    @property
    def wrong(self) -> bool:
        """Whether the bases say that these contigs do not belong together."""
        enough = self.stretches >= FEWEST_STRETCHES
        return enough and self.unrelated >= WRONG_PAIR * self.stretches


@dataclass(frozen=True)
class ChainIdentity:
    """How alike the sampled bases are.

    Attributes
    ----------
    genome
        Name of the target genome.
    stretches, bases
        Sampled over all aligned bases (those for pairs of contigs not among them), with enough
        known bases; and these bases.
    identity
        Share of identical ones; the interval counts stretches, not bases.
    chance
        What sequences of these compositions share by chance.
    unrelated
        Share of stretches that chance explains better.
    pairs
        Pairs of contigs, those with most aligned bases first.
    """

    genome: str
    stretches: int
    bases: int
    identity: float
    chance: float
    unrelated: Share
    pairs: tuple[PairIdentity, ...]

    @property
    def wrong_pairs(self) -> list[PairIdentity]:
        """Pairs of contigs that do not belong together."""
        return [pair for pair in self.pairs if pair.wrong]

    @property
    def mark(self) -> Mark:
        """How serious it is; a wrong pair is serious from a twentieth of the aligned bases on."""
        share = self.unrelated.value
        if share is None:
            return "note"
        total = sum(pair.bases for pair in self.pairs)
        in_wrong = sum(pair.bases for pair in self.wrong_pairs)
        if share > WRONG or in_wrong > 0.05 * total:
            return "fail"
        return "warn" if share > DOUBTFUL or in_wrong else "pass"


def chain_identity(target: TargetInputs, *, seed: int = 0) -> ChainIdentity:
    """Compare sampled stretches of the aligned blocks of a chain.

    Parameters
    ----------
    target
        The opened genomes and the chains between them.
    seed
        Of the sample; equal seeds give equal stretches.
    """
    index, name = target.index, target.settings.name
    length = (index.block_end - index.block_start).astype(np.int64)
    contig_of_block = index.chain_target[index.block_chain].astype(np.int64)
    other_of_block = index.chain_query[index.block_chain].astype(np.int64)
    key = contig_of_block * max(1, len(index.query_names)) + other_of_block
    pair_keys, pair_of_block = np.unique(key, return_inverse=True)
    pair_bases = np.bincount(pair_of_block, weights=length, minlength=len(pair_keys))
    total = int(length.sum())
    if not total:
        return ChainIdentity(name, 0, 0, 0.0, 0.25, Share(None, None, None), ())
    # Blocks in the order of pairs: a range of bases for all of them, and one within it for each.
    order = np.argsort(pair_of_block, kind="stable")
    ends = np.cumsum(length[order])
    at = [(uniform_rows(np.arange(STRETCHES), "chain-identity", name, seed) * total)]
    largest = np.sort(np.argsort(-pair_bases, kind="stable")[:PAIRS])
    first = np.concatenate(([0.0], np.cumsum(pair_bases)))
    for pair in largest.tolist():
        drawn = uniform_rows(np.arange(PER_PAIR), "chain-pair", name, seed, int(pair_keys[pair]))
        at.append(first[pair] + drawn * pair_bases[pair])
    position = np.minimum(np.concatenate(at).astype(np.int64), total - 1)
    rank = np.searchsorted(ends, position, side="right")
    block = order[rank]
    offset = position - (ends[rank] - length[block])
    begin = np.maximum(0, np.minimum(offset - LENGTH // 2, length[block] - LENGTH))
    size = np.minimum(LENGTH, length[block])
    ours, theirs = _bases(target, block, begin, size)
    known = (ours < N_CODE) & (theirs < N_CODE)
    owner = np.repeat(np.arange(len(block)), size)
    compared = np.bincount(owner, weights=known, minlength=len(block)).astype(np.int64)
    same = np.bincount(owner, weights=known & (ours == theirs), minlength=len(block))
    chance = _chance(ours[known], theirs[known])
    enough = compared >= FEWEST_BASES
    unrelated = enough & (same < _limit(chance) * compared)
    everywhere = enough & (np.arange(len(block)) < STRETCHES)
    bases = int(compared[everywhere].sum())
    pair_of = pair_of_block[block]
    pairs = []
    for pair in largest[np.argsort(-pair_bases[largest], kind="stable")].tolist():
        here = enough & (pair_of == pair)
        a, b = divmod(int(pair_keys[pair]), max(1, len(index.query_names)))
        pairs.append(
            PairIdentity(
                index.target_names[a],
                index.query_names[b],
                int(here.sum()),
                int(unrelated[here].sum()),
                float(same[here].sum() / max(1, compared[here].sum())),
                int(pair_bases[pair]),
            )
        )
    count = int(everywhere.sum())
    return ChainIdentity(
        name,
        count,
        bases,
        float(same[everywhere].sum() / max(1, bases)),
        chance,
        share_of(int(unrelated[everywhere].sum()), count),
        tuple(pairs),
    )


def _bases(
    target: TargetInputs,
    block: NDArray[np.int64],
    begin: NDArray[np.int64],
    size: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the bases of both sides of parts of blocks, one part after the other."""
    index = target.index
    chain = index.block_chain[block]
    contig = np.array([target.reference.find(name) for name in index.target_names], np.int64)
    start = index.block_start[block].astype(np.int64) + begin
    query = index.block_query[block].astype(np.int64) + begin
    forward, _ = index.forward(chain, query, query + size)
    strand = np.where(index.mirrored[chain], -1, 1).astype(np.int8)
    ours = target.reference.gather_flat(contig[index.chain_target[chain]], start, size)
    other = target.query_contigs[index.chain_query[chain]]
    return ours, target.genome.gather_flat(other, forward, size, strand)


def _chance(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    """Return the share of equal bases of two independent sequences of these compositions."""
    p, q = (np.bincount(bases, minlength=4)[:4] / max(1, len(bases)) for bases in (ours, theirs))
    return float(p @ q) if len(ours) else 0.25


def _limit(chance: float) -> float:
    """Return the identity at which chance and relation explain a stretch equally well."""
    unlike = np.log((1 - chance) / (1 - RELATED))
    return float(unlike / (unlike + np.log(RELATED / chance)))


def chain_finding(checked: list[ChainIdentity], refused: dict[str, str]) -> Finding:
    """Return the finding on the chains of a project.

    Parameters
    ----------
    checked
        One for each chain that fits its genomes.
    refused
        Genome → why its chain or sequence does not fit.
    """
    marks = {c.genome: c.mark for c in checked}
    bad = [*refused, *(c.genome for c in checked if c.mark == "fail")]
    doubtful = [c.genome for c in checked if c.mark == "warn"]
    mark: Mark = "fail" if bad else "warn" if doubtful else "pass" if checked else "note"
    if bad or doubtful:
        parts = [f"{name}: {why}" for name, why in refused.items()]
        parts += [_said(c) for c in checked if marks[c.genome] in ("fail", "warn")]
        summary = "; ".join(parts)
    elif checked:
        low = min(checked, key=lambda c: c.identity)
        summary = (
            f"aligned bases are {low.identity:.0%} ({low.genome}) or more identical, by chance "
            f"{low.chance:.0%}"
        )
    else:
        summary = "not checked: there is no chain"
    wrong = tuple(
        (c.genome, p.contig, p.other, p.stretches, p.unrelated, p.identity, p.bases)
        for c in checked
        for p in c.wrong_pairs
    )
    tables = {
        "Chains": FindingTable(
            ("genome", "stretches", "bases", "identity", "by chance", "unrelated (share)",
             "unrelated from", "unrelated to", "pairs of contigs", "wrong pairs"),
            tuple(
                (c.genome, c.stretches, c.bases, c.identity, c.chance, *c.unrelated,
                 len(c.pairs), len(c.wrong_pairs))
                for c in checked
            ),
            plot=("genome", "identity"),
        )
    }  # fmt: skip
    if wrong:
        tables["Contigs that do not belong together"] = FindingTable(
            ("genome", "contig", "other contig", "stretches", "unrelated", "identity", "bases"),
            wrong,
        )
    return Finding(
        "quality.chain",
        "The chains belong to these genomes",
        mark,
        summary,
        "a chain of another version, or of mixed-up contigs, lifts every interval to a wrong place",
        "get the chain that was made from these two sequence files" if bad or doubtful else "",
        {
            "checked_chains": len(checked),
            "wrong_chains": len(bad),
            "doubtful_chains": len(doubtful),
        },
        tables,
    )


def _said(checked: ChainIdentity) -> str:
    wrong = checked.wrong_pairs
    share = checked.unrelated.value or 0.0
    text = (
        f"{checked.genome}: aligned bases are {checked.identity:.0%} identical (chance "
        f"{checked.chance:.0%}), {share:.0%} of the stretches no more than by chance"
    )
    if wrong:
        text += f", such as {wrong[0].contig} with {wrong[0].other}"
    return text
