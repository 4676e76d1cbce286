"""The label of a bin: positive where enough of it is covered by peaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def is_positive(
    coverage: NDArray[np.integer], *, size: int, min_overlap: float
) -> NDArray[np.bool_]:
    """Return which bins have MORE than `min_overlap` of their `size` bases covered."""
    return coverage > min_overlap * size
