"""Arrays say what they mean, and saying so changes neither values nor digests."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from small_store import edit_root

from ssldata.liftover.lift_result import Status
from ssldata.rows.array_meanings import LIFTOVER_MEANINGS, ROW_MEANINGS, SOURCE_MEANINGS
from ssldata.rows.splits import SPLIT_NAMES
from ssldata.store.store import open_store

#: Attributes at which xarray masks, scales or decodes: an array of ours has none of them.
DECODED = {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "calendar"}


@pytest.fixture
def store(built_world: Path) -> Path:
    return built_world / "store" / "alpha.zarr"


def arrays_of(path: Path) -> dict[str, zarr.Array[Any]]:
    root = zarr.open_group(path, mode="r", use_consolidated=True)
    return {n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}


def flags_of(attributes: Any) -> dict[int, str]:
    """Return value → meaning, as readers of CF attributes do it."""
    values, meanings = attributes["flag_values"], attributes["flag_meanings"].split()
    return dict(zip(values, meanings, strict=True))


def test_every_array_says_what_it_means(store: Path) -> None:
    for name, array in arrays_of(store).items():
        found = dict(array.attrs)
        assert found.get("long_name"), name
        assert ("units" in found) != ("flag_values" in found), name
        assert not DECODED & set(found), name
        if "flag_values" in found:
            meanings = str(found["flag_meanings"]).split()
            assert len(meanings) == len(set(meanings)) == len(found["flag_values"]), name
            assert set(np.unique(array[...]).tolist()) <= set(found["flag_values"]), name


def test_codes_are_those_of_the_program(store: Path) -> None:
    arrays = arrays_of(store)
    genome = "homologs/relative1"
    assert flags_of(arrays[f"{genome}/split"].attrs) == dict(enumerate(SPLIT_NAMES))
    assert flags_of(arrays["sources/split"].attrs) == dict(enumerate(SPLIT_NAMES))
    names = {int(status): status.name.lower() for status in Status}
    assert flags_of(arrays[f"{genome}/liftover/status"].attrs) == names
    assert flags_of(arrays["reference/strand"].attrs) == {-1: "reverse", 1: "forward"}
    assert flags_of(arrays["reference/sequence_codes"].attrs) == dict(enumerate("ACGTN"))


def test_label_and_coverage_name_their_experiments(store: Path) -> None:
    arrays = arrays_of(store)
    for group in ("reference", "sources", "homologs/relative1"):
        for name in ("label", "coverage"):
            found = arrays[f"{group}/{name}"].attrs["experiments"]
            assert found == open_store(store).experiments


def test_the_digest_is_that_of_a_store_without_meanings(store: Path, tmp_path: Path) -> None:
    """Attributes are metadata of arrays; digests are those of their values."""
    bare = tmp_path / "bare.zarr"
    shutil.copytree(store, bare)

    def strip(root: dict[str, Any]) -> None:
        for node in root["consolidated_metadata"]["metadata"].values():
            if node["node_type"] == "array":
                node["attributes"] = {}

    edit_root(bare, strip)
    for file in bare.rglob("zarr.json"):
        node = json.loads(file.read_text())
        if node["node_type"] == "array":
            file.write_text(json.dumps(node | {"attributes": {}}))
    one, other = open_store(store), open_store(bare)
    assert one.digest == other.digest
    assert one.ledger == other.ledger
    assert arrays_of(bare)["reference/split"].attrs.asdict() == {}


@pytest.mark.parametrize("group", ["reference", "sources", "homologs/relative1"])
def test_xarray_changes_no_value_and_warns_of_nothing(group: str, store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(store, group=group)
        names = [n.rpartition("/")[2] for n in arrays_of(store) if n.rpartition("/")[0] == group]
        assert set(data.variables) == set(names)
        for name in names:
            stored = arrays_of(store)[f"{group}/{name}"]
            assert data[name].dtype == stored.dtype, name
            assert np.array_equal(data[name].to_numpy(), stored[...]), name
            assert data[name].attrs["long_name"] == stored.attrs["long_name"]
        kept = data.isel({data["split"].dims[0]: slice(0, 3)}).load()
        assert kept["split"].dtype == "int8"


def test_every_table_of_meanings_is_used(store: Path) -> None:
    arrays = arrays_of(store)
    for group, table in (
        ("homologs/relative1", ROW_MEANINGS),
        ("sources", SOURCE_MEANINGS),
        ("homologs/relative1/liftover", LIFTOVER_MEANINGS),
    ):
        found = {name.rpartition("/")[2] for name in arrays if name.rpartition("/")[0] == group}
        assert found == set(table)
