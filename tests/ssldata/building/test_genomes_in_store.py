"""Genomes come and go: only their own group is touched, and nobody else's work is lost."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssldata.base.errors import (
    ConfigError,
    CrosslabelError,
    InputError,
    MissingInputError,
    StoreError,
)
from ssldata.building.add_remove_genomes import (
    add_genome,
    remove_genome,
    unyank_genome,
    yank_genome,
)
from ssldata.building.build_plan import plan_project
from ssldata.building.build_store import build_project
from ssldata.checking.store_diff import diff_stores
from ssldata.checking.validate import validate_store
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import open_store
from ssldata.store.store_writer import StoreWriter, writer_lock

LAST = "relative3"


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of every store."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def times(folder: Path, *, without: str) -> dict[str, int]:
    """Return the modification time of every file but the root's and those of one genome."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.parent.suffix != ".zarr"
        if without not in path.parts
    }


def own_copy(built_world: Path, folder: Path) -> Path:
    shutil.copytree(built_world, folder)
    return folder


def genome_files(project: Project, name: str = LAST) -> dict[str, Any]:
    genome = next(g for g in project.genomes if g.name == name)
    return genome.model_dump(include={"sequence", "chain", "distance", "aliases"})


@pytest.fixture
def world(built_world: Path, tmp_path: Path) -> Path:
    """Return a built project of its own."""
    return own_copy(built_world, tmp_path / "world")


@pytest.fixture
def without_last(world: Path) -> tuple[Path, dict[str, Any]]:
    """Return a built project that lacks one genome, and the files of that genome."""
    files = genome_files(load_project(world))
    remove_genome(world, LAST)
    return world, files


def names_in_project(world: Path) -> list[str]:
    return [g["name"] for g in yaml.safe_load((world / "project.yaml").read_text())["genomes"]]


def test_remove_then_add_is_the_same_store_and_touches_nothing_else(
    world: Path, built_world: Path
) -> None:
    files = genome_files(load_project(world))
    kept = times(world / "store", without=LAST)
    removed = remove_genome(world, LAST)
    assert {store["status"] for store in removed["stores"]} == {"removed"}
    assert LAST not in names_in_project(world)
    assert not list((world / "store").rglob(f"*{LAST}*"))
    assert times(world / "store", without=LAST) == kept
    added = add_genome(world, name=LAST, **files)
    assert {step["status"] for step in added["stores"]} == {"built"}
    assert len(added["stores"]) == 2
    assert added["registered"]
    assert names_in_project(world)[-1] == LAST
    assert times(world / "store", without=LAST) == kept
    assert digests(world / "store") == digests(built_world / "store")
    assert load_project(world).genomes[-1].sequence == files["sequence"]


def test_a_registry_of_its_own_takes_the_genome(
    without_last: tuple[Path, dict[str, Any]], built_world: Path
) -> None:
    world, files = without_last
    raw = yaml.safe_load((world / "project.yaml").read_text())
    (world / "genomes.yaml").write_text("# ours\n" + yaml.safe_dump(raw["genomes"]))
    raw["genomes"] = {"registry": "genomes.yaml"}
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    text = (world / "project.yaml").read_text()
    added = add_genome(world, name=LAST, **files)
    assert added["registry"] == str(world / "genomes.yaml")
    assert (world / "project.yaml").read_text() == text
    assert (world / "genomes.yaml").read_text().startswith("# ours\n")
    assert [genome.name for genome in load_project(world).genomes][-1] == LAST
    assert digests(world / "store") == digests(built_world / "store")
    remove_genome(world, LAST)
    assert LAST not in (world / "genomes.yaml").read_text()


def test_adding_again_is_no_work(world: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in world.rglob("*") if p.is_file()}
    added = add_genome(world, name=LAST, **genome_files(load_project(world)))
    assert {step["status"] for step in added["stores"]} == {"unchanged"}
    assert not added["registered"]
    after = {p: p.stat().st_mtime_ns for p in world.rglob("*") if p.is_file()}
    assert {p: t for p, t in after.items() if p.suffix != ".lock"} == {
        p: t for p, t in before.items() if p.suffix != ".lock"
    }


