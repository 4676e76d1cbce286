"""Other ways to feed Keras that `reader.py` compares with ours: endless iterators of batches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.store.store import Store


def slices(sequence: NDArray, label: NDArray, batch: int) -> Iterator:
    import tensorflow as tf

    weight = np.ones(len(label), np.float32)
    data = tf.data.Dataset.from_tensor_slices((sequence, label, weight))
    return iter(data.repeat().batch(batch).prefetch(4))


def _features() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "sequence": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([1], tf.float32),
        "weight": tf.io.FixedLenFeature([], tf.float32),
    }


def tfrecord_as_usual(path: Path, length: int, batch: int) -> Iterator:
    """zlib, one record parsed at a time, shuffled, cast to float32: as Basenji and others do."""
    import tensorflow as tf

    def parse(record: Any) -> tuple:
        example = tf.io.parse_single_example(record, _features())
        sequence = tf.io.decode_raw(example["sequence"], tf.uint8)
        sequence = tf.cast(tf.reshape(sequence, (length, 4)), tf.float32)
        return sequence, example["label"], example["weight"]

    data = tf.data.TFRecordDataset([str(path)], compression_type="ZLIB").repeat()
    return iter(data.shuffle(8192).map(parse, num_parallel_calls=2).batch(batch).prefetch(4))


def tfrecord_vectorised(path: Path, length: int, batch: int) -> Iterator:
    """Uncompressed, a batch of records parsed by one call."""
    import tensorflow as tf

    def parse(records: Any) -> tuple:
        example = tf.io.parse_example(records, _features())
        sequence = tf.io.decode_raw(example["sequence"], tf.uint8)
        return tf.reshape(sequence, (-1, length, 4)), example["label"], example["weight"]

    data = tf.data.TFRecordDataset([str(path)]).repeat()
    return iter(data.shuffle(8192).batch(batch).map(parse, num_parallel_calls=2).prefetch(4))


def naive(store: Store, names: Sequence[str], batch: int) -> Iterator:
    """A generator of chunks, split into rows, shuffled and batched again."""
    import tensorflow as tf

    groups = [store.group(name) for name in names]

    def chunks() -> Iterator[tuple]:
        while True:
            for group in groups:
                for first in range(0, group.rows, group.chunk_rows):
                    end = min(first + group.chunk_rows, group.rows)
                    label = group.column("label")[first:end].astype(np.float32)
                    yield group.one_hot(first, end), label, np.ones(end - first, np.float32)

    signature = (
        tf.TensorSpec((None, groups[0].length, 4), tf.uint8),
        tf.TensorSpec((None, 1), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
    data = tf.data.Dataset.from_generator(chunks, output_signature=signature)
    return iter(data.unbatch().shuffle(10_000).batch(batch).prefetch(4))


class GenVarLoader:
    """GenVarLoader in the process of another Python: reference windows of the same length."""

    def __init__(self, python: Path, folder: Path, codes: NDArray, batch: int) -> None:
        rows, length = codes[:50_000].shape
        fasta = folder / f"all-{length}.fa"
        if not fasta.exists():
            letters = np.frombuffer(b"ACGTN", np.uint8)[codes[:rows]]
            fasta.write_bytes(b">c\n" + letters.tobytes() + b"\n")
        script = Path(__file__).with_name("reader_peer.py")
        self._process = subprocess.Popen(
            # Without our folder on its path (-P): the packages beside it must be its own.
            [str(python), "-P", str(script), str(fasta), str(rows), str(length), str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._asked("") != "ready":
            sys.exit(f"{python}: no genvarloader there; pip install genvarloader==0.43.1")

    def _asked(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question)
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def measure(self, seconds: float) -> tuple[float, float]:
        """Return rows per CPU second and per second of wall time."""
        cpu, wall = self._asked(f"{seconds}\n").split()
        return float(cpu), float(wall)

    def close(self) -> None:
        self._process.communicate()
