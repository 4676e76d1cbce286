"""Stores as ``tf.data.Dataset``.

A Python call reads a whole window (some ten thousand rows); TensorFlow cuts it into batches without
copying. Rows travel as base codes, a quarter of the bytes of one-hot; one-hot is the first layer
of the models, or an option here.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, CrosslabelError
from ssldata.base.keyed_random import key_of
from ssldata.genomes.onehot import N_CODE
from ssldata.reading.chunk_cache import ChunkCache, cache_for
from ssldata.reading.epoch_order import EpochOrder
from ssldata.reading.known_labels import Columns, RowLabels
from ssldata.reading.mixture import Mixture, mixture_of
from ssldata.reading.noisy_weights import Weights
from ssldata.reading.read_window import lead_of, read_window, take_rows
from ssldata.reading.shuffled_labels import ShuffledLabels
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import Store

__all__ = [
    "Encoding",
    "TrainingReader",
    "Weights",
    "reading_errors",
    "rows_dataset",
    "take_rows",
    "training_dataset",
]

#: Chunks per window: enough rows per Python call, few enough to stay in the CPU cache.
WINDOW_CHUNKS = 16

#: Base codes uint8 (n, L) → token ids int32 (n, T), always of one width T.
Tokenizer = Callable[[NDArray[np.uint8]], NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How sequences are given to a model.

    Attributes
    ----------
    kind
        ``codes``: uint8 (B, L); ``onehot``: (B, L, 4) in the order A, C, G, T; ``tokens``: int32
        (B, T).
    dtype
        Of one-hot: ``float32``, ``float16``, ``bfloat16`` or ``uint8``.
    unknown
        One-hot value of an N in each of the four columns: 0 or 0.25.
    tokenizer
        For ``tokens``: base codes uint8 (n, L) → int32 (n, T), always of the same width T.

    Raises
    ------
    ConfigError
        An unknown kind, or options that contradict each other.
    """

    kind: Literal["codes", "onehot", "tokens"] = "codes"
    dtype: str = "float32"
    unknown: float = 0.0
    tokenizer: Tokenizer | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("codes", "onehot", "tokens"):
            raise ConfigError(f"encoding {self.kind!r}: expected codes, onehot or tokens")
        if (self.kind == "tokens") != (self.tokenizer is not None):
            raise ConfigError("encoding: 'tokens' needs a tokenizer, the others take none")
        if self.dtype not in ("float32", "float16", "bfloat16", "uint8"):
            raise ConfigError(
                f"encoding: dtype {self.dtype!r}, expected float32, float16, bfloat16 or uint8"
            )
        if self.unknown and (self.unknown != 0.25 or self.dtype == "uint8"):
            raise ConfigError(
                f"encoding: N as {self.unknown} of {self.dtype}; expected 0, or 0.25 of floats"
            )

    def one_hot(self, codes: tf.Tensor) -> tf.Tensor:
        """Return codes (…) as one-hot (…, 4)."""
        hot = tf.one_hot(codes, 4, dtype=self.dtype)
        if not self.unknown:
            return hot
        is_n = tf.cast(codes == N_CODE, self.dtype)
        return hot + tf.cast(self.unknown, self.dtype) * is_n[..., tf.newaxis]


#: Errors of reading, newest last; TensorFlow passes on only their text.
_FAILURES: deque[CrosslabelError] = deque(maxlen=8)


