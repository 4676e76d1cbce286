"""Options, data and result of a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.project.training_section import Monitor, Precision


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Options of one fit (see ``training`` of the project file).

    Attributes
    ----------
    checkpoint_seconds
        Minimum time between checkpoints at the end of epochs; 0: every epoch. Checkpoints never
        change the result.
    within_seconds
        Time without a checkpoint after which one is written within an epoch.
    precision
        Number type of the layers; see :func:`sslmodels.fit.devices.computing_in`.
    jit_compile
        Compile steps with XLA, as Keras on JAX always does.
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
        Step → position of the reader, a few integers. The checkpoint records it, and a fit
        continues only when the reader is at the same position.
    rows_per_epoch
        For the logged speed; 0: unknown.
    """

    open: Callable[[int], Any]
    steps_per_epoch: int
    state: Callable[[int], dict[str, int]] = field(default=lambda step: {"step": step})
    rows_per_epoch: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Validation rows: base codes uint8 (n, L) and labels float32 (n, outputs).

    `known`: bool (n, outputs), the labels that count; None: all.
    """

    codes: NDArray[np.uint8]
    labels: NDArray[np.float32]
    known: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """Result of a fit.

    `history` has one record per epoch: epoch (1-based), loss, val_loss, val_aupr, learning_rate.
    """

    history: list[dict[str, float]]
    epochs: int
    best_epoch: int
    best_value: float
    steps: int
    wall_s: float
    cpu_s: float
