"""Builds: the same bytes always, resumed after a kill, refused with one line on bad input."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssldata.base.errors import ClusterError, ConfigError, CrosslabelError, InputError, StoreError
from ssldata.building.build_inputs import open_inputs, open_target
from ssldata.building.build_plan import plan_project
from ssldata.building.build_store import build_genome, build_project, build_reference
from ssldata.building.dask_pool import CONNECT_SECONDS, WORKER_SECONDS
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Project, load_project
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


def test_a_replacement_that_is_refused_leaves_the_store(world: Path) -> None:
    project = load_project(world)
    build_project(project)
    before = tree_digest(world / "store")
    nowhere = change(world, windows={"min_overlap": 1.0})
    with pytest.raises(InputError, match="no positive"):
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
    for genome in store.genomes:
        group = store.homologues(genome)
        p, n = (group.ranges[k][1] - group.ranges[k][0] for k in ("positive", "negative"))
        counts = store.ledger[f"homologs/{genome}"]["counts"]
        assert n == p - counts["negative_missing"]
        assert n > 0.8 * p
        first, end = group.ranges["negative"]
        assert not group.column("label")[first:end].any()
        origin = group.column("source")[first:end]
        assert (origin >= positives).all()
        assert (sources["split"][origin] == TRAIN).all()
        assert len(set(origin.tolist())) == n


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


def test_fasta_without_a_contig_of_the_chain(world: Path) -> None:
    project = load_project(world)
    genome = project.genomes[0]
    first = read_maybe_gzip(genome.sequence).splitlines()[0]
    edit(genome.sequence, first, b">somewhere_else", 1)
    fails(project, InputError, str(genome.chain), "is not in", "another assembly")


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
        ("{contig}\t900\t999999999\n", ["line 1", "lies beyond", "another assembly"]),
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


def test_no_positive_in_a_split(world: Path) -> None:
    project = load_project(world)
    peaks = project.experiments[0].peaks
    held_out = project.split.validation[0].encode()
    kept = [line for line in read_maybe_gzip(peaks).splitlines() if line.split()[0] != held_out]
    peaks.write_bytes(b"\n".join(kept) + b"\n")
    fails(project, InputError, "no positive 200 b bin in the validation split")


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
