"""A store written by an earlier release stays readable, bit for bit.

``golden/store-1.0`` and ``golden/store-1.1`` were written when their format was settled: a
simulated clade, joint, 100 b bins in 140 b windows, and the sha256 of every array as plain zarr
read it. They are never written again; a change of the format that needs that is another format
version, with a golden store of its own.
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

from ssldata.base.errors import StoreError
from ssldata.building.add_remove_genomes import unyank_genome, yank_genome
from ssldata.checking.validate import validate_store
from ssldata.genomes.onehot import decode
from ssldata.store.store import open_store

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = ("1.0", "1.1")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def expected(version: str) -> dict[str, Any]:
    text = (GOLDEN / f"store-{version}" / "expected.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@pytest.fixture(params=["zip", "folder"])
def golden(version: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a golden store as it came, and unpacked."""
    path = GOLDEN / f"store-{version}" / "joint.zarr.zip"
    if request.param == "zip":
        return path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "joint.zarr")
    return tmp_path / "joint.zarr"


def test_a_golden_store_is_what_it_was(
    golden: Path, version: str, expected: dict[str, Any]
) -> None:
    store = open_store(golden)
    assert store.attributes["format_version"] == version
    assert store.digest == expected["digest"]
    assert store.experiments == expected["experiments"]
    assert store.genomes == expected["genomes"]
    report = validate_store(store, deep=True)
    assert report.problems == []
    assert report.warnings == []
    group, first = store.group("reference"), expected["first_row"]
    assert group.contigs[int(group.column("contig")[0])] == first["contig"]
    assert int(group.column("start")[0]) == first["start"]
    assert decode(group.codes(0, 1)[0]) == first["sequence"]
    assert np.array_equal(group.one_hot(0, 1).sum(-1), group.codes(0, 1) < 4)


def test_every_array_of_a_golden_store(golden: Path, expected: dict[str, Any]) -> None:
    store = zarr.storage.ZipStore(golden, mode="r") if golden.is_file() else golden
    root = zarr.open_group(store, mode="r", use_consolidated=True)
    arrays = {n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}
    assert set(arrays) == set(expected["arrays"])
    for name, array in arrays.items():
        value = np.ascontiguousarray(array[...])
        found = {
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "dims": list(array.metadata.dimension_names or ()),
            "sha256": hashlib.sha256(value.tobytes()).hexdigest(),
        }
        assert found == expected["arrays"][name], name


def test_xarray_opens_every_group_of_a_golden_store(golden: Path, expected: dict[str, Any]) -> None:
    store = zarr.storage.ZipStore(golden, mode="r") if golden.is_file() else golden
    groups = {str(Path(name).parent) for name in expected["arrays"]}
    for name in sorted(groups):
        data = xr.open_zarr(store, group=name)
        assert {f"{name}/{key}" for key in data.variables} == {
            array for array in expected["arrays"] if str(Path(array).parent) == name
        }


def test_the_page_of_the_format_names_every_array(version: str, expected: dict[str, Any]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "store-format.md").read_text(encoding="utf-8")
    for name in expected["arrays"]:
        assert f"`{Path(name).name}`" in page, name
    for key in open_store(GOLDEN / f"store-{version}" / "joint.zarr.zip").attributes:
        assert f"`{key}`" in page, key


# -- format 1.0, which has no checksums of chunks ------------------------------------------------


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    with zipfile.ZipFile(GOLDEN / "store-1.0" / "joint.zarr.zip") as archive:
        archive.extractall(tmp_path / "old.zarr")
    return tmp_path / "old.zarr"


def test_a_store_that_is_written_to_becomes_1_1_and_keeps_its_digest(oldest: Path) -> None:
    before = open_store(oldest)
    yank_genome(oldest, "relative1")
    unyank_genome(oldest, "relative1")
    after = open_store(oldest)
    assert after.attributes["format_version"] == "1.1"
    assert after.digest == before.digest
    assert after.ledger == before.ledger
    assert validate_store(after, deep=True).problems == []


@pytest.mark.parametrize(
    "name", ["end/c/0", "strand/c/0", "weight/c/0", "sequence_codes/c/0/0", "start/zarr.json"]
)
def test_what_cannot_be_zero_cannot_be_missing(name: str, oldest: Path) -> None:
    """A chunk of zeros has no file in 1.0; these arrays have none."""
    (oldest / "reference" / name).unlink()
    if name.endswith("zarr.json"):
        found = [one.message for one in validate_store(open_store(oldest)).problems]
        assert found == ["consolidated metadata lists reference/start, which does not exist"]
        return
    rows = open_store(oldest).group("reference")
    with pytest.raises(StoreError, match=f"reference/{name}: the file of a chunk is missing"):
        rows.codes(0, 1) if "codes" in name else rows.column(name.split("/")[0])
