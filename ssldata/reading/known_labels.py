"""Labels of rows, one column per output, and which of them are known. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.store.store import Store

#: One label column, several in the order wanted, or None: all columns of the store.
Columns = int | Sequence[int] | None

#: Rows of coverage in memory at a time.
_PART = 1_000_000


def half_covered_are_negatives(store: Store) -> bool:
    """Return whether bins that peaks cover too little are negatives (``negatives.half_covered``).

    Stores of releases before that setting leave them out.
    """
    setting: str = store.attributes["negatives"].get("half_covered", "leave-out")
    return setting == "negative"


def known_labels(label: NDArray[np.uint8], coverage: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which labels are known, in the shape of both arrays.

    A bin that peaks cover in part, but too little to be positive, is neither a positive nor a
    certain negative; in a store of one experiment it is no training negative, unless
    ``negatives.half_covered`` makes it one. Then every label is known.
    """
    known: NDArray[np.bool_] = (label == 1) | (coverage == 0)
    return known


class RowLabels:
    """Labels of the outputs of a model, by group and row.

    Parameters
    ----------
    store
        The store.
    columns
        Label columns of the outputs.

    Raises
    ------
    ConfigError
        The store has no such column, or `columns` is empty.
    """

    def __init__(self, store: Store, columns: Columns) -> None:
        names = store.experiments
        if columns is None:
            columns = range(len(names))
        self.columns = [columns] if isinstance(columns, int) else [int(x) for x in columns]
        wrong = [x for x in self.columns if not 0 <= x < len(names)]
        if wrong or not self.columns:
            raise ConfigError(
                f"{store.location}: label columns {self.columns}; expected 0 to {len(names) - 1} "
                f"({', '.join(names)})"
            )
        self._all = self.columns == list(range(len(names)))
        self._store = store
        self._known: dict[str, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        """Return the number of outputs."""
        return len(self.columns)

    def of(self, group: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return labels 0 or 1, float32 (rows, outputs)."""
        label = self._store.group(group).column("label")[rows]
        chosen = label if self._all else label[:, self.columns]
        return chosen.astype(np.float32)

    def known(self, group: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which labels are known, bool (rows, outputs): see :func:`known_labels`."""
        if group not in self._known:
            # One byte per label is kept, rather than the four of coverage.
            self._known[group] = self._known_of(group)
        return self._known[group][rows]

    def _known_of(self, name: str) -> NDArray[np.bool_]:
        group = self._store.group(name)
        if half_covered_are_negatives(self._store):
            return np.ones((group.rows, len(self.columns)), bool)
        known = np.empty((group.rows, len(self.columns)), bool)
        for first in range(0, group.rows, _PART):
            end = min(first + _PART, group.rows)
            label = group.column("label")[first:end, self.columns]
            coverage = group.column_part("coverage", first, end)[:, self.columns]
            known[first:end] = known_labels(label, coverage)
        return known
