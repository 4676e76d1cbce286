"""Files of variants with their scores: what is written, what an outside parser reads of it."""

from __future__ import annotations

import gzip
import json
import logging
import sys
import tarfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import cyvcf2
import numpy as np
import pandas as pd
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from variant_tools import (
    CONTIGS,
    base,
    other,
    small_genome,
    small_model,
    small_run,
    vcf_text,
)

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.genome import open_genome
from sslmodels.variants import variant_effects as module
from sslmodels.variants.effect_scores import EffectOptions, EffectScorer
from sslmodels.variants.variant_effects import annotate_variants, variant_effects

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # cyvcf2 and NumPy's newest release.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:cyvcf2"),
]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return small_genome(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module")
def model():
    return small_model()


def snv(at, contig="chr1", *more):
    return (contig, at, base(contig, at), other(base(contig, at)), *more)


#: Rows of every kind, out of order, and the status of each allele.
ODD = [
    (snv(120), "scored"),
    (snv(100), "scored"),
    (("1", 101, base("chr1", 101), other(base("chr1", 101))), "scored"),
    ((*snv(160)[:2], *(text.lower() for text in snv(160)[2:])), "scored"),
    (("chr1", 110, base("chr1", 110), f"{other(base('chr1', 110))},*,<DEL>"), None),
    (("chr1", 130, base("chr1", 130, 4), base("chr1", 130)), "scored"),
    (("chr1", 130, base("chr1", 130), base("chr1", 130) + "ACCA"), "scored"),
    (("chr1", 140, base("chr1", 140, 2), other(base("chr1", 140, 2))), "scored"),
    (("chr1", 150, other(base("chr1", 150)), base("chr1", 150)), "reference_mismatch"),
    (("chr1", 255, "A", "C"), "reference_n"),
    (("chr1", 0, "N", "C"), "ambiguous_allele"),
    (("chr1", 0, "A", "C"), "outside_contig"),
    (("chr1", 5000, "A", "C"), "outside_contig"),
    (("chrUn", 5, "A", "C"), "unknown_contig"),
    (("chr1", 90, base("chr1", 90), "."), "no_alternative"),
    (("chr1", 91, base("chr1", 91), "R"), "ambiguous_allele"),
    (("chr2", 5, base("chr2", 5), other(base("chr2", 5))), "short_contig"),
    (("chr1", 95, base("chr1", 95), base("chr1", 95)), "same_allele"),
    (("chr1", 96, base("chr1", 96), base("chr1", 96) + "A" * 30), "longer_than_window"),
]
#: Lines that are no records, which a VCF cannot hold.
MALFORMED = ["chr1\t100\t.\tA", "chr1\tx\t.\tA\tC\t.\t.\t.", "chr1\t7\t.\t\tC\t.\t.\t.", "##late=1"]
MALFORMED += ["chr1\t99999999999\t.\tA\tC\t.\t.\t."]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz"])
def test_no_row_is_lost_whatever_it_is(tmp_path, genome, model, caplog, end, name):
    path, out = tmp_path / "in.vcf", tmp_path / name
    text = vcf_text(*(record for record, _ in ODD), end=end)
    path.write_bytes((text + end.join(MALFORMED) + end + end).encode())
    with caplog.at_level(logging.WARNING, "sslmodels"):
        found = annotate_variants(model, path, out, genome=genome)
    expected = Counter(status for _, status in ODD if status)
    expected += Counter(["scored", "overlapping_deletion", "symbolic"])
    expected["malformed"] = len(MALFORMED)
    assert {key: n for key, n in found["status"].items() if n} == dict(expected)
    assert found["rows"] == len(ODD) + len(MALFORMED)
    assert found["alleles"] == sum(expected.values())
    assert found["contigs_renamed"] == {"1": "chr1"}
    assert found["contigs_unknown"] == ["chrUn"]
    assert found["index"].startswith("none: ")
    for status in set(expected) - {"scored"}:
        assert any(f"not scored, {status}: line " in line for line in caplog.messages)
    # An outside parser sees every record but the malformed ones, in order.
    records = list(cyvcf2.VCF(str(out)))
    assert [(r.CHROM, r.POS, r.REF, ",".join(r.ALT) or ".") for r in records] == [
        record[:4] for record, _ in ODD
    ]
    assert [r.INFO["CL_status"] for r in records] == [
        status or "scored,overlapping_deletion,symbolic" for _, status in ODD
    ]
    mismatch = found["examples"]["reference_mismatch"]
    genome_has = f"the genome has {base('chr1', 150)}"
    assert len(mismatch) == 1
    assert genome_has in mismatch[0]


def test_tables_have_a_line_for_every_allele(tmp_path, genome, model):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(*(record for record, _ in ODD)) + "\n".join(MALFORMED) + "\n")
    whole = variant_effects(model, path, genome=genome)
    assert len(whole) == len(ODD) + 2 + len(MALFORMED)
    assert whole["line"].is_monotonic_increasing
    assert whole["line"].iloc[0] == 6
    for name in ("out.tsv", "out.tsv.gz", "out.parquet"):
        annotate_variants(model, path, tmp_path / name, genome=genome)
        if name.endswith("parquet"):
            table = pd.read_parquet(tmp_path / name)
        else:
            table = pd.read_csv(
                tmp_path / name, sep="\t", keep_default_na=False, na_values={"paper": "", "pos": ""}
            )
        assert list(table.columns) == list(whole.columns)
        assert table["status"].tolist() == whole["status"].tolist()
        assert table["alt"].tolist() == whole["alt"].tolist()
        np.testing.assert_allclose(
            table["paper"].astype(float), whole["paper"].astype(float), rtol=1e-5
        )
    # The VCF has the same numbers.
    annotate_variants(model, path, tmp_path / "out.vcf", genome=genome)
    numbers = []
    for record in cyvcf2.VCF(str(tmp_path / "out.vcf")):
        value = record.INFO.get("CL_paper")
        values = value if isinstance(value, tuple) else (value,)
        numbers += [np.nan if one is None else one for one in values][: len(record.ALT) or 1]
        numbers += [np.nan] * (len(record.ALT) - len(values))
    np.testing.assert_allclose(numbers, whole["paper"][: len(numbers)], rtol=1e-5)


