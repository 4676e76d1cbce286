"""The homologues of windows in the target genomes of a project, by the project's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int8Array, Int32Array, Int64Array
from ssldata.base.errors import ConfigError
from ssldata.building.build_inputs import open_labelled, open_target
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Intervals
from ssldata.rows.row_table import Sources
from ssldata.rows.windows import kept_contigs


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
        Names of the contigs that windows refer to.
    genomes
        Names of the target genomes; default: all of the project.

    Attributes
    ----------
    names
        The target genomes; :meth:`of` gives their numbers.

    Raises
    ------
    ConfigError
        The project has no target genome.
    CrosslabelError
        See :func:`ssldata.building.build_inputs.open_target`.
    """

    def __init__(
        self,
        project: Project,
        *,
        length: int,
        contigs: Sequence[str],
        genomes: Sequence[str] | None = None,
    ) -> None:
        if not project.genomes:
            raise ConfigError(
                f"{project.file or 'project'}: lists no target genome, so windows have no "
                "homologues; leave out --homologues"
            )
        self._length, self._windows = length, project.windows
        reference = open_labelled(project)
        self._contigs = np.array([reference.index(name) for name in contigs], np.int32)
        self.names = tuple(g.name for g in project.genomes) if genomes is None else tuple(genomes)
        self._targets = [open_target(project, name, reference=reference) for name in self.names]

    @property
    def identity(self) -> list[str]:
        """What decides the homologues: the parts of every genome that a build depends on."""
        bins = str((self._windows.size, self._windows.n_policy))
        return [bins, *(target.digest("") for target in self._targets)]

    def of(
        self, contig: Int32Array, start: Int64Array, end: Int64Array, strand: Int8Array | None
    ) -> Iterator[tuple[int, NDArray[np.int64], ByteArray]]:
        """Yield for each target genome its number, the windows with a homologue, and their codes.

        Parameters
        ----------
        contig
            Of each window, an index into the names given.
        start, end
            0-based half-open; only the middle counts.
        strand
            ±1, the strand that is read; None: the forward strand.
        """
        size, half = self._windows.size, self._length // 2
        first = (start + end) // 2 - size // 2
        sources = bare_sources(Intervals(self._contigs[contig], first, first + size))
        for number, target in enumerate(self._targets):
            genome = target.genome
            lifted, _ = target.lift(sources, identity=False)
            rows = np.flatnonzero(lifted.status == Status.MAPPED)
            there = lifted.contig[rows]
            at = (lifted.start[rows] + lifted.end[rows]) // 2 - half
            inside = (at >= 0) & (at + self._length <= genome.sizes[there])
            inside &= kept_contigs(genome.names, self._windows.exclude_target)[there]
            rows, there, at = rows[inside], there[inside], at[inside]
            turned = lifted.strand[rows]
            if strand is not None:
                turned = turned * strand[rows]
            codes = genome.gather(there, at, self._length, turned)
            if self._windows.n_policy == "drop":
                whole = (codes < N_CODE).all(axis=1)
                rows, codes = rows[whole], codes[whole]
            if len(rows):
                yield number, rows, codes


def bare_sources(intervals: Intervals) -> Sources:
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
