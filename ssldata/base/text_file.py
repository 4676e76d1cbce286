"""Text files, by one set of rules for every reader: unpacking, encoding, lines, columns, numbers.

Lines end in LF, CRLF or CR, in any mixture. A byte order mark and blanks at the end of a line mean
nothing. Numbers are written in ASCII digits and nothing else. What cannot be read is refused with
its line. (``crosslabel liftover`` splits BED lines as the UCSC tool does instead.)
"""

from __future__ import annotations

import bz2
import csv
import io
import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ssldata.base.errors import InputError, MissingInputError

#: Bytes read, and unpacked, at a time.
_PACKED_PIECE, _PIECE = 2**18, 2**22

#: More than this, and than so many times its own size, is not what a text file unpacks to.
_BOMB_BYTES, _BOMB_RATIO = 2**30, 100

_GZIP, _BZIP2, _ZIP = b"\x1f\x8b", b"BZh", b"PK\x03\x04"

#: First bytes of files that are not read, with what to do about it.
_UNREADABLE = {
    b"\xfd7zXZ\0": "is an xz file; unpack it with `xz -d` first",
    b"\x28\xb5\x2f\xfd": "is a zstd file; unpack it with `zstd -d` first",
    b"\x1f\x9d": "is packed by `compress` (.Z); unpack it with `gzip -d` first",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it first",
    b"\xff\xfe\0\0": "is UTF-32 text; save it as UTF-8",
    b"\0\0\xfe\xff": "is UTF-32 text; save it as UTF-8",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
}
#: What is wrong with a text that has a NUL byte.
_NUL = "not a text file (a NUL byte); UTF-16 must be saved as UTF-8"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Lines of BED files that are not rows. A contig may be called track1.
_NO_ROW = re.compile(r"#|(track|browser)([ \t]|$)")

#: Most scores: they need no closer look.
_BED_SCORES = frozenset(map(str, range(1001)))
#: How numbers are written.
WHOLE = re.compile(r"(0|-?[1-9][0-9]*)")
NUMBER = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_bytes(path: str | Path, *, missing: str = "no such file") -> bytes:
    """Return the content of a file, unpacked.

    gzip (one or many members, so bgzip too), bzip2 and zip are recognised by their first bytes,
    not by the name of the file. Pipes are read like files; ``stdin`` and ``-`` are standard input.

    Parameters
    ----------
    path
        The file.
    missing
        What to say when it does not exist.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        It cannot be read, is cut short or damaged, or packed in a way that is not supported.
    """
    where = str(path)
    try:
        if where in {"stdin", "-", "/dev/stdin"}:
            data = sys.stdin.buffer.read() if sys.stdin else b""
        else:
            data = Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingInputError(f"{where}: {missing}") from None
    except (OSError, ValueError) as exc:  # ValueError: a NUL byte in the name
        raise InputError(
            f"{where}: cannot be read ({getattr(exc, 'strerror', None) or exc})"
        ) from None
    return unpack(data, where=where)


def unpack(data: bytes, *, where: str) -> bytes:
    """Return `data`, unpacked when its first bytes are those of gzip, bzip2 or zip."""
    if data.startswith((_GZIP, _BZIP2, _ZIP)):
        return b"".join(unpacked(io.BytesIO(data), where=where))
    refuse_unreadable(data[:8], where=where)
    return data


def refuse_unreadable(start: bytes, *, where: str) -> None:
    """Refuse a file by its first bytes: other kinds of compression, UTF-16 and UTF-32."""
    for magic, problem in _UNREADABLE.items():
        if start.startswith(magic):
            raise InputError(f"{where}: {problem}")


def is_packed(start: bytes) -> bool:
    """Return whether a file with these first bytes is one that :func:`unpacked` unpacks."""
    return start.startswith((_GZIP, _BZIP2, _ZIP))


