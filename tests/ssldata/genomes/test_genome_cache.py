"""Compressed genomes, what is kept in the cache, and digests."""

from __future__ import annotations

import bz2
import gzip
import multiprocessing
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from Bio import bgzf
from twobit_tools import twobit

from ssldata.base.errors import CrosslabelError, InputError
from ssldata.genomes import genome as genome_module
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode

FASTA = ">chrII some words\nACGTNacgtn\nACG\n>chrI\nTTTT\n"
CONTIGS = {"chrI": "TTTT", "chrII": "ACGTNacgtnACG"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("CROSSLABEL_CACHE", str(folder))
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write_bgzip(path: Path, text: str) -> None:
    with bgzf.BgzfWriter(str(path), "wb") as handle:
        handle.write(text.encode())


def write_zip(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("genome.fa", text)


def contents(genome):
    return {name: decode(genome.codes(name)) for name in genome.names}


def test_the_format_goes_by_content_not_by_name(data):
    expected = {name: sequence.upper() for name, sequence in CONTIGS.items()}
    writers = {
        "plain": lambda p: p.write_text(FASTA),
        "gzip": lambda p: p.write_bytes(gzip.compress(FASTA.encode())),
        "members": lambda p: p.write_bytes(
            gzip.compress(FASTA[:20].encode()) + gzip.compress(FASTA[20:].encode())
        ),
        "bgzip": lambda p: write_bgzip(p, FASTA),
        "bzip2": lambda p: p.write_bytes(bz2.compress(FASTA.encode())),
        "zip": lambda p: write_zip(p, FASTA),
        "2bit": lambda p: p.write_bytes(twobit(CONTIGS)),
        "2bit big-endian": lambda p: p.write_bytes(twobit(CONTIGS, ">")),
        "2bit in gzip": lambda p: p.write_bytes(gzip.compress(twobit(CONTIGS))),
        "ragged in gzip": lambda p: p.write_bytes(
            gzip.compress(FASTA.replace("ACG\n", "A\nCG\n").encode())
        ),
    }
    digests = set()
    for how, writer in writers.items():
        for suffix in (".fa", ".2bit", ".gz", ".zip"):
            path = data / f"{how}{suffix}"
            writer(path)
            genome = open_genome(path)
            assert contents(genome) == expected, (how, suffix)
            assert genome.soft_mask("chrII").tolist() == [b.islower() for b in CONTIGS["chrII"]]
            digests.add(genome.digest)
    assert len(digests) == 1
    assert len(list(data.iterdir())) == len(writers) * 4  # nothing was written beside them


def test_the_digest_is_of_names_sizes_and_bases(data):
    import hashlib

    path = data / "genome.fa"
    path.write_text(FASTA)
    text = "chrI\0004\0TTTT" + "chrII\00013\0ACGTNACGTNACG"
    assert open_genome(path).digest == hashlib.sha256(text.encode()).hexdigest()
    others = [
        FASTA.replace("chrI\n", "chr1\n"),
        FASTA.replace("TTTT", "TTTC"),
        FASTA.replace("TTTT", "TTT"),
        FASTA.replace("ACG\n>", "ACGT\n>"),
    ]
    digests = {open_genome(path).digest}
    for i, other in enumerate(others):
        path = data / f"other{i}.fa"
        path.write_text(other)
        digests.add(open_genome(path).digest)
    assert len(digests) == 5
    path = data / "iupac.fa"
    path.write_text(FASTA.replace("N", "R"))
    assert open_genome(path).digest in digests


def test_the_digest_is_remembered_and_can_be_verified(data, monkeypatch):
    path = data / "genome.fa"
    path.write_text(FASTA)
    digest = open_genome(path).digest

    def no_pass(*_args, **_options):
        raise AssertionError("read the whole genome again")

    with monkeypatch.context() as patch:
        patch.setattr(genome_module.Genome, "codes", no_pass)
        assert open_genome(path).digest == digest
        with pytest.raises(AssertionError, match="whole genome"):
            open_genome(path).sequence_digest(verify=True)
    assert open_genome(path).sequence_digest(verify=True) == digest
    path.write_text(FASTA.replace("TTTT", "TTTA"))
    os.utime(path, ns=(1, 1))
    assert open_genome(path).digest != digest


def test_a_changed_file_is_read_again(data):
    path = data / "genome.fa.gz"
    for text, size in (("ACGT", 4), ("ACGTA", 5)):
        path.write_bytes(gzip.compress(f">a\n{text}\n".encode()))
        os.utime(path, ns=(size * 10**9, size * 10**9))
        assert open_genome(path).sizes.tolist() == [size]


def test_a_second_opening_unpacks_and_indexes_nothing(data, monkeypatch):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    first = contents(open_genome(path))
    monkeypatch.setattr("ssldata.genomes.genome_cache.unpacked", None)
    monkeypatch.setattr("pyfaidx.Faidx.build_index", None)
    monkeypatch.setattr("ssldata.genomes.fasta.index_contig", None)
    assert contents(open_genome(path)) == first


def test_a_file_from_the_future_keeps_its_index(data, monkeypatch):
    path = data / "genome.fa"
    path.write_text(FASTA)
    os.utime(path, (4e9, 4e9))
    first = contents(open_genome(path))
    monkeypatch.setattr("pyfaidx.Faidx.build_index", None)
    monkeypatch.setattr("ssldata.genomes.fasta.index_contig", None)
    assert contents(open_genome(path)) == first


@pytest.mark.parametrize("compress", ["gzip", "bgzip"])
def test_every_cut_of_a_compressed_file_is_noticed(data, cache, compress):
    path = data / "genome.fa.gz"
    rng = np.random.default_rng(0)
    text = ">a\n" + "".join(rng.choice(list("ACGT"), 300)) + "\n"
    if compress == "gzip":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        write_bgzip(path, text)
    whole = path.read_bytes()
    for size in [*range(2, len(whole), 7), len(whole) - 28, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="cut short") as caught:
            open_genome(path)
        assert str(caught.value).startswith(str(path))
    left = [p.name for p in (cache / "genomes").iterdir()]
    assert left == []
    path.write_bytes(whole)
    assert decode(open_genome(path).codes("a")) == text[3:-1]


def test_damaged_gzip(data):
    path = data / "genome.fa.gz"
    whole = bytearray(gzip.compress(FASTA.encode()))
    whole[-6] ^= 1  # in the checksum
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"genome.fa.gz: the .* are damaged \(.*check"):
        open_genome(path)
    whole[-6] ^= 1
    path.write_bytes(whole + b"rest of another file")
    with pytest.raises(InputError, match="something that is not gzip follows"):
        open_genome(path)


def test_gzip_of_nothing(data):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match=r"genome.fa.gz \(unpacked\): is empty"):
        open_genome(path)


@pytest.mark.parametrize("change", [lambda d: d[:-3], lambda d: b"", lambda d: d + b"ACG\n"])
@pytest.mark.parametrize(("text", "copies"), [(FASTA, 1), (FASTA.replace("T", "T\n", 1), 2)])
def test_a_cached_copy_of_another_size_is_made_again(data, cache, change, text, copies):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert contents(open_genome(path)) == {name: seq.upper() for name, seq in CONTIGS.items()}
    files = sorted((cache / "genomes").glob("*.fa"))  # the second has regular lines
    assert len(files) == copies
    for file in files:
        file.write_bytes(change(file.read_bytes()))
    assert contents(open_genome(path)) == {name: seq.upper() for name, seq in CONTIGS.items()}


@pytest.mark.parametrize("change", [(b"\t", b"\t1"), (b"chr", b"Chr")])
def test_a_changed_index_is_made_again(data, cache, change):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    expected = open_genome(path)
    (index,) = (cache / "genomes").glob("*.fai")
    known = index.read_bytes()
    head, _, rest = known.partition(b"\n")
    index.write_bytes(head + b"\n" + rest.replace(*change))
    assert index.read_bytes() != known
    found = open_genome(path)
    assert (found.names, found.digest) == (expected.names, expected.digest)
    assert index.read_bytes() == known


def test_leftovers_of_a_killed_process_are_swept(data, cache):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    open_genome(path)
    (copy,) = (cache / "genomes").glob("*.fa")
    copy.rename(copy.with_name(f"{copy.name}.0123456789ab.partial"))
    open_genome(path)
    assert list((cache / "genomes").glob("*.partial")) == []


def test_a_cache_that_cannot_be_written(data, monkeypatch):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssldata.genomes.genome_cache.unpacked", full)
    with pytest.raises(CrosslabelError, match=r"No space left on device.*CROSSLABEL_CACHE"):
        open_genome(path)


def test_a_read_only_folder_is_enough(data):
    path = data / "genome.fa"
    path.write_text(FASTA)
    path.chmod(0o444)
    data.chmod(0o555)
    try:
        assert len(contents(open_genome(path))) == 2
    finally:
        data.chmod(0o755)
    assert [p.name for p in data.iterdir()] == ["genome.fa"]


def test_many_processes_open_one_new_file(data):
    path = data / "genome.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        genomes = pool.map(open_genome, [path] * 6, chunksize=1)
    expected = {name: s.upper() for name, s in CONTIGS.items()}
    assert all(contents(genome) == expected for genome in genomes)


def other_bases(data: bytes) -> bytes:
    """Return a FASTA, plain or gzip, with every base changed; in the plain one nothing else."""
    packed = data[:2] == b"\x1f\x8b"
    text = gzip.decompress(data) if packed else data
    lines = [
        line if line.startswith(b">") else line.translate(bytes.maketrans(b"ACGT", b"TGAC"))
        for line in text.split(b"\n")
    ]
    return gzip.compress(b"\n".join(lines), mtime=0) if packed else b"\n".join(lines)


@pytest.mark.parametrize("suffix", ["fa", "ragged.fa", "fa.gz", "ragged.fa.gz", "2bit"])
def test_nothing_cached_outlives_the_content_of_its_file(data, suffix):
    path = data / f"genome.{suffix}"
    contigs = {"a": "ACGT" * 5000, "b": "CCGA" * 100}
    text = "".join(f">{name}\n{bases}\n" for name, bases in contigs.items())
    if "ragged" in suffix:
        text = text.replace("ACGTACGT", "ACGT\nACGT", 2)
    whole = gzip.compress(text.encode(), mtime=0) if suffix.endswith("gz") else text.encode()
    if suffix == "2bit":
        whole = twobit(contigs)
    path.write_bytes(whole)
    stat = path.stat()
    old = open_genome(path)
    expected, digest = contents(old), old.digest
    if suffix == "2bit":
        path.write_bytes(whole[:-4000] + bytes(4000))
    else:
        path.write_bytes(other_bases(whole))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    new = open_genome(path)
    assert contents(new) != expected
    assert new.digest != digest
    path.write_bytes(whole)
    assert contents(open_genome(path)) == expected
    assert open_genome(path).digest == digest


@pytest.mark.parametrize("suffix", ["fa", "ragged.fa", "fa.gz"])
def test_verify_trusts_nothing_that_is_cached(data, suffix, monkeypatch):
    monkeypatch.setattr("ssldata.genomes.genome_cache.file_key", lambda _: "0" * 64)
    monkeypatch.setattr("ssldata.base.cache_folder.file_key", lambda _: "0" * 64)
    path = data / f"genome.{suffix}"
    text = ">a\nACGT\nAC\nG\n" if "ragged" in suffix else ">a\nACGTACG\n"

    def write(letters: str) -> None:
        raw = letters.encode()
        path.write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)

    write(text)
    digest = open_genome(path).digest
    write(text.replace("C", "T"))
    assert open_genome(path).digest == digest  # no key tells them apart
    new = open_genome(path, verify=True)
    assert contents(new) == {"a": "ATGTATG"}
    assert new.digest != digest
    assert open_genome(path).digest == new.digest


@pytest.mark.parametrize("damage", ["", "a\t1\n", "a\tx\t0\t1\t2\n", "\0"])
def test_a_damaged_index_is_made_again(data, cache, damage):
    path = data / "genome.fa"
    path.write_text(FASTA)
    expected = contents(open_genome(path))
    (fai,) = (cache / "genomes").glob("*.fai")
    fai.write_text(damage)
    assert contents(open_genome(path)) == expected
