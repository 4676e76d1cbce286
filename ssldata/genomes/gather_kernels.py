"""Compiled loops over mapped sequence files. Every caller has checked every bound.

Indices are unsigned on purpose: signed ones may be negative in Python, and testing for that at
every base costs a factor of four.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ssldata.base.array_types import Arrays, ByteArray, Int8Array, Int64Array
from ssldata.genomes.onehot import CODE_OF_BYTE, N_CODE
from ssldata.genomes.prefetch import prefetch

#: Verdicts of :func:`check_contig`.
REGULAR, RAGGED, STRANGE = 0, 1, 2

#: What a byte of a sequence may be besides a base (0): blank space, or neither.
SPACE, OTHER = 1, 2


#: uint8[256]: what each byte is in a sequence.
CLASS_OF_BYTE = np.full(256, OTHER, dtype=np.uint8)
# Letters, and what some assemblies write for a gap or an unknown base.
CLASS_OF_BYTE[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-*.?")] = 0
CLASS_OF_BYTE[list(b" \t\r\n\v\f")] = SPACE

# uint8[256, 4]: byte of a 2bit file → its four base codes (T C A G = 0 1 2 3, highest bits first).
_UNPACKED = np.stack(
    [
        CODE_OF_BYTE[np.frombuffer(b"TCAG", dtype=np.uint8)][(np.arange(256) >> shift) & 3]
        for shift in (6, 4, 2, 0)
    ],
    axis=1,
)


#: Windows prefetched before their turn, and how much of a long one at most: scattered windows
#: take less than half the time.
_AHEAD, _AHEAD_BYTES, _CACHE_LINE = 8, 2048, 64


class WindowArrays(NamedTuple):
    """Windows to read; 0-based, on the forward strand."""

    contig: Int64Array
    start: Int64Array
    length: Int64Array
    strand: Int8Array  #: −1 gives the reverse complement
    place: Int64Array  #: where its codes begin in the flat output


class FastaLines(NamedTuple):
    """Per contig: byte of its first base, bases per line, bytes per line with the line end."""

    offset: Int64Array
    bases: Int64Array
    width: Int64Array


class PackedContigs(NamedTuple):
    """Contigs of a 2bit file."""

    first_byte: Int64Array  #: per contig: byte where its packed bases begin
    n_first: Int64Array  #: blocks of N of contig c: ``n_first[c]:n_first[c + 1]`` of the next two
    n_start: Int64Array
    n_end: Int64Array


@numba.njit(nogil=True, cache=True)
def _fetch(data: ByteArray, at: int, size: int) -> None:
    """Start fetching a window into the processor's cache."""
    # One line more: a window need not begin at the start of a cache line.
    for k in range(0, min(size, _AHEAD_BYTES) + _CACHE_LINE, _CACHE_LINE):
        prefetch(data, at + k)


