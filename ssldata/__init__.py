"""Data engine: intervals, liftover, windows, genomes, stores and the reader.

Coordinates are 0-based and half-open everywhere. Nothing in this package imports Prefect;
TensorFlow is imported only by :mod:`ssldata.reading.reader`.
"""

import contextlib
import os

if os.environ.get("KERAS_BACKEND") == "torch":
    # Part of torch where it has CUDA. Both it and TensorFlow hold an LLVM, and the process ends
    # when triton's is the second to be loaded.
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401 - loaded for its order alone
