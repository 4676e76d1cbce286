"""Writing a store: lock, ledger, columns, whole shards.

The order makes a killed build harmless: a group is ``writing`` in the ledger before anything of it
exists, and ``complete`` after everything of it was written, read back and flushed to the disk;
readers use complete groups only. Each change of the ledger is one rename of the root
``zarr.json``, which holds the consolidated metadata as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from ssldata.base.errors import StoreError
from ssldata.base.files import atomic_path, digest_of, real_path
from ssldata.base.locks import exclusive_lock
from ssldata.store.chunk_reader import read_layout
from ssldata.store.column_writer import put_group, write_column
from ssldata.store.compression import SEQUENCE_CODECS
from ssldata.store.root_metadata import (
    COMPLETE,
    CONSOLIDATED,
    HISTORY,
    HOMOLOGUES,
    REFERENCE,
    REMOVING,
    WEIGHTS,
    WRITING,
    YANKED,
    Root,
    parse_json,
    read_root,
    root_text,
)
from ssldata.store.shard_writer import copy, expand, pack_shard
from ssldata.store.store import arrays_digest, belongs, codes_digest

#: Decoded bytes of one chunk of the one-hot array, at most. Below 1 MB the cost per read call
#: dominates; far above, a window of chunks no longer fits in cache.
CHUNK_BYTES = 4_194_304
#: Chunks per shard: 16 times fewer files, and one task writes one shard.
CHUNKS_PER_SHARD = 16
#: Suffixes of what a killed writer leaves: half-written files, half-deleted folders.
_PARTIAL, _DELETING = ".partial", ".deleting"
#: Key, in the entry of a yanked group, of the digest of its metadata.
_METADATA = "metadata"
#: Files flushed to the disk at a time; the threads mostly wait.
_SYNC_THREADS = 8


def chunk_rows(length: int) -> int:
    """Return rows per chunk: the largest power of two whose one-hot form fits `CHUNK_BYTES`."""
    return 1 << (max(1, CHUNK_BYTES // (4 * length)).bit_length() - 1)


def shard_count(rows: int, length: int) -> int:
    """Return how many shards the sequence arrays of `rows` rows have."""
    return -(-rows // (chunk_rows(length) * CHUNKS_PER_SHARD))


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the one writer's place of a store; wait for it when another process has it.

    A store that is reached through a link has the lock of the folder that it is. See
    :mod:`ssldata.base.locks`.

    Raises
    ------
    StoreError
        There can be no folder of that name.
    """
    path = real_path(path)
    _make_folder(path.parent)
    waiting = f"{path}: another process is writing; waiting for it"
    with exclusive_lock(Path(f"{path}.lock"), waiting=waiting):
        try:
            yield
        except OSError as exc:
            if exc.errno is None or exc.filename is not None:
                raise
            raise OSError(exc.errno, exc.strerror, str(path)) from exc  # a full disk: say where


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:  # a file, or links in a circle
        raise StoreError(f"{exc.filename}: in the way of a store, and no folder") from exc
    except OSError as exc:
        if exc.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
            raise
        raise StoreError(f"{exc.filename}: no place for a store ({exc.strerror})") from exc


def remove_tree(path: Path) -> None:
    """Delete a folder; if killed half-way, none of it is left under its name."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.{os.getpid()}{_DELETING}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def sweep_tree(path: Path) -> None:
    """Delete what killed writers left below a folder; the caller must be its only writer."""
    for pattern in (f"*{_PARTIAL}", f".*{_DELETING}"):
        for item in sorted(path.rglob(pattern)):
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink(missing_ok=True)


def sync_tree(path: Path) -> None:
    """Flush `path`, everything below it and its parent folder to the disk (fsync).

    Otherwise a power cut after the ledger entry ``complete`` could leave chunks missing, which
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
    """Return whether a folder holds only what a killed writer leaves."""
    return path.is_dir() and all(
        item.name.endswith((_PARTIAL, _DELETING)) for item in path.iterdir()
    )


