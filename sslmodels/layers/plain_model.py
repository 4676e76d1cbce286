"""A model as built-in layers only, which plain Keras loads, and back."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from sslmodels.layers.sequence_model import CHANNELS, SequenceModel

#: Name of the layer that averages the two strands; it marks a plain model that reads both.
_BOTH = "both_strands"


def plain_model(model: SequenceModel) -> keras.Model:
    """Return a model as a functional one from one-hot (B, L, 4), float32, to probabilities.

    It shares its layers and weights with the model. The encoding of codes is left out, and the mean
    over both strands is made of built-in layers, so a file of it needs none of our classes (of a
    user's own architecture: none but the user's).
    """
    body = model.body
    if not model.both_strands:
        return keras.Model(body.inputs, body.outputs, name=model.name)
    sequence = keras.Input((model.length, CHANNELS), name="one_hot")
    # With channels in the order A, C, G, T the complement reverses the channels.
    other = keras.ops.flip(sequence, axis=(1, 2))
    mean = keras.layers.Average(name=_BOTH)([body(sequence), body(other)])
    return keras.Model(sequence, mean, name=model.name)


def is_plain(model: keras.Model) -> bool:
    """Return whether a model is a functional one that reads one-hot (B, L, 4)."""
    return _of_keras(model) and len(model.inputs) == 1 and model.inputs[0].shape[2:] == (CHANNELS,)


def from_plain(plain: keras.Model) -> SequenceModel:
    """Return the model that :func:`plain_model` made plain; it shares layers and weights."""
    both = any(layer.name == _BOTH for layer in plain.layers)
    body = (
        plain.get_layer("body") if both else keras.Model(plain.inputs, plain.outputs, name="body")
    )
    return SequenceModel(body, both_strands=both, name=plain.name)


def other_layers(plain: keras.Model) -> list[str]:
    """Return the names of the layers that plain Keras cannot load with ``safe_mode`` on.

    These are layers of other packages, and ``Lambda``, which holds a Python function.
    """
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in _layers(plain)
        if not _of_keras(layer) or isinstance(layer, keras.layers.Lambda)
    ]


def _of_keras(layer: keras.layers.Layer) -> bool:
    """Return whether Keras itself has the class of a layer or model."""
    return type(layer).__module__.partition(".")[0] == "keras"


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
