"""The place of a store as zarr-python reads it: metadata as checked, and no chunk left out.

zarr-python takes a chunk that is not there for zeros. Here that is an error which names the file,
for every array that has all its chunks, wherever the store is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from ssldata.base.errors import StoreError
from ssldata.store.compression import CHECKSUM, checksum_of
from ssldata.store.remote_stores import ReadOnlyStore

#: What to do about damage.
REPAIR = (
    "`crosslabel store validate` shows what is damaged; `crosslabel build --repair` writes it again"
)
#: Offset and length, in the index of a shard, of a chunk that is not stored: behind the last row,
#: and in format 1.0 of zeros.
ABSENT = 2**64 - 1
_METADATA = "zarr.json"
#: Of format 1.0, whose chunks of zeros have no file, the arrays that are nowhere all zero.
_NEVER_ZERO = ("sequence_codes", "end", "strand", "weight")
_ROOT = {"zarr_format": 3, "node_type": "group", "attributes": {}}


class CheckedStore(ReadOnlyStore):
    """A Zarr store read-only, without a way to miss a chunk unnoticed.

    Parameters
    ----------
    place
        Where the chunks are.
    name
        What to call it in errors.
    nodes
        Metadata of every group and array by path, as in the root. Those beside the chunks are not
        read.
    """

    def __init__(self, place: Store, name: str, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(name)
        self._place = place
        self._nodes = {"": _ROOT, **nodes}
        #: The folder, for readers of its files; None: no folder.
        self.root: Path | None = getattr(place, "root", None)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return metadata, or (a range of) a chunk."""
        path, _, name = key.rpartition("/")
        if name == _METADATA:
            if path not in self._nodes:
                return None
            # Without the list of members that a consolidated group says it has: none.
            node = {k: v for k, v in self._nodes[path].items() if k != "consolidated_metadata"}
            return prototype.buffer.from_bytes(json.dumps(node).encode())
        found = await self._place.get(key, prototype, byte_range)
        if found is None and self._must_exist(key):
            raise StoreError(f"{self.name}/{key}: the file of a chunk is missing; {REPAIR}")
        return found

    async def getsize(self, key: str) -> int:
        """Return the bytes of a chunk."""
        return await self._place.getsize(key)

    def arrays_in(self, path: str, *, deep: bool = False) -> list[str]:
        """Return the names of the arrays in a group, sorted; `deep`: of its groups as well."""
        start = f"{path}/" if path else ""
        found = [
            key.removeprefix(start)
            for key, node in self._nodes.items()
            if key.startswith(start) and node.get("node_type") == "array"
        ]
        return sorted(name for name in found if deep or "/" not in name)

    def _must_exist(self, key: str) -> bool:
        """Return whether the chunks of the array of a key all have files."""
        path = key
        while path not in self._nodes:
            path = path.rpartition("/")[0]
        group, _, name = path.rpartition("/")
        if has_checksums(self._nodes[path]):
            return True
        if name == "sequence":  # of N alone it is no file either, and then codes are read
            return f"{group}/sequence_codes" not in self._nodes
        return name in _NEVER_ZERO and f"{group}/sequence" in self._nodes


def has_checksums(node: Mapping[str, Any]) -> bool:
    """Return whether the chunks of an array end in a checksum: then every one is stored."""
    codecs = list(node.get("codecs", ()))
    for codec in codecs:
        codecs += (codec.get("configuration") or {}).get("codecs", ())
    return any(codec.get("name") == "crc32c" for codec in codecs)


def is_sound(node: Mapping[str, Any], data: bytes) -> bool:
    """Return whether a whole file of an array has the checksums that it should end in, or holds.

    Parameters
    ----------
    node
        Metadata of the array.
    data
        The file: a chunk, or a shard as this release writes them.
    """
    try:
        return not has_checksums(node) or _has_its_checksums(node, data)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False  # metadata of odd shape, which no array of ours has


def _has_its_checksums(node: Mapping[str, Any], data: bytes) -> bool:
    if node["codecs"][-1]["name"] == "crc32c":
        return checksum_of(data[:-CHECKSUM]) == data[-CHECKSUM:]
    shard = node["chunk_grid"]["configuration"]["chunk_shape"]
    chunk = node["codecs"][0]["configuration"]["chunk_shape"]
    size = 16 * math.prod(whole // part for whole, part in zip(shard, chunk, strict=True))
    index = data[-size - CHECKSUM :]
    if len(index) != size + CHECKSUM or checksum_of(index[:-CHECKSUM]) != index[-CHECKSUM:]:
        return False
    places = np.frombuffer(index[:-CHECKSUM], "<u8").reshape(-1, 2).tolist()
    chunks = (data[first : first + length] for first, length in places if first != ABSENT)
    return all(checksum_of(one[:-CHECKSUM]) == one[-CHECKSUM:] for one in chunks)
