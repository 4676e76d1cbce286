"""Labels shuffled among the rows of a mixture: a control in which sequences keep nothing of theirs.

Every row has a label of its own that depends on its number alone, the same in every epoch, as
often 1 as in the mixture. Homologues of one locus are different rows. A network can learn such
labels by heart (Zhang et al. 2017, arXiv:1611.03530), and nothing else: neither a motif, nor the
genome, nor composition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import uniform_rows
from ssldata.reading.known_labels import Columns, RowLabels
from ssldata.reading.mixture import Mixture
from ssldata.store.store import Store


class ShuffledLabels(RowLabels):
    """Labels as of :class:`.RowLabels`, drawn by the number of each row.

    Parameters
    ----------
    store, columns
        As of :class:`.RowLabels`.
    mixture
        Its ``label_seed``, which must be set, and the share of positives of each column.
    """

    def __init__(self, store: Store, columns: Columns, mixture: Mixture) -> None:
        super().__init__(store, columns)
        if mixture.label_seed is None:
            raise ValueError("a mixture without label_seed has its own labels")
        self._seed = mixture.label_seed
        positive = np.zeros(len(self))
        rows = 0
        for segment in mixture.positives:
            chosen = segment.rows(0, len(segment))
            positive += super().of(segment.group, chosen).sum(axis=0)
            rows += len(chosen)
        #: Probability of label 1, (outputs,).
        self.rate: NDArray[np.float64] = positive / max(rows, 1) / (1 + mixture.ratio)

    def of(self, group: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return labels 0 or 1, float32 (rows, outputs)."""
        columns = [
            uniform_rows(rows, "label", self._seed, group, output) < rate
            for output, rate in enumerate(self.rate)
        ]
        return np.stack(columns, axis=1).astype(np.float32)
