"""The networks of Daoud & Ben-Hur (2025): Sei fine-tuned, and what it was compared with.

Where the publication leaves a detail open the choice is ours, hence "like". Normalisation has the
constants of PyTorch (epsilon 1e-5, momentum .9 in Keras' terms), with which they were published.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from ssldata.base.errors import ConfigError
from sslmodels.layers.spline_layer import SplineTransform
from sslmodels.models.catalogue import FSEI
from sslmodels.models.registry import Seeds, register
from sslmodels.sei.sei_network import TrunkBuilder
from sslmodels.sei.sei_tensors import SeiSizes

#: Sizes of the trunk that ``fsei`` begins with.
SIZES = SeiSizes()

_HEADS = 10


class _Parts:
    """Makes seeded, named layers; names from Keras' counter would make equal models unequal."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    def convolution(
        self,
        inputs: Any,
        filters: int,
        width: int,
        name: str,
        *,
        norm: bool = False,
        activation: str | None = "relu",
        **options: Any,
    ) -> Any:
        """Convolution, normalisation if any, activation if any."""
        options = {"padding": "same", **options}
        hidden = keras.layers.Conv1D(
            filters, width, kernel_initializer=self._seeds.glorot(), name=name, **options
        )(inputs)
        if norm:
            hidden = self.normalised(hidden, f"{name}_norm")
        if activation is None:
            return hidden
        return keras.layers.Activation(activation, name=f"{name}_{activation}")(hidden)

    def normalised(self, inputs: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)(inputs)

    def pooled(self, inputs: Any, size: int, stride: int, name: str) -> Any:
        return keras.layers.MaxPooling1D(size, stride, name=name)(inputs)

    def dropped(self, inputs: Any, rate: float, name: str) -> Any:
        return keras.layers.Dropout(rate, seed=self._seeds.next(), name=name)(inputs)

    def dense(self, inputs: Any, units: int, name: str, activation: str = "relu") -> Any:
        return keras.layers.Dense(
            units, activation=activation, kernel_initializer=self._seeds.glorot(), name=name
        )(inputs)

    def probabilities(self, inputs: Any, outputs: int) -> Any:
        return self.dense(inputs, outputs, "probability", "sigmoid")

    def attention_pool(self, inputs: Any) -> Any:
        """Weighted mean over positions: each channel has weights of its own, which sum to one.

        The matrix that makes the weights begins as the identity.
        """
        positions, width = inputs.shape[1:]
        scores = keras.layers.Dense(
            width, use_bias=False, kernel_initializer="identity", name="attention"
        )(inputs)
        # Of a single position the weight is one, which Keras' softmax would warn of.
        name = "attention_weights"
        weights = (
            keras.layers.Softmax(axis=1, name=name)(scores)
            if positions > 1
            else keras.layers.Rescaling(0.0, 1.0, name=name)(scores)
        )
        weighted = keras.layers.Multiply(name="weighted")([weights, inputs])
        mean = keras.layers.GlobalAveragePooling1D(name="weighted_mean")(weighted)
        return keras.layers.Rescaling(float(positions), name="weighted_sum")(mean)

    def attention(self, inputs: Any, heads: int) -> Any:
        """Attention of every position to all positions of its own sequence."""
        width = inputs.shape[2]
        layer = keras.layers.MultiHeadAttention(
            heads, width // heads, kernel_initializer="zeros", name="attention"
        )
        attended = layer(inputs, inputs)
        # Keras would give query, key and value the same numbers for the same seed.
        layer.set_weights(
            [
                np.asarray(self._seeds.glorot()((width, width))).reshape(old.shape)
                if old.ndim > 1 and old.size == width * width
                else old
                for old in layer.get_weights()
            ]
        )
        return attended

    def seed_stream(self) -> Iterator[int]:
        while True:
            yield self._seeds.next()


