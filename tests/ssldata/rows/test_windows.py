"""Window arithmetic and splits against obvious loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import permutation
from ssldata.genomes.onehot import n_runs
from ssldata.project.project_file import Split
from ssldata.rows.bin_labels import is_positive
from ssldata.rows.intervals import Intervals
from ssldata.rows.splits import TEST, TRAIN, VALIDATION, check_contigs, split_of
from ssldata.rows.windows import by_contig, kept_contigs, spread, touches


def test_exactly_half_is_negative() -> None:
    assert is_positive(np.array([99, 100, 101]), size=200, min_overlap=0.5).tolist() == [
        False,
        False,
        True,
    ]


def test_contig_patterns() -> None:
    names = ("chr1", "chrM", "chrUn_1", "chrY", "chry")
    assert kept_contigs(names, ["*_*", "chrM", "chrY"]).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 90)), max_size=12), st.integers(1, 40)
)
def test_spread_shares_every_base_with_its_bin(rows: list[tuple[int, int]], size: int) -> None:
    start = np.array([s for s, _ in rows], np.int64)
    end = np.array([s + n for s, n in rows], np.int64)
    pairs = spread(Intervals(np.zeros(len(rows), np.int32), start, end), size=size)
    expected: dict[tuple[int, int], int] = {}
    for i, (s, n) in enumerate(rows):
        for base in range(s, s + n):
            expected[i, base // size] = expected.get((i, base // size), 0) + 1
    found = {
        (int(r), int(b)): int(o)
        for r, b, o in zip(pairs.row, pairs.bin, pairs.overlap, strict=True)
    }
    assert found == expected
    assert len(found) == len(pairs.row)


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 4]), max_size=60), st.integers(0, 60), st.integers(1, 9)
)
def test_windows_that_touch_n(codes: list[int], start: int, length: int) -> None:
    runs = n_runs(np.array(codes, np.uint8))
    got = touches(np.array([start]), np.array([start + length]), *runs)[0]
    assert got == (4 in codes[start : start + length])


@given(st.lists(st.integers(0, 5), max_size=40))
def test_by_contig_yields_every_row_once(contigs: list[int]) -> None:
    array = np.array(contigs, np.int32)
    seen = {contig: rows.tolist() for contig, rows in by_contig(array)}
    assert seen == {c: np.flatnonzero(array == c).tolist() for c in sorted(set(contigs))}


NAMES = ("chr1", "chr2", "chr3")


def test_split_by_contig() -> None:
    rule = Split(test=["chr3"], validation=["chr1"])
    got = split_of(np.array([0, 1, 2, 1], np.int32), np.arange(4), split=rule, names=NAMES)
    assert got.tolist() == [VALIDATION, TRAIN, TEST, TRAIN]


def test_split_by_fraction_is_a_function_of_contig_and_unit() -> None:
    rule = Split(test=["chr3"], validation_fraction=0.25, seed=5)
    contig = np.repeat(np.array([0, 1, 2], np.int32), 4000)
    unit = np.tile(np.arange(4000, dtype=np.int64) * 200, 3)
    got = split_of(contig, unit, split=rule, names=NAMES)
    assert (got[8000:] == TEST).all()
    share = (got[:8000] == VALIDATION).mean()
    assert abs(share - 0.25) < 0.02
    # Any subset in any order gives each interval the same split.
    pick = permutation(len(contig), "pick")[:500]
    assert (split_of(contig[pick], unit[pick], split=rule, names=NAMES) == got[pick]).all()
    other = split_of(
        contig, unit, split=Split(test=["chr3"], validation_fraction=0.25, seed=6), names=NAMES
    )
    assert (other != got).any()


def test_split_contigs_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"'split.test' names chr9.*chr1, chr2, chr3"):
        check_contigs(Split(test=["chr9"]), NAMES, "p.yaml")
