"""Features of sequences, computed block by block into a feature store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import ConfigError, InputError, StoreError
from ssldata.base.files import real_path
from ssldata.base.progress import NoProgress, Progress
from ssldata.store.feature_store import FeatureLayout, FeatureType, FeatureWriter
from ssldata.store.store import REFERENCE
from ssldata.store.store_writer import remove_tree, writer_lock
from sslmodels.features.feature_model import FeatureModel, features_of
from sslmodels.features.feature_rows import SequenceRows, open_sequences, with_both_strands
from sslmodels.features.open_feature_model import (
    FeatureModelOptions,
    needs_length,
    open_feature_model,
)
from sslmodels.fit.devices import make_deterministic


@dataclass(frozen=True, kw_only=True)
class FeatureRequest:
    """What ``crosslabel model features`` was asked for.

    Attributes
    ----------
    model
        As of :func:`sslmodels.features.open_feature_model.open_feature_model`.
    sequences, genome, length, group, split
        As of :func:`sslmodels.features.feature_rows.open_sequences`.
    out
        The feature store.
    layer, weights, seed
        As of :class:`.FeatureModelOptions`.
    both_strands
        Average the features of each sequence and of its reverse complement.
    strand_rows
        Make both strands rows instead.
    dtype
        Type of the numbers.
    """

    model: str
    sequences: str
    out: Path
    genome: Path | None = None
    length: int | None = None
    group: str = REFERENCE
    split: str | None = None
    layer: str | None = None
    weights: Path | None = None
    seed: int = 0
    both_strands: bool = True
    strand_rows: bool = False
    dtype: FeatureType = "float32"


def extract_features(
    request: FeatureRequest,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the features that a request asks for; what is finished already is not computed again.

    Parameters
    ----------
    request
        The request.
    replace
        Overwrite a store of other settings.
    dry_run
        Only say what would be written.
    progress
        Progress reporter, advanced by the rows computed.

    Returns
    -------
    dict
        ``status`` (``written``, ``unchanged``, ``to do``), ``out``, ``rows``, ``columns``,
        ``bytes``, ``kept_rows``, ``skipped``, ``model``, ``digest``; of a written store its
        ``content``.

    Raises
    ------
    CrosslabelError
        A file is missing or wrong, options contradict each other, or a store of other settings is
        in the way.
    """
    make_deterministic()
    model, rows = _opened(request, progress)
    if request.strand_rows:
        rows = with_both_strands(rows)
    averaged = request.both_strands and not request.strand_rows
    layout = FeatureLayout(rows=rows.count, columns=model.columns, dtype=request.dtype)
    identity = {
        "model": dict(model.identity),
        "sequences": dict(rows.identity),
        "length": rows.length,
        "both_strands": averaged or model.reads_both_strands,
        "columns": list(model.columns.names),
        "dtype": request.dtype,
    }
    writer = FeatureWriter(real_path(request.out), layout, identity)
    summary: dict[str, Any] = {
        "out": str(request.out),
        "rows": rows.count,
        "columns": len(model.columns.names),
        "bytes": layout.bytes,
        "skipped": dict(rows.skipped),
        "model": dict(model.identity),
        "digest": writer.digest,
    }
    if dry_run:
        _check(writer, replace=replace)
        done = writer.state() == "complete"
        return {**summary, "status": "unchanged" if done else "to do"}
    with writer_lock(writer.path):
        _check(writer, replace=replace)
        if writer.state() == "complete":
            return {**summary, "status": "unchanged"}
        if writer.state() == "other" and not writer.path.exists():
            remove_tree(writer.partial)
        kept = _write(writer, model, rows, averaged, progress or NoProgress())
        content = writer.finish(rows.coordinates)
    return {**summary, "status": "written", "kept_rows": kept, "content": content}


def _opened(
    request: FeatureRequest, progress: Progress | None
) -> tuple[FeatureModel, SequenceRows]:
    """Open both: the length of one of them follows from the other."""

    def model(length: int | None) -> FeatureModel:
        options = FeatureModelOptions(
            layer=request.layer,
            weights=request.weights,
            seed=request.seed,
            length=length,
            progress=progress,
        )
        return open_feature_model(request.model, options)

    def sequences(length: int | None) -> SequenceRows:
        return open_sequences(
            request.sequences,
            length=length,
            genome=request.genome,
            group=request.group,
            split=request.split,
        )

    if needs_length(request.model):
        rows = sequences(request.length)
        return model(rows.length), rows
    opened = model(request.length)
    if None not in (opened.length, request.length) and opened.length != request.length:
        raise ConfigError(
            f"--length {request.length}: {request.model} reads {opened.length} b; leave it out"
        )
    return opened, sequences(opened.length or request.length)


def _check(writer: FeatureWriter, *, replace: bool) -> None:
    """Refuse to overwrite what is not ours, or is of other settings."""
    state = writer.state()
    if state == "foreign":
        raise StoreError(f"{writer.path}: in the way, and no feature store; choose another --out")
    if state == "other" and not replace:
        unfinished = "" if writer.path.exists() else "begun and "
        raise ConfigError(
            f"{writer.path}: {unfinished}made of another model, other sequences or options; choose "
            "another --out, or overwrite it with --replace"
        )


def _write(
    writer: FeatureWriter,
    model: FeatureModel,
    rows: SequenceRows,
    averaged: bool,
    progress: Progress,
) -> int:
    """Compute the blocks that are missing; return the rows of those that were kept."""
    writer.begin()
    kept = 0
    limit = float(np.finfo(writer.layout.dtype).max)
    with progress.task("computing features", rows.count) as advance:
        for number, (first, last) in enumerate(writer.layout.blocks):
            if writer.kept(number):
                kept += last - first
                advance(last - first)
                continue
            values = features_of(model, rows.read(first, last), both_strands=averaged)
            if np.abs(values).max(initial=0) > limit:
                _refuse_large(values, limit, model.columns.names)
            writer.write(number, values)
            advance(last - first)
    return kept


def _refuse_large(values: Any, limit: float, names: Any) -> None:
    row, column = (int(place) for place in np.argwhere(np.abs(values) > limit)[0])
    raise InputError(
        f"feature {names[column]!r} is {values[row, column]:g}, above the largest float16, "
        f"{limit:g}; store it as float32"
    )
