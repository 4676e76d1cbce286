"""What comes with crosslabel: the command ``docs``, and the copies that ``init`` makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options.shared_options import command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the command ``docs``."""
    command(app, "docs")(_docs)


def list_examples(console: Console) -> None:
    """Print the examples that ``crosslabel init --example`` copies."""
    from flows.output import tables
    from ssldata.project.shipped_files import examples

    found = examples()
    console.result(found, tables.table("Examples", ["name", "what"], list(found.items())))


def copy(console: Console, directory: Path, example: str | None) -> None:
    """Copy an example into a folder, or without a name the deployments, and print what is next."""
    from ssldata.project.shipped_files import write_deployments, write_example

    if example is None:
        path = write_deployments(directory)
        then = "crosslabel docs deployments"
    else:
        write_example(example, directory)
        project = directory / "project.yaml"
        path = project if project.is_file() else directory / "README.md"
        fetched = (directory / "SOURCES.tsv").is_file()
        then = f"crosslabel {'fetch' if fetched else 'plan'} {directory}"
        then = f"see {directory / 'README.md'}" + f"; {then}" * project.is_file()
    console.result({"project": str(path.resolve())}, f"wrote {path}; next: {then}")


def _docs(
    console: Console,
    page: Annotated[
        str | None, typer.Argument(metavar="PAGE", help="A name that `crosslabel docs` lists.")
    ] = None,
) -> None:
    """Show a page of the documentation, or list the pages and the folder they are in.

    A page is written for reading on a terminal, and as Markdown to a pipe or a file.

    Example: `crosslabel docs liftover`
    """
    from flows.output import tables
    from ssldata.project.shipped_files import page_text, pages, shipped_folder

    if page is None:
        folder, found = shipped_folder() / "docs", pages()
        console.result(
            {"folder": str(folder), "pages": found},
            tables.table("Pages", ["page", "about"], list(found.items())),
            f"in {folder}; crosslabel docs PAGE shows one",
        )
        return
    text = page_text(page)
    if console.as_json:
        console.result({"page": page, "markdown": text})
    else:
        console.write_page(text)
