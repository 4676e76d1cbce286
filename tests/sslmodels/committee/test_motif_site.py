"""The best site of a motif, followed through alignments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.genomes.onehot import encode, reverse_complement
from sslmodels.committee.motif_site import site_features, site_names

LOG_ODDS = np.log(
    np.array([[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05], [0.05, 0.85, 0.05, 0.05]]) / 0.25
)


def word(log_odds, codes):
    return sum(
        row[code] if code < 4 else log_odds.min() for row, code in zip(log_odds, codes, strict=True)
    )


def by_hand(bin_, aligned, log_odds, groups):
    width = len(log_odds)
    sites = []
    for at in range(len(bin_) - width + 1):
        site = bin_[at : at + width]
        plus, minus = word(log_odds, site), word(log_odds, reverse_complement(site))
        sites.append((max(plus, minus), at, plus >= minus))
    best, at, forward = max(sites, key=lambda site: (site[0], -site[1]))
    features = [best, np.log(sum(np.exp(site[0]) for site in sites))]
    for group in groups:
        found = []
        for genome in group:
            there = aligned[genome][at : at + width]
            read = there if forward else reverse_complement(there)
            same = np.mean((there == bin_[at : at + width]) & (there < 4))
            found.append([word(log_odds, read), same, np.mean(there < 4)])
        features += list(np.mean(found, axis=0))
    return features


@given(seed=st.integers(0, 10**6), length=st.integers(3, 12))
@settings(max_examples=50)
def test_features_are_those_by_hand(seed, length):
    rng = np.random.default_rng(seed)
    bins = rng.integers(0, 4, (5, length)).astype(np.uint8)
    aligned = [
        np.where(rng.random(bins.shape) < 0.6, bins, rng.integers(0, 5, bins.shape)).astype(
            np.uint8
        )
        for _ in range(3)
    ]
    groups = [[0, 2], [1]]
    found = site_features(bins, aligned, LOG_ODDS, groups)
    expected = [
        by_hand(bins[i], [codes[i] for codes in aligned], LOG_ODDS, groups) for i in range(5)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.shape[1] == len(site_names(groups))


def test_a_lost_site_is_seen_where_another_site_is_kept():
    bins = encode("TTAGCTTTTTTTTTAGATTT")[None]
    kept = bins[0].copy()
    lost = bins[0].copy()
    lost[2:5] = encode("TTT")  # the best site is gone, the second best is there
    found = site_features(bins, [kept[None], lost[None]], LOG_ODDS, [[0], [1]])[0]
    names = site_names([[0], [1]])
    of = dict(zip(names, found, strict=True))
    assert of["site_score_0"] == pytest.approx(of["site_best"])
    assert of["site_score_1"] < of["site_best"] - 3
    assert (of["site_identical_0"], of["site_aligned_1"]) == (1, 1)
    assert of["site_identical_1"] == 0


def test_both_strands_have_the_same_features():
    rng = np.random.default_rng(0)
    bins = rng.integers(0, 4, (50, 30)).astype(np.uint8)
    aligned = np.where(rng.random(bins.shape) < 0.7, bins, 4).astype(np.uint8)
    one = site_features(bins, [aligned], LOG_ODDS, [[0]])
    other = site_features(reverse_complement(bins), [reverse_complement(aligned)], LOG_ODDS, [[0]])
    # Ties between equal sites may be broken otherwise; their own score is the same.
    np.testing.assert_allclose(one[:, :2], other[:, :2], rtol=1e-6)
