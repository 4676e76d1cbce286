"""A store written by an earlier release stays readable, bit for bit.

``golden/store-1.0`` was written when format 1.0 was settled: a simulated clade, joint, 100 b bins
in 140 b windows, and the sha256 of every array as plain zarr read it. It is never written anew; a
change of the format that needs that is another format version, with a golden store of its own.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from ssldata.checking.validate import validate_store
from ssldata.genomes.onehot import decode
from ssldata.store.store import open_store

GOLDEN = Path(__file__).parents[1] / "golden" / "store-1.0"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["zip", "folder"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the golden store as it came, and unpacked."""
    path = GOLDEN / "joint.zarr.zip"
    if request.param == "zip":
        return path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "joint.zarr")
    return tmp_path / "joint.zarr"


def test_the_golden_store_is_what_it_was(golden: Path) -> None:
    store = open_store(golden)
    assert store.attributes["format_version"] == "1.0"
    assert store.digest == EXPECTED["digest"]
    assert store.experiments == EXPECTED["experiments"]
    assert store.genomes == EXPECTED["genomes"]
    report = validate_store(store, deep=True)
    assert report.problems == []
    assert report.warnings == []
    group, first = store.group("reference"), EXPECTED["first_row"]
    assert group.contigs[int(group.column("contig")[0])] == first["contig"]
    assert int(group.column("start")[0]) == first["start"]
    assert decode(group.codes(0, 1)[0]) == first["sequence"]
    assert np.array_equal(group.one_hot(0, 1).sum(-1), group.codes(0, 1) < 4)


def test_every_array_of_the_golden_store(golden: Path) -> None:
    store = zarr.storage.ZipStore(golden, mode="r") if golden.is_file() else golden
    root = zarr.open_group(store, mode="r", use_consolidated=True)
    arrays = {n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}
    assert set(arrays) == set(EXPECTED["arrays"])
    for name, array in arrays.items():
        value = np.ascontiguousarray(array[...])
        found = {
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "dims": list(array.metadata.dimension_names or ()),
            "sha256": hashlib.sha256(value.tobytes()).hexdigest(),
        }
        assert found == EXPECTED["arrays"][name], name


def test_xarray_opens_every_group_of_the_golden_store(golden: Path) -> None:
    store = zarr.storage.ZipStore(golden, mode="r") if golden.is_file() else golden
    groups = {str(Path(name).parent) for name in EXPECTED["arrays"]}
    for name in sorted(groups):
        data = xr.open_zarr(store, group=name)
        assert {f"{name}/{key}" for key in data.variables} == {
            array for array in EXPECTED["arrays"] if str(Path(array).parent) == name
        }


def test_the_page_of_the_format_names_every_array() -> None:
    page = (Path(__file__).parents[2] / "docs" / "store-format.md").read_text(encoding="utf-8")
    for name in EXPECTED["arrays"]:
        assert f"`{Path(name).name}`" in page, name
    for key in open_store(GOLDEN / "joint.zarr.zip").attributes:
        assert f"`{key}`" in page, key
