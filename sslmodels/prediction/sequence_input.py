"""What a user calls sequences, as base codes: strings, codes and one-hot arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.errors import InputError
from ssldata.genomes.onehot import IS_BASE_LETTER, N_CODE, encode
from sslmodels.layers.sequence_model import CHANNELS


def as_codes(sequences: ArrayLike, length: int) -> NDArray[np.uint8]:
    """Return the base codes of sequences, uint8 (n, length).

    Parameters
    ----------
    sequences
        One string or many, integer codes (n, length), or one-hot (n, length, 4).
    length
        Bases that every sequence must have.

    Raises
    ------
    InputError
        Another length, shape or type, a letter that is no base, a code above 4, or vectors that
        are not one-hot.
    """
    if isinstance(sequences, str | bytes):
        sequences = [sequences]
    try:
        array = np.asarray(sequences)
    except ValueError:
        raise InputError(
            f"sequences: rows of several lengths; expected {length} bases each"
        ) from None
    if array.size == 0 and array.ndim == 1:
        return np.zeros((0, length), np.uint8)
    if array.dtype.kind in "USO" and array.ndim == 1:
        return _from_strings(array, length)
    if array.ndim == 2 and array.shape[1] == length and array.dtype.kind in "iu":
        return _from_codes(array)
    if array.ndim == 3 and array.shape[1:] == (length, CHANNELS) and array.dtype.kind in "biuf":
        return _from_one_hot(array)
    raise InputError(
        f"sequences: an array of {array.dtype}, shape {array.shape}; expected strings of {length} "
        f"bases, integer base codes (n, {length}), or one-hot (n, {length}, {CHANNELS})"
    )


def _from_strings(array: NDArray, length: int) -> NDArray[np.uint8]:
    out = np.empty((len(array), length), np.uint8)
    for number, text in enumerate(array):
        if not isinstance(text, str | bytes):
            raise InputError(f"sequence {number}: {text!r} is not a string")
        letters = text.encode("ascii", "replace") if isinstance(text, str) else bytes(text)
        if len(letters) != length:
            raise InputError(
                f"sequence {number}: {len(letters)} bases, the model reads {length}; cut or extend "
                "it (`crosslabel predict --fasta` scans longer ones)"
            )
        known = IS_BASE_LETTER[np.frombuffer(letters, np.uint8)]
        if not known.all():
            at = int(np.argmin(known))
            raise InputError(
                f"sequence {number}: {text[at : at + 1]!r} at base {at} (counted from 0) is not a "
                "base; expected A, C, G, T, N or another IUPAC code of DNA"
            )
        out[number] = encode(letters)
    return out


def _from_codes(array: NDArray) -> NDArray[np.uint8]:
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= N_CODE:
        row = int(np.flatnonzero(((array < 0) | (array > N_CODE)).any(axis=1))[0])
        raise InputError(
            f"sequence {row}: has base codes outside 0..{N_CODE}; expected A C G T N = 0 1 2 3 4"
        )
    return array.astype(np.uint8)


def _from_one_hot(array: NDArray) -> NDArray[np.uint8]:
    ones = array == 1
    wrong = ((array != 0) & ~ones).any(axis=(1, 2)) | (ones.sum(axis=2) > 1).any(axis=1)
    if wrong.any():
        raise InputError(
            f"sequence {int(np.argmax(wrong))}: is not one-hot; expected one 1 per base in the "
            "order A, C, G, T, or four zeros for N"
        )
    return np.where(ones.any(axis=2), ones.argmax(axis=2), N_CODE).astype(np.uint8)
