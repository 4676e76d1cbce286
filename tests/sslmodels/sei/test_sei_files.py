"""The files that come with Sei: shapes and counts are checked, and no code of theirs runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import InputError, MissingInputError
from sslmodels.sei.sei_files import (
    check_kinds,
    kinds_of,
    read_class_names,
    read_histone_columns,
    read_projections,
    read_target_names,
)

NAMES = [
    "K562 | H3K4me3 | ID:1",
    "HepG2_Liver | CTCF | ID:2",
    "GM12878 | DNase | ID:3",
    "Brain | ATAC-seq | ID:4",
    "HeLa | CENPA | ID:5",
    "HeLa | H2AZ | ID:6",
    "HeLa | HNF4A | ID:7",
]


class Attack:
    """Pickled as a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(path: Path, value: np.ndarray) -> Path:
    np.save(path, value)
    return path


def test_projections(tmp_path: Path):
    value = np.random.default_rng(0).normal(size=(61, 9)).astype(np.float32)
    found = read_projections(saved(tmp_path / "v.npy", value), profiles=9)
    np.testing.assert_array_equal(found, value.astype(np.float64))
    assert found.dtype == np.float64
    path = tmp_path / "wrong.npy"
    with pytest.raises(InputError, match=r"shape \(61, 9\).*expected projections \(61, 21907\)"):
        read_projections(tmp_path / "v.npy")
    with pytest.raises(InputError, match=r"shape \(9, 61\)"):
        read_projections(saved(path, value.T), profiles=9)
    value[7] = 0
    with pytest.raises(InputError, match="row 7 is zero or not finite"):
        read_projections(saved(path, value), profiles=9)
    with pytest.raises(MissingInputError, match="no such file"):
        read_projections(tmp_path / "none.npy")


def test_histone_columns(tmp_path: Path):
    path = tmp_path / "h.npy"
    found = read_histone_columns(saved(path, np.array([4, 0, 2])), profiles=5, count=3)
    assert found.tolist() == [4, 0, 2]
    with pytest.raises(InputError, match="3 histone profiles; expected 10064"):
        read_histone_columns(path)
    for wrong in ([0, 0], [0, 5], [-1, 2]):
        with pytest.raises(InputError, match="expected distinct ones of 0 to 4"):
            read_histone_columns(saved(path, np.array(wrong)), profiles=5, count=None)
    for odd in (np.array([0.5]), np.zeros((2, 2), int), np.zeros(0, int)):
        with pytest.raises(InputError, match="expected a list of ints"):
            read_histone_columns(saved(path, odd), profiles=5, count=None)


def test_an_array_file_with_code_is_refused_and_not_run(tmp_path: Path):
    mark, path = tmp_path / "ran", tmp_path / "h.npy"
    np.save(path, np.array([Attack(mark)], object), allow_pickle=True)
    with pytest.raises(InputError, match="not an array file"):
        read_histone_columns(path)
    assert not mark.exists()
    np.savez(tmp_path / "two.npz", a=np.zeros(2))
    with pytest.raises(InputError, match="several arrays"):
        read_histone_columns(tmp_path / "two.npz")
    path.write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        read_histone_columns(path)


def test_target_names_and_their_kinds(tmp_path: Path):
    path = tmp_path / "target.names"
    path.write_text("\n".join(NAMES) + "\n")
    names = read_target_names(path, profiles=7)
    assert names == NAMES
    assert kinds_of(names) == [
        "histone",
        "tf",
        "accessibility",
        "accessibility",
        "histone",
        "histone",
        "tf",
    ]
    with pytest.raises(InputError, match=r"2 tf \(9,471\), 3 histone \(10,064\), 2 access"):
        check_kinds(kinds_of(names), path)
    check_kinds(["tf"] * 9_471 + ["histone"] * 10_064 + ["accessibility"] * 2_372, path)
    with pytest.raises(InputError, match="7 names; expected 21907"):
        read_target_names(path)
    path.write_text("K562 | CTCF | 1\nK562 CTCF\n")
    with pytest.raises(InputError, match="line 2: 'K562 CTCF'; expected cell type"):
        read_target_names(path, profiles=None)
    path.write_bytes(b"\xff\xfe | a | b")
    with pytest.raises(InputError, match="not a text file"):
        read_target_names(path, profiles=None)


def test_class_names(tmp_path: Path):
    path = tmp_path / "seqclass.names"
    path.write_text("".join(f"C{n}\n" for n in range(40)))
    assert read_class_names(path)[39] == "C39"
    path.write_text("C1\n")
    with pytest.raises(InputError, match="1 names of sequence classes; expected 40"):
        read_class_names(path)
