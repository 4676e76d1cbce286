"""Sequence classes and variant scores, on arrays small enough to compute by hand or by a loop."""

from __future__ import annotations

import numpy as np
import pytest

from ssldata.base.errors import InputError
from sslmodels.sei.sequence_classes import (
    class_scores,
    histone_normalised,
    sei_variant_scores,
    variant_index,
    variant_window,
)

HISTONE = np.array([1, 3])


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((3, 7)), rng.random((3, 7)), rng.normal(size=(61, 7))


def test_a_score_is_the_length_along_the_class():
    vectors = np.zeros((61, 2))
    vectors[:, 0] = 1.0
    vectors[1] = (3.0, 4.0)
    scores = class_scores(np.array([[1.0, 2.0]]), vectors)
    assert scores.shape == (1, 40)
    np.testing.assert_allclose(scores[0, :2], [1.0, 11 / 5])
    # Of a row only the direction counts.
    np.testing.assert_allclose(class_scores(np.array([[1.0, 2.0]]), 7 * vectors), scores)


def test_unnamed_projections_are_left_out(drawn):
    profiles, _, vectors = drawn
    other = vectors.copy()
    other[40:] = 9
    np.testing.assert_array_equal(class_scores(profiles, vectors), class_scores(profiles, other))


def test_histones_of_both_alleles_get_one_sum(drawn):
    ref, alt, _ = drawn
    before = ref.copy(), alt.copy()
    found_ref, found_alt = histone_normalised(ref, alt, HISTONE)
    for row in range(3):
        mean = 0.5 * ref[row, [1, 3]].sum() + 0.5 * alt[row, [1, 3]].sum()
        for found, old in ((found_ref, ref), (found_alt, alt)):
            np.testing.assert_allclose(found[row, [1, 3]].sum(), mean)
            np.testing.assert_allclose(
                found[row, 1] / found[row, 3], old[row, 1] / old[row, 3], rtol=1e-12
            )
            np.testing.assert_array_equal(found[row, [0, 2, 4, 5, 6]], old[row, [0, 2, 4, 5, 6]])
    np.testing.assert_array_equal(before, (ref, alt))


def test_variant_scores(drawn):
    ref, alt, vectors = drawn
    found = sei_variant_scores(ref, alt, vectors, HISTONE)
    normal_ref, normal_alt = histone_normalised(ref, alt, HISTONE)
    for row in range(3):
        expected = [
            (normal_alt[row] - normal_ref[row]) @ vectors[c] / np.sqrt((vectors[c] ** 2).sum())
            for c in range(40)
        ]
        np.testing.assert_allclose(found.classes[row], expected)
        np.testing.assert_allclose(found.largest[row], max(map(abs, expected)))
    np.testing.assert_array_equal(found.profiles, alt - ref)
    same = sei_variant_scores(ref, ref, vectors, HISTONE)
    assert not same.classes.any()
    assert not same.profiles.any()
    assert sei_variant_scores(ref[:0], alt[:0], vectors, HISTONE).largest.shape == (0,)


def test_shapes_that_do_not_fit(drawn):
    ref, alt, vectors = drawn
    with pytest.raises(InputError, match=r"\(3, 7\) and projections of shape \(61, 6\)"):
        class_scores(ref, vectors[:, :6])
    with pytest.raises(InputError, match="39 projections; expected at least 40"):
        class_scores(ref, vectors[:39])
    with pytest.raises(InputError, match=r"reference \(3, 7\), alternative \(2, 7\)"):
        histone_normalised(ref, alt[:2], HISTONE)
    for wrong in (-1, 7):
        with pytest.raises(InputError, match="of 7 profiles"):
            histone_normalised(ref, alt, np.array([0, wrong]))
    with pytest.raises(InputError, match="sum to zero"):
        histone_normalised(np.zeros_like(ref), alt, HISTONE)


def test_the_window_of_a_variant():
    assert variant_index(4096) == 2047
    assert variant_window(10_000) == (10_000 - 2047, 10_000 + 2049)
    assert variant_window(10, 5) == (8, 13)
    # A longer allele is centred: half of it lies before the middle.
    assert variant_index(4096, allele=2) == 2046
    assert variant_window(10_000, allele=3) == (10_000 - 2046, 10_000 + 2050)
