"""Writing a store: lock, ledger, columns, whole shards.

The order makes a killed build harmless: the ledger says ``writing`` before anything of a group
exists and ``complete`` after everything of it was written and read back; readers use complete
groups only. Each change of the ledger is one rename of the root ``zarr.json``, which carries the
consolidated metadata as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ssldata.base.errors import StoreError
from ssldata.base.files import atomic_path
from ssldata.base.locks import exclusive_lock
from ssldata.store.chunk_reader import layout_of
from ssldata.store.column_writer import put_group, write_column
from ssldata.store.shard_writer import CODECS, copy, expand, pack_shard
from ssldata.store.store import (
    ATTRIBUTE,
    COMPLETE,
    FORMAT_VERSION,
    HOMOLOGUES,
    REFERENCE,
    REMOVING,
    WEIGHTS,
    WRITING,
    arrays_digest,
    belongs,
    codes_digest,
    read_root_attributes,
)

#: Decoded bytes of one chunk of the one-hot array, at most. Below 1 MB the cost per read call
#: dominates; far above, a window of chunks no longer fits in cache.
CHUNK_BYTES = 4_194_304
#: Chunks per shard: 16 times fewer files, and one task writes one shard.
CHUNKS_PER_SHARD = 16
#: Ends of the names of what a killed writer leaves: half-written files, half-deleted folders.
_PARTIAL, _DELETING = ".partial", ".deleting"
#: What consolidated metadata say of themselves. Not yet part of the v3 specification, but every
#: zarr-python and xarray reads them; without them a store behind plain HTTP looks empty.
_CONSOLIDATED = {"kind": "inline", "must_understand": False}
#: Files handed to the disk at a time; each wait is mostly idle.
_SYNC_THREADS = 8


def chunk_rows(length: int) -> int:
    """Return rows per chunk: the largest power of two whose one-hot form fits ``CHUNK_BYTES``."""
    return 1 << (max(1, CHUNK_BYTES // (4 * length)).bit_length() - 1)


def shard_count(rows: int, length: int) -> int:
    """Return how many shards the sequence arrays of `rows` rows have."""
    return -(-rows // (chunk_rows(length) * CHUNKS_PER_SHARD))


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the one writer's place of a store; wait for it when another process has it.

    See :mod:`ssldata.base.locks`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"{path}: another process is writing; waiting for it"
    with exclusive_lock(Path(f"{path}.lock"), waiting=waiting):
        try:
            yield
        except OSError as exc:
            if exc.errno is None or exc.filename is not None:
                raise
            raise OSError(exc.errno, exc.strerror, str(path)) from exc  # a full disk: say where


def remove_tree(path: Path) -> None:
    """Delete a folder so that a kill half-way never leaves half of it under its name."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.{os.getpid()}{_DELETING}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def sweep_tree(path: Path) -> None:
    """Delete what killed writers left below a folder, whose one writer we must be."""
    for pattern in (f"*{_PARTIAL}", f".*{_DELETING}"):
        for item in sorted(path.rglob(pattern)):
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink(missing_ok=True)


def sync_tree(path: Path) -> None:
    """Wait until every file and folder below `path` is on the disk (fsync).

    Without it a power cut after the ledger said ``complete`` could leave chunks missing, which
    read as zeros.
    """
    with ThreadPoolExecutor(_SYNC_THREADS) as threads:
        list(threads.map(_flush, [*path.rglob("*"), path, path.parent]))


