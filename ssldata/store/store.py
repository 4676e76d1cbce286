"""Open a store, inspect it and read its rows. The layout is ``docs/store-format.md``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ssldata.base.errors import CrosslabelError, StoreError
from ssldata.base.files import digest_of
from ssldata.genomes.onehot import N_CODE
from ssldata.store.checked_store import REPAIR, CheckedStore
from ssldata.store.remote_stores import is_url, read_value, zarr_store
from ssldata.store.root_metadata import (
    ATTRIBUTE,
    COMPLETE,
    HOMOLOGUES,
    RANGES,
    REFERENCE,
    REMOVING,
    ROWS_VERSION,
    WEIGHTS,
    WRITING,
    YANKED,
    Root,
    misfit,
    parse_json,
    parse_root,
    read_root,
)

__all__ = [
    "ATTRIBUTE",
    "COMPLETE",
    "HOMOLOGUES",
    "RANGES",
    "REFERENCE",
    "REMOVING",
    "WEIGHTS",
    "WRITING",
    "YANKED",
    "RowGroup",
    "Store",
    "open_store",
]

_SOURCES = ("contig", "coverage", "end", "label", "locus", "score", "split", "start")
_LIFTOVER = ("aligned", "contig", "end", "identity", "loci", "pieces", "start", "status", "strand")
#: Inode, size and time of a file.
_Stamp = tuple[int, ...]
#: What readers rely on in the attributes of a group of rows.
_GROUP = {"ranges": {"*": [int, int]}, "contigs": [str]}


class RowGroup:
    """Rows of one genome.

    Attributes
    ----------
    name
        ``reference`` or ``homologs/<genome>``.
    rows
        Number of rows.
    ranges
        ``positive``, ``negative`` (train split, permuted), ``validation``, ``test`` (genome
        order), each as ``(first, end)``.
    """

    def __init__(
        self, group: zarr.Group, name: str, *, check: Callable[[], None] | None = None
    ) -> None:
        self._group = group
        self.name = name
        self._where = f"{group.store}/{name}" if isinstance(group.store, CheckedStore) else name
        #: Call it after reading: it raises if the store has been replaced since it was opened.
        self.check_unchanged = check or _nothing
        attributes: dict[str, Any] = dict(group.attrs)
        if wrong := misfit(attributes, _GROUP):
            raise StoreError(f"{self._where}: its attributes are damaged ({wrong}); {REPAIR}")
        self.contigs: tuple[str, ...] = tuple(attributes["contigs"])
        self.rows = int(self._array("start").shape[0])
        self.ranges: dict[str, tuple[int, int]] = {}
        for key in (key for key in RANGES if key in attributes["ranges"]):
            first, end = attributes["ranges"][key]
            if not 0 <= first <= end <= self.rows:
                found = f"the range {key} is [{first}, {end}) of {self.rows} rows"
                raise StoreError(f"{self._where}: {found}; {REPAIR}")
            self.ranges[key] = (first, end)
        self._columns: dict[str, NDArray[Any]] = {}

    def _array(self, name: str) -> zarr.Array[Any]:
        return _array_of(self._group, name, self._where)

    def _read(self, array: zarr.Array[Any], rows: slice = slice(None)) -> NDArray[Any]:
        try:
            return _values_of(array, rows)
        finally:
            self.check_unchanged()  # which also says better why a chunk is not what it was

    @cached_property
    def _sequence(self) -> zarr.Array[Any]:
        return self._array("sequence")

    @cached_property
    def _codes(self) -> zarr.Array[Any] | None:
        return self._array("sequence_codes") if self._has("sequence_codes") else None

    def _has(self, name: str) -> bool:
        try:
            return name in self._group
        except Exception:  # it is there, and damaged: reading it says how
            return True

    @property
    def length(self) -> int:
        """Bases stored per row."""
        return int(self._sequence.shape[1])

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk of the sequence arrays: what one read costs at least."""
        return int(self._sequence.chunks[0])

    @property
    def shard_rows(self) -> int:
        """Rows per shard of the sequence arrays: what one task must write whole."""
        shards = self._sequence.shards
        return int(shards[0] if shards else self._sequence.chunks[0])

    @property
    def has_codes(self) -> bool:
        """Whether base codes are stored beside one-hot."""
        return self._codes is not None

    def array_folder(self, name: str) -> Path | None:
        """Return the folder of an array, for readers of its files; None: not a local store."""
        root = getattr(self._group.store, "root", None)
        return Path(root) / self._group.path / name if isinstance(root, Path) else None

    def array_metadata(self, name: str) -> dict[str, Any]:
        """Return the Zarr metadata of an array."""
        return dict(self._array(name).metadata.to_dict())

    def missing_shards(self, shard: int) -> list[str]:
        """Return the sequence arrays that lack a shard's file (it reads as N); [] if not local."""
        missing = []
        for name, inner in (("sequence", "0/0"), ("sequence_codes", "0")):
            folder = self.array_folder(name)
            if folder is not None and self._has(name):
                missing += [] if (folder / "c" / str(shard) / inner).is_file() else [name]
        return missing

    def column(self, name: str) -> NDArray[Any]:
        """Return a whole per-row array (kept in memory: a few bytes per row)."""
        if name not in self._columns:
            array = self._array(name)
            if array.shape[:1] != (self.rows,):
                found = f"{array.shape} for {self.rows} rows"
                raise StoreError(f"{self._where}/{name}: {found}; {REPAIR}")
            self._columns[name] = self._read(array)
        return self._columns[name]

    def contig_names(self, first: int, end: int) -> NDArray[Any]:
        """Return the names of the contigs of the rows [first, end), as objects."""
        numbers = self.column("contig")[first:end]
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self.contigs):
            raise StoreError(f"{self._where}/contig: a number that is no contig's; {REPAIR}")
        return np.array(self.contigs, object)[numbers]

    def column_part(self, name: str, first: int, end: int) -> NDArray[Any]:
        """Return the rows [first, end) of a per-row array, without keeping the array in memory."""
        return self._read(self._array(name), slice(first, end))

    def codes(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return base codes (end − first, length) of a contiguous range of rows."""
        if self._codes is not None:
            return self._read(self._codes, slice(first, end))
        hot = self.one_hot(first, end)
        return np.where(hot.any(axis=-1), hot.argmax(axis=-1), N_CODE).astype(np.uint8)

    def one_hot(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return one-hot sequences (end − first, length, 4) of a contiguous range of rows."""
        return self._read(self._sequence, slice(first, end))

    def take_codes(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return base codes of arbitrary rows, in that order; every chunk is read once."""
        result = np.empty((len(rows), self.length), np.uint8)
        chunk = rows // self.chunk_rows
        for number in np.unique(chunk):
            here = np.flatnonzero(chunk == number)
            first = int(number) * self.chunk_rows
            result[here] = self.codes(first, min(first + self.chunk_rows, self.rows))[
                rows[here] - first
            ]
        return result

    def column_names(self) -> list[str]:
        """Return the names of the per-row arrays other than the sequences."""
        return [x for x in _names_in(self._group) if x not in ("sequence", "sequence_codes")]

    def attributes(self) -> dict[str, Any]:
        """Return the group's attributes."""
        return dict(self._group.attrs)

    def liftover(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``liftover/``: one row per source interval."""
        arrays = _arrays_of(self._group, "liftover", self._where, needed=_LIFTOVER)
        self.check_unchanged()
        return arrays


class Store:
    """A store open for reading. Only groups the ledger calls complete can be seen."""

    def __init__(
        self, group: zarr.Group, location: str, root: Root, watch: tuple[str | None, _Stamp]
    ) -> None:
        self._group = group
        self.location = location
        self.attributes = root.attributes
        #: Metadata of the groups and arrays, as the root lists them.
        self.nodes = root.nodes
        self._groups: dict[str, RowGroup] = {}
        self._file, self._opened = watch
        self._seen: dict[str, _Stamp] = {}

    @property
    def experiments(self) -> list[str]:
        """Label columns, in order."""
        return [str(name) for name in self.attributes["experiments"]]

    @property
    def ledger(self) -> Mapping[str, dict[str, Any]]:
        """Entry of every group: status, digest, content, rows, ranges, counts, provenance."""
        return dict(self.attributes["ledger"])

    @property
    def weights(self) -> Mapping[str, dict[str, Any]]:
        """Records of published weights, by name; see :mod:`ssldata.store.published_weights`."""
        return dict(self.attributes.get(WEIGHTS, {}))

    @property
    def genomes(self) -> list[str]:
        """Names of the complete target genomes, sorted."""
        prefix = f"{HOMOLOGUES}/"
        return sorted(
            name.removeprefix(prefix)
            for name, entry in self.ledger.items()
            if name.startswith(prefix) and entry["status"] == COMPLETE
        )

    @property
    def digest(self) -> str:
        """Identity of what a reader sees: format and the content of every complete group."""
        return digest_of(
            {
                "format_version": ROWS_VERSION,
                "experiments": self.experiments,
                "content": {
                    name: entry["content"]
                    for name, entry in self.ledger.items()
                    if entry["status"] == COMPLETE
                },
            }
        )

    def group(self, name: str) -> RowGroup:
        """Return the rows of ``reference`` or ``homologs/<genome>``.

        Raises
        ------
        StoreError
            There is no such complete group.
        """
        if name not in self._groups:
            entry = self.ledger.get(name)
            if entry is None or entry["status"] != COMPLETE:
                state = "is not in the store" if entry is None else "is not complete"
                if entry is not None and entry["status"] == YANKED:
                    state = f"was yanked{': ' * bool(entry.get('yanked'))}{entry.get('yanked', '')}"
                raise StoreError(
                    f"{self.location}: group {name!r} {state}; there are "
                    f"{', '.join([REFERENCE, *(f'{HOMOLOGUES}/{g}' for g in self.genomes)])}; "
                    "run `crosslabel build`"
                )
            group = _group_of(self._group, name, self.location)
            self._groups[name] = RowGroup(group, name, check=lambda: self._check_unchanged(name))
        return self._groups[name]

    def homologues(self, genome: str) -> RowGroup:
        """Return the rows of one target genome."""
        return self.group(f"{HOMOLOGUES}/{genome}")

    def sources(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``sources/``."""
        arrays = _arrays_of(self._group, "sources", self.location, needed=_SOURCES)
        self._check_unchanged(REFERENCE)
        return arrays

    def source_contigs(self) -> dict[str, list[Any]]:
        """Return the attributes ``contigs`` and ``contig_sizes`` that the sources refer to."""
        group = _group_of(self._group, "sources", self.location)
        attributes: dict[str, Any] = dict(group.attrs)
        if wrong := misfit(attributes, {"contigs": [str], "contig_sizes": [int]}):
            raise StoreError(
                f"{self.location}/sources: its attributes are damaged ({wrong}), or older than "
                "format 1.0: rebuild it with --replace"
            )
        return {key: list(attributes[key]) for key in ("contigs", "contig_sizes")}

    # -- a store that is replaced while it is read -------------------------------------------

    def _check_unchanged(self, name: str) -> None:
        """Raise unless the rows of a group are still those that this store was opened with.

        Writers change the root before any file, so what was read before this call is of one state.
        """
        stamp = _stamp_of(self._file)
        if stamp == self._seen.get(name, self._opened):
            return
        entry: Mapping[str, Any] = {}
        if self._file is not None and Path(self._file).name == "zarr.json":
            root = read_root(Path(self._file).parent)
            entry = {} if root is None else root.attributes["ledger"].get(name, {})
        same = entry.get("content") == self.ledger[name]["content"]
        if not same or entry["status"] not in (COMPLETE, YANKED):
            raise StoreError(
                f"{self.location}: {name} has been replaced while it was read; run this again"
            )
        self._seen[name] = stamp


def _watched(location: Path | str) -> str | None:
    """Return the file that is replaced whenever something of a local store is."""
    path = Path(location)
    return None if is_url(location) else str(path / "zarr.json" if path.is_dir() else path)


def _stamp_of(file: str | None) -> _Stamp:
    """Return what tells a file from another that took its name."""
    try:
        # Called for every chunk: the way of pathlib takes three times as long.
        found = None if file is None else os.stat(file)  # noqa: PTH116
    except OSError:
        return ()
    return () if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


def _nothing() -> None:
    """Check nothing: a group of no store."""


def _group_of(parent: zarr.Group, name: str, where: str) -> zarr.Group:
    group = _member(parent, name, where)
    if not isinstance(group, zarr.Group):
        raise StoreError(f"{where}/{name}: expected a group, found an array")
    return group


def _array_of(parent: zarr.Group, name: str, where: str) -> zarr.Array[Any]:
    array = _member(parent, name, where)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{where}/{name}: expected an array, found a group")
    return array


def _member(parent: zarr.Group, name: str, where: str) -> Any:
    try:
        return parent[name]
    except CrosslabelError:
        raise
    except Exception as exc:  # damaged metadata make zarr raise whatever they meet
        found = f"no such array or group ({_line(exc)})"
        raise StoreError(f"{where}/{name}: {found}; {REPAIR}") from exc


def _values_of(array: zarr.Array[Any], rows: slice = slice(None)) -> NDArray[Any]:
    """Return rows of an array.

    Raises
    ------
    StoreError
        A chunk is missing or damaged.
    """
    try:
        return np.asarray(array[rows])
    except (CrosslabelError, PermissionError):
        raise
    except Exception as exc:  # each codec has errors of its own
        where = str(array.store_path)
        raise StoreError(f"{where}: a chunk is damaged ({_line(exc)}); {REPAIR}") from exc


def _line(exc: Exception) -> str:
    first = (str(exc).strip().splitlines() or [""])[0]
    return f"{type(exc).__name__}: {first.split('. ')[0]}"[:200]


def _names_in(group: zarr.Group, *, deep: bool = False) -> list[str]:
    """Return the names of the arrays in a group."""
    assert isinstance(group.store, CheckedStore)
    return group.store.arrays_in(group.path, deep=deep)


def _arrays_of(
    parent: zarr.Group, name: str, where: str, *, needed: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    group = _group_of(parent, name, where)
    names = sorted({*_names_in(group), *needed})
    return {key: _values_of(_array_of(group, key, f"{where}/{name}")) for key in names}


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 of decoded arrays: names, types, shapes and values, by name."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        value = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {value.dtype.str} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def codes_digest(codes: NDArray[np.uint8]) -> str:
    """Return the sha256 of the base codes of one shard."""
    return hashlib.sha256(np.ascontiguousarray(codes).data).hexdigest()


def group_being_written(path: Path, name: str) -> RowGroup:
    """Return a group whose columns are written and whose sequences are not, for the writer."""
    return RowGroup(_plain_group(path / name), name)


def read_root_attributes(path: Path) -> dict[str, Any] | None:
    """Return our root attributes of a local store, or None when `path` holds no store of ours.

    Raises
    ------
    StoreError
        The root is damaged, or of another major format version.
    """
    root = read_root(path)
    return None if root is None else root.attributes


def open_store(location: Path | str, *, unfinished: bool = False) -> Store:
    """Open a store for reading, wherever it is.

    Parameters
    ----------
    location
        A folder, a ``.zip``, the ``http(s)://`` or ``s3://`` address of one, or a state of an
        Icechunk repository: ``icechunk://FOLDER[@TAG]``, ``icechunk+s3://BUCKET/PREFIX[@TAG]``.
    unfinished
        Also open a folder whose reference rows are not complete; only its ledger can be read.

    Raises
    ------
    MissingInputError
        Nothing is there.
    StoreError
        Something else is there, another format version, or no group is complete; or what is
        needed to read a remote store is missing (range requests, consolidated metadata).
    UnreachableError
        The server does not answer.
    """
    local = not is_url(location) and Path(location).is_dir()
    file = _watched(location)
    watch = file, _stamp_of(file)  # before the root is read
    place = zarr_store(location)
    text = read_value(place, "zarr.json")
    root = None if text is None else parse_root(text, str(location))
    if root is None:
        found = "nothing" if text is None else f"a zarr.json without {ATTRIBUTE!r} attributes"
        raise StoreError(
            f"{location}: not a crosslabel store ({found} at its root)"
            + ("" if local else "; give the address of the .zarr folder or of the .zip itself")
        )
    whole = root.attributes["ledger"].get(REFERENCE, {}).get("status") == COMPLETE
    if not whole and not (unfinished and local):
        raise StoreError(
            f"{location}: its reference rows are not complete; run `crosslabel build` again"
        )
    if whole and f"{REFERENCE}/start" not in root.nodes:
        raise StoreError(
            f"{location}: its root has no consolidated metadata, so the store looks empty from "
            "here; share it with `crosslabel store share`, or copy a whole store"
        )
    group = _open_group(CheckedStore(place, str(location), root.nodes))
    return Store(group, str(location), root, watch)


def _open_group(store: CheckedStore) -> zarr.Group:
    return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)


def _plain_group(path: Path) -> zarr.Group:
    """Return a local Zarr group that is no store, with the metadata beside its chunks."""
    nodes = {
        "" if file.parent == path else file.parent.relative_to(path).as_posix(): parse_json(
            file.read_bytes(), str(file)
        )
        for file in sorted(path.rglob("zarr.json"))
    }
    return _open_group(CheckedStore(zarr_store(path), str(path), nodes))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return every array below a plain Zarr group, by its path in the group.

    Raises
    ------
    StoreError
        It is damaged.
    """
    group = _plain_group(path)
    names = _names_in(group, deep=True)
    return {name: _values_of(_array_of(group, name, str(path))) for name in names}


def load_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a plain Zarr group."""
    return dict(parse_json((path / "zarr.json").read_bytes(), f"{path}/zarr.json")["attributes"])


def belongs(member: Path, group: str, weights: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a file belongs to a group and is not left over from unpublished weights.

    Parameters
    ----------
    member
        Path of the file in the folder of the group.
    group
        Name of the group.
    weights
        Records of published weights: :attr:`Store.weights`.
    """
    if member.parts[0] != WEIGHTS:
        return True
    names = {name for name, entry in weights.items() if group in entry["groups"]}
    return bool(names) if len(member.parts) == 2 else member.parts[1] in names
