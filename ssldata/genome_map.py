"""Read-only memory maps of sequence files whose pages do not pile up in a worker."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: A map larger than this gives its pages back whenever about so many bytes have been touched.
PAGE_BUDGET = 256 * 2**20

#: Linux maps up to this many bytes around one page fault, so a scattered row costs as much.
_FAULT_AROUND = 64 * 2**10


class MappedFile:
    """The bytes of a file as a read-only array.

    Mapped pages count as memory of the process although the kernel can drop them at any time, and
    a Dask nanny would kill a worker for them. A large map therefore releases its pages now and
    then; they stay in the page cache, so reading them again is cheap.

    Parameters
    ----------
    path
        A file of at least one byte.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as handle:
            self.buffer = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self.data: NDArray[np.uint8] = np.frombuffer(self.buffer, dtype=np.uint8)
        self._touched = 0
        self._bounded = self.data.size > PAGE_BUDGET

    @property
    def rows_per_block(self) -> int:
        """Scattered rows to read between two calls of :meth:`touched`."""
        return PAGE_BUDGET // _FAULT_AROUND

    def touched(self, reads: int, size: int) -> None:
        """Count `reads` reads of `size` bytes each; release the pages when it is time."""
        if not self._bounded:
            return
        self._touched += reads * (size + _FAULT_AROUND)
        if self._touched >= PAGE_BUDGET:
            self._touched = 0
            # Shared and read-only: nothing is lost, other threads reading it just fault again.
            self.buffer.madvise(mmap.MADV_DONTNEED)
