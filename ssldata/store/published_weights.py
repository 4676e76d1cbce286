"""Teacher weights in a store, by name: publish, list, read, remove.

A version is one array ``weights/<name>`` per group and one entry of the root attribute
``weights``. The entry is written last and taken out first, so a killed writer leaves no version
that is whole in one group and missing in another; the next writer sweeps what has no entry.
The entry holds the content digest of the rows the weights belong to: other rows, no weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, StoreError
from ssldata.store.remote_stores import RangesError
from ssldata.store.run_weights import Arrays, check_weights, dims_of
from ssldata.store.store import COMPLETE, WEIGHTS, Store, arrays_digest, open_store
from ssldata.store.store_writer import StoreWriter, sync_tree, writer_lock

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: Attributes of an array of weights, in the names of the CF conventions.
_MEANING = {
    "long_name": "probability that the row is positive, by a teacher",
    "units": "1",
    "valid_range": [0.0, 1.0],
    "comment": "1 for rows it did not judge; the root attribute weights says what made it",
}


def publish_weights(
    path: Path,
    name: str,
    arrays: Mapping[str, NDArray[np.float32]],
    *,
    contents: Mapping[str, str],
    provenance: Mapping[str, Any],
    replace: bool = False,
) -> dict[str, Any]:
    """Write weights of whole groups into a local store; no other byte of a group changes.

    Parameters
    ----------
    path
        The store.
    name
        How readers ask for them.
    arrays
        Group (``homologs/<genome>``) → float32 (rows,) or (rows, outputs), each in [0, 1].
    contents
        Group → content digest of the rows the weights were made for.
    provenance
        What made them, as JSON-able values.
    replace
        Overwrite different weights of that name.

    Returns
    -------
    dict
        ``status``: ``published``, or ``unchanged`` when they are there already; ``name``,
        ``path``, ``groups``.

    Raises
    ------
    ConfigError
        The name is not letters, digits, ``.``, ``_`` and ``-``.
    StoreError
        No store there; its rows are not those of `contents`; a weight is not in [0, 1]; or other
        weights have the name and `replace` is false.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"weights {name!r}: a name is letters, digits, '.', '_' and '-', and starts with a "
            "letter or digit"
        )
    check_weights(arrays, f"weights {name}")
    values = {group: np.asarray(array, np.float32) for group, array in sorted(arrays.items())}
    if not path.is_dir():
        raise StoreError(f"{path}: not a local store; weights are published in a .zarr folder")
    with writer_lock(path):
        writer = StoreWriter(path)
        writer.sweep()
        store = open_store(path)
        for group, array in values.items():
            _check_rows(store, group, contents[group], len(array))
        entry = {
            **provenance,
            "groups": {
                group: {"rows": contents[group], "sha256": digest_of_weights(array)}
                for group, array in values.items()
            },
        }
        known = store.weights.get(name)
        status = "unchanged" if known == entry else "published"
        if known is not None and known != entry:
            if not replace and _values_of(known) != _values_of(entry):
                raise StoreError(
                    f"{path}: other weights are published there as {name!r} "
                    f"({described(known)}); choose another --name or pass --replace"
                )
            writer.withdraw_weights(name)
        if known != entry:
            for group, array in values.items():
                dims = {name: dims_of(array)}
                writer.write_arrays(
                    f"{group}/{WEIGHTS}", {name: array}, dims=dims, meanings={name: _MEANING}
                )
                sync_tree(path / group / WEIGHTS)
            writer.announce_weights(name, entry)
    return {"status": status, "name": name, "path": str(path), "groups": list(values)}


def digest_of_weights(array: NDArray[np.float32]) -> str:
    """Return the sha256 of one group's weights, whatever they are called."""
    return arrays_digest({WEIGHTS: array})


