"""A table of sequences as the rows of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray
from ssldata.base.errors import InputError
from ssldata.base.keyed_random import first_of_permutation
from ssldata.labelled_sequences.duplicates import (
    conflicting,
    duplicate_counts,
    duplicate_groups,
    not_repeated,
)
from ssldata.labelled_sequences.header_locus import Loci, loci_of
from ssldata.labelled_sequences.sequence_splits import NOWHERE, split_sequences
from ssldata.labelled_sequences.sequence_table import (
    SequenceBatch,
    TableOptions,
    TableReport,
    read_whole,
)
from ssldata.labelled_sequences.table_genome import TableGenome
from ssldata.project.project_file import Project
from ssldata.project.sequences_section import LabelledSequences
from ssldata.rows.intervals import Intervals
from ssldata.rows.reference_rows import ReferenceRows
from ssldata.rows.row_table import Rows, Sources, count_positives, ordered
from ssldata.rows.splits import TRAIN


@dataclass(frozen=True)
class LabelledTable:
    """The sequences of a table that are used, with their splits.

    Attributes
    ----------
    genome
        Their windows, from which rows are cut.
    loci, labels, split
        Where each lies; uint8 (n, experiments); int8 (n,), 0 train, 1 validation, 2 test.
    counts
        What was read, and what was left out and why.
    notes
        A line for each of these.
    """

    genome: TableGenome
    loci: Loci
    labels: ByteArray
    split: NDArray[np.int8]
    counts: dict[str, int]
    notes: list[str]

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that rows are made of."""
        digest = hashlib.sha256(self.genome.digest.encode())
        for array in (self.labels, self.split):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def table_options(project: Project, experiments: Sequence[str]) -> TableOptions:
    """Return how the table of the experiments of one store is read."""
    sections = [_section(project, name) for name in experiments]
    table = sections[0]
    return TableOptions(
        header=table.header,
        sequence=table.sequence,
        labels=tuple(section.label for section in sections),
        label_file=table.labels,
        label_in_header=table.label_in_header,
        length=project.windows.stored,
        fit=table.fit,
    )


def _section(project: Project, experiment: str) -> LabelledSequences:
    section = project.experiment(experiment).sequences
    assert section is not None  # the project file was checked
    return section


def open_table(project: Project, experiments: Sequence[str]) -> LabelledTable:
    """Read the table of one store: without duplicates, split, and placed.

    Parameters
    ----------
    project
        The project.
    experiments
        Label columns of the store, in order; all are columns of one table.

    Raises
    ------
    CrosslabelError
        The table, or a file of its labels or splits, is missing or wrong.
    """
    table = _section(project, experiments[0])
    batch, report = read_whole(table.file, table_options(project, experiments))
    counts, notes = report.counts(), report.notes()

    def leave_out(stays: BoolArray, key: str, what: str) -> BoolArray:
        counts[key] = int((~stays).sum())
        if counts[key]:
            notes.append(f"{table.file}: {counts[key]} sequences left out: {what}")
        return stays

    if project.windows.n_policy == "drop":
        stays = leave_out(batch.ambiguous == 0, "has_n", "ambiguous bases (windows.n_policy)")
        batch = _taken(batch, stays)
    loci = loci_of(batch)
    if not loci.parsed:
        notes.append(f"{table.file}: no places on chromosomes are stored: {loci.note}")
    group = duplicate_groups(batch.codes)
    split = split_sequences(project, table, batch, loci, group, rows=report.rows)
    repeated = duplicate_counts(batch.codes, group, split)
    counts |= repeated
    if any(repeated.values()):
        notes.append(
            f"{table.file}: {repeated['duplicates']} sequences equal an earlier one, "
            f"{repeated['reverse_complements']} its reverse complement; "
            f"{repeated['across_splits']} of these lie in another split"
        )
    kept = leave_out(split != NOWHERE, "in_no_split", "no file of numbers lists them")
    wrong = conflicting(group, batch.labels)
    counts["conflicting"] = int(wrong.sum())
    if wrong.any():
        done = "left out" if table.conflicts == "drop" else "kept"
        notes.append(
            f"{table.file}: {counts['conflicting']} equal sequences have different labels; {done} "
            f"(the first is {batch.names[int(np.argmax(wrong))]!r})"
        )
        kept = kept & ~wrong if table.conflicts == "drop" else kept
    if table.duplicates == "drop":
        once = np.ones(len(batch), bool)
        here = np.flatnonzero(kept)
        once[here] = not_repeated(_first_among(group, here), split[here])
        kept = kept & leave_out(once, "repeated", "they occur before, or in a held-out split")
    return _assembled(table, batch, loci, split, kept, report, counts, notes)


