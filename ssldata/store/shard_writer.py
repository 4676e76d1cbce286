"""Whole shards of sequences, compressed chunk by chunk: memory for two chunks, not for a shard.

The bytes are those zarr-python would write, chunks of zeros included (a test compares them).
Written here because zarr-python holds some sixteen copies of a shard and takes four times the CPU
time.

Sharding: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.base.files import atomic_path
from ssldata.store.checked_store import ABSENT
from ssldata.store.chunk_reader import ChunkLayout
from ssldata.store.compression import SEQUENCE_CODECS, checksum_of, decompress


def _words() -> dict[int, NDArray[np.unsignedinteger]]:
    one = np.zeros(256, "<u8")
    one[:4] = 1, 1 << 8, 1 << 16, 1 << 24
    return {1: one.astype("<u4"), 2: (one | one[:, np.newaxis] << np.uint64(32)).ravel()}


#: One base code, or two as one little-endian number → their one-hot rows as one word; N is no bit.
_WORDS = _words()


def expand(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write one-hot rows of base codes into `out`.

    Parameters
    ----------
    codes
        uint8 (n, length), each 0 to 4.
    out
        uint8 (n, length, 4), contiguous.
    """
    # Two bases per look-up take half the time.
    step = 1 if codes.size % 2 else 2
    numbers = np.ascontiguousarray(codes).reshape(-1).view(f"<u{step}")
    np.take(_WORDS[step], numbers, out=out.reshape(-1).view(f"<u{4 * step}"), mode="clip")


def copy(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write base codes into `out`: the counterpart of :func:`expand`."""
    out[...] = codes


def pack_shard(
    layout: ChunkLayout,
    array: str,
    shard: int,
    codes: NDArray[np.uint8],
    fill: Callable[[NDArray[np.uint8], NDArray[np.uint8]], None],
) -> None:
    """Write one shard of an array whole, and check that it decompresses to what went in.

    Parameters
    ----------
    layout
        Of the array.
    array
        ``sequence`` or ``sequence_codes``.
    shard
        Number of the shard.
    codes
        uint8 (rows of the shard, length).
    fill
        :func:`expand` or :func:`copy`.

    Raises
    ------
    StoreError
        It does not read back as written.
    """
    shape = (layout.chunk_rows, *layout.shape[1:])
    chunk, again = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    codec = SEQUENCE_CODECS[array]
    path = layout.file(shard)
    index = np.full((layout.chunks_per_file, 2), ABSENT, "<u8")
    digest, offset = hashlib.sha256(), 0
    with atomic_path(path) as temporary:
        with temporary.open("wb") as handle:
            for number, first in enumerate(range(0, len(codes), layout.chunk_rows)):
                rows = codes[first : first + layout.chunk_rows]
                fill(rows, chunk[: len(rows)])
                chunk[len(rows) :] = 0
                packed = codec.compress(chunk)
                decompress(packed, again)
                if not np.array_equal(chunk, again):
                    raise StoreError(f"{path}: chunk {number} does not decompress as compressed")
                packed += checksum_of(packed)
                handle.write(packed)
                digest.update(packed)
                index[number] = offset, len(packed)
                offset += len(packed)
            tail = index.tobytes()
            tail += checksum_of(tail)
            handle.write(tail)
            digest.update(tail)
        with temporary.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").digest() != digest.digest():
                raise StoreError(f"{path}: does not read back as written")
