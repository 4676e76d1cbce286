"""Published results that a project names, and one's own beside them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ssldata.base.errors import InputError
from ssldata.base.text_file import real_number, shown, table_rows
from ssldata.building.rough_plan import read_counts
from ssldata.project.project_file import Project
from sslmodels.benchmark import statistics as tables
from sslmodels.runs.regime_table import REGIME_TABLE

#: Columns of the CSV of published results; it may also have the second metric.
_CELL, _METRICS = ["experiment", "model", "regime"], ("aupr", "auroc")


def read_published(project: Project) -> pd.DataFrame | None:
    """Return the published results of a project, or None; see :func:`published_results`."""
    path = project.training.published
    return None if path is None else published_results(path)


def published_results(path: Path) -> pd.DataFrame:
    """Return the published results of a file.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, aupr and, if the file has it, auroc (NaN where empty).

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        A column is missing, a value is no number from 0 to 1, a regime is unknown, or a cell
        occurs twice.
    """
    rows = table_rows(path, separator=",", missing="no such file; see training.published")
    _, header = next(rows, (1, []))
    if not {*_CELL, "aupr"} <= set(header):
        raise InputError(
            f"{path}, line 1: expected columns {', '.join([*_CELL, 'aupr'])} with numbers in the "
            f"last, found {', '.join(header)}"
        )
    metrics = [name for name in _METRICS if name in header]
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for number, row in rows:
        where, values = f"{path}, line {number}", dict(zip(header, row, strict=False))
        cell = tuple(values[name] for name in _CELL)
        if cell in found:
            raise InputError(f"{where}: {', '.join(cell)} occurs twice")
        _check_regime(cell[1], cell[2], where=where)
        found[cell] = {name: _share(values[name], name, where=where) for name in metrics}
    made = [{**dict(zip(_CELL, cell, strict=True)), **values} for cell, values in found.items()]
    return pd.DataFrame(made, columns=[*_CELL, *metrics])


def _check_regime(model: str, regime: str, *, where: str) -> None:
    """Refuse a regime that no own result can have, which would never be shown."""
    if model != tables.BASELINE_MODEL and regime not in set(REGIME_TABLE):
        raise InputError(
            f"{where}: regime is {shown(regime)}, expected one of {', '.join(REGIME_TABLE)}; sl is "
            "a model trained without homologues, whatever it was pre-trained on"
        )


def _share(text: str, name: str, *, where: str) -> float:
    """Return a number from 0 to 1; only the second metric may be unknown."""
    if not text and name != "aupr":
        return float("nan")
    try:
        value = real_number(text, name)
    except ValueError as exc:
        raise InputError(f"{where}: {exc}") from None
    if not 0 <= value <= 1:
        raise InputError(f"{where}: {name} is {shown(text)}, expected a number from 0 to 1")
    return value


def published_means(published: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the known published values of a metric in the columns that statistics need.

    How many published runs collapsed is not known; it counts as none.
    """
    if metric not in published:
        return pd.DataFrame(columns=[*_CELL, "mean", "collapsed", "labelled"])
    known = published.dropna(subset=[metric]).rename(columns={metric: "mean"})
    return known[[*_CELL, "mean"]].assign(collapsed=0, labelled=float("nan")).reset_index(drop=True)


def beside_published(published: pd.DataFrame, means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the own means that have a published value, with that value.

    Parameters
    ----------
    published
        Of :func:`read_published`.
    means
        Of :func:`sslmodels.benchmark.statistics.means`.
    metric
        ``aupr`` or ``auroc``.

    Returns
    -------
    pandas.DataFrame
        Columns experiment, model, regime, own, published.
    """
    own = means.rename(columns={"mean": "own"})[[*_CELL, "own"]]
    theirs = published_means(published, metric).rename(columns={"mean": "published"})
    return own.merge(theirs[[*_CELL, "published"]], on=_CELL)


def with_published_increases(
    increases: pd.DataFrame, published: pd.DataFrame | None, metric: str, *, positives: pd.Series
) -> pd.DataFrame:
    """Return increases with the published ones beside them.

    Published percentages are computed from the published means, which are rounded.

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark.statistics.increases`.
    published
        Of :func:`read_published`, or None.
    metric
        ``aupr`` or ``auroc``.
    positives
        Experiment → published positives; may be empty.

    Returns
    -------
    pandas.DataFrame
        `increases` with columns published_percent and published_labelled, NaN where nothing was
        published.
    """
    if published is None:
        return increases.assign(published_percent=float("nan"), published_labelled=float("nan"))
    theirs = tables.increases(published_means(published, metric))
    theirs = theirs.rename(columns={"percent": "published_percent"})
    made = increases.merge(theirs[[*_CELL, "published_percent"]], on=_CELL, how="left")
    labelled = made["experiment"].map(positives).astype(float)
    return made.assign(published_labelled=labelled)


def published_counts(project: Project) -> pd.DataFrame | None:
    """Return the published positives and pseudo_labelled by experiment, if the project has them."""
    path: Path | None = project.training.published_counts
    if path is None:
        return None
    counts = read_counts(path)
    return pd.DataFrame.from_dict(counts, orient="index", columns=["positives", "pseudo_labelled"])


def published_positives(project: Project) -> pd.Series:
    """Return the published number of positives by experiment; empty if the project has none."""
    counts = published_counts(project)
    return pd.Series(dtype=float) if counts is None else counts["positives"].astype(float)
