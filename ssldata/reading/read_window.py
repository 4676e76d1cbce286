"""Order + store → arrays: reads the pieces of a window and puts their rows in order. NumPy only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import uniform_rows
from ssldata.reading.epoch_order import Window
from ssldata.reading.labels import Columns, RowLabels
from ssldata.reading.mixture import Mixture, Segment
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.published_weights import read_published
from ssldata.store.store import Store

#: A mixture of at most so many bytes of base codes is kept in memory once it was read.
SMALL_BYTES = 96_000_000
#: Otherwise so many bytes are kept, and a chunk for every segment.
STREAM_BYTES = 32_000_000
#: Chunks' worth of memory kept for reuse beyond the cache.
_SPARE = 8


@dataclass(frozen=True, eq=False)
class Weights:
    """Confidence weights of rows, and the noise that is added to them.

    Attributes
    ----------
    arrays
        Group → float32 (rows of the group,), or (rows, outputs) for a weight per output. Rows of
        other groups weigh 1.
    noise_sd
        Standard deviation of Gaussian noise, mean 0.
    clip
        Clip noisy weights to [0, 1].
    redraw
        Draw the noise anew every epoch.
    on_negatives
        Add noise where the label is 0 as well.
    seed
        Of the noise.
    """

    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    noise_sd: float = 0.0
    clip: bool = True
    redraw: bool = True
    on_negatives: bool = False
    seed: int = 0

    @classmethod
    def published(
        cls, store: Store, name: str, groups: Sequence[str] | None = None, **options: Any
    ) -> Weights:
        """Return the weights that were published in a store under `name`.

        Parameters
        ----------
        store, name, groups
            As :func:`ssldata.store.published_weights.read_published`.
        options
            The other attributes.

        Raises
        ------
        StoreError
            There are none, they leave out one of `groups`, or are of other rows.
        """
        return cls(arrays=read_published(store, name, groups), **options)

    def of(
        self, group: str, rows: NDArray[np.int64], label: NDArray[Any], epoch: int
    ) -> NDArray[np.float32]:
        """Return the weights of rows in one epoch.

        Parameters
        ----------
        group, rows
            Which rows.
        label
            (n,), or (n, outputs) for weights per output; to tell negatives.
        epoch
            0, 1, …

        Returns
        -------
        float32, of the shape of `label`
            The noise of a row is a pure function of (seed, epoch, group, row), and of the output.

        Raises
        ------
        ConfigError
            There are weights per output, and labels of one output or of another number.
        """
        values = self.arrays.get(group)
        if values is not None and values.ndim == 2 and values.shape[1:] != label.shape[1:]:
            raise ConfigError(
                f"weights of {group}: {values.shape[1]} per row for labels {label.shape}; weights "
                "per output need a reader of as many labels with 'weigh_outputs'"
            )
        if label.ndim == 1:
            return self._noisy(group, rows, values, label, epoch)
        weights = []
        for output in range(label.shape[1]):
            own = values if values is None or values.ndim == 1 else values[:, output]
            weights.append(self._noisy(group, rows, own, label[:, output], epoch, output))
        return np.stack(weights, axis=1)

    def _noisy(
        self,
        group: str,
        rows: NDArray[np.int64],
        values: NDArray[np.float32] | None,
        label: NDArray[Any],
        epoch: int,
        *output: int,
    ) -> NDArray[np.float32]:
        """Return the weights (n,) of one output; `output` is part of the key of its noise."""
        weight = np.ones(len(rows), np.float32) if values is None else values[rows]
        noisy = np.ones(len(rows), bool) if self.on_negatives else label > 0
        if not self.noise_sd or not noisy.any() or (values is None and not self.on_negatives):
            return weight.astype(np.float32)
        turn = epoch if self.redraw else 0
        drawn = ndtri(uniform_rows(rows, "noise", self.seed, turn, group, *output))
        result = np.where(noisy, weight + self.noise_sd * drawn, weight)
        return (np.clip(result, 0, 1) if self.clip else result).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _place_rows(
    chunk: NDArray[np.uint8],
    rows: NDArray[np.int64],
    base: int,
    places: NDArray[np.int64],
    lead: int,
    out: NDArray[np.uint8],
) -> None:
    """Copy rows of a decoded chunk, less `lead` bases on each side, to their places in `out`.

    Every caller has checked every bound. Indices are unsigned because signed ones may be negative
    in Python, and testing for that at every base costs a factor of ten.
    """
    length = np.uint64(out.shape[1])
    skip = np.uint64(lead)
    for i in range(rows.size):
        source, target = np.uint64(rows[i] - base), np.uint64(places[i])
        for j in range(length):
            out[target, j] = chunk[source, skip + j]


@dataclass(eq=False)
class _Entry:
    """A chunk in memory: `users` are reading it, so it may not be overwritten."""

    codes: NDArray[np.uint8]
    lock: threading.Lock = field(default_factory=threading.Lock)
    decoded: bool = False
    users: int = 0


class ChunkCache:
    """The last decoded chunks: windows take a share of every segment, so chunks span windows.

    The memory of a chunk that is given up is used for the next one: new memory would cost more
    than decoding.

    Parameters
    ----------
    store
        The store.
    budget
        Bytes of decoded chunks kept; chunks in use are kept in any case.
    keep
        Keep chunks that the epoch is done with, for the next one.
    direct
        False: read through zarr-python, always.
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
        """Give the codes of one chunk; they may be overwritten when the block has ended.

        With `last` the chunk will not be needed again soon.
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
        """Drop a chunk that nobody uses."""
        entry = self._kept[name, number]
        if not entry.users:
            del self._kept[name, number]
            self._bytes -= entry.codes.nbytes
            free = self._free.setdefault(entry.codes.shape, [])
            if len(free) < _SPARE:
                free.append(entry.codes)


def cache_for(store: Store, mixture: Mixture, *, direct: bool = True) -> ChunkCache:
    """Return a cache that holds all of a small mixture, else what windows share."""
    segments = (*mixture.positives, *mixture.negatives)
    groups = [store.group(segment.group) for segment in segments]
    whole = sum(
        min(group.rows, len(segment) + 2 * group.chunk_rows) * group.length
        for group, segment in zip(groups, segments, strict=True)
    )
    if whole <= SMALL_BYTES:
        return ChunkCache(store, 2 * whole, keep=True, direct=direct)
    # The chunk each segment has come to, and those of the windows that are being read.
    chunks = sum(group.chunk_rows * group.length for group in groups)
    return ChunkCache(store, STREAM_BYTES + chunks * 5 // 4, direct=direct)


def loci_of(store: Store, segments: Sequence[Segment]) -> tuple[NDArray[np.int64], ...]:
    """Return the locus of every row of segments, for :attr:`.Mixture.loci`."""
    return tuple(
        store.group(segment.group).column("locus")[segment.rows(0, len(segment))]
        for segment in segments
    )


def lead_of(length: int, context: int | None) -> int:
    """Return how many of `length` stored bases to leave out on each side.

    Raises
    ------
    ConfigError
        More bases are asked for than the store holds, or the difference is odd.
    """
    if context is None:
        return 0
    if context > length or (length - context) % 2:
        raise ConfigError(
            f"the store holds {length} b per row; a model of {context} b needs at most that, and "
            "an even difference: rebuild with 'windows.context' set"
        )
    return (length - context) // 2


def central(codes: NDArray[np.uint8], context: int | None) -> NDArray[np.uint8]:
    """Return the central `context` bases of every row; errors as :func:`lead_of`."""
    lead = lead_of(codes.shape[1], context)
    return codes[:, lead : codes.shape[1] - lead]


def take_rows(
    store: Store,
    rows: Sequence[tuple[str, NDArray[np.int64]]],
    *,
    label: Columns = 0,
    context: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read chosen rows into memory, for example those of validation.

    Parameters
    ----------
    store
        The store.
    rows
        (group, row numbers), in the order wanted.
    label
        Label columns, as of :class:`ssldata.reading.labels.RowLabels`.
    context
        Central bases of the stored window; default: all.

    Returns
    -------
    codes
        uint8 (n, length).
    label
        float32 (n, outputs).
    """
    outputs = RowLabels(store, label)
    codes = [central(ChunkReader(store.group(group)).take(index), context) for group, index in rows]
    labels = [outputs.of(group, index) for group, index in rows]
    return np.concatenate(codes), np.concatenate(labels)


