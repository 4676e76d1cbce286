"""Texts of a page without the paths of the machine on which it was made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: What remains: an absolute path of two or more parts, which no address precedes.
_ABSOLUTE = re.compile(r"(?<![\w.:/~…<])/(?:[^\s/:'\"`,;)<>]+/)+(?=[^\s/:'\"`,;)<>])")


class RelativePaths:
    """Shortens the paths in texts: below the project they are relative, else only a name is left.

    Parameters
    ----------
    root
        Folder of the project.
    others
        Other paths that texts may contain, whose names may have spaces.
    """

    def __init__(self, root: Path, others: Iterable[Path] = ()) -> None:
        # As given and resolved: messages may have either.
        roots = {str(root.absolute()), str(root.resolve())}
        roots = {path for path in roots if len(Path(path).parts) > 1}
        known = {f"{path}/": "" for path in roots} | dict.fromkeys(roots, ".")
        for path in {*others} | {Path.home(), Path.cwd()}:
            for whole in {str(path.absolute()), str(path.resolve())}:
                inside = any(Path(whole).is_relative_to(top) for top in roots)
                if len(Path(whole).parts) > 1 and not inside:
                    known.setdefault(whole, f"…/{path.name}")
        # Messages of the operating system quote a path, with escapes that it may then have.
        for whole, short in list(known.items()):
            known.setdefault(repr(whole)[1:-1], short)
        self._known = sorted(known.items(), key=lambda pair: -len(pair[0]))

    def __call__(self, text: object) -> str:
        """Return a text, or a path, without what is above the project."""
        shown = str(text)
        for whole, short in self._known:
            # A whole part: /a/project is not in /a/project2.
            end = "" if whole.endswith("/") else r"(?=$|[\s/:'\"`,;)<>])"
            shown = re.sub(re.escape(whole) + end, short.replace("\\", r"\\"), shown)
        return _ABSOLUTE.sub("…/", shown)

    def of_values(self, value: Any) -> Any:
        """Return JSON-able values with every text shortened: before YAML escapes what is in it."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.of_values(entry) for key, entry in value.items()}
        return [self.of_values(entry) for entry in value] if isinstance(value, list) else value
