"""Exports hold the rows of the store, readable by the tools they are for."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_store import LENGTH, write_store

from flows.cli import main
from ssldata.base.errors import ConfigError, StoreError
from ssldata.genomes.onehot import decode, one_hot
from ssldata.sharing import export
from ssldata.sharing.export import SPLITS, export_store, export_tfrecord
from ssldata.store.column_writer import write_column
from ssldata.store.store import Store, open_store

ROWS = {
    "reference": (21, 33, 7, 12),
    "homologs/a": (19, 5, 0, 3),
    "homologs/b": (0, 0, 0, 2),
}
HAS_PARQUET = importlib.util.find_spec("pyarrow") is not None
#: Split → (group, first row, end) in the order of the files.
EXPECTED = {
    "train": [("reference", 0, 54), ("homologs/a", 0, 24)],
    "validation": [("reference", 54, 61)],
    "test": [("reference", 61, 73), ("homologs/a", 24, 27), ("homologs/b", 0, 2)],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("export") / "s.zarr", rows=ROWS, experiments=2)


def genome(group: str) -> str:
    return "ref1" if group == "reference" else group.removeprefix("homologs/")


def parse(record: bytes) -> dict[str, Any]:
    found = tf.train.Example.FromString(record).features.feature
    result = {}
    for name, feature in found.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value)
        result[name] = np.frombuffer(values[0], np.uint8) if kind == "bytes_list" else values
    return result


def test_tfrecord(store: Store, tmp_path: Path) -> None:
    report = export_store(store, tmp_path, kind="tfrecord")
    assert len(report) == 6
    for split, parts in EXPECTED.items():
        for name, first, end in parts:
            group = store.group(name)
            path = tmp_path / f"{split}-{genome(name)}.tfrecord"
            records = [
                parse(r.numpy())
                for r in tf.data.TFRecordDataset([str(path)], compression_type="ZLIB")
            ]
            assert len(records) == end - first
            hot = one_hot(group.codes(first, end))
            for i, record in enumerate(records):
                assert (record["sequence"].reshape(LENGTH, 4) == hot[i]).all()
                for key in ("contig", "start", "end", "strand", "weight"):
                    assert record[key] == [group.column(key)[first + i]], key
                assert (record["label"] == group.column("label")[first + i]).all()
            contigs = (tmp_path / f"contigs-{genome(name)}.txt").read_text(encoding="utf-8")
            assert contigs.splitlines() == list(group.contigs)
    assert -1 in store.group("reference").column("strand")


def test_tfrecord_is_parsed_in_batches(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "one.tfrecord"
    export_tfrecord(store, path, groups=["reference", "homologs/a"], compression="")
    features = {
        "sequence": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([2], tf.float32),
        "strand": tf.io.FixedLenFeature([], tf.int64),
    }
    batch = next(iter(tf.data.TFRecordDataset([str(path)]).batch(100)))
    parsed = tf.io.parse_example(batch, features)
    strands = [store.group(n).column("strand")[:end] for n, _, end in EXPECTED["train"]]
    assert (parsed["strand"].numpy() == np.concatenate(strands)).all()
    assert parsed["label"].shape == (78, 2)


def test_a_full_disk_is_an_error_of_the_machine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow has errors of its own, which the command line would report as a bug."""
    monkeypatch.setattr(export, "atomic_path", lambda path: nullcontext(Path("/dev/full")))
    with pytest.raises(OSError, match="No space left on device") as failure:
        export_tfrecord(store, tmp_path / "x.tfrecord", groups=["reference"])
    assert failure.value.errno == errno.ENOSPC
    assert failure.value.filename == str(tmp_path / "x.tfrecord")


def test_bed_and_fasta(store: Store, tmp_path: Path) -> None:
    export_store(store, tmp_path, kind="bed")
    for split, parts in EXPECTED.items():
        for name, first, end in parts:
            group = store.group(name)
            path = tmp_path / f"{split}-{genome(name)}.bed"
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            assert header == "#chrom\tstart\tend\tname\tscore\tstrand\ttf0\ttf1"
            packed = path.with_suffix(".fa.gz").read_bytes()
            letters = gzip.decompress(packed).decode("ascii").split()
            assert len(letters) == 2 * len(lines) == 2 * (end - first)
            for i, line in enumerate(lines):
                row = first + i
                label = group.column("label")[row]
                assert line.split("\t") == [
                    group.contigs[group.column("contig")[row]],
                    str(group.column("start")[row]),
                    str(group.column("end")[row]),
                    f"{genome(name)}:{row}",
                    "1000",
                    "+" if group.column("strand")[row] > 0 else "-",
                    *(str(x) for x in label),
                ]
                assert letters[2 * i] == f">{genome(name)}:{row}"
                assert letters[2 * i + 1] == decode(group.codes(row, row + 1)[0])