def test_the_same_genome_from_other_files_is_no_work(world: Path, tmp_path: Path) -> None:
    files = genome_files(load_project(world))
    plain = tmp_path / "plain.fa"
    plain.write_bytes(gzip.decompress(files["sequence"].read_bytes()))
    before = digests(world)
    added = add_genome(world, name=LAST, **{**files, "sequence": plain})
    assert {step["status"] for step in added["stores"]} == {"unchanged"}
    assert not added["registered"]
    assert digests(world) == before
    # Asked for, the list names the other file; the rows stay.
    added = add_genome(world, name=LAST, replace=True, **{**files, "sequence": plain})
    assert {step["status"] for step in added["stores"]} == {"unchanged"}
    assert load_project(world).genomes[-1].sequence == plain


def test_a_genome_of_the_same_name_is_refused_then_replaced(world: Path) -> None:
    project = load_project(world)
    other = genome_files(project, "relative1")
    with pytest.raises(ConfigError, match=r"another genome 'relative3' \(other .*--replace"):
        add_genome(world, name=LAST, **other)
    before = open_store(project.store_path("alpha")).homologues(LAST).rows
    add_genome(world, name=LAST, replace=True, **other)
    assert load_project(world).genomes[-1].chain == other["chain"]
    store = open_store(project.store_path("alpha"))
    assert store.homologues(LAST).rows == store.homologues("relative1").rows != before


def test_a_store_that_came_alone_takes_a_genome(
    without_last: tuple[Path, dict[str, Any]], built_world: Path, tmp_path: Path
) -> None:
    world, files = without_last
    project = load_project(world)
    alone = tmp_path / "alone" / "alpha.zarr"
    shutil.copytree(project.store_path("alpha"), alone)
    with pytest.raises(ConfigError, match="--reference"):
        add_genome(alone, name=LAST, **files)
    with pytest.raises(InputError, match="not the sequence of simref"):
        add_genome(alone, name=LAST, reference=files["sequence"], **files)
    added = add_genome(alone, name=LAST, reference=project.reference.sequence, **files)
    assert added["registry"] is None
    assert digests(alone) == digests(built_world / "store" / "alpha.zarr")


def test_a_store_below_its_project_needs_no_more(
    without_last: tuple[Path, dict[str, Any]],
) -> None:
    world, files = without_last
    project = load_project(world)
    added = add_genome(project.store_path("alpha"), name=LAST, **files)
    assert [step["store"] for step in added["stores"]] == ["alpha"]
    assert LAST in open_store(project.store_path("alpha")).genomes
    assert LAST not in open_store(project.store_path("beta")).genomes
    assert added["lacking"] == [str(project.store_path("beta"))]
    assert names_in_project(world)[-1] == LAST


