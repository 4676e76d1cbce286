"""Observed allelic imbalance: how it is read, and its correlation with what models predict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, spearmanr
from variant_tools import base, other, small_genome, small_run, vcf_text

from ssldata.base.errors import ConfigError, InputError
from sslmodels.variants.effect_scores import EffectOptions
from sslmodels.variants.observed_imbalance import (
    compare_observed,
    correlations,
    read_observed,
    score_observed,
    spearman,
    write_comparison,
)
from sslmodels.variants.variant_effects import variant_effects

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ADASTRA_HEADER = "#chr\tpos\tID\tref\talt\tes_mean_ref\tes_mean_alt\tfdrp_bh_ref\tfdrp_bh_alt\n"
ALLELEDB_HEADER = "chr\tstart\tend\tTF_indiv_ASB\tref\talt\tcA\tcC\tcG\tcT\tp.binomial\n"


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return small_genome(tmp_path_factory.mktemp("genome"))


@pytest.mark.parametrize(
    ("es_ref", "es_alt", "fdr_ref", "fdr_alt", "expected"),
    [
        ("1.5", "0.2", "0.01", "0.5", -1.5),  # the reference allele is bound more
        ("0.2", "1.5", "0.5", "0.01", 1.5),
        ("1.5", "0.7", "0.05", "0.01", 0.7),  # both below .1: the smaller FDR
        ("1.5", "0.7", "0.01", "0.05", -1.5),
        ("1.5", "0.7", "0", "1e-9", -1.5),
        ("1.5", "0.7", "0.0", "0", -1.5),  # equal: the larger effect size
        ("0.5", "0.7", "0.0", "0", 0.7),
        ("-0.3", "0.7", "0.01", "1", 0.3),
        ("1.5", "0.7", "0.1", "0.1", None),
        ("1.5", "0.7", "0.5", "1", None),
        ("1.5", "", "0.02", "", -1.5),
        ("", "1.5", "nan", "0.02", 1.5),
        ("", "", "", "", None),
    ],
)
def test_the_rule_of_adastra(tmp_path, es_ref, es_alt, fdr_ref, fdr_alt, expected):
    path = tmp_path / "CTCF_HUMAN.tsv"
    values = "\t".join([es_ref, es_alt, fdr_ref, fdr_alt])
    known = "chr1\t5.0\t.\tA\tC\t1\t2\t1\t0\n"
    path.write_text(ADASTRA_HEADER + known + f"chr1\t12.0\t.\tg\tT\t{values}\n")
    table, rows = read_observed(path)
    assert rows == 2
    lines = [["chr1", 5, "A", "C", 2.0]]
    if expected is not None:
        lines.append(["chr1", 12, "G", "T", expected])
    assert table.to_numpy().tolist() == lines


def test_reads_of_alleledb_are_added_up_over_individuals(tmp_path):
    path = tmp_path / "asb.txt"
    path.write_text(
        ALLELEDB_HEADER + "chr1\t9\t10\tCTCF_NA1_ASB\tA\tC\t3\t20\t0\t0\t.\n"
        "chr1\t99\t100\tCTCF_NA1_ASB\tG\tT\t0\t0\t30\t1\t.\n"
        "chr1\t9\t10\tCTCF_NA2_ASB\tA\tC\t0\t11\t0\t0\t.\n"
        "chr1\t9\t10\tPOL2_NA2_ASB\tA\tC\t900\t0\t0\t0\t.\n"
    )
    table, rows = read_observed(path, factor="CTCF")
    assert rows == 3
    assert table["pos"].tolist() == [10, 100]
    np.testing.assert_allclose(table["observed"], [np.log2(32 / 4), np.log2(2 / 31)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrom\tpos\tref\talt\nchr1\t1\tA\tC\n", "2: .*no column 'observed'"),
        ("chrom\tpos\tref\talt\tobserved\nchr1\tx\tA\tC\t1\n", "2: cannot be read"),
        ("chrom\tpos\tref\talt\tobserved\nchr1\t1\tA\n", "2: cannot be read"),
        ("chrom\tpos\tref\talt\tobserved\nchr1\t1\tA\tC,G\t1\n", "2: cannot be read"),
        ("chrom\tpos\tref\talt\tobserved\nchr1\t1\tA\tC\tbig\n", "2: cannot be read"),
        ("chrom\tpos\tref\talt\tobserved\nchr1\t1\tA\tC\tNA\n", "no observed imbalance in its 1 r"),
        ("chrom\tpos\tref\talt\tobserved\n" + 2 * "chr1\t1\tA\tC\t1\n", "chr1:1 A>C occurs twice"),
        (vcf_text(("chr1", 1, "A", "C")), "holds no observed imbalance"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "in.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_observed(path)


def test_factors_of_alleledb(tmp_path):
    """They are not mixed; a row of the factor must have bases that were counted."""
    path = tmp_path / "asb.txt"
    path.write_text(ALLELEDB_HEADER + "chr1\t9\t10\tX_1_ASB\tA\tN\t1\t1\t1\t1\t.\n")
    with pytest.raises(ConfigError, match=r"several factors; name one \(--factor\)"):
        read_observed(path)
    with pytest.raises(InputError, match="2: cannot be read"):
        read_observed(path, factor="X")
    with pytest.raises(InputError, match="in its 0 rows of CTCF"):
        read_observed(path, factor="CTCF")


def test_spearman_and_its_interval_agree_with_scipy():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 60).astype(float)  # ties
    y = x + rng.normal(0, 4, 60)
    rho, low, high, p = spearman(x, y)
    expected = spearmanr(x, y)
    assert rho == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)
    theirs = bootstrap(
        (x, y),
        lambda a, b: spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert spearman(x, y) == (rho, low, high, p)


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_without_points_or_spread_there_is_no_correlation(values):
    array = np.array(values)
    assert np.isnan(spearman(array, np.arange(len(array), dtype=float))).all()


def observed_file(folder, count=12):
    places = range(30, 30 + 8 * count, 8)
    lines = [
        f"chr1\t{at}\t{base('chr1', at)}\t{other(base('chr1', at))}\t{(at * 37) % 17 - 8}\n"
        for at in places
    ]
    wrong = f"chr1\t25\t{other(base('chr1', 25))}\t{base('chr1', 25)}\t1\n"
    path = folder / "observed.tsv"
    path.write_text("chrom\tpos\tref\talt\tobserved\n" + wrong + "".join(lines))
    return path


def test_every_model_and_regime_is_compared(tmp_path, genome):
    """Seeds are an ensemble; what is not scored is named and does not count."""
    runs = [
        small_run(tmp_path / f"{regime}-{seed}", seed + 10 * (regime == "ssl"), regime=regime)
        for regime in ("sl", "ssl")
        for seed in (0, 1)
    ]
    options = EffectOptions(scores=("difference",))
    found = compare_observed(
        runs, observed_file(tmp_path), tmp_path / "out", genome=genome, options=options
    )
    assert (found["rows"], found["variants"]) == (13, 13)
    assert found["status"] == {"scored": 12, "reference_mismatch": 1}
    assert [one["regime"] for one in found["correlations"]] == ["sl", "ssl"]
    assert {one["n"] for one in found["correlations"]} == {12}
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["bars.png", "correlations.csv", "points.csv", "scatter.png"]
    points = pd.read_csv(tmp_path / "out/points.csv")
    assert len(points) == 26
    assert set(points["seeds"]) == {2}
    table, _ = read_observed(observed_file(tmp_path))
    for regime, pair in (("sl", runs[:2]), ("ssl", runs[2:])):
        alone = [
            variant_effects(run, table, genome=genome, options=options)["difference"]
            for run in pair
        ]
        part = points[points["regime"] == regime]
        np.testing.assert_allclose(part["predicted"], np.mean(alone, axis=0), rtol=1e-4, atol=1e-8)
        scored = part[part["status"] == "scored"]
        rho = spearmanr(scored["predicted"], scored["observed"]).statistic
        (numbers,) = [one for one in found["correlations"] if one["regime"] == regime]
        assert numbers["spearman"] == pytest.approx(rho)
    written = pd.read_csv(tmp_path / "out/correlations.csv")
    assert written["spearman"].tolist() == pytest.approx(
        [one["spearman"] for one in found["correlations"]], rel=1e-5
    )
    before = [(tmp_path / "out" / name).read_bytes() for name in files]
    write_comparison(score_observed(runs, table, genome=genome, options=options), tmp_path / "out")
    assert [(tmp_path / "out" / name).read_bytes() for name in files] == before


def test_points_of_several_tables_can_be_pooled(tmp_path, genome):
    run = small_run(tmp_path / "run")
    table, _ = read_observed(observed_file(tmp_path))
    parts = [
        score_observed([run], part.reset_index(drop=True), genome=genome)
        for part in (table[:6], table[6:])
    ]
    whole = score_observed([run], table, genome=genome)
    pooled = correlations(pd.concat(parts, ignore_index=True))
    pd.testing.assert_frame_equal(pooled, correlations(whole))


def test_the_output_of_a_joint_run_is_named(tmp_path, genome):
    run = small_run(tmp_path / "run", outputs=2)
    path = observed_file(tmp_path)
    table, _ = read_observed(path)
    with pytest.raises(ConfigError, match=r"predicts tf0, tf1; name one of them \(--output\)"):
        compare_observed([run], path, tmp_path / "out", genome=genome)
    points = score_observed([run], table, genome=genome, output="tf1")
    expected = variant_effects(run, table, genome=genome)["paper.tf1"]
    np.testing.assert_allclose(points["predicted"], expected)


def test_too_few_points_have_no_correlation_and_no_nan(tmp_path, genome):
    path = tmp_path / "observed.tsv"
    at = 50
    line = f"chr1\t{at}\t{base('chr1', at)}\t{other(base('chr1', at))}\t1\n"
    path.write_text("chrom\tpos\tref\talt\tobserved\n" + line)
    found = compare_observed([small_run(tmp_path / "run")], path, tmp_path / "out", genome=genome)
    (numbers,) = found["correlations"]
    assert (numbers["n"], numbers["spearman"], numbers["low"]) == (1, None, None)


def test_nothing_that_can_be_scored_is_refused(tmp_path, genome):
    path = tmp_path / "observed.tsv"
    path.write_text("chrom\tpos\tref\talt\tobserved\nchr7\t5\tA\tC\t1\n")
    run = small_run(tmp_path / "run")
    with pytest.raises(InputError, match="none of its 1 variants can be scored, unknown_contig"):
        compare_observed([run], path, tmp_path / "out", genome=genome)
    assert not (tmp_path / "out").exists()
