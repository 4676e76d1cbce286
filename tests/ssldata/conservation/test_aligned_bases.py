"""Aligned bases against a walk through the blocks of hand-made and of random chains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from chain_tools import CHAINS, index_of
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.conservation import aligned_bases as module
from ssldata.conservation.aligned_bases import aligned_bases, padded_windows
from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import N_CODE, encode

QUERY_SIZE = 5000
LETTERS = np.frombuffer(b"ACGTacgtN", np.uint8)


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    """A genome with qB before qA, and an N here and there."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("query") / "query.fa"
    lines = []
    for name in ("other", "qB", "qA"):
        lines += [f">{name}", rng.choice(LETTERS, QUERY_SIZE).tobytes().decode()]
    path.write_text("\n".join(lines) + "\n")
    return open_genome(path)


def contigs_of(index: ChainIndex, genome: Genome) -> np.ndarray:
    return np.array([genome.find(name) for name in index.query_names], np.int32)


def walked(text: str, genome: Genome, contig: str, size: int) -> ByteArray:
    """Return the aligned base of every base of a contig, written from the UCSC format."""
    out = np.full(size, N_CODE, np.uint8)
    chains = [c.splitlines() for c in text.strip().split("\n\n")]
    for header, *blocks in reversed(chains):  # the first of the file has the last word
        _, _, target, _, _, tstart, _, name, qsize, strand, qstart, _, _ = header.split()
        if target != contig or genome.find(name) < 0:
            continue
        sequence = genome.codes(name)
        assert len(sequence) == int(qsize)
        t, q = int(tstart), int(qstart)
        for line in blocks:
            length, *gaps = (int(word) for word in line.split())
            for _ in range(length):
                if strand == "+":
                    base = sequence[q]
                else:
                    base = sequence[int(qsize) - 1 - q]
                    base = 3 - base if base < N_CODE else base
                out[t] = base
                t, q = t + 1, q + 1
            if gaps:
                t, q = t + gaps[0], q + gaps[1]
    return out


def cut(whole: ByteArray, start: int, length: int) -> ByteArray:
    """Return a window of a contig, 4 outside."""
    at = np.arange(start, start + length)
    inside = (at >= 0) & (at < len(whole))
    out = np.full(length, N_CODE, np.uint8)
    out[inside] = whole[at[inside]]
    return out


def test_every_kind_of_gap(query: Genome) -> None:
    """In either genome; the minus strand, two contigs, a fill in a gap, bases aligned twice."""
    index = index_of(CHAINS)
    whole = walked(CHAINS, query, "tA", 10_000)
    assert set(whole[5000:5100].tolist()) == {0, 1, 2, 3, 4}  # N of the genome are 4, too
    start = np.arange(-300, 10_300, 37)
    contig = np.zeros(len(start), np.int32)
    found = aligned_bases(index, query, contig, start, 500, query_contigs=contigs_of(index, query))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [cut(whole, s, 500) for s in start.tolist()])
    assert (found < N_CODE).any()


def test_windows_of_a_contig_without_chains_have_nothing(query: Genome) -> None:
    index = index_of(CHAINS)
    known = contigs_of(index, query)
    names = aligned_bases(index, query, ["tA", "tZ"], [100, 100], 80, query_contigs=known)
    assert (names[0] < N_CODE).any()
    assert (names[1] == N_CODE).all()
    codes = aligned_bases(index, query, [-1, 0], [100, 100], 80, query_contigs=known)
    np.testing.assert_array_equal(codes, names[::-1])


def test_chains_of_contigs_that_are_left_out_hide_no_other(query: Genome) -> None:
    """Of two chains over one base the first counts, unless its contig is left out."""
    text = """\
chain 900 tA 1000 + 100 200 qA 5000 + 0 100 1
100

chain 80 tA 1000 + 150 250 qB 5000 - 0 100 2
100
"""
    index = index_of(text)
    known = contigs_of(index, query)
    both = aligned_bases(index, query, [0], [100], 150, query_contigs=known)[0]
    np.testing.assert_array_equal(both, walked(text, query, "tA", 1000)[100:250])
    np.testing.assert_array_equal(both[:100], query.codes("qA", 0, 100))
    known[index.query_names.index("qA")] = -1
    one = aligned_bases(index, query, [0], [100], 150, query_contigs=known)[0]
    assert (one[:50] == N_CODE).all()
    np.testing.assert_array_equal(one[100:], both[100:])
    assert (one[50:100] < N_CODE).any()