def unpacked(handle: BinaryIO, *, where: str) -> Iterator[bytes]:
    """Yield the content of an open gzip, bzip2 or zip file in pieces.

    Parameters
    ----------
    handle
        The file, at its beginning.
    where
        Its name in messages.

    Raises
    ------
    InputError
        Cut short (a bgzip file without its last block, too), damaged, followed by something else,
        a zip of several files, or absurdly large once unpacked.
    """
    counted = _Counted(handle)
    total = 0
    start = counted.read(_PACKED_PIECE)
    way = _gunzip if start.startswith(_GZIP) else _bunzip2 if start.startswith(_BZIP2) else _unzip
    try:
        for piece in way(start, counted, where):
            total += len(piece)
            _refuse_bomb(total, counted.size, where)
            yield piece
    except EOFError:
        raise InputError(
            f"{where}: this compressed file is cut short (its end is missing); fetch it again and "
            "check it with `gzip -t`"
        ) from None
    except InputError:
        raise
    except _DAMAGE as exc:
        raise InputError(
            f"{where}: the compressed data are damaged ({exc}); fetch it again"
        ) from exc


def _refuse_bomb(size: int, packed: int, where: str) -> None:
    if size > max(_BOMB_BYTES, _BOMB_RATIO * packed):
        raise InputError(
            f"{where}: unpacks to more than {_BOMB_RATIO} times its size and "
            f"{_BOMB_BYTES >> 30} GiB, as no text does; unpack it yourself to use it"
        )


class _DamagedError(Exception):
    """Packed data that are not what they should be."""


#: What the libraries raise when they meet one.
_DAMAGE = (
    _DamagedError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError,
    LookupError, struct.error,
)  # fmt: skip


class _Counted:
    """A file and how much of it was read."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle
        self.size = 0

    def read(self, size: int) -> bytes:
        data = self.handle.read(size)
        self.size += len(data)
        return data


def _gunzip(data: bytes, source: _Counted, where: str) -> Iterator[bytes]:
    """Unpack the members of a gzip file, one after the other."""
    while data:
        if len(data) < 18:
            data += source.read(_PACKED_PIECE)
        if data == _GZIP[:1]:
            raise EOFError
        if not data.startswith(_GZIP):
            raise _DamagedError("something that is not gzip follows the packed data")
        is_bgzf, is_empty = data[12:14] == b"BC" and data[3] & 4 > 0, True
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            piece = member.decompress(data, _PIECE)
            is_empty = is_empty and not piece
            yield piece
            if not member.eof:
                data = member.unconsumed_tail or source.read(_PACKED_PIECE)
                if not data:
                    raise EOFError
        data = member.unused_data or source.read(_PACKED_PIECE)
        while data[:1] == b"\0":  # archives on tape are padded
            data = data.lstrip(b"\0") or source.read(_PACKED_PIECE)
    if is_bgzf and not is_empty:
        # Cut between two blocks it is valid gzip; only the missing empty block at the end shows it
        # (SAM specification, 4.1.2).
        raise EOFError


def _bunzip2(data: bytes, source: _Counted, where: str) -> Iterator[bytes]:
    """Unpack the streams of a bzip2 file, one after the other."""
    while data:
        if len(data) < len(_BZIP2):
            data += source.read(_PACKED_PIECE)
        if data in (_BZIP2[:1], _BZIP2[:2]):
            raise EOFError
        if not data.startswith(_BZIP2):
            raise _DamagedError("something that is not bzip2 follows the packed data")
        stream = bz2.BZ2Decompressor()
        while not stream.eof:
            try:
                yield stream.decompress(data, _PIECE)
            except OSError as exc:
                raise _DamagedError(exc) from exc
            data = b""
            if stream.needs_input and not (data := source.read(_PACKED_PIECE)):
                raise EOFError
        data = stream.unused_data or source.read(_PACKED_PIECE)


def _unzip(data: bytes, source: _Counted, where: str) -> Iterator[bytes]:
    """Unpack the only file of a zip archive."""
    whole = io.BytesIO(data + source.read(-1))
    with zipfile.ZipFile(whole) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) != 1:
            raise InputError(
                f"{where}: a zip archive of {len(members)} files; expected one, unpack it first"
            )
        if members[0].flag_bits & 1:
            raise InputError(f"{where}: this zip archive needs a password; unpack it first")
        with archive.open(members[0]) as member:
            while piece := member.read(_PIECE):
                yield piece


def text_of(data: bytes, *, where: str) -> str:
    """Return bytes as text; see :func:`plain_bytes`.

    Raises
    ------
    InputError
        They are not UTF-8; the message names the line.
    """
    data = plain_bytes(data, where=where)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = _line_at(data, exc.start)
        raise InputError(f"{where}, line {line}: {_not_utf8(data[exc.start])}") from None


def plain_bytes(data: bytes, *, where: str) -> bytes:
    """Return the bytes of a text without a byte order mark.

    Raises
    ------
    InputError
        They are UTF-16 or UTF-32, or contain a NUL byte, so that it is no text.
    """
    refuse_unreadable(data[:8], where=where)
    at = data.find(b"\0")
    if at >= 0:
        raise InputError(f"{where}, line {_line_at(data, at)}: {_NUL}")
    return data[3:] if data.startswith(BYTE_ORDER_MARK) else data


def _not_utf8(byte: int) -> str:
    return f"not a text file (byte {byte:#04x} is not UTF-8)"


def _line_at(data: bytes, at: int) -> int:
    before = data[:at]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def read_text(path: str | Path, *, missing: str = "no such file") -> str:
    """Return the text of a file, which may be packed: :func:`read_bytes`, then :func:`text_of`."""
    return text_of(read_bytes(path, missing=missing), where=str(path))


def text_lines(text: str) -> list[str]:
    """Return the lines of a text, without their ends."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")


