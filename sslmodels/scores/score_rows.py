"""Probabilities of rows: of arrays in memory, or of a range of rows of a store."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.progress import NoProgress, Progress
from ssldata.reading.reader import reading_errors, rows_dataset
from ssldata.store.store import Store

#: Rows scored at once: enough to keep the cores busy, small enough for a wide first layer.
SCORE_BATCH = 1024


def score(model: keras.Model, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities (n, outputs) of n > 0 rows held in memory.

    A model that reads tokens brings its encoder, and how many rows fit at once.
    """
    encode = getattr(model, "encoder", None) or (lambda rows: rows)
    batch = int(getattr(model, "score_batch", SCORE_BATCH))
    parts = []
    for first in range(0, len(codes), batch):
        rows = codes[first : first + batch]
        # On several devices each scores all rows, and Keras gives all their scores, in a row.
        scores = model.predict_on_batch(encode(rows))[: len(rows)]
        parts.append(np.asarray(scores, np.float32))
    return np.concatenate(parts)


def score_rows(
    model: Any,
    store: Store,
    *,
    group: str,
    start: int,
    stop: int,
    progress: Progress | None = None,
    description: str = "scoring",
) -> NDArray[np.float32]:
    """Return the probabilities (stop − start, outputs) of a contiguous range of rows, not empty.

    Raises
    ------
    StoreError
        The rows are damaged.
    """
    batches = rows_dataset(store, group, start, stop, batch_size=SCORE_BATCH, context=model.length)
    parts = []
    with (
        (progress or NoProgress()).task(description, total=stop - start) as advance,
        reading_errors(),
    ):
        for codes in batches:
            parts.append(score(model, codes.numpy()))
            advance(len(codes))
    return np.concatenate(parts)
