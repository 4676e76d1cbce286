"""Helpers of the Sei tests: weights by formula, and an independent forward pass in NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.interpolate import splev

from sslmodels.sei.sei_tensors import SeiSizes

TINY = SeiSizes(channels=(6, 8, 12), splines=5)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def _mixed(name: str, count: int) -> np.ndarray:
    z = (np.arange(count, dtype=np.uint64) + _hash(name)).astype(np.uint32)
    z ^= z >> np.uint32(16)
    z *= np.uint32(0x7FEB352D)
    z ^= z >> np.uint32(15)
    z *= np.uint32(0x846CA68B)
    z ^= z >> np.uint32(16)
    return z / 2.0**31 - 1


def _sine(name: str, count: int) -> np.ndarray:
    return np.sin(0.7 * np.arange(count) + (_hash(name) % 1000) / 100)


_WAVES = {"mix": _mixed, "sine": _sine}
_GAINS = {
    "mix": {"classifier.0.weight": 0.05, "classifier.2.weight": 1.0, "": 1.73},
    "sine": {"classifier.0.weight": 40.0, "classifier.2.weight": 10.0, "": 4.0},
}


def formula(name: str, shape: tuple[int, ...], kind: str = "mix") -> np.ndarray:
    """Weights of the goldens, float32."""
    count = int(np.prod(shape))
    wave = _WAVES[kind](name, count)
    if len(shape) < 2:
        return (0.02 * wave).astype(np.float32)
    gain = _GAINS[kind].get(name, _GAINS[kind][""])
    return (gain / np.sqrt(count / shape[0]) * wave).astype(np.float32).reshape(shape)


def weights_of(shapes: Mapping[str, tuple[int, ...]], kind: str = "mix") -> dict[str, np.ndarray]:
    return {name: formula(name, shape, kind) for name, shape in shapes.items()}


def basis(length: int, columns: int) -> np.ndarray:
    """The definition: one spline after the other."""
    x = np.arange(length, dtype=float)
    inner = np.percentile(x, 100 * np.linspace(0, 1, columns - 2)[1:-1])
    knots = np.sort(np.r_[[0.0] * 4, inner, [length - 1.0] * 4])
    return np.stack([splev(x, (knots, np.eye(columns)[i], 3)) for i in range(columns)], axis=1)


def _convolve(x: np.ndarray, weights: Mapping[str, Any], name: str, dilation: int = 1) -> Any:
    """(channels, positions), zero-padded to the same length; sums by definition."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    width = kernel.shape[2]
    reach = dilation * (width - 1) // 2
    padded = np.pad(x, ((0, 0), (reach, reach)))
    total = np.repeat(bias[:, None], x.shape[1], 1)
    for k in range(width):
        total = total + kernel[:, :, k] @ padded[:, k * dilation : k * dilation + x.shape[1]]
    return total


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _pool(x: np.ndarray) -> np.ndarray:
    count = x.shape[1] // 4
    return x[:, : 4 * count].reshape(len(x), count, 4).max(2)


def reference(
    weights: Mapping[str, np.ndarray], one_hot: np.ndarray, *, splines: int = 16
) -> dict[str, np.ndarray]:
    """Sei in float64 for one sequence (4, L), from the table of its layers."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    l1 = _convolve(_convolve(one_hot, w, "lconv1.0"), w, "lconv1.1")
    o1 = _relu(_convolve(_relu(_convolve(l1, w, "conv1.0")), w, "conv1.2"))
    l2 = _convolve(_convolve(_pool(o1 + l1), w, "lconv2.2"), w, "lconv2.3")
    o2 = _relu(_convolve(_relu(_convolve(l2, w, "conv2.1")), w, "conv2.3"))
    l3 = _convolve(_convolve(_pool(o2 + l2), w, "lconv3.2"), w, "lconv3.3")
    o3 = _relu(_convolve(_relu(_convolve(l3, w, "conv3.1")), w, "conv3.3"))
    first = o3 + l3
    sums = o3 + _relu(_convolve(first, w, "dconv1.1", 2))
    for number, dilation in ((2, 4), (3, 8), (4, 16), (5, 25)):
        sums = sums + _relu(_convolve(sums, w, f"dconv{number}.1", dilation))
    spline = sums @ basis(sums.shape[1], splines)
    found = {"dilated_input": first, "trunk_output": sums, "spline": spline}
    features = spline.reshape(-1)
    if "classifier.0.weight" in w:
        hidden = _relu(w["classifier.0.weight"] @ features + w["classifier.0.bias"])
        logits = w["classifier.2.weight"] @ hidden + w["classifier.2.bias"]
    elif "loraw11.weight" in w:
        hidden = _relu(w["loraw12.weight"] @ (w["loraw11.weight"] @ features) + w["loraw12.bias"])
        logits = w["loraw22.weight"] @ (w["loraw21.weight"] @ hidden) + w["loraw22.bias"]
    else:
        return found
    return {**found, "logits": logits, "output": 1 / (1 + np.exp(-logits))}


def quarters(codes: np.ndarray) -> np.ndarray:
    """One-hot (4, L) of codes, with N a quarter of each."""
    return np.where(codes == 4, 0.25, (codes == np.arange(4)[:, None]).astype(float))
