"""Devices, number types and deterministic kernels of a fit."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.project.training_section import Devices, Precision

if TYPE_CHECKING:
    import keras

FLOAT32: Precision = "float32"


def backend() -> str:
    """Return the Keras backend: ``tensorflow``, ``jax`` or ``torch``."""
    if "keras" in sys.modules:
        return str(sys.modules["keras"].backend.backend())
    # Follow the rules of Keras without importing it, which takes seconds.
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    # Path.expanduser raises for a user without a home folder.
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))  # noqa: PTH111
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def make_deterministic(*, jit_compile: bool = False) -> None:
    """Make equal seeds give equal bits, and leave the accelerators to the backend of Keras.

    With a backend other than TensorFlow, tf.data still reads the rows but must not claim the
    accelerators. With `jit_compile` TensorFlow's deterministic kernels are off, because Keras does
    not compile with them on.

    Raises
    ------
    ConfigError
        TensorFlow already holds the accelerators.
    """
    if backend() != "tensorflow":
        _leave_accelerators()
    if backend() == "torch":
        import torch

        # use_deterministic_algorithms would also load torch's compiler, whose LLVM crashes a
        # process that has TensorFlow's.
        torch.set_deterministic_debug_mode("warn")
    elif backend() == "tensorflow":
        import tensorflow as tf

        if jit_compile:
            # There is no public function to switch it off.
            from tensorflow.python.framework.config import disable_op_determinism

            disable_op_determinism()
        else:
            tf.config.experimental.enable_op_determinism()


def _leave_accelerators() -> None:
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as exc:
        raise ConfigError(
            f"TensorFlow already holds the GPUs that Keras on {backend()} needs: it was used "
            "earlier in this process; train in a new one"
        ) from exc


# -- several devices ---------------------------------------------------------------------------


@contextlib.contextmanager
def on_devices(devices: Devices) -> Iterator[int]:
    """Build and fit the models of the block on one or several devices; yield their number.

    Parameters
    ----------
    devices
        ``one``, ``all`` or a number. GPUs where there are any, else TensorFlow's logical CPUs.

    Raises
    ------
    ConfigError
        There are fewer, or the backend is not TensorFlow.
    """
    names = _names(devices)
    if len(names) < 2:
        yield 1
        return
    with _strategy(names).scope():
        yield len(names)


def _names(devices: Devices) -> tuple[str, ...]:
    if devices in ("one", 1):
        return ()
    if backend() != "tensorflow":
        raise ConfigError(
            f"training.devices: {devices} needs Keras on TensorFlow, found {backend()}; "
            "set devices: one"
        )
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = tuple(device.name for device in tf.config.list_logical_devices(kind))
    wanted = len(names) if devices == "all" else int(devices)
    if wanted > len(names):
        raise ConfigError(
            f"training.devices: {wanted}, but there are {len(names)} ({kind}); "
            "set a smaller number, or all"
        )
    return names[:wanted]


@functools.cache
def _strategy(names: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names)


def strategy_of(model: keras.Model) -> Any:
    """Return the ``MirroredStrategy`` a model was built under; None: it has one device."""
    # Only Keras on TensorFlow has the attribute.
    strategy = getattr(model, "distribute_strategy", None)
    return strategy if getattr(strategy, "num_replicas_in_sync", 1) > 1 else None


def scope_of(model: keras.Model) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a model is compiled and fitted."""
    strategy = strategy_of(model)
    return strategy.scope() if strategy is not None else contextlib.nullcontext()


def divided(dataset: Any, model: keras.Model) -> Any:
    """Return batches for the devices of a model: equal consecutive parts of each global batch.

    Keras averages the loss over the rows of a device and then over devices, which is the mean over
    the batch when all parts are equal. A batch that cannot be divided evenly is padded with rows of
    weight 0, and the other weights are scaled up by the same factor as the number of rows, so that
    the gradients are those of one device with the same batch.

    Parameters
    ----------
    dataset
        Global batches (sequence, label, weight).
    model
        The model to fit; with one device the dataset is returned unchanged.
    """
    strategy = strategy_of(model)
    if strategy is None:
        return dataset
    import tensorflow as tf

    replicas = strategy.num_replicas_in_sync

    def parts(sequence: Any, label: Any, weight: Any) -> Any:
        rows = tf.shape(weight)[0]
        each = -(-rows // replicas)
        place = tf.range(each * replicas)
        columns = [tf.gather(column, place % rows) for column in (sequence, label, weight)]
        scale = tf.cast(each * replicas, weight.dtype) / tf.cast(rows, weight.dtype)
        counts = tf.cast(place < rows, weight.dtype) * scale
        # One weight per row, or per row and output.
        columns[2] *= tf.reshape(counts, [-1] + [1] * (len(weight.shape) - 1))
        return tf.data.Dataset.from_tensors(tuple(columns)).rebatch(tf.cast(each, tf.int64))

    # The strategy hands consecutive elements to its devices in order.
    return strategy.distribute_datasets_from_function(lambda _: dataset.flat_map(parts))


def different_draws(model: keras.Model) -> None:
    """Give every device its own random numbers, derived from those of the first.

    A strategy copies the state of dropout and augmentation, so row i of each part of a batch would
    be treated alike. Called when a fit starts or continues; the first device keeps its state,
    which is what a checkpoint holds.
    """
    strategy = strategy_of(model)
    if strategy is None:
        return
    for variable in model.variables:
        if not variable.path.endswith("seed_generator_state"):
            continue
        copies = _copies(model, variable)
        seed, drawn = copies[0].numpy()
        for number, copy in enumerate(copies):
            copy.assign([seed + number, drawn])


def copies_of(model: keras.Model, variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Return the values of variables on each device of a model, where running metrics differ."""
    import keras

    return [
        np.array(keras.ops.convert_to_numpy(copy))
        for variable in variables
        for copy in _copies(model, variable)
    ]


def assign_copies(
    model: keras.Model, variables: Sequence[Any], values: Sequence[NDArray[Any]]
) -> None:
    """Restore the values returned by :func:`copies_of`."""
    copies = [copy for variable in variables for copy in _copies(model, variable)]
    for copy, value in zip(copies, values, strict=True):
        copy.assign(value)


def _copies(model: keras.Model, variable: Any) -> Sequence[Any]:
    strategy = strategy_of(model)
    if strategy is None:
        return [variable]
    copies: Sequence[Any] = strategy.experimental_local_results(variable.value)
    return copies


# -- precision ---------------------------------------------------------------------------------


@contextlib.contextmanager
def computing_in(model: keras.Model, precision: Precision) -> Iterator[None]:
    """Let a model compute in another precision within the block.

    Weights and probabilities stay float32; after the block, and when saved, so does the rest.
    """
    if precision == FLOAT32:
        yield
        return
    kept = _outputs(model)
    layers = [
        layer
        for layer in model._flatten_layers()
        if layer.dtype_policy.name == FLOAT32 and layer not in kept
    ]
    _set_policy(model, layers, precision)
    try:
        yield
    finally:
        _set_policy(model, layers, FLOAT32)


def _set_policy(model: keras.Model, layers: list[Any], policy: str) -> None:
    for layer in layers:
        layer.dtype_policy = policy
    # Functions traced earlier would keep the old precision.
    model.train_function = model.test_function = model.predict_function = None


def _outputs(model: Any) -> list[Any]:
    """Return the output layers, whose probabilities the loss needs exactly near 0 and 1."""
    model = getattr(model, "inner", model)
    body = getattr(model, "body", model)
    if hasattr(body, "head"):
        return [body.head]
    return [tensor._keras_history.operation for tensor in body.outputs]
