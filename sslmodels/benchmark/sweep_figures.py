"""Figures of the sweeps: a metric along a setting (Figures S2, S4, S6, and learning curves)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ssldata.project.project_file import Project
from sslmodels.benchmark.figure_panels import (
    NAMES,
    PALETTE,
    broken_names,
    labels_apart,
    legend_above,
    log_axis,
    open_panels,
)
from sslmodels.benchmark.statistics import LARGE, method_name
from sslmodels.report.svg_figures import new_figure, page_svg, style_of
from sslmodels.runs.run_grid import CELL


@dataclass(frozen=True)
class Sweep:
    """How a sweep is drawn: its key in ``training.sweeps``, title and axes; `by`: model, regime."""

    key: str
    name: str
    title: str
    xlabel: str
    by: str = "model"
    metric: str = "aupr"
    log: bool = False
    note: str = ""


SWEEPS = (
    Sweep(
        "labelled_peaks",
        "figure_learning_curves",
        "Learning curves: AUPR against the number of labelled peaks",
        "labelled loci",
        by="regime",
        log=True,
        note="The last point: all loci.",
    ),
    Sweep(
        "nearest",
        "figure_s2_genomes",
        "Number of genomes, AUPR (Figure S2)",
        "genomes, nearest first",
        note="0 genomes: the regime without homologues.",
    ),
    Sweep(
        "nearest",
        "figure_s2_genomes_auroc",
        "Number of genomes, AUROC (as Figure S2)",
        "genomes, nearest first",
        metric="auroc",
        note="0 genomes: the regime without homologues.",
    ),
    Sweep(
        "iterations",
        "figure_s6_iterations",
        "Iterations of the noisy student, AUPR (Figure S6)",
        "iterations k",
        note="0 iterations: ssl.",
    ),
    Sweep(
        "noise_sd",
        "figure_s6_noise",
        "Noise on the weights, AUPR (Figure S6)",
        "SD of the noise",
    ),
)

#: Sweep and regime → the regime of the grid that is its value 0.
_ZERO = {
    ("nearest", "ssl"): "sl",
    ("nearest", "ssl-plus"): "sl-plus",
    ("iterations", "ssl-ns"): "ssl",
}


def sweep_rows(project: Project, results: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the runs of a sweep, with those of the grid that are points of its series.

    Every model and regime that was swept has a series of its own; it includes the grid's own value
    and, where a regime of the grid is the value 0, that.

    Parameters
    ----------
    project
        The project with the grid's own values.
    results
        Of :func:`sslmodels.benchmark.grid_results.collect`.
    key
        Key of ``training.sweeps``.

    Returns
    -------
    pandas.DataFrame
        The columns of `results`; ``value`` is known, and ``method`` names the series.
    """
    of_grid, runs = results[results["sweep"] == ""], results[results["sweep"] == key]
    parts = []
    for (model, regime), swept in runs.groupby(["model", "regime"], sort=False):
        same = (of_grid["model"] == model) & of_grid["experiment"].isin(swept["experiment"])
        own = of_grid[same & (of_grid["regime"] == regime)]
        zero = of_grid[same & (of_grid["regime"] == _ZERO.get((key, str(regime))))]
        series = pd.concat(
            [swept, own.assign(value=_own_values(project, own, key)), zero.assign(value=0.0)]
        )
        # A value of the sweep may be that of the grid: the same run.
        series = series.drop_duplicates([*CELL, "value"])
        parts.append(series.assign(method=method_name((str(model), str(regime)))))
    return pd.concat(parts, ignore_index=True) if parts else runs.assign(method="")


def _own_values(project: Project, own: pd.DataFrame, key: str) -> pd.Series:
    """Return the value of a sweep that runs of the grid have."""
    columns = {"nearest": "genomes", "labelled_peaks": "loci"}
    if key in columns:
        return own[columns[key]].astype(float)
    value = float(getattr(project.training.noisy_student, key))
    return pd.Series(value, index=own.index, dtype=float)


