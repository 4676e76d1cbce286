"""Every allele gets a status; contigs go by several names; what changes is trimmed."""

from __future__ import annotations

import pandas as pd
import pytest
from variant_tools import WINDOW, base, other, small_genome

from ssldata.genomes.genome import open_genome
from sslmodels.variants.variant_alleles import ContigNames, VariantStatus, read_alleles
from sslmodels.variants.variant_rows import rows_of_frame

S = VariantStatus


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return small_genome(tmp_path_factory.mktemp("genome"))


def alleles_of(genome, *rows):
    """Return the alleles of rows (contig, position, ref, alt)."""
    table = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"], dtype=str)
    return read_alleles(rows_of_frame(table), genome, ContigNames(genome), length=WINDOW)


A10 = base("chr1", 10)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("chr1", 10, A10, other(A10)), S.SCORED),
        (("chr1", 10, A10.lower(), other(A10).lower()), S.SCORED),
        (("chr1", 160, base("chr1", 160), other(base("chr1", 160))), S.SCORED),  # soft-masked
        (("chr1", 10, base("chr1", 10, 3), other(base("chr1", 10, 3))), S.SCORED),
        (("chr1", 10, A10, A10 + "ACGT"), S.SCORED),
        (("chr1", 10, base("chr1", 10, 5), A10), S.SCORED),
        (("chr1", 1, base("chr1", 1), other(base("chr1", 1))), S.SCORED),
        (("chr1", 400, base("chr1", 400), other(base("chr1", 400))), S.SCORED),
        (("1", 10, A10, other(A10)), S.SCORED),
        (("chr1", 10, "", "A"), S.MALFORMED),
        (("chr1", 10, "A", ""), S.MALFORMED),
        (("chr1", 10, "A", "C,,G"), S.MALFORMED),
        (("", 10, "A", "C"), S.MALFORMED),
        (("chr1", "x", "A", "C"), S.MALFORMED),
        (("chr1", "-1", "A", "C"), S.MALFORMED),
        (("chr1", "1.5", "A", "C"), S.MALFORMED),
        (("chr1", "1_0", A10, other(A10)), S.MALFORMED),
        (("chr1", "١٠", A10, other(A10)), S.MALFORMED),  # digits that are not ASCII
        (("chr1", 10, A10, "."), S.NO_ALTERNATIVE),
        (("chr1", 10, A10, "*"), S.OVERLAPPING_DELETION),
        (("chr1", 10, A10, "<DEL>"), S.SYMBOLIC),
        (("chr1", 10, A10, "<*>"), S.SYMBOLIC),
        (("chr1", 10, "N", "<DEL>"), S.SYMBOLIC),
        (("chr1", 10, A10, f"{A10}]chr2:5]"), S.SYMBOLIC),
        (("chr1", 10, A10, f"[chr2:5[{A10}"), S.SYMBOLIC),
        (("chr1", 10, A10, f"{A10}."), S.SYMBOLIC),
        (("chr1", 10, A10, f".{A10}"), S.SYMBOLIC),
        (("chr1", 10, A10, "N"), S.AMBIGUOUS_ALLELE),
        (("chr1", 10, "N", "A"), S.AMBIGUOUS_ALLELE),
        (("chr1", 10, A10, "R"), S.AMBIGUOUS_ALLELE),
        (("chr1", 10, "Y", "A"), S.AMBIGUOUS_ALLELE),
        (("chr1", 10, A10, "-"), S.AMBIGUOUS_ALLELE),
        (("chrX", 10, "A", "C"), S.UNKNOWN_CONTIG),
        (("chr1", 0, "A", "C"), S.OUTSIDE_CONTIG),
        (("chr1", 401, "A", "C"), S.OUTSIDE_CONTIG),
        (("chr1", 400, base("chr1", 400) + "A", "C"), S.OUTSIDE_CONTIG),
        (("chr1", 2**31 - 1, "A", "C"), S.OUTSIDE_CONTIG),
        (("chr1", 2**31, "A", "C"), S.MALFORMED),
        (("chr1", "9" * 5000, "A", "C"), S.MALFORMED),
        (("chr1", 255, "A", "C"), S.REFERENCE_N),
        (("chr1", 250, base("chr1", 250) + "A", base("chr1", 250)), S.REFERENCE_N),
        (("chr1", 10, other(A10), A10), S.REFERENCE_MISMATCH),
        (("chr1", 10, A10 + other(base("chr1", 11)), A10), S.REFERENCE_MISMATCH),
        (("chr1", 10, A10, A10), S.SAME_ALLELE),
        (("chr1", 10, A10, A10.lower()), S.SAME_ALLELE),
        (("chr1", 10, A10, A10 + "A" * (WINDOW + 1)), S.LONGER_THAN_WINDOW),
        (("chr1", 10, A10, A10 + other(base("chr1", 11)) * WINDOW), S.SCORED),
        (("chr2", 5, base("chr2", 5), other(base("chr2", 5))), S.SHORT_CONTIG),
        # Shorter than the window once it is deleted.
        (("chrM", 10, base("chrM", 10, 24), base("chrM", 10)), S.SCORED),
    ],
)
def test_status(genome, row, expected):
    alleles = alleles_of(genome, row)
    assert expected in [S(value) for value in alleles.status]
    # Beside another allele, in one row and in another, the answer is the same.
    beside = alleles_of(genome, ("chr1", 10, A10, other(A10)), row, ("chr1", 10, A10, other(A10)))
    assert beside.status[[0, -1]].tolist() == [0, 0]
    assert beside.status[1:-1].tolist() == alleles.status.tolist()


