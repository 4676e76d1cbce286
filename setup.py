"""What a wheel has beside the code: examples, pages and deployments of the repository.

They are kept where people look for them, and nowhere twice: a wheel gets copies below
``ssldata/shipped``, and an editable installation reads those of the clone
(``ssldata/project/shipped_files.py``). Everything else is in ``pyproject.toml``.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: What a wheel gets of the repository; not what people put beside it, such as downloaded genomes.
SHIPPED = (
    "prefect.yaml",
    *(f"docs/**/*.{ending}" for ending in ("md", "csv", "svg", "png", "css")),
    *(f"examples/*/*.{ending}" for ending in ("md", "py", "yaml", "ipynb", "tsv", "sizes")),
    "examples/*/published/*.csv",
    "examples/yeast/chains/*.chain.gz",
)
#: Checksums that `crosslabel fetch` recorded for somebody.
OWN = ".lock.tsv"


def shipped_files() -> list[Path]:
    """Return the files that a wheel gets, relative to the repository."""
    found = {path.relative_to(ROOT) for pattern in SHIPPED for path in ROOT.glob(pattern)}
    return sorted(path for path in found if not path.name.endswith(OWN))


class BuildWithShipped(build_py):
    """Copies the files into the build, but for an editable installation."""

    def run(self) -> None:
        """Build the packages, then copy."""
        super().run()
        if self.editable_mode:
            return
        for path in shipped_files():
            target = Path(self.build_lib, "ssldata", "shipped", path)
            self.mkpath(os.fspath(target.parent))
            self.copy_file(os.fspath(ROOT / path), os.fspath(target))


setup(cmdclass={"build_py": BuildWithShipped})
