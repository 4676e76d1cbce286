"""How many independent examples a store holds: copies of a locus in near genomes are not new.

For copies with similarities R the effective number is the largest (Σw)² / wᵀRw over weights w ≥ 0.
Where no weight would be negative this is 1ᵀR⁻¹1, the effective sample size of observations at the
tips of a tree (Ané 2008, Ann. Appl. Stat. 2: 1078); with w ≥ 0 it is the maximum diversity of
Leinster and Meckes (2016, Entropy 18: 88). Negative weights would make the number depend on errors
of the distances. It is 1 for identical copies, n for n independent ones, never falls when a copy
is added and never rises when copies become more alike.

R is the correlation of two copies at a site under Jukes and Cantor (1969): exp(−4d/3) for d
substitutions per site, which is (identity − 1/4) / (3/4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from Bio import Phylo
from numpy.typing import NDArray
from scipy.optimize import nnls

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.base.keyed_random import first_of_permutation
from ssldata.base.text_file import read_text
from ssldata.building.build_inputs import TargetInputs
from ssldata.conservation.aligned_bases import aligned_bases, padded_windows
from ssldata.genomes.onehot import N_CODE
from ssldata.lift_checks.lift_quality import positive_sources
from ssldata.store.store import REFERENCE, Store
from ssldata.trust.findings import Finding, FindingTable

#: Loci whose effective number is computed; the total is scaled up from them.
LOCI = 5_000
#: Sources whose aligned bases are compared between genomes, and bases of each.
SOURCES, BASES = 2_000, 200
#: Added to the similarity of a copy with itself: keeps equal copies solvable, changes nothing seen.
_RIDGE = 1e-9
Similarity = NDArray[np.float64]


def effective_number(similarity: Similarity) -> float:
    """Return how many independent copies some copies are worth, from 1 to their number.

    Parameters
    ----------
    similarity
        (n, n), 1 on the diagonal, 0 for independent copies. Made positive semidefinite if it is
        not, as distances that were measured pair by pair may be.

    Notes
    -----
    The largest (Σw)² / wᵀRw over w ≥ 0 is that of the w that minimises |R^½ w − R^−½ 1|.
    """
    n = len(similarity)
    if n < 2:
        return float(n)
    values, vectors = np.linalg.eigh((similarity + similarity.T) / 2)
    root = np.sqrt(np.maximum(values, 0) + _RIDGE)
    ones = np.ones(n)
    weights, _ = nnls((vectors * root).T, (vectors.T @ ones) / root)
    spread = float(((root * (vectors.T @ weights)) ** 2).sum())
    if not spread > 0:
        return 1.0
    return float(np.clip(weights.sum() ** 2 / spread, 1.0, n))


def similarity_of_distance(distance: Similarity) -> Similarity:
    """Return exp(−4d/3) of substitutions per site."""
    return np.asarray(np.exp(-4 / 3 * distance))


def similarity_of_identity(identity: Similarity) -> Similarity:
    """Return (identity − 1/4) / (3/4), from 0 to 1."""
    return np.asarray(np.clip((identity - 0.25) / 0.75, 0.0, 1.0))


def tree_distances(path: Path, names: Sequence[str]) -> Similarity:
    """Return the distances between leaves of a Newick tree.

    Parameters
    ----------
    path
        The tree; branch lengths in substitutions per site. May have further leaves.
    names
        Leaves wanted, in the order of the result.

    Returns
    -------
    float64 (n, n)

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is no Newick tree, a leaf is missing, stands there twice, or a branch has no length.
    """
    text = read_text(path)
    try:
        tree: Any = Phylo.read(StringIO(text), "newick")
    except Exception as exc:  # its parser raises whatever it meets
        raise InputError(
            f"{path}: not one Newick tree ({type(exc).__name__}: {' '.join(str(exc).split())})"
        ) from exc
    leaves: dict[str, Any] = {}
    for leaf in tree.get_terminals():
        if leaf.name in leaves:
            raise InputError(f"{path}: the leaf {leaf.name!r} stands there twice")
        leaves[leaf.name] = leaf
    if lacking := [name for name in names if name not in leaves]:
        there = ", ".join(sorted(str(name) for name in leaves)[:8])
        raise InputError(
            f"{path}: no leaf {', '.join(map(repr, lacking[:4]))}; leaves must have the names of "
            f"the genomes in the store, there are {there}"
        )
    paths = [tree.get_path(leaves[name]) for name in names]
    for name, clades in zip(names, paths, strict=True):
        for clade in clades:
            if clade.branch_length is None or not 0 <= clade.branch_length < np.inf:
                raise InputError(
                    f"{path}: a branch above {name!r} has the length {clade.branch_length}; "
                    "expected substitutions per site, 0 or more"
                )
    result = np.zeros((len(names), len(names)))
    for i, one in enumerate(paths):
        mine = {id(clade) for clade in one}
        for j, other in enumerate(paths[:i]):
            shared = {id(clade) for clade in other} & mine
            result[i, j] = result[j, i] = sum(
                c.branch_length for c in (*one, *other) if id(c) not in shared
            )
    return result


def measured_similarity(
    sources: Mapping[str, NDArray[Any]], targets: Sequence[TargetInputs], *, seed: int = 0
) -> Similarity:
    """Return similarities of the reference and its genomes, from the lifted sequences themselves.

    The bases that chains align with the same base of the reference are compared, between every two
    genomes, around the centres of the sources.

    Parameters
    ----------
    sources
        Arrays of ``sources/``.
    targets
        The opened genomes; at least one.
    seed
        Of the sources looked at.

    Returns
    -------
    float64 (1 + genomes, 1 + genomes)
        The reference first.
    """
    rows = positive_sources(sources)
    rows = rows[np.sort(first_of_permutation(len(rows), SOURCES, "effective-size", seed))]
    contig = sources["contig"][rows]
    start = (sources["start"][rows] + sources["end"][rows]) // 2 - BASES // 2
    bases: list[ByteArray] = [padded_windows(targets[0].reference, contig, start, BASES)]
    bases += [
        aligned_bases(
            t.index, t.genome, t.target_codes[contig], start, BASES, query_contigs=t.query_contigs
        )
        for t in targets
    ]
    identity = np.eye(len(bases))
    for i, one in enumerate(bases):
        for j, other in enumerate(bases[:i]):
            known = (one < N_CODE) & (other < N_CODE)
            both = np.count_nonzero(known)
            same = np.count_nonzero(known & (one == other))
            identity[i, j] = identity[j, i] = same / both if both else 0.25
    return similarity_of_identity(identity)


def bounds_of_identity(identity: Sequence[float]) -> tuple[Similarity, Similarity]:
    """Return similarities that the identities with the reference allow: nearest, farthest.

    Two genomes at d and e from the reference are |d − e| to d + e apart. The truth lies between.

    Parameters
    ----------
    identity
        Of each genome with the reference.

    Returns
    -------
    float64 (1 + genomes, 1 + genomes), twice
        The reference first: all on one line, and all branching off at the reference.
    """
    own = np.maximum(similarity_of_identity(np.array([1.0, *identity])), 1e-12)
    low = np.minimum.outer(own, own) / np.maximum.outer(own, own)
    high = np.multiply.outer(own, own)
    np.fill_diagonal(high, 1.0)
    return low, high


@dataclass(frozen=True)
class Copies:
    """Which genomes hold each locus.

    Attributes
    ----------
    present
        bool (loci, 1 + genomes), the reference first; positive rows of the train split.
    rows
        Positive rows of the train split, of all genomes.
    """

    present: NDArray[np.bool_]
    rows: int


def copies_of(store: Store, genomes: Sequence[str]) -> Copies:
    """Return the copies of every locus with a positive training row.

    Parameters
    ----------
    store
        The store.
    genomes
        Names of complete genomes.
    """
    found = []
    rows = 0
    for group in (store.group(REFERENCE), *(store.homologues(g) for g in genomes)):
        first, end = group.ranges["positive"]
        locus = group.column_part("locus", first, end)
        rows += len(locus)
        found.append(np.unique(locus[locus >= 0]))
    loci = np.unique(np.concatenate(found))
    return Copies(np.stack([np.isin(loci, one) for one in found], axis=1), rows)


def effective_copies(
    copies: Copies, similarity: Similarity, *, seed: int = 0
) -> tuple[float, float]:
    """Return the effective number of all loci together, and its standard error from sampling.

    Parameters
    ----------
    copies, similarity
        The copies of each locus, and how alike the genomes are.
    seed
        Of the loci computed, where there are more than 5,000.
    """
    loci = len(copies.present)
    rows = first_of_permutation(loci, LOCI, "effective-loci", seed)
    patterns, times = np.unique(copies.present[rows], axis=0, return_counts=True)
    each = np.array([effective_number(similarity[np.ix_(p, p)]) for p in patterns])
    if not len(rows):
        return 0.0, 0.0
    mean = float((each * times).sum() / len(rows))
    left = 1 - len(rows) / loci
    variance = float((times * (each - mean) ** 2).sum() / len(rows))
    return mean * loci, loci * float(np.sqrt(left * variance / len(rows)))


def effective_finding(
    copies: Copies,
    similarities: Mapping[str, Similarity],
    names: Sequence[str],
    *,
    how: str,
    seed: int = 0,
) -> Finding:
    """Return the finding on the effective sample size.

    Parameters
    ----------
    copies
        The copies of each locus.
    similarities
        What the result is called → how alike the genomes are; several give a range.
    names
        Of the reference and the genomes, as in the similarities.
    how
        Where the similarities are from.
    seed
        Of the loci computed.
    """
    loci, held = len(copies.present), int(copies.present.sum())
    each = {key: effective_copies(copies, s, seed=seed) for key, s in similarities.items()}
    totals = [total for total, _ in each.values()]
    low, high = min(totals, default=0.0), max(totals, default=0.0)
    said = f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"
    numbers: dict[str, int | float | str | None] = {
        "rows": copies.rows, "loci": loci, "copies": held,
        "copies_per_locus": held / loci if loci else None, "distances": how,
    }  # fmt: skip
    for key, (total, error) in each.items():
        numbers |= {f"effective_{key}": total, f"effective_{key}_se": error}
    present = copies.present.sum(axis=0)
    main = next(iter(similarities.values()), np.eye(len(names)))
    rows = tuple(
        (name, int(count), float(main[0, i]))
        for i, (name, count) in enumerate(zip(names, present, strict=True))
    )
    return Finding(
        "quality.effective-size",
        "How many independent examples the positives are",
        "note",
        f"{copies.rows:,} positive training rows are {held:,} copies of {loci:,} loci, worth "
        f"{said} independent ones ({how})",
        "copies of a locus in near genomes teach little that is new, and intervals that count rows "
        "are too narrow",
        numbers=numbers,
        tables={"Copies": FindingTable(("genome", "loci", "similarity to the reference"), rows)},
    )
