"""The rules for text; tests/whole/test_text_readers.py holds every reader to them."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base import text_file
from ssldata.base.errors import InputError
from ssldata.base.text_file import (
    bed_rows,
    count_in,
    real_number,
    text_lines,
    text_of,
    unpacked,
    whole_number,
)

DATA = bytes(range(256)) * 3


@pytest.mark.parametrize("text", ["0", "5", "-5", "10", "9007199254740993", "1" * 30])
def test_whole_numbers(text: str) -> None:
    assert whole_number(text, "x") == int(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+5",
        "05",
        "-0",
        "00",
        "1_0",
        "1.0",
        "4e2",
        " 5",
        "5 ",
        "５",
        "²",
        "0x1",
        "9" * 5000,
    ],
)
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"^x is '.*, expected a whole number$") as caught:
        whole_number(text, "x")
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("text", ["0", "1000", "1001", "-5", "0.5", ".5", "5.", "1e-5", "1.5E+02"])
def test_numbers(text: str) -> None:
    assert real_number(text, "x") == float(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "+5", "05", "1_0.0", "nan", "inf", "-inf", "1e999", " 5", "５", "1e", "0x1"],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        real_number(text, "x")


def test_counts_are_not_negative() -> None:
    assert count_in("5", "x", where="f, line 1") == 5
    for text in ("-5", "a"):
        with pytest.raises(InputError, match=f"^f, line 1: x is '{text}', expected a whole number"):
            count_in(text, "x", where="f, line 1")


@given(st.lists(st.tuples(st.text("ab \t#", max_size=3), st.sampled_from(["\n", "\r\n", "\r"]))))
def test_lines_end_in_any_mixture(lines: list[tuple[str, str]]) -> None:
    # An empty line that ends in LF after one that ends in CR is the second half of a CRLF.
    pairs = itertools.pairwise([("", ""), *lines])
    if any(before[1] == "\r" and after == ("", "\n") for before, after in pairs):
        return
    text = "".join(line + end for line, end in lines)
    assert text_lines(text) == [*(line for line, _ in lines), ""]


def test_rows_keep_their_line_numbers() -> None:
    text = "#c\rtrack x\r\n\na\t1\t2\t\t\r b 3  4 \ntrack1\t5\t6\nbrowser\nbrowser_x 7 8"
    assert list(bed_rows(text, where="f")) == [
        (4, ["a", "1", "2"]), (5, ["b", "3", "4"]), (6, ["track1", "5", "6"]),
        (8, ["browser_x", "7", "8"]),
    ]  # fmt: skip


def test_the_line_of_a_byte_that_is_no_text() -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        for byte in (b"\0", b"\xff"):
            with pytest.raises(InputError, match=r"^f, line 3: not a text file"):
                text_of(b"a" + end + b"b" + end + byte, where="f")


@pytest.mark.parametrize("piece", [1, 7, 19, 10_000])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_members_may_begin_anywhere_in_what_is_read(
    pack, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "_PACKED_PIECE", max(piece, 4))
    monkeypatch.setattr(text_file, "_PIECE", piece)
    whole = pack(DATA) + pack(b"") + pack(DATA[:100])
    assert b"".join(unpacked(io.BytesIO(whole), where="f")) == DATA + DATA[:100]
    between = {len(pack(DATA)), len(pack(DATA) + pack(b""))}
    for size in set(range(4, len(whole), 5)) - between:
        with pytest.raises(InputError, match="cut short"):
            list(unpacked(io.BytesIO(whole[:size]), where="f"))
    with pytest.raises(InputError, match="follows the packed data"):
        list(unpacked(io.BytesIO(whole + b"rest"), where="f"))


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("packed", [False, True])
def test_streamed_lines_are_those_of_the_whole_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, packed: bool
) -> None:
    monkeypatch.setattr(text_file, "_PIECE", piece)
    path = tmp_path / "t"
    for text in ("a\nb\r\nc\rd\r\r\n\n\ré\n", "\ufeffone", "x\r", "", "\n", "a\r\n\r\nb"):
        data = text.encode()
        path.write_bytes(gzip.compress(data) if packed else data)
        expected = text_file.text_lines(text.lstrip("\ufeff"))
        expected = expected if expected[-1] else expected[:-1]
        assert list(text_file.streamed_lines(path)) == list(enumerate(expected, start=1))


def test_streamed_lines_name_the_line_of_what_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "_PIECE", 3)
    path = tmp_path / "t"
    for data in (b"a\nb\nc\xff\nd\n", b"a\nb\nc\0\nd\n"):
        path.write_bytes(data)
        with pytest.raises(InputError, match="line 3: not a text file"):
            list(text_file.streamed_lines(path))
