"""Genomes from FASTA against slow readings of the same text."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import InputError, MissingInputError
from ssldata.genomes.fasta import plain_index
from ssldata.genomes.gather_kernels import code_of_letter, codes_to_letters
from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.memory_map import MappedFile
from ssldata.genomes.onehot import BYTE_OF_CODE, CODE_OF_BYTE, decode, encode, reverse_complement

LETTERS = "ACGTNacgtnRYkm-"


def fasta(contigs: dict[str, str], width: int = 7, newline: str = "\n") -> str:
    lines = []
    for name, sequence in contigs.items():
        lines.append(f">{name}")
        lines += [sequence[i : i + width] for i in range(0, len(sequence), width)]
    return newline.join([*lines, ""])


@pytest.fixture
def write(tmp_path):
    def write_text(text: str | bytes, name: str = "genome.fa") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return path

    return write_text


CONTIGS = {"chrI": "ACGTNacgtnRYACCCGGGTTTTAC", "chrII": "TTTTTTT", "chrIII": "acg"}


@pytest.fixture
def genome(write):
    return open_genome(write(fasta(CONTIGS)), aliases={"chr1": "chrI", "2": "chrII"})


def test_names_sizes_and_codes(genome):
    assert genome.names == ("chrI", "chrII", "chrIII")
    assert genome.sizes.dtype == np.int64
    assert genome.sizes.tolist() == [25, 7, 3]
    for i, (name, sequence) in enumerate(CONTIGS.items()):
        assert genome.codes(name).tolist() == encode(sequence).tolist()
        assert genome.codes(i, 1, 3).tolist() == encode(sequence[1:3]).tolist()
    assert genome.codes("chrI", 5, 5).shape == (0,)


def test_aliases_and_unknown_contigs(genome):
    assert genome.index("chr1") == genome.index("chrI") == 0
    assert genome.codes("2").tolist() == genome.codes(1).tolist()
    assert genome.find("chrX9") == -1
    with pytest.raises(InputError, match=r"no contig 'chrIIII'; did you mean chrIII"):
        genome.index("chrIIII")
    with pytest.raises(InputError, match=r"its 3 contigs are chrI, chrII, chrIII; .*'aliases'"):
        genome.index("scaffold_77")


def test_a_missing_chr_prefix_is_suggested(write):
    genome = open_genome(write(fasta({"chr22": "ACGT", "7": "ACGT"})))
    with pytest.raises(InputError, match=r"no contig '22'; did you mean chr22\?"):
        genome.index("22")
    with pytest.raises(InputError, match=r"no contig 'chr7'; did you mean 7\?"):
        genome.index("chr7")


def test_wrong_aliases(write):
    path = write(fasta(CONTIGS))
    with pytest.raises(InputError, match=r"alias 'chr1' stands for 'chrl', which is not a contig"):
        open_genome(path, aliases={"chr1": "chrl"})
    with pytest.raises(InputError, match=r"alias 'chrI' for 'chrII' is itself a contig"):
        open_genome(path, aliases={"chrI": "chrII"})
    assert open_genome(path, aliases={"chrI": "chrI"}).index("chrI") == 0


def test_gather_reads_both_strands(genome):
    rows = genome.gather(
        np.array([0, 0, 1], dtype=np.int32), np.array([0, 20, 2]), 5, np.array([1, -1, -1])
    )
    assert rows.dtype == np.uint8
    assert [decode(row) for row in rows] == ["ACGTN", "GTAAA", "AAAAA"]
    assert genome.gather([], [], 5).shape == (0, 5)
    assert genome.gather([0], [25], 0).shape == (1, 0)
    np.testing.assert_array_equal(genome.gather([0], [0], 25)[0], genome.codes(0))


@pytest.mark.parametrize(
    ("contig", "start", "strand", "message"),
    [
        ([0, 1], [0, 3], [1, 1], r"window 1, chrII:3-8, is not inside the contig, which has 7 b"),
        ([0, 0], [-1, 21], [1, 1], r"window 0, chrI:-1-4, .*\(2 such windows\); drop and count"),
        ([0, 3], [0, 0], [1, 1], r"window 1 has contig index 3, outside 0\.\.2"),
        ([-1], [0], [1], r"window 0 has contig index -1"),
        ([2], [0], [1], r"window 0, chrIII:0-5"),
        ([0], [2**62], [1], r"not inside the contig"),
        ([0, 0], [0, 0], [1, 0], r"window 1 has strand 0; expected \+1 or -1"),
        ([0], [0], [255], r"window 0 has strand 255"),
    ],
)
def test_windows_that_cannot_be_read(genome, contig, start, strand, message):
    with pytest.raises(InputError, match=message):
        genome.gather(contig, start, 5, strand)


def test_wrong_calls(genome):
    with pytest.raises(TypeError, match="start must be a flat array of integers, found float64"):
        genome.gather([0], [1.0], 5)
    with pytest.raises(ValueError, match="differ in length: 1, 2, 1"):
        genome.gather([0], [1, 2], 5)
    with pytest.raises(ValueError, match="length must not be negative"):
        genome.gather([0], [1], -1)
    with pytest.raises(InputError, match="chrII:3-8 is not inside the contig, which has 7 b"):
        genome.codes("chrII", 3, 8)
    with pytest.raises(InputError, match=r"contig index 3 is outside 0\.\.2"):
        genome.codes(3)


def test_soft_mask_is_lower_case(genome):
    for name, sequence in CONTIGS.items():
        expected = [base.islower() for base in sequence]
        assert genome.soft_mask(name).tolist() == expected
        assert genome.soft_mask(name, 1, 3).tolist() == expected[1:3]
    assert genome.soft_mask("chrI", 4, 4).shape == (0,)


@st.composite
def layouts(draw):
    """FASTA text of random contigs, and what it says; regular lines or ragged ones."""
    count = draw(st.integers(1, 4))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    ragged = draw(st.booleans())
    text = draw(st.sampled_from(["", "; a comment", ""]))
    text += newline if text else ""
    contigs = {}
    for i in range(count):
        sequence = draw(st.text(alphabet=LETTERS, max_size=60))
        width = draw(st.integers(1, 25))
        contigs[f"c{i}"] = sequence
        text += f">c{i}" + draw(st.sampled_from(["", " description >x", "\ttab"])) + newline
        at = 0
        while at < len(sequence):
            step = draw(st.integers(1, 25)) if ragged else width
            text += sequence[at : at + step]
            at += step
            if ragged:
                text += draw(st.sampled_from(["", " ", newline]))
            text += newline
        text += draw(st.sampled_from(["", newline]))
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return contigs, text


@settings(max_examples=150, deadline=None)
@given(layouts(), st.data())
def test_any_layout_reads_as_its_sequences(layout, data):
    contigs, text = layout
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        path.write_bytes(text.encode())
        genome = open_genome(path)
        assert genome.names == tuple(contigs)
        assert genome.sizes.tolist() == [len(s) for s in contigs.values()]
        for name, sequence in contigs.items():
            assert genome.codes(name).tolist() == encode(sequence).tolist()
            assert genome.soft_mask(name).tolist() == [b.islower() for b in sequence]
        longest = max(len(s) for s in contigs.values())
        length = data.draw(st.integers(1, max(longest, 1)))
        windows = [
            (c, start, strand)
            for c, sequence in enumerate(contigs.values())
            for start in range(len(sequence) - length + 1)
            for strand in (1, -1)
        ]
        if windows:
            rows = genome.gather(*np.array(windows).T[:2], length, np.array(windows)[:, 2])
            for row, (c, start, strand) in zip(rows, windows, strict=True):
                codes = encode(contigs[f"c{c}"][start : start + length])
                expected = codes if strand > 0 else reverse_complement(codes)
                assert row.tolist() == expected.tolist()


def test_bulk_gather_equals_pyfaidx(write, tmp_path):
    rng = np.random.default_rng(1)
    contigs = {
        f"scaffold{i}": "".join(rng.choice(list("ACGTNacgtnRYkm"), int(size)))
        for i, size in enumerate(rng.integers(120, 4000, 20))
    }
    path = write(fasta(contigs, width=61))
    genome = open_genome(path)
    contig = rng.integers(0, 20, 2000).astype(np.int32)
    start = (rng.random(2000) * (genome.sizes[contig] - 101)).astype(np.int64)
    strand = rng.choice(np.array([-1, 1], dtype=np.int8), 2000)
    rows = genome.gather(contig, start, 101, strand)
    with pyfaidx.Fasta(path, indexname=str(tmp_path / "own.fai"), rebuild=True) as oracle:
        for row, c, s, sign in zip(rows, contig, start, strand, strict=True):
            sequence = oracle[genome.names[c]][int(s) : int(s) + 101]
            text = str(sequence if sign > 0 else sequence.reverse.complement).upper()
            assert decode(row) == "".join(b if b in "ACGT" else "N" for b in text)


def test_compiled_codes_and_letters_are_those_of_the_tables():
    every = np.arange(256, dtype=np.uint8)
    assert [code_of_letter(byte) for byte in every] == CODE_OF_BYTE.tolist()
    codes_to_letters(every)
    assert every.tolist() == BYTE_OF_CODE.tolist()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b">a\n", b">b c\n", b"ACGT\n", b"aN-\n", b"ACGT\r\n", b">", b"\n"]))
)
def test_an_index_made_here_is_that_of_pyfaidx(pieces):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        path.write_bytes(b">0\nACGT\n" + b"".join(pieces))
        text = plain_index(path)
        if text is not None:
            pyfaidx.Faidx(str(path), indexname=f"{path}.own")
            assert text == Path(f"{path}.own").read_text("utf-8")
        elif not {b"ACGT\r\n", b">", b"\n", b">a\n", b">b c\n"} & set(pieces):
            assert b"aN-\n" in pieces[:-1]  # only a short line inside is not plain


@pytest.mark.parametrize("portion", [1, 3, 5, 100])
def test_runs_of_n_cross_portions(write, monkeypatch, portion):
    monkeypatch.setattr("ssldata.genomes.genome.PASS_BASES", portion)
    genome = open_genome(write(">a\nNNACGTNNNNNNA\nRN\n>b\nACG\n"))
    starts, ends = genome.n_runs(0)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == [(0, 2), (6, 12), (13, 15)]
    assert genome.n_runs(1)[0].size == 0


def test_long_ragged_lines_are_rewritten_whole(write):
    rng = np.random.default_rng(2)
    sequence = "".join(rng.choice(list("ACGTacgtN"), 2**21 + 12345))
    ragged = f">a\n{sequence[:5]}\n{sequence[5:]}\n>b\nAC\n\n\nGT\n"
    genome = open_genome(write(ragged))
    assert genome.sizes.tolist() == [len(sequence), 4]
    np.testing.assert_array_equal(genome.codes("a"), encode(sequence))
    assert decode(genome.codes("b")) == "ACGT"


def test_empty_contigs_stay(write):
    genome = open_genome(write(">none\n>a\nACGT\n>end\n"))
    assert genome.names == ("none", "a", "end")
    assert genome.sizes.tolist() == [0, 4, 0]
    assert genome.codes("none").shape == (0,)
    with pytest.raises(InputError, match=r"none:0-1, is not inside the contig, which has 0 b"):
        genome.gather([0], [0], 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"\n\n", r"not a FASTA file"),
        (b"ACGT\n>a\nACGT\n", r"not a FASTA file: expected lines '>name'"),
        (b">\nACGT\n", r"not a FASTA file.*Bad sequence name"),
        (b"chr1\t0\t100\n", r"not a FASTA file"),
        (b">a\nACGT\n>b\nAC\n>a\nGG\n", r"contig 'a' occurs twice"),
        (b">a\nAC\nA\nACGT\n>a\nGG\n", r"contig 'a' occurs twice"),
        (b">a\nACGT\nAC7T\nA\n", r"contig a: '7' at base 6 \(counted from 0\) is not a base"),
        (b">a\r\nACGT\r\nAC\x00T\r\n", r"contig a: '\\x00' at base 6"),
        (b">a\nAC\nACG>b\nAC\nA\n", r"contig a: '>' at base 5"),
        (b">a\nAC\nACG\n >b\nAC\n", r"contig a: '>' at base 5"),
        (b"\xff\xfd\x00", r"neither FASTA nor 2bit \(byte 0xff is not text\)"),
        (b"\xff\xfe>\x00", r"is UTF-16 text"),
        (b"BZh91AY&SY", r"cut short"),
        (b"PK\x03\x04....", r"data are damaged \(File is not a zip"),
        (b"\x28\xb5\x2f\xfd....", r"is a zstd file"),
        (b"\xfd7zXZ\x00", r"is an xz file"),
    ],
)
def test_what_is_no_genome(write, content, message):
    path = write(content)
    with pytest.raises(InputError, match=message) as caught:
        open_genome(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    # The second try must not find half an index.
    with pytest.raises(InputError, match=message):
        open_genome(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(MissingInputError, match="no such file"):
        open_genome(tmp_path / "none.fa")
    with pytest.raises(InputError, match="is a folder"):
        open_genome(tmp_path)


def test_it_pickles_by_path_and_opens_lazily(genome):
    data = pickle.dumps(genome)
    assert len(data) < 2000
    away = genome.path.rename(genome.path.with_suffix(".away"))
    again: Genome = pickle.loads(data)  # opens nothing yet
    away.rename(genome.path)
    assert again.index("chr1") == 0
    np.testing.assert_array_equal(again.codes(0), genome.codes(0))


@pytest.mark.parametrize("order", ["sorted", "random"])
def test_a_map_that_gives_pages_back_reads_the_same(write, monkeypatch, order):
    monkeypatch.setattr("ssldata.genomes.memory_map.PAGE_BUDGET", 2**14)
    monkeypatch.setattr("ssldata.genomes.memory_map.PIECE_BITS", 12)
    monkeypatch.setattr("ssldata.genomes.genome.PASS_BASES", 1000)
    released = []
    monkeypatch.setattr(MappedFile, "release", lambda self: released.append(self.buffer.madvise(4)))
    rng = np.random.default_rng(3)
    sequences = ["".join(rng.choice(list("ACGT"), 100_000)) for _ in range(2)]
    genome = open_genome(write(fasta(dict(zip("ab", sequences, strict=True)), width=80)))
    contig, start = rng.integers(0, 2, 500), rng.integers(0, 99_900, 500)
    if order == "sorted":
        where = np.lexsort((start, contig))
        contig, start = contig[where], start[where]
    released.clear()
    rows = genome.gather(contig, start, 100)
    for row, c, s in zip(rows, contig, start, strict=True):
        assert decode(row) == sequences[c][s : s + 100]
    Genome(genome.path).release()  # not opened: nothing to give back
    # 200 kb in pieces of 4 kb, two to a block: about one release per block, whatever the order.
    assert 15 <= len(released) <= 60
    assert decode(genome.codes("a")) == sequences[0]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_read_as_written_or_refused(data):
    alphabet = list(b">>ACGTacgtN\n\n\r x7;-\xc3\t")
    content = b">a" + bytes(data.draw(st.lists(st.sampled_from(alphabet), max_size=60)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        path.write_bytes(content)
        try:
            genome = open_genome(path)
        except InputError:
            return
        truth: dict[str, str] = {}
        for line in content.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            if line.startswith(">"):
                name = line[1:].split()[0]
                truth[name] = ""
            else:
                truth[name] += "".join(line.split())
        assert genome.names == tuple(n.encode("latin-1").decode() for n in truth)
        for i, sequence in enumerate(truth.values()):
            assert genome.codes(i).tolist() == encode(sequence).tolist()