def test_a_linked_store_finds_its_project(
    without_last: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    world, files = without_last
    (world / "store").rename(tmp_path / "disk")
    (world / "store").symlink_to(tmp_path / "disk")
    added = add_genome(world / "store" / "alpha.zarr", name=LAST, **files)
    assert added["registered"]
    assert LAST in open_store(tmp_path / "disk" / "alpha.zarr").genomes


def test_bad_additions_leave_everything_as_it_was(
    without_last: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    world, files = without_last
    before = digests(world)
    bad = tmp_path / "bad.chain"
    bad.write_text("this is no chain\n")
    other = genome_files(load_project(world), "relative1")["sequence"]
    attempts: list[tuple[dict[str, Any], str]] = [
        ({"name": "x", **files, "sequence": tmp_path / "none.fa"}, "none.fa: no such file"),
        ({"name": "x", **files, "chain": bad}, "bad.chain"),
        ({"name": "a/b", **files}, "a name is letters"),
        ({"name": "simref", **files}, "is the reference itself"),
        ({"name": "reference", **files}, "'reference' means the labelled genome"),
        ({"name": "x", **files, "sequence": other}, "another assembly"),
    ]
    for arguments, words in attempts:
        with pytest.raises(CrosslabelError, match=words) as caught:
            add_genome(world, **arguments)
        assert "\n" not in str(caught.value)
    assert digests(world) == before


def test_nothing_to_add_to(tmp_path: Path, small_world: Path) -> None:
    files = genome_files(load_project(small_world))
    with pytest.raises(MissingInputError, match="no such store or project"):
        add_genome(tmp_path / "none", name="x", **files)
    with pytest.raises(MissingInputError, match="run `crosslabel build"):
        add_genome(small_world, name="x", **files)
    (tmp_path / "store.zip").write_bytes(b"PK")
    for place in (tmp_path / "store.zip", Path("http://host/store.zarr")):
        with pytest.raises(StoreError, match="read-only; give the project or the folder"):
            remove_genome(place, "x")
    with pytest.raises(StoreError, match="neither a crosslabel store nor a project"):
        remove_genome(tmp_path, "x")


def test_stores_of_the_project_not_yet_built_are_named(
    without_last: tuple[Path, dict[str, Any]],
) -> None:
    world, files = without_last
    beta = load_project(world).store_path("beta")
    shutil.rmtree(beta)
    added = add_genome(world, name=LAST, **files)
    assert added["lacking"] == [str(beta)]
    assert not beta.exists()


def test_remove_of_an_unknown_genome_lists_the_known(world: Path) -> None:
    with pytest.raises(StoreError, match="no genome 'x'; there are relative1, relative2"):
        remove_genome(world, "x")
    with pytest.raises(StoreError, match="no genome 'reference'"):
        remove_genome(world, "reference")


def test_a_genome_the_project_needs_is_not_removed(world: Path) -> None:
    for name in ("relative1", "relative2"):
        remove_genome(world, name)
    before = digests(world)
    with pytest.raises(ConfigError, match=f"without {LAST}: training.* need at least one genome"):
        remove_genome(world, LAST)
    assert digests(world) == before


def test_a_store_alone_keeps_the_projects_list(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = load_project(world)
    removed = remove_genome(project.store_path("alpha"), LAST)
    assert removed["registered"]
    assert "still lists relative3" in caplog.text
    assert LAST in open_store(project.store_path("beta")).genomes


def test_yank_keeps_the_rows_and_hides_them(world: Path, built_world: Path) -> None:
    project = load_project(world)
    path = project.store_path("alpha")
    whole = open_store(path).digest
    yank_genome(world, LAST, reason="wrong assembly")
    store = open_store(path)
    assert LAST not in store.genomes
    assert store.digest != whole
    assert store.ledger[f"homologs/{LAST}"]["yanked"] == "wrong assembly"
    assert (path / "homologs" / LAST / "sequence").is_dir()
    with pytest.raises(StoreError, match="yanked: wrong assembly"):
        store.homologues(LAST)
    yank_genome(world, LAST, reason="another reason")
    yank_genome(world, LAST)
    assert open_store(path).ledger[f"homologs/{LAST}"]["yanked"] == "another reason"
    # A build leaves it as it is, and plan reports it.
    steps = [step for summary in build_project(project) for step in summary["steps"]]
    assert {s["status"] for s in steps if s["group"] == f"homologs/{LAST}"} == {"yanked"}
    statuses = {s.group: s.status for s in plan_project(project).steps}
    assert statuses[f"homologs/{LAST}"] == "yanked"
    assert {s["status"] for s in unyank_genome(world, LAST)["stores"]} == {"complete"}
    assert digests(world / "store") == digests(built_world / "store")
    unyank_genome(world, LAST)
    with pytest.raises(StoreError, match="no genome 'x'"):
        yank_genome(world, "x")


def test_a_removal_cut_half_way_is_finished(world: Path) -> None:
    path = load_project(world).store_path("alpha")
    writer = StoreWriter(path)
    writer.set_entry(f"homologs/{LAST}", {"status": "removing"})
    assert LAST not in open_store(path).genomes
    with writer_lock(path):
        writer.sweep()
    assert f"homologs/{LAST}" not in open_store(path).ledger
    assert not (path / "homologs" / LAST).exists()


def test_leftovers_of_a_whole_store_being_replaced_are_swept(world: Path) -> None:
    path = load_project(world).store_path("alpha")
    doomed = path.with_name(".alpha.zarr.123.deleting")
    doomed.mkdir()
    yank_genome(path, LAST)
    assert not doomed.exists()


def test_diff_reports_what_and_why(world: Path, built_world: Path) -> None:
    ours, theirs = (folder / "store" / "alpha.zarr" for folder in (world, built_world))
    assert diff_stores(open_store(ours), open_store(theirs))["same"]
    raw = yaml.safe_load((world / "project.yaml").read_text())
    raw["liftover"] |= {"gap": 5, "min_aligned": 0.9}
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    project = load_project(world)
    files = genome_files(project)
    add_genome(ours, name=LAST, replace=True, **files)
    yank_genome(ours, "relative1")
    remove_genome(ours, "relative2")
    found = diff_stores(open_store(ours), open_store(theirs))
    assert not found["same"]
    groups = found["groups"]
    assert groups["reference"] == {"status": "same"}
    assert groups["homologs/relative1"] == {"status": "differs", "state": ["yanked", "complete"]}
    assert groups["homologs/relative2"] == {"status": "only in the second"}
    last = groups[f"homologs/{LAST}"]
    assert last["inputs"] == {"liftover.gap": [5, 20], "liftover.min_aligned": [0.9, 0.0]}
    assert "liftover" in last["arrays"]
    assert last["rows"][0] < last["rows"][1]


def _add(world: Path, name: str, files: dict[str, Any]) -> None:
    add_genome(world, name=name, **files)


@pytest.mark.slow
def test_four_additions_at_once_are_all_there(
    without_last: tuple[Path, dict[str, Any]], built_world: Path
) -> None:
    world, files = without_last
    names = [LAST, "second", "third", "fourth"]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(world, name, files)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert sorted(names_in_project(world)) == sorted(["relative1", "relative2", *names])
    project = load_project(world)
    for experiment in project.experiments:
        path = project.store_path(experiment.name)
        store = open_store(path)
        assert sorted(store.genomes) == sorted(names_in_project(world))
        reference = built_world / "store" / path.name / "homologs" / LAST
        assert digests(path / "homologs" / LAST) == digests(reference)
        for name in names:
            assert store.homologues(name).rows == store.homologues(LAST).rows
    assert not list((world / "store").rglob("*.partial"))


# -- metadata that were damaged since they were written ------------------------------------------


def shorten(path: Path, group: str) -> None:
    """Let the metadata beside the chunks of a column say that it has fewer rows."""
    file = path / group / "label" / "zarr.json"
    node = json.loads(file.read_text())
    node["shape"][0] -= 1
    file.write_text(json.dumps(node))


def test_a_change_of_a_store_does_not_spread_damage(world: Path) -> None:
    path = load_project(world).store_path("alpha")
    rows = open_store(path).homologues("relative1").rows
    shorten(path, "homologs/relative1")
    remove_genome(path, LAST)  # which writes the root
    store = open_store(path)
    assert len(store.homologues("relative1").column("label")) == rows
    assert [problem.group for problem in validate_store(store).problems] == ["homologs/relative1"]


def test_damage_to_a_yanked_genome_is_found_when_it_returns(world: Path) -> None:
    path = load_project(world).store_path("alpha")
    yank_genome(path, "relative1")
    before = (path / "homologs" / "relative1" / "label" / "zarr.json").read_bytes()
    shorten(path, "homologs/relative1")
    yank_genome(path, LAST)  # other changes are not kept from being made
    with pytest.raises(StoreError, match="homologs/relative1: its metadata are damaged"):
        unyank_genome(path, "relative1")
    (path / "homologs" / "relative1" / "label" / "zarr.json").write_bytes(before)
    unyank_genome(path, "relative1")
    assert open_store(path).genomes == ["relative1", "relative2"]
    assert "metadata" not in open_store(path).ledger["homologs/relative1"]
