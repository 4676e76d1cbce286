"""The compiled profile against the formulas written with NumPy, and features worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ssldata.base.array_types import ByteArray
from ssldata.conservation import profile as module
from ssldata.conservation.profile import (
    bin_windows,
    composition_names,
    composition_profile,
    conservation_profile,
    feature_names,
)


def scaled(parts: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Parts of a window of 1,000 b, for bins of another size."""
    return [(int(a * size / 200), int(b * size / 200)) for a, b in parts]


def by_numpy(
    ours: ByteArray, theirs: list[ByteArray], groups: list[list[int]]
) -> tuple[np.ndarray, list[str]]:
    """Whole arrays of 64-bit numbers, cumulative sums of means."""
    n, length = ours.shape
    size = length // 5
    tiles = [(400, 450), (450, 500), (500, 550), (550, 600), (300, 400), (600, 700), (100, 300)]
    tiles += [(700, 900), (400, 600), (0, 400), (600, 1000), (0, 1000)]
    periods = [(400, 600), (200, 500), (500, 800), (100, 400), (600, 900), (0, 300), (700, 1000)]
    out, names = [], []
    for number, group in enumerate(groups, start=1):
        known = np.mean([theirs[k] < 4 for k in group], axis=0)
        other = np.mean([(theirs[k] < 4) & (ours < 4) & (theirs[k] != ours) for k in group], axis=0)
        for a, b in scaled(tiles, size):
            al, mm = known[:, a:b].sum(axis=1), other[:, a:b].sum(axis=1)
            out += [al / (b - a), (mm + 0.5) / (al + 5)]
            names += [f"aligned_{number}_{a}_{b}", f"mismatch_{number}_{a}_{b}"]
        steps = np.abs(np.diff((known > 0.5).astype(int), axis=1))
        (first, last), *others = scaled([(400, 600), (100, 400), (600, 900)], size)
        for a, b in [(first, last - 1), *others]:
            out.append(steps[:, a:b].sum(axis=1))
            names.append(f"edges_{number}_{a}_{b}")
        for a, b in scaled(periods, size):
            whole = (b - a) // 3 * 3
            m = other[:, a : a + whole].reshape(n, -1, 3).sum(axis=1)
            total = m.sum(axis=1)
            out.append(((m - total[:, None] / 3) ** 2).sum(axis=1) / (total + 1))
            names.append(f"period_{number}_{a}_{b}")
    return np.stack(out, axis=1), names


def random_windows(
    rows: int, length: int, genomes: int, seed: int
) -> tuple[ByteArray, list[ByteArray]]:
    """Windows whose genomes are alike, with stretches that are not aligned, and N."""
    rng = np.random.default_rng(seed)
    ours = rng.integers(0, 4, (rows, length)).astype(np.uint8)
    theirs = []
    for _ in range(genomes):
        codes = np.where(rng.random(ours.shape) < 0.2, rng.integers(0, 5, ours.shape), ours)
        for row in codes:
            a, b = np.sort(rng.integers(0, length, 2))
            if rng.random() < 0.7:
                row[a:b] = 4
        theirs.append(codes.astype(np.uint8))
    ours[rng.random(ours.shape) < 0.01] = 4
    return ours, theirs


@pytest.mark.parametrize("size", [200, 4, 7, 50, 101])
@pytest.mark.parametrize("groups", [[[0, 1, 2, 3], [4]], [[0, 2, 4]], [[1], [3, 0], [2]], []])
def test_the_kernel_equals_the_formulas(
    size: int, groups: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 9)
    ours, theirs = random_windows(40, 5 * size, 5, seed=size)
    theirs[0][3], theirs[4][5] = 4, 4
    found = conservation_profile(ours, theirs, groups)
    assert found.dtype == np.float32
    assert found.shape == (40, 34 * len(groups))
    names = feature_names(groups, size)
    assert len(names) == found.shape[1]
    assert len(set(names)) == len(names)
    if groups:
        expected, expected_names = by_numpy(ours, theirs, groups)
        assert names == expected_names
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_by_hand() -> None:
    """A window without a homologue but 300 b: each third base of the bin's first half differs."""
    ours = np.zeros((2, 1000), np.uint8)
    theirs = np.full((2, 1000), 4, np.uint8)
    theirs[0, 350:550] = 0
    theirs[0, 400:500:3] = 2  # 34 bases, all on one place of the codon
    row = dict(
        zip(feature_names([[0]]), conservation_profile(ours, [theirs], [[0]])[0], strict=True)
    )
    nothing = dict(
        zip(feature_names([[0]]), conservation_profile(ours, [theirs], [[0]])[1], strict=True)
    )
    assert row["aligned_1_400_600"] == 0.75
    assert row["aligned_1_300_400"] == 0.5
    assert row["aligned_1_0_1000"] == np.float32(0.2)
    assert row["mismatch_1_400_450"] == np.float32(17.5 / 55)
    assert row["mismatch_1_500_550"] == np.float32(0.5 / 55)
    assert row["mismatch_1_550_600"] == np.float32(0.1)
    assert (row["edges_1_400_599"], row["edges_1_100_400"], row["edges_1_600_900"]) == (1, 1, 0)
    assert row["period_1_400_600"] == pytest.approx(34**2 * (2 / 3) / 35, rel=1e-6)
    assert row["period_1_600_900"] == 0
    for name, value in nothing.items():
        assert value == (np.float32(0.1) if name.startswith("mismatch") else 0), name


def test_an_edge_between_the_bin_and_its_flank_is_the_flanks() -> None:
    ours = np.zeros((1, 1000), np.uint8)
    theirs = np.full((1, 1000), 4, np.uint8)
    theirs[0, 400:600] = 0
    row = dict(
        zip(feature_names([[0]]), conservation_profile(ours, [theirs], [[0]])[0], strict=True)
    )
    assert (row["edges_1_400_599"], row["edges_1_100_400"], row["edges_1_600_900"]) == (0, 1, 0)


def test_composition() -> None:
    ours = np.zeros((1, 1000), np.uint8)
    ours[0, 400:450], ours[0, 200:400], ours[0, 600:610] = 1, 2, 2
    ours[0, 800:1000] = 3
    ours[0, 0:200:2] = 4
    ours[0, 1:200:2] = 1
    assert composition_profile(ours)[0].tolist() == [0.25, 1, np.float32(0.05), 0.5, 0]
    assert composition_names() == [
        *("gc_400_600", "gc_200_400", "gc_600_800"),
        *("gc_0_200", "gc_800_1000"),
    ]


def test_windows_of_bins() -> None:
    first, last = bin_windows(np.array([0, 200, 1000]), 200)
    assert first.tolist() == [-400, -200, 600]
    assert (last - first).tolist() == [1000] * 3


def test_wrong_arrays_are_refused() -> None:
    ours = np.zeros((2, 1000), np.uint8)
    for shape in ((2, 999), (2, 15), (2000,)):
        with pytest.raises(ValueError, match="expected windows of 5 bins of at least 4 b"):
            composition_profile(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="found int64"):
        conservation_profile(ours.astype(np.int64), [], [])
    with pytest.raises(ValueError, match=r"genome 1: expected uint8 \(2, 1000\)"):
        conservation_profile(ours, [ours, ours[:1]], [[0]])
    for groups in ([[0], []], [[0], [1]], [[0], [-1]]):
        with pytest.raises(ValueError, match="group 2: expected numbers of 1 genomes"):
            conservation_profile(ours, [ours], groups)
