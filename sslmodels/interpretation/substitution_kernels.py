"""Compiled loops of saturation mutagenesis."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def best_matches(
    activations: NDArray[np.float32],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    codes: NDArray[np.uint8],
    kernel: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """Fill in the maximum over positions of a convolution after every substitution.

    Parameters
    ----------
    activations
        Of the sequences themselves, before the activation function (rows, positions, filters).
    before, after
        Maxima over the positions before, and from, each position (rows, positions + 1, filters);
        −inf where there are none.
    codes
        Padded sequences (rows, positions + width − 1); 4 is N.
    kernel
        (width, 5, filters); zeros for N.
    found
        Output (rows, positions + width − 1, 3, filters): base (code + 1, 2, 3) mod 4 instead of
        the sequence's own. At an N it is the sequence's own maximum.
    """
    rows, positions, filters = activations.shape
    width = kernel.shape[0]
    for row in range(rows):
        for place in range(codes.shape[1]):
            old = codes[row, place]
            first, last = max(0, place - width + 1), min(positions - 1, place)
            for step in range(3):
                best = found[row, place, step]
                if old > 3:
                    best[:] = before[row, positions]
                    continue
                new = (old + step + 1) % 4
                for f in range(filters):
                    best[f] = max(before[row, first, f], after[row, last + 1, f])
                for position in range(first, last + 1):
                    seen = activations[row, position]
                    gained, lost = kernel[place - position, new], kernel[place - position, old]
                    for f in range(filters):
                        best[f] = max(best[f], seen[f] + (gained[f] - lost[f]))