def _values_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without the digests of the rows: a rebuilt group has lost its weights."""
    digests = {group: record["sha256"] for group, record in entry["groups"].items()}
    return {**entry, "groups": digests}


def _check_rows(store: Store, group: str, content: str, rows: int) -> None:
    entry = store.ledger.get(group, {})
    if entry.get("status") != COMPLETE:
        raise StoreError(
            f"{store.location}: has no complete {group}, to which the weights belong; publish "
            "them where their run was trained"
        )
    if entry["content"] != content or entry["rows"] != rows:
        raise StoreError(
            f"{store.location}: the rows of {group} are not those the weights were made for "
            f"(content {entry['content'][:12]}, weights of {content[:12]}); train their run again"
        )


def remove_weights(path: Path, name: str) -> None:
    """Remove published weights; if interrupted, the next writer finishes the removal.

    Raises
    ------
    StoreError
        No weights of that name, or no local store.
    """
    if not path.is_dir():
        raise StoreError(f"{path}: not a local store")
    with writer_lock(path):
        writer = StoreWriter(path)
        writer.sweep()
        entry_of(open_store(path), name)
        writer.withdraw_weights(name)


def entry_of(store: Store, name: str) -> dict[str, Any]:
    """Return the record of published weights.

    Raises
    ------
    StoreError
        No weights of that name.
    """
    if name not in store.weights:
        raise StoreError(
            f"{store.location}: no weights {name!r} are published there; found "
            f"{', '.join(sorted(store.weights)) or 'none'}; `crosslabel weights publish RUN` "
            "publishes those of a run"
        )
    return store.weights[name]


def described(entry: Mapping[str, Any]) -> str:
    """Describe in a few words what made published weights."""
    words = [str(entry[key]) for key in ("experiment", "model") if key in entry]
    words += [f"{key} {entry[key]}" for key in ("seed", "iteration") if key in entry]
    return ", ".join([*words, f"run {str(entry.get('run', '?'))[:12]}"])


def stale_groups(store: Store, name: str) -> list[str]:
    """Return the groups whose rows are no longer those the weights were made for."""
    groups = entry_of(store, name)["groups"]
    return [group for group, record in groups.items() if not _current(store, group, record)]


def _current(store: Store, group: str, record: Mapping[str, str]) -> bool:
    entry = store.ledger.get(group, {})
    return entry.get("status") == COMPLETE and entry.get("content") == record["rows"]


def weights_digests(store: Store, name: str, groups: Sequence[str]) -> dict[str, str]:
    """Return group → sha256 of its published weights, after checking that they fit the rows.

    Raises
    ------
    StoreError
        No weights of that name; they leave out one of `groups`, or are of other rows of it.
    """
    known = entry_of(store, name)["groups"]
    lacking = [group for group in groups if group not in known]
    if lacking:
        raise StoreError(
            f"{store.location}: the weights {name!r} leave out {', '.join(lacking)}; publish those "
            "of a run that used it, or train without it (training.nearest)"
        )
    stale = [group for group in groups if not _current(store, group, known[group])]
    if stale:
        raise StoreError(
            f"{store.location}: the weights {name!r} are stale: {', '.join(stale)} has other rows "
            "now than they were made for; train their run again and publish, or remove them with "
            "`crosslabel weights remove`"
        )
    return {group: known[group]["sha256"] for group in groups}


def read_published(store: Store, name: str, groups: Sequence[str] | None = None) -> Arrays:
    """Return group → float32 (rows,) or (rows, outputs) of published weights.

    Parameters
    ----------
    store, name
        Where they are, and under which name.
    groups
        The groups to read; default: all that the weights were published for.

    Raises
    ------
    StoreError
        As :func:`weights_digests`, or they differ from what was published.
    """
    wanted = list(entry_of(store, name)["groups"]) if groups is None else list(groups)
    digests = weights_digests(store, name, wanted)
    arrays = {}
    for group, digest in digests.items():
        rows = store.group(group)
        damaged = StoreError(
            f"{store.location}: the weights {name!r} of {group} are damaged; remove them with "
            "`crosslabel weights remove` and publish them again"
        )
        try:
            values = rows.column_part(f"{WEIGHTS}/{name}", 0, rows.rows)
        except RangesError:
            raise
        except StoreError as exc:
            raise damaged from exc
        if digest_of_weights(values) != digest:
            raise damaged
        arrays[group] = values.astype(np.float32)
    return arrays
