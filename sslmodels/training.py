"""One fit: early stopping, learning-rate cuts, history, and a checkpoint at epoch boundaries.

The same model, data and options give the same weights, bit for bit, on the same machine and
software, whether or not the run was killed and continued.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.cache import atomic_path
from ssldata.config_training import Precision
from ssldata.errors import ConfigError
from ssldata.progress import NoProgress, Progress
from ssldata.reader import reading_errors, rows_dataset
from ssldata.store import Store
from sslmodels import devices
from sslmodels.checkpoint import FitState, read_checkpoint, write_checkpoint
from sslmodels.losses import crossentropy
from sslmodels.metrics import cross_entropy, mean_aupr

Monitor = Literal["val_loss", "val_aupr"]

#: Told of all epochs of a fit so far whenever one more is done; see :mod:`sslmodels.run_logs`.
EpochLog = Callable[[Sequence[Mapping[str, float]]], None]

#: Rows scored at once: enough to keep the cores busy, small enough for a wide first layer.
SCORE_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How one fit is done (see ``training`` of the project file).

    Attributes
    ----------
    checkpoint_seconds
        Least time between two checkpoints; 0: every epoch. It never changes the result.
    precision
        What the layers compute in; see :func:`sslmodels.devices.computing_in`.
    jit_compile
        Compile steps with XLA. Keras on JAX always does.
    """

    learning_rate: float = 1e-3
    epochs: int = 100
    patience: int = 8
    plateau_patience: int = 0
    monitor: Monitor = "val_loss"
    checkpoint_seconds: float = 5.0
    precision: Precision = "float32"
    jit_compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Endless training batches.

    Attributes
    ----------
    open
        Step → endless ``tf.data.Dataset`` that starts with the batch of that step, of
        (codes (B, L), label (B, outputs), weight (B,), or (B, outputs) with several outputs).
    steps_per_epoch
        Batches of one epoch of the fit.
    state
        Step → where the reader is then, a few integers. It is kept in the checkpoint, and a fit
        continues only when the reader is at the same place again.
    rows_per_epoch
        For the logged speed; 0: not known.
    """

    open: Callable[[int], Any]
    steps_per_epoch: int
    state: Callable[[int], dict[str, int]] = field(default=lambda step: {"step": step})
    rows_per_epoch: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Rows that decide when to stop: codes uint8 (n, L) and labels float32 (n, outputs).

    `known` tells which labels count, bool (n, outputs); None: all.
    """

    codes: NDArray[np.uint8]
    labels: NDArray[np.float32]
    known: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a fit did.

    `history` has one record per epoch: epoch (1-based), loss, val_loss, val_aupr, learning_rate.
    """

    history: list[dict[str, float]]
    epochs: int
    best_epoch: int
    best_value: float
    steps: int
    wall_s: float
    cpu_s: float


def score(model: keras.Model, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities (n, outputs) of n > 0 rows held in memory.

    A model that reads tokens brings its encoder, and how many rows fit at once.
    """
    encode = getattr(model, "encoder", None) or (lambda rows: rows)
    batch = int(getattr(model, "score_batch", SCORE_BATCH))
    parts = []
    for first in range(0, len(codes), batch):
        rows = codes[first : first + batch]
        # On several devices each scores all rows, and Keras gives all their scores, in a row.
        scores = model.predict_on_batch(encode(rows))[: len(rows)]
        parts.append(np.asarray(scores, np.float32))
    return np.concatenate(parts)


def score_rows(
    model: Any,
    store: Store,
    *,
    group: str,
    start: int,
    stop: int,
    progress: Progress | None = None,
    description: str = "scoring",
) -> NDArray[np.float32]:
    """Return the probabilities (stop − start, outputs) of a contiguous range of rows, not empty.

    Raises
    ------
    StoreError
        The rows are damaged.
    """
    batches = rows_dataset(store, group, start, stop, batch_size=SCORE_BATCH, context=model.length)
    parts = []
    with (
        (progress or NoProgress()).task(description, total=stop - start) as advance,
        reading_errors(),
    ):
        for codes in batches:
            parts.append(score(model, codes.numpy()))
            advance(len(codes))
    return np.concatenate(parts)


