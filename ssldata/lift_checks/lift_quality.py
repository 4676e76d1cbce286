"""The quality of the liftover to each genome: what became of every source, as numbers.

All of it is what the store has recorded; the sequences of the genomes are read only for the
fractions of N and of masked bases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import first_of_permutation
from ssldata.building.build_inputs import TargetInputs
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift_result import Status
from ssldata.store.store import HOMOLOGUES, Store

#: A homologue is of another length if it is longer or shorter than its source by this factor.
OTHER_LENGTH = 2.0
#: Homologues whose bases are looked at for N and soft mask, and bases of each at most.
_LOOKED_AT, _MOST_BASES = 2_000, 2_000

_SEVERAL = (Status.DISTANT, Status.MULTI_CONTIG, Status.SPLIT, Status.DUPLICATED)
_OTHER = (Status.INVALID, Status.NOT_RECIPROCAL, Status.SUMMIT_LOST)
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LiftQuality:
    """What became of the positive sources of a store in one genome. Shares are fractions.

    Attributes
    ----------
    genome
        Its name.
    sources, mapped, merged
        Positive sources; those with one homologue; those of them whose homologue was merged of
        several pieces.
    several
        Sources with several places, on one contig (`distant` of them) or on more.
    partial, unmapped, other
        Sources of which too little is aligned; nothing; refused for another reason.
    identity, identity_low
        Median and 10 % quantile of the share of identical aligned bases.
    mean_identity
        Mean of it; None if nothing is mapped. All below are None then, too.
    aligned
        Mean share of a mapped source that is aligned.
    length_ratio
        Median length of homologue / length of source.
    other_length
        Share of homologues more than twice or less than half as long as their source.
    minus
        Share of homologues on the minus strand. Assemblies may number a whole contig backwards.
    turned, broken
        Of neighbouring mapped sources of a contig: share on one target contig but on different
        strands; share on different target contigs.
    contigs, contigs_of_most
        Target contigs with a homologue; the fewest that hold 90 % of the homologues.
    shared
        Share of homologues that overlap that of a source that lies elsewhere.
    rows, has_n, off_contig, sources_without_row
        Rows, and rows and sources lost for N or the end of a contig, as the ledger counts them.
    stated
        Substitutions per site from the reference as the project states them, if it does.
    n, masked
        Share of N and of soft-masked bases in homologues; None: genomes not looked at.
    source_masked
        Share of soft-masked bases in the sources of these homologues.
    """

    genome: str
    sources: int
    mapped: int
    merged: int
    several: int
    distant: int
    partial: int
    unmapped: int
    other: int
    identity: float | None = None
    identity_low: float | None = None
    mean_identity: float | None = None
    aligned: float | None = None
    length_ratio: float | None = None
    other_length: float | None = None
    minus: float | None = None
    turned: float | None = None
    broken: float | None = None
    contigs: int = 0
    contigs_of_most: int = 0
    shared: float | None = None
    rows: int = 0
    has_n: int = 0
    off_contig: int = 0
    sources_without_row: int = 0
    stated: float | None = None
    n: float | None = field(default=None, kw_only=True)
    masked: float | None = field(default=None, kw_only=True)
    source_masked: float | None = field(default=None, kw_only=True)

    @property
    def mapped_share(self) -> float:
        """Share of the sources with one homologue."""
        return self.mapped / self.sources if self.sources else 0.0

    @property
    def distance(self) -> float | None:
        """Substitutions per site by Jukes and Cantor (1969), from the mean identity."""
        return None if self.mean_identity is None else jukes_cantor(self.mean_identity)


def jukes_cantor(identity: float) -> float | None:
    """Return substitutions per site, −3/4 ln(1 − 4/3 (1 − identity)); None at 1/4 and below.

    Jukes and Cantor (1969), Evolution of protein molecules.
    """
    rest = 1 - 4 / 3 * (1 - identity)
    return max(0.0, float(-0.75 * np.log(rest))) if rest > 0 else None


def positive_sources(sources: Columns, experiment: int | None = None) -> NDArray[np.int64]:
    """Return the sources with a label (of one experiment, by its number), not lifted negatives."""
    label = sources["label"]
    chosen = label.any(axis=1) if experiment is None else label[:, experiment] > 0
    return np.flatnonzero(chosen)


def measure_lift(store: Store, genome: str, *, target: TargetInputs | None = None) -> LiftQuality:
    """Return the quality of the liftover to one complete genome of a store.

    Parameters
    ----------
    store
        The store.
    genome
        Name of the genome.
    target
        The opened genomes and chain, for fractions of N and masked bases; None: only what the
        store has recorded.
    """
    sources = store.sources()
    entry: Mapping[str, Any] = store.ledger[f"{HOMOLOGUES}/{genome}"]
    return lift_quality(
        genome,
        sources,
        store.homologues(genome).liftover(),
        counts=entry.get("counts", {}),
        stated=entry.get("provenance", {}).get("distance"),
        target=target,
    )


def lift_quality(
    genome: str,
    sources: Columns,
    lifted: Columns,
    *,
    counts: Mapping[str, int],
    stated: float | None = None,
    target: TargetInputs | None = None,
) -> LiftQuality:
    """Return the quality of the liftover of the positive sources of a store.

    Parameters
    ----------
    genome
        Name of the genome.
    sources, lifted
        Arrays of ``sources/`` and of the genome's ``liftover/``: one row per source, sources
        sorted by contig and start.
    counts
        What the ledger counts of its rows.
    stated
        Stated substitutions per site.
    target
        The opened genomes and chain, or None.
    """
    chosen = positive_sources(sources)
    s = {key: values[chosen] for key, values in sources.items()}
    h = {key: values[chosen] for key, values in lifted.items()}
    status = np.bincount(h["status"], minlength=len(Status))
    mapped = np.flatnonzero(h["status"] == Status.MAPPED)
    made: dict[str, Any] = {
        "genome": genome,
        "sources": len(chosen),
        "mapped": len(mapped),
        "merged": int((h["pieces"][mapped] > 1).sum()),
        "several": int(status[list(_SEVERAL)].sum()),
        "distant": int(status[Status.DISTANT]),
        "partial": int(status[Status.PARTIAL]),
        "unmapped": int(status[Status.DELETED]),
        "other": int(status[list(_OTHER)].sum()),
        "stated": None if stated is None else float(stated),
    }
    names = ("rows", "has_n", "off_contig", "sources_without_row")
    made |= {name: int(counts.get(name, 0)) for name in names}
    if len(mapped):
        made |= _of_homologues({k: v[mapped] for k, v in s.items()},
                               {k: v[mapped] for k, v in h.items()})  # fmt: skip
        if target is not None:
            made |= _of_bases({k: v[mapped] for k, v in s.items()},
                              {k: v[mapped] for k, v in h.items()}, target)  # fmt: skip
    return LiftQuality(**made)


def _of_homologues(s: Columns, h: Columns) -> dict[str, Any]:
    """Return what the coordinates of mapped sources and their homologues tell."""
    length = np.maximum(s["end"] - s["start"], 1)
    ratio = (h["end"] - h["start"]) / length
    identity = h["identity"].astype(np.float64)
    _, held = np.unique(h["contig"], return_counts=True)
    most = np.cumsum(np.sort(held)[::-1]) >= 0.9 * len(ratio)
    # Sources are sorted: the next one is the neighbour.
    beside = s["contig"][1:] == s["contig"][:-1]
    same = beside & (h["contig"][1:] == h["contig"][:-1])
    turned = same & (h["strand"][1:] != h["strand"][:-1])
    return {
        "identity": float(np.median(identity)),
        "identity_low": float(np.quantile(identity, 0.1)),
        "mean_identity": float(identity.mean()),
        "aligned": float((h["aligned"] / length).mean()),
        "length_ratio": float(np.median(ratio)),
        "other_length": float(((ratio > OTHER_LENGTH) | (ratio < 1 / OTHER_LENGTH)).mean()),
        "minus": float((h["strand"] < 0).mean()),
        "turned": float(turned.sum() / same.sum()) if same.any() else None,
        "broken": float((beside & ~same).sum() / beside.sum()) if beside.any() else None,
        "contigs": len(held),
        "contigs_of_most": int(np.argmax(most)) + 1,
        "shared": float(_on_another(s, h).mean()),
    }


def _on_another(s: Columns, h: Columns) -> NDArray[np.bool_]:
    """Return which homologues overlap the next one on the target, though their sources do not."""
    order = np.lexsort((h["end"], h["start"], h["contig"]))
    one, other = order[:-1], order[1:]
    here = (h["contig"][one] == h["contig"][other]) & (h["start"][other] < h["end"][one])
    there = (s["contig"][one] == s["contig"][other]) & (
        np.maximum(s["start"][one], s["start"][other]) < np.minimum(s["end"][one], s["end"][other])
    )
    result = np.zeros(len(order), bool)
    result[one[here & ~there]] = True
    result[other[here & ~there]] = True
    return result


def _of_bases(s: Columns, h: Columns, target: TargetInputs) -> dict[str, Any]:
    """Return fractions of N and of masked bases in homologues, and masked ones in their sources."""
    rows = np.sort(first_of_permutation(len(h["start"]), _LOOKED_AT, "lift-quality"))
    contig, start = h["contig"][rows], h["start"][rows]
    length = np.minimum(h["end"][rows] - start, _MOST_BASES)
    codes = target.genome.gather_flat(contig, start, length)
    masked = [0, 0]
    for number, (genome, contigs, starts, ends) in enumerate(
        (
            (target.genome, contig, start, start + length),
            (target.reference, s["contig"][rows], s["start"][rows], s["end"][rows]),
        )
    ):
        for c, a, b in zip(contigs.tolist(), starts.tolist(), ends.tolist(), strict=True):
            masked[number] += int(genome.soft_mask(c, a, b).sum())
    return {
        "n": float((codes == N_CODE).mean()) if len(codes) else 0.0,
        "masked": masked[0] / max(1, len(codes)),
        "source_masked": masked[1] / max(1, int((s["end"][rows] - s["start"][rows]).sum())),
    }
