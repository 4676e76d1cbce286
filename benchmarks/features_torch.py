"""Sei's trunk and DNABERT-2's encoder in PyTorch, written from their tables, for features.py.

Runs in an environment of its own: needs torch and NumPy, nothing of crosslabel. Reads weights and
inputs from an .npz file, prints one line of JSON: CPU seconds and a sum of the outputs.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time

import numpy as np
import torch
from torch.nn import functional


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def sei_trunk(weights, one_hot, basis):
    """(n, 4, L) → (n, channels × splines)."""

    def convolve(x, name, dilation=1):
        kernel = weights[f"{name}.weight"]
        padding = dilation * (kernel.shape[2] - 1) // 2
        bias = weights[f"{name}.bias"]
        return functional.conv1d(x, kernel, bias, padding=padding, dilation=dilation)

    def stage(x, linear, rectified):
        straight = convolve(convolve(x, linear[0]), linear[1])
        bent = functional.relu(convolve(straight, rectified[0]))
        return straight, functional.relu(convolve(bent, rectified[1]))

    straight, bent = stage(one_hot, ("lconv1.0", "lconv1.1"), ("conv1.0", "conv1.2"))
    for number in (2, 3):
        straight, bent = stage(
            functional.max_pool1d(straight + bent, 4),
            (f"lconv{number}.2", f"lconv{number}.3"),
            (f"conv{number}.1", f"conv{number}.3"),
        )
    total = bent + functional.relu(convolve(bent + straight, "dconv1.1", 2))
    for number, dilation in ((2, 4), (3, 8), (4, 16), (5, 25)):
        total = total + functional.relu(convolve(total, f"dconv{number}.1", dilation))
    return torch.flatten(total @ basis, 1)


def dnabert2(weights, ids, bias, heads):
    """(n, tokens) → hidden states of the last layer; every id is a token, nothing is padded."""

    def norm(x, name):
        return functional.layer_norm(
            x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12
        )

    def linear(x, name):
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    embedded = weights["bert.embeddings.word_embeddings.weight"][ids]
    embedded = embedded + weights["bert.embeddings.token_type_embeddings.weight"][0]
    x = norm(embedded, "bert.embeddings.LayerNorm")
    rows, tokens, width = x.shape
    number = 0
    while f"bert.encoder.layer.{number}.mlp.wo.weight" in weights:
        layer = f"bert.encoder.layer.{number}"
        parts = linear(x, f"{layer}.attention.self.Wqkv")
        parts = parts.view(rows, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        scores = query @ key.transpose(-1, -2) / math.sqrt(width // heads) + bias
        context = (torch.softmax(scores, -1) @ value).permute(0, 2, 1, 3).reshape(x.shape)
        attended = linear(context, f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        gate, values = linear(x, f"{layer}.mlp.gated_layers").chunk(2, -1)
        x = norm(
            linear(functional.gelu(gate) * values, f"{layer}.mlp.wo") + x, f"{layer}.mlp.layernorm"
        )
        number += 1
    return x


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    arrays = {name: torch.from_numpy(value) for name, value in np.load(given.arrays).items()}
    inputs = arrays.pop("inputs")
    if "basis" in arrays:
        basis = arrays.pop("basis")
        run = lambda rows: sei_trunk(arrays, rows, basis)  # noqa: E731
    else:
        bias = arrays.pop("bias")
        run = lambda rows: dnabert2(arrays, rows, bias, bias.shape[0])  # noqa: E731
    with torch.inference_mode():
        found = run(inputs)  # warm
        seconds = []
        for _ in range(given.rounds):
            start, wall = cpu_seconds(), time.perf_counter()
            found = run(inputs)
            seconds.append((cpu_seconds() - start, time.perf_counter() - wall))
    print(
        json.dumps(
            {
                "cpu_s": min(cpu for cpu, _ in seconds),
                "wall_s": min(wall for _, wall in seconds),
                "sum": float(found.double().abs().mean()),
                "library": f"torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
