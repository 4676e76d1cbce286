"""Substitutions in the homologues of their windows, by the liftover rules of a project."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError
from ssldata.building.build_inputs import TargetInputs, open_labelled, open_target
from ssldata.conservation.homologue_windows import bare_sources
from ssldata.genomes.genome import Genome
from ssldata.genomes.onehot import N_CODE
from ssldata.liftover.lift_result import LiftResult, Status
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Intervals
from ssldata.rows.windows import kept_contigs
from sslmodels.variants.allele_windows import AllelePairs
from sslmodels.variants.variant_alleles import Alleles, lengths_of


class VariantHomologues:
    """Lifts the bases that a substitution replaces, and puts both alleles in their place.

    The bases are lifted by the project's liftover mode and limits; contigs of
    ``windows.exclude_target`` do not count, nor, with ``windows.n_policy: drop``, places whose
    window has an N. An insertion or deletion has no homologue here: alignments place gaps freely.

    Parameters
    ----------
    project
        The project, whose target genomes are opened.
    genome
        That of the variants.
    length
        Bases of a window.

    Raises
    ------
    ConfigError
        The project has no target genome, or `genome` is not its labelled genome.
    CrosslabelError
        See :func:`ssldata.building.build_inputs.open_target`.
    """

    def __init__(self, project: Project, genome: Genome, length: int) -> None:
        if not project.genomes:
            raise ConfigError(
                f"{project.file or 'project'}: lists no target genome, so variants have no "
                "homologues; leave out --homologues"
            )
        labelled = open_labelled(project)
        if genome.digest != labelled.digest:
            raise ConfigError(
                f"{genome.path}: not the labelled genome of the project, {labelled.path}; "
                "--homologues follows the project's chains, which begin there"
            )
        self._length, self._windows = length, project.windows
        # Their contigs in the order of the variants' genome: the digest does not know the order.
        self._contigs = np.array([labelled.index(name) for name in genome.names], np.int32)
        names = [target.name for target in project.genomes]
        self._targets = [open_target(project, name, reference=labelled) for name in names]

    def of(self, alleles: Alleles, rows: Int64Array) -> Iterator[tuple[Int64Array, AllelePairs]]:
        """Yield for each target genome which of `rows` have a homologue, and these."""
        replaced = lengths_of([alleles.replaced[i] for i in rows.tolist()])
        inserted = lengths_of([alleles.inserted[i] for i in rows.tolist()])
        places = np.flatnonzero(replaced == inserted)
        for target in self._targets:
            yield from self._in(target, alleles, rows, places)

    def _in(
        self, target: TargetInputs, alleles: Alleles, rows: Int64Array, places: Int64Array
    ) -> Iterator[tuple[Int64Array, AllelePairs]]:
        here = rows[places]
        size = lengths_of([alleles.replaced[i] for i in here.tolist()])
        start = alleles.start[here]
        source = Intervals(self._contigs[alleles.contig[here]], start, start + size)
        lifted, _ = target.lift(bare_sources(source), identity=False)
        fits = (lifted.status == Status.MAPPED) & (lifted.end - lifted.start == size)
        genome = target.genome
        kept = kept_contigs(genome.names, self._windows.exclude_target)
        fits[fits] = kept[lifted.contig[fits]]
        fits[fits] = genome.sizes[lifted.contig[fits]] >= self._length
        found = np.flatnonzero(fits)
        pairs = self._pairs(genome, alleles, here, lifted, found)
        if found.size and self._windows.n_policy == "drop":
            _, windows = pairs.split(pairs.windows(0))
            found = found[(windows < N_CODE).all(axis=1)]
            pairs = self._pairs(genome, alleles, here, lifted, found)
        if found.size:
            yield places[found], pairs

    def _pairs(
        self,
        genome: Genome,
        alleles: Alleles,
        here: Int64Array,
        lifted: LiftResult,
        found: Int64Array,
    ) -> AllelePairs:
        return AllelePairs(
            genome,
            contig=lifted.contig[found].astype(np.int64),
            start=lifted.start[found],
            replaced=[alleles.replaced[i] for i in here[found].tolist()],
            inserted=[alleles.inserted[i] for i in here[found].tolist()],
            length=self._length,
            strand=lifted.strand[found],
        )
