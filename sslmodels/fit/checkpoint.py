"""Checkpoint of a fit: one file, written atomically, from which a killed run continues exactly."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssldata.base.files import atomic_path

_LOG = logging.getLogger(__name__)

Array = NDArray[Any]

#: Names of the arrays in a file, in the order of :class:`Checkpoint`.
_PREFIXES = ("variable.", "optimizer.", "best.", "running.")


@dataclass(kw_only=True)
class FitState:
    """Progress of a fit.

    Attributes
    ----------
    epoch
        Finished epochs.
    steps, epoch_s
        Steps done in the current epoch, and the seconds they took.
    history
        One record per epoch.
    best_epoch, best_value
        Epoch (1-based; 0: none yet) and value of the best monitored score so far.
    wait, plateau_wait
        Epochs since the best one, and since the last gain or cut of the learning rate.
    finished
        The fit is over: its result is the best weights, with the dropout seeds of the variables.
    wall_s, cpu_s
        Seconds spent in all attempts.
    speeds
        Training rows per second of every epoch.
    reader
        Position of the reader; see :meth:`ssldata.reading.reader.TrainingReader.state`.
    """

    epoch: int = 0
    steps: int = 0
    epoch_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = float("nan")
    wait: int = 0
    plateau_wait: int = 0
    finished: bool = False
    wall_s: float = 0.0
    cpu_s: float = 0.0
    speeds: list[float] = field(default_factory=list)
    reader: dict[str, int] = field(default_factory=dict)


class Checkpoint(NamedTuple):
    """What a checkpoint file holds; see :func:`write_checkpoint`."""

    state: FitState
    variables: list[Array]
    optimizer: list[Array]
    best_weights: list[Array]
    running: list[Array]


def _pack(arrays: Sequence[Array], prefix: str) -> dict[str, Array]:
    return {f"{prefix}{number}": array for number, array in enumerate(arrays)}


def _unpack(bundle: Any, prefix: str) -> list[Array]:
    count = sum(name.startswith(prefix) for name in bundle.files)
    return [bundle[f"{prefix}{number}"] for number in range(count)]


def write_checkpoint(
    path: Path,
    *,
    identity: str,
    state: FitState,
    variables: Sequence[Array],
    optimizer: Sequence[Array],
    best_weights: Sequence[Array],
    running: Sequence[Array] = (),
) -> None:
    """Write a checkpoint atomically.

    Parameters
    ----------
    path
        The file (``.npz``).
    identity
        Identity of the fit; a checkpoint of another fit is never resumed.
    state
        Early stopping, history, times.
    variables
        All variables of the model, dropout seeds included.
    optimizer
        All variables of the optimiser, the learning rate included.
    best_weights
        Weights of the best epoch; empty before the first.
    running
        Within an epoch: Keras' running metrics.
    """
    parts = (variables, optimizer, best_weights, running)
    # Damage in the list of members can hide the last ones of a part.
    counts = [len(arrays) for arrays in parts]
    header = json.dumps({"identity": identity, "state": vars(state), "arrays": counts})
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        bundle: dict[str, Any] = {
            "header": np.frombuffer(header.encode(), np.uint8),
        }
        for prefix, arrays in zip(_PREFIXES, parts, strict=True):
            bundle |= _pack(arrays, prefix)
        np.savez(handle, **bundle)


def read_checkpoint(path: Path, *, identity: str) -> Checkpoint | None:
    """Return the checkpoint of a fit; None: nothing to resume.

    A file of another `identity` or of an earlier release is ignored, a damaged one with a warning:
    the fit starts from the beginning and overwrites it.
    """
    try:
        # NumPy leaves a damaged file open, hence our own handle.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as bundle:
            header = json.loads(bundle["header"].tobytes())
            if header["identity"] != identity or set(vars(FitState())) - set(header["state"]):
                return None
            parts = [_unpack(bundle, prefix) for prefix in _PREFIXES]
            counts = [len(arrays) for arrays in parts]
            if counts != header.get("arrays", counts) or 1 + sum(counts) != len(bundle.files):
                raise ValueError("arrays are missing")
            return Checkpoint(
                FitState(**{name: header["state"][name] for name in vars(FitState())}), *parts
            )
    except FileNotFoundError:
        return None
    # For damaged bytes numpy, zipfile and json raise errors of many kinds, EOFError among them.
    except Exception as exc:
        _LOG.warning(
            "%s: a damaged checkpoint (%s: %s) is discarded; this fit starts from its beginning",
            path,
            type(exc).__name__,
            exc,
        )
        return None
