"""Gradient boosting of features by LightGBM, an optional package."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError
from ssldata.base.keyed_random import key_of
from ssldata.base.progress import Progress
from ssldata.store.feature_store import FeatureStore
from sslmodels.transfer.linear_model import resampled_weights
from sslmodels.transfer.row_labels import LabelledRows

Floats = NDArray[np.float64]

#: The settings of Daoud & Ben-Hur (2025).
PUBLISHED: Mapping[str, Any] = {
    "n_estimators": 1000,
    "num_leaves": 28,
    "max_depth": 15,
    "learning_rate": 0.01,
    "reg_alpha": 0.5,
    "reg_lambda": 0.3,
    "feature_fraction": 0.85,
    "bagging_fraction": 0.75,
}
#: Ranges of their search; whole numbers where both ends are.
RANGES: Mapping[str, tuple[float, float]] = {
    "n_estimators": (100, 1000),
    "num_leaves": (20, 50),
    "max_depth": (5, 25),
    "learning_rate": (0.001, 0.1),
    "reg_alpha": (0.0, 1.0),
    "reg_lambda": (0.0, 1.0),
    "feature_fraction": (0.5, 1.0),
    "bagging_fraction": (0.5, 1.0),
}
_EARLY_STOPPING = 10

#: Bytes for each number of a training row: its bin, the sample that the bins are made of (an eighth
#: of the rows as float64), and the histograms.
_BYTES = 2.5
#: Fewest rows in that sample.
_SAMPLE = 5000


@dataclass(frozen=True, kw_only=True)
class BoostedModel:
    """A fitted booster.

    Attributes
    ----------
    text
        The booster as LightGBM saves it.
    settings
        Its settings.
    trees
        Trees that are used.
    importances
        Splits that use each column.
    gains
        What these splits gained.
    replicates
        Importances in resamples of the training loci (resamples, columns).
    scores
        Probabilities of all rows.
    search
        Settings tried, each with its ``validation_auroc``.
    """

    text: str
    settings: Mapping[str, Any]
    trees: int
    importances: Floats
    gains: Floats
    replicates: Floats
    scores: Floats
    search: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def require_lightgbm() -> Any:
    """Return the package, or raise :class:`ConfigError` with what to install."""
    try:
        import lightgbm
    except (ImportError, OSError) as exc:  # OSError: a library of the system is missing
        raise ConfigError(
            f"LightGBM cannot be loaded ({exc}): pip install 'crosslabel[transfer]', or leave "
            "lightgbm out of --models"
        ) from exc
    # It prints to stdout, where results go.
    silent = logging.getLogger("lightgbm")
    silent.setLevel(logging.CRITICAL)
    lightgbm.register_logger(silent)
    return lightgbm


def fit_boosted(
    store: FeatureStore,
    columns: Int64Array,
    rows: LabelledRows,
    *,
    seed: int,
    search: int,
    resamples: int,
    memory: int,
    progress: Progress,
) -> BoostedModel:
    """Fit to the training rows; the number of trees is chosen on the validation rows.

    Parameters
    ----------
    store, columns
        The features, and which of them.
    rows
        Labels and splits.
    seed
        Of LightGBM, the search and the resamples.
    search
        Settings to try beside the published ones.
    resamples
        Of the importances; each is a fit.
    memory
        Bytes that may be used.
    progress
        Progress reporter, advanced by the fits.

    Raises
    ------
    ConfigError
        LightGBM is not installed, or needs more memory.
    """
    lightgbm = require_lightgbm()
    training, validation = (np.flatnonzero(rows.of(name)) for name in ("train", "validation"))
    needed = int(_BYTES * (len(training) + len(validation)) * len(columns))
    if needed > memory:
        raise ConfigError(
            f"lightgbm: keeps all training rows in memory, about {needed / 1e6:,.0f} MB of "
            f"{memory / 1e6:,.0f} MB that are left; raise --memory, choose columns with "
            "--features, or leave lightgbm out of --models"
        )
    loading = {
        "bin_construct_sample_cnt": max(_SAMPLE, len(training) // 8),
        "data_random_seed": _seed(seed, "bins"),
        "verbosity": -1,
        "num_threads": 1,
    }
    data = lightgbm.Dataset(
        _rows_of(lightgbm, store, columns, training),
        rows.labels[training].astype(np.float64),
        params=loading,
        free_raw_data=False,
    ).construct()
    checked = lightgbm.Dataset(
        _rows_of(lightgbm, store, columns, validation),
        rows.labels[validation].astype(np.float64),
        reference=data,
        params=loading,
    ).construct()
    tried: list[dict[str, Any]] = []
    best: tuple[float, Any, Mapping[str, Any]] | None = None
    with progress.task("lightgbm", 1 + search) as advance:
        for settings in [PUBLISHED, *_drawn(search, seed)]:
            booster = lightgbm.train(
                _parameters(settings, seed),
                data,
                num_boost_round=int(settings["n_estimators"]),
                valid_sets=[checked],
                callbacks=[lightgbm.early_stopping(_EARLY_STOPPING, verbose=False)],
            )
            found = float(booster.best_score["valid_0"]["auc"])
            trees = int(booster.best_iteration)
            tried.append({**settings, "trees": trees, "validation_auroc": found})
            if best is None or found > best[0]:
                best = found, booster, settings
            advance(1)
    assert best is not None
    _, booster, settings = best
    trees = int(booster.best_iteration)
    replicates = []
    if resamples:
        weights = resampled_weights(rows, resamples, seed)
        with progress.task("resamples of the importances", resamples) as advance:
            for number in range(resamples):
                data.set_weight(weights[:, number] * len(training))
                again = lightgbm.train(_parameters(settings, seed), data, num_boost_round=trees)
                replicates.append(again.feature_importance("split").astype(np.float64))
                advance(1)
    return BoostedModel(
        text=booster.model_to_string(num_iteration=trees),
        settings=dict(settings),
        trees=trees,
        importances=booster.feature_importance("split", iteration=trees).astype(np.float64),
        gains=booster.feature_importance("gain", iteration=trees).astype(np.float64),
        replicates=np.array(replicates).reshape(-1, len(columns)),
        scores=_scores(booster, trees, store, columns),
        search=tried,
    )


def _scores(booster: Any, trees: int, store: FeatureStore, columns: Int64Array) -> Floats:
    out = np.empty(store.rows)
    for first, tile in store.blocks(columns):
        found = booster.predict(tile.astype(np.float32), num_iteration=trees, num_threads=1)
        out[first : first + len(tile)] = found
    return out


def _parameters(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "metric": "auc",
        "is_unbalance": True,
        "bagging_freq": 1,
        **{key: value for key, value in settings.items() if key != "n_estimators"},
        "seed": _seed(seed, "lightgbm"),
        # Equal seeds give equal trees, whatever the machine has of cores.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _drawn(count: int, seed: int) -> list[dict[str, Any]]:
    """Return settings drawn from the published ranges."""
    rng = np.random.default_rng(_seed(seed, "search"))
    found = []
    for _ in range(count):
        settings: dict[str, Any] = {}
        for name, (low, high) in RANGES.items():
            whole = isinstance(PUBLISHED[name], int)
            drawn = rng.integers(int(low), int(high) + 1) if whole else rng.uniform(low, high)
            settings[name] = int(drawn) if whole else float(drawn)
        found.append(settings)
    return found


def _seed(seed: int, what: str) -> int:
    return int(key_of("transfer", what, seed) % np.uint64(2**31))


def _rows_of(lightgbm: Any, store: FeatureStore, columns: Int64Array, rows: Int64Array) -> Any:
    """Return some rows as LightGBM reads them, a piece at a time."""

    class Rows(lightgbm.Sequence):
        """Rows of a feature store; the last tile that was read is kept."""

        batch_size = store.chunk_rows

        def __init__(self) -> None:
            self._first, self._tile = -1, np.empty((0, 0))

        def __len__(self) -> int:
            return len(rows)

        def _take(self, wanted: Int64Array) -> NDArray[Any]:
            out = np.empty((len(wanted), len(columns)), np.float64)
            tiles = wanted // store.chunk_rows
            for number in np.unique(tiles):
                first = int(number) * store.chunk_rows
                if first != self._first:
                    last = min(first + store.chunk_rows, store.rows)
                    self._first, self._tile = first, store.read(first, last, columns)
                here = np.flatnonzero(tiles == number)
                out[here] = self._tile[wanted[here] - first]
            return out

        def __getitem__(self, index: Any) -> NDArray[Any]:
            if isinstance(index, slice):
                return self._take(rows[index])
            if isinstance(index, list | np.ndarray):
                return self._take(rows[np.asarray(index)])
            return self._take(rows[[int(index)]])[0]

    return Rows()
