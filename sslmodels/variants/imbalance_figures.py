"""Figures of predicted against observed imbalance, drawn without the global state of pyplot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DOTS = "#1f5fa8"
_GREY = "#8a8a8a"
_INK = "#333333"
_KEYS = ["experiment", "model", "regime"]


def draw_scatter(path: Path, points: pd.DataFrame, table: pd.DataFrame) -> None:
    """Draw predicted against observed, one panel per model (rows) and regime (columns).

    Parameters
    ----------
    path
        PNG file to write.
    points
        Scored points of :func:`sslmodels.variants.observed_imbalance.score_observed`.
    table
        Of :func:`sslmodels.variants.observed_imbalance.correlations`.
    """
    rows = list(dict.fromkeys(zip(table["experiment"], table["model"], strict=True)))
    regimes = list(dict.fromkeys(table["regime"]))
    figure = _figure(3.2 * len(regimes), 3.0 * len(rows))
    panels = figure.subplots(len(rows), len(regimes), squeeze=False)
    for panel in panels.flat:
        panel.set_visible(False)
    for numbers in table.to_dict("records"):
        place = rows.index((numbers["experiment"], numbers["model"]))
        panel = panels[place, regimes.index(numbers["regime"])]
        panel.set_visible(True)
        part = points[(points[_KEYS] == [numbers[key] for key in _KEYS]).all(axis=1)]
        for line in (panel.axhline, panel.axvline):
            line(0, color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        panel.scatter(part["observed"], part["predicted"], s=14, color=_DOTS, alpha=0.6, lw=0)
        panel.set_title(
            f"{numbers['model']}, {numbers['regime']}\nSpearman {numbers['spearman']:.2f} "
            f"({numbers['low']:.2f} … {numbers['high']:.2f}), n = {numbers['n']}",
            fontsize=9,
            color=_INK,
            loc="left",
        )
        panel.set(xlabel="observed imbalance", ylabel="predicted effect")
        _plain(panel)
    _save(figure, path)


def draw_bars(path: Path, table: pd.DataFrame) -> None:
    """Draw the correlation of every model and regime with its interval.

    Parameters
    ----------
    path, table
        As of :func:`draw_scatter`.
    """
    figure = _figure(1.6 + 0.9 * len(table), 3.4)
    axes = figure.add_subplot()
    place = np.arange(len(table))
    height = table["spearman"].to_numpy(float)
    ends = np.abs(table[["low", "high"]].to_numpy(float).T - height)
    axes.bar(place, height, width=0.65, color=_DOTS, alpha=0.8)
    axes.errorbar(place, height, yerr=ends, fmt="none", ecolor=_INK, elinewidth=1, capsize=3)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    names = zip(table["model"], table["regime"], table["n"], strict=True)
    axes.set_xticks(
        place, [f"{model}\n{regime}\nn = {n}" for model, regime, n in names], fontsize=8
    )
    axes.set_ylabel("Spearman, predicted and observed")
    axes.set_title(", ".join(dict.fromkeys(table["experiment"])), fontsize=10, loc="left")
    _plain(axes)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(color=_GREY, labelcolor=_INK)


def _save(figure: Figure, path: Path) -> None:
    options: dict[str, Any] = {"metadata": {"Software": None}}  # equal numbers give equal bytes
    figure.savefig(path, format="png", dpi=150, **options)
