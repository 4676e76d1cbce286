"""The models: what they read and how large they are. No Keras, which takes seconds to import."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ssldata.base.errors import ConfigError
from sslmodels.models import own_model

#: Name of the file, in the folder of a run, that holds the trained model.
MODEL_FILE = "model.keras"
#: The other members of a committee, in the folder of its run.
COMMITTEE_FILE = "committee.npz"

#: What a model reads of a stored row: the bin, or the bin and its context.
Reads = Literal["bin", "context"]

#: Reads tokens; built by :mod:`sslmodels.dnabert2.pretrained`, with options of the project file.
DNABERT2 = "dnabert2"

#: Begins with the trunk of Sei, whose weights are a file of the user: ``training.sei``.
FSEI = "fsei"

_PUBLISHED = (
    "batches, epochs, patience and rate as published (Daoud & Ben-Hur 2025); its cosine schedule, "
    "warm-up and weight decay replaced by a rate that is constant"
)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One model.

    Attributes
    ----------
    name
        As in the project file.
    description
        One line.
    reads
        ``bin``: the central ``windows.size`` bases of a row; ``context``: all stored bases.
    min_length
        Shortest input the layers allow, in bases.
    parameters
        Number of parameters with one output; None if it depends on options or files.
    fitted_with
        Its own defaults for settings of :mod:`sslmodels.models.model_settings`.
    fitted_as
        Where these come from.
    """

    name: str
    description: str
    reads: Reads = "bin"
    min_length: int = 1
    parameters: int | None = None
    fitted_with: Mapping[str, Any] = field(default_factory=dict)
    fitted_as: str = ""


MODELS = {
    model.name: model
    for model in (
        Listed(
            name="cnn-7k",
            description="one convolution, 64 filters of 24 bases",
            min_length=24,
            parameters=6_869,
        ),
        Listed(
            name="cnn-27k",
            description="one convolution, 256 filters of 24 bases",
            min_length=24,
            parameters=27_413,
        ),
        Listed(
            name="deep-cnn-64",
            description="64 filters of 24 bases, 5 dilated residual convolutions",
            min_length=24,
            parameters=68_629,
        ),
        Listed(
            name="deep-cnn-256",
            description="256 filters of 24 bases, 5 dilated residual convolutions",
            min_length=24,
            parameters=1_011_733,
        ),
        Listed(
            name="deepbind",
            description="DeepBind: one convolution, 16 filters of 24 bases",
            min_length=24,
            parameters=2_129,
        ),
        Listed(
            name="deepsea",
            description="DeepSEA: three convolutions of 8 bases, dense 925; "
            "reads the context, 1 kb",
            reads="context",
            # Each convolution takes off 7 positions and each pooling leaves a quarter: 163 b
            # become one position.
            min_length=163,
            parameters=51_993_051,
            # Published is SGD with momentum: rate 1, batches of 16, kernel norms of at most .9
            # (DeepSEA, 919 outputs); rate .01, batches of 64, 640,000 steps (Selene's DeepSEA of
            # one factor). Early stopping ends such a fit before it begins to learn, hence Adam as
            # for the other models, with the rate that tens of millions of parameters allow.
            fitted_with={
                "batch_size": 64,
                "learning_rate": 1e-4,
                "finetune_learning_rate": 5e-5,
            },
            fitted_as="batches as published for one factor (Selene, Chen et al. 2019); its SGD "
            "replaced by Adam, with rates of our own",
        ),
        Listed(
            name=DNABERT2,
            description="DNABERT-2 with adapters; reads tokens, see docs/dnabert2.md",
            fitted_with={
                "batch_size": 32,
                "epochs": 3,
                "learning_rate": 3e-5,
                "finetune_learning_rate": 3e-5,
            },
            fitted_as="as published for the human transcription factors of GUE (Zhou et al. 2024)",
        ),
        Listed(
            name=FSEI,
            description="trunk of Sei, attention over its splines; weights by training.sei, see "
            "docs/sei.md",
            min_length=32,
            parameters=75_570_041,
            fitted_with={
                "batch_size": 512,
                "epochs": 50,
                "patience": 10,
                "learning_rate": 1e-4,
                "finetune_learning_rate": 5e-5,
            },
            fitted_as="batches, epochs and patience as published (Daoud & Ben-Hur 2025); its SGD "
            "replaced by Adam, with rates of our own",
        ),
        Listed(
            name="basset-like",
            description="like Basset: three convolutions, dense 800 and 300; parameters at 600 b",
            # Pooling by six and by two must leave one position.
            min_length=12,
            parameters=2_393_201,
            fitted_with={
                "batch_size": 512,
                "patience": 10,
                "learning_rate": 1e-3,
                "finetune_learning_rate": 5e-4,
            },
            fitted_as=_PUBLISHED,
        ),
        Listed(
            name="basenji-like",
            description="like Basenji: seven convolutions, three dilated residual blocks, "
            "attention pooling",
            # Poolings of 16, 8 and 4 positions, every 8, 4 and 2.
            min_length=168,
            parameters=57_995_809,
            fitted_with={
                "batch_size": 512,
                "patience": 10,
                "learning_rate": 5e-4,
                "finetune_learning_rate": 2.5e-4,
            },
            fitted_as=_PUBLISHED,
        ),
        Listed(
            name="attention-conv",
            description="three convolutions, attention of 10 heads over positions, their maximum",
            # Pooling by seven and by two must leave one position.
            min_length=14,
            parameters=10_136_849,
            fitted_with={
                "batch_size": 512,
                "patience": 10,
                "learning_rate": 5e-4,
                "finetune_learning_rate": 2.5e-4,
            },
            fitted_as=_PUBLISHED,
        ),
    )
}


def model_names() -> tuple[str, ...]:
    """Return the names of the models, sorted."""
    return tuple(sorted(MODELS))


def listed(name: str) -> Listed:
    """Return the entry of a model.

    Raises
    ------
    ConfigError
        No model has this name.
    """
    if name not in MODELS:
        raise ConfigError(unknown_model(name))
    return MODELS[name]


def unknown_model(name: str) -> str:
    """Return the error for a name that no model has."""
    near = difflib.get_close_matches(name, MODELS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"no model {name!r}; there are {', '.join(model_names())}{hint} (name a model of your own "
        "as my_package.module:function)"
    )


def check_models(names: Iterable[str]) -> None:
    """Raise an error if a model does not exist; a user's own are imported.

    Raises
    ------
    ConfigError
        There is no such model.
    """
    for name in names:
        if own_model.is_own(name):
            own_model.load_function(name)
        else:
            listed(name)


def input_length(name: str, *, size: int, stored: int) -> int:
    """Return how many bases of a stored row a model reads.

    Parameters
    ----------
    name
        A model of :data:`MODELS`, or a user's own, which is imported.
    size
        Width of the bin (``windows.size``).
    stored
        Bases stored per row (``windows.context``, or the bin).
    """
    reads = own_model.reads(name) if own_model.is_own(name) else listed(name).reads
    return size if reads == "bin" else stored
