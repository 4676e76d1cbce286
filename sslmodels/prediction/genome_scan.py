"""Scores of all windows along a sequence.

Windows that overlap share the first layer: where a model is one convolution and the maximum over
its positions, the convolution passes over the sequence once and the maxima slide. Any other model
sees the edges of its windows, or may; it scores them one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from sslmodels.prediction.scan_kernels import pair_table, pairs_of, window_maxima
from sslmodels.prediction.trained_model import Codes, Scores, TrainedModel

#: Windows of one call of the compiled loop, and of one batch of the dense layers.
_WINDOWS = 4096

#: Activations that keep the order of numbers: the maximum may be taken before them.
_RISING = ("linear", "relu", "elu", "selu", "sigmoid", "softplus", "softsign", "tanh")


@dataclass(frozen=True)
class OneConvolution:
    """A network that is a convolution, the maximum over its positions, and layers above.

    Attributes
    ----------
    kernel
        float32 (width, 4, filters).
    above
        Model from the maxima before the activation, without the bias, to the outputs.
    bias
        float32 (filters,).
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    above: keras.Model


def one_convolution(body: keras.Model) -> OneConvolution | None:
    """Return a functional model as :class:`OneConvolution`, None where it is no such model.

    The convolution has no padding, stride or dilation; between it and the maximum there may be
    dropout and activations that rise.
    """
    layers: list[Any] = list(body.layers)
    if len(layers) < 3 or not isinstance(layers[0], keras.layers.InputLayer):
        return None
    convolution = layers[1]
    if not _is_plain(convolution):
        return None
    rising = [convolution.activation]
    current = convolution.output
    for layer in layers[2:]:
        if getattr(layer, "input", None) is not current:
            return None
        current = layer.output
        if isinstance(layer, keras.layers.GlobalMaxPooling1D):
            break
        if isinstance(layer, keras.layers.Activation):
            rising.append(layer.activation)
        elif not isinstance(layer, keras.layers.Dropout):
            return None
    else:
        return None
    names = [keras.activations.serialize(function) for function in rising]
    if layer.keepdims or not all(name in _RISING for name in names):
        return None
    kernel, *bias = (np.asarray(w) for w in convolution.get_weights())
    filters = kernel.shape[-1]
    hidden = maxima = keras.Input((filters,))
    for function in rising:
        hidden = keras.layers.Activation(function)(hidden)
    try:
        above = keras.Model(maxima, keras.Model(current, body.output)(hidden))
    except ValueError:  # what is above reads more than the maxima
        return None
    return OneConvolution(kernel, bias[0] if bias else np.zeros(filters, np.float32), above)


def _is_plain(layer: Any) -> bool:
    return (
        isinstance(layer, keras.layers.Conv1D)
        and layer.padding == "valid"
        and layer.strides == layer.dilation_rate == (1,)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
    )


class Scanner:
    """Scores the windows along a sequence; made once for a model.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    network
        What the scan passes over a sequence once; None: windows are scored one by one.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        body = getattr(model.keras_model, "body", None)
        alone = body is not None and model.committee is None
        self.network = one_convolution(body) if alone else None

    def scan(self, codes: ByteArray, *, stride: int, both_strands: bool = True) -> Scores:
        """Return the probabilities of all windows of a sequence, float32 (windows, outputs).

        They are those of :meth:`.TrainedModel.score_codes`, to rounding.

        Parameters
        ----------
        codes
            Base codes of the sequence, uint8 (bases,).
        stride
            Bases from one window to the next; the first begins at 0, and all lie inside.
        both_strands
            As of :meth:`.TrainedModel.predict`.
        """
        length = self.model.length
        count = window_count(len(codes), length, stride)
        out = np.empty((count, len(self.model.outputs)), np.float32)
        if self.network is None:
            windows = sliding_window_view(codes, length)[::stride] if count else codes[:0, None]
            for first in range(0, count, _WINDOWS):
                some: Codes = np.ascontiguousarray(windows[first : first + _WINDOWS])
                scores = self.model.score_codes(some, both_strands=both_strands)
                out[first : first + len(some)] = scores
            return out
        mirrored = both_strands or getattr(self.model.keras_model, "both_strands", False)
        at = 0
        for maxima in self._maxima(self.network, codes, count, stride, mirrored):
            count = len(maxima[0])
            # With several devices each scores all rows, and Keras concatenates their scores.
            strands = [self.network.above.predict_on_batch(one)[:count] for one in maxima]
            out[at : at + count] = sum(np.asarray(one) for one in strands) / len(strands)
            at += count
        return out

    def score_codes(self, codes: Codes, *, both_strands: bool = True) -> Scores:
        """Return what :meth:`.TrainedModel.score_codes` does, to rounding.

        A network of one convolution takes half the time: windows one behind the other are a
        sequence of that stride.
        """
        if self.network is None:
            return self.model.score_codes(codes, both_strands=both_strands)
        along = np.ascontiguousarray(codes).reshape(-1)
        return self.scan(along, stride=self.model.length, both_strands=both_strands)

    def _maxima(
        self, network: OneConvolution, codes: ByteArray, count: int, stride: int, mirrored: bool
    ) -> Iterator[list[Scores]]:
        """Yield the maxima of each strand, windows × filters, for a number of windows at a time."""
        length, width = self.model.length, len(network.kernel)

        def of(first: int) -> list[Scores]:
            windows = min(_WINDOWS, count - first)
            part = codes[first * stride : (first + windows - 1) * stride + length]
            found = []
            for table in self._tables[: 1 + mirrored]:
                one = np.empty((windows, network.kernel.shape[-1]), np.float32)
                window_maxima(pairs_of(part, table), table, one, stride, length - width + 1)
                one += network.bias
                found.append(one)
            return found

        threads = len(os.sched_getaffinity(0))
        firsts = range(0, count, _WINDOWS)
        # Compiled loops hold no lock of Python. As many results as threads wait for the layers
        # above, so memory does not grow with the sequence.
        with ThreadPoolExecutor(threads) as pool:
            for some in range(0, len(firsts), threads):
                yield from pool.map(of, firsts[some : some + threads])

    @cached_property
    def _tables(self) -> list[NDArray[np.float32]]:
        """The convolution, and the one that finds on this strand what it finds on the other."""
        assert self.network is not None
        kernel = self.network.kernel
        # In the order A, C, G, T the complement reverses the bases.
        return [pair_table(kernel), pair_table(kernel[::-1, ::-1])]


def window_count(bases: int, length: int, stride: int) -> int:
    """Return how many windows of `length` bases, `stride` apart, lie in a sequence."""
    return max(0, (bases - length) // stride + 1)
