"""Groups of genomes that are about equally like the labelled genome, by measured identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssldata.base.array_types import ByteArray, Int64Array
from ssldata.genomes.onehot import N_CODE

#: A group begins where identity falls by more than this from the genome before; most groups.
FALL, MOST_GROUPS = 0.03, 3
#: Windows compared at a time.
_ROWS = 1024


@dataclass(frozen=True)
class GenomeGroup:
    """Genomes about equally like the labelled genome, the most alike first.

    Attributes
    ----------
    names
        As in the project file.
    numbers
        Their positions in the list of genomes that was grouped.
    identity
        Of each, the share of identical bases among the aligned ones; 0 where none is aligned.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    identity: tuple[float, ...]


def identity_counts(reference: ByteArray, aligned: Sequence[ByteArray]) -> Int64Array:
    """Return (identical, aligned) bases of each genome in windows; counts of portions add up.

    Parameters
    ----------
    reference, aligned
        As of :func:`ssldata.conservation.profile.conservation_profile`.

    Returns
    -------
    int64 (genomes, 2)
        Pairs of bases without an N.
    """
    counts = np.zeros((len(aligned), 2), np.int64)
    for begin in range(0, len(reference), _ROWS):
        ours = reference[begin : begin + _ROWS]
        for number, codes in enumerate(aligned):
            theirs = codes[begin : begin + _ROWS]
            known = (ours < N_CODE) & (theirs < N_CODE)
            counts[number] += (np.count_nonzero(known & (ours == theirs)), np.count_nonzero(known))
    return counts


def genome_groups(names: Sequence[str], counts: Int64Array) -> list[GenomeGroup]:
    """Return groups of genomes, the most alike first.

    Genomes are sorted by identity, equal ones as they are listed. A group begins where identity
    falls by more than 0.03 from one genome to the next. Of more than three groups the two nearest
    neighbours, those with the smallest fall between them, become one until three are left; the
    first ones of equally near ones.

    Parameters
    ----------
    names
        Names of the genomes.
    counts
        int64 (genomes, 2) of :func:`identity_counts`, on rows that may be looked at: training
        rows.
    """
    identity = counts[:, 0] / np.maximum(counts[:, 1], 1)
    order = np.argsort(-identity, kind="stable")
    fall = identity[order[:-1]] - identity[order[1:]]
    # The largest falls, of equal ones the last; the others are closed up.
    largest = np.lexsort((-np.arange(len(fall)), -fall))[: MOST_GROUPS - 1]
    cuts = np.sort(largest[fall[largest] > FALL]) + 1
    return [
        GenomeGroup(
            tuple(names[i] for i in part.tolist()),
            tuple(part.tolist()),
            tuple(identity[part].tolist()),
        )
        for part in np.split(order, cuts)
        if len(part)
    ]
