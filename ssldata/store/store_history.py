"""The history of a store: what its changes brought, as entries of the root attribute ``history``.

It says nothing of the rows: the digest of a store, and of its groups, does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.store.root_metadata import HISTORY
from ssldata.store.store import open_store, read_root_attributes
from ssldata.store.store_writer import StoreWriter, writer_lock


def record_history(path: Path, entries: Sequence[Mapping[str, Any]]) -> int:
    """Append the entries that the history of a local store does not have; return how many.

    Raises
    ------
    CrosslabelError
        There is no complete store.
    """
    with writer_lock(path):
        open_store(path)
        known = history_of(path)
        new = [dict(entry) for entry in entries if dict(entry) not in known]
        if new:
            StoreWriter(path).set_history([*known, *new])
    return len(new)


def history_of(path: Path) -> list[dict[str, Any]]:
    """Return the history of a local store, the oldest entry first; [] without one."""
    attributes = read_root_attributes(path) or {}
    return [dict(entry) for entry in attributes.get(HISTORY, [])]
