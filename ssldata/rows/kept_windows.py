"""Which windows are stored: those that leave their contig or hold an N are dropped, and counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.genome import Genome
from ssldata.project.project_file import Windows
from ssldata.rows.intervals import Intervals
from ssldata.rows.windows import by_contig, touches

#: Whether a window is stored, and why not.
KEEP, OFF_CONTIG, HAS_N = 0, 1, 2


def window_reasons(genome: Genome, bins: Intervals, windows: Windows) -> NDArray[np.int8]:
    """Return for every bin whether its stored window is kept, leaves the contig or has an N.

    Returns
    -------
    int8 (n,)
        :data:`KEEP`, ``OFF_CONTIG`` or ``HAS_N``.
    """
    start = bins.start - windows.padding
    end = start + windows.stored
    reason = np.full(len(bins), KEEP, np.int8)
    reason[(start < 0) | (end > genome.sizes[bins.contig])] = OFF_CONTIG
    if windows.n_policy == "drop":
        for contig, rows in by_contig(bins.contig):
            here = rows[reason[rows] == KEEP]
            if len(here):
                reason[here[touches(start[here], end[here], *genome.n_runs(contig))]] = HAS_N
    return reason
