"""Files of variants: every format gives the same rows; what is no such file is refused."""

from __future__ import annotations

import gzip
import os

import pandas as pd
import pysam
import pytest
from variant_tools import COLUMNS, HEADER, vcf_text

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from sslmodels.variants.variant_rows import (
    VariantRows,
    VariantSurvey,
    rows_of_frame,
    survey,
)

RECORDS = [("chr1", 10, "A", "C"), ("chr1", 12, "AC", "A,G"), ("chr1", 300, "T", "*")]
EXPECTED = [[c, str(p), ".", r, a, ".", ".", "."] for c, p, r, a in RECORDS]


def written(folder, kind):
    """Write the records in a format."""
    path = folder / f"in.{kind}"
    text = vcf_text(*RECORDS)
    if kind == "vcf":
        path.write_text(text)
    elif kind == "crlf":
        path.write_bytes(vcf_text(*RECORDS, end="\r\n").encode())
    elif kind == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    elif kind == "no-last-line-end":
        path.write_text(text.rstrip("\n"))
    elif kind == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    elif kind == "bgzip":
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(text.encode())
    elif kind == "bcf":
        (folder / "for-bcf.vcf").write_text(text)
        with (
            pysam.VariantFile(str(folder / "for-bcf.vcf")) as source,
            pysam.VariantFile(str(path), "wb", header=source.header) as file,
        ):
            for record in source:
                file.write(record)
    return path


KINDS = ["vcf", "crlf", "bom", "no-last-line-end", "gzip", "bgzip", "bcf"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_rows(tmp_path, kind):
    rows = VariantRows(written(tmp_path, kind))
    assert rows.kind == ("bcf" if kind == "bcf" else "vcf")
    for _ in range(2):  # read from the start each time
        assert [fields for _, fields in rows] == EXPECTED
    assert rows.header[-1] == COLUMNS
    lines = [line for line, _ in rows]
    assert lines == ([1, 2, 3] if kind == "bcf" else [6, 7, 8])


TABLES = {
    "tsv": ("chrom\tpos\tref\talt\n", "chr1\t10\tA\tC\n", "tsv"),
    "any order": ("Alt\tREF\tposition\tID\tChr\n", "C\tA\t10\t.\tchr1\n", "tsv"),
    "no ## lines": ("#CHROM\tPOS\tID\tREF\tALT\n", "chr1\t10\t.\tA\tC\n", "tsv"),
    "crlf": ("chrom\tpos\tref\talt\r\n", "chr1\t10\tA\tC\r\n", "tsv"),
    "adastra": (
        "#chr\tpos\tID\tref\talt\tes_mean_ref\tes_mean_alt\tfdrp_bh_ref\tfdrp_bh_alt\n",
        "chr1\t10.0\t.\tA\tC\t1.5\t0\t0.01\t1\n",
        "adastra",
    ),
    "alleledb": (
        "chr\tstart\tend\tTF_indiv_ASB\tref\talt\tcA\tcC\tcG\tcT\tp.binomial\n",
        "chr1\t9\t10\tCTCF_NA1_ASB\tA\tC\t5\t10\t0\t0\t0.1\n",
        "alleledb",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_give_the_same_row(tmp_path, name):
    header, line, kind = TABLES[name]
    path = tmp_path / "in.tsv"
    path.write_bytes((header + line + "\n" + line).encode())  # an empty line is not a row
    rows = VariantRows(path)
    assert rows.kind == kind
    assert [(number, fields[:8]) for number, fields in rows] == [(2, EXPECTED[0]), (4, EXPECTED[0])]
    assert dict(zip(rows.columns, next(iter(rows))[1][8:], strict=True))["ref"] == "A"


def test_rows_of_other_factors_are_counted(tmp_path):
    path = tmp_path / "in.tsv"
    header, line, _ = TABLES["alleledb"]
    others = line.replace("CTCF_", "CTCFL_") + line.replace("CTCF_", "POL2_")
    path.write_text(header + line + others + line)
    rows = VariantRows(path, factor="ctcf")
    assert len(list(rows)) == 2
    assert rows.others == 2
    assert len(list(VariantRows(path))) == 4


@pytest.mark.parametrize(
    "line", ["chr1\t10\tA\n", "chr1\t10\tA\tC\tG\n", "chr1 10 A C\n"], ids=["few", "many", "spaces"]
)
def test_a_row_of_a_table_without_its_columns_is_short(tmp_path, line):
    path = tmp_path / "in.tsv"
    path.write_text(TABLES["tsv"][0] + line + TABLES["tsv"][1])
    assert [len(fields) for _, fields in VariantRows(path)] == [0, 12]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"chr1\t10\tA\tC\n", "no column for contig, position, ref, alt"),
        (b"chrom\tstart\tend\tref\talt\n", "no column for position"),
        (b"PK\x03\x04nothing", "no column for contig"),
        (b"##fileformat=VCFv4.2\n##source=x\n", "without its last line"),
        (b"##fileformat=VCFv4.2\nchr1\t10\t.\tA\tC\t.\t.\t.\n", "2: expected the line '#CHROM POS"),
        (HEADER.encode() + COLUMNS.replace("\t", " ").encode() + b"\n", "separated by tabs"),
        (b"x" * 257 + b"ustar\x0000", "tar archive"),
    ],
)
def test_what_is_no_file_of_variants_is_refused(tmp_path, content, message):
    path = tmp_path / "in.vcf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        VariantRows(path)


