"""UCSC 2bit files through a memory map.

Format: https://genome.ucsc.edu/FAQ/FAQformat.html#format7 — header (signature, version, contig
count, reserved), an index of names and offsets, then one record per contig: size, blocks of N,
soft-masked blocks, and four bases per byte, the first in the highest bits, T C A G = 0 1 2 3.
Either byte order; version 1 has 64-bit offsets in the index.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ssldata.base.array_types import BoolArray, ByteArray, Int64Array
from ssldata.base.errors import InputError
from ssldata.genomes.gather_kernels import PackedContigs, WindowArrays, gather_twobit
from ssldata.genomes.memory_map import MappedFile

#: First four bytes of a 2bit file → byte order of all its numbers.
BYTE_ORDER_OF_MAGIC = {b"\x43\x27\x41\x1a": "<", b"\x1a\x41\x27\x43": ">"}


class TwoBitSource:
    """Contigs of one 2bit file.

    Parameters
    ----------
    path
        The file.
    label
        Its name in messages (the user's file when `path` is an unpacked copy of it).

    Raises
    ------
    InputError
        The file is cut short or contradicts itself.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._label = label
        self.mapped = MappedFile(path)
        self._data = self.mapped.data
        self._order = BYTE_ORDER_OF_MAGIC[self._data[:4].tobytes()]
        try:
            names, offsets = self._read_index()
            self._read_records(names, offsets)
        except struct.error as exc:
            raise self._cut_short() from exc
        self.names: tuple[str, ...] = names

    def _cut_short(self, contig: str = "") -> InputError:
        where = f", contig {contig}" if contig else ""
        return InputError(
            f"{self._label}{where}: this 2bit file is cut short or damaged (it has "
            f"{self._data.size} bytes, fewer than its index requires); fetch it again"
        )

    def _read_index(self) -> tuple[tuple[str, ...], list[int]]:
        version, count, _ = struct.unpack_from(self._order + "3I", self.mapped.buffer, 4)
        if version not in (0, 1):
            raise InputError(
                f"{self._label}: 2bit version {version} is not supported; expected 0 or 1 "
                "(convert it with faToTwoBit)"
            )
        offset_format = struct.Struct(self._order + ("I" if version == 0 else "Q"))
        names: list[str] = []
        offsets: list[int] = []
        at = 16
        for _ in range(count):
            if at >= self._data.size:
                raise self._cut_short()
            end = at + 1 + int(self._data[at])
            try:
                names.append(self._data[at + 1 : end].tobytes().decode("utf-8"))
            except UnicodeDecodeError as exc:
                raise InputError(
                    f"{self._label}: the name of contig number {len(names) + 1} is not text; "
                    "this 2bit file is damaged, fetch it again"
                ) from exc
            offsets.append(offset_format.unpack_from(self.mapped.buffer, end)[0])
            at = end + offset_format.size
        return tuple(names), offsets

    def _read_records(self, names: tuple[str, ...], offsets: list[int]) -> None:
        size = self._data.size
        number = struct.Struct(self._order + "I")
        sizes: list[int] = []
        packed_at: list[int] = []
        self._mask_at: list[int] = []
        n_first = [0]
        n_start = [np.empty(0, dtype=np.int64)]
        n_end = [np.empty(0, dtype=np.int64)]
        for name, offset in zip(names, offsets, strict=True):
            bases, n_count = struct.unpack_from(self._order + "2I", self.mapped.buffer, offset)
            if n_count:
                starts, ends = self._blocks(offset + 4, bases, name, "N")
                n_start.append(starts)
                n_end.append(ends)
            n_first.append(n_first[-1] + n_count)
            mask_at = offset + 8 + 8 * n_count
            (mask_count,) = number.unpack_from(self.mapped.buffer, mask_at)
            packed = mask_at + 4 + 8 * mask_count + 4
            if packed + (bases + 3) // 4 > size:
                raise self._cut_short(name)
            sizes.append(bases)
            packed_at.append(packed)
            self._mask_at.append(mask_at)
        self.sizes = np.array(sizes, dtype=np.int64)
        self._contigs = PackedContigs(
            np.array(packed_at, dtype=np.int64),
            np.array(n_first, dtype=np.int64),
            np.concatenate(n_start),
            np.concatenate(n_end),
        )
        self._mask: tuple[int, Int64Array, Int64Array] | None = None

    def _blocks(self, at: int, bases: int, name: str, what: str) -> tuple[Int64Array, Int64Array]:
        """Read a count, the starts and the sizes; return starts and ends, checked."""
        (count,) = struct.unpack_from(self._order + "I", self.mapped.buffer, at)
        at += 4
        if at + 8 * count > self._data.size:
            raise self._cut_short(name)
        kind = np.dtype(self._order + "u4")
        starts = self._data[at : at + 4 * count].view(kind).astype(np.int64)
        lengths = self._data[at + 4 * count : at + 8 * count].view(kind).astype(np.int64)
        ends = starts + lengths
        if count and (ends[-1] > bases or (starts[1:] < ends[:-1]).any()):
            raise InputError(
                f"{self._label}, contig {name}: the {what} blocks are not in order inside the "
                f"contig of {bases} b; this 2bit file is damaged, fetch it again"
            )
        return starts, ends

    def positions(self, windows: WindowArrays) -> Int64Array:
        """Return the bytes of the file where windows begin."""
        return self._contigs.first_byte[windows.contig] + (windows.start >> 2)

    def gather(self, windows: WindowArrays, rows: Int64Array, out: ByteArray) -> None:
        """Write the codes of the windows `rows` to their places in `out`."""
        gather_twobit(self._data, tuple(self._contigs), tuple(windows), rows, out)

    def soft_mask(self, contig: int, start: int, end: int) -> BoolArray:
        """Return where the bases [start, end) of a contig are soft-masked (lower case)."""
        if self._mask is None or self._mask[0] != contig:
            # One contig is kept: windows are asked for in genome order.
            bases = int(self.sizes[contig])
            blocks = self._blocks(self._mask_at[contig], bases, self.names[contig], "mask")
            self._mask = (contig, *blocks)
        _, starts, ends = self._mask
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, end, side="left"))
        mask = np.zeros(end - start, dtype=np.bool_)
        for i in range(first, last):
            mask[max(int(starts[i]), start) - start : int(ends[i]) - start] = True
        return mask
