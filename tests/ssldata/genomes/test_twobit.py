"""2bit files of both byte orders and versions, against py2bit and against what was written."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path

import numpy as np
import py2bit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twobit_tools import twobit

from ssldata.base.errors import InputError
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode, encode, reverse_complement

CONTIGS = {"chrI": "ACGTNNacgtnnTTGCA", "none": "", "chrII": "nNNNN", "chrIII": "G"}


@pytest.fixture
def write(tmp_path):
    def write_bytes(data: bytes) -> Path:
        path = tmp_path / "genome.2bit"
        path.write_bytes(data)
        return path

    return write_bytes


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [0, 1])
def test_both_byte_orders_and_versions(write, order, version):
    genome = open_genome(write(twobit(CONTIGS, order, version)))
    assert genome.names == tuple(CONTIGS)
    assert genome.sizes.tolist() == [len(s) for s in CONTIGS.values()]
    for name, sequence in CONTIGS.items():
        assert decode(genome.codes(name)) == sequence.upper()
        assert genome.soft_mask(name).tolist() == [b.islower() for b in sequence]
        for start in range(len(sequence)):
            expected = [b.islower() for b in sequence[start : start + 3]]
            assert genome.soft_mask(name, start, start + len(expected)).tolist() == expected


SEQUENCES = st.lists(st.text(alphabet="ACGTNacgtn", max_size=70), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(SEQUENCES, st.sampled_from("<>"), st.integers(1, 70))
def test_every_window_of_any_2bit(sequences, order, length):
    contigs = {f"c{i}": sequence for i, sequence in enumerate(sequences)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.2bit"
        path.write_bytes(twobit(contigs, order))
        genome = open_genome(path)
        windows = [
            (c, start, strand)
            for c, sequence in enumerate(sequences)
            for start in range(len(sequence) - length + 1)
            for strand in (1, -1)
        ]
        if not windows:
            return
        contig, start, strand = np.array(windows).T
        rows = genome.gather(contig, start, length, strand)
        for row, (c, s, sign) in zip(rows, windows, strict=True):
            codes = encode(sequences[c][s : s + length])
            expected = codes if sign > 0 else reverse_complement(codes)
            assert row.tolist() == expected.tolist()


def test_against_py2bit(write):
    rng = np.random.default_rng(4)
    contigs = {}
    for i in range(6):
        letters = rng.choice(list("ACGT"), 3000)
        for _ in range(12):
            a, size = rng.integers(0, 3000), rng.integers(1, 90)
            letters[a : a + size] = "N"
            a, size = rng.integers(0, 3000), rng.integers(1, 200)
            letters[a : a + size] = np.char.lower(letters[a : a + size])
        contigs[f"contig{i}"] = "".join(letters)
    path = write(twobit(contigs))
    genome = open_genome(path)
    oracle = py2bit.open(str(path), True)
    assert dict(zip(genome.names, genome.sizes.tolist(), strict=True)) == oracle.chroms()
    contig = rng.integers(0, 6, 3000)
    start = rng.integers(0, 3000 - 150, 3000)
    rows = genome.gather(contig, start, 150)
    for row, c, s in zip(rows, contig, start, strict=True):
        text = oracle.sequence(f"contig{c}", int(s), int(s) + 150)
        assert decode(row) == text.upper()
        mask = genome.soft_mask(int(c), int(s), int(s) + 150)
        # py2bit never writes n: it tells nothing about the mask of an N.
        known = np.array([b != "N" for b in text])
        assert mask[known].tolist() == [b.islower() for b in text if b != "N"]
    oracle.close()


def test_every_cut_is_noticed(write):
    whole = twobit(CONTIGS)
    for size in range(4, len(whole)):
        with pytest.raises(InputError, match="cut short or damaged"):
            open_genome(write(whole[:size]))


def test_other_damage(write):
    with pytest.raises(InputError, match="2bit version 7 is not supported; expected 0 or 1"):
        open_genome(write(twobit(CONTIGS, version=0).replace(b"\0\0\0\0", b"\7\0\0\0", 1)))
    with pytest.raises(InputError, match="no contigs in it"):
        open_genome(write(twobit({})))
    twice = twobit({"aa": "ACGT", "ab": "AC"}).replace(b"\2ab", b"\2aa")
    with pytest.raises(InputError, match="contig 'aa' occurs twice"):
        open_genome(write(twice))
    with pytest.raises(InputError, match="name of contig number 1 is not text"):
        open_genome(write(twobit({"aa": "ACGT"}).replace(b"aa", b"\xff\xff")))
    for bad in ((0, 6, 7, 2), (0, 6, 2, 12), (6, 0, 2, 2)):
        # Two blocks of N at (0, 2) and (6, 2) of 8 b become overlapping, too long, unordered.
        good = struct.pack("<4I", 0, 6, 2, 2)
        data = twobit({"a": "NNACGTNN"})
        assert data.count(good) == 1
        with pytest.raises(InputError, match="contig a: the N blocks are not in order inside"):
            open_genome(write(data.replace(good, struct.pack("<4I", *bad))))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_never_do_worse_than_an_error(data):
    content = bytearray(twobit({"chrI": "ACGTNNacgtnnTTGCA" * 3, "none": "", "chrII": "nNNNNGT"}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.2bit"
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            genome = open_genome(path)
            for i, size in enumerate(genome.sizes.tolist()):
                assert genome.codes(i).max(initial=0) <= 4
                assert genome.soft_mask(i).shape == (size,)
