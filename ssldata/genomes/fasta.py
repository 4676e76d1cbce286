"""FASTA files, indexed once into the cache, then read through a memory map.

One compiled pass indexes and checks a FASTA of the plainest layout, about fifty times as fast as
pyfaidx. Any other is left to pyfaidx, and its assumption that every line is as long as the index
has it is checked byte by byte before an index enters the cache; a FASTA with ragged lines
is rewritten into the cache with regular ones. Nothing is written beside the user's file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyfaidx
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int64Array
from ssldata.base.errors import InputError
from ssldata.base.files import digest_of, write_text_atomic
from ssldata.base.locks import one_at_a_time
from ssldata.base.text_file import BYTE_ORDER_MARK
from ssldata.genomes.gather_kernels import (
    CLASS_OF_BYTE,
    OTHER,
    RAGGED,
    STRANGE,
    FastaLines,
    WindowArrays,
    check_contig,
    first_header,
    gather_fasta,
    index_contig,
)
from ssldata.genomes.genome_cache import cache_write, kept, place, whole
from ssldata.genomes.memory_map import MappedFile

#: Suffixes that pyfaidx relies on, whatever the file contains.
_MISLEADING_SUFFIXES = (".gz", ".bgz", ".bz2", ".zip")

#: Bases per line of a rewritten FASTA, and how much of a ragged one is read at a time.
_REWRITE_LINE = 2**16
_REWRITE_PIECE = 2**20
_BLANKS = dict.fromkeys(map(ord, " \t\n\r\v\f"))


class _RaggedError(Exception):
    """The lines of a FASTA do not follow the rule that indexed access needs."""


class FastaSource:
    """Contigs of one plain FASTA.

    Parameters
    ----------
    path
        The FASTA, uncompressed.
    label
        Its name in messages (the user's file when `path` is an unpacked copy of it).
    key
        Name of its files in the cache, from :func:`ssldata.genomes.genome_cache.cache_key`.

    Raises
    ------
    InputError
        Not a FASTA, no or repeated names, characters that are not bases.
    """

    def __init__(self, path: Path, label: str, key: str) -> None:
        path, index = _indexed(path, label, key)
        self.names: tuple[str, ...] = tuple(index)
        self.sizes, self._lines = _layout(index)
        self.mapped = MappedFile(path)
        self._data = self.mapped.data

    def _file_position(self, contig: NDArray, position: NDArray) -> Int64Array:
        line, column = np.divmod(position, self._lines.bases[contig])
        return self._lines.offset[contig] + line * self._lines.width[contig] + column

    def positions(self, windows: WindowArrays) -> Int64Array:
        """Return about where windows begin in the file: line ends, 1 or 2 %, are not counted."""
        return self._lines.offset[windows.contig] + windows.start

    def gather(self, windows: WindowArrays, rows: Int64Array, out: ByteArray) -> None:
        """Write the codes of the windows `rows` to their places in `out`."""
        gather_fasta(self._data, tuple(self._lines), tuple(windows), rows, out)

    def soft_mask(self, contig: int, start: int, end: int) -> BoolArray:
        """Return where the bases [start, end) of a contig are soft-masked (lower case)."""
        if start == end:
            return np.zeros(0, dtype=np.bool_)
        ends = np.array([start, end - 1])
        first, last = self._file_position(np.array([contig, contig]), ends)
        letters = self._data[first : last + 1]
        # The layout was checked: what is not a line end is a base.
        letters = letters[letters > ord(" ")]
        return (letters >= ord("a")) & (letters <= ord("z"))


class _Lines(NamedTuple):
    """A line of a ``.fai`` file: bases, byte of the first, bases and bytes per line."""

    bases: int
    offset: int
    line_bases: int
    line_bytes: int


def _layout(index: Mapping[str, _Lines]) -> tuple[Int64Array, FastaLines]:
    """Return the sizes of the contigs and where their lines are; a base per line at least."""
    table = np.array(list(index.values()), dtype=np.int64).reshape(-1, 4)
    sizes, offset, bases, width = (table[:, i].copy() for i in range(4))
    return sizes, FastaLines(offset, np.maximum(bases, 1), np.maximum(width, 1))


def _indexed(path: Path, label: str, key: str) -> tuple[Path, dict[str, _Lines]]:
    """Return a FASTA with regular lines and its index: the file itself or its cached copy."""
    with one_at_a_time(key):
        regular = whole(key, ".lines.fa")
        if regular is None:
            if not (path.name.lower().endswith(_MISLEADING_SUFFIXES) or _mark_bytes(path)):
                try:
                    return path, _index(path, key, ".fai", label)
                except _RaggedError:
                    pass
            regular = place(key, ".lines.fa")
            _rewrite(path, regular, label)
        try:
            return regular, _index(regular, key, ".lines.fai", label)
        except _RaggedError as exc:
            raise _not_fasta(label, str(exc) or "its lines make no sense") from exc


def _mark_bytes(path: Path) -> int:
    """Return the size of the byte order mark with which a file begins."""
    with path.open("rb") as handle:
        return len(BYTE_ORDER_MARK) if handle.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0


def _index(path: Path, key: str, suffix: str, label: str) -> dict[str, _Lines]:
    """Return the index of an uncompressed FASTA, made and checked the first time.

    Raises
    ------
    _RaggedError
        Lines of one contig differ in length, or end in unusual ways.
    InputError
        Not a FASTA, no or repeated names, characters that are not bases.
    """
    if known := _known_index(kept(key, suffix)):
        return _parse(known)
    text = plain_index(path) or _index_of_any(path, label)
    with contextlib.suppress(OSError):  # an index need not be kept
        write_text_atomic(place(key, suffix), f"{digest_of(text)}\n{text}")
    return _parse(text)


def _known_index(fai: Path | None) -> str:
    """Return the text of a ``.fai`` in the cache, whose first line is its checksum; "": none."""
    if fai is None:
        return ""
    try:
        checksum, _, text = fai.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return ""
    return text if checksum == digest_of(text) else ""


def _parse(text: str) -> dict[str, _Lines]:
    """Return the lines of a ``.fai`` file by the name of the contig."""
    index = {}
    for line in text.removesuffix("\n").split("\n"):
        name, *numbers = line.split("\t")
        index[name] = _Lines(*map(int, numbers))
    return index


def _index_of_any(path: Path, label: str) -> str:
    """Return the text of the ``.fai`` of a FASTA of any layout, checked; errors of :func:`_index`.

    pyfaidx writes it to a folder of its own: there, a full disk is no concern of the cache.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            fai = Path(folder, "fai")
            with pyfaidx.Faidx(str(path), indexname=str(fai)):
                pass
            text = fai.read_text(encoding="utf-8")
        _check(path, _parse(text), label)
    except pyfaidx.FastaNotFoundError as exc:  # an unpacked copy that was deleted a moment ago
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from exc
    except pyfaidx.FastaIndexingError as exc:
        # The last two may be a very old file whose lines end in a lone carriage return.
        if any(word in str(exc) for word in ("not consistent", "valid sequence", "Unexpected")):
            raise _RaggedError(str(exc).replace(str(path), label)) from exc
        raise _not_fasta(label, str(exc).replace(str(path), label)) from exc
    except RuntimeError as exc:  # what pyfaidx raises for blank lines it has no rule for
        raise _RaggedError from exc
    except UnicodeDecodeError as exc:
        raise InputError(
            f"{label}: neither FASTA nor 2bit (byte {exc.object[exc.start]:#04x} is not text)"
        ) from exc
    except ValueError as exc:
        if "Duplicate key" not in str(exc):
            raise
        name = str(exc).split('"')[1]
        raise InputError(
            f"{label}: contig {name!r} occurs twice; names must be unique, rename or remove one"
        ) from exc
    return text


def plain_index(path: Path) -> str | None:
    """Return the text of the ``.fai`` of a FASTA of the plainest layout, None for any other."""
    mapped = MappedFile(path)
    lines: dict[str, str] = {}
    at = 0
    while at < mapped.data.size:
        size, offset, width, end = index_contig(mapped.data, at)
        try:
            (name, *_) = mapped.buffer[at + 1 : offset].decode("utf-8").split()
        except ValueError:  # no text, or no name
            return None
        if size < 0 or name in lines:
            return None
        lines[name] = f"{name}\t{size}\t{offset}\t{width}\t{width + 1}\n"
        mapped.touched(end - at)
        at = end
    return "".join(lines.values()) or None


def _not_fasta(label: str, why: object) -> InputError:
    return InputError(
        f"{label}: not a FASTA file: expected lines '>name' and sequences below them ({why})"
    )


def _not_a_base(label: str, name: str, letter: str, position: int) -> InputError:
    return InputError(
        f"{label}, contig {name}: {letter!r} at base {position} (counted from 0) is not a base; "
        "expected letters, '-', '*', '.' or '?'"
    )


def _check(path: Path, index: Mapping[str, _Lines], label: str) -> None:
    """Check an index against every byte of its file."""
    mapped = MappedFile(path)
    data = mapped.data
    sizes, lines = _layout(index)
    at = first_header(data)
    for name, *layout in zip(index, sizes, *lines, strict=True):
        begin = at
        verdict, at = check_contig(data, at, *layout)
        if verdict == RAGGED:
            raise _RaggedError
        if verdict == STRANGE:
            byte, position = _first_strange(data, *(int(value) for value in layout))
            raise _not_a_base(label, name, chr(byte), position)
        mapped.touched(at - begin)
    if at < data.size:
        raise _RaggedError


def _first_strange(
    data: ByteArray, size: int, offset: int, line_bases: int, line_width: int
) -> tuple[int, int]:
    """Return the first byte of a contig that is not a base, and its position in the contig."""
    lines = -(-size // line_bases)
    region = data[offset : offset + lines * line_width]
    at = int(np.argmax(CLASS_OF_BYTE[region] == OTHER))
    return int(region[at]), at - at // line_width * (line_width - line_bases)


def _rewrite(path: Path, target: Path, label: str) -> None:
    """Write a FASTA with regular lines to `target`; the sequences are those of `path`."""
    # Latin-1 keeps every byte; universal newlines know \n, \r\n and \r.
    with (
        path.open("r", encoding="latin-1", newline=None) as ragged,
        cache_write(target, label) as temporary,
        temporary.open("w", encoding="latin-1", newline="\n") as regular,
    ):
        ragged.seek(_mark_bytes(path))
        waiting, header, bases = "", "", 0
        line_start, in_header = True, False
        # Pieces, not lines: a whole chromosome may be one line.
        while piece := ragged.readline(_REWRITE_PIECE):
            if line_start and piece[0] == ">":
                regular.write(f"{waiting}\n" if waiting else "")
                waiting, header, bases, in_header = "", piece, 0, True
            if in_header or not header:
                regular.write(piece)
            else:
                letters = piece.translate(_BLANKS)
                if ">" in letters:  # must not end up at the start of a line
                    name = "".join(header[1:].split()[:1])
                    raise _not_a_base(label, name, ">", bases + letters.index(">"))
                bases += len(letters)
                waiting += letters
                whole = len(waiting) // _REWRITE_LINE * _REWRITE_LINE
                for i in range(0, whole, _REWRITE_LINE):
                    regular.write(f"{waiting[i : i + _REWRITE_LINE]}\n")
                waiting = waiting[whole:]
            line_start = piece[-1] == "\n"
            in_header = in_header and not line_start
        regular.write(f"{waiting}\n" if waiting else "")
