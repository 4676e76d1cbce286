"""A layer for networks that were trained with a quarter of every base in place of an N."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sslmodels.layers.sequence_model import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuarterUnknown(keras.layers.Layer):
    """Raise every position of one-hot (B, L, 4) to a sum of one: N, four zeros, becomes four .25.

    Positions that sum to one, known bases and quarters alike, are unchanged to the last bit.
    """

    def call(self, inputs: Any) -> Any:
        """Return (B, L, 4)."""
        return inputs + 0.25 * (1.0 - ops.sum(inputs, axis=-1, keepdims=True))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape
