"""Real genomes, against independent readers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import py2bit
import pytest
from Bio import SeqIO

from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode

pytestmark = pytest.mark.mirror


def biopython(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt") as handle:
        return {record.id: str(record.seq) for record in SeqIO.parse(handle, "fasta")}


def random_windows(genome, count: int, length: int):
    rng = np.random.default_rng(0)
    contig = rng.choice(len(genome.names), count, p=genome.sizes / genome.sizes.sum())
    start = (rng.random(count) * (genome.sizes[contig] - length)).astype(np.int64)
    return contig.astype(np.int32), start, genome.gather(contig, start, length)


def test_saccer3_is_what_py2bit_says(mirror):
    path = mirror / "yeast/genomes/sacCer3.2bit"
    genome = open_genome(path)
    assert len(genome.names) == 17
    assert int(genome.sizes.sum()) == 12_157_105
    assert genome.names[:2] == ("chrI", "chrII")
    oracle = py2bit.open(str(path))
    assert oracle.chroms() == dict(zip(genome.names, genome.sizes.tolist(), strict=True))
    assert decode(genome.codes("chrM")) == oracle.sequence("chrM").upper()
    contig, start, rows = random_windows(genome, 2000, 200)
    for row, c, s in zip(rows, contig, start, strict=True):
        assert decode(row) == oracle.sequence(genome.names[c], int(s), int(s) + 200).upper()
    oracle.close()


def test_saccer3_has_one_digest_in_every_format(mirror, tmp_path):
    genome = open_genome(mirror / "yeast/genomes/sacCer3.2bit")
    path = tmp_path / "sacCer3.fa.gz"
    with gzip.open(path, "wt", compresslevel=1) as handle:
        for name in sorted(genome.names, reverse=True):  # the order does not matter
            handle.write(f">{name} as FASTA\n{decode(genome.codes(name)).lower()}\n")
    assert open_genome(path).digest == genome.digest
    assert genome.digest == "2401a3ed472b" + genome.digest[12:]


def test_a_published_yeast_assembly(mirror):
    path = mirror / "yeast/genomes/CBS432.genome.fa.gz"
    genome = open_genome(path)
    truth = biopython(path)
    assert genome.names == tuple(truth)
    for name, sequence in truth.items():
        assert decode(genome.codes(name)) == sequence.upper()
    contig, start, rows = random_windows(genome, 2000, 200)
    for row, c, s in zip(rows, contig, start, strict=True):
        assert decode(row) == truth[genome.names[c]][s : s + 200].upper()


def test_soft_masked_mammal(mirror):
    path = mirror / "mammals/genomes/human.fa.gz"
    genome = open_genome(path)
    for name, sequence in biopython(path).items():
        letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
        np.testing.assert_array_equal(genome.soft_mask(name), letters >= ord("a"))
        assert set(decode(genome.codes(name)[:1000])) <= set("ACGTN")
    assert 0.3 < genome.soft_mask(0).mean() < 0.6
