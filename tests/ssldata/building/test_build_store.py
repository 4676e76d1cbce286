"""Builds: the same bytes always, resumed after a kill, refused with one line on bad input."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from flows.cli import main
from ssldata.base.errors import ClusterError, ConfigError, CrosslabelError, InputError, StoreError
from ssldata.building.build_inputs import open_inputs, open_target
from ssldata.building.build_plan import plan_project
from ssldata.building.build_store import build_genome, build_project, build_reference
from ssldata.building.dask_pool import CONNECT_SECONDS, WORKER_SECONDS
from ssldata.checking.validate import validate_store
from ssldata.genomes.genome import open_genome
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Project, load_project
from ssldata.rows.lifted_negatives import SURPLUS
from ssldata.rows.splits import TEST, TRAIN, VALIDATION
from ssldata.store.store import open_store


@pytest.fixture
def world(small_world: Path, tmp_path: Path) -> Path:
    """Return a small project of its own, not built."""
    folder = tmp_path / "world"
    shutil.copytree(small_world, folder)
    return folder


def change(folder: Path, **sections: object) -> Project:
    """Merge changes into the project file and read it."""
    path = folder / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    for key, value in sections.items():
        if isinstance(value, dict) and isinstance(raw.get(key), dict):
            raw[key] |= value
        else:
            raw[key] = value
    path.write_text(yaml.safe_dump(raw))
    return load_project(path)


def tree_digest(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of every store."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def first_store(project: Project) -> Path:
    return project.store_path(project.experiments[0].name)


def test_the_same_build_twice_gives_the_same_bytes(world: Path, built_world: Path) -> None:
    build_project(load_project(world))
    assert tree_digest(world / "store") == tree_digest(built_world / "store")


def test_workers_give_the_same_bytes(world: Path, built_world: Path) -> None:
    build_project(load_project(world), workers=2)
    assert tree_digest(world / "store") == tree_digest(built_world / "store")


def test_a_second_build_does_nothing(world: Path) -> None:
    project = load_project(world)
    build_project(project)
    before = {p: p.stat().st_mtime_ns for p in (world / "store").rglob("*") if p.is_file()}
    for store in build_project(project):
        assert {step["status"] for step in store["steps"]} == {"unchanged"}
    after = {p: p.stat().st_mtime_ns for p in (world / "store").rglob("*") if p.is_file()}
    assert {p: t for p, t in after.items() if p.suffix != ".lock"} == {
        p: t for p, t in before.items() if p.suffix != ".lock"
    }


def test_a_new_genome_leaves_the_others_alone(world: Path) -> None:
    project = load_project(world)
    genomes = yaml.safe_load((world / "project.yaml").read_text())["genomes"]
    build_project(change(world, genomes=genomes[:-1]))
    path = first_store(project)
    kept = [path / "reference", path / "sources", path / "homologs" / genomes[0]["name"]]
    before = [tree_digest(folder) for folder in kept]
    times = [f.stat().st_mtime_ns for folder in kept for f in sorted(folder.rglob("*"))]
    build_project(change(world, genomes=genomes))
    assert [tree_digest(folder) for folder in kept] == before
    assert [f.stat().st_mtime_ns for folder in kept for f in sorted(folder.rglob("*"))] == times
    assert open_store(path).genomes == sorted(g["name"] for g in genomes)


def test_settings_of_genomes_that_change_later_are_those_the_store_repeats(world: Path) -> None:
    build_project(load_project(world))
    path = first_store(load_project(world))
    before = tree_digest(path / "reference")
    build_project(change(world, liftover={"gap": 33}), replace=True)
    assert open_store(path).attributes["liftover"]["gap"] == 33
    assert tree_digest(path / "reference") == before


def test_changed_settings_are_refused_then_replaced(world: Path) -> None:
    build_project(load_project(world))
    project = change(world, windows={"min_overlap": 0.25})
    with pytest.raises(
        StoreError, match=r"other inputs or settings \(windows\.min_overlap\).*--replace"
    ):
        build_project(project)
    build_project(project, replace=True)
    assert open_store(first_store(project)).attributes["windows"]["min_overlap"] == 0.25


def test_half_covered_bins_are_part_of_a_digest_only_where_they_are_negatives(world: Path) -> None:
    plain = open_inputs(load_project(world), "alpha")
    assert set(plain.parts["negatives"]) == {"pool", "source"}
    said = open_inputs(change(world, negatives={"half_covered": "leave-out"}), "alpha")
    assert said.digest == plain.digest
    build_project(load_project(world))
    project = change(world, negatives={"half_covered": "negative"})
    with pytest.raises(StoreError, match=r"\(negatives\.half_covered\).*--replace"):
        build_project(project)
    build_project(project, replace=True)
    assert open_store(first_store(project)).attributes["negatives"]["half_covered"] == "negative"


def test_a_store_of_the_former_default_of_liftover(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A project that does not name its mode was built with another one: one line says so."""
    file, named = world / "project.yaml", "liftover: {mode: blocks}\n"
    text = file.read_text()
    assert named in text
    project = load_project(world)
    build_project(project)
    before = tree_digest(first_store(project))
    file.write_text(text.replace(named, ""))
    assert load_project(world).liftover.mode == "ucsc-multiple"
    assert main(["build", str(world)]) == 2
    (said,) = [x for x in capsys.readouterr().err.splitlines() if "relative1" in x]
    assert "other inputs or settings (liftover.mode)" in said
    assert "set liftover.mode to blocks to keep its rows, or pass --replace" in said
    assert tree_digest(first_store(project)) == before
    file.write_text(text)
    assert main(["build", str(world), "-q"]) == 0
    assert tree_digest(first_store(project)) == before
    # Other changes beside it are not those of a default.
    change(world, liftover={"mode": "ucsc-multiple", "gap": 7})
    with pytest.raises(StoreError, match=r"\(liftover\.gap, liftover\.mode\); pass --replace"):
        build_project(load_project(world))


