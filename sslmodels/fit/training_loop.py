"""One fit: early stopping, learning-rate cuts, history, and checkpoints.

The same model, data and options give the same weights, bit for bit, on the same machine and
software, whether or not the run was killed and continued.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import atomic_path
from ssldata.base.progress import NoProgress, Progress
from ssldata.reading.reader import reading_errors
from sslmodels.fit import devices
from sslmodels.fit.callback import EpochEnd, EpochLog, epochs_of
from sslmodels.fit.checkpoint import Checkpoint, FitState, read_checkpoint
from sslmodels.fit.fit_options import Batches, FitOptions, FitResult, Validation
from sslmodels.layers.losses import crossentropy
from sslmodels.layers.plain_model import plain_model
from sslmodels.layers.sequence_model import SequenceModel


def _assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def weights_digest(model: keras.Model) -> str:
    """Return the sha256 of a model's weights, shapes and dtypes included."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_model(model: keras.Model, path: Path) -> None:
    """Write a ``.keras`` file whose bytes depend only on the architecture and the weights.

    Keras adds the time of writing, and the optimiser's state: two thirds of the file, and useless
    after training. A :class:`~sslmodels.layers.sequence_model.SequenceModel` is written as
    :func:`~sslmodels.layers.plain_model.plain_model`, so that plain Keras can load it.
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    if isinstance(bare, SequenceModel):
        bare = plain_model(bare)
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
    """Train until the validation score stops improving; leave the best weights in the model.

    Parameters
    ----------
    model
        Any Keras model from base codes (B, L) to probabilities (B, outputs). It is compiled here
        with Adam and binary cross-entropy.
    batches
        The training data.
    validation
        Rows watched at the end of every epoch.
    options
        Epochs, patience, learning rate, monitored score.
    checkpoint
        File of the fit's state. An unfinished fit of the same `identity` in it is continued; of a
        finished one the weights are loaded and nothing is trained.
    identity
        Identity of the fit, recorded in `checkpoint`.
    description
        Name of the fit in progress and error messages.
    progress
        Progress reporter.
    log
        Called with the records of the epochs so far at the start and after every epoch.

    Returns
    -------
    FitResult
        History and the best epoch.

    Raises
    ------
    ConfigError
        The training loss is not finite; the reader is not where the checkpoint was written.
    """
    found = read_checkpoint(checkpoint, identity=identity) if checkpoint else None
    start = found or Checkpoint(FitState(), [], [], [], [])
    state = start.state
    if state.finished:
        _assign(model.variables, start.variables)
        model.set_weights(start.best_weights)
        if log is not None:
            log(epochs_of(state))
        return _result(state, batches)
    if found is not None:
        _check_reader(state, batches, description)
    with (
        (progress or NoProgress()).task(description, total=options.epochs) as advance,
        devices.scope_of(model),
        devices.computing_in(model, options.precision),
    ):
        model.compile(
            optimizer=keras.optimizers.Adam(options.learning_rate),
            loss=crossentropy(validation.labels.shape[1]),
            # "auto" means false in deterministic TensorFlow, and true in JAX, which needs it.
            jit_compile=options.jit_compile or "auto",
        )
        if model.built:
            # Otherwise the first step creates variables, and TensorFlow traces the step twice.
            model.optimizer.build(model.trainable_variables)
        if found is not None:
            _assign(model.variables, start.variables)
            _assign(model.optimizer.variables, start.optimizer)
        devices.different_draws(model)
        if state.epoch:
            advance(state.epoch)
        if log is not None:
            log(epochs_of(state))
        callback = EpochEnd(
            state=state,
            best_weights=start.best_weights,
            running=start.running,
            validation=validation,
            options=options,
            batches=batches,
            checkpoint=checkpoint,
            identity=identity,
            advance=advance,
            log=log,
            what=description,
        )

        def train(epochs: int) -> None:
            done = state.epoch * batches.steps_per_epoch + state.steps
            model.fit(
                devices.divided(batches.open(done), model),
                steps_per_epoch=batches.steps_per_epoch - state.steps,
                initial_epoch=state.epoch,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[callback],
            )

        with reading_errors():
            if state.steps:  # the rest of an interrupted epoch
                train(state.epoch + 1)
            if not state.finished:
                train(options.epochs)
    model.set_weights(callback.best_weights)
    return _result(state, batches)


def _check_reader(state: FitState, batches: Batches, what: str) -> None:
    now = batches.state(state.epoch * batches.steps_per_epoch + state.steps)
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
