"""Open and check the inputs of a build; the digests that identify them.

Every mistake of a user is found here, before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of
from ssldata.building.fitting_chains import LeftOutChains, fitting_chains
from ssldata.building.store_inputs import (
    SequenceInputs,
    StoreInputs,
    experiments_of,
    store_names,
)
from ssldata.chains.chain_index import ChainIndex, load_chain
from ssldata.genomes.genome import Genome, open_genome
from ssldata.labelled_sequences.sequence_rows import open_table
from ssldata.liftover.lift import lift
from ssldata.liftover.lift_result import LiftOptions, LiftResult
from ssldata.project.project_file import GenomeEntry, Project
from ssldata.rows.intervals import read_peaks
from ssldata.rows.lifted_negatives import LIFTED_RULE, lifts_negatives
from ssldata.rows.row_table import Sources
from ssldata.rows.sequence_identity import identical_share
from ssldata.rows.splits import check_contigs
from ssldata.store.root_metadata import ROWS_VERSION


def open_labelled(project: Project, *, verify: bool = False) -> Genome:
    """Open the labelled genome of a project; `verify` as in :func:`open_genome`.

    Raises
    ------
    CrosslabelError
        The file is missing or wrong, or the project is one of sequences.
    """
    reference = project.reference
    if project.of_sequences:
        raise ConfigError(
            f"{project.file or 'project'}: its experiments are tables of sequences, so that there "
            "is no labelled genome; this needs one"
        )
    return open_genome(reference.sequence, aliases=reference.aliases, verify=verify)


def open_inputs(project: Project, store_name: str, *, genome: Genome | None = None) -> StoreInputs:
    """Open the labelled genome, unless it is given, and read the peaks or sequences of one store.

    Raises
    ------
    CrosslabelError
        A file is missing or wrong, or a split names a contig the genome does not have.
    """
    experiments = experiments_of(project, store_name)
    if project.of_sequences:
        table = open_table(project, experiments)
        return SequenceInputs(project, store_name, experiments, table.genome, {}, table)
    genome = genome or open_labelled(project)
    check_contigs(project.split, genome.names, str(project.file or "project"))
    peaks = {}
    for name in experiments:
        settings = project.experiment(name)
        assert settings.peaks is not None
        peaks[name] = read_peaks(
            settings.peaks,
            names=genome.names,
            sizes=genome.sizes,
            aliases=project.reference.aliases,
            width=settings.width,
        )
    return StoreInputs(project, store_name, experiments, genome, peaks)


@dataclass(frozen=True)
class TargetInputs:
    """One target genome and the chains that fit it, opened and checked against both assemblies."""

    project: Project
    settings: GenomeEntry
    reference: Genome
    genome: Genome
    index: ChainIndex
    left_out: LeftOutChains

    @cached_property
    def parts(self) -> dict[str, Any]:
        """Everything that decides the bytes of this genome's rows but the reference rows."""
        lifted = lifts_negatives(self.project)
        return {
            "format": ROWS_VERSION,
            "sequence": self.genome.digest,
            "contig order": digest_of(list(self.genome.names)),
            "chain": self.index.digest,
            "liftover": self.project.liftover.model_dump(mode="json"),
            "exclude_target": self.project.windows.exclude_target,
            "negatives ratio": self.project.negatives.ratio if lifted else None,
            # Only of groups that it decides: the digests of others stay.
            **({"lifted negatives rule": LIFTED_RULE} if lifted else {}),
            "name": self.settings.name,
        }

    def ledger_inputs(self, reference_rows: str) -> dict[str, Any]:
        """Return what the ledger records as inputs of this genome's rows in one store.

        Parameters
        ----------
        reference_rows
            Digest of the reference rows of that store.
        """
        return self.parts | {"reference rows": reference_rows}

    def digest(self, reference_rows: str) -> str:
        """Return the identity of this genome's rows; see :meth:`ledger_inputs`."""
        return digest_of(self.ledger_inputs(reference_rows))

    @cached_property
    def target_codes(self) -> NDArray[np.int32]:
        """Contig of the labelled genome → code of the chain's target contig, or −1."""
        codes = np.full(len(self.reference.names), -1, np.int32)
        for code, name in enumerate(self.index.target_names):
            contig = self.reference.find(name)
            if contig >= 0:
                codes[contig] = code
        return codes

    @cached_property
    def query_contigs(self) -> NDArray[np.int32]:
        """Code of the chain's query contig → contig of the target genome, or −1."""
        return np.array([self.genome.find(name) for name in self.index.query_names], np.int32)

    def lift(
        self, sources: Sources, *, identity: bool = True
    ) -> tuple[LiftResult, NDArray[np.float32]]:
        """Lift sources; contigs of the result index the target genome.

        Parameters
        ----------
        sources
            Sources of the store.
        identity
            Compare the aligned bases, too; otherwise every identity is 0.

        Returns
        -------
        LiftResult
            One row per source.
        float32 (n,)
            Share of the aligned base pairs that are identical, pairs with an N left out; 0 for
            a source without a homologue.
        """
        settings = self.project.liftover
        options = LiftOptions(
            mode=settings.mode,
            gap=settings.gap,
            min_aligned=settings.min_aligned,
            min_match=settings.min_match,
            compat=settings.compat,
        )
        intervals = sources.intervals
        contig = self.target_codes[intervals.contig]
        result = lift(self.index, contig, intervals.start, intervals.end, options=options)
        share = (
            identical_share(
                self.reference,
                self.genome,
                self.index,
                intervals,
                result,
                target_codes=self.target_codes,
                query_contigs=self.query_contigs,
            )
            if identity
            else np.zeros(len(result), np.float32)
        )
        mapped = result.contig >= 0
        translated = np.full(len(result), -1, np.int32)
        translated[mapped] = self.query_contigs[result.contig[mapped]]
        return dataclasses.replace(result, contig=translated), share


