"""Bases, base codes and one-hot rows.

A base code is one uint8: A C G T = 0 1 2 3 in either case, anything else (N, IUPAC codes, gaps)
= 4. One-hot rows have the columns A, C, G, T; code 4 is four zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int64Array

#: Code of every base that is not A, C, G or T.
N_CODE = 4

#: The letter of each code.
LETTERS = b"ACGTN"


def _table(default: int, keys: bytes | range, values: bytes | tuple[int, ...]) -> ByteArray:
    """Return a read-only uint8[256] that holds `values` at `keys`, `default` elsewhere."""
    table = np.full(256, default, dtype=np.uint8)
    table[list(keys)] = list(values)
    table.flags.writeable = False
    return table


#: uint8[256]: ASCII byte → code.
CODE_OF_BYTE = _table(N_CODE, b"ACGTacgt", 2 * (0, 1, 2, 3))
#: Bases and the IUPAC codes of several, which count as N.
_IUPAC = b"ACGTNRYSWKMBDHV"
#: bool[256]: ASCII byte → whether it is a base or an IUPAC code, in either case.
IS_BASE_LETTER = _table(0, _IUPAC + _IUPAC.lower(), 2 * len(_IUPAC) * (1,)).astype(bool)
#: uint8[256]: code → ASCII byte. Any value above 3 is "not a base", so a stray one prints as N.
BYTE_OF_CODE = _table(LETTERS[N_CODE], range(N_CODE), LETTERS[:N_CODE])
_COMPLEMENT = _table(N_CODE, range(N_CODE), (3, 2, 1, 0))
# One 32-bit store per base is 7-8 times faster than a (5, 4) table; viewed as numbers from bytes,
# so it is right on either byte order.
_ONE_HOT: NDArray[np.uint32] = np.eye(256, 4, dtype=np.uint8).view(np.uint32).reshape(256)
_ONE_HOT.flags.writeable = False


def encode(sequence: bytes | bytearray | str | ByteArray) -> ByteArray:
    """Return the base codes of a sequence: A C G T = 0 1 2 3 in either case, anything else 4.

    Parameters
    ----------
    sequence
        Letters as text, bytes, or a uint8 array of ASCII bytes of any shape. IUPAC codes, gaps
        and letters outside ASCII count as N.

    Returns
    -------
    numpy.ndarray
        uint8 codes, shape ``(len(sequence),)`` or the shape of the array; a new array.

    Raises
    ------
    TypeError
        An array that is not uint8: letters and codes would be mixed up silently.

    Notes
    -----
    The order A, C, G, T is that of the rows of a store (docs/store-format.md) and of the columns
    of :func:`one_hot`. :func:`decode` is the way back.
    """
    if isinstance(sequence, str):
        # A letter outside ASCII becomes one "?", hence one N: lengths never change.
        sequence = sequence.encode("ascii", errors="replace")
    if isinstance(sequence, bytes | bytearray):
        letters = np.frombuffer(sequence, dtype=np.uint8)
    else:
        letters = _checked(sequence, "letters")
    return CODE_OF_BYTE[letters]


def decode(codes: ByteArray) -> str:
    """Return the upper-case letters of one row of codes.

    Parameters
    ----------
    codes
        uint8, shape ``(length,)``.

    Raises
    ------
    ValueError
        `codes` has more than one dimension.
    """
    codes = _checked(codes, "codes")
    if codes.ndim != 1:
        raise ValueError(f"decode takes one row of codes, found an array of shape {codes.shape}")
    return BYTE_OF_CODE[codes].tobytes().decode("ascii")


def one_hot(codes: ByteArray) -> ByteArray:
    """Return one-hot rows in the order A, C, G, T; code 4 becomes four zeros.

    Parameters
    ----------
    codes
        uint8 of any shape.

    Returns
    -------
    numpy.ndarray
        uint8, the shape of `codes` with an axis of 4 added at the end.
    """
    codes = _checked(codes, "codes")
    words = np.take(_ONE_HOT, codes)
    return np.ascontiguousarray(words)[..., np.newaxis].view(np.uint8)


def reverse_complement(codes: ByteArray) -> ByteArray:
    """Return the codes of the other strand: order reversed along the last axis, A↔T and C↔G.

    Parameters
    ----------
    codes
        uint8, shape ``(..., length)``.

    Returns
    -------
    numpy.ndarray
        A new contiguous uint8 array of the same shape.
    """
    return _COMPLEMENT[_checked(codes, "codes")[..., ::-1]]


def n_runs(codes: ByteArray) -> tuple[Int64Array, Int64Array]:
    """Return starts and ends of the maximal runs of N in base codes."""
    codes = _checked(codes, "codes")
    if codes.max(initial=0) < N_CODE:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    edge = np.flatnonzero(np.diff(codes >= N_CODE, prepend=False, append=False))
    return edge[::2], edge[1::2]


def _checked(values: ByteArray, what: str) -> ByteArray:
    values = np.asarray(values)
    if values.dtype != np.uint8:
        raise TypeError(f"{what} must be a uint8 array, found {values.dtype}")
    return values
