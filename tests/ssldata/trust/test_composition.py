"""Composition is the same for both strands, and its words are counted as by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ssldata.genomes.onehot import encode, reverse_complement
from ssldata.trust.composition import (
    LONGEST,
    canonical_words,
    composition,
    cpg_ratio,
    gc_fraction,
    unknown_fraction,
)

RNG = np.random.default_rng(3)


def rows(count: int = 30, length: int = 60, n: float = 0.05) -> np.ndarray:
    codes = RNG.integers(0, 4, (count, length))
    return np.where(RNG.random(codes.shape) < n, 4, codes).astype(np.uint8)


def test_words_are_counted_as_by_hand() -> None:
    codes = rows()
    text = ["".join("ACGTN"[b] for b in row) for row in codes]
    turn = str.maketrans("ACGT", "TGCA")
    found = composition(codes)
    at = 2
    for k in range(1, LONGEST + 1):
        column, width = canonical_words(k)
        expected = np.zeros((len(codes), width))
        for i, sequence in enumerate(text):
            for start in range(len(sequence) - k + 1):
                word = sequence[start : start + k]
                if "N" in word:
                    continue
                least = min(word, word.translate(turn)[::-1])
                number = sum("ACGT".index(b) * 4 ** (k - 1 - j) for j, b in enumerate(least))
                expected[i, column[number]] += 1
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found[:, at : at + width], expected, atol=1e-12)
        at += width
    assert found.shape[1] == at == 182


def test_both_strands_are_alike() -> None:
    codes = rows()
    np.testing.assert_allclose(composition(codes), composition(reverse_complement(codes)))


@pytest.mark.parametrize(
    ("sequence", "gc", "cpg", "unknown"),
    [("CGCGCGCG", 1.0, 2.0, 0.0), ("AATTNNNN", 0.0, 0.0, 0.5), ("NNNN", 0.0, 0.0, 1.0)],
)
def test_shares_of_known_bases(sequence: str, gc: float, cpg: float, unknown: float) -> None:
    codes = encode(sequence)[None]
    assert gc_fraction(codes)[0] == pytest.approx(gc)
    assert cpg_ratio(codes)[0] == pytest.approx(cpg)
    assert unknown_fraction(codes)[0] == pytest.approx(unknown)
    assert np.isfinite(composition(codes)).all()


def test_no_rows() -> None:
    assert composition(np.empty((0, 50), np.uint8)).shape == (0, 182)
