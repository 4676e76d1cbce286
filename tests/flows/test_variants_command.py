"""``crosslabel variants``: what is printed, and wrong options in one line."""

from __future__ import annotations

import json

import pytest
from variant_tools import base, other, small_genome, small_run, vcf_text

from flows.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Change to a folder with a genome, a run, variants, and an observed table."""
    monkeypatch.chdir(tmp_path)
    small_genome(tmp_path)
    small_run(tmp_path / "run")
    places = [20, 40, 60, 80]
    records = [("1", at, base("chr1", at), other(base("chr1", at))) for at in places]
    wrong = ("1", 90, other(base("chr1", 90)), base("chr1", 90))
    (tmp_path / "in.vcf").write_text(vcf_text(*records, wrong))
    lines = [f"{c}\t{at}\t{ref}\t{alt}\t{at % 7}\n" for c, at, ref, alt in records]
    (tmp_path / "observed.tsv").write_text("chrom\tpos\tref\talt\tobserved\n" + "".join(lines))
    return tmp_path


def variants(*arguments: str) -> int:
    return main(["variants", "run", "--genome", "genome.fa", *arguments])


def test_scores_are_written_and_summed_up(place, capsys):
    assert variants("--vcf", "in.vcf", "--out", "out.vcf.gz") == 0
    printed = capsys.readouterr()
    for text in (
        "5 alternative alleles in 5 rows",
        "reference mismatch         1",
        "contigs renamed: 1 = chr1",
        "wrote out.vcf.gz",
        "index: out.vcf.gz.tbi",
    ):
        assert text in printed.out
    assert "warning: in.vcf: 1 not scored, reference_mismatch: line 10" in printed.err
    assert (place / "out.vcf.gz.tbi").is_file()


def test_json_and_options(place, capsys):
    options = ["--score", "difference", "--score", "log-odds", "--shift", "-2", "--shift", "2"]
    assert variants("--vcf", "in.vcf", "--out", "out.tsv", "--json", "-q", *options) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["scored"], value["status"]["reference_mismatch"]) == (4, 1)
    header = (place / "out.tsv").read_text().splitlines()[0].split("\t")
    assert header[-2:] == ["difference", "log-odds"]
    both = (place / "out.tsv").read_text()
    assert variants("--vcf", "in.vcf", "--out", "out.tsv", "--one-strand", *options) == 0
    assert (place / "out.tsv").read_text() != both


def test_a_dry_run_writes_nothing(place, capsys):
    before = sorted(place.iterdir())
    assert variants("--vcf", "in.vcf", "--out", "out.vcf", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scored"] == 4
    assert sorted(place.iterdir()) == before


def test_observed_imbalance_is_compared(place, capsys):
    assert variants("--observed", "observed.tsv", "--comparison", "out") == 0
    printed = capsys.readouterr().out
    assert "4 rows, 4 variants with an observed imbalance" in printed
    assert "Spearman" in printed
    assert (place / "out" / "scatter.png").is_file()


def test_a_factor_belongs_to_the_table_that_has_factors(place, capsys):
    lines = [
        "\t".join(["1", str(at - 1), str(at), "CTCF_x_ASB", ref, other(ref), "1\t2\t3\t4\n"])
        for at, ref in ((20, base("chr1", 20)), (40, base("chr1", 40)))
    ]
    header = "chr\tstart\tend\tTF_indiv_ASB\tref\talt\tcA\tcC\tcG\tcT\n"
    (place / "asb.txt").write_text(header + "".join(lines) + lines[0].replace("CTCF", "POL2"))
    options = ["--observed", "asb.txt", "--comparison", "out", "--factor", "CTCF", "--json"]
    for vcf, others in (("in.vcf", 0), ("asb.txt", 1)):
        assert variants("--vcf", vcf, "--out", "out.tsv", *options) == 0
        value = json.loads(capsys.readouterr().out)
        assert value["other_factors"] == others
        assert value["observed"]["variants"] == 2
        assert value["observed"]["correlations"][0]["spearman"] is None
    assert variants(*options[:-1]) == 0
    assert "–" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score"),
        (["--vcf", "in.vcf"], "also name the file to write (--out)"),
        (["--out", "x.vcf", "--observed", "t", "--comparison", "d"], "--vcf, which is missing"),
        (["--observed", "t"], "belong together"),
        (["--observed", "t", "--comparison", "d", "--dry-run"], "--dry-run: it checks"),
        (["--vcf", "in.vcf", "--out", "o.vcf", "--comparison", "d"], "belong together"),
        (["--vcf", "none.vcf", "--out", "o.vcf"], "none.vcf: no such file"),
        (["--vcf", "in.vcf", "--out", "o.xls"], "o.xls: unknown format"),
        (["--vcf", "in.vcf", "--out", "o.vcf", "--score", "best"], "no such score"),
        (["--vcf", "in.vcf", "--out", "o.vcf", "--shift", "12"], "shift 12"),
        (["--vcf", "in.vcf", "--out", "o.vcf", "--factor", "X"], "--factor X"),
    ],
)
def test_mistakes_are_one_line(place, capsys, arguments, message):
    before = sorted(place.iterdir())
    assert variants(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("crosslabel: error: ")
    assert message in lines[0]
    assert sorted(place.iterdir()) == before
