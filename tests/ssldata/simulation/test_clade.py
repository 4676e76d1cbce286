"""The simulated clade against itself: its files say what its truth says."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from oracle import read_fasta, read_text, reverse_complement

from ssldata.base.errors import InputError, MissingInputError
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import simulate_clade, small_clade
from ssldata.simulation.evolution import (
    Evolution,
    Motif,
    Sites,
    Tract,
    aligned_blocks,
    duplicate,
    invert,
    move,
)
from ssldata.simulation.truth import World, load_world

_IUPAC = dict(zip("ACGT", "ACGT", strict=True)) | {
    "Y": "CT",
    "R": "AG",
    "S": "CG",
    "K": "GT",
    "N": "ACGT",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return small_clade(tmp_path_factory.mktemp("clade") / "world")


@pytest.fixture(scope="module")
def sequences(world: World) -> dict[str, dict[str, str]]:
    project = load_project(world.project_file)
    found = {project.reference.name: read_fasta(project.reference.sequence)}
    found |= {genome.name: read_fasta(genome.sequence) for genome in project.genomes}
    return found


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def matched(sequence: str, motif: str) -> int:
    """Return how many bases of a sequence agree with a consensus."""
    return sum(base in _IUPAC[code] for base, code in zip(sequence, motif, strict=True))


def test_same_seed_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    again = small_clade(tmp_path / "again")
    other = small_clade(tmp_path / "other", seed=1)
    assert digests(again.folder) == digests(world.folder)
    assert len(digests(world.folder)) == 1 + 3 + 3 + 2 + 2
    differs = {n for n, d in digests(other.folder).items() if d != digests(world.folder)[n]}
    assert differs >= set(digests(world.folder)) - {"project.yaml"}


def test_truth_file_round_trip(world: World) -> None:
    read = load_world(world.folder)
    assert read.experiments == ("alpha", "beta")
    assert read.motifs == world.motifs
    np.testing.assert_array_equal(read.site_motif, world.site_motif)
    for old, new in zip(world.peaks, read.peaks, strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(
        (world.reference, *world.genomes), (read.reference, *read.genomes), strict=True
    ):
        assert (old.name, old.contigs, old.chain_contigs) == (
            new.name,
            new.contigs,
            new.chain_contigs,
        )
        for name in ("sizes", "blocks", "sites"):
            np.testing.assert_array_equal(getattr(old, name), getattr(new, name))


def test_fasta_holds_the_sizes_and_is_masked(world: World) -> None:
    project = load_project(world.project_file)
    paths = [project.reference.sequence, *(g.sequence for g in project.genomes)]
    assert {path.suffix for path in paths} == {".gz", ".fa"}
    for path, genome in zip(paths, (world.reference, *world.genomes), strict=True):
        found = read_fasta(path)
        assert list(found) == list(genome.contigs)
        assert [len(s) for s in found.values()] == genome.sizes.tolist()
        assert set("".join(found.values())) == set("ACGTN")
        raw = read_text(path)
        body = "".join(line for line in raw.splitlines() if not line.startswith(">"))
        assert 0.02 < sum(map(body.count, "acgt")) / len(body) < 0.3
        assert 0.001 < sum(map(body.count, "Nn")) / len(body) < 0.1
    names = set(world.reference.contigs)
    assert {"chrM", "chr1_random", "chrUn1", "chrUn2"} < names
    # Contigs do not end where a window ends: the rest must be handled.
    assert (world.reference.sizes % 200 != 0).any()
    assert world.reference.sizes.min() < 200


def parse_chains(path: Path) -> list[tuple[list[str], list[tuple[int, int, int]]]]:
    """Read a chain file with nothing but the published description of the format."""
    chains: list[tuple[list[str], list[tuple[int, int, int]]]] = []
    for line in read_text(path).splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "chain":
            assert len(words) == 13
            chains.append((words[1:], []))
        else:
            numbers = [int(word) for word in words] + [0, 0]
            chains[-1][1].append((numbers[0], numbers[1], numbers[2]))
    return chains


def test_chains_are_the_truth_base_by_base(world: World) -> None:
    project = load_project(world.project_file)
    sizes = dict(zip(world.reference.contigs, world.reference.sizes.tolist(), strict=True))
    strands: Counter[str] = Counter()
    double_gaps = 0
    for settings, genome in zip(project.genomes, world.genomes, strict=True):
        query_sizes = dict(zip(genome.chain_contigs, genome.sizes.tolist(), strict=True))
        found: Counter[tuple[str, int, str, int, int]] = Counter()
        identifiers, scores = [], []
        for header, blocks in parse_chains(settings.chain):
            score, name, size, plus, start, end, other, other_size, strand = header[:9]
            assert (plus, int(size)) == ("+", sizes[name])
            assert int(other_size) == query_sizes[other]
            t, q = int(start), int(header[9])
            for number, (length, t_gap, q_gap) in enumerate(blocks):
                last = number == len(blocks) - 1
                assert length > 0
                assert last == (t_gap == q_gap == 0)
                assert min(t_gap, q_gap) >= 0
                double_gaps += t_gap > 0 and q_gap > 0
                for step in range(length):
                    place = q + step if strand == "+" else query_sizes[other] - 1 - (q + step)
                    found[name, t + step, other, place, 1 if strand == "+" else -1] += 1
                t, q = t + length + t_gap, q + length + q_gap
            assert (t, q) == (int(end), int(header[10]))
            strands[strand] += 1
            identifiers.append(int(header[11]))
            scores.append(int(score))
        assert identifiers == list(range(1, len(identifiers) + 1))
        assert scores == sorted(scores, reverse=True)
        expected: Counter[tuple[str, int, str, int, int]] = Counter()
        for contig in world.reference.contigs:
            for copy in (0, 1):
                truth = world.base_map(genome.name, contig, copy=copy)
                for base in np.flatnonzero(truth.target_contig >= 0).tolist():
                    expected[
                        contig,
                        base,
                        genome.chain_contigs[truth.target_contig[base]],
                        int(truth.target_position[base]),
                        int(truth.target_strand[base]),
                    ] += 1
        assert found == expected
        assert set(found.values()) == {1}
    assert min(strands["+"], strands["-"]) > 3
    assert double_gaps > 3


def test_base_map_is_a_map_of_like_bases(
    world: World, sequences: dict[str, dict[str, str]]
) -> None:
    """Aligned bases agree as often as the divergence says; unaligned ones have the empty values."""
    reference = sequences[world.reference.name]
    for genome, distance in zip(world.genomes, (0.03, 0.09, 0.15), strict=True):
        same = total = bases = 0
        for index, contig in enumerate(world.reference.contigs):
            truth = world.base_map(genome.name, index)
            assert (truth.target_contig.dtype, truth.target_position.dtype) == (np.int16, np.int64)
            assert truth.target_strand.dtype == np.int8
            missing = truth.target_contig < 0
            assert (truth.target_position[missing] == -1).all()
            assert (truth.target_strand[missing] == 0).all()
            assert np.isin(truth.target_strand[~missing], (-1, 1)).all()
            bases += len(missing)
            for base in np.flatnonzero(~missing).tolist():
                letter = sequences[genome.name][genome.contigs[truth.target_contig[base]]][
                    truth.target_position[base]
                ]
                if truth.target_strand[base] < 0:
                    letter = reverse_complement(letter)
                if "N" not in (letter, reference[contig][base]):
                    total += 1
                    same += letter == reference[contig][base]
        assert total / bases > 0.8
        assert 0.6 * distance < 1 - same / total < 1.3 * distance


def test_peaks_stand_at_conserved_motifs(
    world: World, sequences: dict[str, dict[str, str]]
) -> None:
    reference = sequences[world.reference.name]
    for number, motif in enumerate(world.motifs):
        table = world.peaks[number]
        real = table[table[:, 3] >= 0]
        assert len(real) > 0.85 * len(table)
        assert (world.site_motif[real[:, 3]] == number).all()
        score: dict[str, list[int]] = {}
        for site in real[:, 3].tolist():
            for genome in (world.reference, *world.genomes):
                contig, start, strand = genome.sites[site].tolist()
                if contig < 0:
                    continue
                word = sequences[genome.name][genome.contigs[contig]][start : start + len(motif)]
                word = word if strand > 0 else reverse_complement(word)
                score.setdefault(genome.name, []).append(matched(word, motif))
        random = [
            matched(reference["chr1"][at : at + len(motif)], motif)
            for at in range(0, 20_000, len(motif))
        ]
        for name, values in score.items():
            assert np.mean(values) > 0.85 * len(motif), name
            assert np.mean(values) > np.mean(random) + 3
        kept = [len(score[genome.name]) for genome in world.genomes]
        assert min(kept) > 0.7 * len(real)
        assert min(kept) < len(real)


def test_summits_lie_within_some_bases_of_their_site(world: World) -> None:
    table = world.peaks[0]
    real = table[table[:, 3] >= 0]
    at = world.reference.sites[real[:, 3]]
    # A duplicated site has a second peak elsewhere.
    near = (at[:, 0] == real[:, 0]) & (np.abs(at[:, 1] - real[:, 1]) < 45)
    assert near.mean() > 0.9
    assert (real[:, 2] - real[:, 1] == 1).all()


def test_peak_files_lie_on_the_genome(world: World) -> None:
    project = load_project(world.project_file)
    sizes = dict(zip(world.reference.contigs, world.reference.sizes.tolist(), strict=True))
    summits = read_text(project.experiments[0].peaks).splitlines()
    whole = read_text(project.experiments[1].peaks).splitlines()
    assert (len(summits), len(whole)) == (len(world.peaks[0]), len(world.peaks[1]))
    for line, columns in ((line, 6) for line in summits):
        fields = line.split("\t")
        assert len(fields) == columns
        assert int(fields[2]) - int(fields[1]) == 1
        assert int(fields[2]) <= sizes[fields[0]]
    for line in whole:
        fields = line.split("\t")
        assert len(fields) == 10
        name = project.reference.aliases[fields[0]]
        assert 0 <= int(fields[1]) < int(fields[2]) <= sizes[name]
        assert int(fields[1]) + int(fields[9]) < int(fields[2])
    scores = [int(line.split("\t")[4]) for line in summits]
    assert scores == sorted(scores, reverse=True)
    assert max(scores) <= 1000
    # One summit on the border of two windows.
    assert any(int(line.split("\t")[1]) % 200 == 0 for line in summits)


def test_project_file_is_whole(world: World) -> None:
    project = load_project(world.project_file)
    assert project.split.test == ["chr4"]
    assert project.split.validation == ["chr3"]
    assert project.training.experiments == ["alpha"]
    assert [e.width for e in project.experiments] == [200, 200]
    assert [g.distance for g in project.genomes] == [0.03, 0.09, 0.15]
    for path in (
        project.reference.sequence,
        *(e.peaks for e in project.experiments),
        *(g.sequence for g in project.genomes),
        *(g.chain for g in project.genomes),
    ):
        assert path.is_file()
    assert set(project.genomes[1].aliases.values()) == set(world.genomes[1].contigs)


def test_one_genome_and_other_sizes(tmp_path: Path) -> None:
    world = simulate_clade(
        tmp_path, seed=3, contigs=5, contig_size=12_000, genomes=1, peaks=(30, 10), nearest=0.1
    )
    assert [g.name for g in world.genomes] == ["relative1"]
    assert load_project(tmp_path).split.test == ["chr5"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"contigs": 2}, "contigs=2"),
        ({"genomes": 0}, "genomes=0"),
        ({"peaks": (3, 40)}, r"peaks=\(3, 40\)"),
        ({"peaks": (8000, 40)}, "do not fit"),
    ],
)
def test_impossible_options(tmp_path: Path, changes: dict[str, int], word: str) -> None:
    with pytest.raises(InputError, match=word):
        small_clade(tmp_path, **changes)
    assert not any(tmp_path.iterdir())


def test_foreign_folders_are_left_alone(tmp_path: Path, world: World) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something other than a simulated clade"):
        small_clade(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="found a file"):
        small_clade(tmp_path / "thesis.txt")
    before = digests(world.folder)
    small_clade(world.folder)
    assert digests(world.folder) == before


def test_missing_and_foreign_truth(tmp_path: Path, world: World) -> None:
    with pytest.raises(MissingInputError, match=r"truth\.npz"):
        load_world(tmp_path)
    np.savez(tmp_path / "truth.npz", version=np.int64(99))
    with pytest.raises(InputError, match="found 99"):
        load_world(tmp_path)
    with pytest.raises(InputError, match="relative1, relative2"):
        world.genome("mouse")


def tract(name: str, size: int, first: int, rng: np.random.Generator) -> Tract:
    return Tract(
        name,
        rng.integers(0, 4, size).astype(np.uint8),
        np.arange(first, first + size, dtype=np.int64),
        np.ones(size, np.int8),
        np.full(size, -1, np.int32),
        np.zeros(size, bool),
    )


@pytest.mark.parametrize("seed", range(5))
def test_aligned_blocks_are_maximal_and_complete(seed: int) -> None:
    """Against the obvious dictionary from base ids, after every kind of change."""
    rng = np.random.default_rng(seed)
    none = Sites(
        (Motif.of("ACGT", 0.9),), np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64)
    )
    evolution = Evolution(none, next_origin=700, indels=0.5, long_range=(15, 30))
    old = [tract("a", 400, 0, rng), tract("b", 300, 400, rng)]
    new = [invert(old[0], 50, 120), old[1]]
    new[0], new[1] = move(new[0], 200, 260, new[1], 33)
    new[1] = duplicate(new[0], 20, 90, new[1], 100)
    new = evolution.branch([new[1].inverted(), new[0]], 0.1, rng)
    old = evolution.branch(old, 0.05, rng)

    expected: set[tuple[int, ...]] = set()
    for copy in (0, 1):
        place = {
            int(t.origin[i]): (number, i, int(t.strand[i]))
            for number, t in enumerate(new)
            for i in range(len(t))
            if bool(t.duplicate[i]) == bool(copy)
        }
        for number, t in enumerate(old):
            for i in range(len(t)):
                if int(t.origin[i]) in place:
                    contig, at, strand = place[int(t.origin[i])]
                    expected.add((copy, number, i, contig, at, strand * int(t.strand[i])))
    blocks = aligned_blocks(old, new, evolution.next_origin).tolist()
    found = [
        (copy, number, start + step, contig, at + turn * step, turn)
        for copy, number, start, length, contig, at, turn in blocks
        for step in range(length)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert len(expected) > 500
    for first, second in itertools.pairwise(blocks):
        copy, number, start, length, contig, at, turn = first
        assert [copy, number, start + length, contig, at + turn * length, turn] != [
            *second[:3],
            *second[4:],
        ]
    assert {block[6] for block in blocks} == {-1, 1}
    assert {block[0] for block in blocks} == {0, 1}


def test_inverting_twice_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    before = tract("a", 100, 0, rng)
    after = before.inverted().inverted()
    for name in ("codes", "origin", "strand", "site", "duplicate"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    np.testing.assert_array_equal(before.inverted().codes, 3 - before.codes[::-1])


def test_motif_probabilities() -> None:
    motif = Motif.of("ARN", 0.9)
    np.testing.assert_allclose(motif.matrix.sum(axis=1), 1)
    np.testing.assert_allclose(motif.matrix[0], [0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3])
    np.testing.assert_allclose(motif.matrix[1], [0.45, 0.05, 0.45, 0.05])
    np.testing.assert_allclose(motif.matrix[2], 0.25)
    drawn = motif.draw(np.zeros(20_000, np.int64), np.random.default_rng(0))
    assert abs((drawn == 0).mean() - 0.9) < 0.01
