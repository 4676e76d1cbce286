"""Chunks read straight from files are what zarr-python reads, and nothing else is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import CHUNK, LENGTH, write_store
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec
from zarr.storage import MemoryStore, ZipStore

from ssldata.base.errors import StoreError
from ssldata.genomes.onehot import one_hot
from ssldata.store.chunk_reader import ChunkReader, read_layout
from ssldata.store.store import RowGroup, Store

#: One whole shard of 16 chunks, a second with a partial chunk; a group smaller than a chunk.
ROWS = {"reference": (0, 150, 20, 29), "homologs/a": (3, 2, 0, 0)}


@pytest.fixture(scope="module", params=["codes", "one-hot only"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("direct") / "s.zarr"
    return write_store(path, rows=ROWS, codes=request.param == "codes")


def through_zarr(group: RowGroup) -> np.ndarray:
    return group.codes(0, group.rows)


@pytest.mark.parametrize("name", ROWS)
def test_every_chunk_is_what_zarr_reads(store: Store, name: str) -> None:
    group = store.group(name)
    reader = ChunkReader(group)
    assert reader.is_direct
    expected = through_zarr(group)
    assert (expected == 4).any()
    out = np.empty((reader.chunk_rows, LENGTH), np.uint8)
    for number in range(reader.chunks):
        out[:] = 99
        reader.decode(number, out)
        first = number * CHUNK
        part = expected[first : first + CHUNK]
        assert len(part) == reader.rows_of(number)
        assert (out[: len(part)] == part).all()


@settings(max_examples=60)
@given(st.data())
def test_any_range_and_any_rows(store: Store, data: st.DataObject) -> None:
    group = store.group("reference")
    first = data.draw(st.integers(0, group.rows))
    end = data.draw(st.integers(first, group.rows))
    expected = through_zarr(group)
    reader = ChunkReader(group)
    assert (reader.codes(first, end) == expected[first:end]).all()
    rows = np.array(data.draw(st.lists(st.integers(0, group.rows - 1), max_size=30)), np.int64)
    assert (reader.take(rows) == expected[rows]).all()


def test_results_are_the_callers_own(store: Store) -> None:
    reader = ChunkReader(store.group("reference"))
    first = reader.codes(0, 20)
    kept = first.copy()
    reader.codes(100, 150)
    reader.take(np.arange(60, 90))
    assert (first == kept).all()


def test_many_threads_at_once(store: Store) -> None:
    group = store.group("reference")
    reader = ChunkReader(group)
    expected = through_zarr(group)

    def read(i: int) -> bool:
        first = i * 7 % (group.rows - 30)
        return bool((reader.codes(first, first + 30) == expected[first : first + 30]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


# -- other layouts -------------------------------------------------------------------------------

BLOSC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=1)


def group_of(
    where: Any, name: str, *, values: np.ndarray, write: slice | None = None, **options: Any
) -> RowGroup:
    """Return a group with one sequence array made with `options`; None in `write`: all rows."""
    group = zarr.create_group(where, attributes={"ranges": {}, "contigs": []})
    rows = len(values)
    group.create_array("start", data=np.arange(rows))
    defaults: dict[str, Any] = {
        "chunks": (4, *values.shape[1:]),
        "shards": (16, *values.shape[1:]),
        "compressors": BLOSC,
        "fill_value": 0,
    }
    array = group.create_array(name, shape=values.shape, dtype="uint8", **{**defaults, **options})
    part = write or slice(None)
    array[part] = values[part]
    if name == "sequence_codes":
        hot = {"chunks": (array.chunks[0], *values.shape[1:], 4), "compressors": BLOSC}
        group.create_array("sequence", shape=(*values.shape, 4), dtype="uint8", **hot)
    return RowGroup(group, "reference")


def bases(rows: int = 50) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 5, (rows, 6)).astype(np.uint8)


def compare(group: RowGroup, *, direct: bool) -> None:
    reader = ChunkReader(group)
    assert reader.is_direct is direct
    assert (reader.codes(0, group.rows) == through_zarr(group)).all()


DIRECT: dict[str, dict[str, Any]] = {
    "no shards": {"shards": None},
    "lz4": {},
    "zstd": {"compressors": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=1)},
    "no shuffle": {"compressors": BloscCodec(cname="lz4", shuffle="noshuffle", typesize=1)},
    "checksums": {"compressors": [BLOSC, Crc32cCodec()], "config": {"write_empty_chunks": True}},
    "dotted names": {"chunk_key_encoding": {"name": "default", "separator": "."}},
}
THROUGH_ZARR: dict[str, dict[str, Any]] = {
    "gzip": {"compressors": GzipCodec(level=1)},
    "no codec": {"compressors": None},
    "checksums of what is not compressed": {"compressors": [Crc32cCodec()]},
    "two codecs": {"compressors": [GzipCodec(level=1), BLOSC]},
    "cut across": {"chunks": (4, 3)},
    "other fill value": {"fill_value": 4},
    "old names": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
}


@pytest.mark.parametrize("case", DIRECT)
def test_layouts_read_directly(tmp_path: Path, case: str) -> None:
    compare(group_of(tmp_path / "g", "sequence_codes", values=bases(), **DIRECT[case]), direct=True)


@pytest.mark.parametrize("case", THROUGH_ZARR)
def test_layouts_left_to_zarr(tmp_path: Path, case: str) -> None:
    options = THROUGH_ZARR[case]
    compare(group_of(tmp_path / "g", "sequence_codes", values=bases(), **options), direct=False)


@pytest.mark.parametrize("make", [MemoryStore, "zip"], ids=["memory", "zip"])
def test_stores_that_are_not_folders(tmp_path: Path, make: Any) -> None:
    where = ZipStore(tmp_path / "g.zip", mode="w") if make == "zip" else make()
    compare(group_of(where, "sequence_codes", values=bases()), direct=False)
    where.close()


@pytest.mark.parametrize("name", ["sequence_codes", "sequence"])
def test_a_chunk_of_nothing_is_zeros_and_a_missing_shard_is_told(tmp_path: Path, name: str) -> None:
    values = bases() if name == "sequence_codes" else one_hot(bases())
    # Chunk 0 of the first shard, and nothing of the second and later ones.
    group = group_of(tmp_path / "g", name, values=values, write=slice(0, 3))
    rest = ChunkReader(group).codes(4, 8)
    assert (rest == (0 if name == "sequence_codes" else 4)).all()
    with pytest.raises(StoreError, match="the shard is missing"):
        ChunkReader(group).codes(20, 50)


def test_values_that_are_not_one_hot_read_as_zarr_reads_them(tmp_path: Path) -> None:
    values = one_hot(bases())
    values[5, 2] = (0, 1, 1, 0)
    values[11, 0] = (0, 0, 2, 0)
    compare(group_of(tmp_path / "g", "sequence", values=values), direct=True)


def test_an_index_at_the_front(tmp_path: Path) -> None:
    from zarr.codecs import ShardingCodec

    shards = ShardingCodec(
        chunk_shape=(4, 6), codecs=[zarr.codecs.BytesCodec(), BLOSC], index_location="start"
    )
    group = group_of(
        tmp_path / "g",
        "sequence_codes",
        values=bases(),
        chunks=(16, 6),
        shards=None,
        compressors=None,
        serializer=shards,
    )
    layout = read_layout(tmp_path / "g" / "sequence_codes")
    assert layout is not None
    assert layout.index_first
    compare(group, direct=True)


def test_no_array_no_layout(tmp_path: Path) -> None:
    assert read_layout(tmp_path) is None
    (tmp_path / "zarr.json").write_text("{}", encoding="utf-8")
    assert read_layout(tmp_path) is None
    for odd in ({"shape": 3}, [], {"shape": [[]]}, {"shape": [1], "chunk_grid": 7}):
        (tmp_path / "zarr.json").write_text(json.dumps(odd), encoding="utf-8")
        assert read_layout(tmp_path) is None


# -- damage --------------------------------------------------------------------------------------


def cut_end(data: bytearray) -> bytearray:
    return data[:-30]


def flip_index(data: bytearray) -> bytearray:
    data[-20] ^= 1
    return data


def flip_header(data: bytearray) -> bytearray:
    data[5] ^= 1  # bytes 4 to 7 of the first chunk: its unpacked size
    return data


def spoil_body(data: bytearray) -> bytearray:
    data[16:60] = b"\xff" * 44
    return data


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_end, "index of the shard is damaged"),
        (flip_index, "index of the shard is damaged"),
        (flip_header, "chunk 0 is damaged"),
        (spoil_body, "chunk 0 does not decompress"),
        (lambda data: bytearray(b"x"), "index of the shard is damaged"),
    ],
)
def test_damage_is_told(
    tmp_path: Path, damage: Callable[[bytearray], bytearray], words: str
) -> None:
    size = {"chunks": (2048, 6), "shards": (4096, 6)}  # smaller ones are not even compressed
    group = group_of(tmp_path / "g", "sequence_codes", values=bases(5000), **size)
    file = tmp_path / "g" / "sequence_codes" / "c" / "0" / "0"
    file.write_bytes(damage(bytearray(file.read_bytes())))
    with pytest.raises(StoreError, match=words):
        ChunkReader(group).codes(0, 4)


@pytest.mark.parametrize("name", ROWS)
def test_no_bit_of_a_shard_flips_unseen(name: str, store: Store) -> None:
    """At a place in each chunk, and in the index; of the array that this store is read from."""
    group, rng = store.group(name), np.random.default_rng(1)
    array = "sequence_codes" if group.has_codes else "sequence"
    folder = group.array_folder(array)
    assert folder is not None
    for file in (file for file in sorted((folder / "c").rglob("*")) if file.is_file()):
        data = file.read_bytes()
        for place in rng.choice(len(data), 60, replace=False).tolist():
            file.write_bytes(
                data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
            )
            with pytest.raises(StoreError, match=re.escape(str(file))):
                ChunkReader(group).codes(0, group.rows)
        file.write_bytes(data)
