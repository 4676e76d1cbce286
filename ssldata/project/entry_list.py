"""A list of named entries in a YAML file, edited without touching any other line.

The list is the whole file, or one key of it (``genomes`` or ``experiments`` of a project file).
Edits change the lines of one entry only: comments and layout of the rest stay, and the result is
parsed before it replaces the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ssldata.base.errors import ConfigError
from ssldata.base.files import expanded, write_text_atomic
from ssldata.base.locks import exclusive_lock
from ssldata.base.yaml_text import compose, dump, parse, read_text


@dataclass(frozen=True)
class EntryList:
    """A list of entries with names.

    Parameters
    ----------
    path
        The file: a list, or a mapping that has the list under `key`.
    key
        ``genomes`` or ``experiments``.
    paths
        Keys of an entry that are paths, relative to the folder of the file.
    """

    path: Path
    key: str
    paths: tuple[str, ...]

    @property
    def _what(self) -> str:
        return self.key.removesuffix("s")

    def enter(self, entry: Mapping[str, Any], *, replace: bool = False) -> bool:
        """Add an entry, which has a ``name`` and absolute paths; False if it is there already.

        Raises
        ------
        ConfigError
            The list has another entry of this name and `replace` is not set, or the file cannot be
            edited without changing other lines.
        """
        path = self.path
        new = {k: self._relative(v) if k in self.paths else v for k, v in entry.items()}
        with exclusive_lock(path.parent):
            text = read_text(path)
            before = self._entries(text)
            position = _position(before, new["name"])
            if position is None:
                return self._write(text, self._insert(text, new), [*before, new])
            if self._meaning(before[position]) == self._meaning(new):
                return False
            if not replace:
                raise ConfigError(
                    f"{path}: has another {self._what} {new['name']!r}; pass --replace or choose "
                    "another name"
                )
            after = [*before[:position], new, *before[position + 1 :]]
            return self._write(text, self._exchange(text, position, new), after)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the entry of a name, with absolute paths; None if it is not listed."""
        entries = self._entries(read_text(self.path))
        position = _position(entries, name)
        return None if position is None else dict(self.resolved(entries[position]))

    def strike(self, name: str) -> bool:
        """Remove an entry; False if it is not listed."""
        with exclusive_lock(self.path.parent):
            text = read_text(self.path)
            before = self._entries(text)
            position = _position(before, name)
            if position is None:
                return False
            after = before[:position] + before[position + 1 :]
            return self._write(text, self._exchange(text, position, None), after)

    def resolved(self, entry: Any) -> Any:
        """Return an entry with absolute paths."""
        if not isinstance(entry, dict):
            return entry
        folder = self.path.parent.resolve()
        return {
            key: str(folder / expanded(value))
            if key in self.paths and isinstance(value, str)
            else value
            for key, value in entry.items()
        }

    def _entries(self, text: str) -> list[Any]:
        """Return the entries as they are written in the file."""
        value = parse(self.path, text)
        if isinstance(value, dict):
            value = value.get(self.key)
        if value is not None and not isinstance(value, list):
            raise ConfigError(
                f"{self.path}: expected a list of {self.key}, found {type(value).__name__}"
            )
        return value or []

    def _relative(self, value: Any) -> str:
        """Return a path relative to the file's folder if inside, so that the folder can move."""
        target, folder = Path(value).absolute(), self.path.parent.resolve()
        return str(target.relative_to(folder)) if target.is_relative_to(folder) else str(target)

    def _meaning(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what two entries of the same meaning share: absolute paths, no defaults."""
        resolved = self.resolved(entry)
        return {key: value for key, value in resolved.items() if value not in (None, {})}

    def _node(self, text: str) -> yaml.Node | None:
        """Return the node of the list in the text."""
        root = compose(self.path, text)
        if isinstance(root, yaml.MappingNode):
            return next((value for key, value in root.value if key.value == self.key), None)
        return root if isinstance(root, yaml.Node) else None

    def _insert(self, text: str, entry: Mapping[str, Any]) -> str:
        """Return the text with one more entry at the end of the list."""
        node = self._node(text)
        if isinstance(node, yaml.SequenceNode) and node.flow_style and node.value:
            end = node.end_mark.index - 1
            return text[:end].rstrip() + ", " + _flow(entry) + text[end:]
        if isinstance(node, yaml.SequenceNode) and node.value:
            lines = _lines(text)
            at = _last_line(node) + 1
            return "".join([*lines[:at], *_block(entry, node.start_mark.column), *lines[at:]])
        in_project = isinstance(parse(self.path, text), dict)
        new = "".join(_block(entry, 2 if in_project else 0))
        if node is None:
            head = text if not text or text.endswith("\n") else text + "\n"
            return head + (f"{self.key}:\n" if in_project else "") + new
        # [] or null: remove it, and put the block on the lines that follow.
        rest = text[node.end_mark.index :]
        comment, newline, after = rest.partition("\n")
        head = text[: node.start_mark.index].rstrip(" ")
        if (not head or head.endswith("\n")) and not comment.strip():
            return head + new + after  # it was on a line of its own
        return (head + comment).rstrip(" ") + (newline or "\n") + new + after

    def _exchange(self, text: str, position: int, entry: Mapping[str, Any] | None) -> str:
        """Return the text with one entry of the list replaced, or removed (None)."""
        node = self._node(text)
        assert isinstance(node, yaml.SequenceNode)
        item = node.value[position]
        if len(node.value) == 1 and entry is None:
            start = node.start_mark.index
            if node.flow_style:
                return text[:start] + "[]" + text[node.end_mark.index :]
            # On a line of its own: the line of the key may end in a comment.
            in_project = isinstance(parse(self.path, text), dict)
            empty = " " * max(node.start_mark.column, 2 if in_project else 0) + "[]\n"
            lines = _lines(text)
            return "".join([*lines[: node.start_mark.line], empty, *lines[_last_line(node) + 1 :]])
        if node.flow_style:
            start, end = item.start_mark.index, item.end_mark.index
            if entry is not None:
                return text[:start] + _flow(entry) + text[end:]
            if position:
                start = node.value[position - 1].end_mark.index
            else:
                end = node.value[1].start_mark.index
            return text[:start] + text[end:]
        lines = _lines(text)
        new = [] if entry is None else _block(entry, node.start_mark.column)
        return "".join([*lines[: item.start_mark.line], *new, *lines[_last_line(item) + 1 :]])

    def _write(self, before: str, after: str, expected: list[Any]) -> bool:
        """Replace the file if the edited text has the expected list and nothing else changed."""
        old = parse(self.path, before)
        try:
            new = parse(self.path, after)
        except ConfigError:
            new = None
        wanted = {**old, self.key: expected} if isinstance(old, dict) else expected
        if new != wanted:
            raise ConfigError(
                f"{self.path}: the list of {self.key} is written in a way that cannot be edited "
                f"safely; edit the file yourself, to: {_flow({self.key: expected})}"
            )
        ends = "\r\n" if b"\r\n" in self.path.read_bytes() else "\n"
        write_text_atomic(self.path, after.replace("\n", ends))
        return True


def _position(entries: list[Any], name: str) -> int | None:
    for position, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("name") == name:
            return position
    return None


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a node's own text; the end mark of a block follows its comments."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return max(_last_line(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return max(_last_line(item) for item in node.value)
    return int(node.end_mark.line)


def _flow(entry: Mapping[str, Any]) -> str:
    return dump(dict(entry), flow=True, width=2**31).strip()


def _block(entry: Mapping[str, Any], indent: int) -> list[str]:
    body = dump(dict(entry), width=2**31)
    lines = body.splitlines()
    return [" " * indent + ("- " if i == 0 else "  ") + line + "\n" for i, line in enumerate(lines)]


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines
