"""Open a store, inspect it and read its rows. The layout is ``docs/store-format.md``."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.base.files import digest_of
from ssldata.genomes.onehot import N_CODE
from ssldata.store.remote_stores import is_url, read_value, zarr_store

#: MAJOR.MINOR; readers refuse another MAJOR. Raise MAJOR only when old readers would misread.
FORMAT_VERSION = "1.0"
#: Key of everything of ours in the root attributes.
ATTRIBUTE = "crosslabel"
REFERENCE = "reference"
HOMOLOGUES = "homologs"
#: Folder of published weights in a group, and key of their records in our attributes.
WEIGHTS = "weights"
RANGES = ("positive", "negative", "validation", "test")
#: Statuses of the ledger. Readers use complete groups only.
WRITING, COMPLETE, YANKED, REMOVING = "writing", "complete", "yanked", "removing"


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

    def __init__(self, group: zarr.Group, name: str) -> None:
        self._group = group
        self.name = name
        attributes: dict[str, Any] = dict(group.attrs)
        self.ranges: dict[str, tuple[int, int]] = {
            key: (int(first), int(end)) for key, (first, end) in attributes["ranges"].items()
        }
        self.contigs: tuple[str, ...] = tuple(attributes["contigs"])
        self.rows = int(self._array("start").shape[0])
        self._columns: dict[str, NDArray[Any]] = {}

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise StoreError(f"{self.name}/{name}: expected an array, found a group")
        return array

    @cached_property
    def _sequence(self) -> zarr.Array[Any]:
        return self._array("sequence")

    @cached_property
    def _codes(self) -> zarr.Array[Any] | None:
        return self._array("sequence_codes") if "sequence_codes" in self._group else None

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

    def missing_shards(self, shard: int) -> list[str]:
        """Return the sequence arrays that lack a shard's file (it reads as N); [] if not local."""
        missing = []
        for name, inner in (("sequence", "0/0"), ("sequence_codes", "0")):
            folder = self.array_folder(name)
            if folder is not None and name in self._group:
                missing += [] if (folder / "c" / str(shard) / inner).is_file() else [name]
        return missing

    def column(self, name: str) -> NDArray[Any]:
        """Return a whole per-row array (kept in memory: a few bytes per row)."""
        if name not in self._columns:
            self._columns[name] = np.asarray(self._array(name)[:])
        return self._columns[name]

    def column_part(self, name: str, first: int, end: int) -> NDArray[Any]:
        """Return the rows [first, end) of a per-row array, without keeping the array in memory."""
        return np.asarray(self._array(name)[first:end])

    def codes(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return base codes (end − first, length) of a contiguous range of rows."""
        if self._codes is not None:
            return np.asarray(self._codes[first:end])
        hot = np.asarray(self._sequence[first:end])
        return np.where(hot.any(axis=-1), hot.argmax(axis=-1), N_CODE).astype(np.uint8)

    def one_hot(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return one-hot sequences (end − first, length, 4) of a contiguous range of rows."""
        return np.asarray(self._sequence[first:end])

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
        return sorted(set(_members(self._group)) - {"sequence", "sequence_codes"})

    def attributes(self) -> dict[str, Any]:
        """Return the group's attributes."""
        return dict(self._group.attrs)

    def liftover(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``liftover/``: one row per source interval."""
        return _arrays_of(self._group, "liftover", self.name)


class Store:
    """A store open for reading. Only groups the ledger calls complete can be seen."""

    def __init__(self, group: zarr.Group, location: str) -> None:
        self._group = group
        self.location = location
        root: dict[str, Any] = dict(group.attrs)
        self.attributes: dict[str, Any] = root[ATTRIBUTE]
        self._groups: dict[str, RowGroup] = {}

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
                "format_version": self.attributes["format_version"],
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
            group = self._group[name]
            if not isinstance(group, zarr.Group):
                raise StoreError(f"{self.location}: {name!r} is an array, expected a group")
            self._groups[name] = RowGroup(group, name)
        return self._groups[name]

    def homologues(self, genome: str) -> RowGroup:
        """Return the rows of one target genome."""
        return self.group(f"{HOMOLOGUES}/{genome}")

    def sources(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``sources/``."""
        return _arrays_of(self._group, "sources", self.location)

    def source_contigs(self) -> dict[str, list[Any]]:
        """Return the attributes ``contigs`` and ``contig_sizes`` that the sources refer to."""
        attributes: dict[str, Any] = dict(self._group["sources"].attrs)
        keys = ("contigs", "contig_sizes")
        if lacking := [key for key in keys if key not in attributes]:
            raise StoreError(
                f"{self.location}/sources: lacks the attribute {lacking[0]}; the store is damaged "
                "or older than format 1.0: rebuild it with --replace"
            )
        return {key: list(attributes[key]) for key in keys}


def _arrays_of(parent: zarr.Group, name: str, where: str) -> dict[str, NDArray[Any]]:
    group = parent[name]
    if not isinstance(group, zarr.Group):
        raise StoreError(f"{where}/{name}: expected a group, found an array")
    return {key: np.asarray(array[:]) for key, array in _members(group).items()}


def _members(group: zarr.Group, *, depth: int | None = 0) -> dict[str, zarr.Array[Any]]:
    """Return the arrays in a group (`depth` None: also in its groups), by name."""
    with warnings.catch_warnings():
        # A temporary file of a killed writer; the next writer sweeps it.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized")
        members = sorted(group.members(max_depth=depth))
    return {name: member for name, member in members if isinstance(member, zarr.Array)}


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
    group = zarr.open_group(path / name, mode="r", zarr_format=3, use_consolidated=False)
    return RowGroup(group, name)


def read_root_attributes(path: Path) -> dict[str, Any] | None:
    """Return our root attributes of a local store, or None when `path` holds no store of ours.

    Raises
    ------
    StoreError
        The store is of another major format version.
    """
    try:
        text = (path / "zarr.json").read_bytes()
    except OSError:
        return None
    return _attributes_of(text, str(path))


def _attributes_of(text: bytes, where: str) -> dict[str, Any] | None:
    """Return our attributes in a root ``zarr.json``, or None when there are none."""
    try:
        attributes = json.loads(text)["attributes"][ATTRIBUTE]
        found = str(attributes.get("format_version", "?"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if found.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise StoreError(
            f"{where}: store format {found}, this release reads {FORMAT_VERSION.split('.')[0]}.x; "
            "rebuild the store or use the release that wrote it"
        )
    _check_ledger(attributes.get("ledger"), where)
    return dict(attributes)


def _check_ledger(ledger: Any, where: str) -> None:
    """Raise :class:`StoreError` when a ledger lacks what its readers rely on."""
    damaged = f"{where}: its ledger is damaged"
    advice = "copy the store again, or delete it and build again"
    if not isinstance(ledger, dict):
        raise StoreError(f"{damaged} (no list of groups); {advice}")
    for name, entry in ledger.items():
        keys = ["status"]
        if isinstance(entry, dict) and entry.get("status") in (COMPLETE, YANKED):
            keys += ["digest", "content", "rows"]
        lacking = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if lacking:
            raise StoreError(f"{damaged} ({name} has no {', '.join(lacking)}); {advice}")
        if not isinstance(entry.get("rows", 0), int):
            raise StoreError(f"{damaged} ({name}: rows is not a number); {advice}")


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
    place = zarr_store(location)
    text = read_value(place, "zarr.json")
    attributes = None if text is None else _attributes_of(text, str(location))
    if attributes is None or text is None:
        found = "nothing" if text is None else f"a zarr.json without {ATTRIBUTE!r} attributes"
        raise StoreError(
            f"{location}: not a crosslabel store ({found} at its root)"
            + ("" if local else "; give the address of the .zarr folder or of the .zip itself")
        )
    whole = attributes["ledger"].get(REFERENCE, {}).get("status") == COMPLETE
    if not whole and not (unfinished and local):
        raise StoreError(
            f"{location}: its reference rows are not complete; run `crosslabel build` again"
        )
    if local:
        group = zarr.open_group(place, mode="r", zarr_format=3, use_consolidated=False)
    else:
        listed = (json.loads(text).get("consolidated_metadata") or {}).get("metadata", {})
        if f"{REFERENCE}/start" not in listed:
            raise StoreError(
                f"{location}: its root has no consolidated metadata, so the store looks empty from "
                "here; share it with `crosslabel store share`, or copy a whole store"
            )
        group = zarr.open_group(place, mode="r", zarr_format=3, use_consolidated=True)
    return Store(group, str(location))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return every array below a plain Zarr group, by its path in the group."""
    group = zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False)
    return {name: np.asarray(array[:]) for name, array in _members(group, depth=None).items()}


def load_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a plain Zarr group."""
    return dict(zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False).attrs)


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
