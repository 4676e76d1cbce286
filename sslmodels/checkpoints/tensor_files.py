"""Files of named tensors: PyTorch's zip format and safetensors, read; safetensors, written."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import atomic_path
from sslmodels.checkpoints.checkpoint_shards import is_index, tensors_of_shards
from sslmodels.checkpoints.torch_checkpoint import read_pytorch, widen

_SHOWN = 6


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a PyTorch zip or safetensors file; its content decides, not its name.

    The index of a checkpoint in several files (``*.index.json``) stands for all of them.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Neither format, damaged, or a PyTorch file that would run code; or a file has other
        tensors than its index lists.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such checkpoint")
    if is_index(path):
        return _read_shards(path)
    with path.open("rb") as handle:
        start = handle.read(16)
    if start.startswith(b"PK"):
        return read_pytorch(path)
    if start[8:9] == b"{":
        return read_safetensors(path)[0]
    hint = (
        "the file is a Git LFS pointer: fetch the real file with `git lfs pull`"
        if start.startswith(b"version https://")
        else "files of PyTorch before 1.6 are bare pickles and are not read"
        if start.startswith(b"\x80")
        else "download it again"
    )
    raise InputError(f"{path}: neither a PyTorch zip checkpoint nor safetensors; {hint}")


def _read_shards(index: Path) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for path, names in tensors_of_shards(index).items():
        found = read_tensors(path)
        if different := sorted(found.keys() ^ set(names)):
            raise InputError(
                f"{path}: {len(different)} tensors are here or in {index.name} but not in both: "
                f"{', '.join(different[:_SHOWN])}; download both again"
            )
        tensors |= found
    return tensors


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the tensors (bfloat16 as float32) and the metadata of a safetensors file.

    Raises
    ------
    InputError
        Damaged, or numbers of an unsupported type.
    """
    safetensors = _library()
    try:
        # The library checks the whole header. NumPy has no bfloat16: those are read as bits, below.
        with safetensors.safe_open(path, framework="numpy") as opened:
            metadata = dict(opened.metadata() or {})
            kinds = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118 - not a mapping
            tensors = {
                name: opened.get_tensor(name) for name, kind in kinds.items() if kind != "BF16"
            }
    except (safetensors.SafetensorError, OSError) as exc:
        raise InputError(
            f"{path}: damaged safetensors file ({exc}{_first_cut(path)}); download it again"
        ) from exc
    except AttributeError as exc:  # raised by the library for types that NumPy lacks
        raise InputError(
            f"{path}: holds {', '.join(sorted(set(kinds.values())))}; save it as F32, F16 or BF16"
        ) from exc
    wide = [name for name, kind in kinds.items() if kind == "BF16"]
    if wide:
        tensors.update(_read_bfloat16(path, wide))
    return {name: tensors[name] for name in kinds}, metadata


def _first_cut(path: Path) -> str:
    """Return in words within which tensor a truncated file ends; "" if it is not truncated."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        if length > size:
            return ""
        try:
            header = json.loads(handle.read(length))
            ends = {n: int(v["data_offsets"][1]) for n, v in header.items() if n[:2] != "__"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ""
    cut = [name for name, end in ends.items() if end > size - 8 - length]
    return f"; it ends within tensor {min(cut, key=ends.__getitem__)!r}" if cut else ""


def _read_bfloat16(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """Read tensors straight from the file: 8 bytes of header length, JSON, data."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(length))
    data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r", offset=8 + length)
    found = {}
    for name in names:
        first, stop = header[name]["data_offsets"]
        found[name] = widen(data[first:stop].view("<u2")).reshape(header[name]["shape"])
    return found


def _library() -> Any:
    try:
        import safetensors
    except ImportError as exc:
        raise ConfigError(
            "safetensors files need the package 'safetensors'; install crosslabel[dnabert2]"
        ) from exc
    return safetensors


def write_safetensors(
    path: Path, tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]
) -> None:
    """Write float32 tensors as a safetensors file, whole or not at all.

    Equal contents give equal bytes, which the library does not guarantee (it shuffles metadata).

    Raises
    ------
    TypeError
        A tensor of another type.
    """
    if any(value.dtype != np.float32 for value in tensors.values()):
        raise TypeError("only float32 tensors are written")
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    place = 0
    for name, value in tensors.items():
        stop = place + 4 * value.size
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data start at a multiple of 8
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            handle.write(np.ascontiguousarray(value, "<f4").data)
