"""What computes features: the interface of every source of them, and the mean over both strands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.genomes.onehot import reverse_complement
from ssldata.store.feature_store import FeatureColumns

Features = NDArray[np.float32]


class FeatureModel(Protocol):
    """A frozen model that turns sequences into named numbers.

    A new kind of model is one class of this form, and one entry in
    :data:`sslmodels.features.open_feature_model.SCHEMES` if its files are named in a way of
    their own.

    Attributes
    ----------
    columns
        What it computes.
    length
        Bases it reads; None: any number.
    reads_both_strands
        Its features are those of both strands already, so there is nothing to average.
    batch
        Sequences computed at once.
    identity
        What decides its numbers: kind, digest of its files, layer, seed; JSON.
    """

    columns: FeatureColumns
    length: int | None
    reads_both_strands: bool
    batch: int
    identity: Mapping[str, Any]

    def compute(self, codes: ByteArray) -> Features:
        """Return the features (n, columns) of base codes (n, length) of one strand."""


def features_of(model: FeatureModel, codes: ByteArray, *, both_strands: bool) -> Features:
    """Return the features of base codes, float32 (n, columns).

    Batches begin at fixed rows of the block, so equal blocks give equal bits.

    Parameters
    ----------
    model
        What computes them.
    codes
        uint8 (n, length).
    both_strands
        Average the features of each sequence and of its reverse complement.

    Raises
    ------
    InputError
        A feature is not a finite number; the message names it.
    """
    both = both_strands and not model.reads_both_strands
    parts = []
    for first in range(0, len(codes), model.batch):
        rows = codes[first : first + model.batch]
        found = model.compute(rows)
        if both:
            found = (found + model.compute(reverse_complement(rows))) / np.float32(2)
        parts.append(np.asarray(found, np.float32))
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(found))[0])
        raise InputError(
            f"feature {model.columns.names[column]!r} of sequence {row} of a block is "
            f"{found[row, column]}; expected a finite number: are the weights of the model damaged?"
        )
    return found
