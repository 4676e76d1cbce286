"""YAML files, strictly: what is written is what is meant, and errors name the line.

Plain words stay text unless they are ``true``, ``false``, ``null`` or a number in digits, so that
``01``, ``1:40``, ``on`` and dates are names (YAML 1.1 would make 1, 100, True and a date of them).
Keys are always text. Repeated keys, tags, deep nesting and aliases that expand without bound are
refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.text_file import NUMBER, WHOLE, text_of

#: Bytes of a file, levels of nesting, and words: before and after the expansion of aliases.
_MOST_BYTES, _DEEPEST, _MOST_WORDS = 1_000_000, 64, 50_000

_TOO_DEEP = f"nested more than {_DEEPEST} levels deep"
_TOO_MANY = f"more than {_MOST_WORDS} words, aliases expanded"

#: Characters that no name, path or description has.
_STRANGE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

_TAG = "tag:yaml.org,2002:"


class WrittenFloat(float):
    """A number that can still be shown as it was written: ``1.50`` may be a name."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """Make one from the text of a YAML file."""
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


class _Loader(yaml.SafeLoader):
    """Composes nodes; which plain words are not text is decided here."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = words = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, unless it lies too deep or is one too many."""
        self.depth += 1
        self.words += 1
        if self.depth > _DEEPEST or self.words > _MOST_WORDS:
            problem = _TOO_DEEP if self.depth > _DEEPEST else _TOO_MANY
            raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"<<$"), ["<"])
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"(~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(rf"{WHOLE.pattern}\Z"), list("-0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(rf"{NUMBER.pattern}\Z"), list("-.0123456789")
)


class _Dumper(yaml.SafeDumper):
    """Writes what :func:`parse` reads: a name that looks like a number gets quotation marks."""


_Dumper.add_implicit_resolver(
    f"{_TAG}float", re.compile(rf"{NUMBER.pattern}\Z"), list("-.0123456789")
)
_Dumper.add_representer(
    WrittenFloat, lambda dumper, value: dumper.represent_scalar(f"{_TAG}float", value.text)
)


def dump(value: Any, *, flow: bool = False, width: int = 80) -> str:
    """Return a value as YAML text.

    Parameters
    ----------
    value
        Of the kinds that :func:`parse` returns.
    flow
        On one line, with brackets.
    width
        Characters after which a line may be broken.
    """
    return str(
        yaml.dump(
            value,
            Dumper=_Dumper,
            default_flow_style=flow,
            sort_keys=False,
            allow_unicode=True,
            width=width,
        )
    )


def read_text(path: Path, *, missing: str = "no such file") -> str:
    """Return the content of a YAML file, with LF at the end of lines.

    Parameters
    ----------
    path
        The file.
    missing
        What to say when it does not exist.

    Raises
    ------
    MissingInputError
        No such file.
    ConfigError
        It cannot be read, is larger than 1 MB, or is not UTF-8.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise MissingInputError(f"{path}: {missing}") from None
    except (OSError, ValueError) as exc:  # ValueError: a NUL byte in the name
        problem = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"{path}: cannot be read ({problem})") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"{path}: larger than {_MOST_BYTES // 10**6} MB; is it a file of settings?"
        )
    try:
        text = text_of(data, where=str(path))
    except InputError as exc:
        raise ConfigError(str(exc)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def compose(path: Path, text: str) -> yaml.Node | None:
    """Return the tree of nodes of YAML text, which know their lines; errors as :func:`parse`."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as exc:
        problem = f"the character {chr(exc.character)!r} is not allowed"
        raise _invalid(path, text.count("\n", 0, exc.position), problem) from None
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise _invalid(path, mark.line if mark else loader.line, exc.problem) from None
    except (ValueError, OverflowError):
        raise _invalid(path, loader.line, "an escape that is no character") from None
    return node


def parse(path: Path, text: str) -> Any:
    """Return the value of YAML text: dict with text as keys, list, str, int, float, bool or None.

    Parameters
    ----------
    path
        The file, named in errors.
    text
        Its content.

    Raises
    ------
    ConfigError
        Not YAML, a key is given twice, or something that settings do not need (see above).
    """
    node = compose(path, text)
    return None if node is None else _Values(path).of(node, 0)


def line_of(path: Path, text: str, location: Iterable[str | int]) -> int | None:
    """Return the line, from 1, of the key or item at `location`, or of what should contain it."""
    node, line = compose(path, text), None
    for part in location:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next((entry for entry in node.value if entry[0].value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = next(((item, item) for item in node.value[part : part + 1]), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _invalid(path: Path, line: int, problem: object) -> ConfigError:
    return ConfigError(f"{path}, line {line + 1}: not valid YAML: {problem}")


class _Values:
    """Makes values of nodes; counts them, because aliases repeat what they stand for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = _MOST_WORDS

    def error(self, node: yaml.Node, problem: str) -> ConfigError:
        return _invalid(self.path, node.start_mark.line, problem)

    def of(self, node: yaml.Node, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.error(node, _TOO_MANY)
        if depth > _DEEPEST:
            raise self.error(node, _TOO_DEEP)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.of(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self.error(node, f"the tag {_shown(node.tag)} is not supported")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                found = self.of(value, depth + 1)
                for part in found if isinstance(found, list) else [found]:
                    if not isinstance(part, dict):
                        raise self.error(value, "'<<' needs a mapping, or a list of mappings")
                    merged = part | merged
                continue
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                raise self.error(key, "a key must be a word")
            name = self._text(key)
            if name in made:
                raise self.error(key, f"key {_shown(name)} is given twice")
            made[name] = self.of(value, depth + 1)
        return merged | made

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text = self._text(node)
        match node.tag.removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "null" if text in {"", "~", "null"}:
                return None
            case "bool" if text in {"true", "false"}:
                return text == "true"
            case "int" if WHOLE.fullmatch(text):
                # Beyond 64 bits it can still be a name.
                small = len(text) < 21 and -(2**63) <= int(text) < 2**63
                return int(text) if small else text
            case "float" if NUMBER.fullmatch(text):
                return WrittenFloat(text) if math.isfinite(float(text)) else text
        raise self.error(node, f"the tag {_shown(node.tag)} does not fit {_shown(text)}")

    def _text(self, node: yaml.ScalarNode) -> str:
        text = str(node.value)
        if strange := _STRANGE.search(text):
            raise self.error(node, f"the character {strange[0]!r} is not allowed")
        return text


def _shown(text: str) -> str:
    text = text.replace(_TAG, "!!")
    return repr(text if len(text) <= 40 else text[:37] + "...")
