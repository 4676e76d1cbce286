"""Architectures, one builder each, in a registry.

To add a model, write one function and decorate it::

    @register("my-model", description="what it is")
    def _my_model(sequence, seeds, outputs):
        hidden = keras.layers.Conv1D(32, 12, kernel_initializer=seeds.glorot())(sequence)
        ...
        return keras.layers.Dense(outputs, activation="sigmoid", ...)(hidden)

`sequence` is the one-hot input (B, L, 4). Every random choice takes its seed from `seeds`, so a
model is a function of (name, length, outputs, seed) and of no global state.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from ssldata.errors import ConfigError, MissingInputError
from sslmodels.layers import CHANNELS, SequenceModel

#: What a model reads of a stored row: the bin, or the bin and its context.
Reads = Literal["bin", "context"]


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


#: (one-hot input (B, L, 4), seeds, outputs) → probabilities (B, outputs).
Builder = Callable[[Any, Seeds, int], Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One architecture of the registry."""

    name: str
    description: str
    build: Builder
    reads: Reads
    min_length: int


_REGISTRY: dict[str, Entry] = {}


def register(
    name: str, *, description: str, reads: Reads = "bin", min_length: int = 1
) -> Callable[[Builder], Builder]:
    """Add a builder to the registry.

    Parameters
    ----------
    name
        What the project file calls the model.
    description
        One line.
    reads
        ``bin``: the central ``windows.size`` bases of a row; ``context``: all stored bases.
    min_length
        Shortest input the layers allow, in bases.
    """

    def add(builder: Builder) -> Builder:
        if name in _REGISTRY:
            raise ValueError(f"the model name {name!r} is registered twice")
        _REGISTRY[name] = Entry(
            name=name, description=description, build=builder, reads=reads, min_length=min_length
        )
        return builder

    return add


def model_names() -> tuple[str, ...]:
    """Return the registered names, sorted."""
    return tuple(sorted(_REGISTRY))


def entry(name: str) -> Entry:
    """Return one entry of the registry.

    Raises
    ------
    ConfigError
        No such model.
    """
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, _REGISTRY, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no model {name!r}; there are {', '.join(model_names())}{hint}")
    return _REGISTRY[name]


def input_length(name: str, *, size: int, stored: int) -> int:
    """Return how many bases of a stored row a model reads.

    Parameters
    ----------
    name
        A registered model.
    size
        Width of the bin (``windows.size``).
    stored
        Bases stored per row (``windows.context``, or the bin).
    """
    return size if entry(name).reads == "bin" else stored


def build_model(name: str, *, length: int, outputs: int = 1, seed: int) -> SequenceModel:
    """Build an architecture with new weights.

    Parameters
    ----------
    name
        A registered model.
    length
        Bases of the input.
    outputs
        Labels predicted; each has its own sigmoid.
    seed
        Seed of the initial weights and of dropout. Global random state is neither read nor
        changed.

    Returns
    -------
    SequenceModel
        Reads base codes (B, length) or one-hot (B, length, 4); gives probabilities (B, outputs).

    Raises
    ------
    ConfigError
        No such model, or the input is too short for it.
    """
    found = entry(name)
    if length < found.min_length:
        raise ConfigError(
            f"model {name!r} needs at least {found.min_length} bases, found {length}; "
            "raise windows.size (or windows.context) or choose another model"
        )
    sequence = keras.Input((length, CHANNELS), name="one_hot")
    body = keras.Model(sequence, found.build(sequence, Seeds(seed), outputs), name="body")
    return SequenceModel(body, name=name.replace("-", "_"))


def load_model(path: Path) -> SequenceModel:
    """Load a ``.keras`` file of this package.

    Raises
    ------
    MissingInputError
        No such file.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such model; train one with `crosslabel train`")
    return keras.saving.load_model(path, compile=False)


class _Layers:
    """Seeded, named layers: names from a global counter would make equal models unequal files."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    def convolution(self, inputs: Any, *, filters: int, width: int, name: str = "motifs") -> Any:
        return keras.layers.Conv1D(
            filters, width, activation="relu", kernel_initializer=self._seeds.glorot(), name=name
        )(inputs)

    def dense(self, inputs: Any, *, units: int, name: str, activation: str = "relu") -> Any:
        return keras.layers.Dense(
            units, activation=activation, kernel_initializer=self._seeds.glorot(), name=name
        )(inputs)

    def dropout(self, inputs: Any, *, rate: float, name: str) -> Any:
        return keras.layers.Dropout(rate, seed=self._seeds.next(), name=name)(inputs)

    def probabilities(self, inputs: Any, *, outputs: int) -> Any:
        return self.dense(inputs, units=outputs, activation="sigmoid", name="probability")


def _shallow(sequence: Any, seeds: Seeds, outputs: int, *, filters: int) -> Any:
    """Convolution → maximum over positions → two dense layers: the paper's shallow CNN."""
    make = _Layers(seeds)
    hidden = make.convolution(sequence, filters=filters, width=24)
    hidden = keras.layers.GlobalMaxPooling1D(name="best_match")(hidden)
    hidden = make.dropout(hidden, rate=0.2, name="dropout_1")
    hidden = make.dense(hidden, units=10, name="hidden")
    hidden = make.dropout(hidden, rate=0.2, name="dropout_2")
    return make.probabilities(hidden, outputs=outputs)


@register("cnn-7k", description="one convolution, 64 filters of 24 bases", min_length=24)
def _cnn_7k(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    return _shallow(sequence, seeds, outputs, filters=64)


@register("cnn-27k", description="one convolution, 256 filters of 24 bases", min_length=24)
def _cnn_27k(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    return _shallow(sequence, seeds, outputs, filters=256)


@register("deepbind", description="DeepBind: one convolution, 16 filters", min_length=24)
def _deepbind(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    make = _Layers(seeds)
    hidden = make.convolution(sequence, filters=16, width=24)
    hidden = keras.layers.GlobalMaxPooling1D(name="best_match")(hidden)
    hidden = make.dense(hidden, units=32, name="hidden")
    hidden = make.dropout(hidden, rate=0.5, name="dropout")
    return make.probabilities(hidden, outputs=outputs)
