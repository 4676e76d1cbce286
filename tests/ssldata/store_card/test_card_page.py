"""The page and its parts: every finding is on it, names are text, nothing is loaded."""

from __future__ import annotations

import json
import math
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_store import edit_root

from ssldata.base.errors import InputError
from ssldata.building.add_remove_genomes import yank_genome
from ssldata.sharing.card import write_card
from ssldata.sharing.croissant_file import Facts
from ssldata.sharing.zip_store import share_zip
from ssldata.store.store import Store, open_store
from ssldata.store_card import all_checks
from ssldata.store_card.all_checks import Chapter
from ssldata.store_card.card_page import card_page, shown_value
from ssldata.store_card.findings_file import findings_text, read_findings
from ssldata.store_card.write_store_card import write_store_card
from ssldata.trust.findings import MARKS, Finding, FindingTable, Mark

NASTY = """<script>alert('x')</script>"><img src=x onerror="y">{{7*7}}"""
VOID = {"meta", "rect", "br", "img"}


class Page(HTMLParser):
    """The elements, attributes and text of a page; fails on elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.loaded += [str(found[key]) for key in ("src", "srcset", "onerror") if key in found]
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found["href"])] if "href" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def finding(check: str, mark: Mark, text: str = "plain") -> Finding:
    return Finding(
        check,
        f"title {text}",
        mark,
        f"summary {text}",
        f"why {text}",
        f"advice {text}",
        {f"number {text}": 0.5, "none": None},
        {
            f"table {text}": FindingTable(
                (f"name {text}", "value"),
                ((text, 3), ("b", None), ("c", 1.5)),
                (f"name {text}", "value"),
            )
        },
    )


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


@pytest.fixture
def store(path: Path) -> Store:
    return open_store(path)


def test_all_that_was_found_is_on_the_page_in_words(store: Store) -> None:
    findings = [finding(f"odd.{mark}", mark, f"of {mark}") for mark in MARKS]
    page = Page(card_page(store, findings, facts=Facts("CC0-1.0")))
    for mark in MARKS:
        for text in ("title", "summary", "why", "advice", "table"):
            assert f"{text} of {mark}" in page.text
        assert mark.upper() in page.text
    assert "1 failure, 1 warning, 1 note, 1 passed" in page.text
    assert "CC0-1.0" in page.text
    # The serious ones stand at the top, the failure first.
    top = page.text.partition("Rows by genome")[0]
    assert top.index("title of fail") < top.index("title of warn")
    assert "title of note" not in top
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_the_page_loads_nothing_and_runs_nothing(store: Store) -> None:
    text = card_page(store, [finding("odd.one", "pass")], facts=Facts())
    page = Page(text)
    assert page.loaded == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import", text)


def test_names_are_text(path: Path) -> None:
    def rename(root: dict[str, Any]) -> None:
        ours = root["attributes"]["crosslabel"]
        ours["name"] = ours["reference"]["name"] = NASTY
        ours["split"]["test"] = [NASTY]

    plain = Page(card_page(open_store(path), [finding("odd.one", "warn")], facts=Facts("x")))
    edit_root(path, rename)
    facts = Facts(NASTY, NASTY, NASTY)
    page = Page(card_page(open_store(path), [finding("odd.one", "warn", NASTY)], facts=facts))
    assert page.loaded == []
    assert set(page.tags) == set(plain.tags)
    assert page.text.count(NASTY) >= 10
    write_store_card(str(path), facts=Facts(NASTY))
    assert (
        "<script" not in (path / "README.md").read_text().partition("---\n")[2].partition("---")[2]
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (1234567, "1,234,567"), (0.12345, "0.123"), (54321.6, "54,322")],
)
def test_values_as_a_table_shows_them(value: object, text: str) -> None:
    assert shown_value(value) == text


def test_what_was_not_checked_is_said_at_the_top(store: Store) -> None:
    found = all_checks.checks(store, full=False)
    top = Page(card_page(store, found, facts=Facts())).text.partition("Rows by genome")[0]
    unmade = [one for one in found if all_checks.is_unmade(one)]
    assert top.count("not checked") == len(unmade) > 0
    for one in unmade:
        assert one.title in top.partition("Not checked, so neither good nor bad:")[2]


def test_commands_in_a_sentence_are_code(store: Store) -> None:
    found = [finding("odd.one", "warn", "`a <b>` and c"), finding("odd.two", "warn", "one ` alone")]
    text = card_page(store, found, facts=Facts())
    assert "advice <code>a &lt;b&gt;</code> and c" in text
    assert "advice one ` alone" in text


# -- findings as JSON ----------------------------------------------------------------------------

_values = (
    st.none()
    | st.text(max_size=5)
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.lists(_values, min_size=1, max_size=4), st.sampled_from(MARKS))
def test_findings_come_back_as_they_were(tmp_path_factory, values, mark) -> None:
    folder = tmp_path_factory.mktemp("card")
    found = Finding(
        *("a.b", "t", mark, "s", "w", "x"),
        numbers={"n": 1},
        tables={"t": FindingTable(tuple("abcd"[: len(values)]), (tuple(values),))},
    )
    (folder / "findings.json").write_text(findings_text([found], digest="d"), encoding="utf-8")
    assert read_findings(folder, "d") == [found]
    assert read_findings(folder, "of other rows") == []


def test_numbers_of_numpy_and_what_is_no_number(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"a": np.int64(3), "b": np.float32(0.5), "c": math.nan, "d": np.inf}
    found = Finding("a.b", "t", "pass", "s", "w", numbers=numbers)
    (tmp_path / "findings.json").write_text(findings_text([found], digest="d"))
    assert read_findings(tmp_path, "d")[0].numbers == {"a": 3, "b": 0.5, "c": None, "d": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"store": "d"}',
        '{"store": "d", "findings": [{}]}',
        '{"store": "d", "findings": 3}',
    ],
)
def test_a_damaged_file_of_findings_counts_as_none(text: str, path: Path) -> None:
    digest = open_store(path).digest
    (path / "findings.json").write_text(text.replace('"d"', f'"{digest}"'))
    assert read_findings(path, digest) == []
    write_card(path)
    assert "What was checked" not in (path / "README.md").read_text()


# -- the card and its store ----------------------------------------------------------------------


def test_the_card_is_written_once_and_marks_are_in_the_readme(path: Path) -> None:
    value = write_store_card(str(path), facts=Facts("CC0-1.0"))
    assert {file.name for file in value["changed"]} >= {"card.html", "findings.json", "README.md"}
    assert write_store_card(str(path))["changed"] == []
    readme = (path / "README.md").read_text()
    for one in value["findings"]:
        assert f"| **{one['mark'].upper()}** | {one['title']}" in readme
    assert write_card(path) == []  # what a build writes keeps them


def test_what_was_found_in_other_rows_is_deleted(path: Path) -> None:
    write_store_card(str(path))
    yank_genome(path, "relative1")
    assert not (path / "card.html").exists()
    assert not (path / "findings.json").exists()
    assert "What was checked" not in (path / "README.md").read_text()


def test_slow_findings_stay_while_the_rows_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def slow(subject: all_checks.CheckedSubject) -> list[Finding]:
        calls.append(1)
        return [finding("slow.one", "warn")]

    monkeypatch.setattr(all_checks, "CHAPTERS", (Chapter("slow", "Slow?", slow, slow=True),))
    assert write_store_card(str(path))["mark"] == "note"
    assert write_store_card(str(path), full=True)["mark"] == "warn"
    assert write_store_card(str(path))["changed"] == []
    assert len(calls) == 1
    yank_genome(path, "relative1")
    assert write_store_card(str(path))["mark"] == "note"


def test_the_page_travels_in_the_zip_and_a_zip_has_its_card_elsewhere(
    path: Path, tmp_path: Path
) -> None:
    write_store_card(str(path), facts=Facts("CC0-1.0"))
    share_zip(path, tmp_path / "a.zip")
    with pytest.raises(InputError, match="pass --out FOLDER"):
        write_store_card(str(tmp_path / "a.zip"))
    value = write_store_card(str(tmp_path / "a.zip"), out=tmp_path / "card", facts=Facts("CC0-1.0"))
    assert len(value["changed"]) == 5
    for name in ("card.html", "README.md", "findings.json"):
        inside = (path / name).read_text()
        assert (tmp_path / "card" / name).read_text() == inside, name
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("card.html") == (path / "card.html").read_bytes()
        assert json.loads(archive.read("findings.json"))["store"] == open_store(path).digest
