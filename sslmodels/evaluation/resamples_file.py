"""The file ``resamples.csv`` of an evaluation: the metrics of every resample of the test bins.

Line k of every run that was scored on the same bins is of the same resample, so differences and
ratios of runs, and means over seeds, are taken line by line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ssldata.base.errors import InputError
from ssldata.base.files import write_text_atomic
from sslmodels.evaluation.evaluation_status import RESAMPLES_FILE, checked_file
from sslmodels.scores.metric_intervals import Resampled


def write_resamples(folder: Path, found: Mapping[str, Resampled]) -> None:
    """Write the resamples of an evaluation.

    Parameters
    ----------
    folder
        The folder ``evaluation`` of a run.
    found
        Experiment → its resamples; the experiment of a run of one output is "".
    """
    tables = []
    for name, of in found.items():
        table = pd.DataFrame({"aupr": of.aupr, "auroc": of.auroc})
        if name:
            table.insert(0, "experiment", name)
        tables.append(table)
    text = pd.concat(tables).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_text_atomic(folder / RESAMPLES_FILE, text)


def read_resamples(run_folder: Path, experiment: str) -> Resampled | None:
    """Return the resamples of an evaluated run; None: an evaluation of a release before them.

    Parameters
    ----------
    run_folder
        An evaluated run.
    experiment
        The experiment of the run, or of one of its outputs.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = checked_file(run_folder, RESAMPLES_FILE)
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path)
        if "experiment" in table:
            table = table[table["experiment"].astype(str) == experiment]
        return Resampled(*(table[key].to_numpy(np.float64) for key in ("aupr", "auroc")))
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(
            f"{path}: damaged ({exc}); delete it and call `crosslabel evaluate {run_folder}`"
        ) from exc