TEXT = st.text("abcXYZ019_", min_size=1, max_size=8)
ALLELE = st.text("ACGTacgtN", min_size=1, max_size=6) | st.sampled_from(["<DEL>", "*"])
RECORD = st.tuples(
    st.sampled_from([*CONTIGS, "M", "other"]),
    st.integers(1, 450),
    st.just(".") | TEXT,
    st.text("ACGTacgtN", min_size=1, max_size=6),
    st.lists(ALLELE, min_size=1, max_size=3).map(",".join) | st.just("."),
    st.sampled_from([".", "30", "1.5"]),
    st.sampled_from([".", "PASS"]),
    st.sampled_from([".", "DP=3", "DP=7;DB"]),
    st.sampled_from(["0/1\t1|1", "./.\t0", ".\t."]),
)
META = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    '##INFO=<ID=DB,Number=0,Type=Flag,Description="Known">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(records=st.lists(RECORD, max_size=12), samples=st.booleans())
def test_a_record_comes_back_with_nothing_but_more_info(tmp_path, genome, model, records, samples):
    """What cyvcf2 reads of the input and of the output is the same but for our INFO fields."""
    names = "\tFORMAT\tone\ttwo" if samples else ""
    lines = [f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO{names}"]
    lines += [
        "\t".join([*map(str, record[:8]), *(("GT", record[8]) if samples else ())])
        for record in records
    ]
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    contigs = "".join(f"##contig=<ID={name}>\n" for name in [*CONTIGS, "M", "other"])
    path.write_text(META + contigs + "\n".join(lines) + "\n")
    try:
        annotate_variants(model, path, out, genome=genome)
    except InputError:  # there are rows, and none of them can be scored
        counted = annotate_variants(model, path, None, genome=genome)
        assert counted["rows"] == len(records) > counted["scored"] == 0
        return
    before, after = cyvcf2.VCF(str(path)), cyvcf2.VCF(str(out))
    assert before.samples == after.samples
    old, new = list(before), list(after)
    assert len(old) == len(new) == len(records)
    for a, b in zip(old, new, strict=True):
        left = str(a).rstrip("\n").split("\t")
        right = str(b).rstrip("\n").split("\t")
        assert left[:7] + left[8:] == right[:7] + right[8:]
        info = [field for field in right[7].split(";") if not field.startswith("CL_")]
        assert (";".join(info) or ".") == left[7]
        assert b.INFO["CL_status"]
    header = {line for line in before.raw_header.splitlines() if not line.startswith("#CHROM")}
    assert header <= set(after.raw_header.splitlines())


def test_a_sorted_file_has_an_index(tmp_path, genome, model):
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    path.write_text(vcf_text(snv(20), snv(20), snv(100), snv(30, "chrM")))
    (tmp_path / "out.vcf.gz.csi").write_text("of an older file")
    found = annotate_variants(model, path, out, genome=genome)
    assert found["sorted"]
    assert found["index"] == str(out) + ".tbi"
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out.vcf.gz", "out.vcf.gz.tbi"]
    assert Path(found["index"]).stat().st_mtime_ns >= out.stat().st_mtime_ns
    assert [r.POS for r in cyvcf2.VCF(str(out))("chr1:50-150")] == [100]
    with pysam.TabixFile(str(out)) as tabix:
        assert len(list(tabix.fetch("chr1", 0, 50))) == 2
    # The contig that the header lacked has its line, with its length.
    with pysam.VariantFile(str(out)) as file:
        assert file.header.contigs["chrM"].length == 60
        assert file.header.contigs["chr1"].length == 400
    # Not sorted: no index, not even the old one.
    path.write_text(vcf_text(snv(100), snv(20)))
    assert "not sorted" in annotate_variants(model, path, out, genome=genome)["index"]
    assert [p.name for p in tmp_path.glob("out*")] == ["out.vcf.gz"]


def test_positions_that_tabix_cannot_index_get_a_csi(tmp_path, genome, model):
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    path.write_text(vcf_text(("chr1", 0, "N", "A"), snv(20), ("chr1", 2**29 + 5, "A", "C")))
    assert annotate_variants(model, path, out, genome=genome)["index"].endswith(".csi")
    assert [r.POS for r in cyvcf2.VCF(str(out))("chr1:536870900-536870930")] == [2**29 + 5]


@pytest.mark.parametrize("rows", [1, 4, 5, 11])
def test_batches_change_nothing(tmp_path, genome, model, monkeypatch, rows):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(*(snv(at) for at in range(20, 20 + rows))))
    annotate_variants(model, path, tmp_path / "whole.vcf", genome=genome)
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    annotate_variants(model, path, tmp_path / "parts.vcf", genome=genome)

    def numbers(name):
        return [r.INFO["CL_paper"] for r in cyvcf2.VCF(str(tmp_path / name))]

    # The last digit may differ: TensorFlow adds in another order.
    np.testing.assert_allclose(numbers("parts.vcf"), numbers("whole.vcf"), atol=1e-7)
    assert len(numbers("parts.vcf")) == rows


