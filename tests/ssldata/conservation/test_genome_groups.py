"""Groups of genomes by identity."""

from __future__ import annotations

import numpy as np
import pytest

from ssldata.conservation.genome_groups import genome_groups, identity_counts


def grouped(**identity: int) -> list[list[str]]:
    """Group genomes that have so many identical of 1,000 aligned bases."""
    counts = np.array([(same, 1000) for same in identity.values()], np.int64).reshape(-1, 2)
    groups = genome_groups(list(identity), counts)
    for group in groups:
        names = list(identity)
        assert [names[number] for number in group.numbers] == list(group.names)
        assert list(group.identity) == [identity[name] / 1000 for name in group.names]
    return [list(group.names) for group in groups]


def test_a_fall_begins_a_group() -> None:
    assert grouped(far=800, near=880, nearer=890, nearest=905) == [
        ["nearest", "nearer", "near"],
        ["far"],
    ]
    assert grouped(a=900, b=871) == [["a", "b"]]
    assert grouped(a=900, b=869) == [["a"], ["b"]]


def test_small_falls_add_up_within_a_group() -> None:
    assert grouped(a=900, b=875, c=850, d=825) == [["a", "b", "c", "d"]]


def test_equal_ones_keep_their_order() -> None:
    assert grouped(b=900, a=900, c=950) == [["c"], ["b", "a"]]


def test_at_most_three_groups() -> None:
    assert grouped(a=950, b=900, c=860, d=800, e=700) == [["a", "b", "c"], ["d"], ["e"]]
    assert grouped(a=900, b=850, c=800, d=750, e=700) == [["a", "b", "c"], ["d"], ["e"]]
    assert grouped(a=900, b=800, c=760, d=600) == [["a"], ["b", "c"], ["d"]]


def test_no_genome_one_genome_and_one_that_is_not_aligned() -> None:
    assert grouped() == []
    assert grouped(a=900) == [["a"]]
    groups = genome_groups(["none", "some"], np.array([(0, 0), (9, 10)]))
    assert [group.names for group in groups] == [("some",), ("none",)]
    assert groups[1].identity == (0.0,)


def test_counts_leave_out_n() -> None:
    ours = np.array([[0, 1, 2, 3, 4, 4, 0], [0] * 7], np.uint8)
    theirs = np.array([[0, 2, 2, 4, 4, 1, 3], [4] * 7], np.uint8)
    counts = identity_counts(ours, [theirs, ours, np.full_like(ours, 4)])
    assert counts.tolist() == [[2, 4], [12, 12], [0, 0]]


def test_counts_of_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.integers(0, 5, (2, 30, 20)).astype(np.uint8)
    whole = identity_counts(ours, [theirs])
    monkeypatch.setattr("ssldata.conservation.genome_groups._ROWS", 7)
    np.testing.assert_array_equal(identity_counts(ours, [theirs]), whole)
