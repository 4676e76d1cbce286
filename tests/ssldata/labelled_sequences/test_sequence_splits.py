"""Splits of sequences: files of numbers, draws, units that stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import ConfigError, InputError
from ssldata.labelled_sequences.sequence_splits import _listed, drawn, read_numbers
from ssldata.project.sequences_section import SequenceSplits
from ssldata.rows.splits import TEST, TRAIN, VALIDATION


@pytest.mark.parametrize(
    "text",
    [
        "3\n0\n5\n",
        "3,0,5",
        "3 0 5\r\n",
        "3.000000000000000000e+00\n0.0e+00\n5.0e+00\n",
        "3\n\n0\n5",
    ],
)
def test_numbers_in_every_way_they_are_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "i.txt"
    path.write_text(text)
    assert read_numbers(path, 6).tolist() == [3, 0, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n6\n", "line 2: '6' is no sequence of the table, whose 6"),
        ("-1\n", "'-1' is no sequence"),
        ("1.5\n", "'1.5' is no sequence"),
        ("x\n", "line 1: the number of a sequence is 'x'"),
        ("3\n3\n", "line 2: 3 is there twice, first in line 1"),
        ("\n", "lists no sequences"),
    ],
)
def test_other_numbers_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "i.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_numbers(path, 6)


def files(folder: Path, **lists: str) -> SequenceSplits:
    for name, text in lists.items():
        (folder / name).write_text(text)
    return SequenceSplits(by="files", **{name: folder / name for name in lists})


def test_files_list_rows_of_the_file_with_those_left_out(tmp_path: Path) -> None:
    number = np.array([0, 1, 3, 4, 5], np.int64)  # row 2 could not be used
    rule = files(tmp_path, validation="1\n2\n", test="5\n")
    found = _listed(tmp_path / "t.csv", rule, number, 6)
    assert found.tolist() == [TRAIN, VALIDATION, TRAIN, TRAIN, TEST]
    rule = files(tmp_path, train="0\n", validation="1\n2\n", test="5\n")
    found = _listed(tmp_path / "t.csv", rule, number, 6)
    assert found.tolist() == [TRAIN, VALIDATION, -1, -1, TEST]


def test_a_sequence_in_two_files_is_refused(tmp_path: Path) -> None:
    rule = files(tmp_path, validation="1\n2\n", test="2\n")
    with pytest.raises(ConfigError, match=r"sequence 2 .* in another split, too"):
        _listed(tmp_path / "t.csv", rule, np.arange(6), 6)


def test_draws_have_their_fractions_and_keep_units_together() -> None:
    rng = np.random.default_rng(0)
    for seed in range(4):
        rule = SequenceSplits(by="random", test_fraction=0.2, validation_fraction=0.1, seed=seed)
        unit = np.sort(rng.integers(0, 300, 1000))
        unit[unit < 60] = 0  # one unit of a fifth
        split = drawn(unit, rule)
        for number in np.unique(unit):
            assert len(set(split[unit == number])) == 1
        counts = np.bincount(split, minlength=3)
        assert abs(counts[TEST] - 200) <= 8
        assert abs(counts[VALIDATION] - 100) <= 8
    single = np.arange(1000)
    one, same = (drawn(single, SequenceSplits(by="random", seed=s)) for s in (1, 1))
    assert (one == same).all()
    assert (one != drawn(single, SequenceSplits(by="random", seed=2))).any()
    assert np.bincount(one).tolist() == [800, 100, 100]


def test_a_unit_larger_than_the_test_is_for_training() -> None:
    unit = np.array([0] * 500 + list(range(1, 501)))
    split = drawn(unit, SequenceSplits(by="random"))
    assert (split[:500] == TRAIN).all()
    assert np.bincount(split)[TEST] == 100