def _flush(item: Path) -> None:
    handle = os.open(item, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_leftover(path: Path) -> bool:
    """Return whether a folder holds nothing but what a killed writer leaves."""
    return path.is_dir() and all(
        item.name.endswith((_PARTIAL, _DELETING)) for item in path.iterdir()
    )


def _consolidated(file: Path) -> dict[str, Any]:
    """Return the metadata of a node as the root repeats them, in the way of zarr-python."""
    node: dict[str, Any] = json.loads(file.read_bytes())
    if node["node_type"] == "group":
        node["consolidated_metadata"] = {**_CONSOLIDATED, "metadata": {}}
    return node


def _sequence_codec(array: str) -> BloscCodec:
    name, level, block = CODECS[array]
    return BloscCodec(cname=name, clevel=level, shuffle="bitshuffle", typesize=1, blocksize=block)


class StoreWriter:
    """The write side of one local store. Use it while holding :func:`writer_lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- the root ----------------------------------------------------------------------------

    def attributes(self) -> dict[str, Any] | None:
        """Return our root attributes, or None when there is no store yet.

        Raises
        ------
        StoreError
            The path holds something that is not a store of ours.
        """
        attributes = read_root_attributes(self.path)
        if attributes is None and self.path.exists() and not _is_leftover(self.path):
            raise StoreError(
                f"{self.path}: holds something that is not a crosslabel store; "
                "move it away or set another 'store.path'"
            )
        return attributes

    def create(self, settings: Mapping[str, Any]) -> None:
        """Make an empty store with an empty ledger."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._commit({"format_version": FORMAT_VERSION, **settings, "ledger": {}})

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return the ledger (empty when there is no store)."""
        return dict((self.attributes() or {"ledger": {}})["ledger"])

    def sweep(self) -> None:
        """Delete what killed writers left behind, and finish removals that were cut."""
        for item in self.path.parent.glob(f".{self.path.name}.*{_DELETING}"):
            shutil.rmtree(item, ignore_errors=True)
        sweep_tree(self.path)
        self._mend_homologues()
        for name, entry in self.ledger().items():
            if entry["status"] == REMOVING:
                self.remove(name)
        self._sweep_weights()

    def _mend_homologues(self) -> None:
        """Make the metadata of the folder of genomes anew where they are lost: they say nothing."""
        file = self.path / HOMOLOGUES / "zarr.json"
        if not file.parent.is_dir():
            return
        try:
            json.loads(file.read_bytes())
        except (OSError, ValueError):
            file.unlink(missing_ok=True)
            put_group(file.parent, {})

    def _sweep_weights(self) -> None:
        """Delete weights that are not announced, and folders of weights that are empty."""
        said = (self.attributes() or {}).get(WEIGHTS, {})
        for folder in sorted(self.path.glob(f"{HOMOLOGUES}/*/{WEIGHTS}")):
            group = str(folder.parent.relative_to(self.path))
            for item in [*folder.iterdir(), folder]:
                inner = item if item.is_file() else item / "zarr.json"
                if not belongs(inner.relative_to(folder.parent), group, said):
                    remove_tree(item) if item.is_dir() else item.unlink()

    def _commit(self, attributes: Mapping[str, Any]) -> None:
        """Replace the root ``zarr.json``: attributes and consolidated metadata in one rename."""
        complete = {
            name for name, entry in attributes["ledger"].items() if entry["status"] == COMPLETE
        }
        nodes: dict[str, Any] = {}
        # Groups on the way to a complete one ("homologs"), what belongs to it, and the sources.
        for name in sorted(complete | ({"sources"} if REFERENCE in complete else set())):
            parts = name.split("/")
            folders = [self.path.joinpath(*parts[:i]) for i in range(1, len(parts))]
            files = [folder / "zarr.json" for folder in folders]
            folder = self.path.joinpath(*parts)
            files += [
                file
                for file in folder.rglob("zarr.json")
                if belongs(file.relative_to(folder), name, attributes.get(WEIGHTS, {}))
            ]
            for file in files:
                nodes[str(file.parent.relative_to(self.path))] = _consolidated(file)
        root = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {ATTRIBUTE: attributes},
            "consolidated_metadata": {**_CONSOLIDATED, "metadata": nodes},
        }
        text = json.dumps(root, indent=1, sort_keys=True)
        with atomic_path(self.path / "zarr.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        # The new name reaches the disk before anything that relies on it is deleted.
        _flush(self.path)

    def set_entry(self, name: str, entry: Mapping[str, Any] | None) -> None:
        """Put one entry into the ledger (None: take it out)."""
        self.set_entries({name: entry})

    def set_entries(
        self,
        entries: Mapping[str, Mapping[str, Any] | None],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Put entries into the ledger (None: take it out) and root attributes, in one change."""
        attributes = self.attributes()
        if attributes is None:
            raise StoreError(f"{self.path}: no store to write to")
        ledger = dict(attributes["ledger"])
        for name, entry in entries.items():
            if entry is None:
                ledger.pop(name, None)
                continue
            ledger[name] = dict(entry)
            if entry["status"] in (WRITING, REMOVING) and WEIGHTS in attributes:
                attributes[WEIGHTS] = _without_rows(attributes[WEIGHTS], name)
        attributes |= settings or {}
        self._commit({**attributes, "ledger": dict(sorted(ledger.items()))})

    # -- weights -----------------------------------------------------------------------------

    def announce_weights(self, name: str, entry: Mapping[str, Any] | None) -> None:
        """Let readers see weights whose arrays are on the disk (None: hide them)."""
        attributes = self.attributes()
        if attributes is None:
            raise StoreError(f"{self.path}: no store to write to")
        said = dict(attributes.get(WEIGHTS, {}))
        said.pop(name, None)
        if entry is not None:
            said[name] = dict(entry)
        attributes.pop(WEIGHTS, None)
        # A store without weights is byte for byte what it was before it had any.
        self._commit({**attributes, **({WEIGHTS: dict(sorted(said.items()))} if said else {})})

    def withdraw_weights(self, name: str) -> None:
        """Delete weights. Cut half-way, :meth:`sweep` finishes it; no reader sees them."""
        self.announce_weights(name, None)
        self._sweep_weights()

    # -- groups ------------------------------------------------------------------------------

    def begin(self, name: str, digest: str) -> None:
        """Announce a group in the ledger and clear what an earlier attempt left of it.

        What a repair has noted of a group it took out stays until the group is whole again: cut
        meanwhile, the repair goes on and does not begin the whole store anew.
        """
        entry = self.ledger().get(name, {})
        if (entry.get("status"), entry.get("digest")) != (WRITING, digest):
            self.set_entry(name, {"status": WRITING, "digest": digest})
        remove_tree(self.path / name)

    def complete(
        self, name: str, entry: Mapping[str, Any], *, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Put the entry of a whole group into the ledger, after all its bytes are on the disk."""
        sweep_tree(self.path / name)  # what workers that died left; others did their tasks
        sync_tree(self.path / name)
        if (self.path / "sources").is_dir() and name == REFERENCE:
            sync_tree(self.path / "sources")
        self.set_entries({name: entry}, settings)

    def remove(self, name: str) -> None:
        """Delete a group. Cut half-way, :meth:`sweep` finishes it; no reader sees it meanwhile."""
        self.set_entry(name, {"status": REMOVING})
        remove_tree(self.path / name)
        self.set_entry(name, None)

    def write_arrays(
        self,
        name: str,
        arrays: Mapping[str, NDArray[Any]],
        *,
        dims: Mapping[str, tuple[str, ...]],
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """Write small arrays of a group whole and return the sha256 of their contents.

        Parameters
        ----------
        name
            Path of the group; parents are made.
        arrays
            Name → array; the first axis is the row.
        dims
            Name → dimension names, for xarray.
        attributes
            Of the group.
        """
        for parent in reversed(Path(name).parents[:-1]):
            put_group(self.path / parent, {})
        put_group(self.path / name, attributes or {})
        for key in sorted(arrays):
            write_column(self.path / name / key, arrays[key], dims[key])
        return arrays_digest(arrays)

    def create_sequences(self, name: str, *, rows: int, length: int, codes: bool) -> None:
        """Make the (empty) sequence arrays of a group, chunked and sharded."""
        group = zarr.open_group(self.path / name, mode="r+", use_consolidated=False)
        chunk = chunk_rows(length)
        shard = chunk * CHUNKS_PER_SHARD
        group.create_array(
            "sequence",
            shape=(rows, length, 4),
            dtype="uint8",
            chunks=(chunk, length, 4),
            shards=(shard, length, 4),
            compressors=_sequence_codec("sequence"),
            fill_value=0,
            dimension_names=("row", "position", "base"),
        )
        if codes:
            group.create_array(
                "sequence_codes",
                shape=(rows, length),
                dtype="uint8",
                chunks=(chunk, length),
                shards=(shard, length),
                compressors=_sequence_codec("sequence_codes"),
                fill_value=0,
                dimension_names=("row", "position"),
            )


def _without_rows(said: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return what is said of weights when a group goes: its arrays do, even if it comes back."""
    said = json.loads(json.dumps(said))
    for entry in said.values():
        if group in entry["groups"]:
            entry["groups"][group]["rows"] = ""
    return dict(said)


def write_shard(path: Path, name: str, shard: int, codes: NDArray[np.uint8]) -> str:
    """Write one whole shard of a group's sequences, read it back, return the sha256 of its codes.

    Tasks that wrote part of a shard would each rewrite it whole and lose the others' rows without
    an error, so anything else than a whole shard is refused.

    Parameters
    ----------
    path, name
        The store and the group.
    shard
        Number of the shard.
    codes
        uint8 (rows of the shard, length) base codes.
    """
    for array, fill in (("sequence", expand), ("sequence_codes", copy)):
        folder = path / name / array
        if array == "sequence_codes" and not folder.exists():
            continue
        layout = layout_of(folder)
        if layout is None:
            raise StoreError(f"{folder}: not an array this release writes")
        size = layout.chunk_rows * layout.chunks_per_file
        expected = (min(size, layout.shape[0] - shard * size), layout.shape[1])
        if codes.shape != expected:
            raise StoreError(
                f"{path}/{name}: shard {shard} takes {expected[0]} rows of {expected[1]} b, "
                f"got {codes.shape}"
            )
        pack_shard(layout, array, shard, codes, fill)
    return codes_digest(codes)
