"""Attributions: what each base of a sequence contributes to its score, in log-odds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import logit

from ssldata.base.errors import ConfigError
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import N_CODE, one_hot
from sslmodels.fit.devices import backend
from sslmodels.interpretation.saturation import saturation
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel

Method = Literal["mutagenesis", "gradient", "integrated"]

#: From inputs (n, L, 4) to a tensor.
_Function = Callable[[Any], Any]

#: Points of the path of integrated gradients, and sequences at once.
_STEPS, _ROWS = 32, 64

#: Probabilities closer to 0 or 1 than this are rounding of float32.
_EPSILON = 1e-7


@dataclass(frozen=True)
class PathAttribution:
    """Integrated gradients of the log-odds of an output, base by base.

    Attributes
    ----------
    matrix
        float32 (n, L, 4): attribution of every channel at every position; 0 at an N.
    score, baseline
        float64 (n,): log-odds of the sequences, and of the baselines they start from.
    """

    matrix: NDArray[np.float32]
    score: NDArray[np.float64]
    baseline: NDArray[np.float64]

    @property
    def gap(self) -> NDArray[np.float64]:
        """How far the attributions of a sequence are from adding up to score − baseline."""
        return self.matrix.sum(axis=(1, 2), dtype=np.float64) - (self.score - self.baseline)


def contributions(
    model: SequenceModel,
    codes: NDArray[np.uint8],
    *,
    method: Method = "mutagenesis",
    output: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return what every base of base codes (n, L) contributes to the log-odds of an output.

    Parameters
    ----------
    model
        A model that reads bases.
    codes
        uint8 (n, L); an N contributes 0.
    method
        ``mutagenesis``: log-odds of the sequence minus the mean over the three other bases there;
        ``gradient``: gradient × input; ``integrated``: integrated gradients (Sundararajan et al.
        2017) from a sequence of equal parts of all bases, whose sum is the difference of log-odds.
    output
        Number of the output.
    progress
        Progress reporter, for mutagenesis.

    Raises
    ------
    ConfigError
        No such method, or one that needs gradients with Keras on another backend than TensorFlow.
    """
    if method not in get_args(Method):
        raise ConfigError(f"no method {method!r}; there are {', '.join(get_args(Method))}")
    if method == "mutagenesis":
        return _mutagenesis(saturation(model, codes, progress=progress)[..., output], codes)
    _require_gradients(f"method {method!r}", "use mutagenesis")
    rows = range(0, len(codes), _ROWS)
    take = _gradient_times_input if method == "gradient" else _integrated
    differentiable = _differentiable(model, output)
    parts = [take(differentiable, one_hot(codes[i : i + _ROWS]).astype(np.float32)) for i in rows]
    found = np.concatenate(parts)
    found[codes >= N_CODE] = 0
    return found


def integrated_gradients(
    model: SequenceModel,
    codes: NDArray[np.uint8],
    *,
    output: int = 0,
    steps: int = 20,
    progress: Progress | None = None,
) -> PathAttribution:
    """Return the integrated gradients of an output's log-odds (Sundararajan et al. 2017).

    The path starts from .25 in every channel; an N, which a model reads as four zeros, stays one
    along it. Gradients are taken in the middle of every step.

    Parameters
    ----------
    model
        A model that reads bases.
    codes
        uint8 (n, L).
    output
        Number of the output.
    steps
        Points of the path.
    progress
        Progress reporter, advanced by sequences.

    Raises
    ------
    ConfigError
        Keras runs on another backend than TensorFlow.
    """
    _require_gradients("integrated gradients", "set KERAS_BACKEND=tensorflow")
    matrix = np.zeros((*codes.shape, CHANNELS), np.float32)
    ends = np.zeros((2, len(codes)))
    points = [tf.TensorSpec((None, codes.shape[1], CHANNELS), tf.float32)]
    # Compiled: thousands of points are asked for.
    value = tf.function(_differentiable(model, output), input_signature=points)
    gradients = tf.function(partial(_gradients, value), input_signature=points)
    with (progress or NoProgress()).task("integrated gradients", total=len(codes)) as advance:
        for first in range(0, len(codes), _ROWS):
            here = slice(first, min(first + _ROWS, len(codes)))
            inputs = one_hot(codes[here]).astype(np.float32)
            start = np.where(codes[here, :, None] < N_CODE, np.float32(1 / CHANNELS), inputs)
            slopes = _path_sum(gradients, inputs, start, steps)
            matrix[here] = (inputs - start) * slopes / np.float32(steps)
            for place, point in enumerate((inputs, start)):
                ends[place, here] = value(point).numpy()
            advance(here.stop - first)
    return PathAttribution(matrix, ends[0], ends[1])


