"""Shared k-mers against all pairs compared by sets of letters; strands, N, repeats and blocks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.genomes.onehot import decode, reverse_complement
from ssldata.trust.shared_kmers import FEW, Similarity, most_similar
from ssldata.trust.window_kernels import K


def kmers_of(window: np.ndarray) -> set[str]:
    here, there = decode(window), decode(reverse_complement(window))
    n = len(here)
    pairs = ((here[i : i + K], there[n - K - i : n - i]) for i in range(n - K + 1))
    return {min(one, other) for one, other in pairs if "N" not in one}


def brute(asked: np.ndarray, others: np.ndarray, many: int) -> tuple[list[int], ...]:
    sets = [kmers_of(window) for window in asked]
    often = Counter(kmer for one in sets for kmer in one)
    rest = [{kmer for kmer in one if often[kmer] <= many} for one in sets]
    there = [kmers_of(window) for window in others]
    shared = [[len(one & other) for other in there] for one in rest]
    best = [max(one, default=0) for one in shared]
    row = [one.index(most) if most else -1 for one, most in zip(shared, best, strict=True)]
    repeats = [len(one) - len(left) for one, left in zip(sets, rest, strict=True)]
    return [len(left) for left in rest], repeats, best, row


def families(rng: np.random.Generator, count: int, length: int) -> np.ndarray:
    """Windows of a few ancestors, shifted, changed, turned, with N, and some of two letters."""
    ancestors = rng.integers(0, 4, (3, 2 * length)).astype(np.uint8)
    rows = np.empty((count, length), np.uint8)
    for row in rows:
        at = int(rng.integers(0, length))
        row[:] = ancestors[rng.integers(0, 3), at : at + length]
        if rng.random() < 0.2:
            row[:] = np.resize(rng.integers(0, 4, int(rng.integers(1, 4))), length)
        change = rng.random(length) < rng.choice([0, 0.02, 0.1])
        row[change] = rng.integers(0, 5, int(change.sum()))
        if rng.random() < 0.5:
            row[:] = reverse_complement(row)
    return rows


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    length=st.integers(K - 1, 60),
    many=st.integers(1, 4),
    block=st.integers(1, 400),
)
def test_equals_all_pairs(
    seed: int, sizes: tuple[int, int], length: int, many: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    both = families(rng, sum(sizes), length)
    asked, others = both[: sizes[0]], both[sizes[0] :]
    halves = {"all": lambda: [others[:3], others[3:]], "none": list}
    found = most_similar(asked, halves, many=many, entries=block)
    kmers, repeats, best, row = brute(asked, others, many)
    one = found["all"]
    assert one.kmers.tolist() == found["none"].kmers.tolist() == kmers
    assert one.repeats.tolist() == repeats
    assert one.best.tolist() == best
    assert one.row.tolist() == row
    assert not found["none"].best.any()


def test_copies_are_found_on_both_strands_and_n_matches_nothing() -> None:
    rng = np.random.default_rng(3)
    window = rng.integers(0, 4, (1, 200)).astype(np.uint8)
    masked = np.full((1, 200), 4, np.uint8)
    changed = window.copy()
    changed[0, 100] = (changed[0, 100] + 1) % 4
    others = {
        "same": window,
        "turned": reverse_complement(window),
        "one base": changed,
        "masked": masked,
        "unrelated": rng.integers(0, 4, (50, 200)).astype(np.uint8),
    }
    found = most_similar(window, {k: (lambda v=v: [v]) for k, v in others.items()})
    assert found["same"].share.tolist() == found["turned"].share.tolist() == [1.0]
    assert found["one base"].best.tolist() == [185 - K]
    assert found["masked"].best.tolist() == [0]
    assert found["unrelated"].share[0] < 0.05
    none = most_similar(masked, {"masked": lambda: [masked]})["masked"]
    assert np.isnan(none.share).all()
    assert not none.measured.any()


@pytest.mark.parametrize(("kmers", "measured"), [(FEW - 1, False), (FEW, True)])
def test_few_kmers_are_not_measured(kmers: int, measured: bool) -> None:
    one = np.array([kmers], np.int32)
    found = Similarity(one, np.zeros(1, np.int32), one, np.zeros(1, np.int64))
    assert found.measured.tolist() == [measured]
    assert found.share.tolist() == [1.0] if measured else np.isnan(found.share).all()
