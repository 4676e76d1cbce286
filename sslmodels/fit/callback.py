"""Keras callback of a fit: validation, early stopping, learning-rate cuts and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from sslmodels.fit import devices
from sslmodels.fit.checkpoint import FitState, write_checkpoint
from sslmodels.fit.early_stopping import judge_epoch
from sslmodels.fit.fit_options import Batches, FitOptions, Validation
from sslmodels.scores.metrics import cross_entropy, mean_aupr
from sslmodels.scores.score_rows import score

#: Takes the records of all epochs so far, after each epoch; see :mod:`sslmodels.runs.run_logs`.
EpochLog = Callable[[Sequence[Mapping[str, float]]], None]


def values_of(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Return copies of the values of Keras variables."""
    # As tensors first: a variable of several devices has no array of its own.
    tensors = [keras.ops.convert_to_tensor(variable) for variable in variables]
    return [np.array(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]


def epochs_of(state: FitState) -> list[dict[str, float]]:
    """Return the log records of all epochs: those of the history, with rows per second."""
    return [
        {**record, "rows_per_second": speed}
        for record, speed in zip(state.history, state.speeds, strict=True)
    ]


@dataclass(kw_only=True, eq=False, repr=False)
class EpochEnd(keras.callbacks.Callback):
    """Validate, keep the best weights, cut the learning rate, stop early, and checkpoint.

    Attributes
    ----------
    state
        State of the fit, updated in place.
    best_weights
        Weights of the best epoch so far; empty before the first.
    running
        Running metrics of an interrupted epoch; see :func:`sslmodels.fit.devices.copies_of`.
    validation, options, batches, checkpoint, identity, log
        As of :func:`sslmodels.fit.training_loop.fit`.
    advance
        Progress reporter, called once per epoch.
    what
        Name of the fit in error messages.
    """

    state: FitState
    best_weights: list[NDArray[Any]]
    running: list[NDArray[Any]]
    validation: Validation
    options: FitOptions
    batches: Batches
    checkpoint: Path | None
    identity: str
    advance: Callable[[float], None]
    log: EpochLog | None
    what: str

    def __post_init__(self) -> None:
        """Start the clocks."""
        super().__init__()
        self._clock = (time.perf_counter(), time.process_time())
        self._written = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock; restore the running metrics of an interrupted epoch."""
        del epoch, logs
        self._first = self.state.steps
        self._began = time.perf_counter() - self.state.epoch_s
        if self._first:
            devices.assign_copies(self.model, self.model.metrics_variables, self.running)

    # Not at the end of a step, where Keras would wait for each step to finish.
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checkpoint within a long epoch, before step `batch`."""
        del logs
        waited = time.perf_counter() - self._written
        if not batch or self.checkpoint is None or waited < self.options.within_seconds:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # until then the variables are those of the epoch's start
        now = time.perf_counter()
        self.state.steps = self._first + batch
        self.state.epoch_s = now - self._began
        self._write(running=devices.copies_of(self.model, self.model.metrics_variables))
        self._began += time.perf_counter() - now  # writing does not count as training

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Validate and record the epoch; keep the best weights; stop, cut the rate, checkpoint."""
        state, options = self.state, self.options
        rate = self.model.optimizer.learning_rate
        loss = float((logs or {})["loss"])
        seconds = time.perf_counter() - self._began
        labels, known = self.validation.labels, self.validation.known
        scores = score(self.model, self.validation.codes)
        if not (np.isfinite(loss) and np.isfinite(scores).all()):
            raise ConfigError(
                f"{self.what}: training diverged in epoch {epoch + 1} (loss {loss}); "
                "lower training.learning_rate"
            )
        record = {
            "epoch": epoch + 1,
            "loss": loss,
            "val_loss": cross_entropy(labels, scores, known),
            "val_aupr": mean_aupr(labels, scores, known),
            "learning_rate": float(keras.ops.convert_to_numpy(rate)),
        }
        state.history.append(record)
        state.speeds.append(self.batches.rows_per_epoch / seconds)
        state.epoch = epoch + 1
        state.steps, state.epoch_s = 0, 0.0
        verdict = judge_epoch(state, record[options.monitor], options)
        if verdict.best:
            self.best_weights = self.model.get_weights()
        if verdict.cut:
            self.model.optimizer.learning_rate = record["learning_rate"] / 2
        self.model.stop_training = state.finished
        if time.perf_counter() - self._written >= options.checkpoint_seconds or state.finished:
            self._write()
        self._tick()
        if self.log is not None:
            self.log(epochs_of(state))
        self.advance(1)

    def _tick(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.state.wall_s += now[0] - self._clock[0]
        self.state.cpu_s += now[1] - self._clock[1]
        self._clock = now

    def _write(self, running: Sequence[NDArray[Any]] = ()) -> None:
        self._tick()
        self._written = time.perf_counter()
        if self.checkpoint is None:
            return
        state = self.state
        state.reader = self.batches.state(state.epoch * self.batches.steps_per_epoch + state.steps)
        write_checkpoint(
            self.checkpoint,
            identity=self.identity,
            state=state,
            # A finished fit too: a later phase continues from its dropout seeds.
            variables=values_of(self.model.variables),
            optimizer=[] if state.finished else values_of(self.model.optimizer.variables),
            best_weights=self.best_weights,
            running=running,
        )
