"""Windows around alleles equal those cut from a contig in which the allele was put by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from variant_tools import CONTIGS, WINDOW, small_genome

from ssldata.genomes.onehot import decode
from sslmodels.variants.allele_windows import allele_windows


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return small_genome(tmp_path_factory.mktemp("genome"))


def by_hand(contig: str, start: int, replaced: int, allele: str, shift: int) -> str:
    """Return the window as the docs describe it, from the text of the changed contig."""
    text = CONTIGS[contig].upper()
    text = text[:start] + allele + text[start + replaced :]
    before = (WINDOW - len(allele)) // 2 - shift
    before = min(max(before, 0), WINDOW - len(allele))
    first = min(max(start - before, 0), len(text) - WINDOW)
    return text[first : first + WINDOW]


CHANGES = st.tuples(
    st.sampled_from(["chr1", "chrM"]),
    st.integers(0, 400),
    st.integers(0, WINDOW),
    st.text("ACGT", max_size=WINDOW),
)


@given(st.lists(CHANGES, min_size=1, max_size=20), st.integers(-11, 11))
def test_windows_equal_those_cut_by_hand(genome, changes, shift):
    fitting = []
    for contig, start, replaced, allele in changes:
        size = len(CONTIGS[contig])
        start = min(start, size)
        fitting.append((contig, start, min(replaced, size - start), allele))
    found = allele_windows(
        genome,
        contig=np.array([genome.index(contig) for contig, *_ in fitting]),
        start=np.array([start for _, start, *_ in fitting]),
        replaced=np.array([replaced for _, _, replaced, _ in fitting]),
        alleles=[allele for *_, allele in fitting],
        length=WINDOW,
        shift=shift,
    )
    assert [decode(row) for row in found] == [by_hand(*change, shift) for change in fitting]


@pytest.mark.parametrize(("length", "before"), [(24, 11), (25, 12)])
def test_a_single_base_lies_in_the_middle(genome, length, before):
    found = allele_windows(
        genome,
        contig=np.array([0]),
        start=np.array([100]),
        replaced=np.array([1]),
        alleles=["T"],
        length=length,
    )
    text = CONTIGS["chr1"].upper()
    assert decode(found[0]) == text[100 - before : 100] + "T" + text[101 : 100 - before + length]
