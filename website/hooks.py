"""What mkdocs does beside rendering the pages of ``docs/``.

- Two pages are made from the code: every command and option, and the Python reference.
- Files of the repository to which pages link (examples, the changelog, a module) become part of
  the site below ``repository/``, so that the pages keep the links that work on GitHub.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from command_page import command_page
from mkdocs.structure.files import File
from python_page import ALIASES, public_names, python_page

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "repository"
LINK = re.compile(r"(?<=\]\()([^)#\s]*)(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
#: Pages of the repository that the navigation names although no page has to link to them.
ALWAYS = ("CONTRIBUTING.md", "CHANGELOG.md")


def _place(src_uri: str) -> str:
    """Return where the source of a page lies, relative to the repository."""
    inside = src_uri.startswith(f"{PREFIX}/")
    return src_uri.removeprefix(f"{PREFIX}/") if inside else f"docs/{src_uri}"


def _uri(place: str) -> str:
    """Return the address of a file of the repository within the sources of the site."""
    inside = place.startswith("docs/")
    return place.removeprefix("docs/") if inside else f"{PREFIX}/{place}"


def _targets(text: str, place: str) -> list[str]:
    """Return the files of the repository that a page links to."""
    found = []
    for part in FENCED.split(text)[::2]:
        for link in LINK.finditer(part):
            if link[1] and "://" not in link[1] and not link[1].startswith("mailto:"):
                found.append(posixpath.normpath(posixpath.join(posixpath.dirname(place), link[1])))
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and what pages link to outside ``docs/``."""
    for uri, text in (
        ("reference/commands.md", command_page()),
        ("reference/python.md", python_page()),
    ):
        files.append(File.generated(config, uri, content=text))
    waiting = [
        target
        for file in files.documentation_pages()
        for target in _targets(file.content_string, _place(file.src_uri))
    ] + list(ALWAYS)
    seen = set()
    while waiting:
        place = waiting.pop()
        if place in seen or place.startswith(("docs/", "..")) or not (ROOT / place).is_file():
            continue
        seen.add(place)
        files.append(File.generated(config, _uri(place), abs_src_path=str(ROOT / place)))
        if place.endswith(".md"):
            waiting += _targets((ROOT / place).read_text(encoding="utf-8"), place)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave ``docs/`` to where the site has the file."""
    del config, files
    uri = page.file.src_uri
    place = _place(uri)

    def moved(link: re.Match[str]) -> str:
        if not link[1] or "://" in link[1] or link[1].startswith("mailto:"):
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link[1]))
        return os.path.relpath(_uri(target), posixpath.dirname(uri) or ".") + (link[2] or "")

    if uri.startswith("reference/"):
        return markdown
    parts = FENCED.split(markdown)
    return "".join(
        part if number % 2 else LINK.sub(moved, part) for number, part in enumerate(parts)
    )


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Show the roles of docstrings, which are Sphinx's, as plain code; and public names."""
    del config, files
    if page.file.src_uri != "reference/python.md":
        return html
    html = re.sub(r":\w+:<code>[~.]*(?:\w+\.)*(\w+)</code>", r"<code>\1</code>", html)
    html = re.sub(r"<p>::</p>|\s+::(?=</p>)", "", re.sub(r"(?<=\w)::(?=</p>)", ":", html))
    for package, alias in ALIASES.items():
        for name, place in public_names(package).items():
            inner = place.rpartition(".")[2]
            html = html.replace(f'"nf">{inner}</span>', f'"nf">{alias}.{name}</span>')
            html = html.replace(
                f'"n">{inner}</span><span class="p">(',
                f'"n">{alias}.{name}</span><span class="p">(',
            )
    return html
