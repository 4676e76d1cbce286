"""The architectures, one builder each.

To add a model, enter it in :data:`sslmodels.models.catalogue.MODELS`, write a function and register
it::

    @register("my-model")
    def _my_model(sequence, seeds, outputs):
        hidden = keras.layers.Conv1D(32, 12, kernel_initializer=seeds.glorot())(sequence)
        ...
        return keras.layers.Dense(outputs, activation="sigmoid", ...)(hidden)

`sequence` is the one-hot input (B, L, 4). Every random choice takes its seed from `seeds`, so a
model is a function of (name, length, outputs, seed, options) and of no global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import keras

from ssldata.base.errors import ConfigError
from sslmodels.models.catalogue import DNABERT2
from sslmodels.models.registry import Seeds, register

Padding = Literal["valid", "same"]

#: The paper does not report the rates; these double, as in most dilated networks.
DILATIONS = (2, 4, 8, 16, 32)


class _Layers:
    """Makes seeded, named layers, and checks the options `padding` and `head`.

    Names from Keras' global counter would make equal models unequal files.
    """

    def __init__(self, seeds: Seeds, *, padding: Padding, head: str) -> None:
        self._seeds = seeds
        if padding not in get_args(Padding):
            raise ConfigError(f"model option padding: {padding!r}; expected valid or same")
        try:
            known = isinstance(head, str) and bool(keras.activations.get(head))
        except ValueError:
            known = False
        if not known:
            raise ConfigError(
                f"model option head: {head!r}; expected a Keras activation, for example relu"
            )

    def convolution(
        self, inputs: Any, *, filters: int, width: int, name: str = "motifs", **options: Any
    ) -> Any:
        return keras.layers.Conv1D(
            filters,
            width,
            activation="relu",
            kernel_initializer=self._seeds.glorot(),
            name=name,
            **options,
        )(inputs)

    def dense(self, inputs: Any, *, units: int, name: str, activation: str = "relu") -> Any:
        return keras.layers.Dense(
            units, activation=activation, kernel_initializer=self._seeds.glorot(), name=name
        )(inputs)

    def dropout(self, inputs: Any, *, rate: float, name: str) -> Any:
        return keras.layers.Dropout(rate, seed=self._seeds.next(), name=name)(inputs)

    def probabilities(self, inputs: Any, *, outputs: int) -> Any:
        return self.dense(inputs, units=outputs, activation="sigmoid", name="probability")

    def paper_head(self, inputs: Any, *, outputs: int, head: str) -> Any:
        """Maximum over positions → dropout → dense 10 → dropout → probabilities."""
        hidden = keras.layers.GlobalMaxPooling1D(name="best_match")(inputs)
        hidden = self.dropout(hidden, rate=0.2, name="dropout_1")
        hidden = self.dense(hidden, units=10, name="hidden", activation=head)
        hidden = self.dropout(hidden, rate=0.2, name="dropout_2")
        return self.probabilities(hidden, outputs=outputs)


def _shallow(
    filters: int,
    sequence: Any,
    seeds: Seeds,
    outputs: int,
    *,
    padding: Padding = "valid",
    head: str = "relu",
) -> Any:
    """Convolution → maximum over positions → two dense layers: the paper's shallow CNN."""
    make = _Layers(seeds, padding=padding, head=head)
    hidden = make.convolution(sequence, filters=filters, width=24, padding=padding)
    return make.paper_head(hidden, outputs=outputs, head=head)


def _deep(
    filters: int,
    sequence: Any,
    seeds: Seeds,
    outputs: int,
    *,
    dilations: Sequence[int] = DILATIONS,
    padding: Padding = "valid",
    head: str = "relu",
) -> Any:
    """As :func:`_shallow`, with residual convolutions of growing reach before the maximum."""
    rates = dilations if isinstance(dilations, list | tuple) else ()
    if not rates or any(type(rate) is not int or rate < 1 for rate in rates):
        raise ConfigError(
            f"model option dilations: {dilations!r}; expected a list of positive integers"
        )
    make = _Layers(seeds, padding=padding, head=head)
    hidden = make.convolution(sequence, filters=filters, width=24, padding=padding)
    for number, rate in enumerate(rates, start=1):
        name = f"dilated_{number}"
        # A residual sum needs as many positions as it adds to, whatever the first padding.
        branch = make.convolution(
            hidden, filters=filters, width=3, name=name, padding="same", dilation_rate=rate
        )
        hidden = keras.layers.Add(name=f"residual_{number}")([hidden, branch])
    return make.paper_head(hidden, outputs=outputs, head=head)


register("cnn-7k")(partial(_shallow, 64))
register("cnn-27k")(partial(_shallow, 256))
register("deep-cnn-64")(partial(_deep, 64))
register("deep-cnn-256")(partial(_deep, 256))


@register("deepbind")
def _deepbind(
    sequence: Any, seeds: Seeds, outputs: int, *, padding: Padding = "valid", head: str = "relu"
) -> Any:
    make = _Layers(seeds, padding=padding, head=head)
    hidden = make.convolution(sequence, filters=16, width=24, padding=padding)
    hidden = keras.layers.GlobalMaxPooling1D(name="best_match")(hidden)
    hidden = make.dense(hidden, units=32, name="hidden", activation=head)
    hidden = make.dropout(hidden, rate=0.5, name="dropout")
    return make.probabilities(hidden, outputs=outputs)


@register("deepsea")
def _deepsea(
    sequence: Any, seeds: Seeds, outputs: int, *, padding: Padding = "valid", head: str = "relu"
) -> Any:
    make = _Layers(seeds, padding=padding, head=head)
    hidden = sequence
    for number, filters in enumerate((320, 480), start=1):
        name = f"convolution_{number}"
        hidden = make.convolution(hidden, filters=filters, width=8, name=name, padding=padding)
        hidden = keras.layers.MaxPooling1D(4, 4, name=f"maximum_{number}")(hidden)
        hidden = make.dropout(hidden, rate=0.2, name=f"dropout_{number}")
    hidden = make.convolution(hidden, filters=960, width=8, name="convolution_3", padding=padding)
    hidden = make.dropout(hidden, rate=0.5, name="dropout_3")
    hidden = keras.layers.Flatten(name="positions")(hidden)
    hidden = make.dense(hidden, units=925, name="hidden", activation=head)
    return make.probabilities(hidden, outputs=outputs)


@register(DNABERT2)
def _dnabert2(sequence: Any, seeds: Seeds, outputs: int) -> Any:
    raise AssertionError("built by sslmodels.dnabert2.pretrained")
