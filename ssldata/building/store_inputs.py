"""What one store is built from: the labelled genome and its peaks, or a table of sequences."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of
from ssldata.genomes.genome import Genome
from ssldata.labelled_sequences.sequence_rows import LabelledTable, sequence_rows
from ssldata.project.project_file import JOINT, Project
from ssldata.rows.intervals import Peaks
from ssldata.rows.lifted_negatives import LIFTED_RULE, lifts_negatives
from ssldata.rows.reference_rows import ReferenceRows, reference_rows
from ssldata.rows.trainable import check_splits
from ssldata.store.root_metadata import ROWS_VERSION, SEQUENCES_VERSION


def store_names(project: Project) -> list[str]:
    """Return the stores of a project: its experiments, or ``joint``."""
    return [JOINT] if project.store.joint else [e.name for e in project.experiments]


def path_of_store(project: Project, store_name: str) -> Path:
    """Return where a store of a project is, or will be."""
    return project.store.path / f"{store_name}.zarr"


def experiments_of(project: Project, store_name: str) -> list[str]:
    """Return the label columns of a store.

    Raises
    ------
    ConfigError
        The project has no such store.
    """
    if store_name not in store_names(project):
        raise ConfigError(
            f"{project.file or 'project'}: no store {store_name!r}; "
            f"there are {', '.join(store_names(project))}"
        )
    return [e.name for e in project.experiments] if project.store.joint else [store_name]


def row_settings(project: Project) -> dict[str, Any]:
    """Return the sections of the project file that a store repeats in its root attributes."""
    return {
        "windows": project.windows.model_dump(mode="json"),
        "split": project.split.model_dump(mode="json"),
        "negatives": project.negatives.model_dump(mode="json"),
        "liftover": project.liftover.model_dump(mode="json"),
    }


def _peaks_digest(peaks: Peaks) -> str:
    digest = hashlib.sha256()
    for array in (*dataclasses.astuple(peaks.intervals), peaks.score):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class StoreInputs:
    """The labelled genome and the peaks of one store, opened and checked."""

    project: Project
    name: str
    experiments: list[str]
    genome: Genome
    peaks: Mapping[str, Peaks]

    @property
    def path(self) -> Path:
        """Where the store is."""
        return path_of_store(self.project, self.name)

    def reference_rows(self) -> ReferenceRows:
        """Return the rows of the labelled genome.

        Raises
        ------
        InputError
            A split of an experiment has no positives or no negatives.
        """
        built = reference_rows(self.project, self.experiments, self.genome, self.peaks)
        check_splits(self.project, self.experiments, self.peaks, built)
        return built

    def notes(self) -> list[str]:
        """Return a line for every kind of peaks that are left out, clipped or without a summit."""
        lines = []
        for experiment, peaks in self.peaks.items():
            of = f"of {peaks.counts['lines']} peaks"
            if peaks.unknown:
                names = ", ".join(list(peaks.unknown)[:5])
                lines.append(
                    f"{experiment}: {peaks.counts['unknown_contig']} {of} lie on contigs the "
                    f"genome does not have ({names}); left out"
                )
            if beyond := peaks.counts["beyond_contig"]:
                lines.append(
                    f"{experiment}: {beyond} {of} reach past an end of their contig; clipped"
                )
            if peaks.middles:
                lines.append(
                    f"{experiment}: {peaks.middles} {of} have no summit (column 10 of narrowPeak); "
                    "'width' is set around their middle"
                )
        return lines

    @cached_property
    def parts(self) -> dict[str, Any]:
        """Everything that decides the bytes of the reference rows and the sources."""
        project = self.project
        negatives = project.negatives.model_dump(mode="json", include={"pool", "source"})
        if lifts_negatives(project):
            negatives["ratio"] = project.negatives.ratio  # how many negative sources there are
            negatives["lifted rule"] = LIFTED_RULE
        if project.negatives.half_covered != "leave-out":  # an option since: old digests stay
            negatives["half_covered"] = project.negatives.half_covered
        return {
            "format": ROWS_VERSION,
            "reference sequence": self.genome.digest,
            "contig order": digest_of(list(self.genome.names)),
            "windows": project.windows.model_dump(mode="json", exclude={"exclude_target"}),
            "split": project.split.model_dump(mode="json"),
            "negatives": negatives,
            "store": project.store.model_dump(mode="json", include={"seed", "codes"}),
            **self._digests_of_labels(),
        }

    def _digests_of_labels(self) -> dict[str, str]:
        return {f"peaks of {e}": _peaks_digest(p) for e, p in self.peaks.items()}

    @cached_property
    def digest(self) -> str:
        """Identity of the reference rows."""
        return digest_of(self.parts)

    def root_attributes(self) -> dict[str, Any]:
        """Return the settings a reader of the store may want."""
        project = self.project
        return {
            "name": project.name,
            "experiments": self.experiments,
            "reference": {"name": project.reference.name, "digest": self.genome.digest},
            **row_settings(project),
            "seed": project.store.seed,
            "codes": project.store.codes,
            "peaks": {
                e: {"sha256": _peaks_digest(p), "counts": dict(p.counts)}
                for e, p in self.peaks.items()
            },
        }


@dataclass(frozen=True)
class SequenceInputs(StoreInputs):
    """A table of labelled sequences, read and checked; there are no peaks."""

    table: LabelledTable

    def reference_rows(self) -> ReferenceRows:
        """Return the rows of the table; errors as for peaks."""
        built = sequence_rows(self.project, self.table)
        check_splits(self.project, self.experiments, self.peaks, built)
        return built

    def notes(self) -> list[str]:
        """Return a line for every kind of sequences that are left out or changed."""
        return self.table.notes

    def _digests_of_labels(self) -> dict[str, str]:
        return {"sequences": self.table.digest}

    def root_attributes(self) -> dict[str, Any]:
        """Return the settings a reader of the store may want."""
        section = self.project.experiment(self.experiments[0]).sequences
        assert section is not None
        return {
            **super().root_attributes(),
            # Of the format of sequences; other stores stay as they are.
            "format_version": SEQUENCES_VERSION,
            "sequences": {
                "file": section.file.name,
                "splits": section.splits.model_dump(
                    mode="json", exclude={"train", "validation", "test", "expected"}
                ),
                "sha256": self.table.digest,
                "counts": self.table.counts,
            },
        }
