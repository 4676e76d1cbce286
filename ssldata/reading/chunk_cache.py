"""Decoded chunks kept in memory, up to a limit, for the windows that follow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ssldata.reading.mixture import Mixture
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import Store

#: A mixture of at most this many bytes of base codes stays in memory once read.
SMALL_BYTES = 96_000_000
#: Bytes kept of a larger one, besides a chunk for every segment.
STREAM_BYTES = 32_000_000
#: Buffers of given-up chunks kept for reuse, by shape.
_SPARE = 8


@dataclass(eq=False)
class _Entry:
    """A chunk in memory, not to be overwritten while there are `users` reading it."""

    codes: NDArray[np.uint8]
    lock: threading.Lock = field(default_factory=threading.Lock)
    decoded: bool = False
    users: int = 0


class ChunkCache:
    """The chunks decoded last: windows take a share of every segment, so chunks span windows.

    The memory of a chunk that is given up is reused for the next one: allocating it again would
    cost more than decoding.

    Parameters
    ----------
    store
        The store.
    budget
        Bytes of decoded chunks kept; chunks in use are kept in any case.
    keep
        Keep chunks that the epoch is done with, for the next epoch.
    direct
        False: always read through zarr-python.
    """

    def __init__(
        self, store: Store, budget: int, *, keep: bool = False, direct: bool = True
    ) -> None:
        self.store = store
        self._budget = budget
        self._keep = keep
        self._direct = direct
        self._readers: dict[str, ChunkReader] = {}
        self._kept: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        self._bytes = 0
        self._free: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()

    def reader(self, name: str) -> ChunkReader:
        """Return the decoder of a group."""
        if name not in self._readers:
            self._readers[name] = ChunkReader(self.store.group(name), direct=self._direct)
        return self._readers[name]

    @contextmanager
    def chunk(self, name: str, number: int, *, last: bool = False) -> Iterator[NDArray[np.uint8]]:
        """Yield the codes uint8 (chunk_rows, length) of one chunk, decoded if need be.

        They may be overwritten once the block has ended. `last`: the chunk will not be needed
        again in this epoch.
        """
        reader = self.reader(name)
        with self._lock:
            entry = self._kept.pop((name, number), None)
            if entry is None:
                shape = (reader.chunk_rows, reader.length)
                free = self._free.get(shape)
                entry = _Entry(free.pop() if free else np.empty(shape, np.uint8))
                self._bytes += entry.codes.nbytes
            self._kept[name, number] = entry
            entry.users += 1
        try:
            with entry.lock:
                if not entry.decoded:
                    reader.decode(number, entry.codes)
                    entry.decoded = True
            yield entry.codes
        finally:
            with self._lock:
                entry.users -= 1
                if last and not self._keep:
                    # The next chunk finds this memory still in the processor's cache.
                    self._give_up(name, number)
                for key in list(self._kept) if self._bytes > self._budget else ():
                    if self._bytes > self._budget:
                        self._give_up(*key)

    def _give_up(self, name: str, number: int) -> None:
        """Drop a chunk unless it is in use."""
        entry = self._kept[name, number]
        if not entry.users:
            del self._kept[name, number]
            self._bytes -= entry.codes.nbytes
            free = self._free.setdefault(entry.codes.shape, [])
            if len(free) < _SPARE:
                free.append(entry.codes)


def cache_for(store: Store, mixture: Mixture, *, direct: bool = True) -> ChunkCache:
    """Return a cache that holds all of a small mixture, or the chunks that windows share."""
    segments = (*mixture.positives, *mixture.negatives)
    groups = [store.group(segment.group) for segment in segments]
    whole = sum(
        min(group.rows, len(segment) + 2 * group.chunk_rows) * group.length
        for group, segment in zip(groups, segments, strict=True)
    )
    if whole <= SMALL_BYTES:
        return ChunkCache(store, 2 * whole, keep=True, direct=direct)
    # The current chunk of each segment, and those of the windows being read.
    chunks = sum(group.chunk_rows * group.length for group in groups)
    return ChunkCache(store, STREAM_BYTES + chunks * 5 // 4, direct=direct)
