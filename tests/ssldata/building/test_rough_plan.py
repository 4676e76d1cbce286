"""Tables that a plan estimates from: read strictly, errors named by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssldata.base.errors import InputError, MissingInputError
from ssldata.building.rough_plan import read_counts, read_sizes

HEAD = "experiment,positives,pseudo_labelled\n"


def test_tables_as_they_should_be(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("chrI\t230218\n\nchrII\t813184\n")
    assert read_sizes(path) == {"chrI": 230218, "chrII": 813184}
    path.write_text(f"{HEAD}CTCF,10,200\n\nNRSF,3,0\n")
    assert read_counts(path) == {"CTCF": (10, 200), "NRSF": (3, 0)}


@pytest.mark.parametrize(
    ("read", "data", "words"),
    [
        (
            read_sizes,
            "chrI\t230218\n\nchrII 813184\n",
            "line 3: 1 columns, but the first row has 2",
        ),
        (read_sizes, "chrI\t²\n", "line 1: the length is '²', expected a whole number"),
        (read_sizes, "chrI\t5\nchrI\t6\n", "line 2: contig 'chrI' occurs twice"),
        (read_sizes, b"\x1f\x8b\x08\x00", "cut short"),
        (read_counts, "", "line 1: expected the columns"),
        (read_counts, "experiment,positives\n", "line 1: expected the columns"),
        (
            read_counts,
            f"{HEAD}CTCF,10,-2\n",
            "line 2: pseudo_labelled is '-2', expected a whole number from 0",
        ),
        (read_counts, f"{HEAD}\nA,1,2\nA,1,2\n", "line 4: experiment 'A' occurs twice"),
    ],
)
def test_what_makes_no_sense_is_named_by_line(
    read: Callable[[Path], Any], data: str | bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "table"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(InputError, match=words):
        read(path)
    with pytest.raises(MissingInputError, match="no such file"):
        read(tmp_path / "none")
