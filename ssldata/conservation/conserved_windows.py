"""Windows of the labelled genome with the aligned bases of the target genomes of a project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.array_types import ByteArray, Int32Array
from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of
from ssldata.building.build_inputs import TargetInputs, open_labelled, open_target
from ssldata.conservation.aligned_bases import aligned_bases, padded_windows
from ssldata.conservation.genome_groups import GenomeGroup, genome_groups, identity_counts
from ssldata.conservation.profile import (
    SMALLEST_BIN,
    bin_windows,
    composition_names,
    composition_profile,
    conservation_profile,
    feature_names,
)
from ssldata.project.project_file import Project
from ssldata.rows.windows import kept_contigs

#: Windows of a portion: 4 MB of each genome with bins of 200 b.
_WINDOWS = 4096
#: Version of the rules behind the features; part of their identity.
PROFILE_VERSION = 1


class ConservedWindows:
    """Opens the genomes and chains of a project once, and reads aligned windows.

    Alignments to contigs of ``windows.exclude_target`` count as none.

    Parameters
    ----------
    project
        The project.
    genomes
        Names of the target genomes; default: all. None of them (``[]``) opens the labelled genome
        alone, for its composition.

    Raises
    ------
    ConfigError
        The project has no such genome, or its bins are too small.
    CrosslabelError
        A file is missing or wrong; see :func:`ssldata.building.build_inputs.open_target`.

    Attributes
    ----------
    size
        Bases of a bin.
    reference
        The labelled genome; windows are given by its contig numbers.
    names
        The target genomes, in the order of the aligned windows.
    """

    def __init__(self, project: Project, genomes: Sequence[str] | None = None) -> None:
        self.size = project.windows.size
        if self.size < SMALLEST_BIN:
            raise ConfigError(
                f"{project.file or 'project'}: windows.size is {self.size}; conservation is "
                f"measured in quarters of a bin, so it must be at least {SMALLEST_BIN}"
            )
        every = [genome.name for genome in project.genomes]
        self.names = tuple(every if genomes is None else genomes)
        self.reference = open_labelled(project)
        self._targets = [open_target(project, n, reference=self.reference) for n in self.names]
        exclude = project.windows.exclude_target
        self._query_contigs = [_kept(target, exclude) for target in self._targets]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the windows and their features; JSON."""
        return {
            "version": PROFILE_VERSION,
            "size": self.size,
            "reference": self.reference.digest,
            "contig order": digest_of(list(self.reference.names)),
            "genomes": [
                {
                    "name": target.settings.name,
                    "sequence": target.genome.digest,
                    "chain": target.index.digest,
                    # Aliases and excluded contigs decide which contigs are which.
                    "contigs": digest_of(
                        [
                            target.target_codes.tolist(),
                            [target.genome.names[c] if c >= 0 else "" for c in contigs.tolist()],
                        ]
                    ),
                }
                for target, contigs in zip(self._targets, self._query_contigs, strict=True)
            ],
        }

    def of(
        self, contig: ArrayLike, start: ArrayLike, end: ArrayLike
    ) -> Iterator[tuple[ByteArray, list[ByteArray]]]:
        """Yield the windows, some thousands at a time, in their order.

        Parameters
        ----------
        contig
            Numbers in the labelled genome.
        start, end
            0-based half-open; all of one length. Windows may leave their contig.

        Yields
        ------
        uint8 (n, length), list of uint8 (n, length)
            Bases of the labelled genome, and for each target genome the base aligned with each;
            4 for N, for none, and outside the contig.

        Raises
        ------
        ValueError
            The columns differ in length, or the windows do.
        InputError
            No contig of such a number.
        """
        code, first, last = (np.asarray(column, np.int64) for column in (contig, start, end))
        if not code.shape == first.shape == last.shape or code.ndim != 1:
            raise ValueError(
                f"contig, start and end have shapes {code.shape}, {first.shape} and {last.shape}"
            )
        lengths = np.unique(last - first)
        if len(lengths) > 1 or (lengths < 0).any():
            raise ValueError(f"windows must have one length, found {lengths[:5].tolist()}")
        for low in range(0, len(code), _WINDOWS):
            where = code[low : low + _WINDOWS], first[low : low + _WINDOWS], int(lengths[0])
            reference = padded_windows(self.reference, *where)
            yield reference, [self._aligned(number, *where) for number in range(len(self.names))]

    def groups(self, contig: ArrayLike, start: ArrayLike) -> list[GenomeGroup]:
        """Return groups of the target genomes by their identity around bins.

        Parameters
        ----------
        contig, start
            Of bins that may be looked at: training rows.
        """
        counts = np.zeros((len(self.names), 2), np.int64)
        for reference, aligned in self.of(contig, *bin_windows(np.asarray(start), self.size)):
            counts += identity_counts(reference, aligned)
        return genome_groups(self.names, counts)

    def profile(
        self, contig: ArrayLike, start: ArrayLike, groups: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """Return the features of bins: conservation in every group of genomes, then composition.

        Parameters
        ----------
        contig, start
            Of the bins.
        groups
            Numbers of genomes, as of :attr:`GenomeGroup.numbers`; none (``[]``): composition
            alone.

        Returns
        -------
        float32 (n, features)
            Named by :meth:`profile_names`.
        """
        first = np.asarray(start)
        out = np.empty((len(first), len(self.profile_names(groups))), np.float32)
        at = 0
        for reference, aligned in self.of(contig, *bin_windows(first, self.size)):
            rows = slice(at, at + len(reference))
            at += len(reference)
            out[rows] = np.concatenate(
                [conservation_profile(reference, aligned, groups), composition_profile(reference)],
                axis=1,
            )
        return out

    def profile_names(self, groups: Sequence[Sequence[int]]) -> list[str]:
        """Return the names of the features of :meth:`profile`."""
        return [*feature_names(groups, self.size), *composition_names(self.size)]

    def _aligned(
        self, number: int, contig: NDArray[np.int64], start: NDArray[np.int64], length: int
    ) -> ByteArray:
        target = self._targets[number]
        return aligned_bases(
            target.index,
            target.genome,
            target.target_codes[contig],
            start,
            length,
            query_contigs=self._query_contigs[number],
        )


def _kept(target: TargetInputs, exclude: Sequence[str]) -> Int32Array:
    """Return contigs of a chain's query → contigs of the genome, −1 for excluded ones too."""
    contigs = target.query_contigs
    kept = np.append(kept_contigs(target.genome.names, exclude), False)
    return np.where(kept[contigs], contigs, np.int32(-1))
