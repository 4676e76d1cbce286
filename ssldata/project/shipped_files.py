"""Examples, pages and deployments that come with crosslabel, from a clone and from a wheel.

They lie in the repository; ``setup.py`` copies them into a wheel, below ``ssldata/shipped``.
"""

from __future__ import annotations

import re
from pathlib import Path

from ssldata.base.errors import InputError
from ssldata.base.files import atomic_path, write_text_atomic

_CLONE = Path(__file__).resolve().parents[2]
_INSTALLED = _CLONE / "ssldata" / "shipped"

_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
#: `[words](../../docs/page.md#place)`
_PAGE_LINK = re.compile(r"\[([^\]]+)\]\(\.\./\.\./docs/([\w/-]+)\.md(?:#[\w-]+)?\)")
_EXAMPLE_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([\w-]+)/README\.md\)")
#: Files whose text names the folder of the example.
_NAMING = {".md", ".yaml", ".py"}
#: What belongs to an example, but for what `crosslabel fetch` brings; data, stores and runs do not.
_PARTS = ("*.*", "published/*.csv", "chains/*.chain.gz")


def shipped_folder() -> Path:
    """Return the folder that has ``docs``, ``examples`` and ``prefect.yaml``.

    Raises
    ------
    InputError
        The code was copied without them.
    """
    folder = _INSTALLED if _INSTALLED.is_dir() else _CLONE
    if not (folder / "prefect.yaml").is_file():
        raise InputError(
            f"{folder}: has no examples, pages and deployments; install crosslabel with pip, or "
            "use a whole clone"
        )
    return folder


def examples() -> dict[str, str]:
    """Return the names of the examples, each with the heading of its page."""
    found = sorted((shipped_folder() / "examples").glob("*/README.md"))
    return {path.parent.name: _heading(path) for path in found}


def pages() -> dict[str, str]:
    """Return the names of the pages, each with its heading: ``results/yeast`` is one."""
    root = shipped_folder() / "docs"
    found = sorted(root.rglob("*.md"), key=lambda path: (len(path.relative_to(root).parts), path))
    return {path.relative_to(root).with_suffix("").as_posix(): _heading(path) for path in found}


def page_text(name: str) -> str:
    """Return a page as Markdown; `name` may end in ``.md`` and begin with ``docs/``.

    Raises
    ------
    InputError
        There is no such page.
    """
    known = pages()
    wanted = name.removeprefix("docs/").removesuffix(".md")
    if wanted not in known:
        raise InputError(f"{name}: no such page; `crosslabel docs` lists them")
    return (shipped_folder() / "docs" / f"{wanted}.md").read_text("utf-8")


def write_example(name: str, directory: Path) -> Path:
    """Copy an example into a folder, created if missing, and return the folder.

    Texts that name the folder of the example in a clone name `directory` instead, and links to
    pages become the commands that show them.

    Raises
    ------
    InputError
        There is no such example, or the folder is not empty.
    """
    known = examples()
    if name not in known:
        raise InputError(f"--example {name}: expected one of {', '.join(known)}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(
            f"{directory}: not an empty folder, and nothing is overwritten; name a new one"
        )
    source = shipped_folder() / "examples" / name
    # The project file last: without it no command takes the folder for a project.
    for path in sorted(_parts(source), key=lambda path: (path.name == "project.yaml", path)):
        target = directory / path.relative_to(source)
        if path.suffix in _NAMING:
            text = path.read_text("utf-8").replace(f"examples/{name}", str(directory))
            write_text_atomic(target, _without_links(text) if path.suffix == ".md" else text)
        else:
            with atomic_path(target) as temporary:
                temporary.write_bytes(path.read_bytes())
    return directory


def write_deployments(directory: Path) -> Path:
    """Copy ``prefect.yaml`` into a folder, created if missing, and return its path.

    Raises
    ------
    InputError
        The folder has one already, or is a file.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: expected a folder, found a file; name a folder")
    path = directory / "prefect.yaml"
    if path.exists():
        raise InputError(f"{path}: exists already and is not overwritten; name another folder")
    write_text_atomic(path, (shipped_folder() / "prefect.yaml").read_text("utf-8"))
    return path


def _parts(source: Path) -> set[Path]:
    """Return the files of an example that are its own: in a clone it may have been used."""
    found = {path for part in _PARTS for path in source.glob(part) if path.is_file()}
    table = source / "SOURCES.tsv"
    lines = table.read_text("utf-8").splitlines() if table.is_file() else []
    fetched = {source / line.partition("\t")[0] for line in lines}
    return {path for path in found - fetched if not path.name.endswith(".lock.tsv")}


def _heading(path: Path) -> str:
    found = _HEADING.search(path.read_text("utf-8"))
    return found[1].replace("`", "") if found else path.stem


def _without_links(text: str) -> str:
    """Return a page whose links into the repository are commands that work anywhere."""

    def page(found: re.Match[str]) -> str:
        words, name = found[1], found[2]
        shown = f"`crosslabel docs {name}`"
        return shown if words == f"docs/{name}.md" else f"{words} ({shown})"

    return _EXAMPLE_LINK.sub(r"\1 (`crosslabel init --example \2 DIR`)", _PAGE_LINK.sub(page, text))
