"""Training, validation and test set as a pure function of the source interval.

A homologue belongs to the split of the reference interval it was lifted from, whatever its genome
and contig, so nothing homologous to a test peak is ever trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import uniform_rows
from ssldata.project.project_file import Split
from ssldata.rows.windows import by_contig

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")


def check_contigs(split: Split, names: Sequence[str], where: str) -> None:
    """Raise a :class:`ConfigError` if a test or validation contig is not in the genome."""
    known = set(names)
    for key in ("test", "validation"):
        missing = [name for name in getattr(split, key) if name not in known]
        if missing:
            some = ", ".join(list(names)[:6]) + (", …" if len(names) > 6 else "")
            raise ConfigError(
                f"{where}: key 'split.{key}' names {', '.join(missing)}, which the reference does "
                f"not have; it has {some}"
            )


def split_of(
    contig: NDArray[np.int32], unit: NDArray[np.int64], *, split: Split, names: Sequence[str]
) -> NDArray[np.int8]:
    """Return the split of source intervals.

    Parameters
    ----------
    contig
        int32 (n,), index into `names`.
    unit
        int64 (n,), what stays together when validation is a fraction: the start of the merged peak
        for a peak or a bin that touches one, otherwise the start of the bin. Ignored when
        validation contigs are named.
    split
        The section ``split`` of the project file.
    names
        Contigs of the labelled genome.

    Returns
    -------
    int8 (n,)
        0 train, 1 validation, 2 test.
    """
    result = np.zeros(len(contig), np.int8)
    for i, here in by_contig(contig):
        name = names[i]
        if name in split.test:
            result[here] = TEST
        elif name in split.validation:
            result[here] = VALIDATION
        elif not split.validation:
            drawn = uniform_rows(unit[here], "split", split.seed, name) < split.validation_fraction
            result[here] = np.where(drawn, VALIDATION, TRAIN)
    return result
