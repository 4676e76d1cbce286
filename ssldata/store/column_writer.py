"""Small whole arrays, one per column of a group, and groups: Zarr of a plain layout.

The bytes are those zarr-python would write, chunks of zeros included (a test compares them).
Written here because a small
column costs zarr-python 8 ms of CPU time rather than 1.2 ms: the 452 arrays and their groups of
``examples/yeast`` would raise its build from 8.8 to 11.4 CPU s (medians of 6).

Format: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.base.files import write_text_atomic
from ssldata.store.compression import CHECKSUM, checksum_of, column_codec, decompress
from ssldata.store.root_metadata import parse_json

#: Rows per chunk: columns are read whole.
COLUMN_CHUNK = 1_048_576


def put_group(path: Path, attributes: Mapping[str, Any]) -> None:
    """Make a Zarr group, or add attributes to an existing one."""
    file = path / "zarr.json"
    found: dict[str, Any] = {}
    if file.is_file():
        if not attributes:
            return
        found = parse_json(file.read_bytes(), str(file))["attributes"]
    node = {"attributes": found | dict(attributes), "zarr_format": 3, "node_type": "group"}
    path.mkdir(parents=True, exist_ok=True)
    write_text_atomic(file, json.dumps(node, indent=2))


def write_column(
    folder: Path,
    values: NDArray[Any],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write one array whole, and check that it reads back.

    Parameters
    ----------
    folder
        Of the array; an existing one is replaced.
    values
        Integers or floats; the first axis is the row.
    dims
        Names of the dimensions.
    attributes
        Of the array: what it means.

    Raises
    ------
    StoreError
        It does not read back as written, or `values` are neither integers nor floats.
    """
    if values.dtype.kind not in "iuf":
        raise StoreError(f"{folder}: a column holds integers or floats, found {values.dtype}")
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    shape = (max(1, min(COLUMN_CHUNK, values.shape[0])), *values.shape[1:])
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    metadata = json.dumps(_metadata(values, shape, dims, attributes or {}), indent=2)
    (folder / "zarr.json").write_text(metadata, encoding="utf-8")
    for number, first in enumerate(range(0, len(values), shape[0])):
        part = values[first : first + shape[0]]
        if len(part) < shape[0]:  # the last chunk is padded to full size
            chunk = np.zeros(shape, values.dtype)
            chunk[: len(part)] = part
        else:
            chunk = part
        file = folder.joinpath("c", str(number), *["0"] * (values.ndim - 1))
        file.parent.mkdir(parents=True, exist_ok=True)
        packed = column_codec(values.dtype).compress(chunk)
        file.write_bytes(packed + checksum_of(packed))
        back = np.empty(chunk.nbytes, np.uint8)
        data = file.read_bytes()
        decompress(data[:-CHECKSUM], back)
        same = np.array_equal(back, chunk.view(np.uint8).ravel())
        if not same or data[-CHECKSUM:] != checksum_of(packed):
            raise StoreError(f"{file}: does not read back as written")


def _metadata(
    values: NDArray[Any],
    chunk: tuple[int, ...],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> dict:
    """Return the metadata of an array, in the order in which zarr-python writes them."""
    order = {"configuration": {"endian": "little"}} if values.itemsize > 1 else {}
    blosc = column_codec(values.dtype).configuration()
    return {
        "shape": list(values.shape),
        "data_type": values.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if values.dtype.kind == "f" else 0,
        "codecs": [
            {"name": "bytes", **order},
            {"name": "blosc", "configuration": blosc},
            {"name": "crc32c"},
        ],
        "attributes": dict(attributes),
        "dimension_names": list(dims),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }
