"""What a fit is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.project.training_section import Precision

Monitor = Literal["val_loss", "val_aupr"]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How one fit is done (see ``training`` of the project file).

    Attributes
    ----------
    checkpoint_seconds
        Least time between two checkpoints at the end of epochs; 0: every epoch. Checkpoints never
        change the result.
    within_seconds
        Time without a checkpoint after which one is written within an epoch.
    precision
        What the layers compute in; see :func:`sslmodels.fit.devices.computing_in`.
    jit_compile
        Compile steps with XLA. Keras on JAX always does.
    """

    learning_rate: float = 1e-3
    epochs: int = 100
    patience: int = 8
    plateau_patience: int = 0
    monitor: Monitor = "val_loss"
    checkpoint_seconds: float = 5.0
    within_seconds: float = 300.0
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
