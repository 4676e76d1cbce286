"""Interpret a run: find the motifs of its model, match them, measure what they do, write a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
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
from ssldata.base.keyed_random import first_of_permutation
from ssldata.base.progress import Progress
from ssldata.genomes.onehot import decode
from ssldata.reading.read_window import central
from ssldata.store.store import REFERENCE, Store
from sslmodels.baselines.meme_text import SequenceMotif, read_meme, write_meme
from sslmodels.evaluation.evaluation_status import Subject, subject
from sslmodels.fit.devices import make_deterministic
from sslmodels.interpretation.attribution import Method, contributions
from sslmodels.interpretation.first_filters import FilterMotif, filter_motifs
from sslmodels.interpretation.interpretation_page import interpretation_page
from sslmodels.interpretation.logos import motif_logo, require_logomaker
from sslmodels.interpretation.marginal_effects import marginal_effect, pair_effects
from sslmodels.interpretation.motif_discovery import FoundMotif, find_motifs
from sslmodels.interpretation.motif_match import Match, best_matches_of
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.model_builder import load_model
from sslmodels.report.svg_figures import file_svg
from sslmodels.runs.training_rows import label_columns

#: Increased when a release writes other files from the same run.
_FORMAT = 1

#: Background sequences of marginal effects; filters that are shown; rows whose contributions are.
_BACKGROUNDS, _FILTERS, _SHOWN = 100, 12, 3

Rows = Literal["test", "validation"]


@dataclass(frozen=True)
class InterpretOptions:
    """What is interpreted, and how.

    Attributes
    ----------
    rows
        The split whose rows are read.
    count
        Positive rows at most, drawn with the seed; as many negative rows are drawn.
    seed
        Of these draws.
    method
        Of :func:`sslmodels.interpretation.attribution.contributions`.
    known
        MEME file that motifs are matched to; None: they are not matched.
    """

    rows: Rows = "test"
    count: int = 500
    seed: int = 0
    method: Method = "mutagenesis"
    known: Path | None = None


@dataclass(frozen=True)
class _Sample:
    """Rows that are read: base codes, labels, and where they lie."""

    codes: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    places: list[str]


def interpret_run(
    run_folder: Path,
    options: InterpretOptions | None = None,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find what the model of a run has learnt, and write the folder ``interpretation`` of the run.

    If the folder already holds the interpretation of this model with these options, it is only
    read. It has ``index.html``, ``interpretation.json``, ``motifs.meme``, ``filters.meme``,
    ``contributions.npz`` (the rows that were read and what their bases contribute), and the logo of
    the first motif of each experiment as SVG.

    Parameters
    ----------
    run_folder
        Folder of a complete run.
    options
        Default: :class:`InterpretOptions` as it is.
    progress
        Progress reporter.

    Returns
    -------
    dict
        What ``interpretation.json`` holds: the cell, ``options``, ``digest``, and by experiment
        the motifs with their matches and effects, the pair, and the filters.

    Raises
    ------
    MissingInputError
        There is no run, no store, or no file of known motifs.
    ConfigError
        The run is not complete, its model reads tokens, or logomaker is not installed.
    StoreError
        The store is not that of the run, or the split has no positive or no negative row.
    """
    options = options or InterpretOptions()
    require_logomaker()
    known = [] if options.known is None else read_meme(options.known)
    opened = subject(run_folder)
    digest = _digest(opened, options)
    folder = opened.folder.interpretation
    present = read_interpretation(folder)
    if present is not None and present.get("digest") == digest:
        return present
    make_deterministic()
    model = load_model(opened.folder.model)
    if not isinstance(model, SequenceModel):
        raise ConfigError(
            f"{run_folder}: {opened.record['model']!r} reads tokens; motifs are found in models "
            "that read bases"
        )
    # What is there was made otherwise, and shall not be read beside new files.
    for path in (folder / "interpretation.json", *folder.glob("*.svg")):
        path.unlink(missing_ok=True)
    experiments: dict[str, Any] = {}
    motifs: list[SequenceMotif] = []
    filters: list[SequenceMotif] = []
    arrays: dict[str, NDArray[Any]] = {}
    outputs = opened.outputs or [opened.record["experiment"]]
    for output, name in enumerate(outputs):
        sample = _sample(opened.store, name, options, length=model.length)
        contributed = contributions(
            model, sample.codes, method=options.method, output=output, progress=progress
        )
        found = find_motifs(sample.codes, contributed, sample.labels)
        first = filter_motifs(model, sample.codes, sample.labels)
        matches = best_matches_of([one.motif for one in found], known) if known else []
        experiments[name] = {
            "positives": int(sample.labels.sum()),
            "negatives": int((~sample.labels).sum()),
            "motifs": _motifs(model, sample, found, matches, output=output),
            "pair": _pair(model, sample, found, output=output),
            "filters": _filters(first[:_FILTERS], known),
            "rows": _strongest(sample, contributed),
        }
        prefix = f"{name}_" if opened.outputs else ""
        motifs += _renamed(prefix, [one.motif for one in found])
        filters += _renamed(prefix, [one.motif for one in first])
        arrays |= {
            f"{prefix}codes": sample.codes,
            f"{prefix}contributions": contributed,
            f"{prefix}labels": sample.labels,
        }
        if found:
            logo = file_svg(motif_logo(found[0].motif.matrix, salt=f"top motif of {name}"))
            write_text_atomic(folder / f"{name}.svg", logo)
    result = {
        **{key: opened.record[key] for key in ("experiment", "model", "regime", "seed")},
        "digest": digest,
        "options": _as_json(options),
        "experiments": experiments,
    }
    write_meme(folder / "motifs.meme", motifs)
    write_meme(folder / "filters.meme", filters)
    _save_arrays(folder / "contributions.npz", arrays)
    write_text_atomic(folder / "index.html", interpretation_page(result))
    # Written last: its presence means that the other files are complete.
    write_json_atomic(folder / "interpretation.json", result)
    return result


