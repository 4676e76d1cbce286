"""Every check of a store, chapter by chapter: what the card shows and in which order.

A chapter is one line of :data:`CHAPTERS`. Its function gets a :class:`CheckedSubject` and returns
findings, whose names begin with the name of the chapter. A check that cannot be made becomes a
finding marked ``note`` that says why: no chapter is ever missing from a card in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ssldata.base.errors import CrosslabelError
from ssldata.base.progress import NoProgress, Progress
from ssldata.lift_checks.store_quality import quality_findings
from ssldata.project.project_file import Project
from ssldata.store.store import Store
from ssldata.store_card.basic_checks import integrity_findings, row_findings
from ssldata.trust.findings import Finding
from ssldata.trust.leakage import leakage_findings
from ssldata.trust.species_shortcut import shortcut_findings


@dataclass(frozen=True)
class CheckedSubject:
    """What is checked.

    Attributes
    ----------
    store
        The store, opened.
    genomes
        The project whose genomes and chains made it, for checks that read more than the store.
    full
        Whether checks may take minutes.
    progress
        Progress reporter.
    """

    store: Store
    genomes: Project | None = None
    full: bool = False
    progress: Progress = field(default_factory=NoProgress)


class Chapter(NamedTuple):
    """One chapter of the card.

    Attributes
    ----------
    name
        What the names of its findings begin with.
    title
        The question that it answers.
    make
        Makes its findings; None: this release has none.
    slow
        Whether it may take minutes; then it is made with ``--full`` alone.
    page
        The page of the documentation that explains it.
    """

    name: str
    title: str
    make: Callable[[CheckedSubject], Iterable[Finding]] | None
    slow: bool = False
    page: str = "trust.md"


#: In the order of the card.
CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "integrity",
        "Is the store whole?",
        lambda s: integrity_findings(s.store, deep=s.full, progress=s.progress),
    ),
    Chapter("rows", "Are there enough rows?", lambda s: row_findings(s.store)),
    Chapter(
        "leakage",
        "Is the test kept apart?",
        lambda s: leakage_findings(s.store, progress=s.progress),
        slow=True,
        page="trust-leakage.md",
    ),
    Chapter(
        "shortcut",
        "Can it be learnt without biology?",
        lambda s: shortcut_findings(s.store),
        slow=True,
        page="trust-shortcut.md",
    ),
    Chapter(
        "quality",
        "Are the homologues good?",
        lambda s: quality_findings(s.store, s.genomes, progress=s.progress),
        slow=True,
        page="trust-quality.md",
    ),
)

#: The name, in its chapter, of the finding that stands for checks that were not made.
NOT_MADE = "not-made"
#: Chapter → findings that were made before.
Known = Mapping[str, Sequence[Finding]]


def checks(
    store: Store,
    *,
    genomes: Project | None = None,
    progress: Progress | None = None,
    full: bool = True,
    known: Known | None = None,
    chapters: Sequence[Chapter] | None = None,
) -> list[Finding]:
    """Make every check of a store.

    Parameters
    ----------
    store
        The store, opened.
    genomes
        The project whose genomes and chains made it, for checks that read more than the store.
    progress
        Progress reporter.
    full
        Make slow checks too; otherwise take those of `known`, or say that they were not made.
    known
        Findings of slow chapters that were made of the same rows before.
    chapters
        What to check; default: :data:`CHAPTERS`.

    Returns
    -------
    list of Finding
        One at least for each chapter, in their order.
    """
    subject = CheckedSubject(store, genomes, full, progress or NoProgress())
    findings: list[Finding] = []
    for chapter in CHAPTERS if chapters is None else chapters:
        findings += _of_chapter(chapter, subject, (known or {}).get(chapter.name, ()))
    return findings


def _of_chapter(
    chapter: Chapter, subject: CheckedSubject, known: Sequence[Finding]
) -> Sequence[Finding]:
    if chapter.make is None:
        return [_not_made(chapter, "this release of crosslabel has no such check")]
    if chapter.slow and not subject.full:
        reason = "it may take minutes; `crosslabel store card STORE --full` makes it"
        return known or [_not_made(chapter, reason)]
    try:
        found = list(chapter.make(subject))
    except CrosslabelError as exc:
        return [_not_made(chapter, " ".join(str(exc).split()))]
    strange = [one.check for one in found if one.chapter != chapter.name]
    if strange:
        raise ValueError(f"findings of {chapter.name} are named {', '.join(strange)}")
    return found or [_not_made(chapter, "there is nothing in this store to check")]


def _not_made(chapter: Chapter, reason: str) -> Finding:
    return Finding(
        f"{chapter.name}.{NOT_MADE}",
        chapter.title,
        "note",
        f"Not checked: {reason}.",
        "What was not checked may be good or bad.",
    )


def is_unmade(finding: Finding) -> bool:
    """Return whether a finding stands for checks that were not made."""
    return finding.check == f"{finding.chapter}.{NOT_MADE}"


def slow_chapters(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return the findings of slow chapters that were made: what is worth keeping."""
    slow = {chapter.name for chapter in CHAPTERS if chapter.slow}
    kept: dict[str, list[Finding]] = {}
    for one in findings:
        if one.chapter in slow and not is_unmade(one):
            kept.setdefault(one.chapter, []).append(one)
    return kept
