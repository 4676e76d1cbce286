"""Each check of leakage fires on a planted fault, and says nothing of a clean store."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from planted_tables import write_project
from small_store import write_store

from ssldata.base.errors import StoreError
from ssldata.building.build_store import build_project
from ssldata.genomes.onehot import decode, one_hot, reverse_complement
from ssldata.project.project_file import load_project
from ssldata.rows.intervals import Intervals
from ssldata.rows.splits import TEST, TRAIN
from ssldata.store.store import REFERENCE, Store, open_store
from ssldata.trust import residual_similarity
from ssldata.trust.claimed_loci import claimed
from ssldata.trust.findings import Finding
from ssldata.trust.leakage import leakage_findings
from ssldata.trust.repeated_windows import Repeats, repeated_windows, repeats_findings

HOMOLOGUES = "homologs/relative1"


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own to spoil."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


def checked(path: Path) -> dict[str, Finding]:
    found = {finding.check: finding for finding in leakage_findings(open_store(path))}
    assert len(found) == 5
    return {check.removeprefix("leakage."): finding for check, finding in found.items()}


def write(path: Path, array: str, rows: Any, value: Any) -> None:
    zarr.open_group(path, mode="r+", use_consolidated=False)[array][rows] = value


def write_codes(path: Path, group: str, row: int, codes: np.ndarray) -> None:
    write(path, f"{group}/sequence_codes", slice(row, row + 1), codes[np.newaxis])
    write(path, f"{group}/sequence", slice(row, row + 1), one_hot(codes)[np.newaxis])


def of_split(store: Store, name: str, split: int) -> np.ndarray:
    return np.flatnonzero(store.group(name).column("split") == split)


def passes(path: Path) -> dict[str, Finding]:
    found = checked(path)
    assert {f.mark for name, f in found.items() if name != "duplicates-within-splits"} == {"pass"}
    assert found["duplicates-within-splits"].mark == "note"
    return found


def test_a_clean_store_passes(built_world: Path) -> None:
    for name in ("alpha", "beta"):
        passes(built_world / "store" / f"{name}.zarr")


@pytest.mark.parametrize(
    "settings",
    [
        {"windows": {"mode": "lift-bins", "context": 400}, "negatives": {"source": "both"}},
        {"split": {"validation": []}, "store": {"joint": True, "codes": False}},
        {"windows": {"mode": "lift-bins"}, "split": {"validation": []}},
    ],
    ids=["lift-bins", "fraction", "drawn peaks"],
)
def test_every_kind_of_clean_store_passes(
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
    found = passes(project.store_path(project.experiments[0].name))
    undecided = found["source-split"].numbers["undecided_rows"]
    drawn = settings.get("windows") == {"mode": "lift-bins"}
    assert (undecided > 0) == drawn
    assert ("not in the store" in found["source-split"].summary) == drawn


def test_a_test_peak_lifted_into_training(path: Path) -> None:
    store = open_store(path)
    row = int(of_split(store, HOMOLOGUES, TEST)[0])
    write(path, f"{HOMOLOGUES}/split", row, TRAIN)
    found = checked(path)["source-split"]
    assert found.mark == "fail"
    assert (found.numbers["leaking_rows"], found.numbers["unexplained_rows"]) == (1, 0)
    assert "1 are in training although their source is held out" in found.summary
    table = found.tables["Splits proven from sources"]
    assert {line[0]: line[2] for line in table.rows} == {
        **dict.fromkeys(("reference", "relative2", "relative3"), 0),
        "relative1": 1,
    }


def test_a_test_peak_that_calls_another_its_source(path: Path) -> None:
    """The columns agree with each other; where the source was lifted to does not."""
    store = open_store(path)
    rows = store.group(HOMOLOGUES)
    row = int(of_split(store, HOMOLOGUES, TEST)[0])
    other = int(of_split(store, HOMOLOGUES, TRAIN)[0])
    for key in ("split", "source", "locus"):
        write(path, f"{HOMOLOGUES}/{key}", row, rows.column(key)[other])
    numbers = checked(path)["source-split"].numbers
    assert (numbers["leaking_rows"], numbers["unexplained_rows"]) == (0, 1)


def test_a_source_outside_the_store_and_a_held_out_bin(path: Path) -> None:
    store = open_store(path)
    write(path, f"{HOMOLOGUES}/source", 0, 10**6)
    row = int(of_split(store, REFERENCE, TEST)[0])
    write(path, "reference/split", row, TRAIN)
    numbers = checked(path)["source-split"].numbers
    assert (numbers["leaking_rows"], numbers["unexplained_rows"]) == (1, 1)


def test_splits_that_the_rule_would_not_draw(path: Path) -> None:
    """A table of sources whose split was edited to fit: the rule is applied to places again."""
    store = open_store(path)
    split = store.sources()["split"].copy()
    moved = np.flatnonzero(split == TEST)
    write(path, "sources/split", slice(None), np.where(split == TEST, TRAIN, split))
    source = store.group(HOMOLOGUES).column("source")
    rows = np.flatnonzero(np.isin(source, moved))
    for row in rows.tolist():
        write(path, f"{HOMOLOGUES}/split", row, TRAIN)
    assert checked(path)["source-split"].numbers["leaking_rows"] == len(rows) > 0


def test_a_paralogue_is_claimed_from_two_splits(path: Path) -> None:
    store = open_store(path)
    rows = store.group(HOMOLOGUES)
    source = rows.column("source")
    row = int(of_split(store, HOMOLOGUES, TEST)[0])
    other = int(of_split(store, HOMOLOGUES, TRAIN)[0])
    # The test source is lifted to the place of a train source, and its row was not dropped.
    for key in ("contig", "start", "end"):
        lifted = rows.liftover()[key][source[other]]
        write(path, f"{HOMOLOGUES}/liftover/{key}", int(source[row]), lifted)
        write(path, f"{HOMOLOGUES}/{key}", row, rows.column(key)[other])
    found = checked(path)["claimed-loci"]
    assert found.mark == "fail"
    assert found.numbers["places_of_two_splits"] == 1
    assert found.numbers["training_on_test_rows"] >= 1
    # The row is gone, as where it has an N: what is left is a warning.
    for key in ("start", "end"):
        write(path, f"{HOMOLOGUES}/{key}", row, rows.column(key)[row])
    write(path, f"{HOMOLOGUES}/contig", row, rows.column("contig")[row])
    found = checked(path)["claimed-loci"]
    assert (found.mark, found.numbers["training_on_test_rows"]) == ("warn", 0)
    assert found.numbers["training_on_held_out_sources_rows"] >= 1


def test_places_of_overlapping_sources() -> None:
    """Ends that only abut are two places; a long interval keeps later ones in its place."""
    places = Intervals(
        np.array([1, 0, 0, 0, 0, 1], np.int32),
        np.array([0, 0, 10, 12, 30, 5]),
        np.array([5, 10, 40, 14, 35, 9]),
    )
    assert claimed(places, np.array([2, 0, 0, 0, 2, 2], np.int8)) == (4, 1)
    assert claimed(places.take(np.zeros(0, np.int64)), np.zeros(0, np.int8)) == (0, 0)


@pytest.mark.parametrize("turn", [False, True], ids=["copy", "reverse complement"])
def test_a_test_positive_that_is_trained_on(
    turn: bool, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(path)
    rows = store.group(REFERENCE)
    test = of_split(store, REFERENCE, TEST)
    row = int(test[rows.column("label")[test, 0] > 0][0])
    codes = rows.codes(row, row + 1)[0]
    write_codes(path, HOMOLOGUES, 0, reverse_complement(codes) if turn else codes)
    monkeypatch.setattr(residual_similarity, "_name", lambda _, name: f"{tmp_path.name}-{name}")
    monkeypatch.setattr(residual_similarity, "LEAST_POSITIVES", 1)
    found = checked(path)
    across, similar = found["duplicates-across-splits"], found["similarity"]
    assert across.mark == "fail"  # one of some twenty positives
    assert across.numbers["test_positives_in_training"] == 1
    assert across.numbers["reverse_complements_rows"] == turn
    assert similar.mark in ("warn", "fail")
    assert similar.numbers["close_positives"] == 1
    assert found["source-split"].mark == "pass"  # places do not show it


def equal_rows(store: Store) -> dict[str, int]:
    """Count equal windows by their letters, in one dictionary."""
    seen: dict[str, list[tuple[int, int]]] = defaultdict(list)
    numbers = dict.fromkeys(("repeated", "in_training", "reversed", "turned", "unknown"), 0)
    number = 0
    for name in (REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)):
        rows = store.group(name)
        for codes, split in zip(rows.codes(0, rows.rows), rows.column("split"), strict=True):
            here, there = decode(codes), decode(reverse_complement(codes))
            if 2 * here.count("N") > len(here):
                numbers["unknown"] += 1
            else:
                side = 3 if here == there else 1 if min(here, there) == here else 2
                seen[min(here, there)].append((int(split), side))
            number += 1
    for members in seen.values():
        train = [side for split, side in members if split == TRAIN]
        for split in range(3):
            some = [side for one, side in members if one == split]
            numbers["repeated"] += max(0, len(some) - 1)
            numbers["turned"] += sum(not side & some[0] for side in some[1:])
            if split != TRAIN and train:
                numbers["in_training"] += len(some)
                numbers["reversed"] += sum(not any(side & x for x in train) for side in some)
    return numbers


def test_repeats_are_those_of_a_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short windows repeat by chance: of two letters, on both strands, palindromes among them."""
    store = write_store(
        tmp_path / "s.zarr", rows={"reference": (40, 60, 30, 50), "homologs/a": (30, 0, 9, 9)}
    )
    rng = np.random.default_rng(1)
    groups = {name: store.group(name) for name in ("reference", "homologs/a")}
    made = {
        name: np.repeat(rng.choice(np.array([0, 3, 4], np.uint8), (group.rows, 4)), 6, axis=1)
        for name, group in groups.items()
    }
    for name, group in groups.items():
        monkeypatch.setattr(group, "codes", lambda a, b, of=made[name]: of[a:b])
    expected = equal_rows(store)
    assert min(expected.values()) > 3
    for part_rows in (10**6, 7):
        found = repeated_windows(store, part_rows=part_rows)
        assert {
            "repeated": found.repeated.sum(),
            "in_training": found.in_training.sum(),
            "reversed": found.reversed_in_training.sum(),
            "turned": found.reverse_complements.sum(),
            "unknown": found.unknown.sum(),
        } == expected
        assert not found.in_training[:, TRAIN].any()


