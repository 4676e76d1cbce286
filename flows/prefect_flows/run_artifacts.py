"""What Prefect's pages show of a run beside its log: table, link, figures and progress.

Nothing here fails a run: what cannot be recorded is one warning in its log.
"""

from __future__ import annotations

import base64
import contextlib
import html
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.prefect_flows.prefect_runtime import never_failing
from flows.steps.shown_results import ShownFigure, shown_results
from ssldata.base.progress import Progress
from ssldata.project.project_file import Project

#: Environment: address under which the folder that a worker was started in can be read.
FILES_URL = "CROSSLABEL_FILES_URL"

#: Figures in one artifact; the report has all.
MOST_FIGURES = 24

#: Work whose progress is an artifact, by the description of its bar, and what it counts.
LONG_WORK = {"build": "groups of stores", "train": "runs"}

#: Seconds between two updates of the progress.
_BETWEEN_UPDATES = 2.0


def artifact_key(*names: str) -> str:
    """Return the key of an artifact: lower-case letters, digits and single dashes.

    Artifacts of one key are versions of one another, so the name of the project is part of it.
    """
    text = unicodedata.normalize("NFKD", " ".join(names)).lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "crosslabel"


def as_text(text: str) -> str:
    """Return Markdown that shows a text as it is: no markup, link or HTML is made of it."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~:@-])", r"\\\1", text)


def show_results(project: Project, run_folders: list[Path], report: Path) -> None:
    """Show the results of a project: the table of AUPR, its figures, and where the report is.

    Parameters
    ----------
    project
        The project.
    run_folders
        Runs in the order of the report.
    report
        The page that was written.
    """
    name = as_text(project.name)
    with never_failing("the results"):
        found = shown_results(project, run_folders)
        if found.rows:
            create_table_artifact(
                table=[{key: cell_text(text) for key, text in row.items()} for row in found.rows],
                key=artifact_key("aupr", project.name),
                description=f"{name}: area under the precision-recall curve on the test bins of "
                "the reference, mean over seeds. 95 % intervals: bootstrap over blocks of test "
                "bins; they say nothing about other seeds.",
            )
        if found.figures:
            create_markdown_artifact(
                markdown=figures_markdown(found.figures),
                key=artifact_key("figures", project.name),
                description=f"{name}: precision against recall on the test bins",
            )
    with never_failing("the link to the report"):
        link = report_link(report)
        key = artifact_key("report", project.name)
        if link.startswith("http"):
            # The page shows the text of a link as it is; names of projects have no markup.
            text = f"report of {project.name}"
            create_link_artifact(link, link_text=text, key=key, description=f"{name}: the report")
        else:
            create_markdown_artifact(
                markdown=f"`{link}`",
                key=key,
                description=f"{name}: the report, on the machine of the worker. Browsers follow no "
                f"link from here to a file: copy its address, or set {as_text(FILES_URL)}.",
            )


def cell_text(text: str) -> str:
    """Return a text for a cell of a table, which the page reads as HTML with Markdown's links."""
    return html.escape(" ".join(text.split()), quote=False).replace("[", "&#91;")


def figures_markdown(figures: list[ShownFigure]) -> str:
    """Return figures as one Markdown text without links to files."""
    parts = []
    for figure in figures[:MOST_FIGURES]:
        data = base64.b64encode(figure.svg.encode()).decode()
        image = f"![{as_text(figure.words)}](data:image/svg+xml;base64,{data})"
        parts.append(f"## {as_text(figure.title)}\n\n{image}\n")
    if len(figures) > MOST_FIGURES:
        parts.append(f"{len(figures) - MOST_FIGURES} more figures are in the report.\n")
    return "\n".join(parts)


def report_link(report: Path) -> str:
    """Return the address of a report: below ``CROSSLABEL_FILES_URL``, else that of its file.

    A name and a password in that address are left out.
    """
    base = urlsplit(os.environ.get(FILES_URL, ""))
    path = report.absolute()
    if base.scheme in ("http", "https") and path.is_relative_to(Path.cwd()):
        below = quote(path.relative_to(Path.cwd()).as_posix())
        host = base.netloc.rpartition("@")[2]
        return urlunsplit((base.scheme, host, f"{base.path.rstrip('/')}/{below}", "", ""))
    return path.as_uri()


class ArtifactProgress:
    """Reports progress where another does, and that of long work as an artifact as well.

    Parameters
    ----------
    inner
        The other progress reporter.
    project_name
        Of the project, for key and description.
    """

    def __init__(self, inner: Progress, project_name: str) -> None:
        self._inner, self._name = inner, project_name
        self.draws = getattr(inner, "draws", False)

    @contextlib.contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        """Open one progress bar; call what it yields with each advance."""
        with self._inner.task(description, total) as advance:
            if description not in LONG_WORK or not total:
                yield advance
                return
            shown = _ShownProgress(self._name, description, total)

            def both(amount: float = 1) -> None:
                advance(amount)
                shown.advance(amount)

            try:
                yield both
            finally:  # also when the work failed: it stays where it ended
                shown.update()


class _ShownProgress:
    """One progress artifact; after an error it is left alone, so that there is one warning."""

    def __init__(self, project_name: str, description: str, total: float) -> None:
        self._what, self._total, self._done = description, total, 0.0
        self._name, self._last = project_name, (-1.0, time.monotonic())
        self._id: UUID | None = None
        with never_failing(f"the progress of {description}"):
            made: Any = create_progress_artifact(
                progress=0.0,
                key=artifact_key(description, "progress", project_name),
                description=self._text(),
            )
            self._id = made
            self._last = (0.0, time.monotonic())

    def _text(self) -> str:
        done = f"{self._done:g} of {self._total:g} {LONG_WORK[self._what]}"
        return f"{as_text(self._name)}: {self._what}, {done}"

    def advance(self, amount: float) -> None:
        self._done += amount
        if time.monotonic() - self._last[1] >= _BETWEEN_UPDATES:
            self.update()

    def update(self) -> None:
        if self._id is None or self._done == self._last[0]:
            return
        artifact, self._id = self._id, None
        with never_failing(f"the progress of {self._what}"):
            update_progress_artifact(
                artifact,
                progress=min(100.0, 100 * self._done / self._total),
                description=self._text(),
            )
            self._id, self._last = artifact, (self._done, time.monotonic())
