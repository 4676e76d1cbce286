"""Blosc and crc32c: which codecs each kind of array has, and the calls. The only owner of both.

The shard writer, the column writer and the chunk reader call Blosc directly, without zarr-python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

#: Bytes of the header of a Blosc buffer, see
#: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
HEADER = 16
#: Bytes of a crc32c, https://zarr-specs.readthedocs.io/en/latest/v3/codecs/crc32c/
CHECKSUM = 4
_SHUFFLES = {"shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Settings of Blosc, named and ordered as in the metadata of a Zarr array.

    Attributes
    ----------
    typesize
        Bytes per item.
    cname, clevel
        Compressor and its level.
    shuffle
        Of the bytes, or of the bits, of the items.
    blocksize
        Bytes per block; 0: Blosc chooses.
    """

    typesize: int
    cname: Literal["lz4", "zstd"]
    clevel: int
    shuffle: Literal["shuffle", "bitshuffle"]
    blocksize: int = 0

    def configuration(self) -> dict[str, Any]:
        """Return the settings as Zarr metadata hold them."""
        return asdict(self)

    def compress(self, values: NDArray[Any]) -> bytes:
        """Compress a contiguous array; equal values give equal bytes."""
        with _one_thread():
            packed: bytes = blosc.compress(
                values,
                self.cname.encode(),
                self.clevel,
                shuffle=_SHUFFLES[self.shuffle],
                blocksize=self.blocksize,
                typesize=self.typesize,
            )
        return packed


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep Blosc from using several threads, which write blocks in the order they finish."""
    before = blosc.use_threads
    blosc.use_threads = False
    try:
        yield
    finally:
        blosc.use_threads = before


#: Sequence arrays. Blosc would choose blocks of 32 KB for zstd, whose start costs a third of
#: compressing and decompressing.
SEQUENCE_CODECS = {
    "sequence": Codec(typesize=1, cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=2**18),
    "sequence_codes": Codec(typesize=1, cname="lz4", clevel=5, shuffle="bitshuffle"),
}


def column_codec(dtype: np.dtype[Any]) -> Codec:
    """Return the codec of the columns of a type."""
    return Codec(typesize=dtype.itemsize, cname="zstd", clevel=3, shuffle="shuffle")


def decompress(data: bytes | memoryview, out: NDArray[np.uint8]) -> None:
    """Decompress a Blosc buffer into memory of just its size.

    Raises
    ------
    RuntimeError
        The buffer is damaged.
    """
    blosc.decompress(data, out)


def checksum_of(data: bytes | memoryview) -> bytes:
    """Return the crc32c of bytes as the codec of Zarr appends it: four bytes, the lowest first."""
    checksum: int = google_crc32c.value(np.frombuffer(data, np.uint8))
    return checksum.to_bytes(CHECKSUM, "little")


def promised_sizes(data: memoryview) -> tuple[int, int] | None:
    """Return the decompressed and compressed bytes in a Blosc header; None: no whole header."""
    if len(data) < HEADER:
        return None
    return int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")
