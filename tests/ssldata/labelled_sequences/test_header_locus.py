"""Names of sequences as places."""

from __future__ import annotations

import numpy as np
import pytest

from ssldata.genomes.onehot import encode, reverse_complement
from ssldata.labelled_sequences.header_locus import SYNTHETIC, loci_of
from ssldata.labelled_sequences.sequence_table import SequenceBatch

GENOME = encode("".join(np.random.default_rng(0).choice(list("ACGT"), 400)))


def batch(names: list[str], length: int = 10, width: int | list[int] | None = None):
    n = len(names)
    number = np.arange(n, dtype=np.int64)
    widths = np.broadcast_to(np.asarray(length if width is None else width, np.int64), n)
    codes = np.zeros((n, length), np.uint8)
    none = np.zeros(n, np.int64)
    return SequenceBatch(names, codes, np.zeros((n, 1), np.uint8), number, number, widths, none)


def test_bedtools_counts_from_0_and_gives_the_strand() -> None:
    loci = loci_of(batch(["chr21:100-110(+)", "chr2:5-15(-)", "chr21:0-10(.)", "p1::chr2:7-17(-)"]))
    assert loci.parsed
    assert loci.contigs == ("chr21", "chr2")
    assert loci.intervals.contig.tolist() == [0, 1, 0, 1]
    assert loci.intervals.start.tolist() == [100, 5, 0, 7]
    assert loci.intervals.end.tolist() == [110, 15, 10, 17]
    assert loci.strand.tolist() == [1, -1, 1, -1]
    assert loci.sizes.tolist() == [110, 17]


def test_samtools_counts_from_1() -> None:
    loci = loci_of(batch(["chr1:101-110", "chr1:1-10"]))
    assert loci.intervals.start.tolist() == [100, 0]
    assert loci.intervals.end.tolist() == [110, 10]


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["chr1:0-10(+)", "peak 7"], "'peak 7' is no locus"),
        (["chr1:0-10(+)", "chr1:1-10(+)"], "other than its name says"),
        (["chr1:0-9", "chr1:20-29"], "other than its name says"),
        (["chr1:0-10(+)", "chr1:0-10(.)"], "two sequences lie at one place"),
    ],
)
def test_otherwise_one_synthetic_contig(names: list[str], note: str) -> None:
    loci = loci_of(batch(names))
    assert not loci.parsed
    assert note in loci.note
    assert loci.contigs == (SYNTHETIC,)
    assert loci.intervals.start.tolist() == [0, 10]
    assert loci.strand.tolist() == [1, 1]


def test_two_strands_of_one_place_are_two_loci() -> None:
    assert loci_of(batch(["chr1:0-10(+)", "chr1:0-10(-)"])).parsed


@pytest.mark.parametrize("width", [9, 10, 11, 14, 15])
@pytest.mark.parametrize("strand", "+-")
def test_cropped_and_padded_sequences_keep_the_place_of_their_middle(
    width: int, strand: str, tmp_path
) -> None:
    """What is stored of a longer sequence is the genome at its locus; of a shorter, its inside."""
    from ssldata.labelled_sequences.sequence_table import TableOptions, read_whole

    start, length = 100, 10
    from ssldata.genomes.onehot import decode

    piece = GENOME[start : start + width]
    piece = piece if strand == "+" else reverse_complement(piece)
    path = tmp_path / "t.csv"
    path.write_text(f"header,sequence\nchr1:{start}-{start + width}({strand}),{decode(piece)}\n")
    table, _ = read_whole(path, TableOptions(length=length, fit="crop-or-pad"))
    loci = loci_of(table)
    here = GENOME[loci.intervals.start[0] : loci.intervals.end[0]]
    here = here if strand == "+" else reverse_complement(here)
    known = table.codes[0] < 4
    assert known.sum() == min(width, length)
    assert (here == table.codes[0])[known].all()
