"""Boosted trees: the scores of scikit-learn, and what is saved."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from sslmodels.committee import boosted_trees
from sslmodels.committee.boosted_trees import BoostedTrees


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 7)).astype(np.float32)
    odds = 3 * (features[:, 0] > 1) * (features[:, 1] < 0) + features[:, 2] - 3
    return features, (rng.random(3000) < 1 / (1 + np.exp(-odds))).astype(np.uint8)


def test_scores_are_those_of_scikit_learn(rows, monkeypatch):
    monkeypatch.setattr(boosted_trees, "BOOSTERS", 1)
    features, labels = rows
    ours = BoostedTrees.fit(features, labels, seed=3)
    theirs = HistGradientBoostingClassifier(
        max_iter=boosted_trees.TREES,
        learning_rate=boosted_trees.RATE,
        max_leaf_nodes=boosted_trees.LEAVES,
        min_samples_leaf=boosted_trees.LEAF_ROWS,
        l2_regularization=boosted_trees.PENALTY,
        max_features=boosted_trees.FEATURE_SHARE,
        early_stopping=False,
        random_state=3,
    ).fit(features, labels)
    np.testing.assert_allclose(ours.score(features), theirs.decision_function(features), atol=1e-12)


def test_boosters_are_averaged_and_learn_an_interaction(rows):
    features, labels = rows
    half = len(labels) // 2
    trees = BoostedTrees.fit(features[:half], labels[:half], seed=0)
    scores = trees.score(features[half:])
    both = (features[half:, 0] > 1) & (features[half:, 1] < 0)
    one = (features[half:, 0] > 1) & (features[half:, 1] > 0)
    assert scores[both].mean() > scores[one].mean() + 1
    assert trees.boosters == boosted_trees.BOOSTERS
    assert len(trees.first) == boosted_trees.BOOSTERS * boosted_trees.TREES


def test_what_is_saved_scores_the_same(rows, tmp_path):
    features, labels = rows
    trees = BoostedTrees.fit(features, labels, seed=1)
    arrays, settings = trees.to_arrays()
    np.savez(tmp_path / "trees.npz", **arrays)
    with np.load(tmp_path / "trees.npz", allow_pickle=False) as found:
        again = BoostedTrees.from_arrays(found, settings)
    np.testing.assert_array_equal(again.score(features), trees.score(features))


def test_a_seed_gives_the_same_trees(rows):
    features, labels = rows
    first, second, other = (BoostedTrees.fit(features, labels, seed=s) for s in (1, 1, 9))
    np.testing.assert_array_equal(first.threshold, second.threshold)
    assert not np.array_equal(first.score(features), other.score(features))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("left", lambda a: np.where(a > 0, 0, a)),  # back to the root: no walk would end
        ("right", lambda a: a + 10_000),
        ("feature", lambda a: a + 7),
        ("first", lambda a: a + 1),
        ("value", lambda a: a[:-1]),
    ],
)
def test_damaged_trees_are_refused(rows, name, change):
    arrays, settings = BoostedTrees.fit(*rows, seed=0).to_arrays()
    with pytest.raises(ValueError, match=r"tree|feature"):
        BoostedTrees.from_arrays({**arrays, name: change(arrays[name])}, settings)


def test_rows_of_other_features_are_refused(rows):
    trees = BoostedTrees.fit(*rows, seed=0)
    with pytest.raises(ValueError, match="7 features"):
        trees.score(rows[0][:, :6])