def streamed_lines(path: str | Path, *, missing: str = "no such file") -> Iterator[tuple[int, str]]:
    """Yield the number and the text of every line of a file, which may be packed.

    The rules are those of :func:`read_text` and :func:`text_lines`, in memory for a piece of the
    file at a time; a line that the file ends with is left out where it is empty.

    Parameters
    ----------
    path
        The file, or a pipe.
    missing
        What to say when it does not exist.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        It cannot be read, is cut short or damaged, or is no text.
    """
    where = str(path)
    number, rest = 1, b""
    for piece in _plain_pieces(path, missing=missing):
        data = rest + piece
        # What follows the last end of a line waits; so does a CR, which a LF may follow.
        kept = len(data) - data.endswith(b"\r")
        end = max(data.rfind(b"\n", 0, kept), data.rfind(b"\r", 0, kept)) + 1
        if not end:
            rest = data
            continue
        if data[end - 1 : end + 1] == b"\r\n":
            end += 1
        whole, rest = data[:end], data[end:]
        for line in text_lines(_decoded(whole, number, where))[:-1]:
            yield number, line
            number += 1
    if rest:
        last = text_lines(_decoded(rest, number, where))
        yield from enumerate(last if last[-1] else last[:-1], start=number)


def _plain_pieces(path: str | Path, *, missing: str) -> Iterator[bytes]:
    """Yield the content of a file, unpacked and without a byte order mark."""
    where = str(path)
    try:
        with Path(path).open("rb") as handle:
            start = handle.peek(8)[:8]
            refuse_unreadable(start, where=where)
            pieces = (
                unpacked(handle, where=where)
                if is_packed(start)
                else iter(lambda: handle.read(_PIECE), b"")
            )
            first = b""
            for piece in pieces:
                first += piece
                if len(first) >= 8:
                    break
            refuse_unreadable(first[:8], where=where)
            yield first[3:] if first.startswith(BYTE_ORDER_MARK) else first
            yield from pieces
    except FileNotFoundError:
        raise MissingInputError(f"{where}: {missing}") from None
    except OSError as exc:
        raise InputError(f"{where}: cannot be read ({exc.strerror or exc})") from None


