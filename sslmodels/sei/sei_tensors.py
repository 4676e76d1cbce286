"""The tensors of Sei: names and shapes as in its checkpoint, from the sizes alone. No Keras.

Counts of parameters come from here, without 3.6 GB of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: Profiles of the published head.
PROFILES = 21_907

#: Name → shape in PyTorch's layout: convolutions (out, in, width), dense layers (out, in).
Shapes = dict[str, tuple[int, ...]]


class Convolution(NamedTuple):
    """One convolution of the trunk; its tensors are ``<name>.weight`` and ``<name>.bias``."""

    name: str
    inputs: int
    outputs: int
    width: int
    dilation: int = 1


@dataclass(frozen=True, kw_only=True)
class SeiSizes:
    """Sizes of the trunk; the defaults are the published ones.

    Attributes
    ----------
    channels
        Of the three stages, which see positions 1, 4 and 16 bases apart.
    width, dilated_width
        Kernel widths of the stages and of the dilated convolutions.
    dilations
        Of the residual convolutions; the last is 25, not 32.
    splines
        Columns of the spline basis that positions are reduced to.
    """

    channels: tuple[int, int, int] = (480, 640, 960)
    width: int = 9
    dilated_width: int = 5
    dilations: tuple[int, ...] = (2, 4, 8, 16, 25)
    splines: int = 16

    @property
    def features(self) -> int:
        """Numbers that the trunk gives for a sequence: channels × spline columns."""
        return self.channels[-1] * self.splines

    def stage(self, number: int) -> tuple[Convolution, ...]:
        """Return the four convolutions of stage 1, 2 or 3: two linear ones, then two with ReLU."""
        before = (4, *self.channels)[number - 1]
        here = self.channels[number - 1]
        # A name is the place within PyTorch's block, which counts pooling and dropout too.
        linear, relu = ((0, 1), (0, 2)) if number == 1 else ((2, 3), (1, 3))
        return (
            Convolution(f"lconv{number}.{linear[0]}", before, here, self.width),
            Convolution(f"lconv{number}.{linear[1]}", here, here, self.width),
            Convolution(f"conv{number}.{relu[0]}", here, here, self.width),
            Convolution(f"conv{number}.{relu[1]}", here, here, self.width),
        )

    def dilated(self) -> tuple[Convolution, ...]:
        """Return the dilated convolutions."""
        here = self.channels[-1]
        return tuple(
            Convolution(f"dconv{number}.1", here, here, self.dilated_width, dilation)
            for number, dilation in enumerate(self.dilations, start=1)
        )

    def trunk(self) -> Shapes:
        """Return the tensors of the trunk, in the order of the checkpoint."""
        found: Shapes = {}
        for one in (*self.stage(1), *self.stage(2), *self.stage(3), *self.dilated()):
            found[f"{one.name}.weight"] = (one.outputs, one.inputs, one.width)
            found[f"{one.name}.bias"] = (one.outputs,)
        return found


class Dense(NamedTuple):
    """One dense layer of a head; its tensors are ``<name>.weight`` and perhaps ``<name>.bias``."""

    name: str
    inputs: int
    outputs: int
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class SeiHead:
    """Sizes of a head: two dense layers, a ReLU between them, a sigmoid after them.

    Attributes
    ----------
    profiles
        Number of outputs.
    rank
        Of a low-rank head, each of whose two matrices is a product of two; None: the full head.
    """

    profiles: int = PROFILES
    rank: int | None = None

    def layers(self, features: int) -> tuple[Dense, ...]:
        """Return the dense layers on so many features of the trunk; the ReLU is at half way."""
        n, k = self.profiles, self.rank
        if k is None:
            return (Dense("classifier.0", features, n), Dense("classifier.2", n, n))
        return (
            Dense("loraw11", features, k, bias=False),
            Dense("loraw12", k, n),
            Dense("loraw21", n, k, bias=False),
            Dense("loraw22", k, n),
        )

    def tensors(self, features: int) -> Shapes:
        """Return the tensors of the head on so many features, in the order of the checkpoint."""
        found: Shapes = {}
        for one in self.layers(features):
            found[f"{one.name}.weight"] = (one.outputs, one.inputs)
            if one.bias:
                found[f"{one.name}.bias"] = (one.outputs,)
        return found


def sei_tensors(sizes: SeiSizes | None = None, head: SeiHead | None = None) -> Shapes:
    """Return the tensors of a Sei: those of its trunk, then those of its head, if it has one."""
    sizes = sizes or SeiSizes()
    return {**sizes.trunk(), **(head.tensors(sizes.features) if head is not None else {})}


def parameter_count(tensors: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many numbers tensors of these shapes hold."""
    return sum(math.prod(shape) for shape in tensors.values())
