"""Compiled look-up of contig names in text: a hash table over their bytes."""

from __future__ import annotations

import numba
import numpy as np

from ssldata.base.array_types import ByteArray, Int32Array, Int64Array


@numba.njit(cache=True, nogil=True)
def empty_name_table(names: int) -> Int32Array:
    """Return a table of −1 with at least twice as many slots as names."""
    size = 16
    while size < 2 * names + 2:
        size *= 2
    return np.full(size, -1, np.int32)


@numba.njit(cache=True, nogil=True)
def name_slot(
    text: ByteArray,
    begin: int,
    end: int,
    names: ByteArray,
    first: Int64Array,
    stop: Int64Array,
    table: Int32Array,
) -> int:
    """Return the slot of a name in a hash table; it holds the code of the name, or −1.

    Parameters
    ----------
    text, begin, end
        The name is ``text[begin:end]``.
    names, first, stop
        Known names: that of code c is ``names[first[c]:stop[c]]``.
    table
        From :func:`empty_name_table`: codes by open addressing of the FNV-1a hash
        (http://www.isthe.com/chongo/tech/comp/fnv/).
    """
    value = np.uint64(14695981039346656037)
    for at in range(begin, end):
        value = (value ^ np.uint64(text[at])) * np.uint64(1099511628211)
    mask = table.size - 1
    slot = np.int64(value & np.uint64(mask))
    while table[slot] >= 0:
        known = first[table[slot]]
        if stop[table[slot]] - known == end - begin:
            same = True
            for step in range(end - begin):
                if names[known + step] != text[begin + step]:
                    same = False
                    break
            if same:
                break
        slot = (slot + 1) & mask
    return int(slot)
