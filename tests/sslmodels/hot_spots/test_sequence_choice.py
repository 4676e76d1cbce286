"""Which rows are looked at, and where their windows lie."""

from __future__ import annotations

import numpy as np
import pytest

from sslmodels.hot_spots.sequence_choice import ChosenSequences, choose


def chosen(confidence, starts, *, contigs=None, count=100, seed=0, belongs=None):
    n = len(confidence)
    return choose(
        np.ones(n, bool) if belongs is None else np.array(belongs),
        np.array(confidence, np.float32),
        np.array(contigs or ["c"] * n, object),
        np.array(starts, np.int64),
        length=10,
        above=0.8,
        count=count,
        key=("test", seed),
    )


def test_correct_and_confident_rows_of_the_class_count() -> None:
    found = chosen([0.9, 0.8, 0.81, 0.2, 0.95], [0, 10, 20, 30, 40], belongs=[1, 1, 1, 1, 0])
    assert (found.rows, found.confident, found.apart) == (4, 2, 2)
    assert found.chosen.tolist() == [0, 2]


def test_rows_that_overlap_are_one_place() -> None:
    touching = chosen([0.9] * 3, [0, 10, 20])
    assert touching.chosen.tolist() == [0, 1, 2]
    contigs = ["a", "a", "b", "b"]
    overlapping = [chosen([0.9] * 4, [0, 9, 0, 9], contigs=contigs, seed=s) for s in range(20)]
    assert {found.apart for found in overlapping} == {2}
    # Either of two: which one is drawn.
    assert len({tuple(found.chosen.tolist()) for found in overlapping}) == 4


def test_the_draw_is_one_of_its_key_and_no_larger_than_asked_for() -> None:
    many = [0.9] * 200, list(range(0, 2000, 10))
    first, again, other = (chosen(*many, count=50, seed=seed) for seed in (1, 1, 2))
    assert len(first.chosen) == 50
    assert first.apart == 200
    assert first.chosen.tolist() == again.chosen.tolist() != other.chosen.tolist()
    assert np.all(np.diff(first.chosen) > 0)


def test_no_row_is_left() -> None:
    found = chosen([0.5, 0.8], [0, 10])
    assert (found.rows, found.confident, found.apart) == (2, 0, 0)
    assert found.chosen.dtype == np.int64
    assert not len(found.chosen)


@pytest.mark.parametrize(("strand", "expected"), [(1, (1003, 1010)), (-1, (1090, 1097))])
def test_windows_lie_on_the_forward_strand(strand: int, expected: tuple[int, int]) -> None:
    sequences = ChosenSequences(
        codes=np.zeros((2, 100), np.uint8),
        labels=np.array([True, False]),
        probabilities=np.array([0.9, 0.1], np.float32),
        contigs=np.array(["a", "b"], object),
        starts=np.array([0, 1000]),
        strands=np.array([1, strand], np.int8),
    )
    start, end = sequences.places(np.array([1]), np.array([3]), np.array([10]))
    assert (int(start[0]), int(end[0])) == expected
