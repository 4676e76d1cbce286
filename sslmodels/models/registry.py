"""The builders of the architectures, by name, and the seeds they draw from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from sslmodels.models.catalogue import listed


class Seeds:
    """A stream of independent seeds drawn from one seed.

    Parameters
    ----------
    seed
        Non-negative integer; equal seeds give equal streams on every platform.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def next(self) -> int:
        """Return the next seed, 0 ≤ seed < 2³¹."""
        return int(self._rng.integers(2**31))

    def glorot(self) -> keras.initializers.Initializer:
        """Return a seeded Glorot-uniform initialiser (the Keras default)."""
        return keras.initializers.GlorotUniform(seed=self.next())


#: (one-hot input (B, L, 4), seeds, outputs, **options) → probabilities (B, outputs).
Builder = Callable[..., Any]

BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Make a function the builder of a model of :data:`sslmodels.models.catalogue.MODELS`."""
    listed(name)

    def add(builder: Builder) -> Builder:
        if name in BUILDERS:
            raise ValueError(f"the model name {name!r} is registered twice")
        BUILDERS[name] = builder
        return builder

    return add
