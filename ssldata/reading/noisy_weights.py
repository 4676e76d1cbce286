"""Weights of rows as training uses them: published or computed, with seeded noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import uniform_rows
from ssldata.store.published_weights import read_published
from ssldata.store.store import Store


@dataclass(frozen=True, eq=False)
class Weights:
    """Confidence weights of rows, and the noise added to them.

    Attributes
    ----------
    arrays
        Group → float32 (rows of the group,), or (rows, outputs) for a weight per output. Rows of
        other groups have weight 1.
    noise_sd
        Standard deviation of Gaussian noise, mean 0.
    clip
        Clip noisy weights to [0, 1].
    redraw
        Redraw the noise every epoch.
    on_negatives
        Add noise where the label is 0 as well.
    seed
        Of the noise.
    """

    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    noise_sd: float = 0.0
    clip: bool = True
    redraw: bool = True
    on_negatives: bool = False
    seed: int = 0

    @classmethod
    def published(
        cls, store: Store, name: str, groups: Sequence[str] | None = None, **options: Any
    ) -> Weights:
        """Return the weights published in a store under `name`.

        Parameters
        ----------
        store, name, groups
            As :func:`ssldata.store.published_weights.read_published`.
        options
            The other attributes.

        Raises
        ------
        StoreError
            There are none, they do not cover all of `groups`, or belong to other rows.
        """
        return cls(arrays=read_published(store, name, groups), **options)

    def of(
        self, group: str, rows: NDArray[np.int64], label: NDArray[Any], epoch: int
    ) -> NDArray[np.float32]:
        """Return the weights of rows in one epoch.

        Parameters
        ----------
        group, rows
            Group, and int64 row numbers (n,).
        label
            (n,), or (n, outputs) for weights per output; negatives are 0.
        epoch
            0, 1, …

        Returns
        -------
        float32, of the shape of `label`
            The noise of a row is a pure function of (seed, epoch, group, row), and of the output.

        Raises
        ------
        ConfigError
            There are weights per output, and labels of another number of outputs.
        """
        values = self.arrays.get(group)
        if values is not None and values.ndim == 2 and values.shape[1:] != label.shape[1:]:
            raise ConfigError(
                f"weights of {group}: {values.shape[1]} per row for labels {label.shape}; weights "
                "per output need a reader of as many labels with 'weigh_outputs'"
            )
        if label.ndim == 1:
            return self._noisy(group, rows, values, label, epoch)
        weights = []
        for output in range(label.shape[1]):
            own = values if values is None or values.ndim == 1 else values[:, output]
            weights.append(self._noisy(group, rows, own, label[:, output], epoch, output))
        return np.stack(weights, axis=1)

    def _noisy(
        self,
        group: str,
        rows: NDArray[np.int64],
        values: NDArray[np.float32] | None,
        label: NDArray[Any],
        epoch: int,
        *output: int,
    ) -> NDArray[np.float32]:
        """Return the weights (n,) of one output; `output` is part of the key of its noise."""
        weight = np.ones(len(rows), np.float32) if values is None else values[rows]
        noisy = np.ones(len(rows), bool) if self.on_negatives else label > 0
        if not self.noise_sd or not noisy.any() or (values is None and not self.on_negatives):
            return weight.astype(np.float32)
        turn = epoch if self.redraw else 0
        drawn = ndtri(uniform_rows(rows, "noise", self.seed, turn, group, *output))
        result = np.where(noisy, weight + self.noise_sd * drawn, weight)
        return (np.clip(result, 0, 1) if self.clip else result).astype(np.float32)
