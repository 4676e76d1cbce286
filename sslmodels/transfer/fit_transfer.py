"""Simple models fitted to a feature store: metrics, predictions, coefficients, one page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.files import (
    atomic_path,
    digest_of,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)
from ssldata.base.locks import exclusive_lock
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.versions import library_versions
from ssldata.store.feature_store import FeatureStore, open_features
from sslmodels.scores.metric_intervals import interval, resampled
from sslmodels.scores.metrics import summary
from sslmodels.transfer.boosted_features import BoostedModel, fit_boosted, require_lightgbm
from sslmodels.transfer.feature_subsets import TargetKind, chosen_columns
from sslmodels.transfer.feature_table import FeatureTable, free_memory
from sslmodels.transfer.lasso_logistic import fit_lasso
from sslmodels.transfer.linear_model import LinearModel, sigmoid
from sslmodels.transfer.ridge_logistic import fit_ridge
from sslmodels.transfer.row_labels import SPLITS, LabelledRows, LabelOptions, labelled_rows
from sslmodels.transfer.transfer_page import top_figure, transfer_page

ModelName = Literal["logistic", "l1", "lightgbm"]
MODELS: tuple[ModelName, ...] = ("logistic", "l1", "lightgbm")

#: Incremented when a release would give other numbers from the same features.
TRANSFER_FORMAT = 1
#: Shares of the memory for columns held by the L1 path, or the resamples of L2, and for tiles kept
#: between passes.
_HELD, _KEPT = 0.5, 0.4
#: Fits of LightGBM for intervals of its importances, at most.
_BOOSTED_RESAMPLES = 20
RECORD = "transfer.json"


@dataclass(frozen=True, kw_only=True)
class TransferRequest:
    """What ``crosslabel transfer`` was asked for.

    Attributes
    ----------
    features
        A feature store.
    out
        Folder of the results.
    labels
        Labels and splits.
    models
        Which are fitted.
    patterns, kind, targets
        As of :func:`sslmodels.transfer.feature_subsets.chosen_columns`.
    memory
        Bytes that the process may take.
    search
        Settings of LightGBM tried beside the published ones.
    resamples
        Of coefficients and importances.
    seed
        Of splits, resamples and LightGBM.
    """

    features: Path
    out: Path
    labels: LabelOptions = field(default_factory=LabelOptions)
    models: Sequence[ModelName] = ("logistic", "l1")
    patterns: Sequence[str] = ()
    kind: TargetKind | None = None
    targets: Path | None = None
    memory: int = 4_000_000_000
    search: int = 0
    resamples: int = 50
    seed: int = 0


def fit_transfer(
    request: TransferRequest,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit the models; where nothing has changed, nothing is done.

    Parameters
    ----------
    request
        The request.
    replace
        Overwrite results of other features, labels or options.
    dry_run
        Only read labels, and say what would be fitted.
    progress
        Progress reporter.

    Returns
    -------
    dict
        The record of the results, as in ``transfer.json``, with its ``status``: ``written``,
        ``unchanged``, ``to do``.

    Raises
    ------
    CrosslabelError
        Features, labels or options are wrong, or results of others are in the way.
    """
    if not request.models or len(set(request.models)) < len(request.models):
        raise ConfigError(f"--models: name each once: {', '.join(MODELS)}")
    for name in request.models:
        if name not in MODELS:
            raise ConfigError(f"--models {name}: no such model; there are {', '.join(MODELS)}")
    if "lightgbm" in request.models:
        require_lightgbm()
    store = open_features(request.features)
    columns, names = chosen_columns(
        store.columns,
        patterns=request.patterns,
        kind=request.kind,
        targets=request.targets,
        where=str(request.features),
    )
    identity = _identity(request, store, names)
    digest = digest_of(identity)
    _check(request.out, digest, replace=replace)
    if (known := _unchanged(request.out, digest)) is not None:
        return {**known, "status": "unchanged"}
    rows = labelled_rows(store, request.labels)
    counts = _counts(rows)
    if dry_run:
        return {
            "out": str(request.out),
            "status": "to do",
            "columns": len(columns),
            "bytes": store.rows * len(columns) * 4,
            "rows": counts,
            "split_by": rows.split_by,
            "models": list(request.models),
        }
    request.out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(request.out / ".lock", waiting=f"{request.out}: in use; waiting for it"):
        fitted = _fit(request, store, columns, names, rows, progress or NoProgress())
        record = _write(request, store, names, rows, fitted, identity, digest)
    return {**record, "status": "written"}


