"""YAML: text as written is the name, and what settings do not need is refused by line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.base.yaml_text import dump, line_of, parse, read_text

FILE = Path("x.yaml")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("4", 4),
        ("-5", -5),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        # Names, of which YAML 1.1 makes numbers, truth values and dates.
        *((text, text) for text in (
            "01", "0200", "1_200", "1:40", "0x1F", "0o17", "+5", "2020-01-01", "yes", "no", "on",
            "Y", "N", "True", "NULL", ".nan", ".inf", "1e999", "５", "=", "9223372036854775808",
        )),
        ("9223372036854775807", 2**63 - 1),
        ("'4'", "4"),
        ('"4"', "4"),
        ("!!str 4", "4"),
        ("a # comment", "a"),
        ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars(written: str, value: object) -> None:
    for text in (f"a: {written}\n", f"\ufeffa: {written}\n"):
        found = parse(FILE, text)["a"]
        assert found == value
        assert isinstance(found, type(value))


def test_keys_are_text_as_written() -> None:
    text = "1: a\n01: b\n1:40: c\ntrue: d\n1.50: e\n~: f\n2020-01-01: g\n? k\n: h\n"
    assert list(parse(FILE, text)) == ["1", "01", "1:40", "true", "1.50", "~", "2020-01-01", "k"]


def test_a_number_remembers_how_it_was_written() -> None:
    (number,) = parse(FILE, "[1.50]")
    assert (number + 1, str(number)) == (2.5, "1.50")
    assert dump([number], flow=True) == "[1.50]\n"


NAMES = ["1e3", "01", "1:40", "1.50", "4", "-5", "true", "no", "null", "~", "", "<<", "2020-01-01"]


def test_what_is_written_is_read() -> None:
    value = {
        "names": NAMES, "numbers": [1, 0.5, 1e-9, 1e30, -2], "others": [True, None, {"1": "é: #"}],
        **dict.fromkeys(NAMES[:-3], "x"),
    }  # fmt: skip
    for flow in (False, True):
        assert parse(FILE, dump(value, flow=flow)) == value


def test_aliases_and_merged_mappings() -> None:
    text = "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [{c: 9}, *x], f: 0}\ng: *x\n"
    assert parse(FILE, text) == {
        "a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 1, "c": 9, "f": 0},
        "g": {"b": 1, "c": 2},
    }  # fmt: skip


BOMB = "".join(
    f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' if n else 'x' for _ in range(10))}]\n" for n in range(9)
)
REFUSED: dict[str, tuple[str, int, str]] = {
    "key given twice": ("a: 1\nb: 2\na: 3", 3, "key 'a' is given twice"),
    "the same key as number and text": ("1: a\n'1': b", 2, "key '1' is given twice"),
    "mapping as key": ("a: 1\n{b: 1}: 2", 2, "a key must be a word"),
    "list as key": ("a: 1\n? [b]\n: 2", 2, "a key must be a word"),
    "no key": ("a: 1\n? \n: 2", 2, "a key must be a word"),
    "python tag": ("a:\n  !!python/object/apply:os.system [ls]", 2, "'!!python/object/apply:os"),
    "own tag": ("a: !mine x", 1, "the tag '!mine'"),
    "set": ("a: !!set {b}", 1, "the tag '!!set'"),
    "date by tag": ("a: !!timestamp 2020-01-01", 1, "the tag '!!timestamp'"),
    "number by tag": ("a: !!int x", 1, "the tag '!!int' does not fit 'x'"),
    "truth by tag": ("a: !!bool maybe", 1, "does not fit 'maybe'"),
    "bytes by tag": ("a: !!binary x", 1, "the tag '!!binary'"),
    "deep lists": ("a: 1\nb: " + "[" * 3000, 2, "nested more than 64 levels"),
    "deep blocks": ("- " * 3000, 1, "nested more than 64 levels"),
    "deep mappings": ("{a: " * 3000, 1, "nested more than 64 levels"),
    "an alias within itself": ("a: 1\nb: &b [*b]", 2, "nested more than 64 levels"),
    "alias bomb": (BOMB, 1, "more than 50000 words"),
    "too many words": ("[" + "1," * 200_000 + "]", 1, "more than 50000 words"),
    "unknown alias": ("a: *b", 1, "undefined alias"),
    "merge of no mapping": ("a: 1\n<<: 5", 2, "'<<' needs a mapping"),
    "lone surrogate": ('a: "\\ud800"', 1, "the character '\\ud800' is not allowed"),
    "nul": ('a: 1\nb: "x\\0"', 2, "the character '\\x00' is not allowed"),
    "control character": ("a: 1\nb: \x07", 2, "the character '\\x07' is not allowed"),
    "delete": ('a: "\\x7f"', 1, "is not allowed"),
    "escape beyond Unicode": ('a: "\\UFFFFFFFF"', 1, "no character"),
    "two documents": ("a: 1\n--- \nb: 1", 2, "another document"),
    "tab as indent": ("a:\n\tb: 1", 2, "cannot start any token"),
    "unfinished": ("a: [1,\n", 2, "expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_its_line(name: str) -> None:
    text, line, words = REFUSED[name]
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse(FILE, text)
    assert time.process_time() - began < 10
    message = str(caught.value)
    assert message.startswith(f"x.yaml, line {line}: not valid YAML: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 200


def test_lines_of_keys_and_items() -> None:
    text = "a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n"
    places: list[tuple[tuple[str | int, ...], int | None]] = [
        ((), None),
        (("a",), 1),
        (("a", "b"), 2),
        (("a", "c", 1, "d"), 5),
        (("a", "c", 7), 3),
        (("a", "missing"), 1),
        (("missing",), None),
    ]
    for location, line in places:
        assert line_of(FILE, text, location) == line


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: 1\n" * 300_000, "larger than 1 MB"),
        ("a: ä".encode("utf-16"), "UTF-16"),
        ("a: ä\nb: ä".encode("latin-1"), "line 1: not a text file (byte 0xe4"),
        (b"a: 1\nb: \0", "line 2: not a text file (a NUL byte)"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_text(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["none.yaml", "x" * 300, "a\0b"])
def test_files_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises((ConfigError, MissingInputError)) as caught:
        read_text(tmp_path / name, missing="not there")
    assert "\n" not in str(caught.value)


def test_the_ends_of_lines_are_one(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\rc: 3\n")
    assert parse(path, read_text(path)) == {"a": 1, "b": 2, "c": 3}


def test_a_file_at_the_limits_is_read_in_time() -> None:
    text = "".join(f"- {{name: g{n}, sequence: s, chain: c}}\n" for n in range(2_000))
    began = time.process_time()
    value: Any = parse(FILE, text)
    assert len(value) == 2_000
    assert time.process_time() - began < 10
