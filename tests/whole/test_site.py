"""The documentation site: its generated pages are complete, and it builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer

import ssldata
import sslmodels
from flows.commands.app import app
from ssldata.liftover.lift_result import Status

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def website() -> Iterator[None]:
    """Let tests import what makes the generated pages."""
    sys.path.insert(0, str(ROOT / "website"))
    yield
    sys.path.remove(str(ROOT / "website"))


def generated(name: str) -> ModuleType:
    return import_module(name)


def every_command() -> Iterator[tuple[str, Any]]:
    """Walk the app as Click keeps it; independent of the code that writes the page."""
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {word}", part) for word, part in command.commands.items()]
        else:
            yield name.strip(), command


def test_every_command_and_option_is_on_the_page(website: None) -> None:
    del website
    text = generated("command_page").command_page()
    sections = dict(re.findall(r"^## crosslabel (.+)\n((?s:.*?))(?=^## |\Z)", text, re.MULTILINE))
    found = dict(every_command())
    assert sections.keys() == found.keys()
    shared = text[: text.index("## crosslabel ")]
    for name, command in found.items():
        for parameter in command.params:
            names = (*parameter.opts, *parameter.secondary_opts)
            if parameter.param_type_name == "argument":
                names = (parameter.metavar,)
            for word in names:
                assert f"`{word}`" in sections[name] or f"`{word}`" in shared, (name, word)
    assert "-minMatch" in sections["liftover"]


def test_every_public_name_is_on_the_page(website: None) -> None:
    del website
    text = generated("python_page").python_page()
    shown = set(re.findall(r"heading: (\w+\.\w+)", text))
    wanted = {f"sd.{name}" for name in ssldata.__all__} | {
        f"sm.{name}" for name in sslmodels.__all__
    }
    assert shown == {name for name in wanted if "__" not in name}
    for place in re.findall(r"^::: (.+)$", text, re.MULTILINE):
        module, _, attribute = place.rpartition(".")
        assert hasattr(import_module(module), attribute), place


def test_statuses_of_the_glossary_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    table = text[text.index("## Statuses of a lift") :]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [s.name.lower() for s in Status]


def test_terms_of_the_glossary_are_in_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|`]+) \|", text[: text.index("## Statuses")], re.MULTILINE)[1:]
    plain = [re.sub(r"\W+", " ", term).lower() for term in terms if "---" not in term]
    assert plain == sorted(plain)
    for word in ("distance", "identity", "aupr", "homologue", "pseudo label", "chain"):
        assert word in plain


# The site ---------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The ids, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in values:
            self.loaded.append(values["src"])
        elif tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(values["href"])


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_leads_nowhere_else(tmp_path: Path) -> None:
    """Every link and anchor exists, and nothing is loaded from another machine."""
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if path.name != "404.html"
    }
    assert {"index.html", "tutorial.html", "concepts.html"} <= {path.name for path in pages}
    for path, page in pages.items():
        for target in (*page.links, *page.loaded):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert target in page.links, f"{path.name} loads {target}"
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert there.exists(), (path.name, target)
            if parts.fragment and there in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[there].ids, (path.name, target)
    reference = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert not re.search(r":(func|class|mod|meth|attr):|::</p>", reference)  # Sphinx's markup
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?https?:", style.read_text("utf-8"))
    assert (site / "search" / "search_index.json").stat().st_size > 100_000
