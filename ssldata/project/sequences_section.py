"""The section ``sequences`` of an experiment: a table of sequences with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ssldata.project.section import Section

#: What is done with a sequence of another length.
Fit = Literal["exact", "crop", "pad", "crop-or-pad"]

_Share = Annotated[float, Field(gt=0, lt=1)]


class SequenceSplits(Section, title="Splits"):
    """Which sequences are for training, validation and test."""

    by: Literal["similarity", "random", "chromosomes", "files"] = Field(
        default="similarity",
        description="similarity: at random, but similar sequences together; random: at random; "
        "chromosomes: by `split`, from names such as chr21:43226275-43226875(+); files: as listed.",
    )
    train: Path | None = Field(
        default=None,
        description="files: numbers of the sequences in the table, from 0, one a line; null: all "
        "that the others do not list.",
    )
    validation: Path | None = Field(default=None, description="files: the same for validation.")
    test: Path | None = Field(default=None, description="files: the same for the test.")
    validation_fraction: _Share = Field(
        default=0.1, description="similarity, random: share of the sequences for validation."
    )
    test_fraction: _Share = Field(
        default=0.1, description="similarity, random: share of the sequences for the test."
    )
    share: _Share = Field(
        default=0.2,
        description="similarity: two sequences are similar when they share more than this of their "
        "16-mers (Jaccard index; either strand). 0.2: an overlap of a third, or 93 % identity.",
    )
    seed: int = Field(default=0, description="similarity, random: seed of the draw.")
    expected: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None,
        description="Numbers of sequences for training, validation and test: for the estimates of "
        "`plan` while files are missing.",
    )

    @model_validator(mode="after")
    def _files_are_named(self) -> SequenceSplits:
        named = [key for key in ("train", "validation", "test") if getattr(self, key) is not None]
        if self.by == "files" and not {"validation", "test"} <= set(named):
            raise ValueError("by files needs 'validation' and 'test'")
        if self.by != "files" and named:
            raise ValueError(f"{named[0]!r} goes with 'by: files', not {self.by!r}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing for training")
        if self.expected is not None and len(self.expected) != 3:
            raise ValueError("expected has three numbers: training, validation and test")
        return self


class LabelledSequences(Section, title="Sequences"):
    """Sequences with labels, in place of peaks; see docs/sequences.md."""

    file: Path = Field(
        description="CSV or TSV with a header line, or FASTA; plain or packed. Sequences have "
        "windows.size bases."
    )
    header: str = Field(default="header", description="Column of the names; it may be missing.")
    sequence: str = Field(default="sequence", description="Column of the sequences.")
    label: str = Field(default="label", description="Column of the labels, 0 or 1.")
    labels: Path | None = Field(
        default=None,
        description="Labels of a FASTA: a table of names and labels, or one label a line.",
    )
    label_in_header: bool = Field(
        default=False,
        description="FASTA: the label is the last word of a line with >, as in `>name 1` or "
        "`>name label=1`.",
    )
    fit: Fit = Field(
        default="exact",
        description="Sequences of another length: exact leaves them out; crop cuts longer ones "
        "around their middle; pad puts N on both ends of shorter ones.",
    )
    duplicates: Literal["drop", "keep"] = Field(
        default="drop",
        description="Sequences that occur twice, on either strand: drop keeps the first in "
        "training, and takes those of the test out of training and validation.",
    )
    conflicts: Literal["drop", "keep"] = Field(
        default="drop", description="Equal sequences with different labels."
    )
    splits: SequenceSplits = Field(default_factory=SequenceSplits)

    @model_validator(mode="after")
    def _one_kind_of_labels(self) -> LabelledSequences:
        if self.labels is not None and self.label_in_header:
            raise ValueError("labels are in a file ('labels') or in headers, not in both")
        return self
