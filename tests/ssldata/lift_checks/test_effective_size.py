"""The effective sample size: its bounds, its monotony, its formula, trees and copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import InputError
from ssldata.lift_checks.effective_size import (
    Copies,
    bounds_of_identity,
    effective_copies,
    effective_number,
    similarity_of_distance,
    similarity_of_identity,
    tree_distances,
)

sizes = st.integers(1, 9)
#: The whole suite has ten minutes.
FEW = settings(max_examples=40)


@st.composite
def sequences(draw: st.DrawFn) -> np.ndarray:
    """Draw copies of a sequence as codes: identities of real sequences, some copies equal."""
    n, seed = draw(st.integers(2, 6)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 4, 300)]
    for _ in range(n - 1):
        row = rows[rng.integers(len(rows))].copy()
        hit = rng.random(300) < rng.choice([0.0, 0.01, 0.2, 0.9])
        row[hit] = rng.integers(0, 4, int(hit.sum()))
        rows.append(row)
    return np.array(rows)


def similarity(rows: np.ndarray) -> np.ndarray:
    return similarity_of_identity((rows[:, None] == rows[None]).mean(axis=2))


@FEW
@given(sizes)
def test_identical_copies_are_one_and_independent_ones_count(n: int) -> None:
    assert effective_number(np.ones((n, n))) == pytest.approx(1, abs=1e-6)
    assert effective_number(np.eye(n)) == pytest.approx(n, abs=1e-6)


@FEW
@given(st.integers(2, 8), st.floats(0, 0.99))
def test_equally_like_copies_follow_the_formula(n: int, rho: float) -> None:
    alike = np.full((n, n), rho) + (1 - rho) * np.eye(n)
    assert effective_number(alike) == pytest.approx(n / (1 + (n - 1) * rho), rel=1e-5)


@FEW
@given(sequences())
def test_bounds_and_another_copy(rows: np.ndarray) -> None:
    whole = similarity(rows)
    fewer, all_of_them = effective_number(whole[:-1, :-1]), effective_number(whole)
    assert 1 <= fewer <= all_of_them + 1e-6 <= len(rows) + 1e-6
    assert all_of_them <= fewer + 1 + 1e-6  # one copy is worth one at most


@FEW
@given(sequences(), st.integers(0, 6))
def test_a_second_copy_of_a_copy_adds_nothing(rows: np.ndarray, which: int) -> None:
    twice = np.concatenate([rows, rows[[which % len(rows)]]])
    assert effective_number(similarity(twice)) == pytest.approx(
        effective_number(similarity(rows)), rel=1e-4
    )


@FEW
@given(sequences(), st.floats(0.1, 1))
def test_more_alike_copies_are_worth_less(rows: np.ndarray, share: float) -> None:
    whole = similarity(rows)
    nearer = (1 - share) * whole + share * np.ones_like(whole)
    assert effective_number(nearer) <= effective_number(whole) + 1e-5


@FEW
@given(sequences(), st.integers(0, 100))
def test_the_order_of_copies_means_nothing(rows: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    assert effective_number(similarity(rows[order])) == pytest.approx(
        effective_number(similarity(rows)), rel=1e-4
    )


def test_it_is_the_generalised_least_squares_number_on_a_clock_like_tree() -> None:
    """Ané (2008): 1ᵀR⁻¹1, where all leaves are equally far from the root."""
    d = np.array([[0, 0.1, 0.6, 0.6], [0.1, 0, 0.6, 0.6], [0.6, 0.6, 0, 0.3], [0.6, 0.6, 0.3, 0]])
    r = similarity_of_distance(d)
    assert effective_number(r) == pytest.approx(np.linalg.inv(r).sum(), rel=1e-6)


def test_negative_weights_are_not_used() -> None:
    """A copy at the hub of a star would get one, and take from what the others are worth."""
    r = np.full((7, 7), 0.49) + 0.51 * np.eye(7)
    r[0, 1:] = r[1:, 0] = 0.7
    six = effective_number(r[1:, 1:])
    assert np.linalg.inv(r).sum() > six * 1.0001
    assert effective_number(r) == pytest.approx(six, rel=1e-5)


def test_bounds_hold_the_tree_between_them(tmp_path: Path) -> None:
    tree = tmp_path / "tree.nwk"
    tree.write_text("(ref:0.02,((a:0.05,b:0.04):0.1,c:0.3):0.01,unused:1);\r\n")
    names = ["ref", "a", "b", "c"]
    distance = tree_distances(tree, names)
    assert distance[1, 2] == pytest.approx(0.09)
    assert distance[0, 3] == pytest.approx(0.33)
    r = similarity_of_distance(distance)
    low, high = bounds_of_identity((0.25 + 0.75 * r[0, 1:]).tolist())
    between = effective_number(r)
    assert effective_number(low) <= between <= effective_number(high)
    assert effective_number(low) < effective_number(high)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("(ref:1,b:1);", "no leaf 'a'"),
        ("(ref:1,a:1,a:2);", "stands there twice"),
        ("(ref:1,a);", "has the length None"),
        ("(ref:1,a:-1);", "has the length -1"),
        ("((ref:1,a:1;", "not one Newick tree"),
        ("", "not one Newick tree"),
    ],
)
def test_a_wrong_tree_is_refused_in_one_line(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "tree.nwk").write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        tree_distances(tmp_path / "tree.nwk", ["ref", "a"])
    assert "\n" not in str(caught.value)


def test_loci_add_up_by_the_genomes_they_have() -> None:
    r = np.array([[1, 0.5, 0.0], [0.5, 1, 0.0], [0.0, 0.0, 1]])
    present = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]], bool)
    total, error = effective_copies(Copies(present, 99), r)
    assert total == pytest.approx(1 + 4 / 3 + 7 / 3 + 2, rel=1e-6)
    assert error == 0
    many = Copies(np.tile(present, (2_000, 1)), 99)
    total, error = effective_copies(many, r)
    assert abs(total - 2_000 * (1 + 4 / 3 + 7 / 3 + 2)) < 4 * error
    assert 0 < error < 0.01 * total
