"""Keyed random numbers: uniform, reproducible for ever, different for different keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base.keyed_random import (
    below,
    first_of_permutation,
    hash_rows,
    permutation,
    uniform_rows,
)


@given(st.integers(0, 3000), st.integers(0, 2**31))
def test_permutation_has_every_number_once(n: int, seed: int) -> None:
    order = permutation(n, "test", seed)
    assert sorted(order.tolist()) == list(range(n))


@pytest.mark.parametrize("count", [0, 1, 150, 999, 1000, 2000])
def test_the_first_of_a_permutation(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("ssldata.base.keyed_random._PORTION", 64)
    # Numbers that collide keep their order.
    hashes = hash_rows(np.arange(1000), "x")
    monkeypatch.setattr(
        "ssldata.base.keyed_random.hash_rows", lambda rows, *key: hashes[rows] >> 60
    )
    assert (
        first_of_permutation(1000, count, "x").tolist() == permutation(1000, "x")[:count].tolist()
    )


def test_hashes_never_change() -> None:
    # Stores, orders and noise depend on these for ever: a change here is a new format.
    assert hash_rows(np.arange(3), "rows", 0, "reference").tolist() == HASHES
    assert permutation(8, "rows", 7).tolist() == PERMUTATION
    assert below(1000, "draw", "reference", 1) == BELOW


HASHES = [9198032845207337726, 3085183020770352061, 237083721575087159]
PERMUTATION = [1, 7, 6, 0, 3, 4, 5, 2]
BELOW = 734


def test_keys_of_different_types_or_order_differ() -> None:
    rows = np.arange(4)
    seen = {
        tuple(hash_rows(rows, *key).tolist())
        for key in [("a", 1), ("a", "1"), (1, "a"), ("a1",), ("a", 1, 0)]
    }
    assert len(seen) == 5


def test_uniform_rows_are_uniform() -> None:
    values = uniform_rows(np.arange(200_000), "uniform", 3)
    assert values.min() > 0
    assert values.max() < 1
    counts = np.bincount((values * 20).astype(int), minlength=20)
    # Chi-square with 19 degrees of freedom: 43.8 is the 0.999 quantile.
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 43.8
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
