"""Feature stores: layout, resuming, damage, and what xarray makes of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from feature_tools import write_features

from ssldata.base.errors import ConfigError, MissingInputError, StoreError
from ssldata.store.feature_store import (
    FeatureColumns,
    FeatureLayout,
    FeatureWriter,
    feature_attributes,
    open_features,
)


def values_of(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def tree_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_xarray_opens_it_with_its_coordinates(tmp_path: Path) -> None:
    values = values_of(700, 5000)
    names = np.array([f"séquence {n}" for n in range(700)], object)
    label = np.arange(700, dtype=np.int8) % 2
    path = write_features(tmp_path / "f.zarr", values, name=names, label=label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xr.open_zarr(path)
    assert found["features"].dims == ("sequence", "feature")
    assert set(found.coords) == {"feature", "name", "label"}
    assert found["features"].attrs["units"] == "1"
    assert found["name"].attrs["long_name"] == "name of the sequence"
    np.testing.assert_array_equal(found["features"].values, values)
    np.testing.assert_array_equal(found["name"].values.astype(object), names)
    assert found["features"].sel(feature="f4999").values[3] == values[3, 4999]
    assert found["label"].dtype == np.int8
    assert found.attrs["crosslabel_features"]["versions"]["zarr"]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4097), (513, 2), (256, 4096)])
def test_rows_and_columns_are_read_in_any_part(tmp_path: Path, rows: int, columns: int) -> None:
    values = values_of(rows, columns)
    store = open_features(write_features(tmp_path / "f.zarr", values))
    assert (store.rows, len(store.columns)) == (rows, columns)
    np.testing.assert_array_equal(store.read(0, rows), values)
    chosen = np.array([columns - 1, 0])
    np.testing.assert_array_equal(store.read(rows - 1, rows, chosen), values[rows - 1 :, chosen])
    np.testing.assert_array_equal(np.concatenate([b for _, b in store.blocks()]), values)


def test_equal_values_give_equal_bytes_and_a_killed_writer_continues(tmp_path: Path) -> None:
    values = values_of(700, 5000)
    layout = FeatureLayout(
        rows=700, columns=FeatureColumns(names=[f"f{n}" for n in range(5000)], long_name="test")
    )
    whole = tree_of(write_features(tmp_path / "whole.zarr", values))
    path = tmp_path / "part.zarr"

    def writer() -> FeatureWriter:
        return FeatureWriter(path, layout, {"made": "by a test"})

    first = writer()
    first.begin()
    first.write(0, values[:256])
    first.write(1, values[256:512])
    assert not path.exists()
    with pytest.raises(MissingInputError, match="unfinished"):
        open_features(path)
    # A chunk that was cut short, as by a power cut, is found by its checksum.
    chunk = first.partial / "features" / "c" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    again = writer()
    assert again.state() == "unfinished"
    again.begin()
    assert [again.kept(number) for number in range(3)] == [True, False, False]
    again.write(1, values[256:512])
    again.write(2, values[512:])
    again.finish({})
    assert tree_of(path) == whole
    assert writer().state() == "complete"
    assert FeatureWriter(path, layout, {"made": "otherwise"}).state() == "other"
    assert not list(tmp_path.glob("*.partial"))


def test_damage_is_an_error_and_a_lost_chunk_no_zeros(tmp_path: Path) -> None:
    path = write_features(tmp_path / "f.zarr", values_of(300, 10))
    chunk = next((path / "features" / "c").rglob("0"))
    chunk = chunk if chunk.is_file() else chunk / "0"
    data = chunk.read_bytes()
    chunk.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(StoreError, match="its checksum or size is another"):
        open_features(path).read(0, 300)
    chunk.unlink()
    assert np.isnan(open_features(path).read(0, 300)).all()


def test_other_folders_and_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such feature store"):
        open_features(tmp_path / "none.zarr")
    (tmp_path / "empty").mkdir()
    assert feature_attributes(tmp_path / "empty") is None
    with pytest.raises(StoreError, match="not a feature store"):
        open_features(tmp_path / "empty")
    path = write_features(tmp_path / "f.zarr", values_of(3, 2))
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"format": 1,', '"format": 9,'))
    with pytest.raises(StoreError, match="format 9"):
        open_features(path)
    with pytest.raises(ConfigError, match="'a'"):
        FeatureColumns(names=["a", "b", "a"], long_name="twice")