@numba.njit(nogil=True, cache=True)
def code_of_letter(letter: int) -> np.uint8:
    """Return the base code of one ASCII byte: CODE_OF_BYTE as arithmetic.

    Loops over it become vector instructions, which look-ups in a table do not. Bits 1 and 2 of
    the letters A, C, T, G count 0, 1, 2, 3 in either case.
    """
    upper = np.uint8(letter & 0xDF)
    if upper == ord("A") or upper == ord("C") or upper == ord("G") or upper == ord("T"):
        return np.uint8((upper >> 1 ^ upper >> 2) & 3)
    return np.uint8(N_CODE)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gather_fasta(
    data: ByteArray, lines: Arrays, windows: Arrays, rows: Int64Array, out: ByteArray
) -> None:
    """Write the base codes of the windows `rows` of a FASTA to their places in `out`.

    Parameters
    ----------
    data
        uint8, the file.
    lines, windows
        Fields of :class:`FastaLines` and :class:`WindowArrays`.
    rows
        int64, the windows to write.
    out
        uint8, the codes of all windows.
    """
    offset, line_bases, line_width = lines
    contig, start, length, strand, place = windows
    one = np.uint64(1)
    for i in range(rows.size):
        if i + _AHEAD < rows.size:
            r = rows[i + _AHEAD]
            c = contig[r]
            line = start[r] // line_bases[c]
            _fetch(data, offset[c] + start[r] + line * (line_width[c] - line_bases[c]), length[r])

        r = rows[i]
        to = np.uint64(place[r])
        c = contig[r]
        bases = line_bases[c]
        line = start[r] // bases
        column = start[r] - line * bases
        at = np.uint64(offset[c] + line * line_width[c] + column)
        skip = np.uint64(line_width[c] - bases)
        forward = strand[r] >= 0
        j = np.uint64(0)
        end = np.uint64(length[r])
        n = np.uint64(bases - column)
        # Letters first, then their codes in place: the second loop is one run of whole vectors.
        while j < end:
            n = min(n, end - j)
            if forward:
                for k in range(n):
                    out[to + j + k] = data[at + k]
            else:
                last = to + end - one - j
                for k in range(n):
                    out[last - k] = data[at + k]
            j += n
            at += n + skip
            n = np.uint64(bases)
        if forward:
            for k in range(to, to + end):
                out[k] = code_of_letter(out[k])
        else:
            for k in range(to, to + end):
                code = code_of_letter(out[k])
                out[k] = np.uint8(3) - code if code < N_CODE else code


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gather_twobit(
    data: ByteArray, contigs: Arrays, windows: Arrays, rows: Int64Array, out: ByteArray
) -> None:
    """Unpack the windows `rows` of a 2bit file to their places in `out`; apply the blocks of N.

    Parameters
    ----------
    data, windows, rows, out
        As of :func:`gather_fasta`.
    contigs
        Fields of :class:`PackedContigs`.
    """
    packed_at, n_first, n_start, n_end = contigs
    contig, start, length, strand, place = windows
    for i in range(rows.size):
        if i + _AHEAD < rows.size:
            r = rows[i + _AHEAD]
            _fetch(data, packed_at[contig[r]] + (start[r] >> 2), length[r] >> 2)

        r = rows[i]
        to = np.uint64(place[r])
        c = contig[r]
        begin = start[r]
        at = np.uint64(packed_at[c] + (begin >> 2))
        inside = np.uint64(begin & 3)
        j = to
        end = to + np.uint64(length[r])
        if inside > 0:
            while inside < 4 and j < end:
                out[j] = _UNPACKED[data[at], inside]
                inside += np.uint64(1)
                j += np.uint64(1)
            at += np.uint64(1)
        for _ in range((end - j) >> np.uint64(2)):
            byte = data[at]
            out[j] = _UNPACKED[byte, 0]
            out[j + np.uint64(1)] = _UNPACKED[byte, 1]
            out[j + np.uint64(2)] = _UNPACKED[byte, 2]
            out[j + np.uint64(3)] = _UNPACKED[byte, 3]
            at += np.uint64(1)
            j += np.uint64(4)
        inside = np.uint64(0)
        while j < end:
            out[j] = _UNPACKED[data[at], inside]
            inside += np.uint64(1)
            j += np.uint64(1)

        # The first block of N that ends after the window begins, then on while they overlap it.
        low = n_first[c]
        stop = n_first[c + 1]
        high = stop
        while low < high:
            middle = (low + high) >> 1
            if n_end[middle] <= begin:
                low = middle + 1
            else:
                high = middle
        while low < stop and n_start[low] < begin + length[r]:
            first = max(n_start[low], begin) - begin
            for p in range(first, min(n_end[low] - begin, length[r])):
                out[to + np.uint64(p)] = N_CODE
            low += 1

        if strand[r] < 0:
            last = end - np.uint64(1)
            # The middle base of an odd length meets itself, hence the rounding up.
            for k in range((end - to + np.uint64(1)) >> np.uint64(1)):
                a = out[to + k]
                b = out[last - k]
                out[to + k] = np.uint8(3) - b if b < N_CODE else b
                out[last - k] = np.uint8(3) - a if a < N_CODE else a


