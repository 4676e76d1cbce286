"""The registry of models: names to builders, and saved models.

The architectures are in :mod:`sslmodels.models.architectures`, whose docstring says how to add one.
A user's own function needs no registration: ``my_package.module:function`` names it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from ssldata.base.errors import ConfigError, MissingInputError
from sslmodels.dnabert2 import bert_model  # noqa: F401 - a saved DNABERT-2 needs its layers
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel
from sslmodels.models import (
    architectures,  # noqa: F401 - they register their builders
    own_model,
)
from sslmodels.models.catalogue import DNABERT2, Listed, input_length, listed, model_names
from sslmodels.models.registry import BUILDERS, Builder, Seeds, register

__all__ = [
    "DNABERT2",
    "Builder",
    "Entry",
    "Seeds",
    "build_model",
    "entry",
    "input_length",
    "load_model",
    "model_names",
    "register",
]


@dataclass(frozen=True, kw_only=True)
class Entry(Listed):
    """One architecture of the registry: a line of the catalogue, and what builds it."""

    build: Builder

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options the builder takes."""
        return tuple(list(inspect.signature(self.build).parameters)[3:])


def entry(name: str) -> Entry:
    """Return one entry of the registry.

    Raises
    ------
    ConfigError
        No such model, or a user's own that cannot be imported.
    """
    if own_model.is_own(name):
        return _own_entry(name)
    found = listed(name)
    return Entry(**asdict(found), build=BUILDERS[name])


def _own_entry(name: str) -> Entry:
    function = own_model.load_function(name)
    summary = (inspect.getdoc(function) or "a model of your own").splitlines()[0]
    return Entry(
        name=name,
        description=summary,
        build=function,
        reads=own_model.reads(name),
        min_length=int(getattr(function, "min_length", 1)),
    )


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
        See :class:`~sslmodels.layers.sequence_model.SequenceModel`.
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
        raise ConfigError(f"model {name!r} is built from files: see sslmodels.dnabert2.pretrained")
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
        output = _own_output(found, sequence, Seeds(seed), outputs, options)
    else:
        output = found.build(sequence, Seeds(seed), outputs, **options)
    body = keras.Model(sequence, output, name="body")
    plain = re.sub(r"\W", "_", name)
    return SequenceModel(body, both_strands=both_strands, name=plain)


def _own_output(
    found: Entry, sequence: Any, seeds: Seeds, outputs: int, options: dict[str, Any]
) -> Any:
    """Call a user's function; whatever goes wrong in it is one line."""
    wanted = f"function(sequence, seeds, outputs) → Keras tensor (batch, {outputs})"
    try:
        output = found.build(sequence, seeds, outputs, **options)
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
    return keras.saving.load_model(path, compile=False)