def test_no_such_file_and_a_folder(tmp_path):
    with pytest.raises(MissingInputError, match="no such file"):
        VariantRows(tmp_path / "none.vcf")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="is a folder or a pipe"):
            VariantRows(path)


@pytest.mark.parametrize(
    ("kind", "keep"), [("gzip", -20), ("bgzip", -28), ("bgzip", -40), ("bcf", -28), ("bcf", -40)]
)
def test_a_file_that_is_cut_short_is_refused(tmp_path, kind, keep):
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cut short"):
        list(VariantRows(path))


def test_a_factor_is_refused_where_there_are_none(tmp_path):
    with pytest.raises(ConfigError, match="--factor CTCF"):
        VariantRows(written(tmp_path, "vcf"), factor="CTCF")


def test_bytes_that_are_not_utf8_come_through(tmp_path):
    path = tmp_path / "in.vcf"
    path.write_bytes(vcf_text(("chr1", 10, "A", "C", ".", ".", "NOTE=é")).encode("latin-1"))
    ((_, fields),) = VariantRows(path)
    assert fields[7].encode("utf-8", "surrogateescape") == "NOTE=é".encode("latin-1")


def test_a_survey_counts_and_sees_the_order():
    def rows(*places):
        return [(i, [c, str(p), ".", "A", "C", ".", ".", "."]) for i, (c, p) in enumerate(places)]

    assert survey([]) == VariantSurvey()
    ordered = rows(("b", 3), ("b", 3), ("b", 9), ("a", 1))
    assert survey(ordered) == VariantSurvey(4, {"b": 3, "a": 1}, 9, True)
    assert not survey(rows(("b", 3), ("b", 2))).is_sorted
    assert not survey(rows(("b", 3), ("a", 4), ("b", 5))).is_sorted
    # Malformed rows are not written, so they do not count.
    assert survey([*rows(("b", 3)), (9, []), *rows(("b", 4))]) == VariantSurvey(
        3, {"b": 2}, 4, True
    )


def test_rows_of_a_data_frame():
    table = pd.DataFrame({"Chrom": ["chr1"], "pos": [10.0], "ref": ["A"], "alt": ["C"]})
    assert rows_of_frame(table) == [(1, EXPECTED[0])]
    with pytest.raises(InputError, match="no column for alt"):
        rows_of_frame(table.drop(columns="alt"))
