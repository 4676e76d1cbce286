"""Random choices as pure functions of integers.

A draw here never depends on what was drawn before, on the number of threads, or on the release of
a random library: the same key always gives the same value. Used for splits, permutations, row
order and noise.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
#: Numbers ranked at a time where only the first few are wanted.
_PORTION = 262_144


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finish a splitmix64 step (Steele, Lea & Flood 2014): a bijection of 64-bit integers."""
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


def key_of(*parts: int | str) -> np.uint64:
    """Fold integers and strings into one 64-bit key."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return np.uint64(
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    )


def hash_rows(rows: NDArray[np.int64], *key: int | str) -> NDArray[np.uint64]:
    """Return a well-mixed 64-bit value for every integer of `rows` under `key`."""
    base = key_of(*key)
    with np.errstate(over="ignore"):
        return _mix(_mix(rows.astype(np.uint64) * _GAMMA + base) + base)


def uniform_rows(rows: NDArray[np.int64], *key: int | str) -> NDArray[np.float64]:
    """Return a number in the open interval (0, 1) for every integer of `rows` under `key`."""
    return ((hash_rows(rows, *key) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def permutation(n: int, *key: int | str) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)`` that is a pure function of `n` and `key`."""
    # A hash collision (2**-64 per pair) only ties two ranks, and the stable sort breaks the tie.
    return np.argsort(hash_rows(np.arange(n, dtype=np.int64), *key), kind="stable")


def first_of_permutation(n: int, count: int, *key: int | str) -> NDArray[np.int64]:
    """Return ``permutation(n, *key)[:count]``, in memory for `count` numbers instead of `n`."""
    values, best = np.empty(0, np.uint64), np.empty(0, np.int64)
    limit = np.uint64(2**64 - 1)
    for first in range(0, n, _PORTION):
        rows = np.arange(first, min(first + _PORTION, n), dtype=np.int64)
        here = hash_rows(rows, *key)
        values = np.concatenate([values, here[here <= limit]])
        best = np.concatenate([best, rows[here <= limit]])
        if 0 < count < len(values):
            # Only hashes up to the last of those kept can be among the first. Ties with it stay,
            # in ascending order, so the stable sort breaks them as in `permutation`.
            limit = np.partition(values, count - 1)[count - 1]
            values, best = values[values <= limit], best[values <= limit]
    return best[np.argsort(values, kind="stable")[:count]]


def below(n: int, *key: int | str) -> int:
    """Return one integer in ``range(n)``; the bias of the modulus is below n / 2**64."""
    return int(hash_rows(np.zeros(1, np.int64), *key)[0] % np.uint64(n))
