"""Training, validation and test set of sequences: listed, drawn, by chromosome, by similarity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError, InputError
from ssldata.base.keyed_random import permutation
from ssldata.base.text_file import real_number, shown, streamed_lines
from ssldata.labelled_sequences.header_locus import Loci
from ssldata.labelled_sequences.sequence_table import SequenceBatch
from ssldata.labelled_sequences.similarity import similar_clusters
from ssldata.project.project_file import Project
from ssldata.project.sequences_section import LabelledSequences, SequenceSplits
from ssldata.rows.splits import TEST, TRAIN, VALIDATION, check_contigs, split_of

#: A sequence that no file of numbers lists, where there is one for training, too.
NOWHERE = -1


def split_sequences(
    project: Project,
    table: LabelledSequences,
    batch: SequenceBatch,
    loci: Loci,
    group: Int64Array,
    *,
    rows: int,
) -> NDArray[np.int8]:
    """Return the split of every sequence: 0 train, 1 validation, 2 test, −1 none.

    Parameters
    ----------
    project
        Its ``split`` names the chromosomes.
    table
        The section of the project file.
    batch, loci
        The sequences, and where they lie.
    group
        First sequence that equals each, on either strand: they are drawn together.
    rows
        Sequences in the file, with those that cannot be used.

    Raises
    ------
    InputError, ConfigError
        A file of numbers does not fit the table; chromosomes without names that are loci.
    """
    rule = table.splits
    if rule.by == "files":
        return _listed(table.file, rule, batch.number, rows)
    if rule.by == "chromosomes":
        if not loci.parsed:
            raise InputError(
                f"{table.file}: cannot be split by chromosomes: {loci.note}; expected names such "
                "as chr21:43226275-43226875(+)"
            )
        where = str(project.file or "project")
        check_contigs(project.split, loci.contigs, where)
        starts = loci.intervals.start
        return split_of(loci.intervals.contig, starts, split=project.split, names=loci.contigs)
    unit = group if rule.by == "random" else similar_clusters(batch.codes, rule.share)
    return drawn(unit, rule)


def drawn(unit: Int64Array, rule: SequenceSplits) -> NDArray[np.int8]:
    """Draw splits, all sequences of a unit together.

    Units come in an order that is a pure function of the seed; the test takes those that fit into
    what it lacks, then validation, and training has the rest. A large unit is for training.

    Parameters
    ----------
    unit
        int64 (n,), the unit of each sequence.
    rule
        Fractions and seed.
    """
    units, which, size = np.unique(unit, return_inverse=True, return_counts=True)
    split = np.full(len(units), TRAIN, np.int8)
    left = {
        TEST: round(rule.test_fraction * len(unit)),
        VALIDATION: round(rule.validation_fraction * len(unit)),
    }
    for number in permutation(len(units), "sequences", rule.seed).tolist():
        for name, room in left.items():
            if size[number] <= room:
                split[number] = name
                left[name] -= int(size[number])
                break
    return split[which]


def read_numbers(path: Path, rows: int = 2**40) -> Int64Array:
    """Read numbers of sequences, counted from 0: one a line, or several with blanks or commas.

    Parameters
    ----------
    path
        The file, as ``numpy.savetxt`` writes it, too (``6.0e+01``).
    rows
        Sequences in the table; default: as many as needed.

    Raises
    ------
    InputError
        Something else, a number twice, or one that the table does not have.
    """
    found: dict[int, int] = {}
    for line, text in streamed_lines(path):
        for word in text.replace(",", " ").split():
            try:
                value = real_number(word.replace("e+", "e"), "the number of a sequence")
            except ValueError as exc:
                raise InputError(f"{path}, line {line}: {exc}") from None
            number = int(value)
            if number != value or not 0 <= number < rows:
                raise InputError(
                    f"{path}, line {line}: {shown(word)} is no sequence of the table, whose "
                    f"{rows} sequences are counted from 0"
                )
            if number in found:
                raise InputError(
                    f"{path}, line {line}: {number} is there twice, first in line {found[number]}"
                )
            found[number] = line
    if not found:
        raise InputError(f"{path}: lists no sequences; expected a number a line")
    return np.fromiter(found, np.int64, len(found))


def _listed(file: Path, rule: SequenceSplits, number: Int64Array, rows: int) -> NDArray[np.int8]:
    """Return the splits that files of numbers list."""
    every = np.full(rows, NOWHERE if rule.train is not None else TRAIN, np.int8)
    named = np.zeros(rows, bool)
    for split, path in ((TRAIN, rule.train), (VALIDATION, rule.validation), (TEST, rule.test)):
        if path is None:
            continue
        numbers = read_numbers(path, rows)
        if named[numbers].any():
            both = int(numbers[named[numbers]][0])
            raise ConfigError(
                f"{path}: sequence {both} of {file} (counted from 0) is in another split, too; "
                "each must be in one"
            )
        named[numbers] = True
        every[numbers] = split
    return every[number]
