"""Features of Keras networks: what a layer puts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import ConfigError, InputError
from ssldata.genomes.onehot import one_hot
from ssldata.store.feature_store import FeatureColumns
from sslmodels.features.feature_model import Features
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.prediction.trained_model import TrainedModel
from sslmodels.scores.score_rows import SCORE_BATCH

#: Names for layers that every network has.
PENULTIMATE, OUTPUT, LOG_ODDS = "penultimate", "output", "log-odds"


class LayerFeatures:
    """Activations of one layer of a network on one-hot sequences.

    A layer with positions is reduced to its largest value over them.

    Parameters
    ----------
    model
        The network.
    layer
        Name of a layer of ``model.body``, or ``penultimate``: what its last dense layer reads.
    identity
        Of the model.

    Raises
    ------
    ConfigError
        There is no such layer; the message names those there are.
    """

    reads_both_strands = False
    batch = SCORE_BATCH

    def __init__(self, model: SequenceModel, layer: str, identity: Mapping[str, Any]) -> None:
        body = model.body
        tensor, name = _tensor(body, layer)
        if len(tensor.shape) > 2:
            tensor = keras.ops.max(tensor, axis=tuple(range(1, len(tensor.shape) - 1)))
        self._network = keras.Model(body.inputs, tensor)
        self.length: int | None = model.length
        count = int(tensor.shape[-1])
        self.columns = FeatureColumns(
            names=numbered(name, count), long_name=f"activation of the layer {name}"
        )
        self.identity: Mapping[str, Any] = {**identity, "layer": name}

    def compute(self, codes: ByteArray) -> Features:
        """Return the activations (n, units) of base codes."""
        found = self._network.predict_on_batch(one_hot(codes).astype(np.float32))
        return np.asarray(found, np.float32)


class OutputFeatures:
    """The outputs of a trained model, one column for each experiment that it predicts.

    Parameters
    ----------
    model
        The model.
    log_odds
        log(p / (1 − p)) rather than the probabilities p.
    identity
        Of the model.
    """

    batch = SCORE_BATCH

    def __init__(
        self, model: TrainedModel, identity: Mapping[str, Any], *, log_odds: bool = False
    ) -> None:
        self._model, self._log_odds = model, log_odds
        self.length: int | None = model.length
        # A model of both strands, and a committee, average by themselves.
        self.reads_both_strands = model.committee is not None or bool(
            getattr(model.keras_model, "both_strands", False)
        )
        self.columns = FeatureColumns(
            names=list(model.outputs),
            long_name="log-odds of an output" if log_odds else "probability of an output",
        )
        self.identity: Mapping[str, Any] = {
            **identity,
            "layer": LOG_ODDS if log_odds else OUTPUT,
        }

    def compute(self, codes: ByteArray) -> Features:
        """Return the outputs (n, experiments) of base codes."""
        of = self._model.log_odds if self._log_odds else self._model.score_codes
        return of(codes, both_strands=False)


def numbered(name: str, count: int) -> Sequence[str]:
    """Return names of units that sort as their numbers do: dense_000, dense_001, …."""
    digits = len(str(count - 1))
    return [f"{name}_{number:0{digits}d}" for number in range(count)]


def _tensor(body: keras.Model, layer: str) -> tuple[Any, str]:
    """Return the tensor of a layer, and the name of the layer that made it."""
    if layer != PENULTIMATE:
        known = [one.name for one in body.layers[1:]]
        if layer not in known:
            raise ConfigError(
                f"--layer {layer}: the model has no layer of this name; there are {PENULTIMATE}, "
                f"{OUTPUT}, {LOG_ODDS}, {', '.join(known)}"
            )
        return body.get_layer(layer).output, layer
    dense = [one for one in body.layers if isinstance(one, keras.layers.Dense)]
    if not dense or len(dense[-1].input.shape) != 2:
        names = ", ".join(one.name for one in body.layers[1:])
        raise InputError(
            f"model {body.name!r}: does not end in a dense layer, so its penultimate layer is not "
            f"known; name one with --layer: {names}"
        )
    before = dense[-1].input
    made_by = before._keras_history.operation
    while isinstance(made_by, keras.layers.Dropout):  # which does nothing outside training
        before = made_by.input
        made_by = before._keras_history.operation
    return before, made_by.name
