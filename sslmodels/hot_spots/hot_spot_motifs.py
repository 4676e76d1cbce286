"""Known motifs in the hot spots of a model: found, tested between classes, written to a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic, write_text_atomic
from ssldata.base.progress import Progress
from sslmodels.baselines.meme_text import SequenceMotif, read_meme
from sslmodels.baselines.motif_scan import base_frequencies, log_odds_of
from sslmodels.fit.devices import make_deterministic
from sslmodels.hot_spots.hot_spot_files import write_hot_spots, write_motif_table
from sslmodels.hot_spots.hot_spot_options import HotSpotOptions
from sslmodels.hot_spots.hot_spot_page import hot_spot_page
from sslmodels.hot_spots.hot_spot_windows import HotSpots, find_hot_spots, windows_of
from sslmodels.hot_spots.model_rows import choose_sequences, load_network, open_model_rows
from sslmodels.hot_spots.motif_hits import hits_by_sequence, largest_log_odds, motif_hits
from sslmodels.hot_spots.proportion_tests import proportion_tests
from sslmodels.hot_spots.sequence_choice import Choice
from sslmodels.interpretation.attribution import PathAttribution, integrated_gradients
from sslmodels.interpretation.logos import require_logomaker

#: Increased when a release writes other files from the same model and rows.
_FORMAT = 1

_RESULT = "hot_spots.json"

#: Classes of fewer sequences are mentioned: little can be found in them.
FEW = 10

#: Attributions that miss their sum by more than this share (median) are mentioned.
_INCOMPLETE = 0.05


def hot_spot_motifs(
    path: Path,
    options: HotSpotOptions,
    *,
    store: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Test which known motifs are in the hot spots of one class more often than of the other.

    If the folder already holds the result of this model, these rows and options, it is only read.
    It has ``index.html``, ``hot_spots.json``, ``motifs.tsv``, and the hot spots as ``.bed``,
    ``.tsv`` and ``.npz``.

    Parameters
    ----------
    path
        Folder of a complete run, or a ``.keras`` file.
    options
        What is looked at, and how.
    store
        Address of a store with labelled rows, for a file that is not that of a run.
    folder
        Where the result goes; default: ``hot-spots`` in the run.
    progress
        Progress reporter.

    Returns
    -------
    dict
        What ``hot_spots.json`` holds: ``title``, ``output``, ``options``, ``digest``, ``classes``,
        ``completeness``, ``background``, ``notes``, and ``motifs`` by rank, those of class 1 first.

    Raises
    ------
    MissingInputError
        There is no model, no store, or no file of motifs.
    ConfigError
        The model cannot be asked (tokens, a committee, several outputs), there is no folder for the
        result, or logomaker is not installed.
    StoreError
        The store is not that of the run.
    """
    require_logomaker()
    motifs = read_meme(options.known)
    opened = open_model_rows(path, store)
    folder = folder or opened.folder
    if folder is None:
        raise ConfigError(
            f"{path}: a model without its run; name a folder for the result with --to"
        )
    known = {"format": _FORMAT, "options": options.as_json(), "known": sha256_of(options.known)}
    digest = digest_of({**known, **opened.identity()})
    present = read_hot_spots(folder)
    if present is not None and present.get("digest") == digest:
        return present
    make_deterministic()
    model, number, experiment = load_network(opened, options.output)
    sequences, choices = choose_sequences(
        opened, model, (number, experiment), options, progress=progress
    )
    path_attribution = integrated_gradients(
        model, sequences.codes, output=number, steps=options.steps, progress=progress
    )
    attributions = path_attribution.matrix
    if options.towards == "own":
        # The log-odds of class 0 are minus those of class 1.
        attributions = np.where(sequences.labels[:, None, None], attributions, -attributions)
    spots = find_hot_spots(
        attributions, share=options.hot, width=options.width, merge=options.windows == "merged"
    )
    background = options.frequencies()
    if background is None:
        background = base_frequencies(sequences.codes)
    windows = windows_of(sequences.codes, spots)
    hits = motif_hits(windows, motifs, background, share=options.match, progress=progress)
    tested = tested_motifs(
        motifs,
        hits_by_sequence(hits, spots.sequence, len(sequences.labels)),
        sequences.labels,
        background=background,
        match=options.match,
    )
    completeness = _completeness(path_attribution)
    classes = {
        str(value): _class_json(choice, sequences.labels == bool(value), spots)
        for value, choice in choices.items()
    }
    result: dict[str, Any] = {
        "title": opened.title,
        "output": experiment,
        "options": options.as_json(),
        "digest": digest,
        "background": [round(float(value), 6) for value in background],
        "completeness": completeness,
        "classes": classes,
        "notes": _notes(choices, classes, completeness, options),
        "motifs": [values for values, _ in tested],
    }
    (folder / _RESULT).unlink(missing_ok=True)
    names = [motif.name for motif in motifs]
    write_hot_spots(folder, sequences, spots, attributions, hits=hits, motifs=names)
    write_motif_table(folder / "motifs.tsv", result["motifs"])
    page = hot_spot_page(result, [motif.matrix for _, motif in tested])
    write_text_atomic(folder / "index.html", page)
    # Written last: its presence means that the other files are complete.
    write_json_atomic(folder / _RESULT, result)
    return result


