"""Chain files: everything seen in the wild, errors with their line, the cached index."""

from __future__ import annotations

import bz2
import gzip
import io
import multiprocessing
import os
import pickle
import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.cache_folder import cache_dir
from ssldata.base.errors import InputError, MissingInputError
from ssldata.chains import chain_index, chain_index_file, chain_text, chain_text_kernels
from ssldata.chains.chain_index import ChainIndex, load_chain

PLAIN = """\
chain 1000 tA 10000 + 100 400 qA 5000 + 1000 1260 1
100\t50\t0
50\t30\t40
70

chain 900 tB 10000 + 1000 1200 qB 5000 - 2000 2205 2
100\t0\t15
50\t10\t0
40
"""


def same(one: ChainIndex, other: ChainIndex) -> bool:
    arrays = [name for name, value in vars(one).items() if isinstance(value, np.ndarray)]
    return (
        one.target_names == other.target_names
        and one.query_names == other.query_names
        and all(
            getattr(one, name).dtype == getattr(other, name).dtype
            and np.array_equal(getattr(one, name), getattr(other, name))
            for name in arrays
        )
    )


def index_of(text: str | bytes) -> ChainIndex:
    data = text if isinstance(text, bytes) else text.encode()
    return chain_index.build_index(chain_text.parse_chain(data, where="c"), digest="d")


def test_index() -> None:
    index = index_of(PLAIN)
    assert index.target_names == ("tA", "tB")
    assert index.query_names == ("qA", "qB")
    assert index.target_sizes.tolist() == [10000, 10000]
    assert index.query_sizes.tolist() == [5000, 5000]
    assert index.offsets.tolist() == [0, 3, 6]
    assert index.block_start.tolist() == [100, 250, 330, 1000, 1100, 1160]
    assert index.block_end.tolist() == [200, 300, 400, 1100, 1150, 1200]
    assert index.block_query.tolist() == [1000, 1100, 1190, 2000, 2115, 2165]
    assert index.block_reach.tolist() == index.block_end.tolist()
    assert index.mirrored.tolist() == [False, True]
    assert (index.chains, index.blocks) == (2, 6)
    with pytest.raises(ValueError, match="read-only"):
        index.block_start[0] = 1