def test_a_replacement_that_is_refused_leaves_the_store(world: Path) -> None:
    project = load_project(world)
    build_project(project)
    before = tree_digest(world / "store")
    nowhere = change(world, windows={"min_overlap": 1.0})
    with pytest.raises(InputError, match="no positives in train, validation, test"):
        build_project(nowhere, replace=True)
    assert tree_digest(world / "store") == before


def test_no_train_row_shares_a_base_with_a_held_out_homologue(world: Path) -> None:
    project = change(world, windows={"mode": "lift-bins", "context": 400})
    dropped = 0
    for summary in build_project(project):
        store = open_store(summary["path"])
        for genome in store.genomes:
            group = store.homologues(genome)
            contig, start, split = (group.column(c) for c in ("contig", "start", "split"))
            for i in np.flatnonzero(split == TRAIN):
                near = (contig == contig[i]) & (abs(start - start[i]) < 400)
                assert not (near & (split != TRAIN)).any()
            dropped += store.ledger[f"homologs/{genome}"]["counts"]["near_held_out"]
    assert dropped  # the small world has sources of two splits on one place


def test_a_changed_chain_touches_its_genome_only(world: Path) -> None:
    project = load_project(world)
    build_project(project)
    path = first_store(project)
    before = tree_digest(path / "reference")
    target = open_target(change(world, liftover={"gap": 5}), project.genomes[0].name)
    with pytest.raises(StoreError, match=r"\(liftover\.gap\); pass --replace"):
        build_genome(target, path)
    result = build_genome(target, path, replace=True)
    assert result["status"] == "built"
    assert tree_digest(path / "reference") == before


def test_no_source_of_a_held_out_contig_is_trained_on(built_world: Path) -> None:
    project = load_project(built_world)
    for experiment in project.experiments:
        store = open_store(project.store_path(experiment.name))
        sources = store.sources()
        reference = store.group("reference")
        names = np.array(reference.contigs)
        expected = {**dict.fromkeys(project.split.test, TEST)}
        expected |= dict.fromkeys(project.split.validation, VALIDATION)
        split_of_contig = np.array([expected.get(name, TRAIN) for name in names])
        assert (reference.column("split") == split_of_contig[reference.column("contig")]).all()
        for genome in store.genomes:
            group = store.homologues(genome)
            origin = sources["contig"][group.column("source")]
            assert (group.column("split") == split_of_contig[origin]).all()
            for key, value in (("positive", 0), ("negative", 0), ("validation", 1), ("test", 2)):
                first, end = group.ranges[key]
                assert (group.column("split")[first:end] == value).all()


