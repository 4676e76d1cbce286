"""How the members of a committee become one score."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslmodels.committee.committee import Combination, mean_over_groups, worth_of


def by_hand(own, homologues, groups):
    """The mean of every bin, one by one."""
    out = []
    for row, value in enumerate(own):
        means = []
        for group in groups:
            here = [
                scores[list(rows).index(row)]
                for genome, rows, scores in homologues
                if genome in group and row in rows
            ]
            if here:
                means.append(np.mean(here))
        out.append(0.5 * value + 0.5 * np.mean(means) if means else value)
    return np.array(out)


@given(data=st.data())
def test_means_over_groups_are_those_by_hand(data):
    n, genomes = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 4))
    values = st.floats(-5, 5)
    own = np.array(data.draw(st.lists(values, min_size=n, max_size=n)))
    homologues = []
    for genome in range(genomes):
        rows = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1)))), np.int64)
        scores = data.draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
        homologues.append((genome, rows, np.array(scores)))
    cut = data.draw(st.integers(0, genomes))
    groups = [list(range(cut)), list(range(cut, max(cut, genomes - 1)))]  # the last in neither
    np.testing.assert_allclose(
        mean_over_groups(own, homologues, groups), by_hand(own, homologues, groups), atol=1e-12
    )


def test_ten_strains_say_no_more_than_one():
    rows = np.array([0])
    strains = [(genome, rows, np.array([1.0])) for genome in range(10)]
    far = [(10, rows, np.array([-3.0]))]
    groups = [range(10), [10]]
    assert mean_over_groups(np.zeros(1), [*strains, *far], groups) == pytest.approx([-0.5])


@pytest.fixture(scope="module")
def bins():
    rng = np.random.default_rng(0)
    labels = (np.arange(4000) % 50 == 0).astype(np.uint8)
    return {
        "good": rng.normal(size=4000) + 3 * labels,
        "weak": 100 * (rng.normal(size=4000) + labels),
        "noise": rng.normal(size=4000),
        "constant": np.ones(4000),
    }, labels


def test_members_count_by_what_they_are_worth(bins):
    scores, labels = bins
    worth = {name: worth_of(values, labels) for name, values in scores.items()}
    made = Combination.fit(scores, labels, worth)
    weight = dict(zip(made.members, made.weight, strict=True))
    assert weight["good"] > 2 * weight["weak"] > 4 * weight["noise"]
    assert weight["constant"] == 0
    assert sum(made.weight) == pytest.approx(1)
    together = worth_of(made.log_odds(scores), labels)
    assert together > worth["good"]


def test_worth_is_the_log_of_the_lift():
    labels = np.array([1, 0, 0, 0])
    assert worth_of(np.array([4.0, 3, 2, 1]), labels) == pytest.approx(np.log(4))
    assert worth_of(np.array([1.0, 2, 3, 4]), labels) == 0


def test_the_scale_of_a_member_does_not_count(bins):
    scores, labels = bins
    worth = {name: worth_of(values, labels) for name, values in scores.items()}
    made = Combination.fit(scores, labels, worth)
    scaled = {**scores, "weak": scores["weak"] / 700}
    again = Combination.fit(scaled, labels, worth)
    np.testing.assert_allclose(again.log_odds(scaled), made.log_odds(scores), atol=1e-6)


def test_log_odds_are_those_of_the_labels(bins):
    """Platt's slope and intercept: the mean probability is the prevalence, and bins agree."""
    scores, labels = bins
    made = Combination.fit(scores, labels, dict.fromkeys(scores, 1.0))
    p = 1 / (1 + np.exp(-made.log_odds(scores)))
    assert p.mean() == pytest.approx(labels.mean(), rel=0.05)
    top = p > np.quantile(p, 0.98)
    assert labels[top].mean() == pytest.approx(p[top].mean(), abs=0.1)


def test_members_worth_nothing_are_alike():
    rng = np.random.default_rng(1)
    scores = {"a": rng.normal(size=100), "b": rng.normal(size=100)}
    labels = (np.arange(100) < 5).astype(np.uint8)
    made = Combination.fit(scores, labels, {"a": 0.0, "b": 0.0})
    assert made.weight == (0.5, 0.5)


def test_what_is_saved_is_the_same(bins):
    scores, labels = bins
    made = Combination.fit(scores, labels, dict.fromkeys(scores, 1.0))
    assert Combination.from_dict(json.loads(json.dumps(made.as_dict()))) == made
