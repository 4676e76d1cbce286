"""Small fits on rows in memory, and ways to cut them short."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sslmodels.fit import callback, training_loop
from sslmodels.fit.devices import make_deterministic
from sslmodels.fit.fit_options import Batches, FitOptions, Validation
from sslmodels.models.model_builder import build_model

LENGTH, BATCH, STEPS = 40, 16, 6


OPTIONS = FitOptions(epochs=6, patience=6, plateau_patience=1, checkpoint_seconds=0)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Half the rows hold a fixed 8-mer somewhere."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (count, LENGTH)).astype(np.uint8)
    labels = (np.arange(count) % 2).astype(np.float32)[:, None]
    for row in np.flatnonzero(labels[:, 0]):
        at = rng.integers(0, LENGTH - 8)
        codes[row, at : at + 8] = [0, 1, 2, 3, 3, 2, 1, 0]
    return codes, labels


def batches() -> Batches:
    codes, labels = rows(BATCH * STEPS, seed=1)
    weights = np.linspace(0.5, 1, len(codes)).astype(np.float32)

    def open_at(step: int) -> tf.data.Dataset:
        def order(epoch: int) -> np.ndarray:
            return np.random.default_rng([7, epoch]).permutation(len(codes))

        def generate():
            number = step
            while True:
                epoch, within = divmod(number, STEPS)
                take = order(epoch)[within * BATCH : (within + 1) * BATCH]
                yield codes[take], labels[take], weights[take]
                number += 1

        return tf.data.Dataset.from_generator(
            generate,
            output_signature=(
                tf.TensorSpec((BATCH, LENGTH), tf.uint8),
                tf.TensorSpec((BATCH, 1), tf.float32),
                tf.TensorSpec((BATCH,), tf.float32),
            ),
        )

    return Batches(open=open_at, steps_per_epoch=STEPS)


def validation() -> Validation:
    codes, labels = rows(60, seed=2)
    return Validation(codes=codes, labels=labels)


class EndsAfter:
    """A progress that calls `act` once `epochs` epochs are done."""

    def __init__(self, epochs: int, act) -> None:
        self.left, self.act = epochs, act

    @contextlib.contextmanager
    def task(self, description, total=None):
        def advance(amount: float = 1) -> None:
            self.left -= amount
            if self.left == 0:
                self.act()

        yield advance


@contextlib.contextmanager
def cut_after(writes: int, act):
    """Call `act` when so many checkpoints were written."""
    genuine, left = callback.write_checkpoint, [writes]

    def write(*args, **options):
        genuine(*args, **options)
        left[0] -= 1
        if left[0] == 0:
            act()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "write_checkpoint", write)
        yield


def interrupt():
    raise KeyboardInterrupt


def fit(checkpoint: Path | None = None, progress=None, **changes):
    make_deterministic()
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    options = FitOptions(**{**vars(OPTIONS), **changes})
    result = training_loop.fit(
        model,
        batches(),
        validation(),
        options=options,
        checkpoint=checkpoint,
        identity="test",
        progress=progress,
    )
    return training_loop.weights_digest(model), result