def read_interpretation(folder: Path) -> dict[str, Any] | None:
    """Return ``interpretation.json`` of an interpretation's folder; None if there is none."""
    try:
        found = json.loads((folder / "interpretation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digest(opened: Subject, options: InterpretOptions) -> str:
    """Identity of an interpretation: model, rows, options, and the content of the known motifs."""
    return digest_of(
        {
            "format": _FORMAT,
            "model": file_digest(opened.folder.model),
            "content": opened.store.ledger[REFERENCE]["content"],
            "options": _as_json(options),
            "known": None if options.known is None else sha256_of(options.known),
        }
    )


def _as_json(options: InterpretOptions) -> dict[str, Any]:
    return {**asdict(options), "known": None if options.known is None else options.known.name}


def _sample(store: Store, experiment: str, options: InterpretOptions, *, length: int) -> _Sample:
    """Draw positive rows of a split, and as many negative ones."""
    group = store.group(REFERENCE)
    start, stop = group.ranges[options.rows]
    label = group.column("label")[start:stop, label_columns(store, [experiment])[0]]
    drawn: list[NDArray[np.int64]] = []
    for value in (1, 0):
        rows = np.flatnonzero(label == value)
        if not len(rows):
            raise StoreError(
                f"{store.location}: {experiment} has no {options.rows} row of label {value}; "
                "choose other rows with --rows"
            )
        count = min(len(rows), options.count if value else len(drawn[0]))
        chosen = first_of_permutation(len(rows), count, "interpret", options.seed, value)
        drawn.append(rows[chosen])
    rows = np.sort(np.concatenate(drawn)) + start
    codes = group.take_codes(rows)
    columns = (group.column(name)[rows].tolist() for name in ("contig", "start", "end"))
    places = zip(*columns, strict=True)
    return _Sample(
        codes=np.ascontiguousarray(central(codes, length)),
        labels=np.asarray(label[rows - start] == 1),
        places=[f"{group.contigs[code]}:{first}-{end}" for code, first, end in places],
    )


def _motifs(
    model: SequenceModel,
    sample: _Sample,
    found: Sequence[FoundMotif],
    matches: Sequence[Sequence[Match]],
    *,
    output: int,
) -> list[dict[str, Any]]:
    backgrounds = _backgrounds(sample)
    return [
        {
            **_motif_json(one.motif),
            "positives": one.positives,
            "negatives": one.negatives,
            "q": one.q,
            "contribution": one.contribution,
            "effect": marginal_effect(model, backgrounds, one.motif, output=output).as_dict(),
            "matches": [_match_json(match) for match in (matches[i] if matches else [])],
        }
        for i, one in enumerate(found)
    ]


def _backgrounds(sample: _Sample) -> NDArray[np.uint8]:
    return sample.codes[~sample.labels][:_BACKGROUNDS]


def _motif_json(motif: SequenceMotif) -> dict[str, Any]:
    return {
        "name": motif.name,
        "consensus": motif.consensus,
        "sites": motif.sites,
        "matrix": motif.matrix.round(4).tolist(),
    }


def _match_json(match: Match) -> dict[str, Any]:
    return {
        "name": match.motif.name,
        "label": match.motif.label,
        "p": match.p,
        "q": match.q,
        "offset": match.offset,
        "other_strand": match.other_strand,
        "matrix": match.motif.matrix.round(4).tolist(),
    }


def _pair(
    model: SequenceModel, sample: _Sample, found: Sequence[FoundMotif], *, output: int
) -> dict[str, Any] | None:
    """Return the effects of the two strongest motifs, or of the only one with itself."""
    if not found:
        return None
    motifs = [one.motif for one in found[:2]]
    return pair_effects(model, _backgrounds(sample), motifs, output=output)


def _filters(first: Sequence[FilterMotif], known: Sequence[SequenceMotif]) -> list[dict[str, Any]]:
    matches = best_matches_of([one.motif for one in first], known, count=1) if known else []
    return [
        {
            **_motif_json(one.motif),
            "auroc": one.auroc,
            "matches": [_match_json(match) for match in (matches[i] if matches else [])],
        }
        for i, one in enumerate(first)
    ]


def _strongest(sample: _Sample, contributed: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return the positive rows whose bases contribute most."""
    total = np.where(sample.labels, contributed.sum(axis=1), -np.inf)
    return [
        {
            "place": sample.places[i],
            "sequence": decode(sample.codes[i]),
            "contributions": np.round(contributed[i].astype(float), 3).tolist(),
        }
        for i in np.argsort(-total, kind="stable")[: min(_SHOWN, int(sample.labels.sum()))]
    ]


def _renamed(prefix: str, motifs: Sequence[SequenceMotif]) -> list[SequenceMotif]:
    return [replace(motif, name=f"{prefix}{motif.name}") for motif in motifs]


def _save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