VARIANTS = {
    "spaces": PLAIN.replace("\t", "  "),
    "crlf": PLAIN.replace("\n", "\r\n"),
    "cr": PLAIN.replace("\n", "\r"),
    "mixed line ends": PLAIN.replace("\n", "\r", 3).replace("\n", "\r\n", 2),
    "comment that ends in cr": "#c\r" + PLAIN,
    "no blank line, no final newline": PLAIN.replace("\n\n", "\n").rstrip(),
    "trailing blanks": PLAIN.replace("\n", " \t\n"),
    "comments and blank lines inside": "##matrix=x\n" + PLAIN.replace("\n50", "\n#c\n  \n50"),
    "no id": re.sub(r" [12]\n", "\n", PLAIN),
    "words after the id": PLAIN.replace("1260 1", "1260 1 and more"),
    "id no number": PLAIN.replace("1260 1", "1260 x7"),
    "float score": PLAIN.replace("chain 1000", "chain 1e3"),
    "target strand minus": PLAIN.replace("10000 +", "10000 -"),
    "more than three words": PLAIN.replace("100\t50\t0", "100\t50\t0\tx"),
    "blank lines at the end": PLAIN + "\n\n \n",
    "leading blanks": PLAIN.replace("chain", "  chain"),
    "vertical tab": PLAIN.replace("\t", "\v"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_mean_the_same(name: str) -> None:
    data = VARIANTS[name].encode()
    table = chain_text.parse_chain(data, where="c")
    plain = chain_text.parse_chain(PLAIN.encode(), where="c")
    columns = [c for c in range(chain_text.HEADER_COLUMNS) if c != chain_text.LINE]
    if "id" in name and name != "words after the id":
        columns.remove(chain_text.IDENTIFIER)
    assert np.array_equal(table.header[:, columns], plain.header[:, columns])
    assert np.array_equal(table.blocks, plain.blocks)
    compiled = chain_text_kernels.parse_chain(data, where="c")
    if compiled is not None:  # it may leave the odd ones to the strict parser
        assert np.array_equal(compiled.header, table.header)
        assert np.array_equal(compiled.blocks, table.blocks)
        assert compiled.target_names == table.target_names


@pytest.mark.parametrize(
    "name", ["spaces", "crlf", "cr", "mixed line ends", "trailing blanks", "no id", "float score"]
)
def test_the_compiled_parser_reads_common_variants(name: str) -> None:
    assert chain_text_kernels.parse_chain(VARIANTS[name].encode(), where="c") is not None


WRONG = {
    "no chain": (">chr1\nACGT\n", 1, "starts with 'chain'"),
    "garbage after a chain": (PLAIN + "\ntrack x\n", 11, "starts with 'chain'"),
    "short header": ("chain 1 tA 10 + 0 5\n", 1, "at least 12 words, found 7"),
    "two words": (PLAIN.replace("100\t50\t0", "100\t50"), 2, "found 2"),
    "query end": (PLAIN.replace("1260", "1270"), 4, "query position 1260, but the header"),
    "target end": (PLAIN.replace("400", "410"), 4, "target position 400, but the header"),
    "beyond the end": (PLAIN.replace("\n70", "\n80"), 4, "beyond the end of its chain"),
    "past the contig": (PLAIN.replace("qA 5000", "qA 1200"), 1, "must lie within 0-1200"),
    "empty span": (PLAIN.replace("+ 100 400", "+ 400 400"), 1, "not be empty"),
    "no number": (PLAIN.replace("50\t30", "5x\t30"), 3, "found '5x'"),
    "leading zero": (PLAIN.replace("50\t30", "050\t30"), 3, "found '050'"),
    "strand": (PLAIN.replace("qA 5000 +", "qA 5000 +-"), 1, "strand must be + or -, found '+-'"),
    "nul": (PLAIN.replace("50\t30", "50\t\0"), 3, "NUL byte"),
    "plus sign": (PLAIN.replace("100\t50", "+100\t50"), 2, "found '+100'"),
    "negative size": (PLAIN.replace("100\t50", "-100\t50"), 2, "must not be negative"),
    "cut off": (PLAIN[: PLAIN.rindex("40")], 6, "ends inside this chain"),
    "too long": (PLAIN.replace("10000", "3000000000"), 1, "more than 2147483647"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_line(name: str, tmp_path: Path) -> None:
    text, line, message = WRONG[name]
    path = tmp_path / "wrong.chain"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_chain(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert chain_text_kernels.parse_chain(text.encode(), where="c") is None


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(PLAIN,))
    writer.start()
    assert same(load_chain(pipe), index_of(PLAIN))
    writer.join()


def test_negative_gaps_are_read() -> None:
    text = "chain 1 t 1000 + 0 90 q 1000 + 0 90 1\n50\t-10\t-10\n50\n"
    index = index_of(text)
    assert index.block_start.tolist() == [0, 40]
    with pytest.raises(InputError, match="before the start"):
        index_of(text.replace("-10", "-60"))


def test_empty_files() -> None:
    for text in ("", "\n\n", "# nothing\n"):
        index = index_of(text)
        assert (index.chains, index.blocks, index.target_names) == (0, 0, ())
        assert index.encode(["a"]).tolist() == [-1]
        assert index.inverted().chains == 0


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.chain", data)
    return out.getvalue()


def bgzipped(data: bytes) -> bytes:
    """Members with an extra field, and an empty last one, as bgzip writes."""
    members = []
    for part in (data[:40], data[40:], b""):
        packed = bytearray(gzip.compress(part, mtime=0))
        packed[3] |= 4
        packed[10:10] = b"\x06\x00BC\x02\x00\x00\x00"
        members.append(bytes(packed))
    return b"".join(members)


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, zipped, bgzipped],
    ids=["gzip", "bzip2", "zip", "bgzip"],
)
def test_compression_is_recognised_by_content(pack, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(pack(PLAIN.encode()))
    assert same(load_chain(path), index_of(PLAIN))


def test_damaged_compression(tmp_path: Path) -> None:
    packed = gzip.compress(PLAIN.encode() * 50)
    for data in (packed[:-20], packed[:100] + b"\0" + packed[101:], b"PK\x03\x04zz"):
        path = tmp_path / "x.chain.gz"
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            load_chain(path)
    path.write_bytes(b"\x1f\x9d\x90")
    with pytest.raises(InputError, match="compress"):
        load_chain(path)
    path.write_bytes(b"chain \xff\xfe\n")
    with pytest.raises(InputError, match="12 words"):
        load_chain(path)
    path.write_bytes(PLAIN.replace("tA", "t\udcff").encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="not text"):
        load_chain(path)
    with pytest.raises(MissingInputError, match="no such chain file"):
        load_chain(tmp_path / "missing")


def entry(path: Path) -> Path:
    """Return the cache entry of a chain file."""
    index = load_chain(path)
    assert index.source is not None
    return index.source


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.chain"
    path.write_text(PLAIN)
    first = load_chain(path)
    assert first.source is not None
    assert first.source.parent == cache_dir("chains")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed again")

    with monkeypatch.context() as patch:
        patch.setattr(chain_index, "parse", never)
        again = load_chain(path)
        assert same(again, first)
        other = tmp_path / "same-content.chain"
        other.write_text(PLAIN)
        assert load_chain(other).source == first.source
        # Another content under the same name is another entry.
        path.write_text(PLAIN + "\n")
        with pytest.raises(AssertionError, match="parsed again"):
            load_chain(path)
    assert load_chain(path).digest != first.digest
    assert load_chain(path, cache=False).source is None


@pytest.mark.parametrize("cache", [True, False])
def test_two_sizes_of_a_target_contig_are_refused_by_line_unless_asked_for(
    tmp_path: Path, cache: bool
) -> None:
    path = tmp_path / "a.chain"
    path.write_text(
        "chain 1 a 90 + 0 50 b 90 + 0 50 1\n50\n\n# the same contig\n"
        "chain 1 a 99 + 3 95 b 95 + 0 92 2\n92\n\nchain 1 a 97 + 0 97 b 97 + 0 97 3\n97\n"
    )
    for _ in range(2):  # parsed, then from the cache
        with pytest.raises(InputError, match="line 5: the target end 95 is beyond the size of 'a'"):
            load_chain(path, cache=cache)
    assert load_chain(path, cache=cache, mixed=True).chain_target_size.tolist() == [97, 90, 99]


def test_a_change_that_kept_size_and_time_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.chain"
    path.write_text(PLAIN)
    stat = path.stat()
    assert load_chain(path).target_names == ("tA", "tB")
    path.write_text(PLAIN.replace("tA", "tC"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load_chain(path).target_names == ("tC", "tB")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:30],
        lambda data: data[:-1],
        lambda data: data + bytes(8),
        lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
        lambda data: b"X" + data[1:],
        lambda data: data[:16] + b"\x63" + data[17:],
        lambda data: data[:40] + b"\xff" + data[41:],
        lambda data: data.replace(b'"block_start"', b'"block_xxxxx"'),
        lambda data: data.replace(b'"digest": "', b'"digest": "0')[:-1],
    ],
)
def test_damaged_cache_is_rebuilt(damage, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.chain"
    path.write_text(PLAIN)
    place = entry(path)
    good = place.read_bytes()
    wrong = damage(good)
    assert wrong != good
    place.unlink()  # a new file: the old one is still mapped here
    place.write_bytes(wrong)
    assert same(load_chain(path), index_of(PLAIN))
    assert place.read_bytes() == good


def test_checksum_sees_each_flipped_bit() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, 40).astype(np.uint64)
    good = chain_index_file.checksum(words.tobytes())
    for place in range(40):
        for bit in (0, 31, 63):
            wrong = words.copy()
            wrong[place] ^= np.uint64(1) << np.uint64(bit)
            assert chain_index_file.checksum(wrong.tobytes()) != good


def test_pickle_is_the_name_of_the_cached_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.chain"
    path.write_text(PLAIN * 200)
    index = load_chain(path)
    data = pickle.dumps(index)
    assert len(data) < 1000
    assert same(pickle.loads(data), index)
    loose = load_chain(path, cache=False)
    assert same(pickle.loads(pickle.dumps(loose)), index)
    assert index.source is not None
    index.source.unlink()
    with pytest.raises(MissingInputError, match="load_chain in the worker"):
        pickle.loads(data)


def test_processes_build_the_same_entry_at_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.chain"
    path.write_text(PLAIN)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(load_chain, [str(path)] * 8)
    assert all(same(index, index_of(PLAIN)) for index in found)
    left = sorted(p.name for p in (tmp_path / "cache" / "chains").iterdir())
    assert left == [f"{found[0].digest}-{chain_index_file.FORMAT_VERSION}.index"]


def test_numbers_of_chains_follow_the_tool() -> None:
    """Same target start: the finest bin first, then later in the file first."""
    text = "".join(
        f"chain 1 t 1000000 + 0 {size} q 1000000 + 0 {size} {number}\n{size}\n"
        for number, size in enumerate([900_000, 1000, 200_000, 1000])
    )
    index = index_of(text)
    assert index.chain_id.tolist() == [3, 1, 2, 0]
    assert index.chain_position.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("genome", ["CBS432", "SK1"])
def test_inverted_twice_is_the_same(genome: str) -> None:
    name = f"sacCer3To{genome}.over.chain.gz"
    index = load_chain(Path(__file__).parents[2] / "golden" / "liftover" / "chains" / name)
    back = index.inverted()
    assert back.target_names == index.query_names
    assert back.blocks == index.blocks
    sizes = dict(zip(back.target_names, back.target_sizes, strict=True))
    assert sizes == dict(zip(index.query_names, index.query_sizes, strict=True))
    assert same(back.inverted(), index)


@pytest.mark.mirror
def test_both_parsers_read_real_chains_alike(mirror: Path) -> None:
    files = sorted(mirror.glob("*/chains/*.chain.gz")) + sorted(mirror.glob("*/*.chain.gz"))
    assert len(files) >= 10
    for path in files:
        data = chain_text.read_chain(path)
        strict = chain_text.parse_chain(data, where=path.name)
        compiled = chain_text_kernels.parse_chain(data, where=path.name)
        assert compiled is not None
        assert np.array_equal(compiled.header, strict.header)
        assert np.array_equal(compiled.blocks, strict.blocks)
        assert compiled.target_names == strict.target_names
        assert compiled.query_names == strict.query_names
