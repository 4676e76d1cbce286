"""Read-only memory maps of sequence files whose pages do not accumulate in a worker."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssldata.base.array_types import ByteArray, Int64Array

#: A map larger than this many bytes releases its pages before that many are in use.
PAGE_BUDGET = 256 * 2**20

#: Largest piece that one page fault maps: with large folios (Linux ≥ 6.x) a huge page.
PIECE_BITS = 21


class MappedFile:
    """The bytes of a file as a read-only array.

    Mapped pages count as memory of the process although the kernel can drop them at any time, and
    a Dask nanny kills a worker for them. A large map therefore releases its pages now and then;
    they stay in the page cache, so mapping them again is cheap.

    Parameters
    ----------
    path
        A file of at least one byte.

    Attributes
    ----------
    buffer
        The map.
    data
        The same as uint8.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as handle:
            self.buffer = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self.data: ByteArray = np.frombuffer(self.buffer, dtype=np.uint8)
        self._bounded = self.data.size > PAGE_BUDGET
        self._budget = max(PAGE_BUDGET >> (PIECE_BITS + 1), 1)  # in pieces, half for one block
        self._pieces = 0

    def touched(self, size: int) -> None:
        """Count one read of `size` contiguous bytes; release the pages when it is time."""
        self._count((size >> PIECE_BITS) + 2)

    def blocks(self, position: Int64Array) -> Iterator[Int64Array]:
        """Cut reads at `position` (bytes) into blocks, releasing pages between them.

        Yields
        ------
        numpy.ndarray
            Indices into `position`, int64; every index once. On a large file they are in the order
            of the file: scattered reads would map and release the same pages again and again.
        """
        count = position.size
        if not self._bounded or count == 0:
            yield np.arange(count)
            return
        order = np.arange(count)
        if (position[1:] < position[:-1]).any():
            order = np.argsort(position, kind="stable")
            position = position[order]
        piece = position >> PIECE_BITS
        new = np.concatenate([[True], piece[1:] != piece[:-1]])
        block = (np.cumsum(new) - 1) // self._budget
        edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), count]
        for first, last in itertools.pairwise(edges):
            yield order[first:last]
            self._count(int(np.count_nonzero(new[first:last])) + 1)

    def _count(self, pieces: int) -> None:
        self._pieces += pieces
        if self._bounded and self._pieces >= self._budget:
            self._pieces = 0
            self.release()

    def release(self) -> None:
        """Release all pages."""
        # Shared and read-only: nothing is lost, other threads reading it just fault again.
        self.buffer.madvise(mmap.MADV_DONTNEED)
