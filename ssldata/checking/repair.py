"""Take damaged groups out of a store, so that the next build writes them again."""

from __future__ import annotations

import logging
from pathlib import Path

from ssldata.base.errors import StoreError
from ssldata.base.progress import Progress
from ssldata.checking.validate import validate_store
from ssldata.store.store import COMPLETE, REFERENCE, WRITING, open_store, read_root_attributes
from ssldata.store.store_writer import StoreWriter, writer_lock

_LOG = logging.getLogger(__name__)


def take_out_damaged(path: Path, digest: str, *, progress: Progress | None = None) -> list[str]:
    """Validate a store deeply and hide damaged groups from readers.

    The status of their ledger entries becomes ``writing``, the rest of the entries stays, and the
    next build writes the groups. A damaged reference does not take the genomes with it: they have
    files of their own.

    Parameters
    ----------
    path
        A local store, or where one will be.
    digest
        Digest of the reference rows that the build will write.
    progress
        Progress reporter.

    Returns
    -------
    list of str
        Names in the ledger; the sources count as the reference. Empty when there is no store, or
        when its reference is unfinished: the build writes it anyway.

    Raises
    ------
    StoreError
        The ledger itself is wrong, so it is unknown what the groups should be; or the reference
        is damaged and was built from other inputs or settings.
    """
    with writer_lock(path):
        attributes = read_root_attributes(path)
        if attributes is None or attributes["ledger"].get(REFERENCE, {}).get("status") != COMPLETE:
            return []
        writer = StoreWriter(path)
        writer.sweep()
        damaged: dict[str, str] = {}
        for problem in validate_store(open_store(path), deep=True, progress=progress).problems:
            if not problem.group:
                raise StoreError(
                    f"{path}: its ledger is wrong ({problem.message}); delete the store and build "
                    "again"
                )
            if problem.check != "weights":  # they lie beside the rows, which are sound
                group = REFERENCE if problem.group == "sources" else problem.group
                damaged.setdefault(group, problem.message)
        ledger = writer.ledger()
        if REFERENCE in damaged and ledger[REFERENCE]["digest"] != digest:
            raise StoreError(
                f"{path}: its reference rows are damaged and were built from other inputs or "
                "settings; pass --replace to rebuild the store"
            )
        for name, message in damaged.items():
            _LOG.warning("%s: %s is damaged and will be rewritten: %s", path, name, message)
        if damaged:
            # In one change: the root's metadata are gathered from sound groups only.
            writer.set_entries({name: {**ledger[name], "status": WRITING} for name in damaged})
    return sorted(damaged)
