"""A built store against the truth of a simulated clade, row by row.

The expectation comes from :mod:`oracle`, which shares no code with the builder.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import Lifted, Oracle, Row

from ssldata.building.build_store import build_project
from ssldata.chains.chain_index import load_chain
from ssldata.liftover.lift import lift
from ssldata.liftover.lift_result import LiftOptions, Status
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import small_clade
from ssldata.simulation.truth import World
from ssldata.store.store import RowGroup, Store, open_store

SEEDS = (0, 1, 5)
#: Settings of ``windows`` that are checked, by a name for the test report.
WINDOWS: dict[str, dict[str, Any]] = {
    "rebin": {"mode": "rebin"},
    "rebin with context": {"mode": "rebin", "context": 500},
    "lift-bins": {"mode": "lift-bins"},
    "lift-bins with context": {"mode": "lift-bins", "context": 500},
    "odd settings": {
        "mode": "rebin",
        "size": 130,
        "min_overlap": 0.25,
        "n_policy": "keep",
        "partial_in_test": False,
        "exclude": ["chrM", "chr1"],
        "exclude_target": ["chr2*", "scaffold_1"],
    },
    "odd bins": {
        "mode": "lift-bins",
        "size": 101,
        "context": 151,
        "min_overlap": 0.8,
        "n_policy": "keep",
        "exclude_target": ["chr2*", "scaffold_1"],
    },
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, World]:
    folder = tmp_path_factory.mktemp("clades")
    return {seed: small_clade(folder / f"world{seed}", seed=seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def built(
    worlds: dict[int, World], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Store, Oracle]]:
    """Return a function that builds one store of a world, and its oracle, once per settings."""
    done: dict[str, tuple[Store, Oracle]] = {}

    def build(seed: int, *, joint: bool = False, **changes: dict[str, Any]) -> tuple[Store, Oracle]:
        key = f"{seed} {joint} {changes}"
        if key not in done:
            project = configured(worlds[seed], joint=joint, **changes)
            folder = tmp_path_factory.mktemp("store")
            project = project.model_copy(
                update={"store": project.store.model_copy(update={"path": folder})}
            )
            experiments = ["alpha", "beta"] if joint else ["alpha"]
            build_project(project, experiments=experiments)
            store = open_store(folder / ("joint.zarr" if joint else "alpha.zarr"))
            done[key] = store, Oracle(project, worlds[seed], experiments)
        return done[key]

    return build


def configured(world: World, *, joint: bool = False, **changes: dict[str, Any]) -> Project:
    """Return the project of a world with some settings of some sections changed."""
    values = load_project(world.project_file).model_dump()
    for section, settings in changes.items():
        values[section] |= settings
    values["store"]["joint"] = joint
    return Project.model_validate(values)


def rows_of(group: RowGroup) -> list[Row]:
    """Return the rows of a group of a built store, sequences as letters."""
    letters = np.array(list("ACGTN"))
    columns = [
        group.column(name).tolist()
        for name in ("contig", "start", "end", "strand", "label", "coverage", "split", "source",
                     "locus")
    ]  # fmt: skip
    codes = group.codes(0, group.rows)
    return [
        Row(group.contigs[contig], start, end, strand, tuple(label), tuple(coverage), split,
            source, locus, "".join(letters[sequence]))
        for contig, start, end, strand, label, coverage, split, source, locus, sequence in zip(
            *columns, codes, strict=True
        )
    ]  # fmt: skip


def same_rows(found: list[Row], expected: list[Row]) -> None:
    """Compare as sorted lists, and show the first difference without pages of sequence."""
    for one, other in zip(sorted(found), sorted(expected), strict=False):
        assert one == other
    assert len(found) == len(expected)


def check_order(group: RowGroup) -> None:
    """Rows stand in their ranges: train by class, then validation and test in genome order."""
    split = group.column("split")
    positive = group.column("label").any(axis=1)
    ranges = group.ranges
    assert list(ranges) == ["positive", "negative", "validation", "test"]
    assert [ranges["positive"][0], *(ranges[name][1] for name in ranges)] == [
        0,
        *(ranges[name][0] for name in list(ranges)[1:]),
        group.rows,
    ]
    for name, wanted in (("positive", 0), ("negative", 0), ("validation", 1), ("test", 2)):
        first, end = ranges[name]
        assert (split[first:end] == wanted).all()
        if wanted == 0:
            assert (positive[first:end] == (name == "positive")).all()
        else:
            place = list(
                zip(
                    group.column("contig")[first:end],
                    group.column("start")[first:end],
                    strict=True,
                )
            )
            assert place == sorted(place)
    # Whoever reads the first rows of a train range must get a sample of all contigs.
    first, end = ranges["positive"]
    start = group.column("start")[first:end]
    if end - first > 20:
        assert (np.diff(start) < 0).sum() > (end - first) / 4


def check_liftover(group: RowGroup, expected: list[Lifted], contigs: tuple[str, ...]) -> None:
    found = group.liftover()
    assert [Status(s).name for s in found["status"].tolist()] == [e.status for e in expected]
    for index, wanted in enumerate(expected):
        assert int(found["aligned"][index]) == wanted.aligned
        assert int(found["pieces"][index]) == wanted.pieces
        assert int(found["loci"][index]) == wanted.loci
        if wanted.status == "MAPPED":
            assert (
                contigs[int(found["contig"][index])],
                int(found["start"][index]),
                int(found["end"][index]),
                int(found["strand"][index]),
            ) == (wanted.contig, wanted.start, wanted.end, wanted.strand)
            assert found["identity"][index] == pytest.approx(wanted.identity, abs=1e-6)
        else:
            assert int(found["contig"][index]) == -1


def check_store(store: Store, oracle: Oracle) -> None:
    """Compare everything a store holds with what the truth says."""
    reference = store.group("reference")
    same_rows(rows_of(reference), oracle.expected_reference.rows)
    check_order(reference)
    assert (reference.column("weight") == 1).all()
    counts = store.ledger["reference"]["counts"]
    for reason in ("excluded_contig", "off_contig", "has_n", "partial_left_out"):
        assert counts[reason] == oracle.expected_reference.dropped[reason], reason
    assert counts["loci"] == oracle.loci

    sources = store.sources()
    found = zip(
        (reference.contigs[contig] for contig in sources["contig"].tolist()),
        *(sources[name].tolist() for name in ("start", "end", "label", "split", "locus")),
        strict=True,
    )
    assert [(c, s, e, tuple(x), p, u) for c, s, e, x, p, u in found] == [
        (s.contig, s.start, s.end, s.label, s.split, s.locus) for s in oracle.sources
    ]

    assert sorted(store.genomes) == sorted(oracle.genomes)
    for name in store.genomes:
        group = store.group(f"homologs/{name}")
        lifted = oracle.lift(name)
        expected = oracle.homologues(name)
        check_liftover(group, lifted, group.contigs)
        same_rows(rows_of(group), expected.rows)
        check_order(group)
        counts = store.ledger[f"homologs/{name}"]["counts"]
        for reason in ("excluded_contig", "off_contig", "has_n", "two_splits", "near_held_out"):
            assert counts.get(reason, 0) == expected.dropped[reason], reason
        source = group.column("source")
        for column, value in (
            ("aligned_fraction", [x.aligned for x in lifted]),
            ("identity", [x.identity for x in lifted]),
        ):
            wanted = np.array(value, dtype=np.float64)
            if column == "aligned_fraction":
                wanted /= [s.end - s.start for s in oracle.sources]
            np.testing.assert_allclose(group.column(column), wanted[source], atol=1e-6)


@pytest.mark.parametrize("settings", WINDOWS)
def test_every_row(built: Callable[..., tuple[Store, Oracle]], settings: str) -> None:
    check_store(*built(0, windows=WINDOWS[settings]))


@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
@pytest.mark.parametrize("seed", SEEDS[1:])
def test_every_row_of_other_worlds(
    built: Callable[..., tuple[Store, Oracle]], seed: int, mode: str
) -> None:
    check_store(*built(seed, windows={"mode": mode}))


@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
def test_every_row_of_a_joint_store(built: Callable[..., tuple[Store, Oracle]], mode: str) -> None:
    store, oracle = built(0, joint=True, windows={"mode": mode})
    check_store(store, oracle)
    labels = store.group("reference").column("label")
    assert labels.shape[1] == 2
    assert (labels.sum(axis=0) > 5).all()


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
def test_every_row_where_half_covered_bins_are_negatives(
    built: Callable[..., tuple[Store, Oracle]], mode: str, joint: bool
) -> None:
    options = {"joint": joint, "windows": {"mode": mode}}
    store, oracle = built(0, **options, negatives={"half_covered": "negative"})
    check_store(store, oracle)
    reference, usual = (x.group("reference") for x in (store, built(0, **options)[0]))
    first, end = reference.ranges["negative"]
    covered = reference.column("coverage")[first:end].any(axis=1)
    assert covered.sum() == reference.rows - usual.rows > 0
    assert store.ledger["reference"]["counts"]["partial_left_out"] == 0


def test_half_covered_bins_are_drawn_for_the_pool_like_others(
    built: Callable[..., tuple[Store, Oracle]],
) -> None:
    whole, _ = built(0, negatives={"half_covered": "negative"})
    counts, pool = whole.ledger["reference"]["counts"], 150
    first, end = whole.group("reference").ranges["negative"]
    drawn, _ = built(0, negatives={"half_covered": "negative", "pool": pool})
    group = drawn.group("reference")
    assert np.diff(group.ranges["negative"]) == pool
    left_out = drawn.ledger["reference"]["counts"]["negatives_left_out"]
    assert left_out == end - first - pool > counts["negatives_left_out"] == 0
    covered = group.column("coverage")[slice(*group.ranges["negative"])].any(axis=1).sum()
    among = whole.group("reference").column("coverage")[first:end].any(axis=1).mean()
    assert 0 < covered < 3 * among * pool


@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
def test_no_half_covered_bin_is_lifted_as_a_negative(
    worlds: dict[int, World], tmp_path: Path, mode: str
) -> None:
    negatives = {"half_covered": "negative", "source": "both", "ratio": 100.0}
    project = configured(
        worlds[0], windows={"mode": mode}, negatives=negatives, store={"path": tmp_path}
    )
    build_project(project, experiments=["alpha"])
    store = open_store(tmp_path / "alpha.zarr")
    reference, sources = store.group("reference"), store.sources()
    pool = slice(*reference.ranges["negative"])
    plain = ~reference.column("coverage")[pool].any(axis=1)
    assert 0 < plain.sum() < len(plain)
    lifted = ~sources["label"].any(axis=1)
    for name in ("contig", "start"):
        np.testing.assert_array_equal(sources[name][lifted], reference.column(name)[pool][plain])


@pytest.mark.parametrize("gap", [3, 100])
def test_every_row_with_other_liftover(
    built: Callable[..., tuple[Store, Oracle]], gap: int
) -> None:
    check_store(*built(0, liftover={"gap": gap, "min_aligned": 0.8}))


def test_the_worlds_hold_every_case(built: Callable[..., tuple[Store, Oracle]]) -> None:
    """What was compared above was worth comparing: each rule decided something."""
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        for mode in ("rebin", "lift-bins"):
            _, oracle = built(seed, windows={"mode": mode})
            seen["peaks on excluded contigs"] += oracle.excluded_peaks
            seen["overlapping peaks"] += len(oracle.peaks) - oracle.loci
            seen["clipped peaks"] += sum(end - start < 200 for _, start, end, _ in oracle.peaks)
            seen.update({f"reference {k}": v for k, v in oracle.expected_reference.dropped.items()})
            for row in oracle.expected_reference.rows:
                seen[f"reference split {row.split} label {row.label[0]}"] += 1
                seen["half covered"] += row.coverage == (100,)
            for coverage, _ in oracle.bins.values():
                seen["half covered"] += coverage == (100,)
            for name in oracle.genomes:
                expected = oracle.homologues(name)
                seen.update({f"{mode} {k}": v for k, v in expected.dropped.items()})
                for row in expected.rows:
                    seen[f"{mode} strand {row.strand}"] += 1
                    seen[f"{mode} split {row.split}"] += 1
                for lifted in oracle.lift(name):
                    seen[lifted.status] += 1
                    seen["merged pieces"] += lifted.status == "MAPPED" and lifted.pieces > 1
    for case in (
        "peaks on excluded contigs",
        "overlapping peaks",
        "clipped peaks",
        "half covered",
        "reference excluded_contig",
        "reference has_n",
        "reference partial_left_out",
        *(f"reference split {split} label {label}" for split in (0, 1, 2) for label in (0, 1)),
        "rebin has_n",
        "rebin two_splits",
        "lift-bins has_n",
        "lift-bins off_contig",
        *(f"{m} strand {s}" for m in ("rebin", "lift-bins") for s in (1, -1)),
        *(f"{m} split {s}" for m in ("rebin", "lift-bins") for s in (0, 1, 2)),
        "MAPPED",
        "DELETED",
        "DISTANT",
        "MULTI_CONTIG",
        "merged pieces",
    ):
        assert seen[case] > 0, f"no world has: {case} ({dict(seen)})"


@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
def test_no_row_of_a_test_peak_trains(
    built: Callable[..., tuple[Store, Oracle]], mode: str
) -> None:
    """From coordinates alone: the source of every row lies on a contig of the row's own split."""
    store, oracle = built(0, windows={"mode": mode})
    contigs = store.group("reference").contigs
    home = {"chr4": 2, "chr3": 1}
    peaks = store.sources()
    for name in store.genomes:
        group = store.group(f"homologs/{name}")
        for split, source in zip(
            group.column("split").tolist(), group.column("source").tolist(), strict=True
        ):
            assert split == home.get(contigs[peaks["contig"][source]], 0)
    assert {s.contig for s in oracle.sources} >= {"chr1", "chr3", "chr4"}


