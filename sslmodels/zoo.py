"""The registry of models: names to builders, and saved models.

The architectures are in :mod:`sslmodels.architectures`, whose docstring says how to add one. A
user's own function needs no registration: ``my_package.module:function`` names it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from ssldata.errors import ConfigError, MissingInputError
from sslmodels import own_model
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


#: (one-hot input (B, L, 4), seeds, outputs, **options) → probabilities (B, outputs).
Builder = Callable[..., Any]

#: Reads tokens; built by :mod:`sslmodels.dnabert2_pretrained` with options of the project file.
DNABERT2 = "dnabert2"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One architecture of the registry."""

    name: str
    description: str
    build: Builder
    reads: Reads
    min_length: int
    parameters: int | None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options the builder takes."""
        return tuple(list(inspect.signature(self.build).parameters)[3:])


_REGISTRY: dict[str, Entry] = {}


def register(
    name: str,
    *,
    description: str,
    reads: Reads = "bin",
    min_length: int = 1,
    parameters: int | None = None,
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
    parameters
        With one output; None: it depends on the options or files.
    """

    def add(builder: Builder) -> Builder:
        if name in _REGISTRY:
            raise ValueError(f"the model name {name!r} is registered twice")
        _REGISTRY[name] = Entry(
            name=name,
            description=description,
            build=builder,
            reads=reads,
            min_length=min_length,
            parameters=parameters,
        )
        return builder

    return add


def _registry() -> dict[str, Entry]:
    """Return the registry, the package's own architectures in it."""
    # They import this module to register themselves.
    importlib.import_module("sslmodels.architectures")
    return _REGISTRY


def model_names() -> tuple[str, ...]:
    """Return the registered names, sorted."""
    return tuple(sorted(_registry()))


def entry(name: str) -> Entry:
    """Return one entry of the registry.

    Raises
    ------
    ConfigError
        No such model, or a user's own that cannot be imported.
    """
    if own_model.is_own(name):
        return _own_entry(name)
    known = _registry()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"no model {name!r}; there are {', '.join(model_names())}{hint} (a model of your own "
            "is named my_package.module:function)"
        )
    return known[name]


def _own_entry(name: str) -> Entry:
    function = own_model.load_function(name)
    summary = (inspect.getdoc(function) or "a model of your own").splitlines()[0]
    reads: Reads = getattr(function, "reads", "bin")
    if reads not in ("bin", "context"):
        raise ConfigError(f"model {name!r}: its attribute 'reads' is {reads!r}; bin or context")
    return Entry(
        name=name,
        description=summary,
        build=function,
        reads=reads,
        min_length=int(getattr(function, "min_length", 1)),
        parameters=None,
    )


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


def build_model(
    name: str,
    *,
    length: int,
    outputs: int = 1,
    seed: int,
    both_strands: bool = False,
    **options: Any,
) -> SequenceModel:
    """Build an architecture with new weights.

    Parameters
    ----------
    name
        A registered model, or a user's own as ``my_package.module:function``.
    length
        Bases of the input.
    outputs
        Labels predicted; each has its own sigmoid.
    seed
        Seed of the initial weights and of dropout. Global random state is neither read nor
        changed.
    both_strands
        See :class:`~sslmodels.layers.SequenceModel`.
    options
        Of the architecture (see :attr:`Entry.options`): ``dilations``, ``padding``, ``head``, …

    Returns
    -------
    SequenceModel
        Reads base codes (B, length) or one-hot (B, length, 4); gives probabilities (B, outputs).

    Raises
    ------
    ConfigError
        No such model or option, the input is too short for it, or a user's own function failed
        or gave something else than (B, outputs).
    """
    found = entry(name)
    if found.name == DNABERT2:
        raise ConfigError(f"model {name!r} is built from files: see sslmodels.dnabert2_pretrained")
    unknown = [key for key in options if key not in found.options]
    if unknown:
        raise ConfigError(
            f"model {name!r} has no option {unknown[0]!r}; "
            f"there are {', '.join(found.options) or 'none'}"
        )
    if length < found.min_length:
        raise ConfigError(
            f"model {name!r} needs at least {found.min_length} bases, found {length}; "
            "raise windows.size (or windows.context) or choose another model"
        )
    sequence = keras.Input((length, CHANNELS), name="one_hot")
    if own_model.is_own(name):
        output = _own_output(found, sequence, Seeds(seed), outputs)
    else:
        output = found.build(sequence, Seeds(seed), outputs, **options)
    body = keras.Model(sequence, output, name="body")
    plain = re.sub(r"\W", "_", name)
    return SequenceModel(body, both_strands=both_strands, name=plain)


def _own_output(found: Entry, sequence: Any, seeds: Seeds, outputs: int) -> Any:
    """Call a user's function; whatever goes wrong in it is one line."""
    wanted = f"function(sequence, seeds, outputs) → Keras tensor (batch, {outputs})"
    try:
        output = found.build(sequence, seeds, outputs)
    except Exception as exc:  # the user's code may fail in any way
        raise ConfigError(
            f"model {found.name!r}: failed with {type(exc).__name__}: {exc}; expected {wanted}"
        ) from exc
    if not keras.backend.is_keras_tensor(output) or tuple(output.shape) != (None, outputs):
        shape = getattr(output, "shape", type(output).__name__)
        raise ConfigError(f"model {found.name!r}: gave {shape}, expected {wanted}")
    return output


def load_model(path: Path) -> SequenceModel:
    """Load a ``.keras`` file of this package.

    Raises
    ------
    MissingInputError
        No such file.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such model; train one with `crosslabel train`")
    # The layers of a saved DNABERT-2 are found by name once they are imported.
    importlib.import_module("sslmodels.dnabert2")
    return keras.saving.load_model(path, compile=False)
