"""Windows of contigs, BED lines and store rows: which, in which order, with which sequence."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import ConfigError, InputError, MissingInputError, StoreError
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode, reverse_complement
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store
from sslmodels.prediction import window_sources
from sslmodels.prediction.window_sources import BedWindows, ContigWindows, StoreWindows

LENGTH = 10


class Readings:
    """Scores a window by what it reads, so that tests see the sequences: models 1, outputs L."""

    def rows(self, codes):
        return codes[None].astype(np.float32)

    def along(self, codes, stride):
        return self.rows(np.lib.stride_tricks.sliding_window_view(codes, LENGTH)[::stride])


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    rng = np.random.default_rng(0)
    contigs = {
        "chr1": 1000,
        "short": 9,
        "exact": 10,
        "chr2": 503,
        **{f"r{i}": 12 for i in range(5)},
    }
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    with path.open("w") as handle:
        for name, size in contigs.items():
            codes = rng.integers(0, 4, size).astype(np.uint8)
            codes[size // 2 : size // 2 + size // 100] = 4
            handle.write(f">{name}\n{decode(codes)}\n")
    return open_genome(path)


def whole(source):
    """Return all columns of a source, its sequences, and the windows with an N."""
    blocks = list(source.blocks())
    scored = [source.score(block, Readings()) for block in blocks]
    columns = [np.concatenate([getattr(b, k) for b in blocks]) for k in ("contig", "start", "end")]
    codes = np.concatenate([scores[0] for scores, _ in scored], axis=0).astype(np.uint8)
    return columns, codes, sum(n for _, n in scored), blocks


@pytest.mark.parametrize("stride", [1, 7, 10, 30, 5000])
@pytest.mark.parametrize("block", [17, 100, 2**16])
def test_windows_along_contigs(genome, stride, block, monkeypatch):
    monkeypatch.setattr(window_sources, "BLOCK", block)
    source = ContigWindows(genome, length=LENGTH, stride=stride)
    (contig, start, end), codes, with_n, blocks = whole(source)
    expected = [
        (i, first)
        for i, size in enumerate(genome.sizes.tolist())
        for first in range(0, size - LENGTH + 1, stride)
    ]
    assert list(zip(contig.tolist(), start.tolist(), strict=True)) == expected
    assert (end - start == LENGTH).all()
    np.testing.assert_array_equal(codes, genome.gather(contig, start, LENGTH))
    assert with_n == (codes == 4).any(axis=1).sum()
    assert with_n > 0 or stride > LENGTH
    assert all(len(b) == block for b in blocks[:-1])
    ends = [np.flatnonzero(contig == i)[-1:] for i in range(len(genome.names))]
    left = sum(int(genome.sizes[i] - end[e[0]]) for i, e in enumerate(ends) if len(e))
    assert source.skipped == {"contigs_shorter_than_a_window": 1, "bases_at_contig_ends": left}


def test_a_second_pass_is_the_same(genome):
    source = ContigWindows(genome, length=LENGTH, stride=3)
    first, skipped = whole(source), dict(source.skipped)
    again = whole(source)
    np.testing.assert_array_equal(first[0], again[0])
    assert dict(source.skipped) == skipped


def test_chosen_contigs_only(genome):
    source = ContigWindows(genome, length=LENGTH, stride=5, contigs=["chr2", "exact"])
    (contig, _, _), *_ = whole(source)
    assert {genome.names[i] for i in contig} == {"chr2", "exact"}
    with pytest.raises(InputError, match="no contig 'chr9'"):
        ContigWindows(genome, length=LENGTH, stride=5, contigs=["chr9"])


def bed(tmp_path: Path, text: str, name: str = "in.bed") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


LINES = (
    "# a comment\ntrack name=x\n\n"
    "chr1\t100\t300\tfirst\t7\t-\n"
    "chr1 5 5\n"  # an empty interval has a centre
    "chr1\t0\t9\n"  # leaves the contig at its start
    "chr2\t500\t503\n"  # and at its end
    "chr2\t498\t499\tlast\n"
    "chrUn\t5\t9\n"
    "chr1\t4000\t4200\n"
)


@pytest.mark.parametrize("name", ["in.bed", "in.bed.gz", "crlf.bed"])
def test_windows_around_intervals(genome, tmp_path, name):
    text = LINES.replace("\n", "\r\n") if name == "crlf.bed" else LINES
    source = BedWindows(bed(tmp_path, text, name), genome, length=LENGTH)
    (_, start, end), codes, _, blocks = whole(source)
    assert list(zip(start.tolist(), end.tolist(), strict=True)) == [(100, 300), (5, 5), (498, 499)]
    assert [n for b in blocks for n in b.names] == ["first", ".", "last"]
    assert [int(s) for b in blocks for s in b.strand] == [-1, 1, 1]
    np.testing.assert_array_equal(codes[0], reverse_complement(genome.codes("chr1", 195, 205)))
    np.testing.assert_array_equal(codes[1], genome.codes("chr1", 0, 10))
    np.testing.assert_array_equal(codes[2], genome.codes("chr2", 493, 503))
    assert source.skipped == {"contig_not_in_the_genome": 1, "window_leaves_the_contig": 3}
    only = BedWindows(bed(tmp_path, LINES), genome, length=LENGTH, contigs=["chr2"])
    assert len(whole(only)[1]) == 1
    assert only.skipped["contig_not_chosen"] == 4


def test_blocks_of_intervals(genome, tmp_path, monkeypatch):
    lines = "".join(f"chr1\t{i}\t{i + 20}\n" for i in range(0, 900, 3))
    source = BedWindows(bed(tmp_path, lines), genome, length=LENGTH)
    once = whole(source)
    monkeypatch.setattr(window_sources, "BLOCK", 7)
    parts = whole(source)
    np.testing.assert_array_equal(once[0], parts[0])
    np.testing.assert_array_equal(once[1], parts[1])
    assert len(parts[3]) == -(-300 // 7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t5", "line 1: 'chr1.t5'; expected contig, start, end"),
        ("chr1\tx\t9", "expected contig, start, end"),
        ("chr1\t1.5\t9", "expected contig, start, end"),
        ("chr1\t-5\t9", "interval -5-9; expected 0 ≤ start ≤ end"),
        ("chr1\t9\t5", "interval 9-5"),
        ("chr1\t5\t9\tn\t0\tx", r"strand 'x'; expected \+, - or \."),
    ],
)
def test_lines_that_are_no_intervals_are_refused(genome, tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        whole(BedWindows(bed(tmp_path, f"{line}\n"), genome, length=LENGTH))


def test_files_that_are_no_bed_are_refused(genome, tmp_path):
    with pytest.raises(MissingInputError, match="expected a BED file"):
        BedWindows(tmp_path / "gone.bed", genome, length=LENGTH)
    path = bed(tmp_path, "chr1\t100\t300\n" * 1000, "cut.bed.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged or truncated"):
        whole(BedWindows(path, genome, length=LENGTH))
    (tmp_path / "b.bed").write_bytes(b"chr1\t1\t\xff\n")
    with pytest.raises(InputError, match="not a text file"):
        whole(BedWindows(tmp_path / "b.bed", genome, length=LENGTH))


@pytest.fixture(scope="module")
def store(built_world):
    return open_store(load_project(built_world).store_path("alpha"))


@pytest.mark.parametrize("group", ["reference", "homologs/relative1"])
@pytest.mark.parametrize("split", ["train", "validation", "test", None])
def test_rows_of_a_store(store, group, split, monkeypatch):
    monkeypatch.setattr(window_sources, "BLOCK", 50)
    source = StoreWindows(store, length=LENGTH, group=group, split=split)
    columns, codes, _, blocks = whole(source)
    rows = store.group(group)
    number = {"train": 0, "validation": 1, "test": 2}.get(split)
    wanted = np.arange(rows.rows)
    if number is not None:
        wanted = np.flatnonzero(rows.column("split") == number)
    for found, name in zip(columns, ("contig", "start", "end"), strict=True):
        np.testing.assert_array_equal(found, rows.column(name)[wanted])
    lead = (rows.length - LENGTH) // 2
    np.testing.assert_array_equal(codes, rows.take_codes(wanted)[:, lead : lead + LENGTH])
    strand = np.concatenate([b.strand for b in blocks])
    np.testing.assert_array_equal(strand, rows.column("strand")[wanted])


def test_rows_that_are_not_there_are_refused(store):
    with pytest.raises(ConfigError, match="expected train, validation or test"):
        StoreWindows(store, length=LENGTH, split="dev")
    with pytest.raises(StoreError, match="is not in the store"):
        StoreWindows(store, length=LENGTH, group="homologs/nobody")
    with pytest.raises(ConfigError, match="a model of 1000 b"):
        StoreWindows(store, length=1000)
