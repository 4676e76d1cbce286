"""The network of Sei in Keras layers: trunk, splines and head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from sslmodels.layers.sequence_model import CHANNELS
from sslmodels.layers.spline_layer import SplineTransform
from sslmodels.layers.unknown_bases import QuarterUnknown
from sslmodels.sei.sei_tensors import Convolution, SeiHead, SeiSizes

#: Bases from one position of the trunk's output to the next: two poolings by four.
STRIDE = 16
#: The spline basis needs two positions.
MIN_LENGTH = 2 * STRIDE

#: Layers at which tests and users look inside: what the dilated convolutions read, and the output.
DILATED_INPUT, TRUNK_OUTPUT = "dilated_input", "trunk_output"


def layer_name(checkpoint: str) -> str:
    """Return the name of the Keras layer for the name of a layer in the checkpoint."""
    return checkpoint.replace(".", "_")


class TrunkBuilder:
    """Builds the trunk of a Sei.

    Parameters
    ----------
    sizes
        Sizes; the published ones by default.
    seeds
        Stream of seeds of initial weights and dropout; None: zeros, for weights that are loaded.
    frozen
        Nothing of it is trained, and its dropout is left out, so that it gives the same in training
        as outside.
    """

    def __init__(
        self,
        sizes: SeiSizes | None = None,
        *,
        seeds: Iterator[int] | None = None,
        frozen: bool = False,
    ) -> None:
        self.sizes = sizes or SeiSizes()
        self._seeds = seeds
        self._frozen = frozen

    def __call__(self, one_hot: Any) -> Any:
        """Return the output of the trunk, (B, L // 16, channels), for one-hot (B, L, 4)."""
        hidden = QuarterUnknown(name="unknown_bases")(one_hot)
        for number in (1, 2, 3):
            first, second, third, fourth = self.sizes.stage(number)
            if number > 1:
                hidden = keras.layers.MaxPooling1D(4, 4, name=f"pool{number}")(hidden)
                hidden = self._dropped(hidden, 0.2, f"lconv{number}_dropout")
            linear = self._convolution(self._convolution(hidden, first), second)
            inner = linear if number == 1 else self._dropped(linear, 0.2, f"conv{number}_dropout")
            rectified = self._convolution(self._convolution(inner, third, "relu"), fourth, "relu")
            name = DILATED_INPUT if number == 3 else f"sum{number}"
            hidden = keras.layers.Add(name=name)([rectified, linear])
        # The first sum leaves out the linear branch that its convolution has read.
        total = rectified
        dilated = self.sizes.dilated()
        for number, one in enumerate(dilated, start=1):
            read = self._dropped(hidden, 0.1, f"dconv{number}_dropout")
            branch = self._convolution(read, one, "relu")
            name = TRUNK_OUTPUT if number == len(dilated) else f"residual{number}"
            total = hidden = keras.layers.Add(name=name)([total, branch])
        return total

    def _convolution(self, inputs: Any, one: Convolution, activation: str | None = None) -> Any:
        return keras.layers.Conv1D(
            one.outputs,
            one.width,
            padding="same",
            dilation_rate=one.dilation,
            activation=activation,
            kernel_initializer=_initial(self._seeds),
            trainable=not self._frozen,
            name=layer_name(one.name),
        )(inputs)

    def _dropped(self, inputs: Any, rate: float, name: str) -> Any:
        if self._frozen:
            return inputs
        seed = next(self._seeds) if self._seeds is not None else 0
        return keras.layers.Dropout(rate, seed=seed, name=name)(inputs)


def _initial(seeds: Iterator[int] | None) -> Any:
    return "zeros" if seeds is None else keras.initializers.GlorotUniform(seed=next(seeds))


def check_length(length: int) -> None:
    """Raise an error if Sei cannot read so few bases.

    Raises
    ------
    ConfigError
        Fewer than 32.
    """
    if length < MIN_LENGTH:
        raise ConfigError(
            f"Sei: sequences of {length} bases; expected at least {MIN_LENGTH} (published for "
            "4,096): widen the windows"
        )


def sei_network(
    length: int,
    *,
    sizes: SeiSizes | None = None,
    head: SeiHead | None = None,
    seeds: Iterator[int] | None = None,
) -> keras.Model:
    """Return Sei as a functional model that reads one strand.

    Parameters
    ----------
    length
        Bases of the input, 32 or more.
    sizes
        Sizes of the trunk; the published ones by default.
    head
        The head; None: the trunk alone, whose outputs are its features.
    seeds
        Stream of seeds of initial weights; None: zeros.

    Returns
    -------
    keras.Model
        From one-hot (B, length, 4) to probabilities (B, profiles), or to features (B, channels ×
        splines), in which feature ``c * splines + s`` is spline s of channel c.

    Raises
    ------
    ConfigError
        The input is too short.
    """
    check_length(length)
    sizes = sizes or SeiSizes()
    sequence = keras.Input((length, CHANNELS), name="one_hot")
    hidden = TrunkBuilder(sizes, seeds=seeds)(sequence)
    seed = next(seeds) if seeds is not None else 0
    hidden = keras.layers.Dropout(0.5, seed=seed, name="spline_dropout")(hidden)
    hidden = SplineTransform(sizes.splines, name="splines")(hidden)
    # (B, channels, splines): the head's columns are ordered by channel.
    hidden = keras.layers.Flatten(name="features")(hidden)
    layers = head.layers(sizes.features) if head is not None else ()
    for number, one in enumerate(layers, start=1):
        last, middle = number == len(layers), 2 * number == len(layers)
        hidden = keras.layers.Dense(
            one.outputs,
            activation="sigmoid" if last else "relu" if middle else None,
            use_bias=one.bias,
            kernel_initializer=_initial(seeds),
            name=layer_name(one.name),
        )(hidden)
    return keras.Model(sequence, hidden, name="body")


def assign_tensors(network: keras.Model, values: Mapping[str, NDArray[Any]]) -> None:
    """Give layers their tensors, which are in PyTorch's layout and fit.

    Parameters
    ----------
    network
        A model that has, for every tensor, a layer named as :func:`layer_name` names it.
    values
        Name in the checkpoint → array.
    """
    for name, value in values.items():
        layer, _, part = name.rpartition(".")
        found = network.get_layer(layer_name(layer))
        if part == "bias":
            found.bias.assign(np.asarray(value, np.float32))
        else:
            # (out, in, width) → (width, in, out), (out, in) → (in, out).
            found.kernel.assign(np.asarray(value.T, np.float32))


def sizes_of(network: keras.Model) -> SeiSizes:
    """Return the sizes of the trunk within a network; whatever follows the trunk is its own."""
    one, two, three = (
        int(network.get_layer(layer_name(name)).filters)
        for name in ("lconv1.0", "lconv2.2", "lconv3.2")
    )
    return SeiSizes(channels=(one, two, three))
