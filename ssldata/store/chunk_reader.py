"""Chunks of base codes read straight from the files of a store, without zarr-python.

Ours because the reader as a whole gives 1.7 to 2.2 times as many rows per CPU second as through
zarr-python (``docs/reading.md``, "Speed").

A chunk is one ``pread`` and one Blosc call into reused memory; the index of a shard is read once.
A layout is read directly only if its metadata were checked: local files, one chunk across,
``bytes`` + ``blosc``, from format 1.1 on ``crc32c``, and an optional shard around them. Everything
else is read through zarr-python, with the same result; so is a chunk that has no file because it is
all zeros (format 1.0).

Sharding: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.genomes.onehot import N_CODE
from ssldata.store.checked_store import ABSENT, REPAIR
from ssldata.store.compression import CHECKSUM, HEADER, checksum_of, decompress, promised_sizes
from ssldata.store.store import RowGroup

_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True, kw_only=True)
class ChunkLayout:
    """Where the chunks of one array lie in its files.

    Attributes
    ----------
    folder
        Of the array.
    shape
        Of the array; the first axis is the row.
    chunk_rows
        Rows per chunk.
    chunks_per_file
        Chunks per shard; 1 when there are no shards.
    sharded
        Whether a file is a shard, with an index.
    index_first
        Whether the index of a shard comes before its chunks.
    separator
        Between the parts of a chunk's name.
    checksums
        Whether a chunk ends in its crc32c; then every chunk is stored, also one of zeros.
    """

    folder: Path
    shape: tuple[int, ...]
    chunk_rows: int
    chunks_per_file: int
    sharded: bool
    index_first: bool
    separator: str
    checksums: bool

    def file(self, number: int) -> Path:
        """Return the file of one shard (or chunk)."""
        parts = ["c", str(number), *("0" for _ in self.shape[1:])]
        return self.folder / self.separator.join(parts)


def _named(codec: dict[str, Any], name: str) -> dict[str, Any]:
    if codec["name"] != name:
        raise ValueError(f"codec {codec['name']}, expected {name}")
    return dict(codec.get("configuration") or {})


def read_layout(folder: Path) -> ChunkLayout | None:
    """Return the layout of a local Zarr v3 array, from the metadata in its folder."""
    try:
        return layout_of(json.loads((folder / "zarr.json").read_bytes()), folder)
    except (OSError, ValueError, RecursionError):
        return None


def layout_of(meta: Mapping[str, Any], folder: Path) -> ChunkLayout | None:
    """Return the layout of a local Zarr v3 array, or None when its chunks need zarr-python."""
    try:
        shape = tuple(int(n) for n in meta["shape"])
        outer = tuple(_named(meta["chunk_grid"], "regular")["chunk_shape"])
        names = _named(meta["chunk_key_encoding"], "default")
        if (
            meta["zarr_format"] != 3
            or meta["node_type"] != "array"
            or meta["data_type"] != "uint8"
            or meta["fill_value"] != 0
            or meta.get("storage_transformers")
            or outer[1:] != shape[1:]
        ):
            return None
        codecs = meta["codecs"]
        inner, sharded, index_first = outer, len(codecs) == 1, False
        if sharded:
            options = _named(codecs[0], "sharding_indexed")
            inner = tuple(options["chunk_shape"])
            index_first = options.get("index_location", "end") == "start"
            index_codecs = options["index_codecs"]
            if (
                inner[1:] != shape[1:]
                or outer[0] % inner[0]
                or [codec["name"] for codec in index_codecs] != ["bytes", "crc32c"]
                or _named(index_codecs[0], "bytes").get("endian", "little") != "little"
            ):
                return None
            codecs = options["codecs"]
        checksums = codecs[-1]["name"] == "crc32c"
        if [codec["name"] for codec in codecs] != ["bytes", "blosc", "crc32c"][: 2 + checksums]:
            return None
        return ChunkLayout(
            folder=folder,
            shape=shape,
            chunk_rows=int(inner[0]),
            chunks_per_file=int(outer[0] // inner[0]),
            sharded=sharded,
            index_first=index_first,
            separator=str(names.get("separator", "/")),
            checksums=checksums,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None  # not a layout of this module: left to zarr-python


@numba.njit(cache=True, nogil=True)
def _codes_of_words(words: NDArray[np.uint32], codes: NDArray[np.uint8]) -> bool:
    """Turn one-hot rows, one little-endian word per base, into codes; False: not one-hot."""
    strange = np.uint32(0)
    for i in range(words.size):
        word = words[i]
        code = ((word >> np.uint32(8)) & np.uint32(1)) + (
            ((word >> np.uint32(16)) & np.uint32(1)) * np.uint32(2)
        )
        code += (word >> np.uint32(24)) * np.uint32(3)
        codes[i] = np.uint8(code) if word != 0 else np.uint8(N_CODE)
        # More than one bit, or a bit other than the four lowest of a byte.
        strange |= (word & (word - np.uint32(1))) | (word & np.uint32(0xFEFEFEFE))
    return strange == 0


class _Scratch(threading.local):
    """Memory of one thread, reused by every decode."""

    def __init__(self) -> None:
        self.raw = np.empty(0, np.uint8)
        self.hot = np.empty(0, np.uint8)
        self.codes = np.empty((0, 0), np.uint8)

    def compressed(self, size: int) -> memoryview:
        if self.raw.size < size:
            self.raw = np.empty(size + size // 4, np.uint8)
        return self.raw.data[:size]

    def one_hot(self, size: int) -> NDArray[np.uint8]:
        if self.hot.size < size:
            self.hot = np.empty(size, np.uint8)
        return self.hot[:size]

    def chunk(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        if self.codes.shape != shape:
            self.codes = np.empty(shape, np.uint8)
        return self.codes


_SCRATCH = _Scratch()


class ChunkReader:
    """Decodes chunks of base codes of one group, from any number of threads.

    Parameters
    ----------
    group
        The rows. Codes come from ``sequence_codes`` when the store has it, else from one-hot.
    direct
        False: always read through zarr-python.
    """

    def __init__(self, group: RowGroup, *, direct: bool = True) -> None:
        self.group = group
        self.rows = group.rows
        self.length = group.length
        self.chunk_rows = group.chunk_rows
        name = "sequence_codes" if group.has_codes else "sequence"
        self._one_hot = not group.has_codes
        folder = group.array_folder(name) if direct else None
        layout = None if folder is None else layout_of(group.array_metadata(name), folder)
        expected = (self.rows, self.length, *((4,) if self._one_hot else ()))
        if layout is not None and (
            layout.shape != expected or layout.chunk_rows != self.chunk_rows
        ):
            layout = None
        self._layout = layout
        #: Number of a file → its path and its index; None: there is no such file.
        self._files: dict[int, tuple[str, NDArray[np.uint64] | None]] = {}

    @property
    def is_direct(self) -> bool:
        """Whether chunks are read without zarr-python."""
        return self._layout is not None

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.rows // self.chunk_rows)

    def rows_of(self, number: int) -> int:
        """Return how many rows of one chunk belong to the array."""
        return min(self.chunk_rows, self.rows - number * self.chunk_rows)

    def decode(self, number: int, out: NDArray[np.uint8]) -> None:
        """Decode one chunk.

        Parameters
        ----------
        number
            Of the chunk.
        out
            uint8 (chunk_rows, length), contiguous; the first :meth:`rows_of` rows are the chunk,
            the rest is undefined.

        Raises
        ------
        StoreError
            The file is damaged or missing, or the store has been replaced since it was opened.
        """
        try:
            done = self._layout is not None and self._decode(self._layout, number, out)
        finally:
            self.group.check_unchanged()  # which also says better why a chunk is not what it was
        if not done:
            first = number * self.chunk_rows
            count = self.rows_of(number)
            out[:count] = self.group.codes(first, first + count)

    def codes(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return the codes (end − first, length) of a contiguous range of rows."""
        result = np.empty((max(0, end - first), self.length), np.uint8)
        for number in range(first // self.chunk_rows, -(-end // self.chunk_rows)):
            border = number * self.chunk_rows
            low, high = max(first, border), min(end, border + self.chunk_rows)
            chunk = _SCRATCH.chunk((self.chunk_rows, self.length))
            self.decode(number, chunk)
            result[low - first : high - first] = chunk[low - border : high - border]
        return result

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes of arbitrary rows, in that order; every chunk is decoded once."""
        result = np.empty((len(rows), self.length), np.uint8)
        numbers = rows // self.chunk_rows
        buffer = _SCRATCH.chunk((self.chunk_rows, self.length))
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            self.decode(number, buffer)
            result[here] = buffer[rows[here] - number * self.chunk_rows]
        return result

    # -- files -------------------------------------------------------------------------------

    def _decode(self, layout: ChunkLayout, number: int, out: NDArray[np.uint8]) -> bool:
        file, place = divmod(number, layout.chunks_per_file)
        if file not in self._files:
            # Two threads may both read it: they read the same.
            self._files[file] = str(layout.file(file)), _read_index(layout, file)
        path, index = self._files[file]
        absent = index is None or int(index[place, 0]) == ABSENT
        if absent and (layout.checksums or (index is None and layout.sharded)):
            # zarr-python would read zeros, rows of A, without an error; every shard has a base.
            what = "the shard" if index is None and layout.sharded else f"chunk {place}"
            raise StoreError(f"{path}: {what} is missing; {REPAIR}")
        if index is None or absent:
            return False
        offset, size = int(index[place, 0]), int(index[place, 1])
        expected = out.size * (4 if self._one_hot else 1)
        # A buffer that does not compress is stored behind its header.
        data = _SCRATCH.compressed(min(size, expected + HEADER + CHECKSUM))
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                found = os.preadv(descriptor, [data], offset)
            finally:
                os.close(descriptor)
        except _NO_FILE as exc:
            raise StoreError(f"{path}: missing, or not a file; {REPAIR}") from exc
        if layout.checksums:
            data, checksum = data[:-CHECKSUM], data[-CHECKSUM:].tobytes()
            if found != size or checksum != checksum_of(data):
                raise StoreError(
                    f"{path}: chunk {place} is damaged (its checksum is not that of its bytes); "
                    f"{REPAIR}"
                )
            found = size = len(data)
        if found != size or promised_sizes(data) != (expected, size):
            raise StoreError(
                f"{path}: chunk {place} is damaged (expected {size} bytes that decompress to "
                f"{expected}); {REPAIR}"
            )
        try:
            if not self._one_hot:
                decompress(data, out)
                return True
            hot = _SCRATCH.one_hot(expected)
            decompress(data, hot)
        except RuntimeError as exc:
            raise StoreError(
                f"{path}: chunk {place} does not decompress ({exc}); {REPAIR}"
            ) from exc
        return bool(_codes_of_words(hot.view("<u4"), out.reshape(-1)))


def _read_index(layout: ChunkLayout, file: int) -> NDArray[np.uint64] | None:
    """Return (offset, bytes) of every chunk of a file; None when the file was never written.

    Raises
    ------
    StoreError
        The checksum does not match.
    """
    path = layout.file(file)
    try:
        size = path.stat().st_size
        if not layout.sharded:
            return np.array([[0, size]], np.uint64)
        length = 16 * layout.chunks_per_file
        with path.open("rb") as handle:
            handle.seek(0 if layout.index_first else max(0, size - length - CHECKSUM))
            data = handle.read(length + CHECKSUM)
    except _NO_FILE:
        return None
    if len(data) != length + CHECKSUM or checksum_of(data[:-CHECKSUM]) != data[-CHECKSUM:]:
        raise StoreError(f"{path}: the index of the shard is damaged; {REPAIR}")
    return np.frombuffer(data[:-4], "<u8").reshape(-1, 2)
