"""2bit files written base by base."""

from __future__ import annotations

import itertools
import struct


def runs(flags) -> tuple[list[int], list[int]]:
    """Starts and sizes of the stretches that are true."""
    starts, sizes, at = [], [], 0
    for value, group in itertools.groupby(flags):
        size = len(list(group))
        if value:
            starts.append(at)
            sizes.append(size)
        at += size
    return starts, sizes


def twobit(contigs: dict[str, str], order: str = "<", version: int = 0) -> bytes:
    """Write 2bit, base by base."""
    records = []
    for sequence in contigs.values():
        record = struct.pack(order + "I", len(sequence))
        for flags in ([b in "Nn" for b in sequence], [b.islower() for b in sequence]):
            starts, sizes = runs(flags)
            record += struct.pack(f"{order}I{2 * len(starts)}I", len(starts), *starts, *sizes)
        record += struct.pack(order + "I", 0)
        for i in range(0, len(sequence), 4):
            four = sequence[i : i + 4].upper().replace("N", "T").ljust(4, "T")
            record += bytes([sum("TCAG".index(b) << (6 - 2 * k) for k, b in enumerate(four))])
        records.append(record)
    size = 4 if version == 0 else 8
    at = 16 + sum(1 + len(name.encode()) + size for name in contigs)
    index = b""
    for name, record in zip(contigs, records, strict=True):
        index += bytes([len(name.encode())]) + name.encode()
        index += struct.pack(order + ("I" if version == 0 else "Q"), at)
        at += len(record)
    return (
        struct.pack(order + "4I", 0x1A412743, version, len(contigs), 0) + index + b"".join(records)
    )
