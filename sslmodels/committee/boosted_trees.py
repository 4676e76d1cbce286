"""Boosted trees as plain arrays: fitted by scikit-learn, saved without pickle, scored by Numba.

The trees are those of ``HistGradientBoostingClassifier`` (histograms of the features, as in
LightGBM, Ke et al. 2017). Several boosters, each with its own draw of features at every split, are
averaged, since one fitted to a hundred positives depends much on its draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from ssldata.base.array_types import Int32Array, Int64Array

Floats = NDArray[np.float64]

#: Boosters that are averaged; trees of each; leaves of a tree.
BOOSTERS, TREES, LEAVES = 4, 80, 6
#: Shrinkage; fewest rows of a leaf; penalty of leaf values; share of features tried at a split.
RATE, LEAF_ROWS, PENALTY, FEATURE_SHARE = 0.06, 20, 5.0, 0.3


@dataclass(frozen=True)
class BoostedTrees:
    """Trees one after the other, in arrays of their nodes.

    Attributes
    ----------
    first
        int64 (trees,), the root of each tree.
    feature
        int32 (nodes,), the feature a node asks for; −1: a leaf.
    threshold
        float64 (nodes,): a row goes left where its feature is not above it.
    left, right
        int32 (nodes,), the nodes that follow, counted from the root.
    value
        float64 (nodes,), of the leaves.
    baseline
        Log-odds without any tree.
    boosters
        How many boosters the trees are of; scores are their mean.
    features
        How many features a row has.
    """

    first: Int64Array
    feature: Int32Array
    threshold: Floats
    left: Int32Array
    right: Int32Array
    value: Floats
    baseline: float
    boosters: int
    features: int

    @classmethod
    def fit(cls, features: NDArray[Any], labels: NDArray[Any], *, seed: int) -> Self:
        """Fit to rows.

        Parameters
        ----------
        features
            Finite numbers (rows, features).
        labels
            0 or 1 (rows,), both present.
        seed
            Of the draws of features.
        """
        fitted = [
            HistGradientBoostingClassifier(
                max_iter=TREES,
                learning_rate=RATE,
                max_leaf_nodes=LEAVES,
                min_samples_leaf=LEAF_ROWS,
                l2_regularization=PENALTY,
                max_features=FEATURE_SHARE,
                early_stopping=False,
                random_state=(seed + number) % 2**32,
            ).fit(features, labels)
            for number in range(BOOSTERS)
        ]
        # The nodes of a fitted tree have no public name in scikit-learn; converters such as
        # skl2onnx read them here too, and a test compares scores with its own.
        trees = [tree[0].nodes for model in fitted for tree in model._predictors]
        nodes = np.concatenate(trees)
        sizes = np.array([len(tree) for tree in trees], np.int64)
        leaf = nodes["is_leaf"].astype(bool)
        return cls(
            first=np.cumsum(sizes) - sizes,
            feature=np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32),
            threshold=nodes["num_threshold"].astype(np.float64),
            left=nodes["left"].astype(np.int32),
            right=nodes["right"].astype(np.int32),
            value=np.where(leaf, nodes["value"], 0.0).astype(np.float64),
            baseline=float(np.mean([model._baseline_prediction.item() for model in fitted])),
            boosters=BOOSTERS,
            features=features.shape[1],
        )

    def score(self, features: NDArray[Any]) -> Floats:
        """Return the log-odds of rows (rows, features), the mean over the boosters."""
        rows = np.ascontiguousarray(features, np.float64)
        out = np.empty(len(rows))
        _walk(
            rows, self.first, self.feature, self.threshold, self.left, self.right, self.value, out
        )
        return self.baseline + out / self.boosters

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return named arrays, and settings that are plain JSON."""
        names = ("first", "feature", "threshold", "left", "right", "value")
        settings = {
            "baseline": self.baseline,
            "boosters": self.boosters,
            "features": self.features,
        }
        return {name: getattr(self, name) for name in names}, settings

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Self:
        """Return the trees that :meth:`to_arrays` was called of."""
        return cls(
            **{name: arrays[name] for name in ("first", "feature", "threshold")},
            **{name: arrays[name] for name in ("left", "right", "value")},
            baseline=float(settings["baseline"]),
            boosters=int(settings["boosters"]),
            features=int(settings["features"]),
        )


@numba.njit(cache=True, nogil=True)
def _walk(
    rows: Floats,
    first: Int64Array,
    feature: Int32Array,
    threshold: Floats,
    left: Int32Array,
    right: Int32Array,
    value: Floats,
    out: Floats,
) -> None:
    """Write the sum of the leaves that every row reaches."""
    for i in range(len(rows)):
        total = 0.0
        for root in first:
            node = root
            while feature[node] >= 0:
                if rows[i, feature[node]] <= threshold[node]:
                    node = root + left[node]
                else:
                    node = root + right[node]
            total += value[node]
        out[i] = total