def test_tables_can_become_vcf(tmp_path, genome, model):
    path, out = tmp_path / "in.tsv", tmp_path / "out.vcf.gz"
    contig, at, ref, alt = snv(100)
    path.write_text(
        "chr\tstart\tend\tTF_indiv_ASB\tref\talt\tcA\tcC\tcG\tcT\n"
        f"{contig}\t{at - 1}\t{at}\tCTCF_x_ASB\t{ref}\t{alt}\t1\t2\t3\t4\n"
        f"{contig}\t{at - 1}\t{at}\tPOL2_x_ASB\t{ref}\t{alt}\t1\t2\t3\t4\n"
    )
    found = annotate_variants(model, path, out, genome=genome, factor="CTCF")
    assert (found["format"], found["rows"], found["other_factors"]) == ("alleledb", 1, 1)
    (record,) = cyvcf2.VCF(str(out))
    assert [record.CHROM, record.POS, record.REF, *record.ALT] == [contig, at, ref, alt]
    table = variant_effects(model, path, genome=genome, factor="CTCF")
    assert record.INFO["CL_paper"] == pytest.approx(float(table["paper"].iloc[0]), rel=1e-5)


def test_an_empty_file_gives_an_empty_one(tmp_path, genome, model):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text())
    for name in ("out.vcf.gz", "out.tsv", "out.parquet"):
        assert annotate_variants(model, path, tmp_path / name, genome=genome)["rows"] == 0
    assert list(cyvcf2.VCF(str(tmp_path / "out.vcf.gz"))) == []
    assert pd.read_csv(tmp_path / "out.tsv", sep="\t").empty
    assert pd.read_parquet(tmp_path / "out.parquet").empty


