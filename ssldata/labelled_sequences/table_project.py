"""The project file of a table of sequences: what ``crosslabel init --sequences`` writes."""

from __future__ import annotations

import os
from pathlib import Path

from ssldata.base.errors import InputError
from ssldata.base.files import write_text_atomic
from ssldata.base.yaml_text import dump
from ssldata.labelled_sequences.sequence_table import TableOptions, read_sequences
from ssldata.project.project_template import new_project_file

_TEXT = """\
# A crosslabel project of labelled sequences. `crosslabel plan` shows what is left out and why,
# docs/sequences.md explains the section `sequences`, `crosslabel run` does the work.

name: {name}

experiments:
  - name: {name}
    sequences:
      {file}
      duplicates: drop                  # equal sequences, on either strand: drop or keep
      splits:
        by: similarity                  # similarity, random, chromosomes (see `split`) or files
        validation_fraction: 0.1
        test_fraction: 0.1
        seed: 0

windows:
  size: {length}                        # bases of every sequence
  n_policy: drop                        # sequences with any N: drop, or keep (N = four zeros)

training:
  regimes: [sl]
  models: [cnn-27k]
  both_strands: true                    # the score of a sequence is the mean of both strands
  augment: {{reverse_complement: 0.5}}    # and either is trained on; leave out where strands differ
"""


def write_table_project(directory: Path, table: Path) -> Path:
    """Write ``project.yaml`` for a table of sequences and return its path.

    Parameters
    ----------
    directory
        The folder, created if missing.
    table
        CSV or TSV with the columns header, sequence and label; the sequences of its beginning
        decide how many bases are expected.

    Raises
    ------
    CrosslabelError
        The folder has a project file already; or the table is missing, or no such table.
    """
    path, name = new_project_file(directory)
    stream = read_sequences(table, TableOptions(labels=("label",)))
    first = next(iter(stream), None)
    if first is None:
        raise InputError(f"{table}: none of its sequences can be used")
    there = os.path.relpath(table.resolve(), directory.resolve())
    text = _TEXT.format(
        name=name,
        file=dump({"file": there}).strip(),
        length=first.codes.shape[1],
    )
    write_text_atomic(path, text)
    return path
