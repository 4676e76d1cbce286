"""Short names for the types of NumPy arrays in signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]

#: Arrays that belong together, for compiled functions. They take plain tuples: Numba's cache on
#: disk names the class of a named tuple, and fails instead of recompiling once that is renamed.
Arrays = tuple[NDArray[Any], ...]
