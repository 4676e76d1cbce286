"""A network taken apart, so that after a substitution only what it changes is computed again.

The first layers of a network are local: an output position depends on a few input positions. A
substitution changes one input position, so of each local layer only a short range of positions
changes; all others are those of the unchanged sequence. As fastISM (Nair et al. 2022) does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ssldata.genomes.onehot import N_CODE, one_hot
from sslmodels.interpretation.substitution_kernels import best_matches

#: Layers that treat every position alike, outside training.
_POINTWISE = (
    *(keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.Activation),
    *(keras.layers.ReLU, keras.layers.BatchNormalization),
)
_POOLS = (keras.layers.MaxPooling1D, keras.layers.AveragePooling1D)

#: Activation functions that keep the order of values, so that a maximum can be taken before them.
_MONOTONE = (keras.activations.relu, keras.activations.linear, keras.activations.sigmoid)

#: Substitutions of a base: those by the three others.
CHANGES = 3


class NotLocalError(Exception):
    """The network has a layer of another kind; substitutions are scored by the whole network."""


@dataclass
class _Changed:
    """The positions [first, first + length) of a layer after a substitution (rows, length, C)."""

    first: int
    values: Any

    @property
    def end(self) -> int:
        return self.first + int(self.values.shape[1])


class LocalNetwork:
    """A functional network from one-hot (B, L, 4) whose first layers are local.

    Local layers are convolutions, poolings, sums, and layers that treat every position alike; they
    end with a global maximum, or with Flatten and Dense. What comes after is computed in full.

    Parameters
    ----------
    body
        Functional model from one-hot (B, L, 4) to probabilities.

    Raises
    ------
    NotLocalError
        Another layer comes before the end of the local ones.
    """

    def __init__(self, body: keras.Model) -> None:
        self.length = int(body.input_shape[1])
        self._input = body.input
        self._local: list[keras.layers.Layer] = []
        layers = [layer for layer in body.layers if not isinstance(layer, keras.layers.InputLayer)]
        reached = {id(body.input)}
        while layers:
            layer = layers.pop(0)
            _check_once(layer)
            if any(id(one) not in reached for one in _inputs(layer)):
                raise NotLocalError(layer.name)
            if isinstance(layer, keras.layers.GlobalMaxPooling1D | keras.layers.Flatten):
                break
            _check_local(layer)
            self._local.append(layer)
            reached.add(id(layer.output))
        else:
            raise NotLocalError("no global layer")
        self._end = layer
        if isinstance(layer, keras.layers.Flatten):
            dense = layers.pop(0) if layers else None
            if not isinstance(dense, keras.layers.Dense) or dense.input is not layer.output:
                raise NotLocalError("Flatten without Dense")
            self._dense: keras.layers.Dense | None = dense
            start = dense.output
        else:
            self._dense = None
            start = layer.output
        try:
            self._tail = keras.Model(start, body.output)
            self._reference = keras.Model(body.input, [body.input, *self._outputs()])
        except ValueError as exc:  # something bypasses the end of the local layers
            raise NotLocalError(str(exc)) from exc

    def _outputs(self) -> list[Any]:
        return [layer.output for layer in self._local]

    @property
    def share(self) -> float:
        """Share of the positions of the local layers that a substitution in the middle changes."""
        if self._is_one_maximum():
            return 0.0
        codes = np.zeros((1, self.length), np.uint8)
        changed = self._changed(codes, self.length // 2, self._whole(codes))
        shares = [
            changed[id(tensor)].values.shape[1] / tensor.shape[1] for tensor in self._outputs()
        ]
        return float(np.mean(shares))

    def substituted(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (n, L, 3, outputs) of base codes (n, L) after substitutions.

        Change k puts base (code + k + 1) mod 4 in the place of a base; an N is left as it is.
        """
        features = self._features(codes) if self._is_one_maximum() else self._general(codes)
        flat = features.reshape(-1, features.shape[-1])
        scores = ops.convert_to_numpy(self._tail.predict_on_batch(flat))
        return np.asarray(scores, np.float32).reshape(*features.shape[:3], -1)

    # -- one convolution and a maximum ---------------------------------------------------------

    def _is_one_maximum(self) -> bool:
        """Return whether the local part is a plain convolution, then a global maximum."""
        if self._dense is not None or not isinstance(self._local[0], keras.layers.Conv1D):
            return False
        first, others = self._local[0], self._local[1:]
        plain = first.strides == (1,) and first.dilation_rate == (1,)
        dropouts = all(isinstance(layer, keras.layers.Dropout) for layer in others)
        return plain and dropouts and first.activation in _MONOTONE

    def _features(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        layer = self._local[0]
        kernel = _table(layer)
        left, right = _padding(layer, self.length)
        padded = np.pad(codes, ((0, 0), (left, right)), constant_values=N_CODE)
        activations = ops.convert_to_numpy(_before_activation(layer, _one_hot(padded)))
        edge = np.full_like(activations[:, :1], -np.inf)
        before = np.maximum.accumulate(np.concatenate([edge, activations], axis=1), axis=1)
        after = np.concatenate([activations, edge], axis=1)[:, ::-1]
        after = np.ascontiguousarray(np.maximum.accumulate(after, axis=1)[:, ::-1])
        found = np.empty((*padded.shape, CHANGES, activations.shape[2]), np.float32)
        best_matches(np.ascontiguousarray(activations), before, after, padded, kernel, found)
        found = found[:, left : left + self.length]
        return np.asarray(ops.convert_to_numpy(layer.activation(found)))

    # -- any local network ---------------------------------------------------------------------

    def _general(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        whole = self._whole(codes)
        end = whole[id(self._end.input)]
        if self._dense is None:
            begin = ops.convert_to_numpy(end)
            edge = np.full_like(begin[:, :1], -np.inf)
            before = np.maximum.accumulate(np.concatenate([edge, begin], axis=1), axis=1)
            after = np.concatenate([begin, edge], axis=1)[:, ::-1]
            after = np.maximum.accumulate(after, axis=1)[:, ::-1]
        else:
            weights = self._dense.kernel
            base = ops.matmul(ops.reshape(end, (len(codes), -1)), weights)
            if self._dense.bias is not None:
                base = base + self._dense.bias
        features = []
        for place in range(self.length):
            changed = self._changed(codes, place, whole)[id(self._end.input)]
            if self._dense is None:
                inside = ops.convert_to_numpy(ops.max(changed.values, axis=1))
                outside = np.maximum(before[:, changed.first], after[:, changed.end])
                features.append(np.maximum(_thrice(outside), inside))
                continue
            channels = int(end.shape[2])
            old = ops.convert_to_tensor(end)[:, changed.first : changed.end]
            gained = ops.reshape(changed.values - _thrice(old), (CHANGES * len(codes), -1))
            part = weights[changed.first * channels : changed.end * channels]
            sums = _thrice(base) + ops.matmul(gained, part)
            features.append(ops.convert_to_numpy(self._dense.activation(sums)))
        stacked = np.stack(features, axis=1).reshape(CHANGES, len(codes), self.length, -1)
        return np.ascontiguousarray(stacked.transpose(1, 2, 0, 3), np.float32)

    def _whole(self, codes: NDArray[np.uint8]) -> dict[int, Any]:
        """Return the input and the local layers of the sequences themselves, by tensor."""
        tensors = self._reference(_one_hot(codes), training=False)
        keys = [id(tensor) for tensor in (self._input, *self._outputs())]
        return dict(zip(keys, tensors, strict=True))

    def _changed(
        self, codes: NDArray[np.uint8], place: int, whole: dict[int, Any]
    ) -> dict[int, _Changed]:
        """Return what the substitutions at one place change of the input and the local layers."""
        old = codes[:, place]
        new = np.concatenate(
            [np.where(old < N_CODE, (old + k + 1) % 4, old) for k in range(CHANGES)]
        )
        changed = {id(self._input): _Changed(place, _one_hot(new[:, None]))}
        for layer in self._local:
            parts = [changed[id(one)] for one in _inputs(layer)]
            references = [whole[id(one)] for one in _inputs(layer)]
            apply = next(rule for kind, rule in _RULES if isinstance(layer, kind))
            changed[id(layer.output)] = apply(layer, parts, references)
        return changed


def _thrice(values: Any) -> Any:
    """Repeat reference rows for the three changes of every row: all first changes come first."""
    join = np.concatenate if isinstance(values, np.ndarray) else ops.concatenate
    return join([values] * CHANGES, axis=0)


def _one_hot(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return one_hot(codes).astype(np.float32)


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    return list(layer.input) if isinstance(layer.input, list | tuple) else [layer.input]


def _check_once(layer: keras.layers.Layer) -> None:
    try:
        _ = layer.input, layer.output
    except (AttributeError, ValueError) as exc:  # called more than once
        raise NotLocalError(layer.name) from exc


def _check_local(layer: keras.layers.Layer) -> None:
    """Raise an error unless there is a rule for the layer and its options."""
    if not any(isinstance(layer, kind) for kind, _ in _RULES):
        raise NotLocalError(f"{layer.name} ({type(layer).__name__})")
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    same = isinstance(layer, _POOLS) and layer.padding != "valid"
    causal = getattr(layer, "padding", "valid") == "causal"
    grouped = getattr(layer, "groups", 1) != 1
    flat = isinstance(layer, keras.layers.BatchNormalization) and layer.axis not in (-1, 2)
    if not last or same or causal or grouped or flat:
        raise NotLocalError(f"{layer.name} ({type(layer).__name__})")


def _padding(layer: keras.layers.Conv1D, length: int) -> tuple[int, int]:
    """Return the zeros that a convolution puts before and after an input of a length."""
    if layer.padding == "valid":
        return 0, 0
    reach = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
    stride = layer.strides[0]
    total = max(0, (-(-length // stride) - 1) * stride + reach - length)
    return total // 2, total - total // 2


def _table(layer: keras.layers.Conv1D) -> NDArray[np.float32]:
    """Return the kernel of a first convolution with a row of zeros for N (width, 5, filters)."""
    kernel = np.asarray(ops.convert_to_numpy(layer.kernel), np.float32)
    return np.ascontiguousarray(np.pad(kernel, ((0, 0), (0, 1), (0, 0))))


def _before_activation(layer: keras.layers.Conv1D, values: Any) -> Any:
    """Convolve without padding."""
    found = ops.conv(values, layer.kernel, strides=layer.strides, dilation_rate=layer.dilation_rate)
    return found if layer.bias is None else found + layer.bias


def _patched(changed: _Changed, reference: Any, first: int, end: int) -> Any:
    """Return the positions [first, end) after the substitutions; outside the layer are zeros."""
    parts = []
    size = int(reference.shape[1])
    rows, _, channels = changed.values.shape
    if first < 0:
        parts.append(ops.zeros((rows, -first, channels), reference.dtype))
    if max(first, 0) < changed.first:
        parts.append(_thrice(reference[:, max(first, 0) : min(changed.first, end)]))
    low, high = max(first, changed.first), min(end, changed.end)
    if low < high:
        parts.append(changed.values[:, low - changed.first : high - changed.first])
    if changed.end < min(end, size):
        parts.append(_thrice(reference[:, max(first, changed.end) : min(end, size)]))
    if end > size:
        parts.append(ops.zeros((rows, end - size, channels), reference.dtype))
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _windowed(
    layer: Any, changed: _Changed, reference: Any, *, reach: int, stride: int, left: int
) -> tuple[int, Any]:
    """Return the first output position that sees a change, and the input of all that do."""
    size = int(layer.output.shape[1])
    first = max(0, -(-(changed.first + left - reach + 1) // stride))
    last = min(size - 1, (changed.end - 1 + left) // stride)
    last = max(last, first)  # a strided layer may skip the change: one position, as it was
    first = min(first, size - 1)
    last = min(last, size - 1)
    return first, _patched(changed, reference, first * stride - left, last * stride - left + reach)


def _convolved(layer: Any, changed: list[_Changed], references: list[Any]) -> _Changed:
    left, _ = _padding(layer, int(references[0].shape[1]))
    reach = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
    first, values = _windowed(
        layer, changed[0], references[0], reach=reach, stride=layer.strides[0], left=left
    )
    return _Changed(first, layer.activation(_before_activation(layer, values)))


def _pooled(layer: Any, changed: list[_Changed], references: list[Any]) -> _Changed:
    first, values = _windowed(
        layer,
        changed[0],
        references[0],
        reach=layer.pool_size[0],
        stride=layer.strides[0],
        left=0,
    )
    return _Changed(first, layer(values))


def _summed(layer: Any, changed: list[_Changed], references: list[Any]) -> _Changed:
    first, end = min(one.first for one in changed), max(one.end for one in changed)
    pairs = zip(changed, references, strict=True)
    return _Changed(first, layer([_patched(one, whole, first, end) for one, whole in pairs]))


def _pointwise(layer: Any, changed: list[_Changed], references: list[Any]) -> _Changed:
    del references
    return _Changed(changed[0].first, layer(changed[0].values, training=False))


_Rule = Callable[[Any, list[_Changed], list[Any]], _Changed]
_RULES: tuple[tuple[Any, _Rule], ...] = (
    (keras.layers.Conv1D, _convolved),
    (_POOLS, _pooled),
    (keras.layers.Add, _summed),
    (_POINTWISE, _pointwise),
)
