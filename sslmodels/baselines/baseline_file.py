"""Baselines by name, and their files: named arrays and settings in one NumPy archive."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError, MissingInputError
from ssldata.base.files import atomic_path
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.baselines.gapped_kmer_svm import GappedKmerSvm
from sslmodels.baselines.kmer_regression import KmerRegression
from sslmodels.baselines.motif_scan import PwmScan


class Baseline(Protocol):
    """What every baseline can do."""

    def score(self, codes: ByteArray) -> NDArray[np.float64]:
        """Return the score of every row of base codes (rows, length), either strand included."""
        ...

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        ...


#: Kind of a baseline → its class.
KINDS: dict[str, Any] = {
    "pwm": PwmScan,
    EmMotif.kind: EmMotif,
    KmerRegression.kind: KmerRegression,
    GappedKmerSvm.kind: GappedKmerSvm,
}

_SETTINGS = "settings"


def save_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline as an ``.npz`` file; equal baselines give equal bytes."""
    arrays, settings = baseline.to_arrays()
    kind = next(name for name, of in KINDS.items() if isinstance(baseline, of))
    text = np.array(json.dumps({"kind": kind, **settings}, sort_keys=True))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_SETTINGS: text}, **arrays)


def load_baseline(path: Path) -> Baseline:
    """Read a baseline; nothing in its file can run.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is damaged, or no baseline.
    """
    try:
        # Opened here, so that it is closed whatever is in it.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        settings = json.loads(str(arrays.pop(_SETTINGS)))
        found: Baseline = KINDS[settings.pop("kind")].from_arrays(arrays, settings)
        found.score(np.zeros((1, 64), np.uint8))
    except FileNotFoundError:
        raise MissingInputError(f"{path}: no such file; run `crosslabel run`") from None
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(zipfile.BadZipFile, RecursionError),
    ) as exc:
        raise InputError(
            f"{path}: not a baseline, or damaged ({exc}); delete its folder and run again"
        ) from exc
    return found
