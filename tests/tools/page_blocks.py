"""Run the blocks of a page one after the other, as its reader would, and compare what they print.

A block is run unless the comment on the line before it says otherwise::

    <!-- not run: WHY -->         a block that is only shown
    <!-- exit N: WHY -->          its last command is expected to end with this code
    <!-- output -->               what the block before printed: every line must be among its lines
    <!-- output varies: WHY -->   the same, not compared

Spaces within a line do not matter; lines with ``…`` alone say that something was left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK = re.compile(r"^(?:<!-- (.+) -->\n)?```(\w*)\n((?s:.*?))^```$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the comment before it."""

    language: str
    code: str
    comment: str

    @property
    def kind(self) -> str:
        """What becomes of it: run, not run, output, varies, or shown (settings, file names)."""
        if self.comment.startswith("output"):
            return "varies" if self.comment.startswith("output varies: ") else "output"
        if self.language not in ("sh", "python"):
            return "shown"
        return "not run" if self.comment.startswith("not run: ") else "run"


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(language, code, comment) for comment, language, code in _BLOCK.findall(text)]


def counts(text: str) -> dict[str, int]:
    """Return how many blocks of each kind a page has."""
    return dict(Counter(block.kind for block in blocks_of(text)))


def _shell(code: str, folder: Path, expected: int) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "90"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == expected, f"{code}\nexit code {done.returncode}\n{done.stdout}"
    return done.stdout


def _python(code: str, folder: Path, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, "page", "exec"), names)
    return printed.getvalue()


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def run_page(text: str, folder: Path) -> None:
    """Run the blocks of a page in a folder; Python blocks share their names."""
    names: dict[str, Any] = {"__name__": "__page__"}
    printed: list[str] = []
    for block in blocks_of(text):
        if block.kind == "output":
            shown = [line for line in _lines(block.code) if line != "…"]
            missing = [line for line in shown if line not in printed]
            assert not missing, "\n".join(["not printed:", *missing, "printed:", *printed])
        elif block.kind == "run":
            code = re.match(r"exit (\d+): ", block.comment)
            printed = _lines(
                _python(block.code, folder, names)
                if block.language == "python"
                else _shell(block.code, folder, int(code[1]) if code else 0)
            )
