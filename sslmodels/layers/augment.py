"""Augmentation of training sequences, drawn independently for every sequence from a seed.

Layers on base codes, integer (B, L), that do nothing outside training and keep the length (except
:class:`Shift`). They stand in front of a model, whose checkpoints include their random state:
resumed training draws what uninterrupted training would. The kinds follow EvoAug (Lee, Tang, Koo,
Genome Biology 2023, doi:10.1186/s13059-023-02941-w); all but the noise, which needs one-hot, work
on codes.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sslmodels.layers.sequence_model import PACKAGE

#: Code of an unknown base, which has no complement and is not mutated.
_N = 4


def _complement(codes: Any) -> Any:
    return ops.where(codes < _N, 3 - codes, codes)


class Augmentation(keras.layers.Layer):
    """Base class: decides for each sequence whether it is changed.

    Parameters
    ----------
    rate
        Probability that a sequence is changed.
    seed
        Seed of all draws of the layer.

    Raises
    ------
    ValueError
        `rate` is not a probability.
    """

    #: Names of the settings that a saved model holds.
    settings: tuple[str, ...] = ("rate", "seed")

    def __init__(self, *, rate: float, seed: int, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"rate {rate}: expected a probability, 0 to 1")
        self.rate = rate
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the sequences, some of them changed when `training`."""
        if not training:
            return self.unchanged(inputs)
        rows = ops.shape(inputs)[0]
        axes = (rows, *(1 for _ in range(len(inputs.shape) - 1)))
        chosen = self.uniform(axes) < self.rate
        return ops.where(chosen, self.changed(inputs), self.unchanged(inputs))

    def unchanged(self, inputs: Any) -> Any:
        """Return every sequence as it is when it is not chosen."""
        return inputs

    def changed(self, inputs: Any) -> Any:
        """Return every sequence changed."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` needs."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.settings}}

    # -- draws -------------------------------------------------------------------------------

    def uniform(self, shape: tuple[Any, ...]) -> Any:
        """Return numbers in [0, 1)."""
        return keras.random.uniform(shape, seed=self.random)

    def integers(self, rows: Any, low: Any, high: Any) -> Any:
        """Return int32 (rows, 1) in [low, high]; the bounds may differ between rows."""
        span = ops.cast(high - low + 1, "float32")
        drawn = ops.cast(ops.floor(self.uniform((rows, 1)) * span), "int32")
        # float32 may round the product up to the span.
        return low + ops.minimum(drawn, high - low)

    def bases(self, like: Any) -> Any:
        """Return random bases in the shape and type of `like`."""
        return ops.cast(ops.floor(self.uniform(ops.shape(like)) * 4), like.dtype)


class _Segment(Augmentation):
    """Base class of the layers that draw the length of a segment."""

    settings = (*Augmentation.settings, "min_length", "max_length")

    def __init__(
        self, *, min_length: int = 1, max_length: int = 20, rate: float, seed: int, **options: Any
    ) -> None:
        super().__init__(rate=rate, seed=seed, **options)
        if not 0 <= min_length <= max_length:
            raise ValueError(
                f"lengths {min_length} to {max_length}: expected 0 ≤ min_length ≤ max_length"
            )
        self.min_length = min_length
        self.max_length = max_length

    def build(self, input_shape: Any) -> None:
        """Check that the longest segment fits."""
        if self.max_length > input_shape[1]:
            raise ValueError(
                f"{self.name}: max_length {self.max_length} is longer than the sequences "
                f"({input_shape[1]} b)"
            )

    def drawn(self, codes: Any) -> tuple[Any, Any]:
        """Return positions int32 (1, L) and lengths int32 (B, 1)."""
        length = self.integers(ops.shape(codes)[0], self.min_length, self.max_length)
        return ops.arange(codes.shape[1], dtype="int32")[None, :], length


@keras.saving.register_keras_serializable(package=PACKAGE)
class ReverseComplement(Augmentation):
    """Replace sequences by their reverse complement; codes, or one-hot in A, C, G, T order."""

    def __init__(self, *, rate: float = 0.5, seed: int, **options: Any) -> None:
        super().__init__(rate=rate, seed=seed, **options)

    def changed(self, inputs: Any) -> Any:
        """Return the other strand of every sequence."""
        if len(inputs.shape) == 3:
            return ops.flip(inputs, axis=(1, 2))
        return _complement(ops.flip(inputs, axis=1))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Shift(Augmentation):
    """Take a window up to `flank` bases off the centre of longer sequences.

    The input has `flank` more bases on each side than the output, (B, L + 2 flank) → (B, L), so
    the genome's own sequence is shifted in; outside training the centre is taken.
    """

    settings = (*Augmentation.settings, "flank")

    def __init__(self, *, flank: int, rate: float = 1.0, seed: int, **options: Any) -> None:
        super().__init__(rate=rate, seed=seed, **options)
        if flank < 0:
            raise ValueError(f"flank {flank}: expected 0 or more bases")
        self.flank = flank

    def build(self, input_shape: Any) -> None:
        """Check that bases remain between the flanks."""
        if input_shape[1] <= 2 * self.flank:
            raise ValueError(
                f"{self.name}: sequences of {input_shape[1]} b have no room for two flanks of "
                f"{self.flank} b; build the store with a longer 'windows.context'"
            )

    def unchanged(self, inputs: Any) -> Any:
        """Return the centre of every sequence."""
        return inputs[:, self.flank : inputs.shape[1] - self.flank]

    def changed(self, inputs: Any) -> Any:
        """Return a window at a random offset of every sequence."""
        length = inputs.shape[1] - 2 * self.flank
        offset = self.integers(ops.shape(inputs)[0], 0, 2 * self.flank)
        return ops.take_along_axis(inputs, offset + ops.arange(length, dtype="int32")[None, :], 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape without the flanks."""
        return (input_shape[0], input_shape[1] - 2 * self.flank)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Mutation(Augmentation):
    """Replace each base by one of the three others, with probability `fraction`."""

    settings = (*Augmentation.settings, "fraction")

    def __init__(
        self, *, fraction: float = 0.05, rate: float = 1.0, seed: int, **options: Any
    ) -> None:
        super().__init__(rate=rate, seed=seed, **options)
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction {fraction}: expected 0 to 1")
        self.fraction = fraction

    def changed(self, inputs: Any) -> Any:
        """Return every sequence with point mutations."""
        hit = (self.uniform(ops.shape(inputs)) < self.fraction) & (inputs < _N)
        step = ops.cast(1 + ops.floor(self.uniform(ops.shape(inputs)) * 3), inputs.dtype)
        return ops.where(hit, (inputs + step) % 4, inputs)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Deletion(_Segment):
    """Cut out a segment; random bases pad both ends, so that the rest stays in the middle."""

    def changed(self, inputs: Any) -> Any:
        """Return every sequence with a deletion."""
        position, length = self.drawn(inputs)
        size = inputs.shape[1]
        start = self.integers(ops.shape(inputs)[0], 0, size - length)
        # Position in the shortened sequence, which begins after the padding of the left end.
        place = position - length // 2
        source = ops.where(place < start, place, place + length)
        inside = (place >= 0) & (place < size - length)
        kept = ops.take_along_axis(inputs, ops.clip(source, 0, size - 1), 1)
        return ops.where(inside, kept, self.bases(inputs))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Insertion(_Segment):
    """Insert random bases; both ends are trimmed, so that the rest stays in the middle."""

    def changed(self, inputs: Any) -> Any:
        """Return every sequence with an insertion."""
        position, length = self.drawn(inputs)
        size = inputs.shape[1]
        # Position in the lengthened sequence, of which both ends are trimmed.
        place = position + length // 2
        start = self.integers(ops.shape(inputs)[0], 0, ops.full_like(length, size))
        source = ops.where(place < start, place, place - length)
        new = (place >= start) & (place < start + length)
        kept = ops.take_along_axis(inputs, ops.clip(source, 0, size - 1), 1)
        return ops.where(new, self.bases(inputs), kept)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Inversion(_Segment):
    """Replace a segment by its reverse complement."""

    def changed(self, inputs: Any) -> Any:
        """Return every sequence with an inversion."""
        position, length = self.drawn(inputs)
        size = inputs.shape[1]
        start = self.integers(ops.shape(inputs)[0], 0, size - length)
        inside = (position >= start) & (position < start + length)
        source = ops.where(inside, 2 * start + length - 1 - position, position)
        taken = ops.take_along_axis(inputs, source, 1)
        return ops.where(inside, _complement(taken), taken)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Translocation(_Segment):
    """Move a segment of the drawn length from one end of the sequence to the other."""

    def changed(self, inputs: Any) -> Any:
        """Return every sequence rotated by its drawn length, to the left or to the right."""
        position, length = self.drawn(inputs)
        size = inputs.shape[1]
        left = self.uniform((ops.shape(inputs)[0], 1)) < 0.5
        return ops.take_along_axis(
            inputs, (position + ops.where(left, length, size - length)) % size, 1
        )


@keras.saving.register_keras_serializable(package=PACKAGE)
class Noise(Augmentation):
    """Add Gaussian noise to one-hot or other float sequences (B, L, 4)."""

    settings = (*Augmentation.settings, "sd")

    def __init__(self, *, sd: float = 0.1, rate: float = 1.0, seed: int, **options: Any) -> None:
        super().__init__(rate=rate, seed=seed, **options)
        if not sd >= 0:
            raise ValueError(f"sd {sd}: expected 0 or more")
        self.sd = sd

    def build(self, input_shape: Any) -> None:
        """Check that the input is one-hot."""
        if len(input_shape) != 3:
            raise ValueError(
                f"{self.name}: noise needs one-hot (B, L, 4), found base codes {input_shape}; put "
                "it after the one-hot layer"
            )

    def changed(self, inputs: Any) -> Any:
        """Return every sequence with noise added."""
        noise = keras.random.normal(ops.shape(inputs), stddev=self.sd, seed=self.random)
        return inputs + ops.cast(noise, inputs.dtype)