def test_a_contig_that_a_deletion_makes_shorter_than_the_window(tmp_path):
    path = tmp_path / "short.fa"
    path.write_text(">c\n" + "ACGTA" * 6 + "\n")
    genome = open_genome(path)
    text = "ACGTA" * 6
    rows = [("c", 3, text[2 : 2 + n], text[2]) for n in (7, 8)]
    assert alleles_of(genome, *rows).status.tolist() == [S.SCORED, S.SHORT_CONTIG]


def test_rows_of_several_alleles_are_split(genome):
    alleles = alleles_of(
        genome, ("chr1", 10, A10, f"{other(A10)},*,{A10}AC"), ("chr1", 5, "A", ".")
    )
    assert alleles.row.tolist() == [0, 0, 0, 1]
    assert alleles.of_rows(2).tolist() == [0, 3, 4]
    statuses = [S.SCORED, S.OVERLAPPING_DELETION, S.SCORED, S.NO_ALTERNATIVE]
    assert alleles.status.tolist() == statuses


def test_what_both_alleles_share_is_trimmed(genome):
    """Equal changes are equal, however many bases of context a file gives."""
    ref = base("chr1", 10, 4)
    middle = ref[:1] + other(ref[1]) + ref[2:]
    alleles = alleles_of(
        genome,
        ("chr1", 10, ref, middle),
        ("chr1", 11, ref[1], other(ref[1])),
        ("chr1", 10, ref, ref[:1]),
        ("chr1", 10, ref[:1], ref[:1] + "TT"),
    )
    assert alleles.start.tolist() == [10, 10, 10, 10]
    assert alleles.replaced == [ref[1], ref[1], ref[1:], ""]
    assert alleles.inserted == [other(ref[1]), other(ref[1]), "", "TT"]
    assert alleles.reference[0] == ref


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(("chr1", "chr1"), ("1", "chr1"), ("CHR1", "chr1"), ("Chr1", "chr1")),
        *(("MT", "chrM"), ("M", "chrM"), ("chrMT", "chrM")),
        *(("chr3", None), ("11", None), ("", None)),
    ],
)
def test_contigs_by_other_names(genome, name, found):
    names = ContigNames(genome)
    index = names.find(name)
    assert (genome.names[index] if index >= 0 else None) == found
    assert names.found == {name: found}


def test_a_name_that_two_contigs_fit_is_not_guessed(tmp_path):
    path = tmp_path / "two.fa"
    path.write_text(">chr1\nACGT\n>Chr1\nACGT\n>other\nACGT\n")
    genome = open_genome(path, aliases={"one": "other"})
    names = ContigNames(genome)
    found = [names.find(name) for name in ("chr1", "Chr1", "1", "one", "chrone")]
    assert found == [0, 1, -1, 2, -1]
