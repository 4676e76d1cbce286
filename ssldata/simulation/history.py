"""The history of a simulated clade: its ancestor, its tree and the rearrangements of its leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ssldata.simulation.evolution import (
    Evolution,
    Motif,
    Sites,
    Tract,
    breakpoint_in,
    duplicate,
    invert,
    join,
    move,
    random_segment,
)

#: What real assemblies have beside their chromosomes: a contig shorter than one window, a short
#: one, a mitochondrion and an unplaced one. Sizes in bases, or as a fraction of a main contig.
_SMALL_CONTIGS = {"chrUn1": 150, "chrUn2": 1530, "chrM": 0.06, "chr1_random": 0.09}


def ancestor(
    contigs: int,
    contig_size: int,
    motifs: Sequence[Motif],
    sites_per_motif: Sequence[int],
    decoys: float,
    rng: np.random.Generator,
) -> tuple[list[Tract], Sites]:
    """Draw the common ancestor with its binding sites.

    Parameters
    ----------
    contigs, contig_size
        Number of main contigs and their mean size in bases.
    motifs, sites_per_motif
        The motifs, and the number of planted sites of each.
    decoys
        Near-copies with two wrong bases per site, not protected by selection.
    rng
        Source of randomness.

    Returns
    -------
    list of Tract, Sites
        The contigs, whose base ids number their bases consecutively, and the sites.
    """
    sizes = {
        f"chr{number}": int(contig_size * rng.uniform(0.85, 1.15)) + 7
        for number in range(1, contigs + 1)
    }
    for name, size in _SMALL_CONTIGS.items():
        sizes[name] = size if isinstance(size, int) else int(contig_size * size) + 11
    names = list(sizes)
    total = sum(sizes.values())
    starts = np.cumsum([0, *sizes.values()])
    evolution = Evolution(
        Sites(tuple(motifs), np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64)), 0
    )
    codes = evolution.random_bases(total, rng)
    owner = np.full(total, -1, dtype=np.int32)
    taken = np.zeros(total, dtype=bool)
    margin = 30
    for start in starts[:-1]:
        taken[max(start - margin, 0) : start + margin] = True
    taken[-margin:] = True

    kinds = np.repeat(np.arange(len(motifs)), sites_per_motif)
    rng.shuffle(kinds)
    # One site beside the start of the first contig, and one on each kind of small contig.
    wanted = [int(starts[0]) + 45] + [
        int(starts[names.index(name)] + sizes[name] // 2)
        for name in ("chrUn2", "chrM", "chr1_random")
    ]
    place: list[int] = []
    strand = np.where(rng.random(len(kinds)) < 0.5, 1, -1).astype(np.int8)
    for index, kind in enumerate(kinds.tolist()):
        motif = motifs[kind]
        start = wanted[index] if index < len(wanted) else _free(taken, motif.width, place, rng)
        place.append(start)
        _plant(codes, start, motif, int(strand[index]), 0, rng)
        owner[start : start + motif.width] = index
        taken[start - 2 : start + motif.width + 2] = True
    for kind in kinds[: round(decoys * len(kinds))].tolist():
        motif = motifs[kind]
        start = _free(taken, motif.width, [], rng)
        _plant(codes, start, motif, int(rng.choice([-1, 1])), 2, rng)
        taken[start - 2 : start + motif.width + 2] = True
    origin = np.arange(total, dtype=np.int64)
    tracts = [
        Tract(
            name,
            codes[a:b],
            origin[a:b],
            np.ones(b - a, dtype=np.int8),
            owner[a:b],
            np.zeros(b - a, dtype=bool),
        )
        for name, a, b in zip(names, starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    return tracts, Sites(tuple(motifs), kinds, strand, np.array(place, dtype=np.int64))


def _free(
    taken: npt.NDArray[np.bool_], width: int, place: list[int], rng: np.random.Generator
) -> int:
    """Draw a free start; one in ten is close to an earlier site, so that peaks overlap."""
    while True:
        if place and rng.random() < 0.1:
            start = place[int(rng.integers(len(place)))] + int(rng.integers(-170, 170))
        else:
            start = int(rng.integers(0, len(taken) - width))
        if 0 <= start < len(taken) - width and not taken[start : start + width].any():
            return start


def _plant(
    codes: npt.NDArray[np.uint8],
    start: int,
    motif: Motif,
    strand: int,
    wrong: int,
    rng: np.random.Generator,
) -> None:
    """Write an instance of a motif in which `wrong` informative bases are replaced."""
    bases = motif.draw(np.arange(motif.width), rng)
    informative = np.flatnonzero(motif.matrix.max(axis=1) > 0.6)
    spoilt = rng.choice(informative, size=wrong, replace=False)
    bases[spoilt] = (bases[spoilt] + rng.integers(1, 4, wrong)) % 4
    codes[start : start + motif.width] = bases if strand > 0 else 3 - bases[::-1]


def grow_clade(
    first: list[Tract],
    evolution: Evolution,
    distances: npt.NDArray[np.float64],
    test: list[str],
    rng: np.random.Generator,
) -> tuple[list[Tract], list[list[Tract]]]:
    """Evolve the descendants of an ancestor along a ladder-shaped tree.

    Parameters
    ----------
    first
        The ancestor.
    evolution
        Rates, and the source of new base ids.
    distances
        Substitutions per site between the reference and each relative, increasing.
    test
        Reference contigs of the test set; a training site is duplicated into the first of them.
    rng
        Source of randomness.

    Returns
    -------
    list of Tract, list of list of Tract
        The reference, and the relatives in the order of `distances`.
    """
    depth = np.concatenate([[0.0], distances / 2])
    lineage = first
    relatives: list[list[Tract]] = []
    for index in range(len(distances), 0, -1):
        leaf = _rearranged(lineage, evolution.sites, index, rng)
        # Branches differ in rate, so distances to the reference are approximate.
        leaf = evolution.branch(leaf, depth[index] * rng.uniform(0.85, 1.15), rng)
        relatives.append(leaf)
        if index > 1:
            lineage = _inverted_once(lineage, rng)
        else:
            lineage = _duplicated_into_test(lineage, evolution.sites, test, rng)
        lineage = evolution.branch(
            lineage, (depth[index] - depth[index - 1]) * rng.uniform(0.85, 1.15), rng
        )
    return lineage, relatives[::-1]


def _main(tracts: Sequence[Tract]) -> list[int]:
    """Return the indices of the main contigs: those with room for rearrangements."""
    largest = max(len(t) for t in tracts)
    return [index for index, t in enumerate(tracts) if len(t) > largest / 4]


def _inverted_once(tracts: list[Tract], rng: np.random.Generator) -> list[Tract]:
    result = list(tracts)
    index = int(rng.choice(_main(tracts)))
    start, end = random_segment(result[index], 300, len(result[index]) // 6, rng)
    result[index] = invert(result[index], start, end)
    return result


def _around_a_site(
    tract: Tract,
    wanted: npt.NDArray[np.bool_],
    shortest: int,
    longest: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Draw a segment with at least one of the `wanted` sites and both ends outside sites."""
    for _ in range(1000):
        start, end = random_segment(tract, shortest, longest, rng)
        held = tract.site[start:end]
        if wanted[held[held >= 0]].any():
            return start, end
    raise RuntimeError(f"no segment of {tract.name} holds a binding site")


