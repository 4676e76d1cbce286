"""Figures of the benchmark; each is drawn from the data frame that is written beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sslmodels.benchmark_tables import Line, fitted_line
from sslmodels.report_figures import new_figure, page_svg, style_of

#: Increases above this many per cent in one figure are drawn on a logarithmic scale.
_WIDE = 300.0

#: How the metrics are called on axes.
NAMES = {"aupr": "AUPR", "auroc": "AUROC"}


def _rows(count: int) -> tuple[int, int]:
    """Return rows and columns of `count` panels, two side by side."""
    columns = min(2, max(1, count))
    return -(-count // columns), columns


def _p(value: float) -> str:
    if np.isnan(value):
        return "p –"
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def increase_bars(increases: pd.DataFrame, *, metric: str, over: str = "sl") -> str:
    """Draw the increase over a regime in per cent (the paper's Figures 2 and S1).

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark_tables.increases`; experiments are put in the order of their
        labelled positives, fewest first.
    metric
        ``aupr`` or ``auroc``.
    over
        The regime compared with.
    """
    models = list(dict.fromkeys(increases["model"]))
    regimes = list(dict.fromkeys(increases["regime"]))
    order = increases.drop_duplicates("experiment").sort_values("labelled", kind="stable")
    experiments = list(order["experiment"])
    width = max(5.0, 0.9 + 0.2 * len(experiments) * (len(regimes) + 1))
    size = (min(width, 11.0), 2.9 * len(models) + 0.4)
    with new_figure(size=size, salt=f"increase {metric} {over}") as figure:
        panels = figure.subplots(len(models), squeeze=False, sharex=True, sharey=True)[:, 0]
        for axes, model in zip(panels, models, strict=True):
            part = increases[increases["model"] == model]
            for i, regime in enumerate(regimes):
                values = part[part["regime"] == regime].set_index("experiment")["percent"]
                bar = 0.8 / len(regimes)
                axes.bar(
                    np.arange(len(experiments)) + (i - (len(regimes) - 1) / 2) * bar,
                    values.reindex(experiments),
                    width=0.92 * bar,
                    color=style_of(regime)[0],
                    label=regime,
                )
            if increases["percent"].max() > _WIDE:
                axes.set_yscale("symlog", linthresh=20, linscale=0.5)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            axes.axhline(0, color=axes.xaxis.label.get_color(), linewidth=0.8)
            axes.grid(axis="x", visible=False)
            axes.set_ylabel(f"{NAMES[metric]} increase over {over} (%)")
            axes.set_title(model, loc="left", fontsize=9.5)
        panels[0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(regimes), borderaxespad=0.1
        )
        labels = [
            f"{name}\n{positives:,}"
            for name, positives in zip(experiments, order["labelled"], strict=True)
        ]
        panels[-1].set_xticks(range(len(experiments)), labels)
        panels[-1].set_xlabel(f"experiment and its labelled positives (n = {len(experiments)})")
        return page_svg(figure)


def gain_by_positives(increases: pd.DataFrame, *, metric: str, over: str = "sl") -> str:
    """Draw the gain against the number of labelled positives, both logarithmic (Figure S3)."""
    models = list(dict.fromkeys(increases["model"]))
    rows, columns = _rows(len(models))
    with new_figure(size=(4.6 * columns, 3.6 * rows), salt=f"gain {metric}") as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes in panels.ravel()[len(models) :]:
            axes.set_visible(False)
        for axes, model in zip(panels.ravel(), models, strict=False):
            part = increases[(increases["model"] == model) & (increases["ratio"] > 0)]
            for regime, group in part.groupby("regime", sort=False):
                x, y = group["labelled"].to_numpy(float), group["ratio"].to_numpy(float)
                line = fitted_line(np.log10(x), np.log10(y))
                colour = style_of(str(regime))[0]
                text = f"{regime}, n = {len(group)}"
                if line is not None:
                    text += f": r = {line.r:.2f}, {_p(line.p_slope)}"
                    ends = np.array([x.min(), x.max()])
                    axes.plot(
                        ends, 10 ** (line.intercept + line.slope * np.log10(ends)), color=colour
                    )
                axes.scatter(x, y, color=colour, s=22, label=text)
            axes.axhline(1, color=axes.xaxis.label.get_color(), linewidth=0.8, linestyle=":")
            _log_axis(axes, "x", part["labelled"].to_numpy(float))
            _log_axis(axes, "y", part["ratio"].to_numpy(float))
            axes.set_title(model, loc="left", fontsize=9.5)
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=8)
            axes.set(xlabel="labelled positives", ylabel=f"{NAMES[metric]} over that of {over} (×)")
        return page_svg(figure)


def _log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    """Make an axis logarithmic with ticks that are read as plain numbers, enough of them."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    span = values.max() / values.min() if len(values) else 1
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if span < 300 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if span < 1.5 and len(values):
        middle = float(np.sqrt(values.max() * values.min()))
        getattr(axes, f"set_{which}lim")(middle / 2.2, middle * 2.2)


def scatter(increases: pd.DataFrame, *, metric: str, over: str = "sl") -> str:
    """Draw every regime against another, one dot per experiment, with a line (Figure S5)."""
    models = list(dict.fromkeys(increases["model"]))
    rows, columns = _rows(len(models))
    name = NAMES[metric]
    with new_figure(size=(4.6 * columns, 4.3 * rows), salt=f"scatter {metric}") as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel()[len(models) :]:
            axes.set_visible(False)
        for axes, model in zip(panels.ravel(), models, strict=False):
            part = increases[increases["model"] == model]
            both = part[["base", "mean"]].to_numpy(float)
            low, high = both.min(), both.max()
            pad = 0.05 * (high - low or 1)
            axes.plot(
                [low - pad, high + pad],
                [low - pad, high + pad],
                color=axes.xaxis.label.get_color(),
                linewidth=0.8,
                linestyle=":",
            )
            for regime, group in part.groupby("regime", sort=False):
                x, y = group["base"].to_numpy(float), group["mean"].to_numpy(float)
                colour = style_of(str(regime))[0]
                line = fitted_line(x, y)
                label = f"{regime}, n = {len(group)}" + _intercept(line)
                axes.scatter(x, y, color=colour, s=22, label=label)
                if line is not None:
                    ends = np.array([x.min(), x.max()])
                    axes.plot(ends, line.intercept + line.slope * ends, color=colour, linewidth=1.2)
            axes.set(xlabel=f"{name} of {over}", ylabel=f"{name} of the other regime")
            axes.set_title(model, loc="left", fontsize=9.5)
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), fontsize=8)
        return page_svg(figure)


def _intercept(line: Line | None) -> str:
    if line is None:
        return ""
    return f": intercept {line.intercept:.3f}, {_p(line.p_intercept)}"


def series(
    results: pd.DataFrame, *, metric: str, x: str, xlabel: str, by: str, log: bool = False
) -> str:
    """Draw a metric along a sweep, one panel per experiment: mean over seeds, bars of SD.

    Figures S2, S4 (number of genomes), S6 (iterations, SD of the noise), learning curves.

    Parameters
    ----------
    results
        One row per run: experiment, model, regime, the metric, and column `x`.
    metric, x
        Columns.
    xlabel
        With its unit.
    by
        Column that gives the lines of a panel, ``model`` or ``regime``.
    log
        Logarithmic x.
    """
    experiments = list(dict.fromkeys(results["experiment"]))
    lines = list(dict.fromkeys(results[by]))
    rows, columns = _rows(len(experiments))
    with new_figure(size=(4.6 * columns, 2.7 * rows + 0.3), salt=f"{x} {metric} {by}") as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=not log)
        for axes in panels.ravel()[len(experiments) :]:
            axes.set_visible(False)
        for axes, experiment in zip(panels.ravel(), experiments, strict=False):
            part = results[results["experiment"] == experiment]
            _lines(axes, part, metric=metric, x=x, by=by, lines=lines)
            seeds = int(part.groupby([by, x]).size().max())
            runs = f"n = {seeds} seed{'s' if seeds > 1 else ''}"
            axes.set_title(f"{experiment}, {runs}", loc="left", fontsize=9.5)
            axes.set_ylabel(NAMES[metric])
            axes.set_ylim(bottom=0 if metric == "aupr" else None)
            if log:
                _log_axis(axes, "x", part[x].to_numpy(float))
                axes.set_xticks(sorted(set(part[x])))
            elif (part[x] % 1 == 0).all():
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel(xlabel)
            axes.xaxis.set_tick_params(labelbottom=True)
        panels[0, 0].legend(loc="best", fontsize=8)
        return page_svg(figure)


def _lines(
    axes: Axes, part: pd.DataFrame, *, metric: str, x: str, by: str, lines: Sequence[str]
) -> None:
    palette = ("#1f83c9", "#d98a00", "#c2478f", "#2f9e57", "#8f6bc9", "#7d8590")
    for number, name in enumerate(lines):
        chosen = part[part[by] == name].groupby(x)[metric].agg(["mean", "std"]).sort_index()
        if chosen.empty:
            continue
        colour = style_of(name)[0] if by == "regime" else palette[number % len(palette)]
        axes.errorbar(
            chosen.index,
            chosen["mean"],
            yerr=chosen["std"].fillna(0),
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.4,
            label=name,
        )


def count_bars(counts: pd.DataFrame) -> str:
    """Draw labelled and pseudo-labelled positives of every experiment (Table 1 as a figure)."""
    experiments = list(dict.fromkeys(counts["experiment"]))
    reference = counts["genome"].iloc[0]
    labelled = counts[counts["genome"] == reference].set_index("experiment")["positives"]
    pseudo = counts[counts["genome"] != reference].groupby("experiment")["positives"].sum()
    size = (max(5.0, min(11.0, 0.9 + 0.7 * len(experiments))), 3.1)
    with new_figure(size=size, salt="counts") as figure:
        axes = figure.subplots()
        place = np.arange(len(experiments))
        for shift, values, regime, name in (
            (-0.2, labelled, "sl", f"labelled ({reference})"),
            (0.2, pseudo, "ssl", "pseudo-labelled (all genomes)"),
        ):
            heights = values.reindex(experiments).fillna(0)
            bars = axes.bar(
                place + shift, heights, width=0.36, color=style_of(regime)[0], label=name
            )
            axes.bar_label(bars, [f"{h:,.0f}" for h in heights], fontsize=7, padding=2)
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(1, 0.5 * min(labelled.min(), max(1, pseudo.min()))))
        axes.set_ylim(top=2.5 * max(labelled.max(), pseudo.max() if len(pseudo) else 1))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", visible=False)
        axes.set_xticks(place, experiments)
        axes.set(ylabel="training positives (rows)", xlabel=f"experiment (n = {len(experiments)})")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)
        return page_svg(figure)
