"""What a check of a store found: a mark, a sentence, the numbers, and what to do.

Checks make findings; the card, the commands and the JSON output only show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: ``note``: a measurement that has no threshold, or a check that could not be made; its summary
#: says which.
Mark = Literal["pass", "note", "warn", "fail"]

#: From harmless to serious.
MARKS: tuple[Mark, ...] = ("pass", "note", "warn", "fail")


@dataclass(frozen=True)
class FindingTable:
    """A table that belongs to a finding.

    Attributes
    ----------
    columns
        Headings, with units.
    rows
        Text, numbers or None (not measured), one value for each column.
    plot
        Columns that are worth a picture: (column of names, column of values), or None.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    plot: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse rows of another width."""
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"{len(self.columns)} columns, but a row of {len(wrong[0])} values")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    check
        Stable name of the check for machines, such as ``"leakage.source-split"``; what stands
        before the dot is its chapter on the card.
    title
        What was checked, for people: ``"Every row is in the split of its source"``.
    mark
        How serious it is.
    summary
        One sentence with the numbers that decide.
    why
        Why a reader should care, in one sentence.
    advice
        What to do about it; empty for ``pass``.
    numbers
        Figures by name, for machines; units in the names (``_rows``, ``_bp``, ``_fraction``).
    tables
        Tables by title.
    """

    check: str
    title: str
    mark: Mark
    summary: str
    why: str
    advice: str = ""
    numbers: Mapping[str, int | float | str | None] = field(default_factory=dict)
    tables: Mapping[str, FindingTable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a finding that a card could not show."""
        chapter, dot, rest = self.check.partition(".")
        if not (chapter and dot and rest):
            raise ValueError(f"{self.check!r}: a check is named chapter.name")
        if self.mark not in MARKS:
            raise ValueError(f"{self.mark!r}: a mark is one of {', '.join(MARKS)}")
        if self.mark in ("warn", "fail") and not self.advice:
            raise ValueError(f"{self.check}: what a reader should do about it is missing")

    @property
    def chapter(self) -> str:
        """What stands before the dot of :attr:`check`."""
        return self.check.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        """Return the finding as what ``json`` can write."""
        return asdict(self) | {"numbers": dict(self.numbers)}


def worst(findings: Iterable[Finding]) -> Mark:
    """Return the most serious mark; that of nothing is ``pass``."""
    return max((finding.mark for finding in findings), key=MARKS.index, default="pass")


def by_chapter(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the findings of each chapter, in their order."""
    chapters: dict[str, list[Finding]] = {}
    for finding in findings:
        chapters.setdefault(finding.chapter, []).append(finding)
    return chapters