def _consolidated(file: Path) -> dict[str, Any]:
    """Return the metadata of a node as zarr-python consolidates them into the root."""
    node = parse_json(file.read_bytes(), str(file))
    if node.get("node_type") == "group":
        node["consolidated_metadata"] = {**CONSOLIDATED, "metadata": {}}
    return node


def _digest_of_nodes(name: str, nodes: Mapping[str, Any]) -> str:
    """Return the sha256 of the metadata of a group, but not of weights: they come and go."""
    inside, weights = f"{name}/", f"{name}/{WEIGHTS}/"
    own = {k: v for k, v in nodes.items() if f"{k}/".startswith(inside)}
    return digest_of({k: v for k, v in own.items() if not f"{k}/".startswith(weights)})


class StoreWriter:
    """Writes one local store. Use it while holding :func:`writer_lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- the root ----------------------------------------------------------------------------

    def _root(self) -> Root | None:
        """Return the root, or None when there is no store yet; errors as :meth:`attributes`."""
        root = read_root(self.path)
        if root is None and self.path.exists() and not _is_leftover(self.path):
            raise StoreError(
                f"{self.path}: holds something that is not a crosslabel store; "
                "move it away or set another 'store.path'"
            )
        return root

    def attributes(self) -> dict[str, Any] | None:
        """Return our root attributes, or None when there is no store yet.

        Raises
        ------
        StoreError
            The path holds something other than a crosslabel store, or a damaged one.
        """
        root = self._root()
        return None if root is None else root.attributes

    def _existing_attributes(self) -> dict[str, Any]:
        attributes = self.attributes()
        if attributes is None:
            raise StoreError(f"{self.path}: no store to write to")
        return attributes

    def experiments(self) -> list[str]:
        """Return the label columns of the store, in order."""
        return list(self._existing_attributes()["experiments"])

    def create(self, settings: Mapping[str, Any]) -> None:
        """Make an empty store with an empty ledger."""
        _make_folder(real_path(self.path))
        self._commit({**settings, "ledger": {}})

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return the ledger (empty when there is no store)."""
        return dict((self.attributes() or {"ledger": {}})["ledger"])

    def sweep(self) -> None:
        """Delete what killed writers left behind, and finish interrupted removals."""
        path = real_path(self.path)
        for item in path.parent.glob(f".{path.name}.*{_DELETING}"):
            shutil.rmtree(item, ignore_errors=True)
        sweep_tree(self.path)
        self._mend_homologues()
        for name, entry in self.ledger().items():
            if entry["status"] == REMOVING:
                self.remove(name)
        self._sweep_weights()

    def _mend_homologues(self) -> None:
        """Rewrite lost metadata of the folder of genomes: they hold no information."""
        file = self.path / HOMOLOGUES / "zarr.json"
        if not file.parent.is_dir():
            return
        try:
            json.loads(file.read_bytes())
        except (OSError, ValueError):
            file.unlink(missing_ok=True)
            put_group(file.parent, {})

    def _sweep_weights(self) -> None:
        """Delete weights without an entry, and folders of weights that are empty."""
        entries = (self.attributes() or {}).get(WEIGHTS, {})
        for folder in sorted(self.path.glob(f"{HOMOLOGUES}/*/{WEIGHTS}")):
            group = str(folder.parent.relative_to(self.path))
            for item in [*folder.iterdir(), folder]:
                inner = item if item.is_file() else item / "zarr.json"
                if not belongs(inner.relative_to(folder.parent), group, entries):
                    remove_tree(item) if item.is_dir() else item.unlink()

    def _commit(self, attributes: Mapping[str, Any]) -> None:
        """Replace the root ``zarr.json``: attributes and consolidated metadata in one rename.

        Metadata that the root holds already are kept: files that were damaged since are not
        believed. Those of a yanked group, which the root does not hold, have a digest in its entry.
        """
        root = read_root(self.path)
        known = {} if root is None else root.nodes
        nodes: dict[str, Any] = {}
        ledger: dict[str, dict[str, Any]] = {}
        for name, entry in sorted(attributes["ledger"].items()):
            ledger[name] = {key: value for key, value in entry.items() if key != _METADATA}
            if entry["status"] == COMPLETE:
                found = self._nodes(name, known, attributes.get(WEIGHTS, {}))
                if entry.get(_METADATA) not in (None, _digest_of_nodes(name, found)):
                    raise StoreError(
                        f"{self.path}/{name}: its metadata are damaged; remove the genome and add "
                        "it again"
                    )
                nodes |= found
            elif entry["status"] == YANKED:
                digest = _digest_of_nodes(name, known) if name in known else entry.get(_METADATA)
                ledger[name] |= {_METADATA: digest} if digest else {}
        text = root_text({**attributes, "ledger": ledger}, nodes)
        with atomic_path(self.path / "zarr.json") as temporary:
            temporary.write_text(text, encoding="utf-8")
        # The new name reaches the disk before anything that relies on it is deleted.
        _flush(self.path)

    def _nodes(
        self, name: str, known: Mapping[str, Any], weights: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the metadata of a group, of its parents, and with the reference of the sources."""
        parts = name.split("/")
        files = [self.path.joinpath(*parts[:i], "zarr.json") for i in range(1, len(parts))]
        for group in (name, "sources") if name == REFERENCE else (name,):
            folder = self.path / group
            there = {*folder.rglob("zarr.json")}
            there |= {
                self.path / key / "zarr.json" for key in known if f"{key}/".startswith(f"{group}/")
            }
            files += [one for one in there if belongs(one.relative_to(folder), group, weights)]
        nodes = {str(file.parent.relative_to(self.path)): file for file in files}
        return {
            key: known[key] if key in known else _consolidated(file) for key, file in nodes.items()
        }

    def set_entry(self, name: str, entry: Mapping[str, Any] | None) -> None:
        """Put one entry into the ledger (None: remove it)."""
        self.set_entries({name: entry})

    def set_entries(
        self,
        entries: Mapping[str, Mapping[str, Any] | None],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Put entries into the ledger (None: remove it) and root attributes, in one change."""
        attributes = self._existing_attributes()
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
        attributes = self._existing_attributes()
        # Without weights the root is byte for byte what it was before there were any.
        entries = dict(attributes.pop(WEIGHTS, {}))
        entries.pop(name, None)
        if entry is not None:
            entries[name] = dict(entry)
        if entries:
            attributes[WEIGHTS] = dict(sorted(entries.items()))
        self._commit(attributes)

    def withdraw_weights(self, name: str) -> None:
        """Delete weights. If interrupted, :meth:`sweep` finishes it; no reader sees them."""
        self.announce_weights(name, None)
        self._sweep_weights()

    # -- history -----------------------------------------------------------------------------

    def set_history(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Put the history into the root; what readers see of the rows stays the same."""
        self._commit({**self._existing_attributes(), HISTORY: [dict(entry) for entry in entries]})

    # -- groups ------------------------------------------------------------------------------

    def begin(self, name: str, digest: str) -> None:
        """Enter a group as ``writing`` in the ledger and delete what an earlier attempt left.

        An entry ``writing`` of the same digest is kept as it is: a repair notes in it what it
        removed, and if interrupted continues from there rather than rebuilding the whole store.
        """
        entry = self.ledger().get(name, {})
        if (entry.get("status"), entry.get("digest")) != (WRITING, digest):
            self.set_entry(name, {"status": WRITING, "digest": digest})
        remove_tree(self.path / name)

    def complete(
        self, name: str, entry: Mapping[str, Any], *, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Put the entry of a whole group into the ledger, after all its bytes are on the disk."""
        sweep_tree(self.path / name)  # left by workers that died; others took over their tasks
        sync_tree(self.path / name)
        if (self.path / "sources").is_dir() and name == REFERENCE:
            sync_tree(self.path / "sources")
        self.set_entries({name: entry}, settings)

    def remove(self, name: str) -> None:
        """Delete a group. If interrupted, :meth:`sweep` finishes it; no reader sees it."""
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
        meanings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> str:
        """Write small arrays of a group whole.

        Parameters
        ----------
        name
            Path of the group; parents are made.
        arrays
            Name → array of integers or floats; the first axis is the row.
        dims
            Name → dimension names, for xarray.
        attributes
            Of the group.
        meanings
            Name → attributes of the array; no checksum depends on them.

        Returns
        -------
        str
            sha256 of the contents, as :func:`ssldata.store.store.arrays_digest`.

        Raises
        ------
        StoreError
            An array does not read back as written.
        """
        for parent in reversed(Path(name).parents[:-1]):
            put_group(self.path / parent, {})
        put_group(self.path / name, attributes or {})
        for key in sorted(arrays):
            write_column(self.path / name / key, arrays[key], dims[key], (meanings or {}).get(key))
        return arrays_digest(arrays)

    def create_sequences(
        self,
        name: str,
        *,
        rows: int,
        length: int,
        codes: bool,
        meanings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the (empty) sequence arrays of a group, chunked and sharded.

        Parameters
        ----------
        name
            Path of the group, which exists.
        rows, length
            Rows of the group, and bases per row.
        codes
            Also make ``sequence_codes`` (rows, length), beside ``sequence`` (rows, length, 4).
        meanings
            Name → attributes of the array.
        """
        group = zarr.open_group(self.path / name, mode="r+", use_consolidated=False)
        chunk = chunk_rows(length)
        shapes: dict[str, tuple[int, ...]] = {"sequence": (length, 4)}
        if codes:
            shapes["sequence_codes"] = (length,)
        for array, shape in shapes.items():
            group.create_array(
                array,
                shape=(rows, *shape),
                dtype="uint8",
                chunks=(chunk, *shape),
                shards=(chunk * CHUNKS_PER_SHARD, *shape),
                compressors=(BloscCodec(**SEQUENCE_CODECS[array].configuration()), Crc32cCodec()),
                fill_value=0,
                dimension_names=("row", "position", "base")[: 1 + len(shape)],
                attributes=dict((meanings or {}).get(array, {})),
            )


def _without_rows(entries: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the entries of weights once a group is gone: its weights are, even if it returns."""
    entries = json.loads(json.dumps(entries))
    for entry in entries.values():
        if group in entry["groups"]:
            entry["groups"][group]["rows"] = ""
    return dict(entries)


def write_shard(path: Path, name: str, shard: int, codes: NDArray[np.uint8]) -> str:
    """Write one whole shard of a group's sequences and check that it reads back.

    Tasks that wrote part of a shard would each rewrite it whole and silently lose the rows of the
    others, so anything other than a whole shard is refused.

    Parameters
    ----------
    path, name
        The store and the group.
    shard
        Number of the shard.
    codes
        uint8 (rows of the shard, length) base codes.

    Returns
    -------
    str
        sha256 of the codes.

    Raises
    ------
    StoreError
        Not the rows of a whole shard; an array that is missing or of another layout; or a shard
        that does not read back as written.
    """
    for array, fill in (("sequence", expand), ("sequence_codes", copy)):
        folder = path / name / array
        if array == "sequence_codes" and not folder.exists():
            continue
        layout = read_layout(folder)
        if layout is None:
            raise StoreError(f"{folder}: not an array this release writes")
        size = layout.chunk_rows * layout.chunks_per_file
        expected = (min(size, layout.shape[0] - shard * size), layout.shape[1])
        if codes.shape != expected:
            raise StoreError(
                f"{path}/{name}: shard {shard} takes {expected[0]} rows of {expected[1]} b, "
                f"found {codes.shape}"
            )
        pack_shard(layout, array, shard, codes, fill)
    return codes_digest(codes)
