"""Whatever is wrong with a store is found, and a good store has nothing wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from small_store import edit_root
from zarr.codecs import BloscCodec

from ssldata.base.errors import UnreachableError
from ssldata.base.files import digest_of
from ssldata.building.add_remove_genomes import yank_genome
from ssldata.building.build_store import build_project
from ssldata.checking.validate import Report, validate_store
from ssldata.genomes.onehot import N_CODE, one_hot
from ssldata.project.project_file import load_project
from ssldata.store.store import ATTRIBUTE, RowGroup, codes_digest, open_store
from ssldata.store.store_writer import StoreWriter

HOMOLOGUE = "homologs/relative1"


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own to spoil."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


def problems(report: Report) -> set[tuple[str, str]]:
    return {(problem.group, problem.check) for problem in report.problems}


def change(path: Path, array: str, edit: Callable[[Any], None]) -> None:
    """Edit an array of a store in place, as a bug or a bad disk would."""
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    value = np.asarray(group[array][...])
    edit(value)
    group[array][...] = value


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"windows": {"mode": "lift-bins", "context": 400}, "negatives": {"source": "both"}},
        {"windows": {"n_policy": "keep"}, "split": {"validation": []}, "store": {"codes": False}},
        {"store": {"joint": True}, "negatives": {"source": "lifted"}},
    ],
    ids=["plain", "lift-bins", "fraction", "joint"],
)
def test_every_kind_of_store_is_valid(
    settings: dict[str, Any], small_world: Path, tmp_path: Path
) -> None:
    world = tmp_path / "world"
    shutil.copytree(small_world, world)
    raw = yaml.safe_load((world / "project.yaml").read_text())
    for key, value in settings.items():
        raw[key] = {**raw.get(key, {}), **value}
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    project = load_project(world)
    build_project(project, experiments=[project.experiments[0].name])
    store = open_store(project.store_path(project.experiments[0].name))
    report = validate_store(store, deep=True, project=project)
    assert report.problems == []
    assert report.valid
    for name, entry in store.ledger.items():
        assert report.rows[name] == dict.fromkeys(("rows", "sequences", "extracted"), entry["rows"])
    assert {warning.check for warning in report.warnings} <= {"paralogues"}


def set_first(value: Any) -> Callable[[Any], None]:
    def edit(array: Any) -> None:
        array[0] = value

    return edit


def swap_held_out(array: Any) -> None:
    array[-2:] = array[-2:][::-1].copy()


COLUMN_FAULTS = {
    "label without coverage": ("reference", "coverage", set_first(0), "labels"),
    "label of 2": ("reference", "label", set_first(2), "labels"),
    "weight above 1": (HOMOLOGUE, "weight", set_first(1.5), "weights"),
    "weight not a number": (HOMOLOGUE, "weight", set_first(np.nan), "weights"),
    "identity below 0": (HOMOLOGUE, "identity", set_first(-0.1), "values"),
    "no strand": (HOMOLOGUE, "strand", set_first(0), "values"),
    "reference on the minus strand": ("reference", "strand", set_first(-1), "values"),
    "start before the contig": (HOMOLOGUE, "start", set_first(-5), "coordinates"),
    "end beyond the contig": (HOMOLOGUE, "end", set_first(10**9), "coordinates"),
    "no such contig": (HOMOLOGUE, "contig", set_first(99), "coordinates"),
    "train row of a test source": (HOMOLOGUE, "source", set_first(-2), "sources"),
    "other split": (HOMOLOGUE, "split", set_first(2), "splits"),
    "other locus": (HOMOLOGUE, "locus", set_first(7777), "sources"),
    "reference row of another split": ("reference", "split", set_first(2), "splits"),
    "order of the test rows": ("reference", "start", swap_held_out, "order"),
}


@pytest.mark.parametrize("fault", COLUMN_FAULTS.values(), ids=COLUMN_FAULTS.keys())
def test_a_wrong_column_is_found(
    fault: tuple[str, str, Callable[[Any], None], str], path: Path
) -> None:
    group, column, edit, check = fault
    change(path, f"{group}/{column}", edit)
    found = problems(validate_store(open_store(path)))
    assert {(group, check), (group, "checksums")} <= found
    assert {name for name, _ in found} == {group}


def test_a_homologue_of_a_test_source_in_training_is_a_leak(path: Path) -> None:
    store = open_store(path)
    test_source = int(np.flatnonzero(store.sources()["split"] == 2)[0])
    locus = int(store.sources()["locus"][test_source])
    change(path, f"{HOMOLOGUE}/source", set_first(test_source))
    change(path, f"{HOMOLOGUE}/locus", set_first(locus))
    report = validate_store(open_store(path))
    assert any("(leak): row 0" in problem.message for problem in report.problems)


def test_a_bin_that_is_there_twice(path: Path) -> None:
    def double(array: Any) -> None:
        array[1] = array[0]

    for column in ("contig", "start", "end"):
        change(path, f"reference/{column}", double)
    report = validate_store(open_store(path))
    assert any("bin occurs twice" in problem.message for problem in report.problems)


@pytest.mark.parametrize(
    ("array", "check"),
    [("status", "liftover"), ("contig", "liftover"), ("end", "liftover"), ("aligned", "checksums")],
)
def test_a_wrong_liftover_result(array: str, check: str, path: Path) -> None:
    lifted = open_store(path).homologues("relative1").liftover()
    row = int(np.flatnonzero(lifted["status"] == 0)[0])

    def edit(values: Any) -> None:
        values[row] = {"status": 3, "contig": -1, "end": 10**9, "aligned": 1}[array]

    change(path, f"{HOMOLOGUE}/liftover/{array}", edit)
    assert (HOMOLOGUE, check) in problems(validate_store(open_store(path)))


@pytest.mark.parametrize(
    ("array", "value", "check"),
    [
        ("end", 10**9, "coordinates"),
        ("split", 1, "splits"),
        ("label", 3, "labels"),
        ("score", -1.0, "checksums"),
    ],
)
def test_a_wrong_source(array: str, value: float, check: str, path: Path) -> None:
    change(path, f"sources/{array}", set_first(value))
    assert ("sources", check) in problems(validate_store(open_store(path)))


# -- sequences -----------------------------------------------------------------------------------


def shard_of(path: Path, array: str) -> Path:
    return next(p for p in (path / array / "c").rglob("*") if p.is_file())


@pytest.mark.parametrize("array", ["sequence", "sequence_codes"])
def test_a_corrupted_chunk_is_found(array: str, path: Path) -> None:
    file = shard_of(path, f"{HOMOLOGUE}/{array}")
    data = bytearray(file.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    found = problems(validate_store(open_store(path), deep=True))
    assert found
    assert found <= {(HOMOLOGUE, "sequences"), (HOMOLOGUE, "checksums")}


@pytest.mark.parametrize("array", ["sequence", "sequence_codes"])
def test_a_missing_chunk_is_found(array: str, path: Path) -> None:
    shard_of(path, f"{HOMOLOGUE}/{array}").unlink()
    assert (HOMOLOGUE, "sequences") in problems(validate_store(open_store(path)))


@pytest.mark.parametrize(("code", "array"), [(N_CODE, "sequence"), (0, "sequence_codes")])
def test_a_shard_of_zeros_of_format_1_0_has_no_file_and_is_not_missing(
    code: int, array: str, path: Path
) -> None:
    """A long run of N is one in a store that keeps N, as the centromere of a test contig."""
    store = open_store(path)
    rows, entry = store.group(HOMOLOGUE), store.ledger[HOMOLOGUE]
    blank = np.full((rows.rows, rows.length), code, np.uint8)
    group = zarr.open_group(path / HOMOLOGUE, mode="r+", use_consolidated=False)
    for name, values in (("sequence", one_hot(blank)), ("sequence_codes", blank)):
        layout = {key: getattr(group[name], key) for key in ("shape", "dtype", "chunks", "shards")}
        group.create_array(name, **layout, compressors=BloscCodec(), overwrite=True)[...] = values
    checksums = {**entry["checksums"], "sequences": [codes_digest(blank)]}

    def edit(root: dict[str, Any]) -> None:
        ours = root["attributes"][ATTRIBUTE]
        ours["windows"]["n_policy"] = "keep"
        ours["ledger"][HOMOLOGUE] |= {"checksums": checksums, "content": digest_of(checksums)}
        for name in ("sequence", "sequence_codes"):
            node = json.loads((path / HOMOLOGUE / name / "zarr.json").read_bytes())
            root["consolidated_metadata"]["metadata"][f"{HOMOLOGUE}/{name}"] = node

    edit_root(path, edit)
    assert not [p for p in (path / HOMOLOGUE / array / "c").rglob("*") if p.is_file()]
    # The policy was changed by hand above, which disagrees with the ledger.
    found = validate_store(open_store(path), deep=True)
    assert problems(found) == {("", "ledger")} | (
        {(HOMOLOGUE, "sequences")} if array == "sequence_codes" else set()
    )


def test_other_bases_are_found_by_checksum_and_by_extraction(path: Path, built_world: Path) -> None:
    """A consistent change of both arrays, which only the ledger and the genome can tell."""

    def other(codes: Any) -> None:
        codes[3, 10] = (codes[3, 10] + 1) % 4

    change(path, f"{HOMOLOGUE}/sequence_codes", other)
    change(
        path, f"{HOMOLOGUE}/sequence", lambda hot: hot.__setitem__((3, 10), np.roll(hot[3, 10], 1))
    )
    assert validate_store(open_store(path)).valid
    assert problems(validate_store(open_store(path), deep=True)) == {(HOMOLOGUE, "checksums")}
    project = load_project(built_world)
    report = validate_store(open_store(path), deep=True, project=project)
    assert problems(report) == {(HOMOLOGUE, "checksums"), (HOMOLOGUE, "sequences")}
    assert any("not the bases of the genome: row 3" in p.message for p in report.problems)


@pytest.mark.parametrize(
    ("row", "words"), [((1, 1, 0, 0), "not one-hot"), ((0, 0, 0, 0), "codes and one-hot differ")]
)
def test_rows_that_are_not_one_hot(row: tuple[int, ...], words: str, path: Path) -> None:
    change(path, f"{HOMOLOGUE}/sequence", lambda hot: hot.__setitem__((0, 0), row))
    report = validate_store(open_store(path))
    assert any(words in problem.message for problem in report.problems)


def test_another_genome_in_the_project_is_said(path: Path, built_world: Path) -> None:
    project = load_project(built_world)
    genomes = [g.model_copy(update={"name": "relative1"}) for g in project.genomes[1:2]]
    other = project.model_copy(update={"genomes": genomes})
    report = validate_store(open_store(path), deep=True, project=other)
    assert problems(report) == {
        (HOMOLOGUE, "genome"),
        ("homologs/relative2", "genome"),
        ("homologs/relative3", "genome"),
    }


# -- ledger and metadata -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda entry: entry.update(rows=entry["rows"] + 1), (HOMOLOGUE, "arrays")),
        (lambda entry: entry.update(content="0" * 64), ("", "ledger")),
        (lambda entry: entry["ranges"].update(test=[0, 0]), (HOMOLOGUE, "ranges")),
        (lambda entry: entry["liftover"].update(mapped=0), (HOMOLOGUE, "liftover")),
        (lambda entry: entry.update(digest="0" * 64), (HOMOLOGUE, "ledger")),
        (lambda entry: entry["inputs"].update(chain="0" * 64), ("", "ledger")),
        (lambda entry: entry.pop("checksums"), ("", "ledger")),
        (lambda entry: entry["counts"].update(positive_train=1), (HOMOLOGUE, "ledger")),
    ],
    ids=["rows", "content", "ranges", "liftover", "digest", "inputs", "checksums", "counts"],
)
def test_a_ledger_that_disagrees(
    edit: Callable[[dict[str, Any]], None], expected: tuple[str, str], path: Path
) -> None:
    edit_root(path, lambda root: edit(root["attributes"][ATTRIBUTE]["ledger"][HOMOLOGUE]))
    assert expected in problems(validate_store(open_store(path)))


def test_a_genome_built_for_other_reference_rows(path: Path) -> None:
    def lie(root: dict[str, Any]) -> None:
        entry = root["attributes"][ATTRIBUTE]["ledger"][HOMOLOGUE]
        entry["inputs"]["reference rows"] = "0" * 64
        entry["digest"] = digest_of(entry["inputs"])

    edit_root(path, lie)
    messages = [problem.message for problem in validate_store(open_store(path)).problems]
    assert f"{HOMOLOGUE} was built for other reference rows" in messages


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda root: root["reference"].update(digest="0" * 64), "differ in reference sequence"),
        (lambda root: root["peaks"]["alpha"].update(sha256="0" * 64), "differ in peaks of alpha"),
        (lambda root: root["split"].update(test=["chr1"]), "differ in split.test"),
        (lambda root: root.update(seed=5), "differ in seed"),
        (lambda root: root.update(experiments=["beta"]), "are not those with peaks"),
    ],
    ids=["reference", "peaks", "split", "seed", "experiments"],
)
def test_root_attributes_that_disagree_with_the_ledger(
    edit: Callable[[dict[str, Any]], None], words: str, path: Path
) -> None:
    edit_root(path, lambda root: edit(root["attributes"][ATTRIBUTE]))
    problems = validate_store(open_store(path)).problems
    assert any(one.check == "ledger" and words in one.message for one in problems)


def edit_attributes(path: Path, group: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit the attributes of a group, and what the root repeats of them."""
    file = path / group / "zarr.json"
    node = json.loads(file.read_text())
    edit(node["attributes"])
    file.write_text(json.dumps(node))
    edit_root(
        path, lambda root: edit(root["consolidated_metadata"]["metadata"][group]["attributes"])
    )


