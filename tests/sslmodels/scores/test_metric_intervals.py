"""The bootstrap over blocks of bins against a plain loop, and how often its intervals are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sslmodels.scores import metric_intervals
from sslmodels.scores.metric_intervals import (
    Resampled,
    blocks_of_bins,
    difference_interval,
    drawn_blocks,
    interval,
    resampled,
)


def sample(rows: int, *, digits: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores of which many are equal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.1).astype(np.int64)
    return labels, (rng.normal(size=rows) + 1.2 * labels).round(digits)


def looped(labels: np.ndarray, scores: np.ndarray, blocks: np.ndarray, number: int) -> Resampled:
    """The same bootstrap, drawing rows one block after the other."""
    (drawn,) = drawn_blocks(int(blocks.max()) + 1, number)
    aupr, auroc = [], []
    for times in drawn:
        rows = np.concatenate(
            [np.flatnonzero(blocks == b) for b, n in enumerate(times) for _ in range(n)]
        )
        both = 0 < labels[rows].sum() < len(rows)
        aupr.append(average_precision_score(labels[rows], scores[rows]) if both else np.nan)
        auroc.append(roc_auc_score(labels[rows], scores[rows]) if both else np.nan)
    return Resampled(np.array(aupr), np.array(auroc))


@pytest.mark.parametrize("digits", [0, 1, 8])
@pytest.mark.parametrize("positives", ["some", "in one block", "all but one"])
def test_resamples_are_those_of_a_loop(digits, positives, monkeypatch):
    labels, scores = sample(400, digits=digits)
    blocks = blocks_of_bins(np.arange(400) // 150, np.arange(400))
    if positives == "in one block":
        labels = ((blocks == 3) & (np.arange(400) % 2 == 0)).astype(int)
    elif positives == "all but one":
        labels = (np.arange(400) != 7).astype(int)
    expected = looped(labels, scores, blocks, 60)
    found = resampled(labels, scores, blocks, resamples=60)
    for key in ("aupr", "auroc"):
        np.testing.assert_allclose(getattr(found, key), getattr(expected, key), rtol=1e-12)
    assert np.isnan(found.aupr).any() == (positives != "some")
    # In small parts, the same.
    monkeypatch.setattr(metric_intervals, "_AT_ONCE", 2000)
    again = resampled(labels, scores, blocks, resamples=60)
    np.testing.assert_array_equal(again.aupr, found.aupr)


def test_draws_depend_on_the_seed_and_the_number_of_blocks_alone():
    labels, scores = sample(3000, digits=3)
    blocks = blocks_of_bins(np.zeros(3000), np.arange(3000))
    found = resampled(labels, scores, blocks)
    assert len(found.aupr) == metric_intervals.RESAMPLES
    np.testing.assert_array_equal(found.aupr, resampled(labels, scores, blocks).aupr)
    assert (found.aupr != resampled(labels, scores, blocks, seed=1).aupr).any()
    # Rows in another order are the same rows.
    mixed = np.random.default_rng(0).permutation(3000)
    other = resampled(labels[mixed], scores[mixed], blocks[mixed])
    np.testing.assert_allclose(other.aupr, found.aupr)
    low, high = found.intervals()["aupr"]
    assert low < average_precision_score(labels, scores) < high


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(0, 5), st.none() | st.just(7)
)
def test_blocks_are_consecutive_bins_of_one_contig(sizes, seed, length):
    contigs = np.concatenate([np.full(n, f"chr{i}") for i, n in enumerate(sizes)])
    starts = np.concatenate([np.arange(n) * 200 for n in sizes])
    mixed = np.random.default_rng(seed).permutation(len(starts))
    blocks = np.empty(len(starts), int)
    blocks[mixed] = blocks_of_bins(contigs[mixed], starts[mixed], length=length)
    # In the order of the genome numbers ascend by one, and a contig begins a new block.
    steps = np.diff(blocks)
    assert blocks[0] == 0
    assert set(steps) <= {0, 1}
    assert (steps[contigs[1:] != contigs[:-1]] == 1).all()
    wanted = length or max(1, min(100, len(starts) // 20))
    for name, size in zip(dict.fromkeys(contigs), sizes, strict=True):
        counts = np.bincount(blocks[contigs == name])
        counts = counts[counts > 0]
        assert len(counts) == max(1, size // wanted)
        assert np.ptp(counts) <= 1


def test_too_few_resamples_give_no_interval():
    assert interval(np.array([0.2, np.nan, np.nan, 0.3])) is not None
    assert interval(np.array([0.2, np.nan, np.nan])) is None
    assert interval(np.array([])) is None


def simulated(rng: np.random.Generator, blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks of twenty bins that have their positives, and the quality of scores, in common."""
    share = rng.choice([0.02, 0.3], blocks)
    labels = (rng.random((blocks, 20)) < share[:, None]).astype(int)
    shift = rng.normal(1.0, 0.8, (blocks, 1))
    scores = rng.normal(size=(blocks, 20)) + shift * labels
    better = scores + 0.8 * labels
    return labels.ravel(), scores.ravel(), better.ravel()


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Rows of a block are alike: drawing rows one by one would give intervals too narrow."""
    rng = np.random.default_rng(3)
    labels, scores, better = simulated(rng, 100_000)
    truth = average_precision_score(labels, scores)
    gain = average_precision_score(labels, better) - truth
    hits = {"blocks": 0, "rows": 0, "difference": 0}
    for _ in range(100):
        labels, scores, better = simulated(rng, 120)
        blocks = blocks_of_bins(np.zeros(len(labels)), np.arange(len(labels)), length=20)
        for name, of in (("blocks", blocks), ("rows", np.arange(len(labels)))):
            low, high = interval(resampled(labels, scores, of, resamples=200).aupr)
            hits[name] += low < truth < high
        low, high = difference_interval(labels, scores, better, blocks, resamples=200)
        hits["difference"] += low < gain < high
    assert 89 <= hits["blocks"] <= 99
    assert 89 <= hits["difference"] <= 99
    assert hits["rows"] < hits["blocks"] - 5
