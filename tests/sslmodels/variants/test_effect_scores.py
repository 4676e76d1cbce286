"""Scores equal those of windows that were cut by hand and scored one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit
from variant_tools import CONTIGS, WINDOW, base, other, small_genome, small_model

from ssldata.base.errors import ConfigError
from sslmodels.prediction.genome_scan import Scanner
from sslmodels.prediction.trained_model import Ensemble
from sslmodels.variants.effect_scores import SCORES, EffectOptions, EffectScorer
from sslmodels.variants.variant_alleles import ContigNames, read_alleles

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

VARIANTS = [
    ("chr1", 100, base("chr1", 100), other(base("chr1", 100))),
    ("chr1", 100, base("chr1", 100), base("chr1", 100) + "TTGAC"),
    ("chr1", 101, base("chr1", 101, 7), base("chr1", 101)),
    ("chr1", 120, base("chr1", 120, 3), other(base("chr1", 120, 3))),
    ("chr1", 10, "N", "A"),
    ("chr1", 2, base("chr1", 2), other(base("chr1", 2))),
    ("chr1", 399, base("chr1", 399), base("chr1", 399) + "GG"),
    ("chr1", 245, base("chr1", 245), other(base("chr1", 245))),  # N in the window
]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return small_genome(tmp_path_factory.mktemp("genome"))


def alleles_of(genome, variants=VARIANTS, length=WINDOW):
    rows = [
        (line, [contig, str(at), ".", ref, alt, ".", ".", "."])
        for line, (contig, at, ref, alt) in enumerate(variants)
    ]
    return read_alleles(rows, genome, ContigNames(genome), length=length)


def window(contig, at, ref, allele, alt, length, shift):
    """Return the window around one allele of a variant, the slow way."""
    text, start = CONTIGS[contig].upper(), at - 1
    while ref and alt and ref[-1] == alt[-1]:
        allele, ref, alt = allele[:-1], ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        allele, ref, alt, start = allele[1:], ref[1:], alt[1:], start + 1
    text = text[:start] + allele + text[start + len(ref) :]
    before = min(max((length - len(allele)) // 2 - shift, 0), length - len(allele))
    first = min(max(start - before, 0), len(text) - length)
    return text[first : first + length]


FORMULAS = {
    "paper": lambda ref, alt: (alt - ref) * max(0, alt, ref),
    "difference": lambda ref, alt: alt - ref,
    "log-odds": lambda ref, alt: logit(alt) - logit(ref),
}


def test_every_score_has_its_formula():
    assert [*SCORES] == [*FORMULAS]


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("shifts", [(0,), (-3, 0, 8)])
def test_scores_equal_those_of_windows_cut_by_hand(genome, shifts, both_strands):
    models = [small_model(seed) for seed in range(3)]
    options = EffectOptions(scores=tuple(SCORES), shifts=shifts, both_strands=both_strands)
    effects = EffectScorer(Ensemble(models), genome, options).score(alleles_of(genome))
    for number, (contig, at, ref, alt) in enumerate(VARIANTS):
        if ref == "N":
            assert all(np.isnan(value[number]).all() for value in effects.values.values())
            assert effects.counts["window_n"][number] == 0
            continue
        p = {
            allele: np.array(
                [
                    [
                        model.predict(
                            [window(contig, at, ref, allele, alt, WINDOW, shift)],
                            both_strands=both_strands,
                        )[0, 0]
                        for shift in shifts
                    ]
                    for model in models
                ],
                np.float64,
            )
            for allele in (ref, alt)
        }
        assert effects.values["p_ref"][number, 0] == pytest.approx(p[ref].mean(), abs=1e-6)
        assert effects.values["p_alt"][number, 0] == pytest.approx(p[alt].mean(), abs=1e-6)
        for name, formula in FORMULAS.items():
            by_run = [
                np.mean([formula(r, a) for r, a in zip(*pair, strict=True)])
                for pair in zip(p[ref], p[alt], strict=True)
            ]
            assert effects.values[name][number, 0] == pytest.approx(np.mean(by_run), abs=2e-6)
            deviation = effects.values[f"{name}_sd"][number, 0]
            assert deviation == pytest.approx(np.std(by_run, ddof=1), abs=2e-6)
        most = max(
            window(contig, at, ref, allele, alt, WINDOW, shift).count("N")
            for allele in (ref, alt)
            for shift in shifts
        )
        assert effects.counts["window_n"][number] == most
    assert effects.counts["window_n"][-1] > 0


def test_one_run_has_no_deviation_and_outputs_have_columns(genome):
    effects = EffectScorer(Ensemble([small_model(outputs=2)]), genome, EffectOptions()).score(
        alleles_of(genome)
    )
    assert [*effects.values] == ["p_ref", "p_alt", "paper"]
    assert effects.values["paper"].shape == (len(VARIANTS), 2)
    assert effects.values["paper"].dtype == np.float32


def test_runs_of_other_lengths_have_the_variant_at_the_same_place(genome):
    """Each reads the centre of the longest window."""
    long, short = small_model(0, length=WINDOW + 6), small_model(1)
    variants = [v for v in VARIANTS if 50 < v[1] < 200]
    alleles = alleles_of(genome, variants, WINDOW + 6)
    both = EffectScorer(Ensemble([long, short]), genome, EffectOptions()).score(alleles)
    alone = [
        EffectScorer(Ensemble([model]), genome, EffectOptions()).score(alleles).values["paper"]
        for model in (long, short)
    ]
    np.testing.assert_allclose(both.values["paper"], sum(alone) / 2, atol=1e-6)


def test_alleles_of_one_place_share_the_reference(genome, monkeypatch):
    """As do rows of one place; the model scores as few windows as there are sequences."""
    scored = []
    model = small_model()
    ref = base("chr1", 100)
    alts = [letter for letter in "ACGT" if letter != ref]
    rows = [("chr1", 100, ref, ",".join(alts)), ("chr1", 100, ref, alts[0])]

    scorer = EffectScorer(Ensemble([model]), genome, EffectOptions())
    score_codes = Scanner.score_codes

    def counting(scanner, codes, **options):
        scored.append(len(codes))
        return score_codes(scanner, codes, **options)

    monkeypatch.setattr(Scanner, "score_codes", counting)
    effects = scorer.score(alleles_of(genome, rows))
    assert scored == [1 + 4]
    assert effects.values["paper"][0] == effects.values["paper"][3]
    assert len(np.unique(effects.values["p_alt"])) == 3


def test_nothing_to_score(genome):
    alleles = alleles_of(genome, [("chr9", 1, "A", "C")])
    effects = EffectScorer(Ensemble([small_model()]), genome, EffectOptions()).score(alleles)
    assert np.isnan(effects.values["paper"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": ("papers",)}, "score 'papers': no such score; there are paper, difference"),
        ({"scores": ()}, "at least one"),
        ({"scores": ("paper", "paper")}, "once"),
        ({"shifts": ()}, "at least one"),
        ({"shifts": (1, 1)}, "once"),
        ({"shifts": (12,)}, "shift 12: moves the variant out of the window of 24 b; at most 11"),
        ({"shifts": (-12,)}, "shift -12"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        EffectOptions(**options).check(WINDOW)
    EffectOptions(shifts=(-11, 11)).check(WINDOW)