def _first_among(group: NDArray[np.int64], here: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups of some sequences, numbered by their first member among these."""
    _, first, which = np.unique(group[here], return_index=True, return_inverse=True)
    return np.asarray(first[which], np.int64)


def _taken(batch: SequenceBatch, rows: BoolArray) -> SequenceBatch:
    chosen = np.flatnonzero(rows)
    return SequenceBatch(
        [batch.names[row] for row in chosen.tolist()],
        *(
            getattr(batch, key)[chosen]
            for key in ("codes", "labels", "number", "line", "width", "ambiguous")
        ),
    )


def _assembled(
    table: LabelledSequences,
    batch: SequenceBatch,
    loci: Loci,
    split: NDArray[np.int8],
    kept: BoolArray,
    report: TableReport,
    counts: dict[str, int],
    notes: list[str],
) -> LabelledTable:
    if not kept.any():
        raise InputError(
            f"{table.file}: none of its {report.rows} sequences can be used: {'; '.join(notes)}"
        )
    rows = np.flatnonzero(kept)
    placed = Loci(loci.contigs, loci.intervals.take(rows), loci.strand[rows], loci.note)
    return LabelledTable(
        genome=TableGenome(table.file, placed, batch.codes[rows]),
        loci=placed,
        labels=batch.labels[rows],
        split=split[rows],
        counts=counts,
        notes=notes,
    )


def sequence_rows(project: Project, table: LabelledTable) -> ReferenceRows:
    """Return the rows of a table: every sequence is one, and each positive a source and a locus.

    Parameters
    ----------
    project
        Windows, the size of the pool of negatives, the seed of the store.
    table
        The sequences.
    """
    windows, loci = project.windows, table.loci
    bins = Intervals(
        loci.intervals.contig,
        loci.intervals.start + windows.padding,
        loci.intervals.end - windows.padding,
    )
    positive = np.asarray(table.labels.any(axis=1), bool)
    order = np.lexsort((loci.strand, bins.start, bins.contig))
    source = np.full(len(positive), -1, np.int64)
    of_source = order[positive[order]]
    source[of_source] = np.arange(len(of_source))
    coverage = table.labels.astype(np.int32) * windows.size
    plain = np.flatnonzero(~positive & (table.split == TRAIN))
    pool = first_of_permutation(len(plain), project.negatives.pool, "pool", project.store.seed)
    stays = np.ones(len(positive), bool)
    stays[plain] = False
    stays[plain[pool]] = True
    rows = Rows(
        contig=bins.contig,
        start=bins.start,
        end=bins.end,
        strand=loci.strand,
        label=table.labels,
        coverage=coverage,
        split=table.split,
        source=source,
        locus=source,
    ).take(np.flatnonzero(stays))
    rows, ranges = ordered(rows, seed=project.store.seed, group="reference")
    sources = Sources(
        intervals=bins.take(of_source),
        score=np.zeros(len(of_source), np.float32),
        split=table.split[of_source],
        locus=np.arange(len(of_source), dtype=np.int64),
        label=table.labels[of_source],
        coverage=coverage[of_source],
    )
    counts = {
        **table.counts,
        "negatives_left_out": len(plain) - len(pool),
        "rows": len(rows),
        "sources": len(sources),
        "loci": len(sources),
        **count_positives(rows),
    }
    return ReferenceRows(rows=rows, ranges=ranges, sources=sources, counts=counts)
