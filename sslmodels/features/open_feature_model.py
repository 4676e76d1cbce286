"""What a user calls a model, opened as what computes features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.progress import Progress
from sslmodels.dnabert2.bert_model import DnabertClassifier
from sslmodels.dnabert2.bert_options import DnabertOptions
from sslmodels.dnabert2.pretrained import build_dnabert2
from sslmodels.features.feature_model import FeatureModel
from sslmodels.features.motif_scores import motif_scores
from sslmodels.features.network_layers import (
    LOG_ODDS,
    OUTPUT,
    PENULTIMATE,
    LayerFeatures,
    OutputFeatures,
)
from sslmodels.features.sei_profiles import sei_profiles
from sslmodels.features.token_embeddings import TokenEmbeddings
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models import own_model
from sslmodels.models.catalogue import DNABERT2, MODEL_FILE, model_names
from sslmodels.models.model_builder import build_model
from sslmodels.prediction.trained_model import TrainedModel, load_model

#: Names of motif files.
_MEME = (".meme", ".meme.txt")


@dataclass(frozen=True, kw_only=True)
class FeatureModelOptions:
    """How a model is opened.

    Attributes
    ----------
    layer
        Whose output is taken; None: the penultimate layer, of a model of several outputs these.
    weights
        Of a model named by its architecture: a ``.weights.h5`` file, for DNABERT-2 a folder;
        None: new ones, drawn from `seed`.
    seed
        Of new weights.
    length
        Bases of the sequences, for a model built here.
    progress
        Progress reporter of downloads.
    """

    layer: str | None = None
    weights: Path | None = None
    seed: int = 0
    length: int | None = None
    progress: Progress | None = None


#: Prefix of a model that is named as PREFIX:PATH → what opens it. This is where a kind of model
#: with files of its own is added.
SCHEMES: dict[str, Callable[[str, FeatureModelOptions], FeatureModel]] = {
    "sei": lambda path, options: sei_profiles(path, options.length),
}


def needs_length(name: str) -> bool:
    """Return whether a model is built for the sequences, and so must know their length first."""
    if name.partition(":")[0] in SCHEMES:
        return True
    return not Path(name).exists() and (name in model_names() or own_model.is_own(name))


def open_feature_model(name: str, options: FeatureModelOptions) -> FeatureModel:
    """Open a model by the name that a user gives it.

    Parameters
    ----------
    name
        A run folder, a ``.keras`` file, a MEME file, PREFIX:PATH of :data:`SCHEMES`, a model of
        ``crosslabel model list``, or an own one as ``my_package.module:function``.
    options
        Layer, weights, seed.

    Raises
    ------
    MissingInputError, ConfigError
        There is no such model, layer or file, or an option has no meaning for it.
    """
    scheme, found, rest = name.partition(":")
    path = Path(name)
    if found and scheme in SCHEMES:
        _refuse(name, layer=options.layer, weights=options.weights)
        return SCHEMES[scheme](rest, options)
    if path.name.endswith(_MEME):
        _refuse(name, layer=options.layer, weights=options.weights)
        return motif_scores(path)
    if path.exists():
        _refuse(name, weights=options.weights)
        return _of_file(path, options.layer)
    if name == DNABERT2:
        return _dnabert2(options)
    if name in model_names() or own_model.is_own(name):
        return _built(name, options)
    raise MissingInputError(
        f"{name}: no such run, file or model; expected the folder of a run, a .keras file, a .meme "
        f"file, {''.join(f'{scheme}:PATH, ' for scheme in SCHEMES)}or a model of "
        f"`crosslabel model list` ({', '.join(model_names())})"
    )


def _refuse(name: str, **given: object) -> None:
    for option, value in given.items():
        if value is not None:
            raise ConfigError(f"--{option} has no meaning for {name}; leave it out")


def _of_file(path: Path, layer: str | None) -> FeatureModel:
    file = path / MODEL_FILE if path.is_dir() else path
    model = load_model(path)
    identity = {"kind": "trained", "file": file.name, "digest": file_digest(file)}
    return _of_model(model, identity, layer)


def _of_model(model: TrainedModel, identity: dict[str, Any], layer: str | None) -> FeatureModel:
    layer = layer or (OUTPUT if len(model.outputs) > 1 else PENULTIMATE)
    if layer in (OUTPUT, LOG_ODDS):
        return OutputFeatures(model, identity, log_odds=layer == LOG_ODDS)
    network = model.keras_model
    if isinstance(network, DnabertClassifier):
        if layer != PENULTIMATE:
            raise ConfigError(
                f"--layer {layer}: DNABERT-2 gives {PENULTIMATE} (the mean of its last hidden "
                f"states), {OUTPUT} and {LOG_ODDS}"
            )
        return TokenEmbeddings(network, identity)
    return LayerFeatures(network, layer, identity)


def _dnabert2(options: FeatureModelOptions) -> FeatureModel:
    if options.length is None:
        raise ConfigError("dnabert2: needs the length of the sequences; give --length")
    built = build_dnabert2(
        length=options.length,
        seed=options.seed,
        options=DnabertOptions(source=options.weights, pooling="mean", lora=None),
        progress=options.progress,
    )
    identity = {"kind": DNABERT2, "digest": dict(built.files.sha256), "seed": options.seed}
    return _of_model(TrainedModel(built.model), identity, options.layer)


def _built(name: str, options: FeatureModelOptions) -> FeatureModel:
    """Return a model of the catalogue, or a user's own, with new or given weights."""
    if options.length is None:
        raise ConfigError(f"{name}: needs the length of the sequences; give --length")
    model = build_model(name, length=options.length, seed=options.seed)
    identity: dict[str, Any] = {"kind": name, "seed": options.seed}
    if own_model.is_own(name):
        identity["source"] = own_model.source_digest(name)
    if options.weights is not None:
        _load_weights(model, options.weights)
        identity["digest"] = file_digest(options.weights)
    return _of_model(TrainedModel(model), identity, options.layer)


def _load_weights(model: SequenceModel, path: Path) -> None:
    if not path.is_file() or not path.name.endswith(".weights.h5"):
        raise MissingInputError(
            f"{path}: no such weights; expected a .weights.h5 file that Keras wrote of this model"
        )
    try:
        model.load_weights(path)
    except Exception as exc:  # of any kind, for weights of another model or damaged ones
        said = (str(exc).splitlines() or [""])[0][:120]
        raise InputError(
            f"{path}: not the weights of {model.name} at {model.length} b ({type(exc).__name__}: "
            f"{said})"
        ) from exc
    if any(not bool(keras.ops.all(keras.ops.isfinite(w))) for w in model.weights):
        raise InputError(f"{path}: holds weights that are not finite numbers; copy it again")