def _decoded(data: bytes, number: int, where: str) -> str:
    """Return lines as text; the first has `number`."""
    at = data.find(b"\0")
    if at >= 0:
        line = number - 1 + _line_at(data, at)
        raise InputError(f"{where}, line {line}: {_NUL}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = number - 1 + _line_at(data, exc.start)
        raise InputError(f"{where}, line {line}: {_not_utf8(data[exc.start])}") from None


def bed_rows(text: str, *, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of every row of a BED file.

    Columns are separated by tabs, or by blanks in lines without tabs; empty ones at the end are
    left out.

    Raises
    ------
    InputError
        A row has fewer columns than the first: the line was cut, or two files were mixed.
    """
    expected = 0
    for number, line in enumerate(text_lines(text), start=1):
        row = line.rstrip(" \t")
        if not row or (row[0] in "#tb" and _NO_ROW.match(row)):
            continue
        columns = row.split("\t")
        if len(columns) == 1:
            columns = row.split()
        if len(columns) < expected and 1 + line.count("\t") < expected:
            raise InputError(_fewer(where, number, len(columns), expected))
        expected = expected or len(columns)
        yield number, columns


def table_rows(
    path: Path, *, separator: str, missing: str = "no such file"
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of every row of a table; ``#`` begins a comment line.

    Blanks around a value mean nothing, and neither do empty columns beyond those of the first row.
    Values with commas may be quoted; tab-separated ones are taken as they are.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        It is no text, or a row has fewer columns than the first.
    """
    expected = 0
    for number, line in enumerate(text_lines(read_text(path, missing=missing)), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            columns = _split(line, separator)
        except csv.Error as exc:
            raise InputError(f"{path}, line {number}: {exc}") from None
        while len(columns) > max(expected, 1) and not columns[-1]:
            columns.pop()
        expected = expected or len(columns)
        if len(columns) < expected:
            raise InputError(_fewer(path, number, len(columns), expected))
        yield number, columns


def _split(line: str, separator: str) -> list[str]:
    if separator == "\t":
        return [value.strip() for value in line.split(separator)]
    values = next(csv.reader([line], delimiter=separator, strict=True))
    return [value.strip() for value in values]


def _fewer(where: str | Path, number: int, found: int, expected: int) -> str:
    return f"{where}, line {number}: {found} columns, but the first row has {expected}"


def whole_number(text: str, what: str) -> int:
    """Return a whole number.

    Raises
    ------
    ValueError
        It is written in another way: ``+5``, ``05``, ``1_000``, ``4e2``, digits of other scripts.
    """
    try:
        value = int(text)
        if str(value) == text:  # int() reads more than one spelling
            return value
    except ValueError:
        pass
    raise ValueError(f"{what} is {shown(text)}, expected a whole number")


def count_in(text: str, what: str, *, where: str) -> int:
    """Return a whole number from 0 of a table.

    Raises
    ------
    InputError
        It is none, by the rules of :func:`whole_number`; the message begins with `where`.
    """
    try:
        value = whole_number(text, what)
    except ValueError as exc:
        raise InputError(f"{where}: {exc}") from None
    if value < 0:
        raise InputError(f"{where}: {what} is {shown(text)}, expected a whole number from 0")
    return value


def real_number(text: str, what: str) -> float:
    """Return a number that may have a decimal point and an exponent.

    Raises
    ------
    ValueError
        It is no number, or not a finite one.
    """
    if text in _BED_SCORES or (NUMBER.fullmatch(text) and math.isfinite(float(text))):
        return float(text)
    raise ValueError(f"{what} is {shown(text)}, expected a number")


def shown(text: str) -> str:
    """Return a word of a file for a message, which a binary file must not flood."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