@dataclass(frozen=True)
class _Fitted:
    """The models, the probabilities they give to all rows, and moments of the columns."""

    models: Mapping[str, LinearModel | BoostedModel]
    scores: Mapping[str, NDArray[np.float64]]
    scale: NDArray[np.float64]
    mean: NDArray[np.float64]


def _fit(
    request: TransferRequest,
    store: FeatureStore,
    columns: NDArray[np.int64],
    names: Sequence[str],
    rows: LabelledRows,
    progress: Progress,
) -> _Fitted:
    tile = 4 * min(store.chunk_rows, store.rows) * len(columns)
    free = free_memory(request.memory, tile)
    held = int(_HELD * free)
    table = FeatureTable(store, columns, names, keep=int(_KEPT * free))
    with progress.task("mean and deviation of the features"):
        table.standardise(rows.of("train"))
    models: dict[str, LinearModel | BoostedModel] = {}
    scores: dict[str, NDArray[np.float64]] = {}
    for name in request.models:
        if name == "lightgbm":
            table.release(int(_KEPT * free))
            boosted = fit_boosted(
                store,
                columns,
                rows,
                seed=request.seed,
                search=request.search,
                resamples=min(request.resamples, _BOOSTED_RESAMPLES),
                memory=free,
                progress=progress,
            )
            models[name], scores[name] = boosted, boosted.scores
            continue
        common: dict[str, Any] = {
            "seed": request.seed,
            "resamples": request.resamples,
            "room": held,
            "progress": progress,
        }
        fit = fit_lasso if name == "l1" else fit_ridge
        linear = fit(table, rows, **common)
        models[name] = linear
        z = table.products(linear.coefficients[:, None])[:, 0] + linear.intercept
        scores[name] = sigmoid(z)
    return _Fitted(models, scores, table.moments.scale, table.moments.mean)


def _identity(
    request: TransferRequest, store: FeatureStore, names: Sequence[str]
) -> dict[str, Any]:
    labels = asdict(request.labels)
    path = Path(request.labels.labels)
    if request.labels.labels not in store.coordinates and path.is_file():
        labels["labels"] = file_digest(path)
    return {
        "format": TRANSFER_FORMAT,
        "features": {key: store.attributes[key] for key in ("digest", "content")},
        "columns": digest_of(list(names)),
        "labels": labels,
        "models": list(request.models),
        "search": request.search,
        "resamples": request.resamples,
        "seed": request.seed,
        # The end of an L1 path, and whether LightGBM fits, depend on it.
        "memory": request.memory,
    }


def _check(out: Path, digest: str, *, replace: bool) -> None:
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: in the way, and no folder; choose another --out")
    if not out.is_dir():
        return
    record = _read_record(out)
    others = sorted(path.name for path in out.iterdir() if path.name != ".lock")
    if (
        record is None
        and others
        and not (out / "metrics.json").exists()
        and ".partial" not in str(others)
    ):
        raise StoreError(
            f"{out}: holds {others[0]}, which `crosslabel transfer` did not write; choose another "
            "--out"
        )
    if record is not None and record.get("digest") != digest and not replace:
        raise ConfigError(
            f"{out}: holds results of other features, labels or options; choose another --out, or "
            "overwrite them with --replace"
        )


def _read_record(out: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((out / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _unchanged(out: Path, digest: str) -> dict[str, Any] | None:
    record = _read_record(out)
    if record is None or record.get("digest") != digest:
        return None
    for name, sha256 in record.get("files", {}).items():
        if not (out / name).is_file() or sha256_of(out / name) != sha256:
            return None
    return record


def _counts(rows: LabelledRows) -> dict[str, dict[str, int]]:
    found = {}
    for name in SPLITS:
        labels, _, _ = rows.per_locus(name, np.zeros(len(rows.labels)))
        found[name] = {
            "rows": int(rows.of(name).sum()),
            "loci": len(labels),
            "positives": int(labels.sum()),
        }
    return found


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


def _write(
    request: TransferRequest,
    store: FeatureStore,
    names: Sequence[str],
    rows: LabelledRows,
    fitted: _Fitted,
    identity: Mapping[str, Any],
    digest: str,
) -> dict[str, Any]:
    """Write every file, the record last."""
    out = request.out
    (out / RECORD).unlink(missing_ok=True)
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
        "features": str(request.features),
        "identity": dict(identity),
        "seed": request.seed,
        "source": store.attributes.get("identity", {}).get("model", {}),
        "rows": _counts(rows),
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
    write_json_atomic(out / RECORD, record)
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
