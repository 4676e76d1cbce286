"""Duplicates on either strand, within and across splits, against a loop over pairs."""

from __future__ import annotations

import numpy as np

from ssldata.genomes.onehot import encode, reverse_complement
from ssldata.labelled_sequences.duplicates import (
    conflicting,
    duplicate_counts,
    duplicate_groups,
    not_repeated,
)
from ssldata.rows.splits import TEST, TRAIN, VALIDATION


def codes_of(*letters: str) -> np.ndarray:
    return np.stack([encode(one) for one in letters])


def some(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Short sequences, of which many are equal."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (60, 3)).astype(np.uint8)
    return codes, rng.integers(0, 3, 60).astype(np.int8), rng.integers(0, 2, (60, 1)).astype("u1")


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a == b).all() or (a == reverse_complement(b)).all())


def test_groups_are_those_of_all_pairs() -> None:
    for seed in range(5):
        codes, _, labels = some(seed)
        group = duplicate_groups(codes)
        first = [next(j for j in range(i + 1) if equal(codes[i], codes[j])) for i in range(60)]
        assert group.tolist() == first
        wrong = [
            any(equal(codes[i], codes[j]) and labels[i] != labels[j] for j in range(60))
            for i in range(60)
        ]
        assert conflicting(group, labels).tolist() == wrong


def test_what_stays_is_in_one_split_and_once_in_training() -> None:
    for seed in range(5):
        codes, split, _ = some(seed)
        group = duplicate_groups(codes)
        stays = not_repeated(group, split)
        assert stays[split == TEST].all()
        kept = np.flatnonzero(stays)
        for number in np.unique(group):
            here = [i for i in kept if group[i] == number]
            splits = {int(split[i]) for i in here}
            assert len(splits) == 1  # something stays, in one split
            if splits == {TRAIN}:
                assert len(here) == 1
                assert here[0] == min(i for i in range(60) if group[i] == number)
            if splits == {VALIDATION}:
                assert not any(split[i] == TEST for i in range(60) if group[i] == number)


def test_counts() -> None:
    codes = codes_of("AACC", "AACC", "GGTT", "ACGT", "TTTT", "AAAA")
    group = duplicate_groups(codes)
    assert group.tolist() == [0, 0, 0, 3, 4, 4]
    split = np.array([TRAIN, TRAIN, TEST, TRAIN, TEST, TEST], np.int8)
    assert duplicate_counts(codes, group, split) == {
        "duplicates": 1,
        "reverse_complements": 2,
        "across_splits": 1,
    }
    assert not_repeated(group, split).tolist() == [False, False, True, True, True, True]
