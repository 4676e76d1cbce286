"""The encoding layer and the model around every network; needed to load a saved ``.keras`` file."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

#: Prefix of the names under which Keras finds these classes in a ``.keras`` file.
PACKAGE = "crosslabel"

#: One-hot channels, in the order A, C, G, T.
CHANNELS = 4

#: Rows scored at once, unless the largest output of a layer would have more numbers than this.
_SCORE_BATCH, _SCORE_NUMBERS = 1024, 350_000_000


@keras.saving.register_keras_serializable(package=PACKAGE)
class OneHot(keras.layers.Layer):
    """Turn base codes into one-hot vectors; one-hot input passes through.

    The layer has no parameters. Base codes are what is sent from the store to the device (a quarter
    of the bytes of uint8 one-hot, a sixteenth of float32); they are expanded here.

    Input is codes, integer (B, L) with A C G T = 0 1 2 3 and anything else N, or one-hot of any
    type (B, L, 4). Output is (B, L, 4) in the layer's compute type; N is four zeros.
    """

    def __init__(self, **options: Any) -> None:
        # Codes are integers: Keras must not cast them to the compute type (float16 is lossy).
        super().__init__(autocast=False, **options)

    def call(self, inputs: Any) -> Any:
        """Return one-hot (B, L, 4) for codes (B, L) or one-hot (B, L, 4)."""
        if getattr(inputs.shape, "rank", len) is None:
            # TensorFlow, once it has seen both kinds of input, traces for any rank.
            return self._call_unknown_rank(inputs)
        if len(inputs.shape) == 3:
            return self._pass(inputs)
        return self._expand(inputs)

    def _pass(self, one_hot: Any) -> Any:
        return ops.cast(one_hot, self.compute_dtype)

    def _expand(self, codes: Any) -> Any:
        # Codes out of range, N among them, give zeros.
        if keras.backend.backend() == "torch":  # its one_hot refuses them
            bases = ops.arange(CHANNELS, dtype=codes.dtype)
            return ops.cast(ops.equal(codes[..., None], bases), self.compute_dtype)
        return ops.one_hot(codes, CHANNELS, dtype=self.compute_dtype)

    def _call_unknown_rank(self, inputs: Any) -> Any:
        import tensorflow as tf  # only TensorFlow has tensors of unknown rank

        encoded = tf.cond(
            tf.equal(tf.rank(inputs), 3), lambda: self._pass(inputs), lambda: self._expand(inputs)
        )
        return tf.ensure_shape(encoded, (None, None, CHANNELS))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (B, L, 4)."""
        return (*input_shape[:2], CHANNELS)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        config = super().get_config()
        config.pop("autocast", None)
        return config


@keras.saving.register_keras_serializable(package=PACKAGE)
class SequenceModel(keras.Model):
    """A network on DNA that reads base codes or one-hot.

    A functional Keras model accepts one shape only; this wrapper puts :class:`OneHot` in front of
    a functional `body`, so the same saved model scores codes (B, L) and one-hot (B, L, 4).
    Attribution and feature extraction work on `body`, whose input is one-hot.

    Parameters
    ----------
    body
        Functional model from one-hot (B, L, 4) to probabilities (B, outputs).
    both_strands
        Outside training, return the mean of the probabilities of a sequence and of its reverse
        complement. Training reads one strand, as given.
    """

    def __init__(self, body: keras.Model, *, both_strands: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.encode = OneHot(name="one_hot")
        self.body = body
        self.both_strands = both_strands
        self.build((None, self.length))

    @property
    def length(self) -> int:
        """Bases the model reads."""
        return int(self.body.input_shape[1])

    @property
    def score_batch(self) -> int:
        """Rows to score at once: enough to keep the cores busy, within some GB of memory."""
        shapes = [
            tensor.shape[1:]
            for layer in self.body.layers
            for tensor in keras.tree.flatten(layer.output)
        ]
        largest = max((math.prod(shape) for shape in shapes if None not in shape), default=1)
        return max(1, min(_SCORE_BATCH, _SCORE_NUMBERS // max(largest, 1)))

    def build(self, input_shape: Any) -> None:
        """Mark as built: the body is built already, and the encoder has no weights."""
        del input_shape
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return probabilities (B, outputs)."""
        one_hot = self.encode(inputs)
        if training or not self.both_strands:
            return self.body(one_hot, training=training)
        # With channels in the order A, C, G, T the complement reverses the channels.
        other = self.body(ops.flip(one_hot, axis=(1, 2)), training=training)
        return (self.body(one_hot, training=training) + other) / 2

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the model."""
        config = super().get_config()
        config["body"] = keras.saving.serialize_keras_object(self.body)
        config["both_strands"] = self.both_strands
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> SequenceModel:
        """Rebuild the model of :meth:`get_config`."""
        config = dict(config)
        config["body"] = keras.saving.deserialize_keras_object(
            config["body"], custom_objects=custom_objects
        )
        return cls(**config)