@pytest.mark.parametrize("group", ["sources", "reference", HOMOLOGUE])
def test_contigs_in_another_order(group: str, path: Path) -> None:
    edit_attributes(path, group, lambda attributes: attributes["contigs"].reverse())
    assert (group, "coordinates") in problems(validate_store(open_store(path)))


def test_contig_sizes_are_held_against_the_genome(path: Path, built_world: Path) -> None:
    def lie(attributes: dict[str, Any]) -> None:
        attributes["contig_sizes"][0] += 1_000_000

    edit_attributes(path, HOMOLOGUE, lie)
    project = load_project(built_world)
    report = validate_store(open_store(path), deep=True, project=project)
    assert problems(report) == {(HOMOLOGUE, "coordinates")}


def test_metadata_of_the_folder_of_homologues(path: Path) -> None:
    (path / "homologs" / "zarr.json").unlink()
    assert problems(validate_store(open_store(path))) == {("", "metadata")}


def test_a_place_that_fails_is_no_wrong_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(path)

    def away(*_: object) -> None:
        raise UnreachableError("the network is down")

    monkeypatch.setattr(RowGroup, "codes", away)
    with pytest.raises(UnreachableError):
        validate_store(store)


def test_stale_metadata(path: Path) -> None:
    def stale(root: dict[str, Any]) -> None:
        root["consolidated_metadata"]["metadata"]["reference/start"]["shape"] = [7]
        del root["consolidated_metadata"]["metadata"]["sources/end"]

    edit_root(path, stale)
    report = validate_store(open_store(path))
    messages = [problem.message for problem in report.problems]
    assert any("reference/start is stale" in message for message in messages)
    assert any("lacks sources/end" in message for message in messages)


def test_a_column_that_is_gone(path: Path) -> None:
    shutil.rmtree(path / HOMOLOGUE / "locus")
    assert (HOMOLOGUE, "arrays") in problems(validate_store(open_store(path)))


def test_a_group_that_is_gone(path: Path) -> None:
    shutil.rmtree(path / HOMOLOGUE)
    assert (HOMOLOGUE, "arrays") in problems(validate_store(open_store(path)))


def test_unfinished_and_left_over_things_are_warnings(path: Path) -> None:
    yank_genome(path, "relative2")
    StoreWriter(path).set_entry("homologs/relative3", {"status": "writing", "digest": "x"})
    (path / "homologs" / "stray").mkdir()
    (path / "reference" / "zarr.json.1.partial").write_text("x")
    report = validate_store(open_store(path))
    assert report.valid
    messages = " ".join(warning.message for warning in report.warnings)
    for word in ("relative2 is yanked", "relative3 is unfinished", "stray", "1.partial"):
        assert word in messages
