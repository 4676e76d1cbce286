"""Columns written without zarr-python are the bytes it would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from ssldata.base.errors import StoreError
from ssldata.genomes.onehot import one_hot
from ssldata.store import column_writer
from ssldata.store.column_writer import write_column
from ssldata.store.compression import checksum_of, column_codec
from ssldata.store.shard_writer import expand

RNG = np.random.default_rng(0)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("rows", [0, 1, 8, 20])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("width", [None, 1, 3])
def test_the_files_are_those_of_zarr_python(tmp_path, monkeypatch, rows, dtype, width):
    monkeypatch.setattr(column_writer, "COLUMN_CHUNK", 8)
    values = RNG.integers(0, 3, (rows, *([width] if width else []))).astype(dtype)
    values[:8] *= rows != 20  # a chunk of zeros is written too
    if dtype == "float32" and rows:
        values[-1] = np.nan
        values[0] = -0.0
    dims = ("row", "experiment")[: values.ndim]
    group = zarr.create_group(tmp_path / "theirs")
    array = group.create_array(
        "x",
        shape=values.shape,
        dtype=values.dtype,
        chunks=(max(1, min(8, rows)), *values.shape[1:]),
        compressors=(
            BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=values.dtype.itemsize),
            Crc32cCodec(),
        ),
        fill_value=0,
        config={"write_empty_chunks": True},
        dimension_names=dims,
    )
    if rows:
        array[...] = values
    write_column(tmp_path / "ours/x", values, dims)
    assert files(tmp_path / "ours/x") == files(tmp_path / "theirs/x")


def test_an_array_that_was_there_is_replaced_whole(tmp_path):
    write_column(tmp_path / "x", np.arange(5), ("row",))
    write_column(tmp_path / "x", np.zeros(3, np.int8), ("row",))
    assert set(files(tmp_path / "x")) == {"zarr.json", "c/0"}
    assert zarr.open_array(tmp_path / "x", mode="r")[:].tolist() == [0, 0, 0]


def test_what_reads_back_otherwise_or_is_no_number_is_refused(tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="integers or floats, found <U1"):
        write_column(tmp_path / "x", np.array(["a"]), ("row",))
    read = Path.read_bytes
    other = column_codec(np.dtype(int)).compress(np.arange(5)[::-1].copy())
    other += checksum_of(other)
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self) and other)
    with pytest.raises(StoreError, match="does not read back as written"):
        write_column(tmp_path / "x", np.arange(5), ("row",))


@pytest.mark.parametrize("shape", [(3, 5), (4, 5), (1, 1), (0, 7)])
def test_expanded_codes_are_one_hot(shape):
    codes = RNG.integers(0, 6, shape, dtype=np.uint8)  # 5 is no code: no bit either
    out = np.full((*shape, 4), 7, np.uint8)
    expand(codes, out)
    np.testing.assert_array_equal(out, one_hot(codes))


def test_attributes_are_written_as_zarr_python_writes_them(tmp_path):
    meaning = {"long_name": "a × b", "flag_values": [0, 1], "valid_range": [0.0, 1.0]}
    group = zarr.create_group(tmp_path / "theirs")
    group.create_array(
        "x",
        shape=(2,),
        dtype="int8",
        chunks=(2,),
        compressors=(
            BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=1),
            Crc32cCodec(),
        ),
        config={"write_empty_chunks": True},
        dimension_names=("row",),
        attributes=meaning,
    )[...] = [0, 1]
    write_column(tmp_path / "ours/x", np.array([0, 1], "int8"), ("row",), meaning)
    assert files(tmp_path / "ours/x") == files(tmp_path / "theirs/x")
