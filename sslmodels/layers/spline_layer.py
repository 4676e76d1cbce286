"""A layer that reduces positions to a few cubic B-splines, and the basis it multiplies with."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from sslmodels.layers.sequence_model import PACKAGE

_DEGREE = 3


@cache
def spline_basis(length: int, columns: int) -> NDArray[np.float64]:
    """Return the values of cubic B-splines at positions 0 … length − 1, (length, columns).

    Inner knots lie at equal quantiles of the positions, the first and the last position are knots
    four times; rows sum to one, and the last row is (0, …, 0, 1).

    Parameters
    ----------
    length
        Positions, 2 or more.
    columns
        Splines, 4 or more.

    Raises
    ------
    ValueError
        Fewer positions or splines than that.
    """
    if length < 2 or columns < _DEGREE + 1:
        raise ValueError(f"{length} positions, {columns} splines; expected ≥ 2 and ≥ 4")
    x = np.arange(length, dtype=np.float64)
    quantiles = 100 * np.linspace(0, 1, columns - _DEGREE + 1)[1:-1]
    ends = np.repeat([x[0], x[-1]], _DEGREE + 1)
    knots = np.sort(np.concatenate([ends, np.percentile(x, quantiles)]))
    basis = np.asarray(BSpline(knots, np.eye(columns), _DEGREE)(x))
    basis.setflags(write=False)
    return basis


@keras.saving.register_keras_serializable(package=PACKAGE)
class SplineTransform(keras.layers.Layer):
    """Positions → splines: (B, positions, C) → (B, C, columns), whatever the number of positions.

    The basis follows from the input's length and is no weight.

    Parameters
    ----------
    columns
        Number of splines.
    """

    def __init__(self, columns: int = 16, **options: Any) -> None:
        super().__init__(**options)
        self.columns = columns

    def build(self, input_shape: Any) -> None:
        """Compute the basis for the length of the input."""
        self._basis = spline_basis(int(input_shape[1]), self.columns).astype(np.float32)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return (B, C, columns)."""
        basis = ops.cast(ops.convert_to_tensor(self._basis), self.compute_dtype)
        return ops.matmul(ops.transpose(inputs, (0, 2, 1)), basis)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, C, columns)."""
        return (input_shape[0], input_shape[2], self.columns)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "columns": self.columns}
