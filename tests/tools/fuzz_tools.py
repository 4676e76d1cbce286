"""Seeded damage to files, and what a reader of a damaged file may do.

A reader gives the same result as before, or refuses in one line. Where damage is a valid file of
other content (a base of a plain FASTA, a digit of a BED file) nobody can know; there a reader may
also give another result, but never a traceback, and never wait.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import random
import re
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ssldata.base.errors import CrosslabelError

#: What a person can be kept waiting; of CPU time, since a busy machine is no fault.
SECONDS = 10

Mutation = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Refused:
    """A refusal in one line; equal to any other."""

    message: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused)

    def __hash__(self) -> int:
        return 0


class HangError(AssertionError):
    """The time is up."""


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise :class:`HangError` in the main thread when the block takes more CPU time."""

    def late(*_: object) -> None:
        raise HangError(f"still at work after {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def outcome(read: Callable[[], Any]) -> Any:
    """Return what a reader returns, or its refusal; any other exception is a failure."""
    try:
        with time_limit():
            return read()
    except CrosslabelError as exc:
        message = str(exc)
        assert message, "a refusal without a word"
        assert "\n" not in message, f"more than a line: {message!r}"
        assert len(message) < 2000, f"{len(message)} characters: {message[:200]!r} …"
        return Refused(message)


# -- damage to any file --------------------------------------------------------------------------


def _place(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data)) if data else 0


def flip(rng: random.Random, data: bytes) -> bytes:
    """Flip one bit."""
    at = _place(rng, data)
    return data[:at] + bytes(b ^ 1 << rng.randrange(8) for b in data[at : at + 1]) + data[at + 1 :]


def other_byte(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def cut_little(rng: random.Random, data: bytes) -> bytes:
    return data[: -rng.randint(1, min(40, len(data)))] if data else data


def hole(rng: random.Random, data: bytes) -> bytes:
    """Leave out a part, as a copy that lost a block."""
    at = _place(rng, data)
    return data[:at] + data[at + rng.randint(1, 512) :]


def zeros(rng: random.Random, data: bytes) -> bytes:
    """Put zeros where a block never reached the disk."""
    at = _place(rng, data)
    size = min(rng.randint(1, 4096), len(data) - at)
    return data[:at] + bytes(size) + data[at + size :]


def noise(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.randbytes(rng.randint(1, 64)) + data[at:]


def tail(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.randint(1, 64))


def twice(rng: random.Random, data: bytes) -> bytes:
    del rng
    return data + data


def empty(rng: random.Random, data: bytes) -> bytes:
    del rng, data
    return b""


DAMAGE: Mapping[str, Mutation] = {
    f.__name__: f
    for f in (flip, other_byte, cut, cut_little, hole, zeros, noise, tail, twice, empty)
}

# -- other ways to write a text ------------------------------------------------------------------


def crlf(rng: random.Random, data: bytes) -> bytes:
    del rng
    return data.replace(b"\n", b"\r\n")


def lone_cr(rng: random.Random, data: bytes) -> bytes:
    del rng
    return data.replace(b"\n", b"\r")


def mixed_ends(rng: random.Random, data: bytes) -> bytes:
    return re.sub(rb"\n", lambda _: rng.choice([b"\n", b"\r\n", b"\r"]), data)


def byte_order_mark(rng: random.Random, data: bytes) -> bytes:
    del rng
    return b"\xef\xbb\xbf" + data


def trailing_blanks(rng: random.Random, data: bytes) -> bytes:
    return re.sub(rb"\n", lambda _: rng.choice([b"\n", b" \n", b"\t\n", b" \t \n"]), data)


def blank_lines(rng: random.Random, data: bytes) -> bytes:
    del rng
    return b"\n" + data + b"\n\n"


def no_last_end(rng: random.Random, data: bytes) -> bytes:
    del rng
    return data.rstrip(b"\n")


def gzipped(rng: random.Random, data: bytes) -> bytes:
    return gzip.compress(data, rng.choice([1, 6, 9]))


def gzip_members(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return gzip.compress(data[:at]) + gzip.compress(data[at:])


def bzipped(rng: random.Random, data: bytes) -> bytes:
    del rng
    return bz2.compress(data)


def zipped(rng: random.Random, data: bytes) -> bytes:
    del rng
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", data)
    return buffer.getvalue()


def utf16(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8")
    return rng.choice([text.encode("utf-16"), b"\xff\xfe" + text.encode("utf-16-le")])


SAME_TEXT: Mapping[str, Mutation] = {
    f.__name__: f
    for f in (
        crlf, lone_cr, mixed_ends, byte_order_mark, trailing_blanks, blank_lines, no_last_end,
        gzipped, gzip_members, bzipped, zipped, utf16,
    )
}  # fmt: skip


def _some(*mutations: Mutation) -> Mutation:
    def mutate(rng: random.Random, data: bytes) -> bytes:
        for _ in range(rng.randint(2, 4)):
            data = rng.choice(mutations)(rng, data) if data else data
        return data

    return mutate


def _packed_and(mutation: Mutation) -> Mutation:
    def mutate(rng: random.Random, data: bytes) -> bytes:
        return mutation(rng, gzip.compress(data))

    return mutate


#: Damage of compressed text, whose checksum shows it.
PACKED_DAMAGE: Mapping[str, Mutation] = {
    f"gzipped_{name}": _packed_and(DAMAGE[name])
    for name in ("flip", "other_byte", "cut", "cut_little", "hole", "zeros", "noise")
}

# -- odd content of a text -----------------------------------------------------------------------

ODD_WORDS = (
    b"1_200", b"1:40", b"0200", b"true", b"null", b"~", b"4e2", b"1e999", b"nan", b"inf", b"-0",
    b"+5", b"-1", b"0x10", b"1.5", b"99999999999999999999", b"\xd9\xa3", b"\xff", b"\x00", b"''",
    b"[", b"{", b"&a [*a]", b"*a", b"!!python/object:os.system", b"2020-01-01", b"#", b"track",
    b"browser", b"<script>", b"../../etc/passwd", b"a" * 300, b".", b"", b"\t", b"\\ud800",
    b"!", b"- ", b": ", b",", b"%", b"|", b"@", b"`", b"?", b"\\", b"'", b'"', b"<<: ", b"!!int ",
    b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"9" * 30,
)  # fmt: skip


def odd_word(rng: random.Random, data: bytes) -> bytes:
    """Put something odd in the place of a word or number."""
    words = list(re.finditer(rb"[^\s,:\[\]{}]+", data))
    if not words:
        return data
    word = rng.choice(words)
    return data[: word.start()] + rng.choice(ODD_WORDS) + data[word.end() :]


def odd_lines(rng: random.Random, data: bytes) -> bytes:
    """Leave out, repeat, swap or shorten a line."""
    lines = data.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at][: _place(rng, lines[at])]
    return b"\n".join(lines)


ODD_TEXT: Mapping[str, Mutation] = {
    "odd_word": odd_word,
    "odd_lines": odd_lines,
    "several": _some(odd_word, odd_lines, flip, hole, noise),
}
