"""How much a homologue counts in training: by what is known beforehand, or by a teacher.

Beforehand, by formulas that no publication prescribes:

- distance: a homologue of a genome at distance d (substitutions per site) weighs exp(−d / scale);
- identity: a homologue whose source interval aligned with the share i of identical bases weighs
  i ^ power. For short distances both fall alike: under Jukes and Cantor (1969) the expected
  identity is 1/4 + 3/4 · exp(−4/3 · d);
- normalised: divided by their mean, so that the homologues together count as without weights and
  the balance of the classes stays.

By a teacher: its probability (Phan, Brouard, Mourad 2024). With several outputs each label has a
weight of its own, as in a run of that output alone: the probability where the label is 1, and 1
where it is 0. But the positives of one output are only some of the rows and the teacher's
probabilities correspondingly small, so that positives of rare outputs would hardly count against
their negatives. They are therefore adjusted to the share of positives that a run of this output
alone has, 1 / (1 + ratio).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.project.training_section import Weighting
from ssldata.reading.known_labels import RowLabels
from ssldata.reading.mixture import Mixture, Segment
from ssldata.store.published_weights import read_published
from ssldata.store.run_weights import Arrays
from ssldata.store.store import HOMOLOGUES, Store
from sslmodels.fit.fit_options import Validation
from sslmodels.scores.calibration import Calibration, fit_calibration
from sslmodels.scores.score_rows import score, score_rows


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
    """Return identity ^ power of every row: 1 where all bases are identical.

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
    """Return the weights of homologues without a teacher; None: all are 1.

    Parameters
    ----------
    store
        The store.
    positives
        Segments of the mixture; those of the labelled genome have the weight 1.
    options
        Whether distance and identity count, and whether their product is normalised.
    distances
        Genome → substitutions per site, where ``distance_scale`` is set.
    published
        Name of published weights, which the product is multiplied by.

    Returns
    -------
    dict or None
        Group → float32 (rows,), or (rows, outputs) if the published weights have this shape; 1
        for rows that are not trained on as positives.

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
        given = known.get(segment.group)
        shape = (store.group(segment.group).rows, *(() if given is None else given.shape[1:]))
        values = np.ones(shape, np.float32)
        values[here] = factor if given is None else (given[here].T * factor).T
        arrays[segment.group] = values
    return arrays


def output_priors(mixture: Mixture, labels: RowLabels) -> NDArray[np.float64]:
    """Return the share of positives of each output among the known labels of an epoch, (outputs,).

    Negatives of a mixture are negatives of every output.
    """
    positive, known = np.zeros(len(labels)), np.full(len(labels), float(mixture.negative_rows))
    for segment in mixture.positives:
        rows = segment.rows(0, len(segment))
        positive += labels.of(segment.group, rows).sum(axis=0)
        known += labels.known(segment.group, rows).sum(axis=0)
    return positive / known


def at_prior(
    probabilities: NDArray[np.float32], *, prior: NDArray[np.float64], wanted: float
) -> NDArray[np.float32]:
    """Return the probabilities for another share of positives than that of the training rows.

    By Bayes' rule the odds change by the ratio of the prior odds (Elkan 2001, The foundations of
    cost-sensitive learning, theorem 2).

    Parameters
    ----------
    probabilities
        (rows, outputs), in [0, 1].
    prior
        (outputs,), share of positives in training, between 0 and 1.
    wanted
        The other share.
    """
    positive = probabilities * (wanted / prior)
    negative = (1 - probabilities.astype(np.float64)) * ((1 - wanted) / (1 - prior))
    return (positive / (positive + negative)).astype(np.float32)


@dataclass(frozen=True)
class Teacher:
    """A trained model whose probabilities weight the homologues.

    Attributes
    ----------
    model
        The model.
    store
        The store whose rows are weighted.
    labels
        Labels of the outputs of the model.
    trained_on
        Labelled rows that the model was fitted to last.
    ratio
        Negatives per positive of a run of one output.
    """

    model: Any
    store: Store
    labels: RowLabels
    trained_on: Mixture
    ratio: float

    @cached_property
    def _priors(self) -> NDArray[np.float64]:
        return output_priors(self.trained_on, self.labels)

    def _probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (rows, outputs) as probabilities of runs of one output each."""
        if len(self.labels) == 1:
            return scores
        return at_prior(scores, prior=self._priors, wanted=1 / (1 + self.ratio))

    def calibrations(
        self, validation: Validation, method: Literal["none", "temperature", "platt"]
    ) -> list[Calibration]:
        """Return a calibration of each output on the validation rows; empty for ``none``."""
        if method == "none":
            return []
        probabilities = self._probabilities(score(self.model, validation.codes))
        labels, known = validation.labels, validation.known
        rows = np.ones(labels.shape, bool) if known is None else known
        return [
            fit_calibration(probabilities[here, output], labels[here, output], method)
            for output, here in enumerate(rows.T)
        ]

    def weights(self, genomes: Sequence[str], calibrations: Sequence[Calibration] = ()) -> Arrays:
        """Return the weights of all rows of target genomes: probabilities of pseudo-positives.

        Parameters
        ----------
        genomes
            Target genomes.
        calibrations
            One per output, or empty.

        Returns
        -------
        dict
            Group → float32 (rows,), or (rows, outputs) for several outputs; 1 for rows that are
            not pseudo-positives, and for outputs whose label is 0.
        """
        arrays: Arrays = {}
        for genome in genomes:
            group = self.store.homologues(genome)
            start, stop = group.ranges["positive"]
            values = np.ones((group.rows, len(self.labels)), np.float32)
            if start < stop:
                scores = score_rows(
                    self.model, self.store, group=group.name, start=start, stop=stop
                )
                values[start:stop] = self._probabilities(scores)
            for output, calibrated in enumerate(calibrations):
                values[start:stop, output] = calibrated(values[start:stop, output])
            if len(self.labels) == 1:
                values = values[:, 0]
            else:
                values[self.labels.of(group.name, np.arange(group.rows)) == 0] = 1
            arrays[group.name] = values
        return arrays
