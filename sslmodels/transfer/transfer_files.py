"""Files of fitted simple models: metrics, predictions, coefficients, figures, the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.files import atomic_path, sha256_of, write_text_atomic
from ssldata.base.versions import library_versions
from ssldata.store.feature_store import FeatureStore
from sslmodels.scores.metric_intervals import interval, resampled
from sslmodels.scores.metrics import summary
from sslmodels.transfer.boosted_features import BoostedModel
from sslmodels.transfer.linear_model import LinearModel
from sslmodels.transfer.row_labels import SPLITS, LabelledRows, row_counts
from sslmodels.transfer.transfer_page import top_figure, transfer_page


@dataclass(frozen=True)
class FittedModels:
    """The models, the probabilities they give to all rows, and moments of the columns."""

    models: Mapping[str, LinearModel | BoostedModel]
    scores: Mapping[str, NDArray[np.float64]]
    scale: NDArray[np.float64]
    mean: NDArray[np.float64]


def _metrics(rows: LabelledRows, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return the metrics of the validation and the test loci, with intervals of blocks of loci."""
    found: dict[str, Any] = {}
    for name in ("validation", "test"):
        labels, p, first = rows.per_locus(name, scores)
        blocks = np.unique(rows.blocks[first], return_inverse=True)[1].astype(np.int64)
        numbers: dict[str, Any] = dict(summary(labels, p))
        clipped = np.clip(p, 1e-12, 1 - 1e-12)
        numbers["accuracy"] = float(((p > 0.5) == (labels == 1)).mean())
        numbers["log_loss"] = float(
            -np.where(labels == 1, np.log(clipped), np.log1p(-clipped)).mean()
        )
        numbers["intervals"] = resampled(labels, p, blocks).intervals()
        found[name] = numbers
    return found


def coefficient_table(
    model: LinearModel | BoostedModel,
    names: Sequence[str],
    scale: NDArray[np.float64],
) -> pd.DataFrame:
    """Return one line per feature: its coefficient or importance with the interval of resamples.

    Features follow each other by the size of these. Of a linear model, ``coefficient`` is for one
    standard deviation of the feature and ``per_unit`` for 1; ``kept`` is the share of resamples in
    which it is not 0. A feature that no resample was fitted to has no interval.
    """
    count = len(names)
    if isinstance(model, BoostedModel):
        frame = pd.DataFrame(
            {"feature": list(names), "splits": model.importances, "gain": model.gains}
        )
        where, key = np.arange(count), "splits"
    else:
        per_unit = np.divide(model.coefficients, scale, out=np.zeros(count), where=scale > 0)
        frame = pd.DataFrame(
            {"feature": list(names), "coefficient": model.coefficients, "per_unit": per_unit}
        )
        where, key = model.replicated, "coefficient"
    low, high, kept = (np.full(count, np.nan) for _ in range(3))
    if len(model.replicates):
        for number, column in enumerate(where):
            found = interval(model.replicates[:, number])
            if found is not None:
                low[column], high[column] = found
        kept[where] = (model.replicates != 0).mean(axis=0)
    frame = frame.assign(low=low, high=high, kept=kept)
    order = np.argsort(-frame[key].abs().to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def write_results(
    out: Path,
    store: FeatureStore,
    names: Sequence[str],
    rows: LabelledRows,
    fitted: FittedModels,
    *,
    identity: Mapping[str, Any],
    digest: str,
) -> dict[str, Any]:
    """Write every file, and return the record of them.

    Parameters
    ----------
    out
        The folder.
    store, names, rows
        The features, names of the columns that were used, labels and splits.
    fitted
        The models.
    identity, digest
        What decides the results, and its digest.
    """
    metrics = {name: _metrics(rows, scores) for name, scores in fitted.scores.items()}
    files: list[str] = []

    def write(name: str, text: str) -> None:
        write_text_atomic(out / name, text)
        files.append(name)

    write("metrics.json", json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    write("predictions.csv", _predictions(store, rows, fitted.scores).to_csv(index=False))
    tables: dict[str, pd.DataFrame] = {}
    for name, model in fitted.models.items():
        tables[name] = coefficient_table(model, names, fitted.scale)
        kind = "importances" if isinstance(model, BoostedModel) else "coefficients"
        write(f"{kind}-{name}.csv", tables[name].to_csv(index=False, float_format="%.9g"))
        write(f"top-{name}.svg", top_figure(name, tables[name], file=True))
        if isinstance(model, BoostedModel):
            write(f"{name}.txt", model.text)
        else:
            with atomic_path(out / f"{name}.npz") as temporary, temporary.open("wb") as handle:
                np.savez(
                    handle,
                    names=np.array(list(names)),
                    coefficients=model.coefficients,
                    intercept=model.intercept,
                    mean=fitted.mean,
                    scale=fitted.scale,
                )
            files.append(f"{name}.npz")
    constant = [name for name, scale in zip(names, fitted.scale, strict=True) if scale == 0]
    record: dict[str, Any] = {
        "status": "complete",
        "digest": digest,
        "out": str(out),
        "features": str(store.path),
        "identity": dict(identity),
        "seed": identity["seed"],
        "source": store.attributes.get("identity", {}).get("model", {}),
        "rows": row_counts(rows),
        "split_by": rows.split_by,
        "strand_rows": bool(len(np.unique(rows.locus)) < len(rows.locus)),
        "columns": len(names),
        "constant": constant[:100],
        "constant_columns": len(constant),
        "models": {name: _described(model) for name, model in fitted.models.items()},
        "metrics": metrics,
        "versions": library_versions("scikit-learn", "scipy", "lightgbm"),
    }
    write("index.html", transfer_page(record, tables, _curves(rows, fitted.scores)))
    record["files"] = {name: sha256_of(out / name) for name in files}
    return record


def _described(model: LinearModel | BoostedModel) -> dict[str, Any]:
    if isinstance(model, BoostedModel):
        return {
            "settings": dict(model.settings),
            "trees": model.trees,
            "search": [dict(one) for one in model.search],
            "resamples": len(model.replicates),
        }
    return {
        "lambda": model.strength,
        "relaxed": model.relaxed,
        "intercept": model.intercept,
        "features": int(np.count_nonzero(model.coefficients)),
        "path": [dict(one) for one in model.path],
        "resamples": len(model.replicates),
        "notes": list(model.notes),
    }


def _predictions(
    store: FeatureStore, rows: LabelledRows, scores: Mapping[str, NDArray[np.float64]]
) -> pd.DataFrame:
    """Return one line per locus, in the order of the rows."""
    parts = []
    for number, split in enumerate(SPLITS):
        labels, _, first = rows.per_locus(split, np.zeros(len(rows.labels)))
        columns: dict[str, Any] = {"row": first, "name": rows.names[first]}
        for key in ("contig", "start", "end"):
            if key in store.coordinates:
                columns[key] = store.coordinate(key)[first]
        columns |= {"label": labels, "split": SPLITS[number]}
        for name, values in scores.items():
            columns[name] = rows.per_locus(split, values)[1]
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts).sort_values("row", kind="stable")


def _curves(
    rows: LabelledRows, scores: Mapping[str, NDArray[np.float64]]
) -> dict[str, tuple[NDArray[Any], NDArray[np.float64]]]:
    """Return labels and scores of the test loci of every model."""
    return {name: rows.per_locus("test", values)[:2] for name, values in scores.items()}