def series(rows: pd.DataFrame, sweep: Sweep) -> str:
    """Draw a metric along a sweep, one panel per experiment: mean over seeds, bars of SD.

    A line is a model, or a model and a regime where several regimes were swept. With ``by`` regime
    it is a regime, and each model has its own panels.

    Parameters
    ----------
    rows
        Of :func:`sweep_rows`.
    sweep
        How it is drawn.
    """
    metric, by, log, xlabel = sweep.metric, sweep.by, sweep.log, sweep.xlabel
    regimes = rows.groupby("method")["regime"].last().nunique()
    column = "regime" if by == "regime" else "method"
    panels_by = ["experiment"]
    if by == "regime":
        panels_by.append("model")
    parts = []
    for names, part in rows.groupby(panels_by, sort=False):
        seeds = part["seed"].nunique()
        runs = f"n = {seeds} seed{'s' if seeds > 1 else ''}"
        parts.append((", ".join([*map(str, names), runs]), part))
    lines = list(rows[column].unique())
    opened = open_panels(parts, height=2.7, more=0.35, salt=sweep.name, sharex=not log)
    with opened as (figure, panels):
        for axes, part in panels:
            for number, line in enumerate(lines):
                chosen = part[part[column] == line]
                colour = style_of(line)[0] if by == "regime" else PALETTE[number % len(PALETTE)]
                label = line if by == "regime" or regimes > 1 else line.rsplit(" ", 1)[0]
                _line(axes, chosen.groupby("value")[metric], colour=colour, label=label)
            axes.set_ylabel(NAMES[metric])
            axes.set_ylim(bottom=0 if metric == "aupr" else None)
            values = part["value"] if log else rows["value"]
            if log:
                log_axis(axes, "x", part["value"].to_numpy(float))
            axes.set_xticks(labels_apart(sorted(set(values)), log=log))
            axes.set_xlabel(xlabel)
            axes.xaxis.set_tick_params(labelbottom=True)
        legend_above(figure, [axes for axes, _ in panels])
        return page_svg(figure)


def _line(axes: Axes, grouped: pd.api.typing.SeriesGroupBy, *, colour: str, label: str) -> None:
    chosen = grouped.agg(["mean", "std"]).sort_index()
    if chosen.empty:
        return
    axes.errorbar(
        chosen.index,
        chosen["mean"],
        yerr=chosen["std"].fillna(0),
        color=colour,
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=1.4,
        label=label,
    )


def of_large(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the genomes sweep of the large model (Figure S4).

    Returns
    -------
    pandas.DataFrame
        As `rows`, with a column ``genomes_used``: a number, or ``all`` for the largest value of an
        experiment.
    """
    chosen = rows[rows["model"] == LARGE[0]]
    most = chosen.groupby("experiment")["value"].transform("max")
    names = [
        "all" if value == top else f"{value:g}"
        for value, top in zip(chosen["value"], most, strict=True)
    ]
    return chosen.assign(genomes_used=names)


def genome_bars(rows: pd.DataFrame, *, metric: str) -> str:
    """Draw a metric by experiment with few and with all genomes: mean over seeds, bars of SD.

    Parameters
    ----------
    rows
        Of :func:`of_large`.
    metric
        A column.
    """
    experiments = list(rows["experiment"].unique())
    names = list(rows.sort_values("value")["genomes_used"].unique())
    names.sort(key="all".__eq__)  # stable: only the last moves
    width = min(max(5.0, 0.9 + 0.2 * len(experiments) * (len(names) + 1)), 11.0)
    labels, more = broken_names(experiments, inches=0.85 * width)
    with new_figure(size=(width, 3.3 + more), salt=f"genome bars {metric}") as figure:
        axes = figure.subplots()
        bar = 0.8 / len(names)
        colours = _shades(len(names))
        for i, name in enumerate(names):
            cells = rows[rows["genomes_used"] == name].groupby("experiment")[metric]
            chosen = cells.agg(["mean", "std"]).reindex(experiments)
            axes.bar(
                np.arange(len(experiments)) + (i - (len(names) - 1) / 2) * bar,
                chosen["mean"],
                yerr=chosen["std"].fillna(0),
                width=0.92 * bar,
                color=colours[i],
                ecolor=axes.xaxis.label.get_color(),
                capsize=2,
                error_kw={"linewidth": 0.9},
                label=f"{name} genomes" + (f" ({_ZERO['nearest', 'ssl']})" if name == "0" else ""),
            )
        axes.grid(axis="x", visible=False)
        axes.set_xticks(range(len(experiments)), labels)
        seeds = rows["seed"].nunique()
        axes.set(
            ylabel=f"{NAMES[metric]} of {LARGE[0]}",
            xlabel=f"experiment (n = {len(experiments)}; {seeds} seed{'s' if seeds > 1 else ''})",
        )
        legend_above(figure, [axes])
        return page_svg(figure)


#: From grey, for none, to the full colour of all genomes.
_SHADES = ("#7d8590", "#a9cfe8", "#6fb0dc", "#1f83c9", "#0e5f99")


def _shades(count: int) -> list[str]:
    """Return that many colours, the first and the last of the scale among them."""
    return [_SHADES[round(i)] for i in np.linspace(0, len(_SHADES) - 1, max(2, count))]
