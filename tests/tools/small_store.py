"""A store of random rows with tiny chunks, written by the real writer: many chunks, few bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssldata.store import store_writer
from ssldata.store.store import Store, open_store

LENGTH = 24
CHUNK = 8
SETTINGS: dict[str, Any] = {
    "name": "small",
    "reference": {"name": "ref1", "digest": "d"},
    "peaks": {},
    "windows": {"size": LENGTH, "min_overlap": 0.5, "mode": "rebin", "n_policy": "keep"},
    "split": {"test": [], "validation": []},
    "negatives": {"source": "reference"},
    "liftover": {"mode": "blocks"},
    "seed": 0,
    "codes": True,
}


def edit_root(path: Path, edit: Callable[[dict[str, Any]], None], *, sealed: bool = True) -> None:
    """Edit the root of a store; `sealed`: with its checksum made again, as a stranger would."""
    root = json.loads((path / "zarr.json").read_bytes())
    edit(root)
    if sealed:
        ours = root["attributes"]["crosslabel"]
        ours.pop("checksum", None)
        text = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        ours["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "zarr.json").write_text(json.dumps(root))


def write_store(
    path: Path,
    *,
    rows: dict[str, tuple[int, int, int, int]],
    codes: bool = True,
    length: int = LENGTH,
    chunk: int = CHUNK,
    experiments: int = 1,
    contig_names: tuple[str, ...] = ("chrI", "chrII"),
    seed: int = 0,
) -> Store:
    """Write a store; `rows` gives positives, negatives, validation and test rows of each group."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "CHUNK_BYTES", 4 * length * chunk)
        writer = store_writer.StoreWriter(path)
        names = [f"tf{i}" for i in range(experiments)]
        writer.create({**SETTINGS, "experiments": names, "seed": seed})
        for number, (name, counts) in enumerate(rows.items()):
            rng = np.random.default_rng([seed, number])
            borders = np.cumsum([0, *counts]).tolist()
            ranges = {
                part: [borders[i], borders[i + 1]]
                for i, part in enumerate(("positive", "negative", "validation", "test"))
            }
            count = borders[-1]
            label = (rng.random((count, experiments)) < 0.3).astype(np.uint8)
            label[: counts[0], 0] = 1
            label[counts[0] : counts[0] + counts[1]] = 0
            columns = {
                "contig": rng.integers(0, len(contig_names), count).astype(np.int32),
                "start": np.arange(count) * length,
                "end": np.arange(1, count + 1) * length,
                "strand": rng.choice([-1, 1], count).astype(np.int8),
                "label": label,
                "coverage": label.astype(np.int32) * length,
                "weight": np.ones(count, np.float32),
                "split": np.repeat([0, 0, 1, 2], counts).astype(np.int8),
                "source": np.arange(count),
                "locus": np.where(np.arange(count) < counts[0], np.arange(count) // 2, -1),
            }
            writer.begin(name, "d")
            writer.write_arrays(
                name,
                columns,
                dims={k: ("row", "experiment")[: v.ndim] for k, v in columns.items()},
                attributes={"ranges": ranges, "contigs": list(contig_names)},
            )
            writer.create_sequences(name, rows=count, length=length, codes=codes)
            shard = store_writer.chunk_rows(length) * store_writer.CHUNKS_PER_SHARD
            for first in range(0, count, shard):
                size = min(shard, count - first)
                bases = rng.integers(0, 4, (size, length)).astype(np.uint8)
                bases[rng.random((size, length)) < 0.05] = 4
                bases[0] = 4  # a row of nothing but N
                store_writer.write_shard(path, name, first // shard, bases)
            entry = {"status": "complete", "digest": "d", "content": f"{seed} {name} {count}"}
            writer.set_entry(name, {**entry, "rows": count, "ranges": ranges, "counts": {}})
    return open_store(path)
