"""Both logistic regressions against scikit-learn, on stores larger than what is kept of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import feature_tools
import numpy as np
import pytest
from feature_tools import planted, recovered, write_features
from sklearn.linear_model import LogisticRegression

from ssldata.base.errors import InputError
from ssldata.base.progress import NoProgress
from ssldata.store.feature_store import open_features
from sslmodels.transfer.feature_table import FeatureTable
from sslmodels.transfer.lasso_logistic import fit_lasso
from sslmodels.transfer.linear_model import LinearModel, resampled_weights
from sslmodels.transfer.ridge_logistic import fit_ridge
from sslmodels.transfer.row_labels import LabelledRows, LabelOptions, labelled_rows


def opened(path: Path, *, keep: int = 10**9) -> tuple[FeatureTable, LabelledRows]:
    store = open_features(path)
    rows = labelled_rows(store, LabelOptions())
    table = FeatureTable(store, np.arange(len(store.columns)), store.columns, keep=keep)
    table.standardise(rows.of("train"))
    return table, rows


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, feature_tools.Planted]:
    made = planted(3000, 300)
    made.values[:, 7] = 0.25  # constant
    made.values[:, 8] = made.values[:, 8] * 1e-3 + 100  # far from 0
    folder = tmp_path_factory.mktemp("profiles")
    return write_features(folder / "f.zarr", made.values, label=made.labels), made


def lasso(path: Path, *, keep: int = 10**9, room: int = 10**9, relax=True) -> LinearModel:
    table, rows = opened(path, keep=keep)
    return fit_lasso(
        table, rows, seed=0, resamples=5, room=room, progress=NoProgress(), relax=relax
    )


def standardised(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised features and labels of the training rows, and which columns vary."""
    store = open_features(path)
    rows = labelled_rows(store, LabelOptions())
    values = store.read(0, store.rows).astype(np.float64)[rows.of("train")]
    scale = values.std(axis=0)
    varies = np.ptp(values, axis=0) > 0
    z = (values - values.mean(axis=0)) / np.where(varies, scale, 1)
    return z[:, varies], rows.labels[rows.of("train")], varies


def test_l1_is_the_optimum_over_all_columns(profiles: tuple[Path, feature_tools.Planted]) -> None:
    path, _ = profiles
    found = lasso(path, relax=False)
    z, labels, varies = standardised(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that newer releases name otherwise
        expected = LogisticRegression(
            penalty="l1", solver="saga", C=1 / (len(z) * found.strength), tol=1e-8, max_iter=10_000
        ).fit(z, labels)
    np.testing.assert_allclose(found.coefficients[varies], expected.coef_[0], atol=2e-4)
    assert found.intercept == pytest.approx(expected.intercept_[0], abs=2e-4)
    assert (found.coefficients[~varies] == 0).all()


def test_l2_is_the_optimum(profiles: tuple[Path, feature_tools.Planted]) -> None:
    path, _ = profiles
    table, rows = opened(path)
    found = fit_ridge(table, rows, seed=0, resamples=0, room=10**8, progress=NoProgress())
    z, labels, varies = standardised(path)
    expected = LogisticRegression(C=1 / (len(z) * found.strength), tol=1e-10, max_iter=10_000)
    expected.fit(z, labels)
    np.testing.assert_allclose(found.coefficients[varies], expected.coef_[0], atol=2e-4)
    assert (found.coefficients[~varies] == 0).all()


def test_intervals_of_l2_are_near_those_of_whole_refits(tmp_path: Path) -> None:
    made = planted(1500, 20, chosen=4)
    path = write_features(tmp_path / "f.zarr", made.values, label=made.labels)
    table, rows = opened(path)
    found = fit_ridge(table, rows, seed=3, resamples=40, room=10**8, progress=NoProgress())
    z, labels, _ = standardised(path)
    weights = resampled_weights(rows, 40, 3) * len(labels)
    refits = np.array(
        [
            LogisticRegression(C=1 / (len(z) * found.strength), tol=1e-8, max_iter=2000)
            .fit(z, labels, sample_weight=weights[:, number])
            .coef_[0]
            for number in range(40)
        ]
    )
    assert np.corrcoef(found.replicates.ravel(), refits.ravel())[0, 1] > 0.995
    assert np.abs(found.replicates.std(0) / refits.std(0) - 1).max() < 0.25


def test_the_planted_rule_is_recovered(profiles: tuple[Path, feature_tools.Planted]) -> None:
    path, made = profiles
    found = lasso(path)
    precision, recall = recovered(np.flatnonzero(found.coefficients).tolist(), made.truth)
    assert precision >= 0.9
    assert recall >= 0.9
    kept = dict(zip(found.replicated, (found.replicates != 0).mean(axis=0), strict=True))
    assert np.mean([kept[column] for column in made.truth]) >= 0.8


def test_memory_decides_no_bit(profiles: tuple[Path, feature_tools.Planted]) -> None:
    """Of what is kept between passes; of the columns held, which ones only to the tolerance."""
    path, _ = profiles
    much, none = lasso(path), lasso(path, keep=0)
    np.testing.assert_array_equal(much.coefficients, none.coefficients)
    np.testing.assert_array_equal(much.replicates, none.replicates)
    few = lasso(path, keep=0, room=80 * 4 * 3000)
    np.testing.assert_allclose(much.coefficients, few.coefficients, atol=1e-4)
    ridges = []
    for keep in (0, 10**9):
        table, rows = opened(path, keep=keep)
        ridges.append(
            fit_ridge(table, rows, seed=0, resamples=3, room=10**8, progress=NoProgress())
        )
    np.testing.assert_array_equal(ridges[0].coefficients, ridges[1].coefficients)
    np.testing.assert_array_equal(ridges[0].replicates, ridges[1].replicates)


def test_a_path_that_needs_more_memory_says_so(
    profiles: tuple[Path, feature_tools.Planted],
) -> None:
    found = lasso(profiles[0], room=3 * 4 * 3000)
    assert "raise --memory" in found.notes[0]


def test_not_a_number_is_an_error_that_names_the_column(tmp_path: Path) -> None:
    made = planted(600, 5, chosen=2)
    made.values[431, 3] = np.nan
    path = write_features(tmp_path / "f.zarr", made.values, label=made.labels)
    with pytest.raises(InputError, match=r"'f3' of row 431 is nan"):
        opened(path)
