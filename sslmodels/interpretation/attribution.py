"""Attributions: what each base of a sequence contributes to its score, in log-odds."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import logit

from ssldata.base.errors import ConfigError
from ssldata.base.progress import Progress
from ssldata.genomes.onehot import N_CODE, one_hot
from sslmodels.fit.devices import backend
from sslmodels.interpretation.saturation import saturation
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel

Method = Literal["mutagenesis", "gradient", "integrated"]

#: Points of the path of integrated gradients, and sequences at once.
_STEPS, _ROWS = 32, 64

#: Probabilities closer to 0 or 1 than this are rounding of float32.
_EPSILON = 1e-7


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
    if backend() != "tensorflow":
        raise ConfigError(
            f"method {method!r} needs Keras on TensorFlow (found {backend()}); use mutagenesis"
        )
    rows = range(0, len(codes), _ROWS)
    take = _gradient_times_input if method == "gradient" else _integrated
    parts = [take(model, one_hot(codes[i : i + _ROWS]).astype(np.float32), output) for i in rows]
    found = np.concatenate(parts)
    found[codes >= N_CODE] = 0
    return found


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


def _gradients(model: SequenceModel, inputs: Any, output: int) -> Any:
    inputs = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = _differentiable(model, inputs)[:, output]
    return tape.gradient(z, inputs)


def _differentiable(model: SequenceModel, inputs: Any) -> Any:
    """Return log-odds whose gradient does not vanish where a probability rounds to 0 or 1."""
    own = _logits(model.body, inputs)
    if not model.both_strands:
        return own
    other = _logits(model.body, tf.reverse(inputs, axis=[1, 2]))
    # Of the mean probability, from the logarithms of both.
    sure = tf.reduce_logsumexp(tf.stack([tf.math.log_sigmoid(own), tf.math.log_sigmoid(other)]), 0)
    not_ = tf.reduce_logsumexp(
        tf.stack([tf.math.log_sigmoid(-own), tf.math.log_sigmoid(-other)]), 0
    )
    return sure - not_


def _logits(body: keras.Model, inputs: Any) -> Any:
    last = body.layers[-1]
    if isinstance(last, keras.layers.Dense) and last.activation is keras.activations.sigmoid:
        hidden = keras.Model(body.input, last.input)(inputs, training=False)
        return tf.matmul(hidden, last.kernel) + (0.0 if last.bias is None else last.bias)
    p = tf.clip_by_value(body(inputs, training=False), _EPSILON, 1 - _EPSILON)
    return tf.math.log(p) - tf.math.log1p(-p)


def _gradient_times_input(
    model: SequenceModel, inputs: NDArray[np.float32], output: int
) -> NDArray[np.float32]:
    return np.asarray((_gradients(model, inputs, output) * inputs).numpy().sum(axis=2))


def _integrated(
    model: SequenceModel, inputs: NDArray[np.float32], output: int
) -> NDArray[np.float32]:
    start = np.full_like(inputs, 1 / CHANNELS)
    total = np.zeros_like(inputs)
    for step in range(_STEPS):
        point = start + (inputs - start) * np.float32((step + 0.5) / _STEPS)
        total += _gradients(model, point, output).numpy()
    return np.asarray(((inputs - start) * total / _STEPS).sum(axis=2))
