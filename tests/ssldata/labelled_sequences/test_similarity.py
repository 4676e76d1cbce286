"""Clusters of similar sequences, against all pairs compared."""

from __future__ import annotations

import numpy as np
import pytest

from ssldata.genomes.onehot import decode, encode, reverse_complement
from ssldata.labelled_sequences import similarity
from ssldata.labelled_sequences.similarity import K, similar_clusters, sketches


def families(seed: int, length: int = 120, count: int = 12, each: int = 4) -> np.ndarray:
    """Families of sequences that differ by substitutions and shifts, on both strands; shuffled."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        ancestor = rng.integers(0, 4, length + 60).astype(np.uint8)
        for _ in range(each):
            at = int(rng.integers(0, 60))
            row = ancestor[at : at + length].copy()
            change = rng.random(length) < rng.choice([0, 0.02, 0.1])
            row[change] = rng.integers(0, 4, int(change.sum()))
            if rng.random() < 0.1:
                row[5:8] = 4
            rows.append(row if rng.random() < 0.5 else reverse_complement(row))
    return np.stack(rows)[rng.permutation(count * each)]


def brute(codes: np.ndarray, share: float) -> list[int]:
    """Compare all pairs by sets of letters, and join."""
    kmers = []
    for row in codes:
        both = (decode(row), decode(reverse_complement(row)))
        found = set()
        for at in range(len(row) - K + 1):
            one = both[0][at : at + K]
            other = both[1][len(row) - K - at : len(row) - at]
            if "N" not in one:
                found.add(min(one, other))
        kmers.append(found)
    root = list(range(len(codes)))
    for a in range(len(codes)):
        for b in range(a):
            union = kmers[a] | kmers[b]
            if union and len(kmers[a] & kmers[b]) > share * len(union):
                low, high = sorted((root[a], root[b]))
                root = [low if r == high else r for r in root]
    return root


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6])
def test_clusters_are_those_of_all_pairs(share: float) -> None:
    for seed in range(3):
        codes = families(seed)
        found = similar_clusters(codes, share).tolist()
        assert found == brute(codes, share)
        assert 1 < len(set(found)) < len(codes)


def test_a_repeat_in_many_sequences_joins_near_copies_and_no_others(monkeypatch) -> None:
    monkeypatch.setattr(similarity, "MANY", 5)
    rng = np.random.default_rng(2)
    family = np.tile(rng.integers(0, 4, 100).astype(np.uint8), (20, 1))
    others = rng.integers(0, 4, (20, 100)).astype(np.uint8)
    others[:, 40:60] = family[0, :20]  # the same 20 bases in all: 5 of 85 k-mers
    found = similar_clusters(np.concatenate([family, others]), 0.2)
    assert (found[:20] == 0).all()
    assert found[20:].tolist() == list(range(20, 40))


def test_clusters_do_not_depend_on_strands_nor_portions(monkeypatch) -> None:
    codes = families(5)
    expected = similar_clusters(codes, 0.2)
    turned = codes.copy()
    turned[::2] = reverse_complement(codes[::2])
    assert (similar_clusters(turned, 0.2) == expected).all()
    monkeypatch.setattr(similarity, "_PORTION", 7)
    assert (similar_clusters(codes, 0.2) == expected).all()


def test_long_sequences_have_a_quarter_of_their_kmers_in_the_sketch() -> None:
    codes = np.random.default_rng(1).integers(0, 4, (40, 600)).astype(np.uint8)
    hashes, owner = sketches(codes)
    assert 0.2 < len(hashes) / (40 * 585) < 0.3
    assert (np.diff(owner) >= 0).all()
    shifted = np.roll(codes, 200, axis=1)
    found = similar_clusters(np.concatenate([codes, shifted]), 0.2)
    assert (found[40:] == found[:40]).all()  # an overlap of two thirds
    assert found[:40].tolist() == list(range(40))


def test_short_and_empty_tables() -> None:
    assert similar_clusters(np.empty((0, 50), np.uint8), 0.2).tolist() == []
    same = np.stack([encode("ACGTACCA"), encode("TGGTACGT"), encode("NNNNNNNN")])
    assert similar_clusters(same, 0.2).tolist() == [0, 0, 2]