def fsei_network(
    sequence: Any,
    seeds: Seeds,
    outputs: int,
    *,
    freeze: bool = False,
    sizes: SeiSizes | None = None,
) -> Any:
    """Return the outputs of Sei's trunk with a new head that pools its splines by attention.

    Parameters
    ----------
    sequence
        One-hot (B, L, 4).
    seeds
        Seeds of initial weights and dropout.
    outputs
        Number of labels.
    freeze
        Train the head alone; the trunk is then computed without dropout.
    sizes
        Sizes of the trunk; :data:`SIZES` by default.
    """
    if not isinstance(freeze, bool):
        raise ConfigError(f"model option freeze: {freeze!r}; expected true or false")
    sizes, make = sizes or SIZES, _Parts(seeds)
    hidden = TrunkBuilder(sizes, seeds=make.seed_stream(), frozen=freeze)(sequence)
    hidden = SplineTransform(sizes.splines, name="splines")(hidden)
    hidden = keras.layers.Permute((2, 1), name="positions")(hidden)
    hidden = make.convolution(hidden, 520, 3, "summary", norm=True, padding="valid")
    hidden = make.attention_pool(hidden)
    hidden = make.dense(hidden, 520, "hidden")
    hidden = make.dropped(hidden, 0.2, "hidden_dropout")
    return make.probabilities(hidden, outputs)


@register(FSEI)
def _fsei(sequence: Any, seeds: Seeds, outputs: int, *, freeze: bool = False) -> Any:
    return fsei_network(sequence, seeds, outputs, freeze=freeze)


@register("basset-like")
def _basset_like(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    make = _Parts(seeds)
    hidden = sequence
    for number, (filters, width, pool) in enumerate(
        ((200, 13, 6), (100, 5, None), (50, 8, 2)), start=1
    ):
        name = f"convolution_{number}"
        hidden = make.convolution(hidden, filters, width, name, norm=True, use_bias=False)
        if pool is not None:
            hidden = make.pooled(hidden, pool, pool, f"maximum_{number}")
        hidden = make.dropped(hidden, 0.2, f"dropout_{number}")
    hidden = keras.layers.Flatten(name="positions")(hidden)
    for number, units in enumerate((800, 300), start=1):
        hidden = make.dense(hidden, units, f"hidden_{number}")
        hidden = make.dropped(hidden, 0.4, f"hidden_dropout_{number}")
    return make.probabilities(hidden, outputs)


@register("basenji-like")
def _basenji_like(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    make = _Parts(seeds)

    def convolution(inputs: Any, filters: int, width: int, number: int, **options: Any) -> Any:
        options = {"activation": "gelu", **options}
        return make.convolution(inputs, filters, width, f"convolution_{number}", **options)

    hidden = convolution(sequence, 480, 11, 1, activation=None)
    hidden = make.pooled(convolution(hidden, 480, 7, 2), 16, 8, "maximum_1")
    hidden = make.dropped(convolution(hidden, 640, 5, 3, norm=True), 0.2, "dropout")
    hidden = make.pooled(convolution(hidden, 640, 7, 4), 8, 4, "maximum_2")
    hidden = convolution(hidden, 720, 5, 5, norm=True)
    hidden = make.pooled(convolution(hidden, 720, 7, 6), 4, 2, "maximum_3")
    hidden = convolution(hidden, 960, 5, 7, norm=True)
    for rate in (2, 4, 8):
        name = f"dilated_{rate}"
        branch = make.convolution(
            hidden, 1280, 5, name, norm=True, activation="gelu", dilation_rate=rate
        )
        branch = make.convolution(branch, 960, 3, f"{name}_back", norm=True, activation=None)
        hidden = keras.layers.Add(name=f"residual_{rate}")([hidden, branch])
    hidden = convolution(hidden, 1280, 5, 8)
    hidden = make.attention_pool(hidden)
    hidden = make.dense(hidden, 2048, "hidden_1")
    hidden = make.dense(hidden, 1280, "hidden_2")
    return make.probabilities(hidden, outputs)


@register("attention-conv")
def _attention_conv(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    make = _Parts(seeds)
    hidden = make.convolution(sequence, 480, 13, "convolution_1", norm=True)
    hidden = make.pooled(hidden, 7, 7, "maximum_1")
    hidden = make.convolution(hidden, 640, 7, "convolution_2")
    hidden = make.convolution(hidden, 720, 5, "convolution_3")
    hidden = make.pooled(hidden, 2, 2, "maximum_2")
    attended = make.attention(hidden, _HEADS)
    hidden = keras.layers.Add(name="attended")([hidden, attended])
    hidden = keras.layers.LayerNormalization(epsilon=1e-5, name="attended_norm")(hidden)
    hidden = keras.layers.GlobalMaxPooling1D(name="best_match")(hidden)
    hidden = make.dense(hidden, 2048, "hidden_1")
    hidden = make.dense(hidden, 1024, "hidden_2")
    return make.probabilities(hidden, outputs)