def test_every_source_has_one_status_in_every_genome(built_world: Path) -> None:
    project = load_project(built_world)
    for store_summary in build_project(project):
        store = open_store(store_summary["path"])
        count = len(store.sources()["start"])
        for genome in store.genomes:
            lifted = store.homologues(genome).liftover()
            assert len(lifted["status"]) == count
            entry = store.ledger[f"homologs/{genome}"]["liftover"]
            assert sum(entry.values()) == count
            assert entry["mapped"] == (lifted["status"] == Status.MAPPED).sum()
            mapped = lifted["status"] == Status.MAPPED
            assert (lifted["identity"] <= 1).all()
            assert not lifted["identity"][~mapped].any()
            # Relatives differ at some per cent of bases; a locus that is all N has none to compare.
            assert np.median(lifted["identity"][mapped]) > 0.8
            rows = store.homologues(genome)
            assert (rows.column("identity") > 0.6).all()


def test_lifted_negatives(world: Path) -> None:
    project = change(world, negatives={"source": "lifted"})
    build_project(project)
    store = open_store(first_store(project))
    sources = store.sources()
    positives = int(sources["label"].any(1).sum())
    assert positives < len(sources["start"])
    assert not sources["label"][positives:].any()
    kept: list[set[int]] = []
    for genome in store.genomes:
        group = store.homologues(genome)
        p, n = (group.ranges[k][1] - group.ranges[k][0] for k in ("positive", "negative"))
        counts = store.ledger[f"homologs/{genome}"]["counts"]
        # More than an epoch needs, as far as there are candidates.
        candidates = len(sources["start"]) - positives
        assert counts["negative_missing"] == max(0, p - n)
        assert p < n <= min(SURPLUS * p, candidates)
        first, end = group.ranges["negative"]
        assert not group.column("label")[first:end].any()
        origin = group.column("source")[first:end]
        assert (origin >= positives).all()
        assert (sources["split"][origin] == TRAIN).all()
        assert len(set(origin.tolist())) == n
        kept.append(set(origin.tolist()))
    # Other loci in each genome, unless it keeps all that there are.
    assert len(set.union(*kept)) > max(len(one) for one in kept)


def test_only_stores_with_lifted_negatives_depend_on_their_rule(world: Path) -> None:
    """Digests of other stores are what they were before there was a rule."""
    plain, lifted = (change(world, negatives={"source": s}) for s in ("reference", "lifted"))
    name = plain.experiments[0].name
    for project, expected in ((plain, set()), (lifted, {"lifted rule", "ratio"})):
        parts = open_inputs(project, name).parts["negatives"]
        assert set(parts) - {"pool", "source"} == expected
        target = open_target(project, project.genomes[0].name).parts
        assert ("lifted negatives rule" in target) == bool(expected)
        assert (target["negatives ratio"] is None) == (not expected)


def test_joint_store_has_a_label_per_experiment(world: Path, built_world: Path) -> None:
    project = change(world, store={"joint": True})
    build_project(project)
    joint = open_store(project.store_path(project.experiments[0].name))
    assert joint.experiments == [e.name for e in project.experiments]
    group = joint.group("reference")
    where = {
        (int(c), int(s)): i
        for i, (c, s) in enumerate(zip(group.column("contig"), group.column("start"), strict=True))
    }
    for column, experiment in enumerate(project.experiments):
        single = open_store(built_world / "store" / f"{experiment.name}.zarr").group("reference")
        hits = np.flatnonzero(single.column("label")[:, 0])
        rows = [
            where[int(single.column("contig")[i]), int(single.column("start")[i])] for i in hits
        ]
        assert (group.column("label")[rows, column] == 1).all()
        assert group.column("label")[:, column].sum() == len(hits)


def test_pool_of_negatives_is_bounded_by_the_seed(world: Path) -> None:
    project = change(world, negatives={"pool": 50})
    build_project(project)
    group = open_store(first_store(project)).group("reference")
    assert group.ranges["negative"][1] - group.ranges["negative"][0] == 50


