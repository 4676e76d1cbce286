"""Checkpoints as ``torch.save`` writes them, made without PyTorch."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def text(value: str) -> bytes:
    """Pickle opcodes that push a string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integers(*values: int) -> bytes:
    """Pickle opcodes that push a tuple of integers."""
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor_program(
    key: str,
    shape: tuple[int, ...],
    *,
    count: int | None = None,
    storage: str = "FloatStorage",
    offset: int = 0,
    stride: tuple[int, ...] | None = None,
) -> bytes:
    """Pickle opcodes that push a tensor, as ``torch.save`` writes them."""
    if stride is None:
        stride = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    count = int(np.prod(shape)) if count is None else count
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage")
        + f"ctorch\n{storage}\n".encode()
        + text(key)
        + text("cpu")
        + b"J"
        + struct.pack("<i", count)
        + b"tQJ"
        + struct.pack("<i", offset)
        + integers(*shape)
        + integers(*stride)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def dict_program(items: dict[str, bytes]) -> bytes:
    """Pickle program of an ordered mapping of names to what opcodes push."""
    body = b"".join(text(name) + value for name, value in items.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + body + b"u."


def write_zip(path: Path, program: bytes, records: dict[str, bytes], **options: Any) -> Path:
    """Write a checkpoint of PyTorch's zip format."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for key, data in records.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return path


def write_bin(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """Write float32 tensors as ``torch.save`` does."""
    program = dict_program(
        {name: tensor_program(str(n), v.shape) for n, (name, v) in enumerate(tensors.items())}
    )
    records = {str(n): value.astype("<f4").tobytes() for n, value in enumerate(tensors.values())}
    return write_zip(path, program, records)