def _duplicated_into_test(
    tracts: list[Tract], sites: Sites, test: list[str], rng: np.random.Generator
) -> list[Tract]:
    """Copy a site of the first motif and its surroundings from a training to a test contig."""
    result = list(tracts)
    goal = next(index for index, t in enumerate(tracts) if t.name == test[0])
    start, end = _around_a_site(result[0], sites.motif == 0, 800, 2500, rng)
    at = breakpoint_in(result[goal], rng, near_site=0)
    result[goal] = duplicate(result[0], start, end, result[goal], at)
    return result


def _rearranged(
    tracts: list[Tract], sites: Sites, number: int, rng: np.random.Generator
) -> list[Tract]:
    """Rearrange a leaf, so that it resembles an assembly of a related species."""
    result = list(tracts)
    main = _main(result)
    any_site = np.ones(len(sites), dtype=bool)
    for index in rng.choice(main, size=max(2, len(main) // 2)).tolist():
        longest = max(1000, len(result[index]) // 8)
        start, end = random_segment(result[index], 300, longest, rng)
        result[index] = invert(result[index], start, end)
    for index in rng.choice(main, size=3).tolist():
        # Short, so that a peak has bases on both strands.
        start, end = random_segment(result[index], 25, 150, rng, near_site=1.0)
        result[index] = invert(result[index], start, end)

    donor, taker = (int(i) for i in rng.choice(main, size=2, replace=False))
    start, end = random_segment(result[donor], 1000, len(result[donor]) // 8, rng)
    at = breakpoint_in(result[taker], rng)
    result[donor], result[taker] = move(result[donor], start, end, result[taker], at)

    donor, taker = (int(i) for i in rng.choice(main, size=2, replace=False))
    start, end = _around_a_site(result[donor], any_site, 500, 2500, rng)
    at = breakpoint_in(result[taker], rng, near_site=0)
    result[taker] = duplicate(result[donor], start, end, result[taker], at)

    lost = int(rng.choice(main))
    start, end = _around_a_site(result[lost], any_site, 500, 2000, rng)
    result[lost] = join(result[lost].name, [result[lost][:start], result[lost][end:]])

    for index in rng.choice(main, size=max(1, len(main) // 4), replace=False).tolist():
        whole = result[index]
        cut = breakpoint_in(whole, rng, near_site=1.0)
        result[index] = whole[:cut]
        result.append(replace(whole[cut:], name=f"{whole.name}b"))
    turned = [t.inverted() if rng.random() < 0.3 else t for t in result]
    if number == 1:
        return turned
    order = rng.permutation(len(turned)).tolist()
    return [
        replace(turned[index], name=f"scaffold_{place}") for place, index in enumerate(order, 1)
    ]
