"""How much a homologue counts in training, from what is known before any training.

Formulas, all of them choices of this package that no publication prescribes:

- distance: a homologue of a genome at distance d (substitutions per site) weighs exp(−d / scale);
- identity: a homologue whose source interval aligned with the share i of identical bases weighs
  i ^ power. For short distances both fall alike: under Jukes and Cantor (1969) the expected
  identity is 1/4 + 3/4 · exp(−4/3 · d);
- normalised: divided by their mean, so that the homologues together count as without weights and
  the balance of the classes stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, StoreError
from ssldata.project.project_file import Project
from ssldata.project.training_section import Weighting
from ssldata.reading.mixture import Segment
from ssldata.store.published_weights import entry_of, read_published, weights_digests
from ssldata.store.store import HOMOLOGUES, Store
from sslmodels.runs.sampling_rates import known_distances

Arrays = dict[str, NDArray[np.float32]]


def distance_weight(distance: float, scale: float) -> float:
    """Return exp(−distance / scale): 1 at distance 0, 1/e at the scale.

    Raises
    ------
    ValueError
        A negative distance, or a scale that is not above 0.
    """
    if not (distance >= 0 and scale > 0):
        raise ValueError(f"distance {distance}, scale {scale}: expected ≥ 0 and > 0")
    return float(np.exp(-distance / scale))


def identity_weight(identity: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return identity ^ power of every row: 1 where all bases are the same.

    Raises
    ------
    ValueError
        An identity that is not in [0, 1], or a negative power.
    """
    if not (power >= 0 and ((identity >= 0) & (identity <= 1)).all()):
        raise ValueError("expected identities in [0, 1] and a power of 0 or more")
    return np.power(identity.astype(np.float64), power).astype(np.float32)


def normalised(weights: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return weights divided by their common mean, so that the mean is 1.

    Raises
    ------
    ConfigError
        All of them are 0.
    """
    rows = sum(len(values) for values in weights)
    total = float(sum(values.sum(dtype=np.float64) for values in weights))
    if rows and not total > 0:
        raise ConfigError(
            "training.weighting gives every homologue the weight 0; raise distance_scale or "
            "lower identity_power"
        )
    return [(values * (rows / total)).astype(np.float32) for values in weights]


def homologue_weights(
    store: Store,
    positives: Sequence[Segment],
    options: Weighting,
    *,
    distances: Mapping[str, float],
    published: str | None = None,
) -> Arrays | None:
    """Return the weights of the homologues that are trained on; None: all weigh 1.

    Parameters
    ----------
    store
        The store.
    positives
        Segments of the mixture; those of the labelled genome weigh 1.
    options
        What weighs: distance, identity, and whether their product is normalised.
    distances
        Of the genomes, where ``distance_scale`` is set.
    published
        Name of published weights, which are multiplied after that.

    Returns
    -------
    dict or None
        Group → float32 (rows,), or (rows, outputs) of weights published so; rows that are not
        trained on as positives weigh 1.

    Raises
    ------
    StoreError
        The published weights cannot be used.
    """
    if options.distance_scale is None and not options.identity_power and published is None:
        return None
    used = [segment for segment in positives if segment.group.startswith(f"{HOMOLOGUES}/")]
    rows = [segment.rows(0, len(segment)) for segment in used]
    factors = []
    for segment, here in zip(used, rows, strict=True):
        factor = np.ones(len(here), np.float32)
        if options.distance_scale is not None:
            distance = distances[segment.group.removeprefix(f"{HOMOLOGUES}/")]
            factor *= np.float32(distance_weight(distance, options.distance_scale))
        if options.identity_power:
            identity = store.group(segment.group).column("identity")[here]
            factor *= identity_weight(identity, options.identity_power)
        factors.append(factor)
    if options.normalise:
        factors = normalised(factors)
    arrays: Arrays = {}
    known = {} if published is None else read_published(store, published, [s.group for s in used])
    for segment, here, factor in zip(used, rows, factors, strict=True):
        taught = known.get(segment.group)
        shape = (store.group(segment.group).rows, *(() if taught is None else taught.shape[1:]))
        values = np.ones(shape, np.float32)
        values[here] = factor if taught is None else (taught[here].T * factor).T
        arrays[segment.group] = values
    return arrays


def weighting_identity(
    project: Project, store: Store, genomes: Sequence[str], *, outputs: Sequence[str]
) -> dict[str, Any]:
    """Return what a run depends on in ``training.weighting`` and ``training.weights``.

    Nothing where both are at their defaults. Published weights count by their values, not by
    their name.

    Parameters
    ----------
    project, store, genomes
        The project, its store, and the target genomes used.
    outputs
        Experiments that the run predicts.

    Raises
    ------
    ConfigError, StoreError
        A distance is missing; the published weights cannot be used, or are of other outputs.
    """
    options, name = project.training.weighting, project.training.weights
    found: dict[str, Any] = {}
    if options.distance_scale is not None or options.identity_power:
        found["weighting"] = options.model_dump(mode="json")
    if options.distance_scale is not None:
        found["weighting"]["distances"] = genome_distances(project, genomes)
    if name is not None:
        groups = [f"{HOMOLOGUES}/{genome}" for genome in genomes]
        found["weights"] = weights_digests(store, name, groups)
        # Who publishes weights that no run made need not say of which experiments they are.
        taught = entry_of(store, name).get("outputs", list(outputs))
        if taught != list(outputs):
            raise StoreError(
                f"{store.location}: the weights {name!r} are of a teacher of {', '.join(taught)}, "
                f"this run predicts {', '.join(outputs)}; set training.weights to others, or null"
            )
    return found


def genome_distances(project: Project, genomes: Sequence[str]) -> dict[str, float]:
    """Return the distances that weigh; none where they do not.

    Raises
    ------
    ConfigError
        A genome has no distance.
    """
    if project.training.weighting.distance_scale is None:
        return {}
    return known_distances(project, genomes, "training.weighting.distance_scale is set")
