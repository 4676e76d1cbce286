"""A model with augmentation in front of it. It is trained; the model inside is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from ssldata.project.training_section import Augment
from sslmodels.layers import augment
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel
from sslmodels.models.registry import Seeds


def augmentations(options: Augment, *, seed: int, originals: bool) -> list[augment.Augmentation]:
    """Return the layers of a training phase.

    Parameters
    ----------
    options
        ``training.augment``.
    seed
        Seed of all draws.
    originals
        The phase trains on unchanged sequences, except for their strand.
    """
    seeds = Seeds(seed)
    layers: list[augment.Augmentation] = []
    if options.reverse_complement:
        layers.append(augment.ReverseComplement(rate=options.reverse_complement, seed=seeds.next()))
    if originals:
        return layers
    if options.shift:
        layers.append(augment.Shift(flank=options.shift, seed=seeds.next()))
    for kind, length in (
        (augment.Deletion, options.deletion),
        (augment.Insertion, options.insertion),
        (augment.Inversion, options.inversion),
        (augment.Translocation, options.translocation),
    ):
        if length:
            layers.append(kind(min_length=0, max_length=length, rate=1.0, seed=seeds.next()))
    if options.mutation:
        layers.append(augment.Mutation(fraction=options.mutation, seed=seeds.next()))
    if options.noise:
        layers.append(augment.Noise(sd=options.noise, seed=seeds.next()))
    return layers


class Augmented(keras.Model):
    """A model that sees augmented sequences in training, and unchanged ones otherwise.

    Its weights are those of the model inside, so restoring the best weights restores that model.

    Parameters
    ----------
    inner
        The model inside, which reads base codes (B, L) and one-hot (B, L, 4).
    layers
        Applied one after the other; all but noise read codes.

    Attributes
    ----------
    length
        Bases read in training: those of the model inside plus the flanks of a shift.
    """

    def __init__(self, inner: SequenceModel, layers: Sequence[augment.Augmentation]) -> None:
        super().__init__(name="augmented")
        self.inner = inner
        self.augmentations = list(layers)
        flanks = [layer.flank for layer in layers if isinstance(layer, augment.Shift)]
        self.length = inner.length + 2 * sum(flanks)
        self.build((None, self.length))

    def build(self, input_shape: Any) -> None:
        """Build the layers of augmentation; the model inside is built already."""
        for layer in self.augmentations:
            if isinstance(layer, augment.Noise):
                input_shape = (*input_shape, CHANNELS)
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return probabilities (B, outputs)."""
        if training:
            for layer in self.augmentations:
                if isinstance(layer, augment.Noise):
                    inputs = self.inner.encode(inputs)
                inputs = layer(inputs, training=True)
        return self.inner(inputs, training=training)
