"""Every reader of text: the same rules for lines, encoding, packing and numbers."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_readers import READERS, bgzipped, text_of, zipped

from ssldata.base import text_file
from ssldata.base.errors import CrosslabelError, MissingInputError
from ssldata.chains import chain_index
from ssldata.rows.intervals import read_peaks

EVERY = pytest.mark.parametrize("name", READERS)


def having(what: str) -> list[str]:
    return [name for name, reader in READERS.items() if getattr(reader, what)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def result(name: str, folder: Path, data: bytes | str) -> Any:
    path = folder / f"{len(list(folder.iterdir()))}.text"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return READERS[name].read(path)


def refused(name: str, folder: Path, data: bytes | str) -> str:
    """Return the line of the refusal, without the name of the file."""
    with pytest.raises(CrosslabelError) as caught:
        result(name, folder, data)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert caught.value.exit_code == 2
    return message


def mixed(text: str) -> str:
    """Return a text whose lines end in CR, CRLF and LF in turn."""
    ends = ["\r", "\r\n", "\n"]
    return "".join(line + ends[i % 3] for i, line in enumerate(text.split("\n")[:-1]))


SAME: dict[str, Callable[[str], str]] = {
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "cr": lambda text: text.replace("\n", "\r"),
    "mixed": mixed,
    "mixed the other way": lambda text: mixed("\n" + text),
    "byte order mark": lambda text: "\ufeff" + text,
    "trailing blanks": lambda text: text.replace("\n", "  \n"),
    "no newline at the end": lambda text: text.rstrip("\n"),
    "blank lines at the end": lambda text: text + "\n\n",
}


@EVERY
@pytest.mark.parametrize("change", SAME)
def test_what_means_the_same_reads_the_same(name: str, change: str, folder: Path) -> None:
    text = text_of(name)
    assert result(name, folder, SAME[change](text)) == result(name, folder, text)


@pytest.mark.parametrize("name", having("tabs"))
def test_tabs_at_the_end_of_lines_mean_nothing(name: str, folder: Path) -> None:
    text = text_of(name)
    changed = text.replace("\n", ("," if name in {"counts", "published"} else "\t") + " \n")
    assert result(name, folder, changed) == result(name, folder, text)


@pytest.mark.parametrize("name", having("comments"))
def test_comment_lines_are_skipped(name: str, folder: Path) -> None:
    text = text_of(name)
    for end in ("\n", "\r", "\r\n"):
        assert result(name, folder, "# a comment" + end + text) == result(name, folder, text)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "members": lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:]),
    "padded": lambda data: gzip.compress(data) + bytes(512),
    "bgzip": bgzipped,
    "bzip2": bz2.compress,
    "streams": lambda data: bz2.compress(data[:40]) + bz2.compress(data[40:]),
    "zip": zipped,
}


@pytest.mark.parametrize("name", having("packed"))
@pytest.mark.parametrize("how", PACKED)
def test_packed_text_reads_the_same(name: str, how: str, folder: Path) -> None:
    data = text_of(name).encode()
    assert result(name, folder, PACKED[how](data)) == result(name, folder, data)


@pytest.mark.parametrize("name", having("packed"))
@pytest.mark.parametrize("how", ["gzip", "bgzip", "bzip2", "zip"])
def test_packed_text_cut_anywhere_is_refused(name: str, how: str, folder: Path) -> None:
    whole = PACKED[how](text_of(name).encode())
    for size in {*range(4, len(whole), max(len(whole) // 25, 1)), len(whole) - 28, len(whole) - 1}:
        message = refused(name, folder, whole[:size])
        assert "cut short" in message or (how == "zip" and "damaged" in message)


@pytest.mark.parametrize("name", having("packed"))
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: gzip.compress(data) + b"rest", "is not gzip follows"),
        (lambda data: bz2.compress(data) + b"rest", "is not bzip2 follows"),
        (lambda data: gzip.compress(data)[:-8] + bytes(8), "damaged"),
        (lambda data: zipped(data, data), "a zip archive of 2 files"),
        (lambda _: b"PK\x05\x06" + bytes(18), ""),
        (lzma.compress, "is an xz file"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, "is a zstd file"),
        (lambda data: b"\x1f\x9d\x90" + data, "`compress`"),
    ],
)
def test_what_is_packed_in_other_ways_is_named(
    name: str, change: Callable[[bytes], bytes], words: str, folder: Path
) -> None:
    assert words in refused(name, folder, change(text_of(name).encode()))


@pytest.mark.parametrize("name", having("packed"))
@pytest.mark.parametrize("how", ["gzip", "bzip2", "zip"])
def test_what_unpacks_without_end_is_refused(
    name: str, how: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "_BOMB_BYTES", 10_000)
    assert "unpacks to more than" in refused(name, folder, PACKED[how](b"\n" * 10**6))
    assert list((folder / "cache").rglob("*.fa")) == []


@EVERY
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.encode("utf-16"), "is UTF-16 text"),
        (lambda text: text.encode("utf-32"), "is UTF-32 text"),
        (lambda text: text.encode("utf-16-le"), ""),
        (lambda text: text.encode() + b"\0", ""),
        (lambda text: text.encode() + b"\xe9\n", ""),
        (lambda text: b"\x89PNG\r\n\x1a\n" + text.encode(), ""),
    ],
)
def test_what_is_no_utf8_is_refused(
    name: str, change: Callable[[str], bytes], words: str, folder: Path
) -> None:
    assert words in refused(name, folder, change(text_of(name)))


@EVERY
def test_empty_and_missing_files_and_folders(name: str, folder: Path) -> None:
    reader = READERS[name]
    if not reader.may_be_empty:
        refused(name, folder, b"")
    with pytest.raises(MissingInputError):
        reader.read(folder / "none")
    if name not in {"lock", "project"}:  # a folder stands for the project in it
        with pytest.raises(CrosslabelError, match=str(folder)):
            reader.read(folder)


@pytest.mark.parametrize("name", having("pipes"))
def test_a_pipe_is_read_like_a_file(name: str, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text_of(name),))
    writer.start()
    found = READERS[name].read(pipe)
    writer.join()
    assert found == result(name, folder, text_of(name))


@pytest.mark.parametrize("name", [name for name in READERS if "NUMBER" in READERS[name].text])
@pytest.mark.parametrize(
    "number",
    ["1_200", "1:40", "0200", "true", "4e2", "+5", "2.0", "0x10", "２００", "²", "nan", "-", "1 0"],
)
def test_numbers_are_digits_and_nothing_else(name: str, number: str, folder: Path) -> None:
    line = next(n for n, row in enumerate(READERS[name].text.split("\n"), 1) if "NUMBER" in row)
    assert f", line {line}" in refused(name, folder, text_of(name, number))


@pytest.mark.parametrize("name", ["peaks", "sources", "lock", "sizes", "counts", "published"])
def test_a_row_with_fewer_columns_than_the_first_is_refused(name: str, folder: Path) -> None:
    text = text_of(name).rstrip("\n")
    cut = text[: text.rindex("," if "," in text.splitlines()[-1] else "\t")]
    message = refused(name, folder, cut + "\n")
    assert f", line {len(text.splitlines())}" in message
    assert "columns, but the first row has" in message


def test_values_with_commas_are_quoted(folder: Path) -> None:
    head = "experiment,positives,pseudo_labelled\n"
    assert result("counts", folder, f'{head}"A, B",1,2\n') == {"A, B": (1, 2)}
    for row in ('"A,1,2', '"A"B,1,2', "A" * 200_000 + ",1,2"):
        assert ", line 2" in refused("counts", folder, f"{head}{row}\n")


def test_both_parsers_of_chains_keep_the_rules(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_index, "_COMPILED_FROM_BYTES", 0)
    text = text_of("chain")
    for change in SAME.values():
        assert result("chain", folder, change(text)) == result("chain", folder, text)


@pytest.mark.parametrize("word", ["track", "browser"])
def test_only_whole_words_begin_header_lines(word: str, folder: Path) -> None:
    names = (f"{word}1", f"{word}_x", word + "er")
    path = folder / "p.bed"
    rows = "".join(f"{name}\t{10 * n}\t{10 * n + 5}\n" for n, name in enumerate(names))
    path.write_text(f"{word}\n{word} name=x\n{word}\tx\n#c\n{rows}")
    found = read_peaks(path, names=names, sizes=np.array([99, 99, 99]))
    assert found.intervals.start.tolist() == [0, 10, 20]