@pytest.mark.parametrize(
    ("rows", "positives", "mark"),
    [(0, 0, "pass"), (10, 0, "pass"), (11, 0, "fail"), (1, 1, "warn"), (3, 2, "fail")],
)
def test_copies_of_positives_and_many_copies_count(rows: int, positives: int, mark: str) -> None:
    found = Repeats(["reference"])
    found.rows[0], found.positives[0] = (5000, 100, 1000), (10, 10, 100)
    found.in_training[0, TEST], found.positives_in_training[0, TEST] = rows, positives
    assert repeats_findings(found)[0].mark == mark
    assert repeats_findings(found)[1].mark == "note"
    found.conflicting[0] = 51
    assert repeats_findings(found)[1].mark == "warn"


def test_tables_of_sequences_have_no_places_to_prove(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    project = load_project(write_project(folder, sequences=", splits: {by: random}"))
    build_project(project)
    path = next((folder / "store").glob("*.zarr"))
    found = checked(path)
    assert found["source-split"].mark == "note"
    assert "made by random" in found["source-split"].summary
    assert found["duplicates-across-splits"].numbers["test_in_training_rows"] == 0


def test_similarity_is_kept_and_damage_is_noticed(
    path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(path)
    made: list[str] = []

    def counted(asked: Any, others: Any) -> Any:
        made.extend(others)
        return real(asked, others)

    real: Callable[..., Any] = residual_similarity.most_similar
    monkeypatch.setattr(residual_similarity, "most_similar", counted)
    folder = own_cache / "similarity"
    shutil.rmtree(folder, ignore_errors=True)
    first = residual_similarity.similarity_to_training(store, [REFERENCE, HOMOLOGUES])
    assert made == [*first] == [REFERENCE, HOMOLOGUES]
    again = residual_similarity.similarity_to_training(store)
    assert made[2:] == ["homologs/relative2", "homologs/relative3"]
    np.testing.assert_array_equal(first[HOMOLOGUES].best, again[HOMOLOGUES].best)
    files = sorted(folder.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:100])
    residual_similarity.similarity_to_training(store)
    assert len(made) == 5


def test_bins_have_no_gaps() -> None:
    share = np.array([0, 0.0499, 0.05, 0.1, 0.2, 0.4999, 0.5, 0.999, 1.0, np.nan])
    assert residual_similarity.bins_of(share).tolist() == [0, 0, 1, 2, 3, 3, 4, 4, 5, 6]
    assert len(residual_similarity.bin_names()) == 7


@pytest.mark.parametrize("column", ["split", "contig"])
def test_columns_that_mean_nothing_are_refused(column: str, path: Path) -> None:
    write(path, f"{HOMOLOGUES}/{column}", 0, 99)
    with pytest.raises(StoreError, match=rf"{column}: .*run `crosslabel store validate` first"):
        leakage_findings(open_store(path))
