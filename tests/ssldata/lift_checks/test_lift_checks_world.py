"""The checks on a simulated clade: silent as it is, and loud where a fault is planted."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import ConfigError, InputError
from ssldata.building.build_inputs import TargetInputs, open_target
from ssldata.genomes.genome import open_genome
from ssldata.lift_checks.chain_identity import chain_finding, chain_identity
from ssldata.lift_checks.label_transport import (
    LabelTransport,
    audit_labels,
    covered,
    transport_finding,
)
from ssldata.lift_checks.motif_retention import (
    best_score,
    motif_retention,
    retention_finding,
    site_limit,
)
from ssldata.lift_checks.store_quality import quality_findings
from ssldata.project.project_file import Project, load_project
from ssldata.rows.intervals import Intervals, merge
from ssldata.simulation.clade_files import fasta_text, write_bytes
from ssldata.simulation.evolution import Motif
from ssldata.simulation.truth import load_world
from ssldata.store.store import Store, open_store

NAME = "relative1"


@pytest.fixture(scope="module")
def project(built_world: Path) -> Project:
    return load_project(built_world)


@pytest.fixture(scope="module")
def store(project: Project) -> Store:
    return open_store(project.store_path("alpha"))


@pytest.fixture(scope="module")
def target(project: Project) -> TargetInputs:
    return open_target(project, NAME)


def other_sequence(target: TargetInputs, folder: Path, *, exchanged: bool) -> TargetInputs:
    """Return the target with another sequence: turned contigs, or parts of two exchanged."""
    codes = [target.genome.codes(name).copy() for name in target.genome.names]
    if exchanged:
        first, second = np.argsort([-len(c) for c in codes])[:2]
        one, two = codes[first], codes[second]
        one[:12_000], two[:12_000] = two[:12_000].copy(), one[:12_000].copy()
    else:
        codes = [np.roll(c, 1_000) for c in codes]
    names = zip(target.genome.names, codes, strict=True)
    records = [(n, np.minimum(c, 3), np.where(c > 3, 2, 0).astype(np.uint8)) for n, c in names]
    write_bytes(folder / "other.fa", fasta_text(records, width=60))
    return replace(target, genome=open_genome(folder / "other.fa"))


# -- chains ------------------------------------------------------------------------------------


def test_a_right_chain_is_silent_and_its_identity_is_that_of_all_bases(
    target: TargetInputs, built_world: Path
) -> None:
    found = chain_identity(target)
    assert (found.mark, found.wrong_pairs) == ("pass", [])
    blocks = load_world(built_world).genome(NAME).blocks
    same = total = 0
    for _, contig, start, length, other, at, turn in blocks.tolist():
        ours = target.reference.codes(contig, start, start + length)
        low = at if turn > 0 else at - length + 1
        theirs = target.genome.codes(other, low, low + length)
        theirs = theirs if turn > 0 else np.where(theirs < 4, 3 - theirs, 4)[::-1]
        known = (ours < 4) & (theirs < 4)
        same, total = same + int((known & (ours == theirs)).sum()), total + int(known.sum())
    assert found.identity == pytest.approx(same / total, abs=0.005)
    assert found.chance == pytest.approx(0.26, abs=0.01)
    assert chain_identity(target) == found
    assert chain_identity(target, seed=1) != found


def test_another_version_of_the_sequence_is_found(target: TargetInputs, tmp_path: Path) -> None:
    found = chain_identity(other_sequence(target, tmp_path, exchanged=False))
    assert found.mark == "fail"
    assert found.identity == pytest.approx(found.chance, abs=0.02)
    assert found.unrelated.value == pytest.approx(1, abs=0.01)
    finding = chain_finding([found], {"x": "sizes differ"})
    assert finding.mark == "fail"
    assert "sizes differ" in finding.summary
    assert finding.numbers["wrong_chains"] == 2


def test_mixed_up_parts_of_contigs_are_found(target: TargetInputs, tmp_path: Path) -> None:
    found = chain_identity(other_sequence(target, tmp_path, exchanged=True))
    assert found.mark == "fail"
    assert found.unrelated.value is not None
    assert 0.1 < found.unrelated.value < 0.4


def test_shuffled_contigs_are_found_and_named(target: TargetInputs) -> None:
    """The names of two contigs exchanged in the chain, where the sizes happen to allow it."""
    index = target.index
    first, second = np.argsort(-target.genome.sizes[target.query_contigs])[:2].tolist()
    mixed = index.chain_query.copy()
    mixed[index.chain_query == first] = second
    mixed[index.chain_query == second] = first
    size = target.genome.sizes[target.query_contigs[mixed]].astype(np.int32)
    wrong = replace(index, chain_query=mixed, chain_query_size=size, source=None)
    fits = wrong.only(wrong.chain_query_end <= size)
    found = chain_identity(replace(target, index=fits))
    assert found.mark == "fail"
    assert found.wrong_pairs
    pairs = {(p.contig, p.other) for p in found.wrong_pairs}
    whole = {index.query_names[first], index.query_names[second]}
    assert {other for _, other in pairs} <= whole


# -- the whole ---------------------------------------------------------------------------------


def test_a_clean_clade_raises_no_alarm(store: Store, project: Project, built_world: Path) -> None:
    motif = Motif.of(load_world(built_world).motifs[0], 0.94).matrix
    findings = quality_findings(store, project, motifs={"alpha": motif, "beta": motif})
    marks = {f.check: f.mark for f in findings}
    assert set(marks) == {
        "quality.mapped", "quality.homologues", "quality.outliers", "quality.distance",
        "quality.chain", "quality.files", "quality.motif", "quality.effective-size",
    }  # fmt: skip
    assert set(marks.values()) <= {"pass", "note"}
    size = next(f for f in findings if f.check == "quality.effective-size").numbers
    loci, effective, copies = size["loci"], size["effective_size"], size["copies"]
    assert isinstance(loci, int)
    assert isinstance(effective, float)
    assert isinstance(copies, int)
    assert loci < effective < copies
    bounds = quality_findings(store)[-1].numbers
    low, high = bounds["effective_lowest"], bounds["effective_highest"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert low <= effective <= high


def test_a_store_alone_and_the_wrong_project(
    store: Store, project: Project, tmp_path: Path
) -> None:
    assert {f.mark for f in quality_findings(store)} <= {"pass", "note"}
    fewer = project.model_copy(update={"genomes": project.genomes[1:]})
    with pytest.raises(ConfigError, match=f"it lists no {NAME}"):
        quality_findings(store, fewer)
    names = ["simref", *store.genomes]
    (tmp_path / "tree").write_text(f"({','.join(f'{name}:9' for name in names)});")
    size = quality_findings(store, tree=tmp_path / "tree")[-1].numbers
    assert size["effective_size"] == pytest.approx(size["copies"], rel=1e-3)


# -- motifs ------------------------------------------------------------------------------------


def test_the_true_motif_is_kept_and_a_wrong_place_has_none(
    store: Store, target: TargetInputs, built_world: Path
) -> None:
    matrix = Motif.of(load_world(built_world).motifs[0], 0.94).matrix
    sources, lifted = store.sources(), store.homologues(NAME).liftover()
    found = motif_retention(matrix, sources, lifted, target, experiment="alpha", number=0)
    assert found.kept.low is not None
    assert found.kept.low > 0.7
    assert not found.lost
    assert retention_finding([found]).mark == "pass"
    aside = lifted | {
        "start": (lifted["start"] + 3_000) % 20_000, "end": (lifted["end"] + 3_000) % 20_000
    }  # fmt: skip
    wrong = motif_retention(matrix, sources, aside, target, experiment="alpha", number=0)
    assert wrong.lost
    assert retention_finding([found, wrong]).mark == "warn"


def test_the_limit_of_a_site_is_met_by_so_much_of_random_sequence() -> None:
    background = np.array([0.3, 0.2, 0.2, 0.3])
    scores = np.log2((Motif.of("CGTTACCYNG", 0.94).matrix + 0.01) / 1.04 / background)
    limit = site_limit(scores, background, chance=1e-3)
    codes = np.random.default_rng(0).choice(4, (100_000, 10), p=background).astype(np.uint8)
    forward = scores[np.arange(10), codes].sum(axis=1)
    assert 0.6e-3 < (forward >= limit).mean() <= 1.2e-3
    best = np.maximum(forward, scores[np.arange(10), 3 - codes[:, ::-1]].sum(axis=1))
    assert np.allclose(best_score(scores, codes), best)
    assert best_score(scores, np.full((1, 30), 4, np.uint8))[0] == -np.inf
    assert best_score(scores, codes[:2, :5]).tolist() == [-np.inf, -np.inf]


# -- labels ------------------------------------------------------------------------------------


def true_peaks(built_world: Path, aside: int = 0) -> list[tuple[str, int, int]]:
    world = load_world(built_world)
    leaf = world.genome(NAME)
    there = (leaf.sites[:, 0] >= 0) & (world.site_motif == 0)
    peaks = []
    for contig, start, _ in leaf.sites[there].tolist():
        middle = (start + 5 + aside) % int(leaf.sizes[contig])
        end = min(int(leaf.sizes[contig]), middle + 100)
        peaks.append((leaf.contigs[contig], max(0, middle - 100), end))
    return peaks


def audit(store: Store, path: Path, **options: str) -> LabelTransport:
    return audit_labels(store, path, genome=NAME, **options)


def test_labels_against_the_truth_are_what_a_count_of_bases_says(
    store: Store, built_world: Path, tmp_path: Path
) -> None:
    peaks = true_peaks(built_world)
    bed = tmp_path / "true.bed"
    bed.write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in peaks))
    found = audit(store, bed)
    group = store.homologues(NAME)
    bound = {(c, x) for c, a, b in peaks for x in range(a, b)}
    label = group.column("label")[:, 0] > 0
    starts, contigs = group.column("start"), group.contig_names(0, group.rows)
    right = taken = 0
    claimed = set()
    for i in np.flatnonzero(label).tolist():
        bases = {(contigs[i], x) for x in range(int(starts[i]), int(starts[i]) + 200)}
        claimed |= bases
        taken += 1
        right += len(bases & bound) > 100
    recalled = sum(
        len({(c, x) for x in range(a, b)} & claimed) > 0.5 * min(200, b - a) for c, a, b in peaks
    )
    assert (found.rows, found.right, found.peaks, found.found) == (
        taken, right, len(peaks), recalled
    )  # fmt: skip
    assert found.precision.value is not None
    assert found.precision.value > 0.7
    assert sum(b.rows for b in found.bins) == found.rows
    assert sum(b.right for b in found.bins) == found.right
    recalls = [b.recall.value for b in found.bins]
    assert recalls == sorted(recalls, reverse=True)  # type: ignore[type-var]
    assert recalls[0] == found.recall.value
    finding = transport_finding(found)
    assert finding.mark == "pass"


def test_peaks_in_wrong_places_fail(store: Store, built_world: Path, tmp_path: Path) -> None:
    bed = tmp_path / "aside.bed"
    peaks = true_peaks(built_world, aside=1_500)
    bed.write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in peaks))
    assert transport_finding(audit(store, bed)).mark == "fail"


def test_real_formats_are_read_and_unknown_contigs_counted(
    store: Store, built_world: Path, tmp_path: Path
) -> None:
    peaks = true_peaks(built_world)
    plain = tmp_path / "a.bed"
    plain.write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in peaks))
    narrow = tmp_path / "b.narrowPeak.gz"
    rows = [f"{c}\t{a}\t{b}\tp\t7\t.\t1.5\t-1\t-1\t{(b - a) // 2}" for c, a, b in peaks]
    lost = ["chrNone\t5\t205\tp\t7\t.\t1.5\t-1\t-1\t100"] * 3
    narrow.write_bytes(gzip.compress("\r\n".join(["track name=x", *rows, *lost, ""]).encode()))
    one, two = audit(store, plain), audit(store, narrow)
    assert (two.right, two.found) == (one.right, one.found)
    assert (two.counts["unknown_contig"], dict(two.unknown)) == (3, {"chrNone": 3})
    assert "3 peaks are on contigs" in transport_finding(two).summary
    with pytest.raises(ConfigError, match="--experiment gamma"):
        audit(store, plain, experiment="gamma")
    plain.write_text("chrNone\t1\t2\n")
    with pytest.raises(InputError, match="none of 1 peaks"):
        audit(store, plain)


def test_few_loci_are_not_judged(store: Store, built_world: Path, tmp_path: Path) -> None:
    bed = tmp_path / "true.bed"
    bed.write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in true_peaks(built_world)))
    found = replace(audit(store, bed), loci=10)
    assert transport_finding(found).mark == "note"


def test_covered_bases() -> None:
    def of(*rows: tuple[int, int, int]) -> Intervals:
        contig, start, end = np.array(rows, np.int64).reshape(-1, 3).T
        return Intervals(contig.astype(np.int32), start, end)

    union = merge(of((0, 10, 20), (0, 15, 30), (2, 0, 5)))
    asked = of((0, 0, 10), (0, 0, 15), (0, 12, 40), (1, 0, 99), (2, 4, 9), (0, 30, 31))
    assert covered(union, asked).tolist() == [0, 5, 18, 0, 1, 0]
    assert covered(of(), asked).tolist() == [0] * 6