def hard_intervals(world: World, seed: int) -> list[tuple[str, int, int]]:
    """Return intervals of all widths, and some astride the places where the strand changes."""
    rng = np.random.default_rng(seed)
    contigs, sizes = world.reference.contigs, world.reference.sizes.tolist()
    intervals = []
    for _ in range(100):
        contig = int(rng.integers(0, len(contigs)))
        start = int(rng.integers(0, sizes[contig]))
        end = min(sizes[contig], start + int(np.exp(rng.uniform(0, np.log(3000)))))
        intervals.append((contigs[contig], start, max(end, start + 1)))
    for genome in world.genomes:
        for first, second in itertools.pairwise(genome.blocks.tolist()):
            if first[1] == second[1] and first[6] != second[6]:
                left, right = rng.integers(1, 30, 2).tolist()
                for before, after in ((left, left), (left, right)):
                    start = max(second[2] - before, 0)
                    end = min(second[2] + after, sizes[second[1]])
                    intervals.append((contigs[second[1]], start, end))
    return intervals


@pytest.mark.parametrize("gap", [2, 20, 1_000_000])
@pytest.mark.parametrize("kernel", ["numba", "numpy"])
@pytest.mark.parametrize("seed", SEEDS)
def test_liftover_of_hard_intervals(
    worlds: dict[int, World], seed: int, kernel: Any, gap: int
) -> None:
    """Not peaks alone, through the chain file and through the truth."""
    world = worlds[seed]
    project = configured(world, liftover={"gap": gap})
    oracle = Oracle(project, world, ["alpha"])
    intervals = hard_intervals(world, seed)
    oracle.take_sources(intervals)
    for settings, genome in zip(project.genomes, world.genomes, strict=True):
        expected = oracle.lift(genome.name)
        found = lift(
            load_chain(settings.chain),
            [contig for contig, _, _ in intervals],
            [start for _, start, _ in intervals],
            [end for _, _, end in intervals],
            options=LiftOptions(gap=gap),
            kernel=kernel,
        )
        names = load_chain(settings.chain).query_names
        spelled = dict(zip(genome.chain_contigs, genome.contigs, strict=True))
        assert [Status(s).name for s in found.status.tolist()] == [e.status for e in expected]
        assert found.aligned.tolist() == [e.aligned for e in expected]
        assert found.pieces.tolist() == [e.pieces for e in expected]
        assert found.loci.tolist() == [e.loci for e in expected]
        for row in np.flatnonzero(found.mapped).tolist():
            wanted = expected[row]
            assert (
                spelled[names[found.contig[row]]],
                int(found.start[row]),
                int(found.end[row]),
                int(found.strand[row]),
            ) == (wanted.contig, wanted.start, wanted.end, wanted.strand)
        assert found.mapped.sum() > 20


def test_the_comparison_can_fail(built: Callable[..., tuple[Store, Oracle]]) -> None:
    """A comparison that lets a changed base or a lost row pass would prove nothing."""
    store, oracle = built(0, windows=WINDOWS["rebin"])
    rows = rows_of(store.group("reference"))
    base = {"A": "C", "C": "G", "G": "T", "T": "A"}[rows[0].sequence[0]]
    spoilt = [replace(rows[0], sequence=base + rows[0].sequence[1:]), *rows[1:]]
    for other in (spoilt, rows[1:], [*rows, rows[0]]):
        with pytest.raises(AssertionError):
            same_rows(other, oracle.expected_reference.rows)