def test_a_file_of_which_nothing_can_be_scored_is_refused(tmp_path, genome, model):
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    out.write_text("before")
    wrong = [("chr1", at, other(base("chr1", at)), base("chr1", at)) for at in (20, 30)]
    path.write_text(vcf_text(*wrong))
    with pytest.raises(InputError, match=r"none of its 2 alleles .* 2 are reference_mismatch"):
        annotate_variants(model, path, out, genome=genome)
    assert out.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.vcf", "out.vcf"]
    # A dry run only counts, and a table has the status.
    counted = annotate_variants(model, path, None, genome=genome)
    assert counted["status"]["reference_mismatch"] == 2
    assert set(variant_effects(model, path, genome=genome)["status"]) == {"reference_mismatch"}


def test_many_mismatches_suggest_another_assembly(tmp_path, genome, model, caplog):
    path = tmp_path / "in.vcf"
    wrong = ("chr1", 30, other(base("chr1", 30)), base("chr1", 30))
    for right in (20, 5):
        path.write_text(vcf_text(*(snv(at) for at in range(40, 40 + right)), wrong))
        with caplog.at_level(logging.WARNING, "sslmodels"):
            annotate_variants(model, path, None, genome=genome)
        asked = any("is that the assembly" in line for line in caplog.messages)
        assert asked == (right == 5)


def test_an_interrupted_job_leaves_what_was_there(tmp_path, genome, model, monkeypatch):
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    path.write_text(vcf_text(*(snv(at) for at in range(20, 40))))
    out.write_bytes(b"before")
    monkeypatch.setattr(module, "BATCH_ROWS", 5)
    calls = []

    def fails(scorer, alleles):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(scorer, alleles)

    score = EffectScorer.score
    monkeypatch.setattr(EffectScorer, "score", fails)
    with pytest.raises(KeyboardInterrupt):
        annotate_variants(model, path, out, genome=genome)
    assert out.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.vcf", "out.vcf.gz"]


def test_several_runs_are_an_ensemble_and_name_their_genome(tmp_path, genome):
    runs = [small_run(tmp_path / f"run{seed}", seed) for seed in range(3)]
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20), snv(100)))
    with pytest.raises(ConfigError, match=r"keeps no project file, which .* add --genome"):
        annotate_variants(runs, path, None)
    found = annotate_variants(runs, path, tmp_path / "out.vcf", genome=genome.path)
    assert found["runs"] == [str(run) for run in runs]
    alone = [variant_effects(run, path, genome=genome)["paper"] for run in runs]
    records = list(cyvcf2.VCF(str(tmp_path / "out.vcf")))
    together = [[r.INFO["CL_paper"], r.INFO["CL_paper_sd"]] for r in records]
    expected = np.transpose([np.mean(alone, axis=0), np.std(alone, axis=0, ddof=1)])
    np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-9)


def test_runs_of_several_outputs_have_a_field_for_each(tmp_path, genome):
    run = small_run(tmp_path / "run", outputs=2)
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20)))
    options = EffectOptions(scores=("difference", "log-odds"))
    annotate_variants(run, path, tmp_path / "out.vcf", genome=genome, options=options, prefix="X")
    (record,) = cyvcf2.VCF(str(tmp_path / "out.vcf"))
    table = variant_effects(run, path, genome=genome, options=options)
    for score in ("difference", "log-odds"):
        for output in ("tf0", "tf1"):
            field = f"X_{score}.{output}".replace("-", "_")
            value = float(table[f"{score}.{output}"].iloc[0])
            assert record.INFO[field] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("which", ["genome", "several"])
def test_the_genome_of_the_runs_is_looked_for(tmp_path, which, monkeypatch):
    def project(path):
        reference = SimpleNamespace(sequence=tmp_path / path.read_text(), aliases={})
        return SimpleNamespace(reference=reference, of_sequences=False)

    monkeypatch.setattr(module, "load_project", project)
    runs = [small_run(tmp_path / f"run{seed}", seed) for seed in range(2)]
    (runs[0] / "config.yaml").write_text("genome.fa")
    (runs[1] / "config.yaml").write_text("genome.fa" if which == "genome" else "other.fa")
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20)))
    if which == "several":
        with pytest.raises(ConfigError, match="trained on several genomes"):
            annotate_variants(runs, path, None)
        return
    with pytest.raises(MissingInputError, match="no such file; expected a FASTA"):
        annotate_variants(runs, path, None)
    small_genome(tmp_path)
    counted = annotate_variants(runs, path, None)
    assert counted["genome"] == str(tmp_path / "genome.fa")


