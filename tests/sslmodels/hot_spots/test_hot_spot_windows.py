"""Windows around hot positions: which, how wide, merged or not."""

from __future__ import annotations

import numpy as np
import pytest

from sslmodels.hot_spots.hot_spot_windows import attributions_of, find_hot_spots, windows_of

LENGTH = 100


def attributions(*sequences: dict[int, float]) -> np.ndarray:
    """Attributions that are -1 but in channel 2 of some positions."""
    made = np.full((len(sequences), LENGTH, 4), -1, np.float32)
    for row, values in zip(made, sequences, strict=True):
        for position, value in values.items():
            row[position, 2] = value
    return made


def spans(spots) -> list[tuple[int, int, int, int]]:
    columns = (spots.sequence, spots.start, spots.stop, spots.peak)
    return [tuple(int(x) for x in row) for row in zip(*columns, strict=True)]


def test_windows_begin_half_a_width_before_positions_above_the_share() -> None:
    values = attributions({40: 1.0, 70: 0.69}, {40: 10.0, 50: 7.1, 60: 7.0})
    spots = find_hot_spots(values, share=0.7, width=32, merge=False)
    # As published: every hot position has its own window; exactly the share is not above it.
    assert spans(spots) == [(0, 24, 56, 40), (1, 24, 56, 40), (1, 34, 66, 50)]
    np.testing.assert_allclose(spots.height, [1.0, 10.0, 7.1])
    odd = find_hot_spots(values[:1], width=5)
    assert spans(odd) == [(0, 38, 43, 40)]


def test_windows_that_overlap_or_touch_merge() -> None:
    values = attributions({20: 1.0, 36: 1.2, 52: 0.9}, {20: 1.0, 53: 1.0})
    spots = find_hot_spots(values, width=16)
    assert spans(spots) == [(0, 12, 60, 36), (1, 12, 28, 20), (1, 45, 61, 53)]
    np.testing.assert_allclose(spots.height, [1.2, 1.0, 1.0])
    # Windows of neighbouring sequences never do.
    ends = find_hot_spots(attributions({LENGTH - 1: 1.0}, {0: 1.0}), width=16)
    assert spans(ends) == [(0, 91, 100, 99), (1, 0, 8, 0)]


def test_of_equal_peaks_in_a_window_the_first_counts() -> None:
    spots = find_hot_spots(attributions({50: 1.0, 48: 1.0, 52: 0.8}))
    assert spans(spots) == [(0, 32, 68, 48)]


def test_windows_are_cut_at_the_ends() -> None:
    spots = find_hot_spots(attributions({0: 1.0, 99: 1.0}), width=32)
    assert spans(spots) == [(0, 0, 16, 0), (0, 83, 100, 99)]
    assert spots.width == 17
    codes = np.arange(LENGTH, dtype=np.uint8)[None] % 4
    windows = windows_of(codes, spots)
    assert windows[0].tolist() == [*codes[0, :16], 4]
    assert windows[1].tolist() == codes[0, 83:].tolist()
    cut = attributions_of(attributions({0: 1.0, 99: 1.0}), spots)
    assert cut.shape == (2, 17, 4)
    assert np.all(cut[0, 16] == 0)
    assert cut[0, 0, 2] == cut[1, 16, 2] == 1


@pytest.mark.parametrize("merge", [True, False])
def test_without_a_positive_attribution_there_is_no_hot_spot(merge: bool) -> None:
    flat = np.zeros((3, LENGTH, 4), np.float32)
    flat[1] = -2
    spots = find_hot_spots(flat, merge=merge)
    assert len(spots) == spots.width == 0
    assert windows_of(np.zeros((3, LENGTH), np.uint8), spots).shape == (0, 0)
    assert attributions_of(flat, spots).shape == (0, 0, 4)
    assert len(find_hot_spots(flat[:0], merge=merge)) == 0


def test_equal_attributions_everywhere_make_the_whole_sequence_hot() -> None:
    spots = find_hot_spots(np.ones((1, LENGTH, 4), np.float32))
    assert spans(spots) == [(0, 0, LENGTH, 0)]


def test_merged_windows_cover_what_single_ones_do() -> None:
    values = np.random.default_rng(4).gamma(0.1, size=(20, LENGTH, 4)).astype(np.float32)
    covered = []
    for merge in (True, False):
        inside = np.zeros((20, LENGTH), bool)
        spots = find_hot_spots(values, share=0.3, width=9, merge=merge)
        for sequence, start, stop, peak in spans(spots):
            assert start <= peak < stop
            inside[sequence, start:stop] = True
        covered.append(inside)
    np.testing.assert_array_equal(*covered)
    assert 0 < covered[0].sum() < covered[0].size