def _require_gradients(what: str, instead: str) -> None:
    if backend() != "tensorflow":
        raise ConfigError(f"{what} needs Keras on TensorFlow (found {backend()}); {instead}")


def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-odds; of probabilities of 0 and 1 that float32 rounded, ±16."""
    clipped = np.clip(probabilities.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(logit(clipped), np.float32)


def _mutagenesis(scores: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the contributions of scores (n, L, 4) in which the sequence's own is repeated."""
    z = log_odds(scores)
    bases = np.minimum(codes, CHANNELS - 1)[..., None]
    own = np.take_along_axis(z, bases, axis=2)[..., 0]
    others = (z.sum(axis=2) - own) / (CHANNELS - 1)
    return np.where(codes < N_CODE, own - others, 0).astype(np.float32)


def _gradients(differentiable: _Function, inputs: Any) -> Any:
    inputs = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = differentiable(inputs)
    return tape.gradient(z, inputs)


def _differentiable(model: SequenceModel, output: int) -> _Function:
    """Return log-odds whose gradient does not vanish where a probability rounds to 0 or 1."""
    logits = _logits(model.body)

    def of_one_strand(inputs: Any) -> Any:
        return logits(inputs)[:, output]

    def of_both(inputs: Any) -> Any:
        own, other = of_one_strand(inputs), of_one_strand(tf.reverse(inputs, axis=[1, 2]))
        # Of the mean probability, from the logarithms of both.
        sure = tf.stack([tf.math.log_sigmoid(own), tf.math.log_sigmoid(other)])
        not_ = tf.stack([tf.math.log_sigmoid(-own), tf.math.log_sigmoid(-other)])
        return tf.reduce_logsumexp(sure, 0) - tf.reduce_logsumexp(not_, 0)

    return of_both if model.both_strands else of_one_strand


def _logits(body: keras.Model) -> _Function:
    last = body.layers[-1]
    if isinstance(last, keras.layers.Dense) and last.activation is keras.activations.sigmoid:
        before = keras.Model(body.input, last.input)

        def exact(inputs: Any) -> Any:
            hidden = before(inputs, training=False)
            return tf.matmul(hidden, last.kernel) + (0.0 if last.bias is None else last.bias)

        return exact

    def clipped(inputs: Any) -> Any:
        p = tf.clip_by_value(body(inputs, training=False), _EPSILON, 1 - _EPSILON)
        return tf.math.log(p) - tf.math.log1p(-p)

    return clipped


def _gradient_times_input(
    differentiable: _Function, inputs: NDArray[np.float32]
) -> NDArray[np.float32]:
    return np.asarray((_gradients(differentiable, inputs) * inputs).numpy().sum(axis=2))


def _integrated(differentiable: _Function, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    start = np.full_like(inputs, 1 / CHANNELS)
    total = _path_sum(partial(_gradients, differentiable), inputs, start, _STEPS)
    return np.asarray(((inputs - start) * total / _STEPS).sum(axis=2))


def _path_sum(
    gradients: _Function, inputs: NDArray[np.float32], start: NDArray[np.float32], steps: int
) -> NDArray[np.float32]:
    """Return the sum of the gradients at points between `start` and `inputs`."""
    total = np.zeros_like(inputs)
    for step in range(steps):
        point = start + (inputs - start) * np.float32((step + 0.5) / steps)
        total += gradients(point).numpy()
    return total
