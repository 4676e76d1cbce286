"""Multiply-adds of one row through the models of the zoo, from their sizes. No Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from sslmodels.models.catalogue import FSEI, MODELS
from sslmodels.sei.sei_tensors import Convolution, SeiSizes


def multiply_adds(model: str, *, size: int, stored: int) -> int | None:
    """Return the multiply-adds of one row through the convolutions and dense layers of a model.

    Parameters
    ----------
    model
        Name of a model with its default options.
    size, stored
        Bases of the bin, and of the stored window.

    Returns
    -------
    int or None
        None for other models than those of the zoo, and for those that depend on files.
    """
    count = _COUNTS.get(model)
    if count is None:
        return None
    return count(stored if MODELS[model].reads == "context" else size)


def _kernels(*sizes: tuple[int, int, int]) -> int:
    """Return the numbers in kernels of so many bases, channels read and channels written."""
    return sum(width * inputs * outputs for width, inputs, outputs in sizes)


def _dense(*units: int) -> int:
    """Return the numbers in dense layers from the first width to the last."""
    return sum(a * b for a, b in pairwise(units))


def _one_convolution(filters: int, hidden: int, *, residual: int = 0) -> Callable[[int], int]:
    def count(length: int) -> int:
        each = _kernels((24, 4, filters)) + residual * _kernels((3, filters, filters))
        return (length - 23) * each + _dense(filters, hidden, 1)

    return count


def _deepsea(length: int) -> int:
    first = length - 7
    second = first // 4 - 7
    third = second // 4 - 7
    return (
        first * _kernels((8, 4, 320))
        + second * _kernels((8, 320, 480))
        + third * _kernels((8, 480, 960))
        + _dense(third * 960, 925, 1)
    )


def _fsei(length: int) -> int:
    sizes = SeiSizes()

    def of(layers: Iterable[Convolution]) -> int:
        return _kernels(*((one.width, one.inputs, one.outputs) for one in layers))

    stages = sum(length // 4**before * of(sizes.stage(before + 1)) for before in range(3))
    dilated = length // 16 * of(sizes.dilated())
    pooled = (sizes.splines - 2) * _kernels((3, sizes.channels[-1], 520), (1, 520, 520))
    return stages + dilated + pooled + _dense(520, 520, 1)


def _basset_like(length: int) -> int:
    first = length // 6
    second = first // 2
    return (
        length * _kernels((13, 4, 200))
        + first * _kernels((5, 200, 100), (8, 100, 50))
        + _dense(second * 50, 800, 300, 1)
    )


def _basenji_like(length: int) -> int:
    first = (length - 16) // 8 + 1
    second = (first - 8) // 4 + 1
    third = (second - 4) // 2 + 1
    residual = 3 * _kernels((5, 960, 1280), (3, 1280, 960))
    return (
        length * _kernels((11, 4, 480), (7, 480, 480))
        + first * _kernels((5, 480, 640), (7, 640, 640))
        + second * _kernels((5, 640, 720), (7, 720, 720))
        + third * (_kernels((5, 720, 960), (5, 960, 1280), (1, 1280, 1280)) + residual)
        + _dense(1280, 2048, 1280, 1)
    )


def _attention_conv(length: int) -> int:
    first = length // 7
    second = first // 2
    attention = 4 * _kernels((1, 720, 720)) + 2 * second * 720
    return (
        length * _kernels((13, 4, 480))
        + first * _kernels((7, 480, 640), (5, 640, 720))
        + second * attention
        + _dense(720, 2048, 1024, 1)
    )


_COUNTS: dict[str, Callable[[int], int]] = {
    "cnn-7k": _one_convolution(64, 10),
    "cnn-27k": _one_convolution(256, 10),
    "deep-cnn-64": _one_convolution(64, 10, residual=5),
    "deep-cnn-256": _one_convolution(256, 10, residual=5),
    "deepbind": _one_convolution(16, 32),
    "deepsea": _deepsea,
    FSEI: _fsei,
    "basset-like": _basset_like,
    "basenji-like": _basenji_like,
    "attention-conv": _attention_conv,
}
