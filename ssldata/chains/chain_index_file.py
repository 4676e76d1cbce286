"""The cached index of a chain file: one file of raw arrays, memory-mapped by every worker.

Layout: 16 bytes magic and format version, uint64 length of a JSON head, the head (names, and per
array its dtype, shape and offset; the checksum of everything after the head), then the arrays,
each at a multiple of 64 bytes. A file that is damaged in any way is not used: opening reports why,
and the caller rebuilds it.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.files import atomic_path

#: Raised whenever the arrays, their meaning or what the parser accepts change; older files are then
#: ignored.
FORMAT_VERSION = 4
_MAGIC = b"crosslabel-chain"
_ALIGN = 64


class DamagedIndexError(ValueError):
    """A cached index is not what was written: another version, cut off or changed."""


def _pad(size: int) -> int:
    return -size % _ALIGN


def checksum(data: memoryview | bytes) -> tuple[int, int]:
    """Return a checksum that costs milliseconds: sum and exclusive or of the 64-bit words.

    It is meant for torn writes, lost pages and flipped bits, not for malice. The last word is
    filled up with zeros.
    """
    whole = len(data) // 8 * 8
    words = np.frombuffer(data[:whole], dtype="<u8")
    last = int.from_bytes(bytes(data[whole:]), "little")
    total = int(np.add.reduce(words)) if whole else 0
    parity = int(np.bitwise_xor.reduce(words)) if whole else 0
    return (total + last) % 2**64, parity ^ last


def write_index(path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
    """Write an index file atomically; several processes may do so at once."""
    table: dict[str, Any] = {}
    views: list[memoryview] = []
    size = total = parity = 0
    for name, array in arrays.items():
        view = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        table[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "offset": size}
        size += len(view) + _pad(len(view))
        more = checksum(view)
        total, parity = (total + more[0]) % 2**64, parity ^ more[1]
        views.append(view)
    head = json.dumps(
        {"meta": meta, "arrays": table, "size": size, "checksum": [total, parity]}, sort_keys=True
    ).encode("utf-8")
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        handle.write(_MAGIC)
        handle.write(np.array([FORMAT_VERSION, len(head)], dtype="<u8").tobytes())
        handle.write(head)
        handle.write(bytes(_start(len(head)) - handle.tell()))
        for view in views:
            handle.write(view)
            handle.write(bytes(_pad(len(view))))


def _start(head_size: int) -> int:
    """Return where the arrays start: the first multiple of 64 after the head."""
    size = len(_MAGIC) + 16 + head_size
    return size + _pad(size)


def open_index(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Map an index file into memory; return its arrays (read-only) and its meta data.

    Raises
    ------
    DamagedIndexError
        The file is not exactly what :func:`write_index` wrote.
    OSError
        It cannot be opened.
    """
    with path.open("rb") as handle:
        try:
            view = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DamagedIndexError("empty file") from None
    fixed = len(_MAGIC) + 16
    if view[: len(_MAGIC)] != _MAGIC or len(view) < fixed:
        raise DamagedIndexError("not a chain index")
    version, head_size = np.frombuffer(view, dtype="<u8", count=2, offset=len(_MAGIC)).tolist()
    if version != FORMAT_VERSION:
        raise DamagedIndexError(f"format version {version}, expected {FORMAT_VERSION}")
    try:
        head = json.loads(view[fixed : fixed + head_size])
        start = _start(head_size)
        if len(view) != start + head["size"]:
            raise DamagedIndexError(f"{len(view)} bytes, expected {start + head['size']}")
        if list(checksum(memoryview(view)[start:])) != head["checksum"]:
            raise DamagedIndexError("the checksum differs")
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in head["arrays"].items():
            shape = tuple(entry["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            dtype = np.dtype(entry["dtype"])
            if count == 0:
                arrays[name] = np.zeros(shape, dtype)
                continue
            flat = np.frombuffer(view, dtype=dtype, count=count, offset=start + entry["offset"])
            arrays[name] = flat.reshape(shape)
        meta = head["meta"]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedIndexError(f"the head cannot be read ({error!r})") from None
    return arrays, meta
