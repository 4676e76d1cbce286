"""How fast features of frozen models are computed: ours in Keras against PyTorch.

The trunk of Sei at full width and DNABERT-2's encoder, random weights, the same inputs for both,
one thread each, in processes of their own. Rates are of CPU time, the best of some rounds after one
that is not counted. PyTorch lies in an environment of its own::

    python -m venv PEERS && PEERS/bin/pip install torch numpy
    python benchmarks/features.py --peer-python PEERS/bin/python --out features.csv
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from ssldata.base.files import write_text_atomic

PEER = Path(__file__).with_name("features_torch.py")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(run: Callable[[], Any], rounds: int) -> dict[str, Any]:
    found, seconds = run(), []
    for _ in range(rounds):
        start, wall = cpu_seconds(), time.perf_counter()
        found = run()
        seconds.append((cpu_seconds() - start, time.perf_counter() - wall))
    return {
        "cpu_s": min(cpu for cpu, _ in seconds),
        "wall_s": min(wall for _, wall in seconds),
        "sum": float(np.abs(np.asarray(found, np.float64)).mean()),
    }


def of_peer(peer: str | None, arrays: dict[str, np.ndarray], rounds: int) -> dict[str, Any] | None:
    """Return what PyTorch took, None without it."""
    if peer is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)
        done = subprocess.run(
            [peer, str(PEER), str(path), "--rounds", str(rounds)], capture_output=True, text=True
        )
    if done.returncode:
        print(f"no PyTorch in {peer}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def sei(
    length: int, batch: int, rounds: int, peer: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    import keras

    from sslmodels.layers.spline_layer import spline_basis
    from sslmodels.sei.sei_network import assign_tensors, sei_network
    from sslmodels.sei.sei_tensors import SeiSizes

    rng = np.random.default_rng(0)
    weights = {
        name: (rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))).astype("f4")
        for name, shape in SeiSizes().trunk().items()
    }
    network = sei_network(length)
    assign_tensors(network, weights)
    one_hot = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (batch, length))]
    rows = keras.ops.convert_to_tensor(one_hot)
    ours = timed(lambda: network.predict_on_batch(rows), rounds)
    arrays = {
        **weights,
        "inputs": np.ascontiguousarray(one_hot.transpose(0, 2, 1)),
        "basis": spline_basis(length // 16, 16).astype(np.float32),
    }
    return ours, of_peer(peer, arrays, rounds)


def dnabert2(
    tokens: int, batch: int, rounds: int, peer: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    from sslmodels.dnabert2.bert_config import DnabertConfig, alibi_slopes
    from sslmodels.dnabert2.bert_model import DnabertBackbone
    from sslmodels.dnabert2.bert_weights import checkpoint_tensors

    model = DnabertBackbone(DnabertConfig(), seed=0)
    ids = np.random.default_rng(0).integers(5, 4096, (batch, tokens)).astype(np.int32)
    ours = timed(lambda: model.predict_on_batch(ids), rounds)
    place = np.arange(tokens)
    slopes = np.asarray(alibi_slopes(model.config.num_attention_heads), np.float32)
    bias = -slopes[:, None, None] * np.abs(place[:, None] - place)
    arrays = {
        **checkpoint_tensors(model),
        "inputs": ids.astype(np.int64),
        "bias": bias.astype(np.float32),
    }
    return ours, of_peer(peer, arrays, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="Python of an environment with PyTorch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("features.csv"))
    parser.add_argument("--only", choices=("sei", "dnabert2"))
    given = parser.parse_args()
    from sslmodels.fit.threads import limit_threads

    limit_threads(1)
    if given.peer_python is None:
        print("no --peer-python: PyTorch is not measured", file=sys.stderr)
    cases = [
        ("sei trunk, 600 b", "sei", sei, 600, 4),
        ("sei trunk, 4096 b", "sei", sei, 4096, 1),
        ("dnabert2 encoder, 128 tokens", "dnabert2", dnabert2, 128, 8),
    ]
    rows = []
    for what, kind, measure, length, batch in cases:
        if given.only not in (None, kind):
            continue
        ours, theirs = measure(length, batch, given.rounds, given.peer_python)
        row = {
            "what": what,
            "sequences": batch,
            "ours_cpu_s": round(ours["cpu_s"], 3),
            "ours_per_cpu_s": round(batch / ours["cpu_s"], 3),
        }
        if theirs is not None:
            difference = abs(ours["sum"] - theirs["sum"]) / theirs["sum"]
            if difference > 1e-4:
                raise SystemExit(f"{what}: other numbers than PyTorch ({difference:.1e})")
            row |= {
                "torch_cpu_s": round(theirs["cpu_s"], 3),
                "torch_per_cpu_s": round(batch / theirs["cpu_s"], 3),
                "ratio": round(theirs["cpu_s"] / ours["cpu_s"], 2),
                "library": theirs["library"],
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
        write_text_atomic(given.out, pd.DataFrame(rows).to_csv(index=False))


if __name__ == "__main__":
    main()