def test_no_windows(query: Genome) -> None:
    index = index_of(CHAINS)
    found = aligned_bases(index, query, [], [], 70, query_contigs=contigs_of(index, query))
    assert found.shape == (0, 70)
    assert padded_windows(query, [], [], 70).shape == (0, 70)


def test_portions_do_not_matter(query: Genome, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(CHAINS)
    known = contigs_of(index, query)
    start = np.random.default_rng(1).integers(-100, 6000, 100)
    contig = np.zeros(100, np.int32)
    there = aligned_bases(index, query, contig, start, 400, query_contigs=known)
    here = padded_windows(query, contig, start, 400)
    monkeypatch.setattr(module, "_WINDOWS", 7)
    monkeypatch.setattr(module, "_BASES", 90)
    np.testing.assert_array_equal(
        aligned_bases(index, query, contig, start, 400, query_contigs=known), there
    )
    np.testing.assert_array_equal(padded_windows(query, contig, start, 400), here)


def test_a_chain_beyond_its_contig_is_refused(query: Genome) -> None:
    index = index_of("chain 9 tA 9000 + 0 100 qA 9000 + 5950 6050 1\n100\n")
    with pytest.raises(InputError, match="not inside the contig"):
        aligned_bases(index, query, [0], [0], 50, query_contigs=contigs_of(index, query))


def test_padded_windows(query: Genome) -> None:
    start = [-700, -500, -1, 0, 4700, 4701, 4999, 5000, 6000]
    found = padded_windows(query, [1] * len(start), start, 300)
    whole = encode(query.path.read_text().split("\n")[3])
    np.testing.assert_array_equal(found, [cut(whole, s, 300) for s in start])
    for wrong in (-1, 3):
        with pytest.raises(InputError, match="window 1 has contig index"):
            padded_windows(query, [0, wrong], [0, 0], 10)


@dataclass(frozen=True)
class Walk:
    """A chain of tiny blocks."""

    target: str
    query: str
    strand: str
    tstart: int
    qstart: int
    blocks: list[tuple[int, int, int]]

    def text(self, score: int) -> str:
        sizes = sum(size for size, _, _ in self.blocks)
        tgap, qgap = (sum(b[side] for b in self.blocks[:-1]) for side in (1, 2))
        ends = self.tstart + sizes + tgap, self.qstart + sizes + qgap
        target = f"{self.target} 300 + {self.tstart} {ends[0]}"
        query = f"{self.query} {QUERY_SIZE} {self.strand} {self.qstart} {ends[1]}"
        lines = [f"chain {score} {target} {query} 1"]
        lines += [f"{size}\t{t}\t{q}" for size, t, q in self.blocks[:-1]]
        return "\n".join([*lines, str(self.blocks[-1][0])])


walks = st.lists(
    st.builds(
        Walk,
        target=st.sampled_from(["t1", "t2"]),
        query=st.sampled_from(["qA", "qB", "missing"]),
        strand=st.sampled_from("+-"),
        tstart=st.integers(0, 100),
        qstart=st.integers(0, 4000),
        blocks=st.lists(
            st.tuples(st.integers(1, 20), st.integers(0, 12), st.integers(0, 12)),
            min_size=1,
            max_size=6,
        ),
    ),
    min_size=1,
    max_size=5,
)
windows = st.lists(
    st.tuples(st.sampled_from(["t1", "t2", "t3"]), st.integers(-80, 350)), max_size=8
)


@given(chains=walks, asked=windows, length=st.integers(0, 90))
def test_equals_a_walk_through_the_blocks(
    query: Genome, chains: list[Walk], asked: list[tuple[str, int]], length: int
) -> None:
    text = "\n\n".join(chain.text(score) for score, chain in enumerate(chains)) + "\n"
    index = index_of(text)
    found = aligned_bases(
        index,
        query,
        [name for name, _ in asked],
        np.array([start for _, start in asked], np.int64),
        length,
        query_contigs=contigs_of(index, query),
    )
    assert found.shape == (len(asked), length)
    for row, (name, start) in zip(found, asked, strict=True):
        np.testing.assert_array_equal(row, cut(walked(text, query, name, 300), start, length))
