"""Feature stores made of arrays, and synthetic profiles with a planted sparse rule."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import key_of
from ssldata.store.feature_store import FeatureColumns, FeatureLayout, FeatureWriter


def write_features(
    path: Path,
    values: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    dtype="float32",
    **coordinates: np.ndarray,
) -> Path:
    """Write a feature store of an array (rows, columns)."""
    columns = FeatureColumns(
        names=names or [f"f{number}" for number in range(values.shape[1])], long_name="test"
    )
    layout = FeatureLayout(rows=len(values), columns=columns, dtype=dtype)
    writer = FeatureWriter(path, layout, {"made": "by a test"})
    writer.begin()
    for number, (first, last) in enumerate(layout.blocks):
        writer.write(number, values[first:last])
    writer.finish(coordinates)
    return path


@dataclass(frozen=True)
class Planted:
    """Profiles of which a few decide the label."""

    values: np.ndarray
    labels: np.ndarray
    truth: np.ndarray


def planted(rows: int, columns: int, *, chosen: int = 10, seed: int = 0) -> Planted:
    """Return profiles between 0 and 1, as a sigmoid gives, with correlated neighbours."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(rows, columns)).astype(np.float32)
    latent[:, 1::2] += 0.5 * latent[:, : columns // 2 * 2 : 2]
    values = 1 / (1 + np.exp(2 - latent))
    truth = np.sort(rng.choice(columns, chosen, replace=False))
    z = (values[:, truth] - values[:, truth].mean(0)) / values[:, truth].std(0)
    score = z @ rng.choice([-1.5, 1.5], chosen) - 1
    labels = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int8)
    return Planted(values.astype(np.float32), labels, truth)


def recovered(found: Sequence[int], truth: np.ndarray) -> tuple[float, float]:
    """Return precision and recall of chosen columns."""
    hits = len(set(found) & set(truth.tolist()))
    return hits / max(len(found), 1), hits / len(truth)


def write_large_planted(path: str, rows: int, columns: int) -> list[int]:
    """Write a planted store block by block, in memory for one block; return the truth."""
    rng = np.random.default_rng(0)
    truth = np.sort(rng.choice(columns, 10, replace=False))
    signs = rng.choice([-1.5, 1.5], 10)
    layout = FeatureLayout(
        rows=rows,
        columns=FeatureColumns(names=[f"f{n}" for n in range(columns)], long_name="test"),
    )
    writer = FeatureWriter(Path(path), layout, {"made": "by a test"})
    writer.begin()
    labels = []

    def blocks() -> Iterator[np.ndarray]:
        for number, (first, last) in enumerate(layout.blocks):
            draw = np.random.default_rng(int(key_of("planted", number)))
            yield draw.normal(size=(last - first, columns)).astype(np.float32)

    for number, block in enumerate(blocks()):
        score = block[:, truth] @ signs - 1
        draw = np.random.default_rng(int(key_of("labels", number)))
        labels.append(draw.random(len(block)) < 1 / (1 + np.exp(-score)))
        writer.write(number, 1 / (1 + np.exp(2 - block)))
    writer.finish({"label": np.concatenate(labels).astype(np.int8)})
    return truth.tolist()


def fit_in_own_process(features: str, out: str, memory: int, models: Sequence[str]) -> None:
    """Fit, and print the largest size of the process and the columns that L1 uses, as JSON.

    Of a limit of memory that is refused the message is printed.
    """
    from sslmodels.transfer import fit_transfer
    from sslmodels.transfer.memory_limit import peak_bytes

    free = []
    allowed = fit_transfer.free_memory
    fit_transfer.free_memory = lambda *given: free.append(allowed(*given)) or free[-1]
    request = fit_transfer.TransferRequest(
        features=Path(features), out=Path(out), models=models, memory=memory, resamples=5
    )
    try:
        record = fit_transfer.fit_transfer(request)
    except ConfigError as exc:
        print(json.dumps({"refused": str(exc), "peak": peak_bytes()}))
        return
    with np.load(Path(out) / "l1.npz") as file:
        used = np.flatnonzero(file["coefficients"]).tolist()
    found = {"peak": peak_bytes(), "free": free[0], "used": used, "models": record["models"]}
    print(json.dumps(found))


if __name__ == "__main__":
    fit_in_own_process(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(","))