def _remembered(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except CrosslabelError as exc:
        _FAILURES.append(exc)
        raise


@contextmanager
def reading_errors() -> Iterator[None]:
    """Raise errors of reading as they were, not as TensorFlow wraps them.

    For use around ``fit`` or a loop over a dataset of this module.
    """
    _FAILURES.clear()
    try:
        yield
    except tf.errors.OpError as exc:
        if _FAILURES:
            raise _FAILURES.pop() from exc
        raise


class TrainingReader:
    """Batches for training, epoch after epoch, from any place in the order.

    Parameters
    ----------
    store
        The store.
    mixture
        What to draw from.
    batch_size
        Rows per batch; the last batch of an epoch may be smaller.
    label
        Label column; several, in the order of the model's outputs; or None: all of the store.
        Neither the rows nor their order depend on it.
    context
        Central bases of the stored window; default: all.
    weights
        Confidence weights; default: 1.
    weigh_outputs
        Give a weight for every label, (B, outputs): 0 where a label is not known (see
        :func:`.known_labels`), else the weight of the row or of its output.
        The loss must accept them, as :class:`.OutputCrossentropy` does.
    encoding
        Of the sequences; default: base codes.
    num_shards, shard
        Give only part `shard` (0, 1, …) of every epoch, one for each of `num_shards` replicas.
        Together the parts are the epoch; their sizes differ by one row at most.
    drop_remainder
        Leave out the rows that do not fill the last batch of an epoch, different ones in each
        epoch. All shards then have equally many batches.
    direct
        False: always read through zarr-python.
    threads
        Windows read at the same time; default: half the cores, 1 to 4. The order does not depend
        on it.

    Raises
    ------
    ConfigError
        An epoch has no batch; the store has no such label column or too few bases for `context`;
        or the tokenizer gives rows of different widths.
    StoreError
        A group of `mixture` is not complete in the store, or (while reading) is damaged.
    ValueError
        There is no such shard.
    """

    def __init__(
        self,
        store: Store,
        mixture: Mixture,
        *,
        batch_size: int,
        label: Columns = 0,
        context: int | None = None,
        weights: Weights | None = None,
        weigh_outputs: bool = False,
        encoding: Encoding | None = None,
        num_shards: int = 1,
        shard: int = 0,
        drop_remainder: bool = False,
        direct: bool = True,
        threads: int | None = None,
    ) -> None:
        self.store = store
        self.mixture = mixture
        self.batch_size = batch_size
        self.encoding = encoding or Encoding()
        self._shard = (num_shards, shard, drop_remainder)
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._labels = (
            RowLabels(store, label)
            if mixture.label_seed is None
            else ShuffledLabels(store, label, mixture)
        )
        self._read: dict[str, Any] = {
            "labels": self._labels,
            "context": context,
            "weights": weights,
            "weigh_outputs": weigh_outputs,
        }
        segments = (*mixture.positives, *mixture.negatives)
        groups = {name: store.group(name) for name in sorted({s.group for s in segments})}
        self._chunks = {name: group.chunk_rows for name, group in groups.items()}
        stored = next(iter(groups.values())).length
        self.length = stored - 2 * lead_of(stored, context)
        self.width = self.length
        if self.encoding.tokenizer is not None:
            self.width = self.encoding.tokenizer(np.zeros((1, self.length), np.uint8)).shape[1]
        self._window_rows = WINDOW_CHUNKS * max(self._chunks.values())
        self._cache: ChunkCache = cache_for(store, mixture, direct=direct)
        self._orders: dict[int, EpochOrder] = {}
        self._lock = threading.Lock()
        # The same in every epoch.
        self._windows = len(self._order(0))
        self.steps_per_epoch = self._order(0).steps
        if not self.steps_per_epoch:
            raise ConfigError(
                f"{store.location}: no batch of {batch_size} rows in an epoch of {mixture.rows} "
                f"rows in {num_shards} part(s); lower the batch size or the number of shards"
            )

    # -- place in the order ------------------------------------------------------------------

    @cached_property
    def order_key(self) -> int:
        """Identity of the order: rows of the store, mixture, batch size, shard, and chunks."""
        mixture = self.mixture
        # Only of groups that are read: a genome added to the store does not change their order.
        parts: list[int | str] = [self.store.ledger[name]["content"] for name in self._chunks]
        parts += [self.batch_size, *self._shard, *self._chunks.values(), self._window_rows]
        parts += [mixture.seed, str(mixture.ratio), int(mixture.redraw), str(mixture.repeats)]
        parts += [str(mixture.positive_shares), str(mixture.negative_shares), mixture.balance]
        segments = (*mixture.positives, *mixture.negatives)
        parts += [f"{s.group} {s.start} {s.stop} {len(s)}" for s in segments]
        # Which rows: other rows of the same number are another order.
        chosen = [s.members for s in segments if s.members is not None]
        parts += [hashlib.sha256(x.tobytes()).hexdigest() for x in (*chosen, *(mixture.loci or ()))]
        parts.append(int(mixture.loci is not None))
        if mixture.label_seed is not None:
            parts.append(f"labels {mixture.label_seed}")
        return int(key_of(*parts) >> np.uint64(1))

    def state(self, batches: int) -> dict[str, int]:
        """Return the place after `batches` batches since epoch 0: a few integers for JSON.

        tf.data reads ahead of training, so the caller counts the batches that were used.
        """
        epoch, step = divmod(batches, self.steps_per_epoch)
        return {"epoch": epoch, "step": step, "order": self.order_key}

    def restore(self, state: Mapping[str, int]) -> tf.data.Dataset:
        """Return the dataset that continues from a state, byte for byte.

        Raises
        ------
        ConfigError
            The state is of another order.
        """
        if state["order"] != self.order_key:
            raise ConfigError(
                f"{self.store.location}: the reader's state is of another store, mixture or batch "
                f"size (order {state['order']}, now {self.order_key}); restart the training"
            )
        return self.dataset(start_epoch=state["epoch"], start_step=state["step"])

    @property
    def is_direct(self) -> bool:
        """Whether every chunk is read without zarr-python."""
        return all(self._cache.reader(name).is_direct for name in self._chunks)

    # -- data --------------------------------------------------------------------------------

    def dataset(self, *, start_epoch: int = 0, start_step: int = 0) -> tf.data.Dataset:
        """Return the endless dataset of batches, from any place in the order.

        See :func:`training_dataset` for what a batch is.
        """
        epoch = start_epoch + start_step // self.steps_per_epoch
        step = start_step % self.steps_per_epoch
        order = self._order(epoch)
        window = order.window_of(step)
        # Where no batch is smaller, the number of rows is part of the static shape.
        whole = self._shard[2] or order.rows % self.batch_size == 0

        def cut(*parts: tf.Tensor) -> tf.data.Dataset:
            # Windows hold whole batches (except the last of an epoch), so each is cut on its own.
            window = tf.data.Dataset.from_tensors(parts)
            return window.rebatch(self.batch_size, drop_remainder=whole)

        dataset = (
            tf.data.Dataset.range(epoch * self._windows + window, np.iinfo(np.int64).max)
            .map(self._load(), num_parallel_calls=self._threads, deterministic=True)
            .prefetch(1)
            .flat_map(cut)
            .skip(step - order.first_step(window))
        )
        if self.encoding.kind == "onehot":
            dataset = dataset.map(
                lambda codes, *rest: (self.encoding.one_hot(codes), *rest),
                num_parallel_calls=self._threads,
                deterministic=True,
            )
        return dataset.prefetch(4)

    def _order(self, epoch: int) -> EpochOrder:
        with self._lock:
            if epoch not in self._orders:
                # Neighbouring epochs may be asked for at the same time.
                for old in [e for e in self._orders if abs(e - epoch) > 1]:
                    del self._orders[old]
                num_shards, shard, drop_remainder = self._shard
                self._orders[epoch] = EpochOrder(
                    self.mixture,
                    epoch,
                    batch_size=self.batch_size,
                    chunks=self._chunks,
                    window_rows=self._window_rows,
                    num_shards=num_shards,
                    shard=shard,
                    drop_remainder=drop_remainder,
                )
            return self._orders[epoch]

    def window(self, number: int) -> tuple[NDArray[Any], ...]:
        """Return one window of the endless order as arrays: sequence, label, weight."""
        epoch, window = divmod(number, self._windows)
        part = self._order(epoch).window(window)
        codes, labels, weight = read_window(self._cache, part, epoch=epoch, **self._read)
        if self.encoding.tokenizer is None:
            return codes, labels, weight
        tokens = np.asarray(self.encoding.tokenizer(codes), np.int32)
        if tokens.shape != (len(codes), self.width):
            raise ConfigError(
                f"the tokenizer gave an array {tokens.shape}, expected {(len(codes), self.width)}: "
                "it must pad and cut every row to one width"
            )
        return tokens, labels, weight

    def _load(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
        kind = tf.uint8 if self.encoding.tokenizer is None else tf.int32
        per_output = self._read["weigh_outputs"]

        def load(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            sequence, labels, weight = tf.numpy_function(
                lambda n: _remembered(self.window, int(n)),
                [number],
                (kind, tf.float32, tf.float32),
                stateful=False,
            )
            sequence.set_shape((None, self.width))
            labels.set_shape((None, len(self._labels)))
            weight.set_shape((None, len(self._labels)) if per_output else (None,))
            return sequence, labels, weight

        return load


def training_dataset(
    store: Store,
    mixture: Mixture | None = None,
    *,
    batch_size: int,
    label: Columns = 0,
    context: int | None = None,
    weights: Weights | None = None,
    weigh_outputs: bool = False,
    encoding: Encoding | None = None,
    start_epoch: int = 0,
    start_step: int = 0,
    num_shards: int = 1,
    shard: int = 0,
    drop_remainder: bool = False,
    direct: bool = True,
    threads: int | None = None,
) -> tuple[tf.data.Dataset, int]:
    """Return an endless dataset of training batches, epoch after epoch, and the steps per epoch.

    The rows and their order are a pure function of the store, the mixture (with its seed), the
    batch size, the shard and the start: not of threads, processes or the machine. ::

        dataset, steps = training_dataset(store, mixture_of(store), batch_size=256)
        model.fit(dataset, steps_per_epoch=steps, epochs=10)

    Parameters
    ----------
    store
        From :func:`ssldata.store.store.open_store`.
    mixture
        What to draw from; default: :func:`ssldata.reading.mixture.mixture_of` of the store.
    batch_size
        Rows per batch; the last batch of an epoch may be smaller.
    start_epoch, start_step
        Where to begin: the dataset continues byte for byte as one that came this far.
    label, context, weights, weigh_outputs, encoding, num_shards, shard, drop_remainder
        Which labels, bases, weights, encoding and part of every epoch: see
        :class:`TrainingReader`.
    direct, threads
        How to read, to the same result: see :class:`TrainingReader`.

    Returns
    -------
    dataset : tf.data.Dataset
        Batches (sequence, label, weight). The sequence is base codes uint8 (B, L), with A C G T N
        = 0 1 2 3 4, unless `encoding` is given; the label 0 or 1, float32 (B, outputs); the weight
        float32 (B,), or (B, outputs) with `weigh_outputs`.
    steps : int
        Batches per epoch.

    Raises
    ------
    ConfigError, StoreError, ValueError
        As :class:`TrainingReader` and :func:`ssldata.reading.mixture.mixture_of`. What is found
        while batches are read comes wrapped by TensorFlow, except within :func:`reading_errors`.
    """
    reader = TrainingReader(
        store,
        mixture or mixture_of(store),
        batch_size=batch_size,
        label=label,
        context=context,
        weights=weights,
        weigh_outputs=weigh_outputs,
        encoding=encoding,
        num_shards=num_shards,
        shard=shard,
        drop_remainder=drop_remainder,
        direct=direct,
        threads=threads,
    )
    return reader.dataset(start_epoch=start_epoch, start_step=start_step), reader.steps_per_epoch


def tiny_pipeline() -> None:
    """Run a minimal pipeline, so that what TensorFlow loads on first use is loaded."""
    numbers = tf.data.Dataset.range(4).map(
        lambda x: tf.numpy_function(lambda n: n, [x], tf.int64), num_parallel_calls=1
    )
    for number in numbers.batch(2).prefetch(1):
        tf.one_hot(number, 4)


def rows_dataset(
    store: Store,
    group: str,
    start: int,
    stop: int,
    *,
    batch_size: int,
    context: int | None = None,
) -> tf.data.Dataset:
    """Return the base codes of a contiguous range of rows, in row order.

    Parameters
    ----------
    store, group
        Which rows: ``reference`` or ``homologs/<genome>`` of a store.
    start, stop
        Row numbers, 0-based half-open.
    batch_size
        Rows per batch; the last one may be smaller.
    context
        Central bases of the stored window; default: all.

    Returns
    -------
    tf.data.Dataset
        uint8 (B, L).

    Raises
    ------
    ConfigError
        The store has too few bases for `context`.
    StoreError
        The group is not complete in the store, or (while reading) is damaged.
    """
    reader = ChunkReader(store.group(group))
    lead = lead_of(reader.length, context)

    def read(number: NDArray[np.int64]) -> NDArray[np.uint8]:
        border = int(number) * reader.chunk_rows
        chunk = reader.codes(max(start, border), min(stop, border + reader.chunk_rows))
        return chunk[:, lead : reader.length - lead]

    def load(number: tf.Tensor) -> tf.Tensor:
        codes = tf.numpy_function(
            lambda n: _remembered(read, n), [number], tf.uint8, stateful=False
        )
        codes.set_shape((None, reader.length - 2 * lead))
        return codes

    chunks = tf.data.Dataset.range(start // reader.chunk_rows, -(-stop // reader.chunk_rows))
    if start >= stop:
        chunks = chunks.take(0)
    return chunks.map(load).rebatch(batch_size).prefetch(2)
