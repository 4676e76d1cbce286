"""What happens between epochs of a fit, and the checkpoints: a callback of Keras."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from sslmodels.fit import devices
from sslmodels.fit.checkpoint import FitState, write_checkpoint
from sslmodels.scores.metrics import cross_entropy, mean_aupr
from sslmodels.scores.score_rows import score

if TYPE_CHECKING:
    from sslmodels.fit.fit_options import Batches, FitOptions, Validation

#: Told of all epochs of a fit so far whenever one more is done; see :mod:`sslmodels.runs.run_logs`.
EpochLog = Callable[[Sequence[Mapping[str, float]]], None]


def values_of(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Return the values of Keras variables, as arrays of their own."""
    # As tensors first: a variable of several devices has no array of its own.
    tensors = [keras.ops.convert_to_tensor(variable) for variable in variables]
    return [np.array(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]


def epochs_of(state: FitState) -> list[dict[str, float]]:
    """Return what is logged of every epoch: its record in the history, and rows per second."""
    return [
        {**record, "rows_per_second": speed}
        for record, speed in zip(state.history, state.speeds, strict=True)
    ]


class EpochEnd(keras.callbacks.Callback):
    """Validate, remember the best weights, cut the rate, stop, and checkpoint.

    Parameters
    ----------
    state
        Where the fit stands; kept up to date.
    best_weights
        Weights of the best epoch so far; empty before there is one.
    running
        What Keras has summed up in the epoch that was cut; see
        :func:`sslmodels.fit.devices.copies_of`.
    validation, options, batches, checkpoint, identity, log
        As of :func:`sslmodels.fit.training_loop.fit`.
    advance
        Told of every epoch.
    what
        What errors call the fit.
    """

    def __init__(
        self,
        *,
        state: FitState,
        best_weights: list[NDArray[Any]],
        running: list[NDArray[Any]],
        validation: Validation,
        options: FitOptions,
        batches: Batches,
        checkpoint: Path | None,
        identity: str,
        advance: Callable[[float], None],
        log: EpochLog | None,
        what: str,
    ) -> None:
        super().__init__()
        self.state = state
        self.best_weights = best_weights
        self._running = running
        self._validation = validation
        self._options = options
        self._batches = batches
        self._checkpoint = checkpoint
        self._identity = identity
        self._advance = advance
        self._log = log
        self._what = what
        self._clock = (time.perf_counter(), time.process_time())
        self._written = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the time; go on with the sums of an epoch that was cut."""
        del epoch, logs
        self._first = self.state.steps
        self._began = time.perf_counter() - self.state.epoch_s
        if self._first:
            devices.assign_copies(self.model, self.model.metrics_variables, self._running)

    # Not at the end of a step: Keras would then wait for every step before it begins the next one.
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checkpoint within a long epoch, after as many steps as were done before this one."""
        del logs
        waited = time.perf_counter() - self._written
        if not batch or self._checkpoint is None or waited < self._options.within_seconds:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # the variables are those of the epoch's begin until then
        now = time.perf_counter()
        self.state.steps = self._first + batch
        self.state.epoch_s = now - self._began
        self._write(running=devices.copies_of(self.model, self.model.metrics_variables))
        self._began += time.perf_counter() - now  # writing is no part of the training

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Do everything that happens between two epochs."""
        state, options = self.state, self._options
        rate = self.model.optimizer.learning_rate
        loss = float((logs or {})["loss"])
        seconds = time.perf_counter() - self._began
        watched = self._validation
        scores = score(self.model, watched.codes)
        if not (np.isfinite(loss) and np.isfinite(scores).all()):
            raise ConfigError(
                f"{self._what}: training diverged in epoch {epoch + 1} (loss {loss}); "
                "lower training.learning_rate"
            )
        record = {
            "epoch": epoch + 1,
            "loss": loss,
            "val_loss": cross_entropy(watched.labels, scores, watched.known),
            "val_aupr": mean_aupr(watched.labels, scores, watched.known),
            "learning_rate": float(keras.ops.convert_to_numpy(rate)),
        }
        state.history.append(record)
        state.speeds.append(self._batches.rows_per_epoch / seconds)
        state.epoch = epoch + 1
        state.steps, state.epoch_s = 0, 0.0
        value = record[options.monitor]
        sign = 1 if options.monitor == "val_aupr" else -1
        if state.best_epoch == 0 or sign * value > sign * state.best_value:
            state.best_epoch, state.best_value = state.epoch, value
            state.wait = state.plateau_wait = 0
            self.best_weights = self.model.get_weights()
        else:
            state.wait += 1
            state.plateau_wait += 1
        if options.plateau_patience and state.plateau_wait >= options.plateau_patience:
            state.plateau_wait = 0
            self.model.optimizer.learning_rate = record["learning_rate"] / 2
        state.finished = state.wait >= options.patience or state.epoch >= options.epochs
        self.model.stop_training = state.finished
        if time.perf_counter() - self._written >= options.checkpoint_seconds or state.finished:
            self._write()
        self._tick()
        if self._log is not None:
            self._log(epochs_of(state))
        self._advance(1)

    def _tick(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.state.wall_s += now[0] - self._clock[0]
        self.state.cpu_s += now[1] - self._clock[1]
        self._clock = now

    def _write(self, running: Sequence[NDArray[Any]] = ()) -> None:
        self._tick()
        self._written = time.perf_counter()
        if self._checkpoint is None:
            return
        state = self.state
        state.reader = self._batches.state(
            state.epoch * self._batches.steps_per_epoch + state.steps
        )
        write_checkpoint(
            self._checkpoint,
            identity=self._identity,
            state=state,
            # Also of a finished fit: a later phase goes on from its dropout seeds.
            variables=values_of(self.model.variables),
            optimizer=[] if state.finished else values_of(self.model.optimizer.variables),
            best_weights=self.best_weights,
            running=running,
        )
