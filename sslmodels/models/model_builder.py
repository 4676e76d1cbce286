"""Builds models by name, and loads saved ones.

The architectures are in :mod:`sslmodels.models.architectures`, whose docstring shows how to add
one. A user's own function needs no registration: ``my_package.module:function`` names it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from ssldata.base.errors import ConfigError, MissingInputError
from sslmodels.dnabert2 import bert_model  # noqa: F401 - a saved DNABERT-2 needs its classes
from sslmodels.layers.plain_model import from_plain, is_plain
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel
from sslmodels.models import (
    architectures,  # noqa: F401 - they register their builders
    own_model,
    transfer_architectures,  # noqa: F401 - the same
)
from sslmodels.models.catalogue import DNABERT2, MODEL_FILE, Listed, listed
from sslmodels.models.registry import BUILDERS, Builder, Seeds
from sslmodels.models.saved_model import check_saved_model, damaged, foreign


@dataclass(frozen=True, kw_only=True)
class Entry(Listed):
    """One model: its entry in the catalogue, and what builds it."""

    build: Builder

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that the builder takes."""
        return tuple(list(inspect.signature(self.build).parameters)[3:])


def entry(name: str) -> Entry:
    """Return the entry of a model.

    Raises
    ------
    ConfigError
        No such model, or a user's own that cannot be imported.
    """
    if not own_model.is_own(name):
        return Entry(**asdict(listed(name)), build=BUILDERS[name])
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
    """Build a model with new weights.

    Parameters
    ----------
    name
        A model of ``crosslabel model list``, or a function of your own as
        ``my_package.module:function``. DNABERT-2 is made of files: see
        :func:`sslmodels.dnabert2.pretrained.build_dnabert2`.
    length
        Bases of the input.
    outputs
        Number of labels predicted; each has its own sigmoid.
    seed
        Seed of the initial weights and of dropout: equal arguments give equal weights. Keras'
        global random state is neither read nor changed.
    both_strands
        Outside training, average the probabilities of a sequence and of its reverse complement.
    options
        Options of the architecture (:attr:`Entry.options`): ``dilations``, ``padding``, ``head``, …

    Returns
    -------
    SequenceModel
        Reads base codes, integer (B, length) with A C G T N = 0 1 2 3 4, or one-hot
        (B, length, 4); returns probabilities, float32 (B, outputs). It is not compiled.

    Raises
    ------
    ConfigError
        No such model or option, an input too short for the model, or a function of your own that
        failed or did not return a tensor (B, outputs).

    Examples
    --------
    >>> model = build_model("deep-cnn-64", length=200, seed=0, dilations=[2, 4, 8])
    >>> model.compile(optimizer="adam", loss="binary_crossentropy")
    """
    found = entry(name)
    if found.name == DNABERT2:
        raise ConfigError(
            f"model {name!r} is built from files: use sslmodels.dnabert2.pretrained.build_dnabert2"
        )
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
    """Call a user's function; whatever fails in it becomes an error of one line."""
    wanted = f"function(sequence, seeds, outputs) → Keras tensor (batch, {outputs})"
    try:
        output = found.build(sequence, seeds, outputs, **options)
    except Exception as exc:  # the user's code may raise anything
        raise ConfigError(
            f"model {found.name!r}: failed with {type(exc).__name__}: {exc}; expected {wanted}"
        ) from exc
    if not keras.backend.is_keras_tensor(output) or tuple(output.shape) != (None, outputs):
        shape = getattr(output, "shape", type(output).__name__)
        raise ConfigError(f"model {found.name!r}: returned {shape}, expected {wanted}")
    return output


def load_model(path: str | Path) -> keras.Model:
    """Load a trained model, with its preprocessing: it reads base codes or tokens by itself.

    Parameters
    ----------
    path
        A ``.keras`` file, or the folder of a run, of which the file ``model.keras`` is taken.

    Returns
    -------
    keras.Model
        A :class:`~sslmodels.layers.sequence_model.SequenceModel`, which reads what
        :func:`build_model` describes, or a
        :class:`~sslmodels.dnabert2.bert_model.DnabertClassifier`, which reads what its ``encoder``
        makes of base codes. It is not compiled.

    Raises
    ------
    MissingInputError
        No such file, or the run has no model yet.
    InputError
        Not a ``.keras`` file of ours, damaged, or not the one that its run saved.

    Examples
    --------
    >>> model = load_model("runs/reb1/deep-cnn-64/ssl/seed-0")
    >>> probabilities = model.predict(ssldata.encode("ACGT" * 50)[None])
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise MissingInputError(f"{path}: no such model; train one with `crosslabel train`")
    check_saved_model(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as exc:  # of any kind, for a config or weights that were changed
        raise damaged(path, exc) from exc
    if is_plain(model):
        return from_plain(model)
    kind = type(model).__name__
    if kind == "Functional":
        raise foreign(path, kind)
    return model  # a DNABERT-2, or the SequenceModel itself, which earlier releases wrote
