"""A committee: what several members say of a bin, and the score made of it.

Members score sequences (a network, a motif, gapped k-mers) or how the place is conserved
(:mod:`ssldata.conservation.profile`). The score of a sequence member for a bin is averaged over
the bin and its homologues (:func:`mean_over_groups`): what is bound tends to stay bound, and what
only looks like a site does not stay. Members are brought to one scale by their spread on
validation bins and added, each weighted by how well it ranks bins that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

Floats = NDArray[np.float64]

#: Share of a bin's own score in the mean over homologues; the groups of genomes share the rest.
OWN_SHARE = 0.5
#: Fewest distinct scores of a member that is not left out as saying nothing.
_FEWEST_SCORES = 2


def mean_over_groups(
    own: Floats,
    homologues: Sequence[tuple[int, NDArray[np.int64], Floats]],
    groups: Sequence[Sequence[int]],
) -> Floats:
    """Return scores averaged over bins and their homologues.

    The bin counts one half. The other half is shared equally by the groups of genomes in which it
    has a homologue, and within a group by the genomes: ten strains of one species say no more
    than one. Without any homologue the bin counts alone.

    Parameters
    ----------
    own
        (n,), scores of the bins themselves.
    homologues
        Number of a genome, the bins with a homologue there, and the scores of these.
    groups
        Numbers of genomes; genomes in none of them are ignored.
    """
    group_of = {genome: number for number, group in enumerate(groups) for genome in group}
    total = np.zeros((len(groups), len(own)))
    count = np.zeros((len(groups), len(own)), np.int64)
    for genome, rows, scores in homologues:
        group = group_of.get(genome)
        if group is not None:
            total[group, rows] += scores
            count[group, rows] += 1
    present = count > 0
    means = np.divide(total, count, out=np.zeros_like(total), where=present)
    found = present.sum(axis=0)
    others = means.sum(axis=0) / np.maximum(found, 1)
    return np.where(found > 0, OWN_SHARE * own + (1 - OWN_SHARE) * others, own)


@dataclass(frozen=True)
class Combination:
    """How scores of members become one: a weighted sum, and the log-odds it stands for.

    Attributes
    ----------
    members
        Names of the members.
    spread
        Standard deviation of each member's scores on validation bins.
    weight
        Of each member, in units of its spread; they sum to 1. 0: it says nothing.
    slope, intercept
        log-odds = intercept + slope × weighted sum.
    """

    members: tuple[str, ...]
    spread: tuple[float, ...]
    weight: tuple[float, ...]
    slope: float
    intercept: float

    def log_odds(self, scores: Mapping[str, Floats]) -> Floats:
        """Return the log-odds of bins from the scores of every member, (n,) each."""
        return self.intercept + self.slope * self._sum(scores)

    def _sum(self, scores: Mapping[str, Floats]) -> Floats:
        parts = zip(self.members, self.spread, self.weight, strict=True)
        return sum(
            (weight / spread * scores[name] for name, spread, weight in parts if weight > 0),
            start=np.zeros(len(scores[self.members[0]])),
        )

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Floats],
        labels: NDArray[Any],
        worth: Mapping[str, float],
    ) -> Self:
        """Return the combination for validation bins.

        Parameters
        ----------
        scores
            Of every member for every validation bin, (n,).
        labels
            1: positive, (n,).
        worth
            Weight of each member before they are made to sum to 1 (:func:`worth_of`).
        """
        members = tuple(scores)
        spread, weight = [], []
        for name in members:
            values = scores[name]
            says = len(np.unique(values)) >= _FEWEST_SCORES
            spread.append(float(values.std()) if says else 1.0)
            weight.append(max(0.0, float(worth[name])) if says else 0.0)
        total = sum(weight)
        # If no member ranks validation bins better than chance, none is preferred.
        shares = [w / total for w in weight] if total else [1 / len(members)] * len(members)
        made = cls(members, tuple(spread), tuple(shares), 1.0, 0.0)
        slope, intercept = _platt(made._sum(scores), labels)
        return cls(members, made.spread, made.weight, slope, intercept)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "members": list(self.members),
            "spread": list(self.spread),
            "weight": list(self.weight),
            "slope": self.slope,
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the combination that :meth:`as_dict` was called of."""
        return cls(
            tuple(str(name) for name in value["members"]),
            tuple(float(number) for number in value["spread"]),
            tuple(float(number) for number in value["weight"]),
            float(value["slope"]),
            float(value["intercept"]),
        )


def worth_of(scores: Floats, labels: NDArray[Any]) -> float:
    """Return the log of how many times better than chance scores rank bins, at least 0.

    The area under the precision-recall curve is divided by the prevalence, which is the area of
    a random ranking: a member that ranks no better is worth nothing.

    Parameters
    ----------
    scores, labels
        Of bins that the member was not fitted to, (n,); both classes.
    """
    aupr = float(average_precision_score(labels, scores))
    return max(0.0, float(np.log(aupr / np.mean(labels))))


def _platt(values: Floats, labels: NDArray[Any]) -> tuple[float, float]:
    """Return slope and intercept of the log-odds of the labels (Platt 1999, smoothed targets)."""
    # Newton's method in two parameters; the values have about unit spread.
    positives, total = float(np.sum(labels)), len(labels)
    high, low = (positives + 1) / (positives + 2), 1 / (total - positives + 2)
    target = np.where(np.asarray(labels) == 1, high, low)
    design = np.stack([values, np.ones(total)], axis=1)
    weights = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -35, 35)))
        gradient = design.T @ (p - target) + np.array([1e-6 * weights[0], 0.0])
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag([1e-6, 1e-9])
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return max(float(weights[0]), 1e-6), float(weights[1])
