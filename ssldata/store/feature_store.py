"""Feature stores: rows × named columns of numbers, written block by block and resumable.

A Zarr group that ``xarray.open_zarr`` opens: ``features`` (sequence, feature), ``feature`` with the
names of the columns, and one array per coordinate of the rows. It is written into the folder
``NAME.partial``, where each finished block has a record with the digest of its chunks; the folder
gets its name when everything is on the disk. A writer that was killed continues with the first
block that is missing or not as recorded, to the same bytes.

The metadata are zarr-python's. Chunks are packed and unpacked here, by one thread: those of
zarr-python depend on which thread of Blosc ends first, and its threads keep memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from ssldata.base.errors import ConfigError, MissingInputError, StoreError
from ssldata.base.files import atomic_path, digest_of, write_json_atomic, write_text_atomic
from ssldata.base.versions import library_versions
from ssldata.store.compression import (
    CHECKSUM,
    Codec,
    checksum_of,
    decompress,
    promised_sizes,
)
from ssldata.store.root_metadata import CONSOLIDATED, parse_json
from ssldata.store.store_writer import remove_tree, sync_tree

#: Version of the layout; a reader refuses a later one.
FEATURE_FORMAT = 1
#: The attribute of the root that holds what a feature store was made of.
FEATURE_ATTRIBUTE = "crosslabel_features"

#: Rows and columns of a chunk. A pass over 4,096 rows of 21,907 columns took .4 CPU s, as in chunks
#: of whole rows, and one column of them .06 rather than .21 s; chunks of 1,024 × 1,024 take .8 and
#: .01 s. A block of all columns, which is what a writer holds, is 22 MB for the profiles of Sei.
CHUNK_ROWS, CHUNK_COLUMNS = 256, 4096

_FEATURES, _NAMES = "features", "feature"
_RECORDS = "blocks"
_MANIFEST = "features.json"

FeatureType = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class FeatureColumns:
    """The columns of a feature store.

    Attributes
    ----------
    names
        Unique names.
    long_name, units
        What the numbers are, as attributes of the array.
    """

    names: Sequence[str]
    long_name: str
    units: str = "1"

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            seen: set[str] = set()
            twice = next(name for name in self.names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise ConfigError(f"two features are called {twice!r}; their names must differ")


@dataclass(frozen=True, kw_only=True)
class FeatureLayout:
    """Shape and type of a feature store.

    Attributes
    ----------
    rows
        Number of rows.
    columns
        The columns.
    dtype
        Type of the numbers.
    """

    rows: int
    columns: FeatureColumns
    dtype: FeatureType = "float32"

    @property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns of a chunk: narrow stores have more rows in one."""
        width = min(CHUNK_COLUMNS, len(self.columns.names))
        # As many values as the chunk of a wide store, in steps of powers of two.
        taller = 1 << int(math.log2(CHUNK_COLUMNS / max(width, 16)))
        return min(CHUNK_ROWS * taller, max(self.rows, 1)), width

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last row + 1 of every block: one row of chunks."""
        rows = self.chunk[0]
        return [(first, min(first + rows, self.rows)) for first in range(0, self.rows, rows)]

    @property
    def bytes(self) -> int:
        """Bytes of the numbers, not compressed."""
        return self.rows * len(self.columns.names) * np.dtype(self.dtype).itemsize


def _codec(dtype: str) -> Codec:
    # lz4 rather than zstd: half of the time for 3 per cent more bytes of sigmoid outputs.
    return Codec(typesize=np.dtype(dtype).itemsize, cname="lz4", clevel=5, shuffle="shuffle")


class FeatureWriter:
    """Writes one feature store; the caller holds a lock of its path.

    Parameters
    ----------
    path
        The store.
    layout
        Its shape.
    identity
        What decides its numbers; JSON.
    """

    def __init__(self, path: Path, layout: FeatureLayout, identity: Mapping[str, Any]) -> None:
        self.path, self.layout = path, layout
        self.identity = dict(identity)
        self.digest = digest_of({"format": FEATURE_FORMAT, **self.identity})
        self.partial = path.with_name(f"{path.name}.partial")

    def state(self) -> Literal["complete", "other", "unfinished", "foreign", "none"]:
        """Return what lies at the path: this store, another one, a part of this one, …."""
        if self.path.exists():
            found = feature_attributes(self.path)
            if found is None:
                return "foreign"
            return "complete" if found.get("digest") == self.digest else "other"
        if not self.partial.exists():
            return "none"
        try:
            manifest = json.loads((self.partial / _MANIFEST).read_text("utf-8"))
        except (OSError, ValueError):
            return "none"  # killed before anything was kept
        return "unfinished" if manifest.get("digest") == self.digest else "other"

    def begin(self) -> None:
        """Make the folder and the arrays, or keep those of a writer that was killed."""
        if self.state() == "unfinished":
            return
        remove_tree(self.partial)
        self.partial.mkdir(parents=True)
        group = zarr.open_group(self.partial, mode="w-", zarr_format=3)
        codec = _codec(self.layout.dtype).configuration()
        group.create_array(
            _FEATURES,
            shape=(self.layout.rows, len(self.layout.columns.names)),
            chunks=self.layout.chunk,
            dtype=self.layout.dtype,
            compressors=[BloscCodec(**codec), Crc32cCodec()],
            fill_value=np.nan,  # a chunk that is lost must not read as zeros
            dimension_names=("sequence", "feature"),
        )
        (self.partial / _RECORDS).mkdir()
        write_json_atomic(self.partial / _MANIFEST, {"digest": self.digest})

    def kept(self, number: int) -> bool:
        """Return whether a block is finished, and as it was recorded."""
        try:
            record = json.loads((self._record(number)).read_text("utf-8"))
            return bool(record["chunks"] == self._chunk_digests(number))
        except (OSError, ValueError, KeyError):
            return False

    def write(self, number: int, values: NDArray[Any]) -> None:
        """Write a block of rows, and its record."""
        rows, width = self.layout.chunk
        codec = _codec(self.layout.dtype)
        for column, first in enumerate(range(0, values.shape[1], width)):
            part = values[:, first : first + width]
            chunk = np.full((rows, width), np.nan, self.layout.dtype)
            chunk[: part.shape[0], : part.shape[1]] = part
            packed = codec.compress(chunk)
            with atomic_path(self._chunk(number, column)) as temporary:
                temporary.write_bytes(packed + checksum_of(packed))
        write_json_atomic(self._record(number), {"chunks": self._chunk_digests(number)})

    def finish(self, coordinates: Mapping[str, NDArray[Any]]) -> str:
        """Write coordinates and metadata, name the folder, and return the digest of its content.

        Parameters
        ----------
        coordinates
            Name → one value per row: integers, floats or text.
        """
        group = zarr.open_group(self.partial, mode="r+", use_consolidated=False)
        names = np.array(list(self.layout.columns.names), object)
        _put(group, _NAMES, names, ("feature",), "name of the feature")
        for name, values in coordinates.items():
            _put(group, name, values, ("sequence",), COORDINATES.get(name, name))
        content = digest_of([self._chunk_digests(n) for n in range(len(self.layout.blocks))])
        group[_FEATURES].attrs.update(
            {
                "long_name": self.layout.columns.long_name,
                "units": self.layout.columns.units,
                "coordinates": " ".join(coordinates),
            }
        )
        ours = {
            "format": FEATURE_FORMAT,
            "digest": self.digest,
            "content": content,
            "identity": self.identity,
            "versions": library_versions("tensorflow", "keras"),
        }
        nodes = {
            file.parent.name: parse_json(file.read_bytes(), str(file))
            for file in sorted(self.partial.glob("*/zarr.json"))
        }
        root = {
            "attributes": {FEATURE_ATTRIBUTE: ours},
            "zarr_format": 3,
            "node_type": "group",
            "consolidated_metadata": {**CONSOLIDATED, "metadata": nodes},
        }
        for record in (self.partial / _RECORDS).glob("*"):
            record.unlink()
        (self.partial / _RECORDS).rmdir()
        (self.partial / _MANIFEST).unlink()
        write_text_atomic(self.partial / "zarr.json", json.dumps(root, indent=1) + "\n")
        sync_tree(self.partial)
        remove_tree(self.path)
        self.partial.rename(self.path)
        return content

    def _chunk(self, number: int, column: int) -> Path:
        return self.partial / _FEATURES / "c" / str(number) / str(column)

    def _record(self, number: int) -> Path:
        return self.partial / _RECORDS / f"{number:07d}.json"

    def _chunk_digests(self, number: int) -> list[str]:
        """Return the checksums of the chunks of a block, each verified against its bytes.

        A crc32c, which the chunk ends with, finds what a disk loses; nobody forges a chunk here.
        """
        columns = -(-len(self.layout.columns.names) // self.layout.chunk[1])
        found = []
        for column in range(columns):
            data = self._chunk(number, column).read_bytes()
            if checksum_of(data[:-CHECKSUM]) != data[-CHECKSUM:]:
                raise ValueError("damaged")
            found.append(f"{len(data)}-{data[-CHECKSUM:].hex()}")
        return found


#: Coordinates of rows, and what they are.
COORDINATES = {
    "name": "name of the sequence",
    "contig": "contig of the sequence",
    "start": "first base, counted from 0",
    "end": "base after the last",
    "strand": "strand that was read, 1 or -1",
    "label": "label, 0 or 1",
    "split": "train, validation or test",
    "locus": "number of the place; both strands of it have the same",
}


def _put(
    group: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], long_name: str
) -> None:
    text = values.dtype.kind in "OUT"
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=(max(1, len(values)),),
        dtype="string" if text else values.dtype,
        dimension_names=dims,
        attributes={"long_name": long_name},
        overwrite=True,
    )
    array[:] = values.astype(object) if text else values


def feature_attributes(path: Path) -> dict[str, Any] | None:
    """Return what a feature store was made of; None: the path is no feature store."""
    try:
        root = parse_json((path / "zarr.json").read_bytes(), str(path))
    except (OSError, StoreError):
        return None
    found = root.get("attributes", {}).get(FEATURE_ATTRIBUTE)
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class FeatureStore:
    """An open feature store; made by :func:`open_features`.

    Attributes
    ----------
    path
        Its folder.
    attributes
        What it was made of.
    """

    path: Path
    attributes: Mapping[str, Any]
    _group: zarr.Group = field(repr=False)

    @cached_property
    def _array(self) -> Any:
        return self._group[_FEATURES]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._array.shape[0])

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(map(str, self._values(_NAMES)))

    def _values(self, name: str) -> NDArray[Any]:
        array: Any = self._group[name]
        return np.asarray(array[:])

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk, which is what one read costs at least."""
        return int(self._array.chunks[0])

    @property
    def item_bytes(self) -> int:
        """Bytes of a number."""
        return int(self._array.dtype.itemsize)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk, unpacked."""
        return int(math.prod(self._array.chunks)) * self.item_bytes

    @property
    def coordinates(self) -> list[str]:
        """Names of the coordinates of the rows."""
        found = []
        for name, array in self._group.arrays():
            if name not in (_FEATURES, _NAMES) and array.shape == (self.rows,):
                found.append(name)
        return sorted(found)

    def coordinate(self, name: str) -> NDArray[Any]:
        """Return a coordinate; text as objects.

        Raises
        ------
        ConfigError
            There is none of this name.
        """
        if name not in self.coordinates:
            raise ConfigError(
                f"{self.path}: no coordinate {name!r}; there are "
                f"{', '.join(self.coordinates) or 'none'}"
            )
        values = self._values(name)
        return values if values.dtype.kind in "iufb" else values.astype(object)

    def read(
        self,
        first: int,
        last: int,
        columns: NDArray[np.int64] | None = None,
        *,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return the rows [first, last) in the stored type.

        Parameters
        ----------
        first, last
            The rows.
        columns
            Numbers of the columns; default: all.
        out
            What is written to, and returned; default: a new array.

        Raises
        ------
        StoreError
            A chunk is damaged.
        """
        wanted = np.arange(len(self.columns)) if columns is None else columns
        rows, width = self._array.chunks
        if out is None:
            out = np.empty((last - first, len(wanted)), self._array.dtype)
        tiles = wanted // width
        for tile in np.unique(tiles):
            here = np.flatnonzero(tiles == tile)
            inner = wanted[here] - tile * width
            consecutive = bool((np.diff(here) == 1).all() and (np.diff(inner) == 1).all())
            for number in range(first // rows, -(-last // rows)):
                begin, end = max(first, number * rows), min(last, (number + 1) * rows)
                part = self._chunk(number, int(tile))[begin - number * rows : end - number * rows]
                if consecutive:
                    # A slice: no copies on the way.
                    part = part[:, inner[0] : inner[-1] + 1]
                    out[begin - first : end - first, here[0] : here[-1] + 1] = part
                else:
                    out[begin - first : end - first, here] = part[:, inner]
        return out

    def _chunk(self, number: int, tile: int) -> NDArray[Any]:
        """Return a chunk, decoded here: the threads of zarr-python keep what they once took.

        A fit in 400 MB grew to twice that.
        """
        shape, dtype = self._array.chunks, self._array.dtype
        file = self.path / _FEATURES / "c" / str(number) / str(tile)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return np.full(shape, np.nan, dtype)
        except OSError as exc:
            raise StoreError(f"{file}: cannot be read ({exc.strerror})") from exc
        chunk = np.empty(shape, dtype)
        sizes = promised_sizes(memoryview(data))
        if checksum_of(data[:-CHECKSUM]) != data[-CHECKSUM:] or sizes != (
            chunk.nbytes,
            len(data) - CHECKSUM,
        ):
            raise StoreError(
                f"{file}: damaged (its checksum or size is another); copy the store again, or make "
                "it again with `crosslabel model features --replace`"
            )
        decompress(data[:-CHECKSUM], chunk.reshape(-1).view(np.uint8))
        return chunk

    def blocks(
        self, columns: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the values of every row of chunks."""
        for first in range(0, self.rows, self.chunk_rows):
            yield first, self.read(first, min(first + self.chunk_rows, self.rows), columns)


def open_features(path: Path) -> FeatureStore:
    """Open a feature store.

    Raises
    ------
    MissingInputError
        No such folder.
    StoreError
        It is none, or of a later format.
    """
    if not path.is_dir():
        hint = " (unfinished: run the same `model features` command again)"
        unfinished = path.with_name(f"{path.name}.partial").is_dir()
        raise MissingInputError(
            f"{path}: no such feature store{hint if unfinished else ''}; make one with "
            "`crosslabel model features`"
        )
    found = feature_attributes(path)
    if found is None:
        raise StoreError(f"{path}: not a feature store; make one with `crosslabel model features`")
    if not isinstance(found.get("format"), int) or found["format"] > FEATURE_FORMAT:
        raise StoreError(
            f"{path}: a feature store of format {found.get('format')}; this release reads up to "
            f"{FEATURE_FORMAT}; update crosslabel"
        )
    return FeatureStore(path, found, zarr.open_group(path, mode="r"))