def read_hot_spots(folder: Path) -> dict[str, Any] | None:
    """Return ``hot_spots.json`` of a folder; None if there is none."""
    try:
        found = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def tested_motifs(
    motifs: Sequence[SequenceMotif],
    hits: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    *,
    background: NDArray[np.float64],
    match: float,
) -> list[tuple[dict[str, Any], SequenceMotif]]:
    """Return the motifs with their tests, ranked by difference: those of class 1 first.

    Parameters
    ----------
    motifs
        The motifs.
    hits
        Which sequences have which motif (n, motifs).
    labels
        Which sequences are of class 1 (n,).
    background, match
        As the motifs were scanned: base frequencies, and the share of the largest log-odds.
    """
    hits_1, hits_0 = hits[labels].sum(axis=0), hits[~labels].sum(axis=0)
    count_1, count_0 = int(labels.sum()), int((~labels).sum())
    tests = proportion_tests(hits_1, count_1, hits_0, count_0)
    # Of equal differences the smaller p; then the order of the file. NaN comes last.
    order = np.lexsort((tests["p"].to_numpy(), -tests["difference"].to_numpy()))
    found = []
    for rank, i in enumerate(order.tolist(), start=1):
        motif = motifs[i]
        largest = largest_log_odds(log_odds_of(motif, background))
        values = {
            "rank": rank,
            "name": motif.name,
            "label": motif.label,
            "consensus": motif.consensus,
            "width": len(motif.matrix),
            "largest_log_odds": round(largest, 4),
            "threshold": round(match * largest, 4),
            "hits_1": int(hits_1[i]),
            "count_1": count_1,
            "hits_0": int(hits_0[i]),
            "count_0": count_0,
            **{key: _plain(value) for key, value in tests.loc[i].to_dict().items()},
        }
        found.append((values, motif))
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN is null."""
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else float(value)


def _completeness(found: PathAttribution) -> dict[str, float | None]:
    """Return how far attributions are from adding up: in log-odds, and as share of their sum."""
    gap = np.abs(found.gap)
    if not len(gap):
        return {"median_gap": None, "largest_gap": None, "median_share": None}
    share = gap / np.maximum(np.abs(found.score - found.baseline), 1e-6)
    return {
        "median_gap": float(np.median(gap)),
        "largest_gap": float(gap.max()),
        "median_share": float(np.median(share)),
    }


def _class_json(choice: Choice, here: NDArray[np.bool_], spots: HotSpots) -> dict[str, int]:
    own = here[spots.sequence]
    return {
        "rows": choice.rows,
        "confident": choice.confident,
        "apart": choice.apart,
        "sequences": len(choice.chosen),
        "hot_spots": int(own.sum()),
        "hot_bases": int((spots.stop - spots.start)[own].sum()),
        "with_hot_spots": len(np.unique(spots.sequence[own])),
    }


def _notes(
    choices: Mapping[int, Choice],
    classes: Mapping[str, Mapping[str, int]],
    completeness: Mapping[str, float | None],
    options: HotSpotOptions,
) -> list[str]:
    """Return, in words, what a reader must know before the numbers."""
    notes = []
    for value, choice in choices.items():
        count = len(choice.chosen)
        asked = (
            f"of {choice.rows} {options.rows} rows of class {value}, {choice.confident} are "
            f"predicted correctly with a probability above {options.confidence:g}"
        )
        if not count:
            notes.append(
                f"{asked}: no motif can be tested; lower --confidence or take other --rows"
            )
        elif count < FEW:
            notes.append(
                f"{asked}, and {count} that do not overlap are looked at: only large differences "
                "can be found; lower --confidence or take other --rows"
            )
    for name, found in classes.items():
        count, without = found["sequences"], found["sequences"] - found["with_hot_spots"]
        if 2 * without > count:
            notes.append(
                f"of class {name}, {without} of {count} sequences have no hot spot, and so no "
                "motif: differences show that as well; --towards positive may find more"
            )
    share = completeness["median_share"]
    if share is not None and share > _INCOMPLETE:
        notes.append(
            f"attributions miss the difference of log-odds by {share:.0%} (median): integrated "
            "gradients need more --steps here"
        )
    return notes
