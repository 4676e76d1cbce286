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
from ssldata.base.one_thread import one_thread

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
        with one_thread():
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
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"expected rows of {self.features} features, found {rows.shape}")
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
        """Return the trees that :meth:`to_arrays` was called of.

        Raises
        ------
        ValueError
            They are no trees: compiled code would leave its arrays, or not end.
        """
        kinds = {
            "first": np.int64,
            **dict.fromkeys(("feature", "left", "right"), np.int32),
            **dict.fromkeys(("threshold", "value"), np.float64),
        }
        checked = {name: np.ascontiguousarray(arrays[name], kind) for name, kind in kinds.items()}
        found = cls(
            **checked,
            baseline=float(settings["baseline"]),
            boosters=int(settings["boosters"]),
            features=int(settings["features"]),
        )
        found._check()
        return found

    def _check(self) -> None:
        nodes = len(self.feature)
        others = (self.threshold, self.left, self.right, self.value)
        rising = np.diff(self.first, prepend=-1, append=nodes)
        if self.boosters < 1 or any(a.shape != (nodes,) for a in others) or (rising < 1).any():
            raise ValueError("the trees have arrays that do not fit together")
        tree = np.searchsorted(self.first, np.arange(nodes), side="right") - 1
        if (tree < 0).any():
            raise ValueError("nodes before the first tree")
        size = np.diff(self.first, append=nodes)[tree]
        place = np.arange(nodes) - self.first[tree]
        inner = self.feature >= 0
        for child in (self.left, self.right):
            # What follows a node lies behind it, in its tree: every walk ends.
            if (inner & ((child <= place) | (child >= size))).any():
                raise ValueError("a node of a tree leads nowhere")
        if (self.feature >= self.features).any():
            raise ValueError("a node asks for a feature that rows do not have")


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