def test_plan_foretells_the_build_and_writes_nothing(world: Path, built_world: Path) -> None:
    project = load_project(world)
    before = sorted(world.rglob("*"))
    plan = plan_project(project)
    assert sorted(world.rglob("*")) == before
    assert {step.status for step in plan.steps} == {"missing"}
    for step in plan.steps:
        store = open_store(built_world / "store" / f"{step.store}.zarr")
        rows = store.group(step.group).rows
        assert step.rows is not None
        if step.group == "reference":
            assert step.rows == rows
        else:
            assert abs(step.rows - rows) <= 0.2 * rows + 3
    done = plan_project(load_project(built_world))
    assert {step.status for step in done.steps} == {"complete"}
    stale = plan_project(change(world, windows={"size": 100}))
    assert {step.status for step in stale.steps} == {"missing"}


def test_plan_lists_missing_inputs(world: Path) -> None:
    project = load_project(world)
    project.genomes[0].chain.unlink()
    plan = plan_project(project)
    assert plan.missing == [str(project.genomes[0].chain)]
    rows = {step.group: step.rows for step in plan.steps}
    assert rows[f"homologs/{project.genomes[0].name}"] is None
    assert rows["reference"] is not None


# Every file of a store appears by a rename: a build is killed before its n-th. Counting makes the
# moments the same on any machine; each attempt is a fork of a process that imported everything.
KILLED = """
import os, signal, sys
from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
for moment in map(int, sys.argv[2:]):
    if not (child := os.fork()):
        left = iter(range(moment - 1))
        sys.addaudithook(
            lambda event, _: event == "os.rename"
            and next(left, None) is None
            and os.kill(os.getpid(), signal.SIGKILL)
        )
        build_project(load_project(sys.argv[1]))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_killed_builds_end_in_the_same_bytes(world: Path, built_world: Path) -> None:
    """SIGKILL at many moments of the build, then finish."""
    # Fewer renames in all than one undisturbed build makes, so none can finish.
    moments = ["1", "2", "3", "5", "8", "10", "12", "14", "16"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(world), *moments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(moments)
    left = list((world / "store").rglob("*.partial"))
    assert left  # of the last kill; those before it were swept
    build_project(load_project(world))
    assert tree_digest(world / "store") == tree_digest(built_world / "store")
    assert not list((world / "store").rglob("*.partial"))


def test_a_full_disk_leaves_no_half_group(
    world: Path, built_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = load_project(world)
    name = project.experiments[0].name
    build_reference(open_inputs(project, name))

    def full(*args: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssldata.building.write_group.write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        build_genome(open_target(project, project.genomes[0].name), project.store_path(name))
    store = open_store(project.store_path(name))
    assert store.genomes == []
    monkeypatch.undo()
    build_project(project)
    assert tree_digest(world / "store") == tree_digest(built_world / "store")


# -- bad input: one line that names the file -----------------------------------------------------


def fails(project: Project, kind: type[CrosslabelError], *words: str) -> None:
    with pytest.raises(kind) as caught:
        build_project(project)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert caught.value.exit_code == 2


def test_missing_file(world: Path) -> None:
    project = load_project(world)
    project.genomes[1].sequence.unlink()
    fails(project, CrosslabelError, "missing input", str(project.genomes[1].sequence))
    assert not (world / "store").exists()


def read_maybe_gzip(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def edit(path: Path, old: bytes, new: bytes, count: int = -1) -> None:
    data = read_maybe_gzip(path)
    assert old in data
    path.write_bytes(data.replace(old, new, count))


def test_fasta_without_the_contigs_of_the_chain(world: Path) -> None:
    project = load_project(world)
    genome = project.genomes[0]
    edit(genome.sequence, b">", b">other")
    fails(project, InputError, str(genome.chain), "are not in", "another assembly")


def test_chains_of_contigs_that_a_genome_lacks_change_no_row(
    world: Path, built_world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = load_project(world)
    genome = project.genomes[0]
    chains = read_maybe_gzip(genome.chain)
    target = next(line for line in chains.splitlines() if line.startswith(b"chain")).split()
    head = b"chain 1 %s %s + 0 500 HG989_PATCH 600 + 0 500 999001" % (target[2], target[3])
    unplaced = b"chain 1 chrUn_1 700 + 0 90 %s %s + 0 90 999002" % (target[7], target[8])
    genome.chain.write_bytes(chains + b"\n%s\n500\n\n%s\n90\n" % (head, unplaced))
    notes = plan_project(project).notes
    assert len(notes) == 1
    assert "chrUn_1, HG989_PATCH" in notes[0]
    build_project(project)
    assert caplog.messages.count(notes[0]) == 1
    for experiment in project.experiments:
        old, new = (
            open_store(folder / "store" / f"{experiment.name}.zarr").ledger[
                f"homologs/{genome.name}"
            ]
            for folder in (built_world, world)
        )
        assert new["content"] == old["content"]
        assert old["counts"]["chains_left_out"] == 0
        assert new["counts"]["chains_left_out"] == 2
        assert new["counts"]["chain_bases_left_out"] == 590


def test_chain_for_another_assembly(world: Path) -> None:
    project = load_project(world)
    genome = project.genomes[0]
    lines = read_maybe_gzip(genome.chain).split(b"\n")
    headers = [i for i, line in enumerate(lines) if line.startswith(b"chain")]
    target = lines[headers[0]].split()[2]
    for i in headers:
        fields = lines[i].split()
        if fields[2] == target:
            fields[3] = str(int(fields[3]) + 7).encode()
            lines[i] = b" ".join(fields)
    genome.chain.write_bytes(b"\n".join(lines))
    fails(project, InputError, str(genome.chain), "made for another assembly")


def test_truncated_gzip(world: Path) -> None:
    project = load_project(world)
    zipped = next(g.sequence for g in project.genomes if g.sequence.read_bytes()[:2] == b"\x1f\x8b")
    zipped.write_bytes(zipped.read_bytes()[:-100])
    fails(project, InputError, str(zipped))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{contig}\t900\t800\n", ["line 1", "end 800 lies before start 900"]),
        ("{contig}\t900\t999999999\n", ["line 1", "lie outside", "another assembly"]),
        ("chrNowhere\t1\t2\n", ["none of 1 peaks is on a contig of the genome"]),
        ("", ["no peaks in the file"]),
    ],
)
def test_bad_peaks(world: Path, line: str, words: list[str]) -> None:
    project = load_project(world)
    contig = project.split.test[0]
    project.experiments[0].peaks.write_text(line.format(contig=contig))
    fails(project, InputError, str(project.experiments[0].peaks), *words)


def test_some_unknown_contigs_are_counted_and_warned(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = load_project(world)
    peaks = project.experiments[0].peaks
    peaks.write_bytes(read_maybe_gzip(peaks) + b"chrNowhere\t1\t2\tx\t0\t.\n")
    summary = build_project(project)[0]["groups"][0]
    assert summary["counts"][f"peaks_{project.experiments[0].name}_unknown_contig"] == 1
    assert "chrNowhere" in caplog.text


def test_summits_that_are_missing_are_said(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    project = load_project(world)
    peaks = project.experiments[0].peaks
    rows = [line.split() for line in read_maybe_gzip(peaks).decode().splitlines()]
    wide = [f"{row[0]}\t{int(row[1]) - 5}\t{int(row[2]) + 5}" for row in rows]
    peaks.write_text("\n".join(wide))
    build_project(project)
    assert f"{len(rows)} of {len(rows)} peaks have no summit" in caplog.text
    assert caplog.text.count("no summit") == 1  # not for the narrowPeak of the other experiment


def test_test_contigs_that_do_not_exist(world: Path) -> None:
    fails(change(world, split={"test": ["chr99"]}), ConfigError, "split.test", "chr99")


Peaks = list[tuple[str, int, int]]


def without(contig: str, peaks: Peaks) -> Peaks:
    return [peak for peak in peaks if peak[0] != contig]


#: What is done to the peaks: peaks, test contig, validation contig, sizes → peaks.
UNTRAINABLE: dict[str, tuple[Callable[..., Peaks], list[str]]] = {
    "no test": (lambda p, t, v, n: without(t, p), ["no positives in test (", "test 0 and"]),
    "no validation": (lambda p, t, v, n: without(v, p), ["no positives in validation ("]),
    "no training": (
        lambda p, t, v, n: [peak for peak in p if peak[0] in (t, v)],
        ["no positives in train (", "train 0 and"],
    ),
    "only test": (
        lambda p, t, v, n: without(v, [peak for peak in p if peak[0] in (t, v)]),
        ["no positives in train, validation ("],
    ),
    "all of test": (
        lambda p, t, v, n: [*without(t, p), (t, 0, n[t])],
        ["no negatives in test (positive and negative bins of 200 b: train ", " and 0)"],
    ),
    "all of validation, none of test": (
        lambda p, t, v, n: [*without(t, without(v, p)), (v, 0, n[v])],
        ["no positives in test and no negatives in validation ("],
    ),
    "summits": (
        lambda p, t, v, n: [(c, (s + e) // 2, (s + e) // 2 + 1) for c, s, e in p],
        [
            "no positives in train, validation, test (",
            "have at most 1 b",
            "the experiment's 'width'",
        ],
    ),
}


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("kind", UNTRAINABLE)
def test_a_split_that_cannot_train_is_refused_before_anything_is_written(
    world: Path, kind: str, joint: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of the last experiment: the stores of the others are not written either.
    project = load_project(world)
    experiments = yaml.safe_load((world / "project.yaml").read_text())["experiments"]
    experiments[-1]["width"] = None
    test, validation = project.split.test[0], project.split.validation[0]
    sections = {"store": {"joint": joint}, "training": {"experiments": []}}
    change(world, experiments=experiments, **sections)
    edit_peaks, words = UNTRAINABLE[kind]
    path, aliases = project.experiments[-1].peaks, project.reference.aliases
    lines = map(str.split, read_maybe_gzip(path).decode().splitlines())
    peaks = [(aliases.get(line[0], line[0]), int(line[1]), int(line[2])) for line in lines]
    genome = open_genome(project.reference.sequence)
    peaks = edit_peaks(peaks, test, validation, dict(zip(genome.names, genome.sizes, strict=True)))
    path.write_text("".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in peaks))
    for command in ("plan", "build"):
        assert main([command, str(world)]) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert not said.out
        for word in (f"experiment {project.experiments[-1].name!r} has ", *words):
            assert word in said.err
        assert not (world / "store").exists()


@pytest.mark.parametrize("mode", ["rebin", "lift-bins"])
@pytest.mark.parametrize(("width", "works"), [(30, False), (None, False), (160, True)])
def test_a_width_too_small_for_any_bin_is_named(
    world: Path, mode: str, width: int | None, works: bool
) -> None:
    raw = yaml.safe_load((world / "project.yaml").read_text())["experiments"]
    widened = [{**one, "width": width} for one in raw]
    project = change(world, experiments=widened, windows={"mode": mode})
    if works:
        assert plan_project(project).steps
    else:
        fails(
            project,
            InputError,
            "half of its peaks have at most ",
            "than 100 b are covered: set the experiment's 'width'",
        )


def test_an_experiment_that_is_not_trained_may_lack_positives(world: Path) -> None:
    project = change(world, store={"joint": True}, training={"experiments": []})
    first, last = project.experiments[0], project.experiments[-1]
    last.peaks.write_text("chr1\t1000\t1600\n")
    fails(project, InputError, "no positives in validation, test")
    build_project(change(world, training={"experiments": [first.name]}))


def test_an_output_folder_that_holds_something_else(world: Path) -> None:
    project = load_project(world)
    path = first_store(project)
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("do not delete")
    fails(project, StoreError, str(path), "move it away")
    assert (path / "thesis.txt").read_text() == "do not delete"


def test_an_unreachable_scheduler_is_said_within_ten_seconds(world: Path) -> None:
    # That the waits are kept is seen by the test ending: without them it would wait for ever.
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler"):
        build_project(load_project(world), scheduler="tcp://127.0.0.1:9")
    assert CONNECT_SECONDS + WORKER_SECONDS <= 10


# -- links ---------------------------------------------------------------------------------------


def test_a_store_that_is_a_link_stays_one(world: Path, tmp_path: Path) -> None:
    project = load_project(world)
    link, disk = first_store(project), tmp_path / "disk" / "big.zarr"
    link.parent.mkdir()
    disk.parent.mkdir()
    link.symlink_to(disk)  # to where nothing is yet
    build_project(project, experiments=[project.experiments[0].name])
    digest = open_store(disk).digest
    project = change(world, windows={"min_overlap": 0.25})
    build_project(project, experiments=[project.experiments[0].name], replace=True)
    assert link.is_symlink()
    assert open_store(disk).digest == open_store(link).digest != digest
    # One store, one lock, whichever way it is reached.
    assert [file.name for file in disk.parent.iterdir()] == ["big.zarr", "big.zarr.lock"]
    assert not Path(f"{link}.lock").exists()


@pytest.mark.parametrize("where", ["store", "store/alpha.zarr"])
def test_links_in_a_circle_are_no_place_for_a_store(
    where: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    circle = world / where
    circle.parent.mkdir(exist_ok=True)
    circle.symlink_to(world / "b")
    (world / "b").symlink_to(circle)
    store = str(world / "store" / "alpha.zarr")
    for command in (
        ["build", str(world), "-e", "alpha"],
        ["store", "validate", store],
        ["store", "inspect", store],
        ["store", "share", store, "--zip", str(world / "x.zip")],
        ["store", "card", store],
    ):
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert said.count("error:") == 1, said


# -- content decides what is up to date ----------------------------------------------------------


def complement(path: Path) -> None:
    """Change every base of a FASTA, or the first gaps of a chain; neither its size nor its time."""
    stat = path.stat()
    data = read_maybe_gzip(path)
    if data.startswith(b">"):
        table = bytes.maketrans(b"ACGT", b"TGCA")
        lines = [x if x.startswith(b">") else x.translate(table) for x in data.split(b"\n")]
        data = b"\n".join(lines)
    else:  # the first chain gives its place to another one of the same file
        first, *others = data.strip().split(b"\n\n")
        data = b"\n\n".join([*others, first]) + b"\n\n"
    packed = path.read_bytes()[:2] == b"\x1f\x8b"
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("which", ["reference", "sequence", "chain"])
def test_changed_content_is_stale_whatever_the_time_of_the_file(world: Path, which: str) -> None:
    project = load_project(world)
    build_project(project)
    genome = project.genomes[0]
    reference = project.reference.sequence
    complement({"reference": reference, "sequence": genome.sequence, "chain": genome.chain}[which])
    stale = {step.group for step in plan_project(project).steps if step.status == "stale"}
    others = {f"homologs/{other.name}" for other in project.genomes[1:]}
    if which == "reference":
        assert stale == {"reference", f"homologs/{genome.name}"} | others
    else:
        assert stale == {f"homologs/{genome.name}"}
    with pytest.raises(StoreError, match="other inputs or settings"):
        build_project(project)
    build_project(project, replace=True)
    assert validate_store(open_store(first_store(project)), deep=True, project=project).valid


def test_verify_cache_finds_what_no_key_can_see(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def blind(path: Path) -> str:  # the same file name, the same key
        return hashlib.sha256(str(path).encode()).hexdigest()

    monkeypatch.setattr("ssldata.genomes.genome_cache.file_key", blind)
    monkeypatch.setattr("ssldata.base.cache_folder.file_key", blind)
    project = load_project(world)
    build_project(project)
    genome = project.genomes[0]

    def says(*command: str) -> str:
        main([command[0], str(world), *command[1:]])
        said = capsys.readouterr()
        return said.out + said.err

    for path in (genome.sequence, genome.chain):
        content = path.read_bytes()
        complement(path)
        assert "stale" not in says("plan")
        assert "stale" in says("plan", "--verify-cache")
        path.write_bytes(content)
        assert "other inputs or settings" in says("build")
        assert "other inputs or settings" not in says("build", "--verify-cache")
        complement(path)
        assert "stale" not in says("build", "--dry-run")
        assert "stale" in says("run", "--dry-run", "--verify-cache")
        path.write_bytes(content)
        assert main(["plan", str(world), "--verify-cache"]) == 0
