"""Sequences that occur more than once, on either strand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int64Array
from ssldata.genomes.onehot import reverse_complement
from ssldata.rows.splits import TEST, TRAIN, VALIDATION


def duplicate_groups(codes: ByteArray) -> Int64Array:
    """Return for each sequence the first one that equals it, or its reverse complement.

    Parameters
    ----------
    codes
        uint8 (n, length).

    Returns
    -------
    int64 (n,)
        Its own number where it occurs first.
    """
    first: dict[bytes, int] = {}
    other = reverse_complement(codes)
    return np.array(
        [
            first.setdefault(min(here.tobytes(), there.tobytes()), number)
            for number, (here, there) in enumerate(zip(codes, other, strict=True))
        ],
        np.int64,
    )


def conflicting(group: Int64Array, labels: ByteArray) -> BoolArray:
    """Return which sequences equal another one with other labels."""
    wrong = np.zeros(len(group), bool)
    different = (labels != labels[group]).any(axis=1)
    wrong[group[different]] = True
    return wrong[group]


def not_repeated(group: Int64Array, split: NDArray[np.int8]) -> BoolArray:
    """Return which sequences stay when duplicates are dropped.

    The test keeps all of its own, each a place that is scored. Validation loses those that are in
    the test, training those that are in either, and all but the first of its own.
    """
    n = len(group)
    stays = np.ones(n, bool)
    in_split = {s: np.zeros(n, bool) for s in (TEST, VALIDATION)}
    for s, mask in in_split.items():
        mask[group[split == s]] = True
    stays &= ~((split == VALIDATION) & in_split[TEST][group])
    train = np.flatnonzero(split == TRAIN)
    held_out = in_split[TEST][group[train]] | in_split[VALIDATION][group[train]]
    stays[train[held_out]] = False
    _, first = np.unique(group[train], return_index=True)
    again = np.ones(len(train), bool)
    again[first] = False
    stays[train[again]] = False
    return stays


def duplicate_counts(
    codes: ByteArray, group: Int64Array, split: NDArray[np.int8]
) -> dict[str, int]:
    """Return the number of sequences that equal an earlier one, in all and across splits."""
    repeats = group != np.arange(len(group))
    same = (codes == codes[group]).all(axis=1)
    across = repeats & (split != split[group])
    return {
        "duplicates": int((repeats & same).sum()),
        "reverse_complements": int((repeats & ~same).sum()),
        "across_splits": int(across.sum()),
    }
