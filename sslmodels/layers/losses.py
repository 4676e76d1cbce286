"""Losses that Keras lacks."""

from __future__ import annotations

from typing import Any

import keras

from sslmodels.layers.sequence_model import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class OutputCrossentropy(keras.losses.Loss):
    """Binary cross-entropy with a weight for every output of every row.

    ``keras.losses.BinaryCrossentropy`` averages over the outputs before it applies weights, so it
    can only weight rows. Labels, probabilities and weights are (B, outputs); the loss is the sum of
    the weighted terms over B · outputs. With equal weights along each row, both losses are equal.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the terms (B, outputs)."""
        y_pred = keras.ops.convert_to_tensor(y_pred)
        return keras.ops.binary_crossentropy(keras.ops.cast(y_true, y_pred.dtype), y_pred)


def crossentropy(outputs: int) -> keras.losses.Loss:
    """Return the loss of a model; for several outputs, one that takes a weight for each."""
    if outputs == 1:
        return keras.losses.BinaryCrossentropy()
    return OutputCrossentropy()
