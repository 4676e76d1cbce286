"""A trained model and labelled rows of a store, opened and checked; the rows that are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError
from ssldata.base.progress import Progress
from ssldata.reading.read_window import central
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.evaluation.evaluation_status import subject
from sslmodels.hot_spots.hot_spot_options import HotSpotOptions
from sslmodels.hot_spots.sequence_choice import Choice, ChosenSequences, choose
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.catalogue import MODEL_FILE
from sslmodels.prediction.trained_model import load_model
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.training_rows import label_columns
from sslmodels.scores.score_rows import score_rows


@dataclass(frozen=True)
class ModelRows:
    """A model, and the store with its rows.

    Attributes
    ----------
    path
        Run folder or ``.keras`` file, as it was named.
    title
        What pages call it.
    file
        The model file.
    store
        The store.
    folder
        Where results go if nothing else is said; None: the model is a file alone.
    """

    path: Path
    title: str
    file: Path
    store: Store
    folder: Path | None

    def identity(self) -> dict[str, Any]:
        """Return what results depend on: the model, and the content of the rows."""
        return {
            "model": file_digest(self.file),
            "content": self.store.ledger[REFERENCE]["content"],
        }


def open_model_rows(path: Path, store: str | None = None) -> ModelRows:
    """Open a model and its rows, without loading the model.

    Parameters
    ----------
    path
        The folder of a complete run, its ``model.keras``, or another ``.keras`` file.
    store
        Address of the store, for a file that is not that of a run.

    Raises
    ------
    MissingInputError
        There is no such model, run or store.
    ConfigError
        The run is not complete or has a committee, or the store is missing or one too many.
    StoreError
        The store is not that of the run.
    """
    inside = path.name == MODEL_FILE and (path.parent / "run.json").is_file()
    if path.suffix == ".keras" and not inside:
        if store is None:
            raise ConfigError(
                f"{path}: a model without its run has no rows; name a store of labelled rows "
                "with --store"
            )
        return ModelRows(path, path.stem, path, open_store(store), None)
    run = path.parent if inside else path
    if store is not None:
        raise ConfigError(
            f"{path}: the model of a run is asked about the rows of its own store; leave out "
            "--store, or name a copy of its model.keras outside the run"
        )
    opened = subject(run)
    if opened.folder.committee.is_file() and not inside:
        raise ConfigError(
            f"{run}: its score is that of a committee, whose other members have no gradients; "
            f"name {opened.folder.model} to look at its network alone"
        )
    cell = [str(opened.record[key]) for key in ("experiment", "model", "regime")]
    title = " / ".join([*cell, f"seed {opened.record['seed']}"])
    return ModelRows(path, title, opened.folder.model, opened.store, RunFolder(run).hot_spots)


def load_network(opened: ModelRows, output: str | None) -> tuple[SequenceModel, int, str]:
    """Return the network, the number of the output asked for, and its experiment in the store.

    Parameters
    ----------
    opened
        Of :func:`open_model_rows`.
    output
        Name of an experiment; None: the only one.

    Raises
    ------
    ConfigError
        The model reads tokens, or the output is ambiguous or unknown.
    """
    loaded = load_model(opened.file)
    model = loaded.keras_model
    if not isinstance(model, SequenceModel):
        raise ConfigError(
            f"{opened.path}: reads tokens; hot spots are found in models that read bases"
        )
    if opened.folder is not None:
        return model, *_chosen(opened.path, list(loaded.outputs), output)
    if len(loaded.outputs) > 1:
        raise ConfigError(
            f"{opened.path}: has {len(loaded.outputs)} outputs, whose names its run knows; name "
            "the run folder"
        )
    _, name = _chosen(Path(opened.store.location), opened.store.experiments, output)
    return model, 0, name


def _chosen(where: Path, names: list[str], output: str | None) -> tuple[int, str]:
    if output is None and len(names) == 1:
        return 0, names[0]
    if output not in names:
        wrong = "has several outputs" if output is None else f"has no output {output!r}"
        raise ConfigError(f"{where}: {wrong}; name one with --output: {', '.join(names)}")
    return names.index(output), output


def choose_sequences(
    opened: ModelRows,
    model: SequenceModel,
    output: tuple[int, str],
    options: HotSpotOptions,
    *,
    progress: Progress | None = None,
) -> tuple[ChosenSequences, dict[int, Choice]]:
    """Score the rows of a split and return those that are looked at, class 0 and 1 together.

    Parameters
    ----------
    opened, model
        Of :func:`open_model_rows` and :func:`load_network`.
    output
        Number of the output, and its experiment.
    options
        Which rows.
    progress
        Progress reporter.

    Returns
    -------
    ChosenSequences
        In genome order within a class.
    dict
        Of each class, how many rows there were at each step.
    """
    group = opened.store.group(REFERENCE)
    first, end = group.ranges[options.rows]
    number, experiment = output
    label = group.column("label")[first:end, label_columns(opened.store, [experiment])[0]]
    if end == first:
        p = np.zeros(0, np.float32)
    else:
        scores = score_rows(
            model, opened.store, group=REFERENCE, start=first, stop=end, progress=progress
        )
        p = scores[:, number]
    middle = (group.column("start")[first:end] + group.column("end")[first:end]) // 2
    contigs, starts = group.contig_names(first, end), middle - model.length // 2
    choices = {
        value: choose(
            label == value,
            p if value else 1 - p,
            contigs,
            starts,
            length=model.length,
            above=options.confidence,
            count=options.count,
            key=("hot spots", options.seed, value),
        )
        for value in (0, 1)
    }
    rows = np.concatenate([choices[0].chosen, choices[1].chosen])
    codes = central(group.take_codes(rows + first), model.length)
    sequences = ChosenSequences(
        codes=np.ascontiguousarray(codes),
        labels=np.repeat([False, True], [len(choices[value].chosen) for value in (0, 1)]),
        probabilities=p[rows],
        contigs=contigs[rows],
        starts=starts[rows],
        strands=group.column("strand")[first:end][rows],
    )
    return sequences, choices
