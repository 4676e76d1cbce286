"""The list of chapters: none is missing in silence, slow ones are kept or said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssldata.base.errors import StoreError
from ssldata.store.store import Store, open_store
from ssldata.store_card import all_checks
from ssldata.store_card.all_checks import CHAPTERS, Chapter, CheckedSubject, checks, slow_chapters
from ssldata.trust.findings import Finding


def finding(check: str = "quick.one") -> Finding:
    return Finding(check, "a title", "pass", "a summary", "a reason")


@pytest.fixture
def store(built_world: Path) -> Store:
    return open_store(built_world / "store" / "alpha.zarr")


def test_every_chapter_of_the_release_is_on_the_card(store: Store) -> None:
    found = checks(store, full=False)
    assert list(dict.fromkeys(one.chapter for one in found)) == [c.name for c in CHAPTERS]


def test_a_check_that_cannot_be_made_is_a_note_that_says_why(store: Store) -> None:
    def fail(subject: CheckedSubject) -> list[Finding]:
        raise StoreError("a chunk is damaged;\n  repair it")

    found = checks(
        store,
        chapters=[
            Chapter("none", "Nothing?", None),
            Chapter("broken", "Broken?", fail),
            Chapter("empty", "Empty?", lambda s: []),
        ],
    )
    assert [(one.check, one.mark) for one in found] == [
        ("none.not-made", "note"),
        ("broken.not-made", "note"),
        ("empty.not-made", "note"),
    ]
    assert "has no such check" in found[0].summary
    assert found[1].summary == "Not checked: a chunk is damaged; repair it."


def test_a_bug_in_a_check_is_not_hidden(store: Store) -> None:
    def bug(subject: CheckedSubject) -> list[Finding]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checks(store, chapters=[Chapter("quick", "Quick?", bug)])
    with pytest.raises(ValueError, match=r"findings of quick are named slow\.one"):
        checks(store, chapters=[Chapter("quick", "Quick?", lambda s: [finding("slow.one")])])


def test_slow_chapters_are_made_when_asked_for_and_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def slow(subject: CheckedSubject) -> list[Finding]:
        made.append(subject.full)
        return [finding("slow.one")]

    chapter = Chapter("slow", "Slow?", slow, slow=True)
    monkeypatch.setattr(all_checks, "CHAPTERS", (chapter,))
    (lacking,) = checks(store, full=False)
    assert (lacking.check, lacking.mark, made) == ("slow.not-made", "note", [])
    assert "--full" in lacking.summary
    assert slow_chapters([lacking]) == {}
    full = checks(store, full=True)
    assert made == [True]
    kept = slow_chapters(full)
    assert checks(store, full=False, known=kept) == full
    assert made == [True]
    checks(store, full=True, known=kept)  # asked for again, made again
    assert made == [True, True]