def read_window(
    cache: ChunkCache,
    window: Window,
    *,
    epoch: int,
    labels: RowLabels,
    context: int | None = None,
    weights: Weights | None = None,
    weigh_outputs: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Read a window and return its rows in training order.

    Returns
    -------
    codes
        uint8 (rows, length). New memory each time: TensorFlow keeps using it.
    label
        float32 (rows, outputs).
    weight
        float32 (rows,), or with `weigh_outputs` (rows, outputs): 0 where a label is not known.

    Raises
    ------
    ConfigError
        `weights` do not fit the labels.
    """
    total = len(window.order)
    length = cache.store.group(window.pieces[0].group).length
    lead = lead_of(length, context)
    codes = np.empty((total, length - 2 * lead), np.uint8)
    values = np.empty((total, len(labels)), np.float32)
    row_weights = np.ones(values.shape if weigh_outputs else total, np.float32)
    places = np.empty(total, np.int64)
    places[window.order] = np.arange(total)
    done = 0
    for piece in window.pieces:
        here = places[done : done + len(piece)]
        done += len(piece)
        group = cache.store.group(piece.group)
        number = int(piece.rows[0]) // group.chunk_rows
        with cache.chunk(piece.group, number, last=piece.last) as chunk:
            _place_rows(chunk, piece.rows, number * group.chunk_rows, here, lead, codes)
        value = labels.of(piece.group, piece.rows)
        values[here] = value
        if weights is not None:
            # A row weighs by its positive labels, of whichever output.
            of = value if weigh_outputs else value.max(axis=1)
            row_weights[here] = weights.of(piece.group, piece.rows, of, epoch)
        if weigh_outputs:
            row_weights[here] *= labels.known(piece.group, piece.rows)
    return codes, values, row_weights
