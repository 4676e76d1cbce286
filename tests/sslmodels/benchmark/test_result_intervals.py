"""Intervals of a grid of runs: resamples read from run folders, means and comparisons of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sslmodels.benchmark.result_intervals import comparisons, resamples_of, with_intervals
from sslmodels.evaluation.resamples_file import write_resamples
from sslmodels.scores.metric_intervals import Resampled


def results_in(folder: Path, rng: np.random.Generator) -> tuple[pd.DataFrame, dict]:
    """Runs of two regimes, two experiments and two seeds; one was evaluated by an old release."""
    rows, arrays = [], {}
    for experiment in ("a", "b"):
        for regime, mean in (("sl-plus", 0.3), ("ssl-plus", 0.4), ("old", 0.2)):
            for seed in (0, 1):
                run = folder / experiment / regime / str(seed)
                (run / "evaluation").mkdir(parents=True)
                aupr = rng.normal(mean, 0.02, 500)
                arrays[experiment, regime, seed] = aupr
                if regime != "old" or seed:
                    found = Resampled(aupr, 1 - aupr)
                    write_resamples(run / "evaluation", {"": found})
                rows.append((experiment, "m", regime, seed, mean + seed / 100, str(run)))
    columns = ["experiment", "model", "regime", "seed", "aupr", "run"]
    return pd.DataFrame(rows, columns=columns), arrays


def test_means_over_seeds_and_experiments(tmp_path: Path) -> None:
    results, arrays = results_in(tmp_path, np.random.default_rng(0))
    resamples = resamples_of(results)
    assert {regime for _, _, regime in resamples} == {"sl-plus", "ssl-plus"}
    expected = (arrays["a", "sl-plus", 0] + arrays["a", "sl-plus", 1]) / 2
    np.testing.assert_allclose(resamples["a", "m", "sl-plus"], expected, rtol=1e-5)
    cells = results.groupby(["experiment", "model", "regime"], sort=False)["aupr"]
    table = with_intervals(cells.mean().rename("mean").reset_index(), resamples)
    first = table.iloc[0]
    assert (first["low"], first["high"]) == pytest.approx(
        tuple(np.percentile(expected, [2.5, 97.5])), rel=1e-5
    )
    assert table[table["regime"] == "old"][["low", "high"]].isna().all(axis=None)

    pairs = [(("m", "ssl-plus"), ("m", "sl-plus")), (("m", "ssl-plus"), ("m", "old"))]
    plus, old = comparisons(table, resamples, pairs).to_dict("records")
    above, below = (
        np.mean([arrays[e, regime, s] for e in "ab" for s in (0, 1)], axis=0)
        for regime in ("ssl-plus", "sl-plus")
    )
    for key, values in (("", above / below), ("difference_", above - below)):
        span = (plus[f"{key}low"], plus[f"{key}high"])
        assert span == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), rel=1e-4)
    assert plus["ratio"] == pytest.approx(0.405 / 0.305)
    assert (plus["n"], plus["wins"]) == (2, 2)
    assert np.isnan(old["low"])
    assert old["ratio"] > 1