@numba.njit(nogil=True, cache=True)
def codes_to_letters(codes: ByteArray) -> None:
    """Replace base codes by their upper-case letters in place."""
    # Comparisons, not a table: they become vector instructions, ten times as fast.
    for i in range(codes.size):
        code = codes[i]
        letter = np.uint8(ord("N"))
        if code == 0:
            letter = np.uint8(ord("A"))
        if code == 1:
            letter = np.uint8(ord("C"))
        if code == 2:
            letter = np.uint8(ord("G"))
        if code == 3:
            letter = np.uint8(ord("T"))
        codes[i] = letter


@numba.njit(nogil=True, cache=True)
def first_header(data: ByteArray) -> int:
    """Return the byte where the first line that starts with ">" begins; comments may precede it."""
    at = 0
    while at < data.size and data[at] != ord(">"):
        while at < data.size and data[at] != ord("\n"):
            at += 1
        at += 1
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _classes(data: ByteArray, at: int, size: int) -> int:
    """Return the classes of some bytes, or-ed; 0 when all are bases."""
    first = np.uint64(at)
    seen = 0
    for k in range(np.uint64(size)):
        seen |= CLASS_OF_BYTE[data[first + k]]
    return seen


@numba.njit(nogil=True, cache=True, error_model="numpy")
def index_contig(data: ByteArray, at: int) -> tuple[int, int, int, int]:
    """Index and check one contig; return (bases, byte of the first, bases per line, end).

    It knows only the plainest layout: a header, lines of one length, a last one that may be
    shorter, nothing but bases in them, every line ended by a newline. Else the bases are −1.

    Parameters
    ----------
    data
        The FASTA.
    at
        Byte of the contig's ">"; the end is where the next one begins.
    """
    newline = ord("\n")
    strange = (-1, 0, 0, at)
    if data[at] != ord(">"):
        return strange
    while at < data.size and data[at] != newline:
        if data[at] == ord("\r"):  # the line end of very old files
            return strange
        at += 1
    offset = at + 1
    at = offset
    while at < data.size and data[at] != newline:
        at += 1
    width = at - offset
    size = 0
    at = offset
    while at < data.size and data[at] != ord(">"):
        n = width
        if at + n >= data.size or data[at + n] != newline or _classes(data, at, n) > 0:
            n = 0
            while at + n < data.size and CLASS_OF_BYTE[data[at + n]] == 0:
                n += 1
            if n >= width or at + n >= data.size or data[at + n] != newline:
                return strange
        if n == 0:
            return strange
        size += n
        at += n + 1
        if n < width and at < data.size and data[at] != ord(">"):
            return strange
    if size == 0:
        return strange
    return size, offset, width, at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def check_contig(
    data: ByteArray, at: int, size: int, offset: int, line_bases: int, line_width: int
) -> tuple[int, int]:
    """Walk one contig of a FASTA by its index; return (verdict, byte where the next one begins).

    From `at` on there must be a header line, bases and line ends where the index expects them, and
    nothing but blank space after the last base.

    Parameters
    ----------
    data
        The FASTA.
    at
        Byte of the contig's ">".
    size, offset, line_bases, line_width
        The index: bases, byte of the first, bases per line, bytes per line.
    """
    newline = ord("\n")
    if at >= data.size or data[at] != ord(">"):
        return RAGGED, at
    while at < data.size and data[at] != newline:
        # A lone carriage return ends lines in very old files; the index cannot know.
        if data[at] == ord("\r") and (at + 1 >= data.size or data[at + 1] != newline):
            return RAGGED, at
        at += 1
    at += 1
    if size > 0 and at != offset:
        return RAGGED, at
    left = size
    while left > 0:
        n = min(line_bases, left)
        if at + n > data.size:
            return RAGGED, at
        seen = _classes(data, at, n)
        if seen & SPACE:
            return RAGGED, at
        if seen & OTHER:
            return STRANGE, at
        at += n
        left -= n
        if left > 0:
            gap = line_width - line_bases
            if gap <= 0 or at + gap > data.size:
                return RAGGED, at
            for _ in range(gap):
                if data[at] != newline and data[at] != ord("\r"):
                    return RAGGED, at
                at += 1
    while at < data.size and CLASS_OF_BYTE[data[at]] == SPACE:
        at += 1
    return REGULAR, at