def test_parquet(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pyarrow the rows, without it one line that says what to install."""
    if HAS_PARQUET:
        import pyarrow.parquet as pq

        export_store(store, tmp_path, kind="parquet")
        files = sorted(path.name for path in (tmp_path / "data").iterdir())
        assert files == sorted(
            f"{split}-{i:05d}-of-{len(parts):05d}.parquet"
            for split, parts in EXPECTED.items()
            for i in range(len(parts))
        )
        name, first, end = EXPECTED["train"][1]
        table = pq.read_table(tmp_path / "data" / "train-00001-of-00002.parquet").to_pydict()
        group = store.group(name)
        expected = [decode(row) for row in group.codes(first, end)]
        assert table["sequence"] == expected
        assert table["tf1"] == group.column("label")[first:end, 1].tolist()
        assert table["genome"] == ["a"] * 24
        assert table["start"] == group.column("start")[first:end].tolist()
        assert set(table["strand"]) == {"+", "-"}
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pip install 'crosslabel"):
        export_store(store, tmp_path / "other", kind="parquet")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("kind", ["tfrecord", "bed", *(["parquet"] if HAS_PARQUET else [])])
def test_equal_rows_give_equal_files(store: Store, tmp_path: Path, kind: str) -> None:
    for name in ("x", "y"):
        export_store(store, tmp_path / name, kind=kind)  # type: ignore[arg-type]
    first, second = (
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*.*")
            if p.is_file()
        }
        for n in ("x", "y")
    )
    assert first == second
    assert not [path for path in first if path.suffix == ".partial"]


def test_some_genomes_and_splits(store: Store, tmp_path: Path) -> None:
    report = export_store(store, tmp_path, kind="bed", groups=["homologs/a"], splits=["test"])
    assert [(f["file"], f["rows"]) for f in report] == [("test-a.bed", 3)]
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| test-a.bed | homologs/a | test | 3 |" in page
    assert store.digest in page


def test_what_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'csv'; expected tfrecord, parquet, bed"):
        export_store(store, tmp_path, kind="csv")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        export_store(store, tmp_path, kind="bed", splits=["dev"])


def test_the_command(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["store", "export", store.location, str(tmp_path / "out"), "--json", "-f", "bed"]
    assert main([*words, "-g", "a", "-g", "reference", "-s", "train"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [(f["split"], f["rows"]) for f in value["files"]] == [("train", 24), ("train", 54)]
    assert set(SPLITS) == set(EXPECTED)
    assert main([*words, "-g", "zebra"]) == 2
    assert "homologs/zebra" in capsys.readouterr().err


def test_the_command_that_measures(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["store", "bench", store.location, "--seconds", "0.1", "--batch-size", "8"]
    assert main([*words, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["model"] == "cnn-7k"
    assert value["verdict"] in ("data-bound", "model-bound")
    assert value["rows"] == 80
    assert main([*words, "--context", "24"]) == 0
    shown = capsys.readouterr().out
    assert "80 rows of 24 b, batches of 8, chunks decoded directly" in shown
    assert "cnn-7k: a step takes" in shown
    assert main([*words, "-m", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_a_contig_that_is_not_there_is_no_bug(tmp_path: Path) -> None:
    """A sound chunk of a store that someone else made; -1 would be the last contig in Python."""
    path = tmp_path / "s.zarr"
    store = write_store(path, rows=ROWS)
    for number in (2, -1):
        column = store.group("reference").column("contig").copy()
        column[60] = number
        write_column(path / "reference" / "contig", column, ("row",))
        with pytest.raises(StoreError, match="reference/contig: a number that is no contig's"):
            export_store(open_store(path), tmp_path / "out", kind="bed")