def open_target(
    project: Project, genome_name: str, *, reference: Genome | None = None, verify: bool = False
) -> TargetInputs:
    """Open one target genome and its chain, and the labelled genome unless it is given.

    Parameters
    ----------
    project, genome_name
        The project, and one of its genomes.
    reference
        The labelled genome, if it is open.
    verify
        Read the files whole, whatever the cache holds of them.

    Raises
    ------
    CrosslabelError
        A file is missing or wrong, or the chain belongs to other assemblies.
    """
    settings = next((g for g in project.genomes if g.name == genome_name), None)
    if settings is None:
        raise ConfigError(
            f"{project.file or 'project'}: no genome {genome_name!r}; there are "
            f"{', '.join(g.name for g in project.genomes) or 'none'}"
        )
    reference = reference or open_labelled(project, verify=verify)
    genome = open_genome(settings.sequence, aliases=settings.aliases, verify=verify)
    index = load_chain(settings.chain, verify=verify, mixed=True)
    index, left_out = fitting_chains(settings.chain, index, reference, genome, project.windows)
    return TargetInputs(project, settings, reference, genome, index, left_out)


@dataclass(frozen=True)
class ProjectInputs:
    """The inputs of a project, opened and checked; one labelled genome for all.

    Attributes
    ----------
    stores
        By name of the store.
    targets
        By name of the genome.
    """

    stores: Mapping[str, StoreInputs]
    targets: Mapping[str, TargetInputs]


def open_project(
    project: Project, names: Sequence[str] | None = None, *, verify: bool = False
) -> ProjectInputs:
    """Open the inputs of the stores `names` (default: all) and of every target genome.

    With `verify` files are read whole, whatever the cache holds of them.

    Raises
    ------
    CrosslabelError
        See :func:`open_inputs` and :func:`open_target`.
    """
    labelled = None if project.of_sequences else open_labelled(project, verify=verify)
    return ProjectInputs(
        {
            name: open_inputs(project, name, genome=labelled)
            for name in (store_names(project) if names is None else names)
        },
        {
            genome.name: open_target(project, genome.name, reference=labelled, verify=verify)
            for genome in project.genomes
        },
    )
