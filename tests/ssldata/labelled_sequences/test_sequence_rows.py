"""Tables of sequences as stores: rows, sequences, splits, duplicates, identity, errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from planted_tables import LENGTH, planted_rows, write_project, write_table

from ssldata.base.errors import ConfigError, CrosslabelError, InputError, MissingInputError
from ssldata.building.build_inputs import open_labelled, open_project
from ssldata.building.build_plan import plan_project
from ssldata.building.build_store import build_project
from ssldata.building.up_to_date import is_built
from ssldata.checking.validate import validate_store
from ssldata.genomes.onehot import decode, one_hot
from ssldata.labelled_sequences.sequence_rows import open_table, sequence_rows
from ssldata.project.project_file import dump_project, load_project
from ssldata.rows.splits import SPLIT_NAMES
from ssldata.store.store import open_store


def built(folder: Path, **options):
    path = write_project(folder, **options)
    project = load_project(path)
    build_project(project)
    return project, open_store(project.store.path / "planted.zarr")


def rows_of(store) -> dict[str, tuple[str, int, str]]:
    """Return place → letters, label and split of every row."""
    group = store.group("reference")
    codes, count = group.codes(0, group.rows), group.rows
    found = {}
    for row in range(count):
        strand = "+" if group.column("strand")[row] > 0 else "-"
        contig = group.contigs[group.column("contig")[row]]
        place = f"{contig}:{group.column('start')[row]}-{group.column('end')[row]}({strand})"
        split = SPLIT_NAMES[group.column("split")[row]]
        found[place] = decode(codes[row]), int(group.column("label")[row, 0]), split
    assert len(found) == count
    return found


def test_every_sequence_is_a_row_at_its_place(tmp_path: Path) -> None:
    project, store = built(tmp_path, count=300)
    found = rows_of(store)
    assert {place: row[:2] for place, row in found.items()} == {
        name: (letters, label) for name, letters, label in planted_rows(300)
    }
    splits = [row[2] for row in found.values()]
    assert [splits.count(name) for name in SPLIT_NAMES] == [240, 30, 30]
    group = store.group("reference")
    assert (group.one_hot(0, 300) == one_hot(group.codes(0, 300))).all()
    assert (group.column("coverage") == group.column("label") * LENGTH).all()
    sources = store.sources()
    assert len(sources["start"]) == sum(label for _, _, label in planted_rows(300))
    with_source = group.column("source") >= 0
    assert (with_source == (group.column("label")[:, 0] == 1)).all()
    assert (
        sources["start"][group.column("source")[with_source]] == group.column("start")[with_source]
    ).all()
    report = validate_store(store, deep=True, project=project)
    assert report.problems == []
    assert store.attributes["format_version"] == "1.2"
    assert store.attributes["sequences"]["counts"]["sequences"] == 300
    card = (tmp_path / "store" / "planted.zarr" / "README.md").read_text()
    assert "DNA sequences of 60 b labelled for planted" in card
    assert "peaks" not in card


def test_building_again_does_nothing_and_a_changed_table_is_refused(tmp_path: Path) -> None:
    project, store = built(tmp_path, count=100)
    assert is_built(open_project(project))
    assert build_project(project)[0]["steps"][0]["status"] == "unchanged"
    rows = planted_rows(100)
    rows[7] = (rows[7][0], rows[7][1], 1 - rows[7][2])
    write_table(tmp_path / "table.csv", rows)
    with pytest.raises(CrosslabelError, match=r"other inputs or settings \(sequences\)"):
        build_project(project)
    account = build_project(project, replace=True)[0]
    assert account["digest"] != store.digest


def test_plain_names_give_one_contig(tmp_path: Path) -> None:
    write_project(tmp_path)
    rows = [(f"s{i}", letters, label) for i, (_, letters, label) in enumerate(planted_rows(100))]
    write_table(tmp_path / "table.csv", rows)
    project = load_project(tmp_path)
    table = open_table(project, ["planted"])
    assert "no places on chromosomes are stored: the name 's0' is no locus" in table.notes[0]
    build_project(project)
    group = open_store(tmp_path / "store" / "planted.zarr").group("reference")
    assert group.contigs == ("sequences",)
    assert sorted(group.column("start").tolist()) == [LENGTH * i for i in range(100)]


def test_duplicates_leave_training(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        sequences=", splits: {by: files, validation: v.txt, test: t.txt}",
    )
    rows = planted_rows(40)
    rows[10] = (rows[10][0], rows[30][1], rows[30][2])  # training and test
    rows[11] = (rows[11][0], rows[12][1], rows[12][2])  # training twice
    rows[13] = (rows[13][0], rows[14][1], 1 - rows[14][2])  # another label
    write_table(tmp_path / "table.csv", rows)
    (tmp_path / "v.txt").write_text("\n".join(map(str, range(20, 30))))
    (tmp_path / "t.txt").write_text("\n".join(map(str, range(30, 40))))
    table = open_table(load_project(tmp_path), ["planted"])
    assert len(table.labels) == 40 - 4
    assert table.counts["repeated"] == 2
    assert table.counts["conflicting"] == 2
    assert table.counts["across_splits"] == 1
    starts = set(table.loci.intervals.start.tolist())
    assert not starts & {2000, 2200, 2300, 2400}
    notes = "\n".join(table.notes)
    assert "2 sequences left out: they occur before, or in a held-out split" in notes
    assert f"2 equal sequences have different labels; left out (the first is '{rows[13][0]}')" in (
        notes
    )


def test_splits_by_chromosome(tmp_path: Path) -> None:
    more = "split: {test: [chr2], validation: [chr4]}\n"
    project, store = built(tmp_path, more=more, sequences=", splits: {by: chromosomes}", count=200)
    for place, (_, _, split) in rows_of(store).items():
        expected = {"chr2": "test", "chr4": "validation"}.get(place.split(":")[0], "train")
        assert split == expected
    assert validate_store(store, deep=True, project=project).problems == []


def test_similar_sequences_are_in_one_split(tmp_path: Path) -> None:
    write_project(tmp_path)
    rows = []
    for i, (_, letters, label) in enumerate(planted_rows(100)):
        for shift in range(3):  # three windows that overlap
            text = ("ACG"[shift] * shift) + letters[: LENGTH - shift]
            rows.append((f"s{i}.{shift}", text, label))
    write_table(tmp_path / "table.csv", rows)
    table = open_table(load_project(tmp_path), ["planted"])
    split = table.split.reshape(100, 3)
    assert (split == split[:, :1]).all()
    assert len(np.unique(split)) == 3


def test_two_label_columns_are_a_joint_store(tmp_path: Path) -> None:
    write_project(tmp_path, 200)
    (tmp_path / "project.yaml").write_text(
        "name: two\nwindows: {size: 60}\nstore: {joint: true}\n"
        "experiments:\n"
        "  - {name: planted, sequences: {file: table.csv}}\n"
        "  - {name: odd, sequences: {file: table.csv, label: parity}}\n"
    )
    project = load_project(tmp_path)
    build_project(project)
    store = open_store(tmp_path / "store" / "joint.zarr")
    assert store.experiments == ("planted", "odd") or list(store.experiments) == ["planted", "odd"]
    group = store.group("reference")
    number = (group.column("start") - 1000) // 100
    assert (group.column("label")[:, 1] == number % 2).all()
    assert validate_store(store, deep=True, project=project).problems == []


def test_ambiguous_bases_are_dropped_or_kept(tmp_path: Path) -> None:
    rows = planted_rows(100)
    rows[3] = (rows[3][0], "R" + rows[3][1][1:], rows[3][2])
    for policy, count in (("drop", 99), ("keep", 100)):
        folder = tmp_path / policy
        write_project(folder)
        write_table(folder / "table.csv", rows)
        text = (folder / "project.yaml").read_text()
        text = text.replace("{size: 60}", f"{{size: 60, n_policy: {policy}}}")
        (folder / "project.yaml").write_text(text)
        project = load_project(folder)
        table = open_table(project, ["planted"])
        assert len(table.labels) == count
        build_project(project)
        store = open_store(folder / "store" / "planted.zarr")
        assert validate_store(store, deep=True, project=project).problems == []


def test_the_pool_of_negatives_is_limited(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path, 200, more="negatives: {pool: 10}\n"))
    rows = sequence_rows(project, open_table(project, ["planted"]))
    first, end = rows.ranges["negative"]
    assert end - first == 10
    assert rows.counts["negatives_left_out"] > 50


def test_the_windows_of_a_table_pickle_and_refuse_other_places(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path, 50))
    genome = open_table(project, ["planted"]).genome
    again = pickle.loads(pickle.dumps(genome))
    assert again.digest == genome.digest
    assert (again.names, again.sizes.tolist()) == (genome.names, genome.sizes.tolist())
    name, letters, _ = planted_rows(50)[4]
    strand = 1 if name.endswith("(+)") else -1
    contig = genome.names.index(name.split(":")[0])
    assert decode(again.gather([contig], [1400], LENGTH, [strand])[0]) == letters
    for start, length, s in ((1401, LENGTH, strand), (1400, 50, strand), (1400, LENGTH, -strand)):
        with pytest.raises(InputError, match="has no sequence of"):
            again.gather([contig], [start], length, [s])


@pytest.mark.parametrize(
    ("sequences", "more", "message"),
    [
        ("", "training: {regimes: [ssl]}\n", "ssl need homologues, which sequences do not have"),
        ("", "training: {regimes: [two-stage]}\n", "two_stage_steps"),
        ("", "training: {sweeps: {noise_sd: [1]}}\n", "sweeps"),
        ("", "genomes: [{name: a, sequence: b, chain: c}]\n", "lifted to no other genome"),
        (", fit: pad", "", "needs windows.n_policy keep"),
        (", splits: {by: chromosomes}", "", "split.test: names no contig"),
        (", splits: {by: files}", "", "by files needs 'validation' and 'test'"),
        (", splits: {expected: [1, 2]}", "", "expected has three numbers"),
        (", splits: {test: a.txt}", "", "'test' goes with 'by: files'"),
        (", splits: {test_fraction: 0.6, validation_fraction: 0.5}", "", "leave nothing"),
        (", labels: a.txt, label_in_header: true", "", "not in both"),
        (", lable: x", "", "did you mean 'label'"),
    ],
)
def test_what_sequences_cannot_have_is_one_line(
    tmp_path: Path, sequences: str, more: str, message: str
) -> None:
    path = write_project(tmp_path, 10, sequences=sequences, more=more)
    with pytest.raises(ConfigError) as caught:
        load_project(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_peaks_and_sequences_do_not_mix(tmp_path: Path) -> None:
    path = write_project(tmp_path, 10)
    text = path.read_text()
    for change, message in (
        ("{name: a, peaks: b.bed}, ", "all have 'peaks', or all have 'sequences'"),
        ("{name: a}, ", "the key 'peaks' is missing"),
        ("{name: a, peaks: b, sequences: {file: c}}, ", "not both"),
    ):
        path.write_text(
            text.replace("experiments: [", "experiments: [" + change)
            + "reference: {name: r, sequence: r.fa}\nsplit: {test: [chr1]}\n"
        )
        with pytest.raises(ConfigError, match=message):
            load_project(path)


def test_a_project_of_sequences_reads_back_and_has_no_genome(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path, 10))
    assert project.training.regimes == ["sl"]
    (tmp_path / "again.yaml").write_text(dump_project(project))
    assert load_project(tmp_path / "again.yaml").model_dump() == project.model_dump()
    with pytest.raises(ConfigError, match="there is no labelled genome"):
        open_labelled(project)


def test_a_split_without_positives_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path, 6))
    with pytest.raises(InputError, match=r"positive and negative sequences: .*sequences.splits"):
        build_project(project)
    assert not (tmp_path / "store" / "planted.zarr").exists()


def test_a_plan_names_what_is_missing_and_estimates_the_rest(tmp_path: Path) -> None:
    more = "training: {published_counts: counts.csv}\n"
    splits = ", splits: {by: files, train: a.txt, validation: v.txt, test: t.txt}"
    project = load_project(write_project(tmp_path, 10, sequences=splits, more=more))
    (tmp_path / "table.csv").unlink()
    for name, count in (("a", 60), ("v", 8), ("t", 7)):
        (tmp_path / f"{name}.txt").write_text("\n".join(map(str, range(count))))
    (tmp_path / "counts.csv").write_text("experiment,positives,pseudo_labelled\nplanted,20,0\n")
    plan = plan_project(project)
    assert plan.missing == [str(tmp_path.resolve() / "table.csv")]
    step = plan.steps[0]
    assert (step.rows, step.positives, step.test, step.assumed) == (75, 20, 7, True)
    assert step.bytes is not None
    assert step.bytes > 1000
    assert plan.assumptions[1].startswith("every sequence of the splits is stored")
    with pytest.raises(MissingInputError, match=r"table\.csv"):
        build_project(project)
