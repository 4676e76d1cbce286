"""Simple models fitted to a feature store: metrics, predictions, coefficients, one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic
from ssldata.base.locks import exclusive_lock
from ssldata.base.one_thread import one_thread
from ssldata.base.progress import NoProgress, Progress
from ssldata.store.feature_store import FeatureStore, open_features
from sslmodels.transfer.boosted_features import BoostedModel, fit_boosted, require_lightgbm
from sslmodels.transfer.feature_subsets import TargetKind, chosen_columns
from sslmodels.transfer.feature_table import FeatureTable, working_set
from sslmodels.transfer.lasso_kernels import compile_kernels
from sslmodels.transfer.lasso_logistic import fit_lasso
from sslmodels.transfer.linear_model import LinearModel, sigmoid
from sslmodels.transfer.memory_limit import free_memory
from sslmodels.transfer.ridge_logistic import fit_ridge
from sslmodels.transfer.row_labels import LabelledRows, LabelOptions, labelled_rows, row_counts

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
#: Key of the record: the limit of memory that ended an L1 path.
_CUT = "cut_by_memory"


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
    if (known := _unchanged(request.out, digest, request.memory)) is not None:
        return {**known, "status": "unchanged"}
    rows = labelled_rows(store, request.labels)
    counts = row_counts(rows)
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
        # Before the fits: all that is loaded counts against the limit of memory.
        from sslmodels.transfer.transfer_files import FittedModels, write_results

        compile_kernels()
        with one_thread():
            fitted = _fit(request, store, columns, names, rows, progress or NoProgress())
        (request.out / RECORD).unlink(missing_ok=True)
        record = write_results(
            request.out, store, names, rows, FittedModels(*fitted), identity=identity, digest=digest
        )
        if any(isinstance(model, LinearModel) and model.cut for model in fitted[0].values()):
            record[_CUT] = request.memory
        write_json_atomic(request.out / RECORD, record)
    return {**record, "status": "written"}


def _fit(
    request: TransferRequest,
    store: FeatureStore,
    columns: NDArray[np.int64],
    names: Sequence[str],
    rows: LabelledRows,
    progress: Progress,
) -> tuple[
    dict[str, LinearModel | BoostedModel],
    dict[str, NDArray[np.float64]],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    """Return the models, the probabilities of all rows, and scale and mean of the columns."""
    free = free_memory(request.memory, working_set(store, len(columns), request.resamples))
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
    return models, scores, table.moments.scale, table.moments.mean


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


def _unchanged(out: Path, digest: str, memory: int) -> dict[str, Any] | None:
    """Return the record of results that stand; those that lacked memory do not if more is given."""
    record = _read_record(out)
    if record is None or record.get("digest") != digest or memory > record.get(_CUT, memory):
        return None
    for name, sha256 in record.get("files", {}).items():
        if not (out / name).is_file() or sha256_of(out / name) != sha256:
            return None
    return record
