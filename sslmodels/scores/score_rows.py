"""Score rows: arrays in memory, or a range of rows of a store."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import reverse_complement
from ssldata.reading.reader import reading_errors, rows_dataset
from ssldata.store.store import Store

#: Rows scored at once: enough to keep the cores busy, few enough for a wide first layer.
SCORE_BATCH = 1024


def score(
    model: keras.Model, codes: NDArray[np.uint8], *, batch_size: int | None = None
) -> NDArray[np.float32]:
    """Return the probabilities (n, outputs) of the base codes (n, L) of n > 0 rows.

    A model that reads tokens has its own ``encoder`` and ``score_batch``; `batch_size` replaces
    the rows scored at once.
    """
    encode = getattr(model, "encoder", None) or (lambda rows: rows)
    batch = batch_size or int(getattr(model, "score_batch", SCORE_BATCH))
    parts = []
    for first in range(0, len(codes), batch):
        rows = codes[first : first + batch]
        # With several devices each scores all rows, and Keras concatenates their scores.
        scores = model.predict_on_batch(encode(rows))[: len(rows)]
        parts.append(np.asarray(scores, np.float32))
    return np.concatenate(parts)


def score_both_strands(
    model: keras.Model, codes: NDArray[np.uint8], *, batch_size: int | None = None
) -> NDArray[np.float32]:
    """Return the means of the probabilities of sequences and of their reverse complements.

    Parameters are those of :func:`score`. A model of ``both_strands`` averages by itself.
    """
    scores = score(model, codes, batch_size=batch_size)
    if getattr(model, "both_strands", False):
        return scores
    other = score(model, reverse_complement(codes), batch_size=batch_size)
    return (scores + other) / np.float32(2)


def score_rows(
    model: Any,
    store: Store,
    *,
    group: str,
    start: int,
    stop: int,
    both_strands: bool = False,
    progress: Progress | None = None,
    description: str = "scoring",
) -> NDArray[np.float32]:
    """Return the probabilities (stop − start, outputs) of a contiguous, non-empty range of rows.

    Parameters
    ----------
    model
        A model of this package; it reads its ``length`` central bases of each row.
    store, group, start, stop
        The rows: a group of a store, and the range [start, stop) in it.
    both_strands
        Average each row with its reverse complement.
    progress, description
        Progress reporter, and what it calls the task.

    Raises
    ------
    StoreError
        The rows are damaged.
    """
    batches = rows_dataset(store, group, start, stop, batch_size=SCORE_BATCH, context=model.length)
    scored = score_both_strands if both_strands else score
    parts = []
    with (
        (progress or NoProgress()).task(description, total=stop - start) as advance,
        reading_errors(),
    ):
        for codes in batches:
            parts.append(scored(model, codes.numpy()))
            advance(len(codes))
    return np.concatenate(parts)