def test_outputs_that_are_refused(tmp_path, genome, model):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20)))
    (tmp_path / "folder.vcf").mkdir()
    for name, message in (
        ("out.txt", "unknown format"),
        ("in.vcf", "is the input"),
        ("folder.vcf", "is a folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            annotate_variants(model, path, tmp_path / name, genome=genome)
    with pytest.raises(ConfigError, match="--prefix 1x"):
        annotate_variants(model, path, tmp_path / "o.vcf", genome=genome, prefix="1x")
    annotate_variants(model, path, tmp_path / "once.vcf", genome=genome)
    with pytest.raises(InputError, match="already has the INFO field CL_status"):
        annotate_variants(model, tmp_path / "once.vcf", tmp_path / "twice.vcf", genome=genome)
    path.write_text(vcf_text(snv(20)).replace("<ID=AF,Number=A", "<Number=A,ID=CL_paper"))
    with pytest.raises(InputError, match="already has the INFO field CL_paper"):
        annotate_variants(model, path, tmp_path / "o.vcf", genome=genome)
    annotate_variants(
        model, tmp_path / "once.vcf", tmp_path / "twice.vcf", genome=genome, prefix="B"
    )
    (record,) = cyvcf2.VCF(str(tmp_path / "twice.vcf"))
    assert record.INFO["CL_paper"] == record.INFO["B_paper"]


@pytest.mark.parametrize(
    ("missing", "name", "extra"),
    [("pysam", "out.vcf.gz", "variants"), ("pyarrow", "out.parquet", "export")],
)
def test_an_extra_that_is_not_installed_is_named(
    tmp_path, genome, model, monkeypatch, missing, name, extra
):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20)))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"{name}: .*pip install 'crosslabel\[{extra}\]'"):
        annotate_variants(model, path, tmp_path / name, genome=genome)
    assert [p.name for p in tmp_path.iterdir()] == ["in.vcf"]
    annotate_variants(model, path, tmp_path / "out.vcf", genome=genome)  # needs neither


def test_bytes_that_are_not_utf8_are_kept(tmp_path, genome, model):
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    text = vcf_text((*snv(20), ".", ".", "NOTE=é"))
    path.write_bytes(text.encode("latin-1"))
    annotate_variants(model, path, out, genome=genome)
    assert b"NOTE=\xe9;CL_status=scored" in out.read_bytes()


def test_equal_input_gives_equal_bytes(tmp_path, genome, model):
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(snv(20), snv(100)))
    for name in ("out.vcf.gz", "out.tsv.gz"):
        contents = []
        for _ in range(2):
            annotate_variants(model, path, tmp_path / name, genome=genome)
            contents.append((tmp_path / name).read_bytes())
        assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]).startswith(b"line\tchrom\tpos")


def test_a_table_in_memory(genome, model):
    contig, at, ref, alt = snv(100)
    table = pd.DataFrame(
        {"chrom": [contig, "9"], "pos": [at, 3], "ref": [ref, "A"], "alt": [alt, "C"]}
    )
    found = variant_effects([model], table, genome=genome)
    assert found["status"].tolist() == ["scored", "unknown_contig"]
    assert found["line"].tolist() == [1, 2]
    assert json.loads(found[["p_ref"]].to_json())["p_ref"]["1"] is None


@pytest.mark.mirror
def test_the_alleles_of_alleledb_are_those_of_the_genome(tmp_path, mirror):
    """CTCF on chr22 of hg19; the genome has N where the other primates were not aligned."""
    with tarfile.open(mirror / "human/ASB.auto.v2.1.aug16.txt.tgz") as archive:
        text = archive.extractfile("ASB.auto.v2.1.aug16.txt").read().decode()
    header, *lines = text.splitlines(keepends=True)
    path = tmp_path / "alleledb.txt"
    path.write_text("".join([header, *(line for line in lines if line.startswith("chr22\t"))]))
    genome = open_genome(mirror / "primates_chr22/hg19.chr22.partial.fa.gz")
    found = annotate_variants(
        small_model(), path, tmp_path / "out.vcf.gz", genome=genome, factor="CTCF"
    )
    assert found["rows"] == 77
    counts = {status: count for status, count in found["status"].items() if count}
    assert counts == {"scored": 33, "reference_n": 44}
    assert len(list(cyvcf2.VCF(str(tmp_path / "out.vcf.gz"))("chr22"))) == 77
