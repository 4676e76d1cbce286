"""Tables of sequences: formats, letters, labels, and what is left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import InputError, MissingInputError
from ssldata.genomes.onehot import decode
from ssldata.labelled_sequences.sequence_table import (
    SequenceBatch,
    TableOptions,
    read_sequences,
    read_whole,
    table_columns,
)

LABELLED = TableOptions(labels=("label",))


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def letters(batch: SequenceBatch) -> list[str]:
    return [decode(row) for row in batch.codes]


CSV = "header,sequence,label\n>chr1:0-4(+),ACGT,1\nb,ttga,0\nc,GGNC,0\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: gzip.compress(text.encode()),
        lambda text: text.replace("ttga", '"ttga"').encode(),
        lambda text: b"label,extra,sequence,header\n1,x,ACGT,chr1:0-4(+)\n0,,ttga,b\n0,y,GGNC,c\n",
    ],
)
def test_every_way_to_write_a_table_gives_the_same(tmp_path: Path, change) -> None:
    batch, report = read_whole(written(tmp_path / "t.csv", change(CSV)), LABELLED)
    assert batch.names == ["chr1:0-4(+)", "b", "c"]
    assert letters(batch) == ["ACGT", "TTGA", "GGNC"]
    assert batch.labels.tolist() == [[1], [0], [0]]
    assert batch.number.tolist() == [0, 1, 2]
    assert batch.line.tolist() == [2, 3, 4]
    assert batch.ambiguous.tolist() == [0, 0, 1]
    assert (report.rows, report.kept, report.ambiguous) == (3, 3, 1)


def test_further_columns_come_along(tmp_path: Path) -> None:
    text = "header,sequence,split\na,ACGT,train\nb,AC,test\nc,GGGG, test \n"
    path = written(tmp_path / "t.csv", text)
    assert table_columns(path) == ["header", "sequence", "split"]
    batch, _ = read_whole(path, TableOptions(carried=("split",), batch=1))
    assert (batch.names, batch.carried) == (["a", "c"], [("train",), ("test",)])
    with pytest.raises(InputError, match="no column fold"):
        read_whole(path, TableOptions(carried=("fold",)))
    with pytest.raises(InputError, match="is empty"):
        table_columns(written(tmp_path / "e.csv", "\n"))


def test_iupac_codes_are_n_and_counted(tmp_path: Path) -> None:
    text = "sequence\nACGT\nRYSW\nKMBD\nHVNa\n"
    batch, report = read_whole(written(tmp_path / "t.csv", text))
    assert letters(batch) == ["ACGT", "NNNN", "NNNN", "NNNA"]
    assert batch.names == ["row 0", "row 1", "row 2", "row 3"]
    assert batch.labels.shape == (4, 0)
    assert report.ambiguous == 3
    assert batch.ambiguous.tolist() == [0, 4, 4, 3]


FASTA = ">a first\nAC\nGT\n\n>b\nttga\n>c\nGGNC"


@pytest.mark.parametrize(
    "labels",
    [
        "header,label\na,1\nc,0\nb,0\n",
        "a\t1\nb\t0\nc\t0\n",
        "1\n0\n0\n",
        "label\n1\n0\n0\n",
        "header\tsomething\tlabel\na\tx\t1\nb\ty\t0\nc\tz\t0\n",
    ],
)
def test_labels_beside_a_fasta(tmp_path: Path, labels: str) -> None:
    path = written(tmp_path / "t.fa", FASTA)
    options = TableOptions(labels=("label",), label_file=written(tmp_path / "labels.txt", labels))
    batch, report = read_whole(path, options)
    assert letters(batch) == ["ACGT", "TTGA", "GGNC"]
    assert batch.labels.tolist() == [[1], [0], [0]]
    assert report.unused_labels == 0


def test_labels_in_headers(tmp_path: Path) -> None:
    path = written(tmp_path / "t.fa", ">chr1:0-4(+) 1\nACGT\n>b label=0\nTTGA\n>c x\nGGGG\n")
    options = TableOptions(labels=("label",), label_in_header=True)
    batch, report = read_whole(path, options)
    assert batch.names == ["chr1:0-4(+)", "b"]
    assert batch.labels.tolist() == [[1], [0]]
    assert report.first["label"] == "line 5, 'x', expected 0 or 1"


def test_labels_of_no_sequence_and_sequences_without_label(tmp_path: Path) -> None:
    path = written(tmp_path / "t.fa", FASTA)
    labels = written(tmp_path / "labels.txt", "a,1\nb,0\nz,1\n")
    batch, report = read_whole(path, TableOptions(labels=("label",), label_file=labels))
    assert batch.names == ["a first", "b"]
    assert report.bad == {"no_label": 1}
    assert report.unused_labels == 1
    assert "1 labels belong to no sequence" in "\n".join(report.notes())


def test_several_labels(tmp_path: Path) -> None:
    text = "header,sequence,one,two\na,ACGT,1,0\nb,TTGA,0,1\n"
    path = written(tmp_path / "t.csv", text)
    batch, _ = read_whole(path, TableOptions(labels=("two", "one")))
    assert batch.labels.tolist() == [[0, 1], [1, 0]]


def test_bad_rows_are_left_out_and_counted_with_the_first_line_of_each(tmp_path: Path) -> None:
    good = "".join(f"g{i},ACGT,{i % 2}\n" for i in range(12))
    bad = "x,ACGT,2\ny,,1\nz,AC-T,1\ng3,TTTT,1\nw,ACGTA,0\nv,ACGT\nu,ACGT,\nt,ACGT,NA\n"
    path = written(tmp_path / "t.csv", "header,sequence,label\n" + good + bad)
    batch, report = read_whole(path, LABELLED)
    assert len(batch) == 12
    assert report.counts() == {
        "sequences": 20, "kept": 12, "bad_columns": 1, "bad_no_label": 1, "bad_label": 2,
        "bad_empty": 1, "bad_letters": 1, "bad_length": 1, "bad_duplicate": 1, "ambiguous": 0,
        "fitted": 0,
    }  # fmt: skip
    assert report.first == {
        "label": "line 14, '2', expected 0 or 1",
        "empty": "line 15, 'y' has none",
        "letters": "line 16, '-' at base 3",
        "duplicate": "line 17, 'g3'",
        "length": "line 18, 5 bases, expected 4",
        "columns": "line 19, it has 2",
        "no_label": "line 20, none is given",
    }
    assert f"{path}: 2 of 20 sequences left out" in report.notes()[0]


def test_mostly_bad_rows_are_an_error(tmp_path: Path) -> None:
    rows = "".join(f"s{i},{'ACGTA' if i else 'ACGT'},1\n" for i in range(5))
    path = written(tmp_path / "t.csv", "header,sequence,label\n" + rows)
    with pytest.raises(InputError, match=r"4 of the first 5 sequences .* found 5 \(4\), 4 \(1\)"):
        read_whole(path, LABELLED)


def test_a_long_bad_table_is_refused_early(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "sequence,label\n" + "ACGT,7\n" * 5000)
    stream = read_sequences(path, LABELLED)
    with pytest.raises(InputError, match="1000 of the first 1000"):
        list(stream)


@pytest.mark.parametrize(
    ("fit", "expected", "fitted"),
    [
        ("exact", ["ACGT"], 0),
        ("crop", ["ACGT", "CGTA"], 1),
        ("pad", ["ACGT", "NGTN"], 1),
        ("crop-or-pad", ["ACGT", "CGTA", "NGTN"], 2),
    ],
)
def test_other_lengths(tmp_path: Path, fit, expected: list[str], fitted: int) -> None:
    # Good rows first, so that few are bad.
    rows = "ACGT\nACGTAC\nGT\n" + "AAAA\n" * 5
    path = written(tmp_path / "t.csv", "sequence\n" + rows)
    batch, report = read_whole(path, TableOptions(length=4, fit=fit))
    assert letters(batch)[: len(expected)] == expected
    assert report.fitted == fitted
    assert batch.ambiguous.sum() == 0
    assert batch.width.tolist()[: len(expected)] == [
        {"ACGT": 4, "CGTA": 6, "NGTN": 2}[text] for text in expected
    ]


def test_batches_join_to_the_whole_and_a_stream_reads_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(53)]
    path = written(tmp_path / "t.csv.gz", gzip.compress(("sequence\n" + "\n".join(rows)).encode()))
    stream = read_sequences(path, TableOptions(batch=10))
    assert [len(batch) for batch in stream] == [10, 10, 10, 10, 10, 3]
    again = SequenceBatch.concatenate(list(stream))
    assert letters(again) == rows
    assert stream.report.kept == 53


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("header,sequence,label\n", "no sequences"),
        ("header,seq,label\na,ACGT,1\n", "no column sequence; its columns are 'header'"),
        (">a\nACGT\n", "needs a file of labels"),
        (b"header,sequence\n\xff,A\n", "line 2: not a text file"),
        (b"header,sequence\n\0,A\n", "line 2: not a text file"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "damaged|cut short"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_whole(written(tmp_path / "t", text), LABELLED)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such file"):
        read_whole(tmp_path / "none.csv")


def test_a_file_of_labels_that_does_not_fit(tmp_path: Path) -> None:
    path = written(tmp_path / "t.fa", FASTA)
    for text, message in (
        ("a,1\na,0\n", "'a' has labels twice"),
        ("a,1,0\nb,1,0\n", "2 labels per sequence, expected 1"),
        ("a,1\nb\n", "line 2: 1 columns"),
        ("\n", "no labels in it"),
    ):
        options = TableOptions(labels=("label",), label_file=written(tmp_path / "labels.txt", text))
        with pytest.raises(InputError, match=message):
            read_whole(path, options)


def test_labels_of_a_table_are_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its labels are columns of it"):
        read_whole(
            written(tmp_path / "t.csv", CSV), TableOptions(labels=("label",), label_in_header=True)
        )
