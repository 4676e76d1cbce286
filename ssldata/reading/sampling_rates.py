"""How often rows are used: ``training.sampling`` as options of a mixture. No fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssldata.base.errors import ConfigError
from ssldata.project.project_file import Project
from ssldata.project.training_section import Sampling
from ssldata.reading.mixture import Segment, rates
from ssldata.reading.read_window import loci_of
from ssldata.store.store import Store

#: All rows equally often.
PLAIN = Sampling()


def shares(
    sizes: Sequence[int], sampling: Sampling, distances: Sequence[float] | None
) -> tuple[float, ...]:
    """Return the relative rate at which all rows of each segment together are used."""
    found = rates(sizes, by=sampling.genomes, distances=distances, halving=sampling.halving)
    return tuple(float(size) for size in sizes) if found is None else found


def positive_options(
    store: Store,
    positives: Sequence[Segment],
    sampling: Sampling,
    distances: Sequence[float] | None,
    *,
    first_share: float = 1.0,
) -> dict[str, Any]:
    """Return the options of a mixture that set how often positives are used.

    Parameters
    ----------
    store, positives
        The store and the segments of its rows.
    sampling
        ``training.sampling``.
    distances
        Substitutions per site of each segment, for ``genomes: distance``.
    first_share
        With one row per locus, how much more often that of the first segment is drawn.

    Returns
    -------
    dict
        Keyword arguments of :class:`ssldata.reading.mixture.Mixture`.
    """
    if sampling.one_per_locus:
        # Among the homologues of a locus, a share is that of one row, not of a whole genome.
        own = shares([1] * len(positives), sampling, distances)
        loci = tuple(locus.astype(np.int64) for locus in loci_of(store, positives))
        return {"loci": loci, "positive_shares": (own[0] * first_share, *own[1:])}
    if sampling.genomes == "rows":
        return {}
    sizes = [len(segment) for segment in positives]
    return {"positive_shares": shares(sizes, sampling, distances)}


def distances_used(
    project: Project, genomes: Sequence[str], sampling: Sampling
) -> list[float] | None:
    """Return the distance of every genome if rates depend on it, else None.

    Raises
    ------
    ConfigError
        The store holds a genome whose distance the project does not give.
    """
    if sampling.genomes != "distance":
        return None
    why = "training.sampling.genomes is 'distance'"
    return list(_known_distances(project, genomes, why).values())


def weighting_distances(project: Project, genomes: Sequence[str]) -> dict[str, float]:
    """Return the distance of every genome if weights depend on it, else an empty mapping.

    Raises
    ------
    ConfigError
        The store holds a genome whose distance the project does not give.
    """
    if project.training.weighting.distance_scale is None:
        return {}
    return _known_distances(project, genomes, "training.weighting.distance_scale is set")


def _known_distances(project: Project, genomes: Sequence[str], why: str) -> dict[str, float]:
    known = {genome.name: genome.distance for genome in project.genomes}
    found = {name: known.get(name) for name in genomes}
    missing = [name for name, distance in found.items() if distance is None]
    if missing:
        raise ConfigError(
            f"{why}, but the project gives no distance of {', '.join(missing)}; "
            "add it under 'genomes' or take the genome out of the store"
        )
    return {name: distance for name, distance in found.items() if distance is not None}
