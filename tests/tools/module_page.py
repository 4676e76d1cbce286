"""Write docs/modules.md, a line for each module, from the docstrings (``make modules``)."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "modules.md"
HEAD = """# Modules

Every module and the first line of its docstring, by folder. Written by `make modules`; what a \
folder is for, and the rules, are in [architecture.md](architecture.md).
"""


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def module_page() -> str:
    """Return the text of the page."""
    lines = [HEAD]
    for package in ("ssldata", "sslmodels", "flows"):
        lines.append(f"## {package}\n")
        for folder in [
            ROOT / package,
            *sorted(p.parent for p in (ROOT / package).glob("*/__init__.py")),
        ]:
            modules = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
            if modules:
                lines += [
                    f"**`{folder.relative_to(ROOT)}/`** {_first_line(folder / '__init__.py')}\n"
                ]
                lines += ["| module | |", "|---|---|"]
                lines += [
                    f"| `{path.relative_to(ROOT)}` | {_first_line(path)} |" for path in modules
                ]
                lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(module_page(), encoding="utf-8")
