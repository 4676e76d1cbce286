"""The list of target genomes in a file: read it, add a genome, remove one.

The list is either a registry file of its own (``genomes: {registry: FILE}`` in the project) or the
key ``genomes`` of the project file. Edits change the lines of one genome only: comments and layout
of the rest stay, and the result is parsed before it replaces the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ssldata.base.errors import ConfigError
from ssldata.base.files import expanded, write_text_atomic
from ssldata.base.locks import exclusive_lock
from ssldata.base.yaml_text import compose, dump, parse, read_text

#: Key of the list in a project file.
_KEY = "genomes"
#: Keys of a genome that are paths, relative to the folder of the file.
_PATHS = ("sequence", "chain")


def read_registry(path: Path) -> list[Any]:
    """Return the entries of a registry file, with absolute paths but otherwise unchecked.

    Raises
    ------
    MissingInputError
        The file does not exist.
    ConfigError
        The file is not YAML, or not a list.
    """
    missing = "no such registry of genomes; to start one, write a file that contains []"
    entries = parse(path, read_text(path, missing=missing))
    entries = [] if entries is None else entries
    if not isinstance(entries, list):
        raise ConfigError(
            f"{path}: expected a list of genomes (- name: …), found {type(entries).__name__}"
        )
    return [_resolved(path, entry) for entry in entries]


def enter_genome(path: Path, entry: Mapping[str, Any], *, replace: bool = False) -> bool:
    """Add a genome to the list of a registry or project file.

    Parameters
    ----------
    path
        The registry or project file.
    entry
        ``name``, ``sequence``, ``chain`` and optional keys of the project file; absolute paths.
    replace
        Overwrite a different entry of this name.

    Returns
    -------
    bool
        False if the file has this entry already.

    Raises
    ------
    ConfigError
        The list has another genome of this name and `replace` is not set, or the file cannot be
        edited without changing other lines.
    """
    new = {key: _relative(path, value) if key in _PATHS else value for key, value in entry.items()}
    with exclusive_lock(path.parent):
        text = read_text(path)
        before = _entries(path, text)
        position = _position(before, new["name"])
        if position is None:
            return _write(path, text, _insert(path, text, new), [*before, new])
        if _meaning(path, before[position]) == _meaning(path, new):
            return False
        if not replace:
            raise ConfigError(
                f"{path}: has another genome {new['name']!r}; pass --replace or choose another name"
            )
        after = [*before[:position], new, *before[position + 1 :]]
        return _write(path, text, _exchange(path, text, position, new), after)


def strike_genome(path: Path, name: str) -> bool:
    """Remove a genome from the list of a registry or project file; False if it is not listed."""
    with exclusive_lock(path.parent):
        text = read_text(path)
        before = _entries(path, text)
        position = _position(before, name)
        if position is None:
            return False
        after = before[:position] + before[position + 1 :]
        return _write(path, text, _exchange(path, text, position, None), after)


def _entries(path: Path, text: str) -> list[Any]:
    """Return the entries as they are written in the file."""
    value = parse(path, text)
    if isinstance(value, dict):
        value = value.get(_KEY)
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{path}: expected a list of genomes, found {type(value).__name__}")
    return value or []


def _position(entries: list[Any], name: str) -> int | None:
    for position, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("name") == name:
            return position
    return None


def _relative(path: Path, value: Any) -> str:
    """Return a path relative to the file's folder if it is inside, so that the folder can move."""
    target, folder = Path(value).absolute(), path.parent.resolve()
    return str(target.relative_to(folder)) if target.is_relative_to(folder) else str(target)


def _resolved(path: Path, entry: Any) -> Any:
    """Return an entry with absolute paths."""
    if not isinstance(entry, dict):
        return entry
    folder = path.parent.resolve()
    return {
        key: str(folder / expanded(value)) if key in _PATHS and isinstance(value, str) else value
        for key, value in entry.items()
    }


def _meaning(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Return what two entries of the same meaning share: absolute paths, no defaults."""
    resolved = _resolved(path, entry)
    return {key: value for key, value in resolved.items() if value not in (None, {})}


def _node(path: Path, text: str) -> yaml.Node | None:
    """Return the node of the list in the text."""
    root = compose(path, text)
    if isinstance(root, yaml.MappingNode):
        return next((value for key, value in root.value if key.value == _KEY), None)
    return root if isinstance(root, yaml.Node) else None


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


def _insert(path: Path, text: str, entry: Mapping[str, Any]) -> str:
    """Return the text with one more entry at the end of the list."""
    node = _node(path, text)
    if isinstance(node, yaml.SequenceNode) and node.flow_style and node.value:
        end = node.end_mark.index - 1
        return text[:end].rstrip() + ", " + _flow(entry) + text[end:]
    if isinstance(node, yaml.SequenceNode) and node.value:
        lines = _lines(text)
        at = _last_line(node) + 1
        return "".join([*lines[:at], *_block(entry, node.start_mark.column), *lines[at:]])
    in_project = isinstance(parse(path, text), dict)
    new = "".join(_block(entry, 2 if in_project else 0))
    if node is None:
        head = text if not text or text.endswith("\n") else text + "\n"
        return head + (f"{_KEY}:\n" if in_project else "") + new
    # [] or null: remove it, and put the block on the lines that follow.
    rest = text[node.end_mark.index :]
    comment, newline, after = rest.partition("\n")
    head = text[: node.start_mark.index].rstrip(" ")
    if (not head or head.endswith("\n")) and not comment.strip():
        return head + new + after  # it was on a line of its own
    return (head + comment).rstrip(" ") + (newline or "\n") + new + after


def _exchange(path: Path, text: str, position: int, entry: Mapping[str, Any] | None) -> str:
    """Return the text with one entry of the list replaced, or removed (None)."""
    node = _node(path, text)
    assert isinstance(node, yaml.SequenceNode)
    item = node.value[position]
    if len(node.value) == 1 and entry is None:
        start = node.start_mark.index
        if node.flow_style:
            return text[:start] + "[]" + text[node.end_mark.index :]
        # On a line of its own: the line of the key may end in a comment.
        in_project = isinstance(parse(path, text), dict)
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


def _write(path: Path, before: str, after: str, expected: list[Any]) -> bool:
    """Replace the file if the edited text parses to the expected list and nothing else changed."""
    old = parse(path, before)
    try:
        new = parse(path, after)
    except ConfigError:
        new = None
    wanted = {**old, _KEY: expected} if isinstance(old, dict) else expected
    if new != wanted:
        raise ConfigError(
            f"{path}: the list of genomes is written in a way that cannot be edited safely; "
            f"edit the file yourself, to: {_flow({_KEY: expected})}"
        )
    ends = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    write_text_atomic(path, after.replace("\n", ends))
    return True
