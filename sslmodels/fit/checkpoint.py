"""The state of one fit in one file, written whole: what makes a killed run continue exactly."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.files import atomic_path

Array = NDArray[Any]


@dataclass(kw_only=True)
class FitState:
    """Where a fit stands.

    Attributes
    ----------
    epoch
        Epochs done.
    steps, epoch_s
        Steps done in the epoch after these, and the seconds they took.
    history
        One record per epoch.
    best_epoch, best_value
        Epoch (1-based, 0: none yet) and value of the best monitor so far.
    wait, plateau_wait
        Epochs since the best one, and since the last gain or cut of the learning rate.
    finished
        The fit is over: the model has `best_weights`, and of the variables the dropout seeds.
    wall_s, cpu_s
        Seconds spent, all attempts together.
    speeds
        Rows per second in the training steps of every epoch.
    reader
        Where the reader is; see :meth:`ssldata.reading.reader.TrainingReader.state`.
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
    """Write a checkpoint whole or not at all.

    Parameters
    ----------
    path
        The file (``.npz``).
    identity
        What is being fitted; a checkpoint of something else is never resumed.
    state
        Early stopping, history, clocks.
    variables
        All variables of the model, dropout seeds included.
    optimizer
        All variables of the optimiser, the learning rate included.
    best_weights
        Weights of the best epoch; empty before there is one.
    running
        Within an epoch: the sums its loss is computed from.
    """
    header = json.dumps({"identity": identity, "state": vars(state)})
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        # numpy types only arrays of one kind here, hence the Any.
        bundle: dict[str, Any] = {
            "header": np.frombuffer(header.encode(), np.uint8),
            **_pack(variables, "variable."),
            **_pack(optimizer, "optimizer."),
            **_pack(best_weights, "best."),
            **_pack(running, "running."),
        }
        np.savez(handle, **bundle)


def read_checkpoint(
    path: Path, *, identity: str
) -> tuple[FitState, list[Array], list[Array], list[Array], list[Array]] | None:
    """Return (state, variables, optimizer, best weights, running sums); None: nothing to resume.

    A file that cannot be read, of another `identity` or of an earlier release is nothing to
    resume: the fit starts anew and overwrites it.
    """
    try:
        # numpy leaves the file open when it is damaged, hence the handle of our own.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as bundle:
            header = json.loads(bundle["header"].tobytes())
            if header["identity"] != identity:
                return None
            return (
                FitState(**{name: header["state"][name] for name in vars(FitState())}),
                _unpack(bundle, "variable."),
                _unpack(bundle, "optimizer."),
                _unpack(bundle, "best."),
                _unpack(bundle, "running."),
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
