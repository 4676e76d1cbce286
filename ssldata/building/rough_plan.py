"""Estimate the rows of stores whose inputs are missing, from stated assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssldata.base.errors import InputError
from ssldata.base.text_file import count_in, table_rows
from ssldata.building.store_inputs import experiments_of, store_names
from ssldata.genomes.genome import Genome
from ssldata.labelled_sequences.sequence_splits import read_numbers
from ssldata.project.project_file import Project
from ssldata.project.sequences_section import SequenceSplits
from ssldata.rows.windows import kept_contigs

#: Columns of a table of published counts.
COUNT_COLUMNS = ("experiment", "positives", "pseudo_labelled")


@dataclass(frozen=True)
class Expected:
    """Rows of one store, estimated without its inputs.

    Attributes
    ----------
    positives, pseudo
        Training positives of the labelled genome, and of all others together.
    held_out, test
        Bins of the validation and test contigs together, and of the test contigs.
    pool
        Training negatives kept.
    """

    positives: int
    pseudo: int
    held_out: int
    test: int
    pool: int

    @property
    def reference(self) -> int:
        """Rows of the labelled genome."""
        return self.positives + self.held_out + self.pool


def read_sizes(path: Path) -> dict[str, int]:
    """Read contig lengths: two tab-separated columns, as UCSC's ``chrom.sizes``.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        A line has another form, or a contig occurs twice.
    """
    sizes: dict[str, int] = {}
    for number, row in table_rows(
        path, separator="\t", missing="no such file; see reference.sizes"
    ):
        where = f"{path}, line {number}"
        if len(row) != 2:
            raise InputError(f"{where}: expected a contig and its length in bases")
        if row[0] in sizes:
            raise InputError(f"{where}: contig {row[0]!r} occurs twice")
        sizes[row[0]] = count_in(row[1], "the length", where=where)
    if not sizes:
        raise InputError(f"{path}: lists no contigs; expected a line for each")
    return sizes


def read_counts(path: Path) -> dict[str, tuple[int, int]]:
    """Read published counts: experiment → labelled and pseudo-labelled positives.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        The file is not such a table.
    """
    rows = table_rows(path, separator=",", missing="no such file; see training.published_counts")
    if tuple(next(rows, (1, []))[1]) != COUNT_COLUMNS:
        raise InputError(f"{path}, line 1: expected the columns {','.join(COUNT_COLUMNS)}")
    counts: dict[str, tuple[int, int]] = {}
    for number, row in rows:
        where = f"{path}, line {number}"
        if len(row) != 3:
            raise InputError(f"{where}: expected an experiment and two whole numbers")
        if row[0] in counts:
            raise InputError(f"{where}: experiment {row[0]!r} occurs twice")
        positives, pseudo = (
            count_in(value, column, where=where)
            for value, column in zip(row[1:], COUNT_COLUMNS[1:], strict=True)
        )
        counts[row[0]] = positives, pseudo
    return counts


def expected_rows(project: Project, reference: Genome | None) -> dict[str, Expected]:
    """Return the expected rows of every store for which the project file allows an estimate.

    Parameters
    ----------
    project
        With ``training.published_counts``, and ``reference.sizes`` unless the sequence exists;
        for sequences with the files of their splits, or ``splits.expected``.
    reference
        The labelled genome, if its sequence exists.

    Returns
    -------
    dict
        Store → rows; stores of which nothing is known are left out.
    """
    if project.of_sequences:
        return _expected_of_tables(project)
    sizes = _sizes(project, reference)
    if project.training.published_counts is None or not sizes:
        return {}
    counts = read_counts(project.training.published_counts)
    bins = {name: length // project.windows.size for name, length in sizes.items()}
    kept = kept_contigs(list(bins), project.windows.exclude)
    bins = {name: count for (name, count), keep in zip(bins.items(), kept, strict=True) if keep}
    test = sum(bins.get(name, 0) for name in project.split.test)
    validation = sum(bins.get(name, 0) for name in project.split.validation)
    rest = sum(bins.values()) - test - validation
    if not project.split.validation:
        validation = round(project.split.validation_fraction * rest)
        rest -= validation
    made = {}
    for store in store_names(project):
        members = experiments_of(project, store)
        if all(name in counts for name in members):
            made[store] = Expected(
                positives=sum(counts[name][0] for name in members),
                pseudo=sum(counts[name][1] for name in members),
                held_out=test + validation,
                test=test,
                pool=min(project.negatives.pool, rest),
            )
    return made


def _expected_of_tables(project: Project) -> dict[str, Expected]:
    """Return the rows of the tables whose splits have known sizes."""
    if project.training.published_counts is None:
        return {}
    counts = read_counts(project.training.published_counts)
    made = {}
    for store in store_names(project):
        members = experiments_of(project, store)
        table = project.experiment(members[0]).sequences
        assert table is not None
        sizes = _sizes_of_splits(table.splits)
        if sizes and all(name in counts for name in members):
            positives = sum(counts[name][0] for name in members)
            made[store] = Expected(
                positives=positives,
                pseudo=0,
                held_out=sizes[1] + sizes[2],
                test=sizes[2],
                pool=min(project.negatives.pool, max(sizes[0] - positives, 0)),
            )
    return made


def _sizes_of_splits(splits: SequenceSplits) -> list[int]:
    """Return the sequences for training, validation and test, by files or as expected; else []."""
    files = [splits.train, splits.validation, splits.test]
    named = [path for path in files if path is not None and path.is_file()]
    return [len(read_numbers(path)) for path in named] if len(named) == 3 else splits.expected or []


def _sizes(project: Project, reference: Genome | None) -> Mapping[str, int]:
    if reference is not None:
        lengths = np.asarray(reference.sizes).tolist()
        return dict(zip(reference.names, lengths, strict=True))
    return {} if project.reference.sizes is None else read_sizes(project.reference.sizes)


def assumptions(project: Project) -> list[str]:
    """Return the assumptions of :func:`expected_rows` in words."""
    held_out = ", ".join([*project.split.test, *project.split.validation])
    counts = project.training.published_counts
    name = counts.name if counts else "unknown"
    if project.of_sequences:
        return [
            f"training positives as published ({name})",
            "every sequence of the splits is stored, as their files or `expected` number them",
        ]
    return [
        (
            f"training positives as published ({name}), those of the "
            f"other genomes in equal parts from each of the {len(project.genomes)}"
        ),
        (
            f"every bin of {held_out} is stored, as if none had an N; beside them "
            f"{project.negatives.pool:,} training negatives at most"
        ),
    ]
