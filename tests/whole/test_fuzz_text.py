"""Damaged text of every kind: a result, or one line that names the file. Nothing else, and soon."""

from __future__ import annotations

import bz2
import gzip
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chain_tools import CHAINS
from text_readers import READERS, bgzipped, genome, text_of, zipped
from twobit_tools import twobit

from ssldata.base.errors import CrosslabelError
from ssldata.project.genome_list import enter_genome, strike_genome
from ssldata.ucsc_tool.ucsc_command import main as liftover

#: What is put in: white space and line ends of all kinds, YAML's signs, numbers that are none.
WORDS = [
    *(b"\0 \n \r \t # [ { & * ! ' \" : - , > % | @ ` ? \\ 0 -1 1_0 nan inf 1e400".split(b" ")),
    b" ", b"\r\n", b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff",
    b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"track", b"<<: ", b"&a ", b"*a", b"!!int ", b"x" * 300,
    b"9" * 30,
]  # fmt: skip

BED12 = "tA\t110\t290\ta\t0\t+\t110\t290\t0\t2\t20,20,\t0,160,\n"


def lift(path: Path) -> None:
    """Run the drop-in command on a BED file; its one error line becomes an exception."""
    chain = path.with_name("c.chain")
    chain.write_text(CHAINS)
    outputs = [str(path.with_name(name)) for name in ("new.bed", "lost.bed")]
    assert liftover([str(path), str(chain), *outputs, "-minMatch=0.1", "--quiet"]) in (0, 2)


def edit(path: Path) -> None:
    enter_genome(path, {"name": "new", "sequence": "/a", "chain": "/b"})
    strike_genome(path, "R1")


#: Reader → what it is, and sound input for it.
CASES: dict[str, tuple[Callable[[Path], Any], bytes]] = {
    **{name: (reader.read, text_of(name).encode()) for name, reader in READERS.items()},
    "2bit": (genome, twobit({"c1": "ACGTNNacgtACGT", "c2": "TTTT"})),
    "liftover": (lift, b"tA\t110\t290\ta\t0\t+\ntA\t150\t250\tb\t0\t-\n"),
    "liftover of blocks": (lift, BED12.encode()),
    "edited registry": (edit, text_of("registry").encode()),
    "edited project": (edit, text_of("project").encode()),
}
PACKERS = [gzip.compress, bz2.compress, bgzipped, zipped]


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 if changed:
                changed[min(at, len(changed) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                changed[at:at] = rng.choice(WORDS)
            case 2:
                del changed[at : at + rng.randint(1, 20)]
            case 3:
                copied = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[copied : copied + rng.randint(1, 40)]
            case 4:
                del changed[at:]
            case _:
                changed[at : at + rng.randint(1, 4)] = rng.choice(WORDS)
    return bytes(changed)


def refusal_of(read: Callable[[Path], Any], path: Path) -> str:
    """Return the message of a mistake of the user, or nothing."""
    try:
        read(path)
    except CrosslabelError as error:
        return str(error) if error.exit_code == 2 else f"\n{error.exit_code}"
    except Exception as error:
        raise AssertionError(f"a bug, by {path.read_bytes()!r}") from error
    return ""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("times", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_damage_is_harmless_or_one_line(
    name: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    read, sound = CASES[name]
    rng = random.Random(f"{name} {times}")
    for number in range(times):
        data = damaged(sound, rng)
        if rng.random() < 0.25:
            data = damaged(rng.choice(PACKERS)(sound), rng)
        path = tmp_path / str(number) / "file"
        path.parent.mkdir()
        path.write_bytes(data)
        began = time.process_time()
        assert refusal_of(read, path).count("\n") == 0, data
        assert time.process_time() - began < 10, data
        assert capfd.readouterr().err.count("\n") <= 1, data
