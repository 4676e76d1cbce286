"""The homologues of windows in the target genomes of a project, by the project's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import ConfigError
from ssldata.building.build_inputs import open_labelled, open_target
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Intervals
from ssldata.rows.row_table import Sources
from ssldata.rows.windows import kept_contigs
from sslmodels.prediction.window_sources import WindowBlock


class HomologueWindows:
    """Lifts the bin in the middle of a window, and centres a window on its one locus.

    As in the ``lift-bins`` rows of a store: the liftover mode and limits of the project,
    ``windows.exclude_target``, ``windows.n_policy``, and no window that leaves its contig.

    Parameters
    ----------
    project
        The project, whose target genomes are opened.
    length
        Bases of a window.
    contigs
        Names of the contigs that blocks refer to.

    Raises
    ------
    ConfigError
        The project has no target genome.
    CrosslabelError
        See :func:`ssldata.building.build_inputs.open_target`.
    """

    def __init__(self, project: Project, *, length: int, contigs: Sequence[str]) -> None:
        if not project.genomes:
            raise ConfigError(
                f"{project.file or 'project'}: lists no target genome, so windows have no "
                "homologues; leave out --homologues"
            )
        self._length, self._windows = length, project.windows
        reference = open_labelled(project)
        self._contigs = np.array([reference.index(name) for name in contigs], np.int32)
        names = [genome.name for genome in project.genomes]
        self._targets = [open_target(project, name, reference=reference) for name in names]

    @property
    def identity(self) -> list[str]:
        """What decides the homologues: the parts of every genome that a build depends on."""
        bins = str((self._windows.size, self._windows.n_policy))
        return [bins, *(target.digest("") for target in self._targets)]

    def of(self, block: WindowBlock) -> Iterator[tuple[NDArray[np.int64], ByteArray]]:
        """Yield for each target genome the windows that have a homologue, and its codes."""
        size, half = self._windows.size, self._length // 2
        start = (block.start + block.end) // 2 - size // 2
        sources = _sources(Intervals(self._contigs[block.contig], start, start + size))
        for target in self._targets:
            genome = target.genome
            lifted, _ = target.lift(sources, identity=False)
            rows = np.flatnonzero(lifted.status == Status.MAPPED)
            contig = lifted.contig[rows]
            first = (lifted.start[rows] + lifted.end[rows]) // 2 - half
            inside = (first >= 0) & (first + self._length <= genome.sizes[contig])
            inside &= kept_contigs(genome.names, self._windows.exclude_target)[contig]
            rows, contig, first = rows[inside], contig[inside], first[inside]
            strand = lifted.strand[rows]
            if block.strand is not None:
                strand = strand * block.strand[rows]
            codes = genome.gather(contig, first, self._length, strand)
            if self._windows.n_policy == "drop":
                whole = (codes < N_CODE).all(axis=1)
                rows, codes = rows[whole], codes[whole]
            if len(rows):
                yield rows, codes


def _sources(intervals: Intervals) -> Sources:
    """Return intervals as sources; only the intervals are lifted."""
    count = len(intervals)
    return Sources(
        intervals=intervals,
        score=np.zeros(count, np.float32),
        split=np.zeros(count, np.int8),
        locus=np.full(count, -1, np.int64),
        label=np.zeros((count, 0), np.uint8),
        coverage=np.zeros((count, 0), np.int32),
    )