def _values(variables: Sequence[Any]) -> list[NDArray[Any]]:
    # As tensors first: a variable of several devices has no array of its own.
    tensors = [keras.ops.convert_to_tensor(variable) for variable in variables]
    return [np.array(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]


def _assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def weights_digest(model: keras.Model) -> str:
    """Return the sha256 of a model's weights: equal exactly when all bits are."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_model(model: keras.Model, path: Path) -> None:
    """Write a ``.keras`` file whose bytes depend on architecture and weights alone.

    Keras stamps the file with the time of writing, and adds the optimiser's state, two thirds of
    the file and of no use once trained.
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with atomic_path(path) as temporary:
        stamped = temporary.with_suffix(".keras")
        try:
            bare.save(stamped)
            with zipfile.ZipFile(stamped) as source, zipfile.ZipFile(temporary, "w") as target:
                for name in sorted(source.namelist()):
                    content = source.read(name)
                    if name == "metadata.json":
                        metadata = json.loads(content)
                        metadata["date_saved"] = "1980-01-01@00:00:00"
                        content = json.dumps(metadata, sort_keys=True).encode()
                    target.writestr(zipfile.ZipInfo(name), content)
        finally:
            stamped.unlink(missing_ok=True)


class _EpochEnd(keras.callbacks.Callback):
    """Validate, remember the best weights, cut the rate, stop, and checkpoint."""

    def __init__(
        self,
        *,
        state: FitState,
        best_weights: list[NDArray[Any]],
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
        """Note the time."""
        del epoch, logs
        self._began = time.perf_counter()

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
        self._tick()
        self._advance(1)
        if self._log is not None:
            self._log(epochs_of(state))

    def _tick(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.state.wall_s += now[0] - self._clock[0]
        self.state.cpu_s += now[1] - self._clock[1]
        self._clock = now
        due = now[0] - self._written >= self._options.checkpoint_seconds
        if self._checkpoint is not None and (due or self.state.finished):
            self._written = now[0]
            done = self.state.finished
            steps = self.state.epoch * self._batches.steps_per_epoch
            self.state.reader = self._batches.state(steps)
            write_checkpoint(
                self._checkpoint,
                identity=self._identity,
                state=self.state,
                # Also of a finished fit: a later phase goes on from its dropout seeds.
                variables=_values(self.model.variables),
                optimizer=[] if done else _values(self.model.optimizer.variables),
                best_weights=self.best_weights,
            )


def fit(
    model: keras.Model,
    batches: Batches,
    validation: Validation,
    *,
    options: FitOptions,
    checkpoint: Path | None = None,
    identity: str = "",
    description: str = "training",
    progress: Progress | None = None,
    log: EpochLog | None = None,
) -> FitResult:
    """Train until the validation stops getting better; leave the best weights in the model.

    Parameters
    ----------
    model
        Any Keras model from codes (B, L) to probabilities (B, outputs). Compiled here: Adam,
        binary cross-entropy with the weights.
    batches
        The training data.
    validation
        Rows watched at the end of every epoch.
    options
        Epochs, patience, learning rate, what is watched.
    checkpoint
        File of the fit's state. When it holds an unfinished fit of the same `identity` that fit
        continues; when it holds a finished one its weights are taken and nothing is trained.
    identity
        What is being fitted, for `checkpoint`.
    description
        What the progress line and errors call the fit.
    progress
        Told of every epoch.
    log
        Given the epochs so far when the fit begins or continues, and after every epoch.

    Returns
    -------
    FitResult
        History and the best epoch.

    Raises
    ------
    ConfigError
        The training loss stopped being a number; the reader is not where the checkpoint was
        written.
    """
    state, best = FitState(), list[NDArray[Any]]()
    found = read_checkpoint(checkpoint, identity=identity) if checkpoint else None
    if found is not None and found[0].finished:
        _assign(model.variables, found[1])
        model.set_weights(found[3])
        if log is not None:
            log(epochs_of(found[0]))
        return _result(found[0], batches)
    if found is not None:
        state, variables, optimizer, best = found
        _check_reader(state, batches, description)
    with (
        (progress or NoProgress()).task(description, total=options.epochs) as advance,
        devices.scope_of(model),
        devices.computing_in(model, options.precision),
    ):
        model.compile(
            optimizer=keras.optimizers.Adam(options.learning_rate),
            loss=crossentropy(validation.labels.shape[1]),
            # "auto" is false in deterministic TensorFlow, and true in JAX, which needs it.
            jit_compile=options.jit_compile or "auto",
        )
        if found is not None:
            model.optimizer.build(model.trainable_variables)
            _assign(model.variables, variables)
            _assign(model.optimizer.variables, optimizer)
        devices.different_draws(model)
        if state.epoch:
            advance(state.epoch)
        if log is not None:
            log(epochs_of(state))
        callback = _EpochEnd(
            state=state,
            best_weights=best,
            validation=validation,
            options=options,
            batches=batches,
            checkpoint=checkpoint,
            identity=identity,
            advance=advance,
            log=log,
            what=description,
        )
        with reading_errors():
            model.fit(
                devices.divided(batches.open(state.epoch * batches.steps_per_epoch), model),
                steps_per_epoch=batches.steps_per_epoch,
                initial_epoch=state.epoch,
                epochs=options.epochs,
                shuffle=False,
                verbose=0,
                callbacks=[callback],
            )
    model.set_weights(callback.best_weights)
    return _result(state, batches)


def epochs_of(state: FitState) -> list[dict[str, float]]:
    """Return what is logged of every epoch: its record in the history, and rows per second."""
    return [
        {**record, "rows_per_second": speed}
        for record, speed in zip(state.history, state.speeds, strict=True)
    ]


def _check_reader(state: FitState, batches: Batches, what: str) -> None:
    now = batches.state(state.epoch * batches.steps_per_epoch)
    if state.reader != now:
        raise ConfigError(
            f"{what}: the checkpoint was written with the reader at {state.reader}, where it would "
            f"now continue at {now}: rows or sampling have changed; train again with --replace"
        )


def _result(state: FitState, batches: Batches) -> FitResult:
    return FitResult(
        history=state.history,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        best_value=state.best_value,
        steps=state.epoch * batches.steps_per_epoch,
        wall_s=state.wall_s,
        cpu_s=state.cpu_s,
    )
