"""Figures of the benchmark, drawn from the data frames that are written beside them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from sslmodels.benchmark.statistics import fitted_line
from sslmodels.report.svg_figures import new_figure, page_svg, style_of

#: A figure with an increase above this percentage has a logarithmic scale.
WIDE = 300.0

#: Names of the metrics on axes.
NAMES = {"aupr": "AUPR", "auroc": "AUROC"}


@contextmanager
def _panels(
    parts: Iterable[tuple[Any, pd.DataFrame]],
    *,
    height: float,
    salt: str,
    more: float = 0,
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[tuple[Figure, list[tuple[Axes, pd.DataFrame]]]]:
    """Open a figure with a panel for every (title, rows), two side by side.

    A row of panels is `height` inches high, and the figure `more` than its rows.
    """
    parts = list(parts)
    columns = 1 if len(parts) == 1 else 2
    rows = -(-len(parts) // columns)
    with new_figure(size=(4.6 * columns, height * rows + more), salt=salt) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
        for axes in panels[len(parts) :]:
            axes.set_visible(False)
        for axes, (title, _) in zip(panels, parts, strict=False):
            axes.set_title(title, loc="left", fontsize=9.5)
        yield figure, list(zip(panels, (part for _, part in parts), strict=False))


def _diagonal(axes: Axes, low: float, high: float) -> None:
    """Draw the dotted line on which both axes have the same value."""
    ink = axes.xaxis.label.get_color()
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, linestyle=":")


def _p(value: float) -> str:
    if np.isnan(value):
        return "p –"
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _short(value: float) -> str:
    """Return a count with three digits, so that neighbours on an axis stay apart."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.0f}"


def broken_names(names: Sequence[str], *, inches: float) -> tuple[list[str], float]:
    """Break names into lines that fit side by side; return them and the extra height in inches."""
    width = max(4, int(11 * inches / len(names)) - 1)
    # Break after punctuation if possible; the spaces that allow it are removed again.
    parts = [textwrap.wrap(re.sub(r"([_+.:-])", "\\1 ", name), width) for name in names]
    lines = ["\n".join(line.replace(" ", "") for line in part) for part in parts]
    return lines, 0.16 * (max(map(len, parts)) - 1)


def increase_bars(increases: pd.DataFrame, *, metric: str, over: str = "sl") -> str:
    """Draw the increase over a regime in per cent (the paper's Figures 2 and S1).

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark.statistics.increases`; experiments are sorted by their
        labelled positives, fewest first.
    metric
        ``aupr`` or ``auroc``.
    over
        The regime to compare with.
    """
    models = list(increases["model"].unique())
    regimes = list(increases["regime"].unique())
    order = increases.drop_duplicates("experiment").sort_values("labelled", kind="stable")
    experiments = list(order["experiment"].unique())
    width = max(5.0, 0.9 + 0.2 * len(experiments) * (len(regimes) + 1))
    width = min(width, 11.0)
    labels, more = broken_names(experiments, inches=0.9 * width)
    size = (width, 2.9 * len(models) + 0.4 + more)
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
            if increases["percent"].max() > WIDE:
                axes.set_yscale("symlog", linthresh=20, linscale=0.5)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
            axes.axhline(0, color=axes.xaxis.label.get_color(), linewidth=0.8)
            axes.grid(axis="x", visible=False)
            axes.set_ylabel(f"{NAMES[metric]} increase over {over} (%)")
            axes.set_title(model, loc="left", fontsize=9.5)
        panels[0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(regimes), borderaxespad=0.1
        )
        below = [f"{label}\n{n:,}" for label, n in zip(labels, order["labelled"], strict=True)]
        panels[-1].set_xticks(range(len(experiments)), below)
        panels[-1].set_xlabel(f"experiment and its labelled positives (n = {len(experiments)})")
        return page_svg(figure)


def gain_by_positives(increases: pd.DataFrame, *, metric: str, over: str = "sl") -> str:
    """Draw the gain against the number of labelled positives, both logarithmic (Figure S3)."""
    models = increases.groupby("model", sort=False)
    opened = _panels(models, height=3.6, salt=f"gain {metric}", sharex=True, sharey=True)
    with opened as (figure, panels):
        for axes, of_model in panels:
            part = of_model[of_model["ratio"] > 0]
            for regime, group in part.groupby("regime", sort=False):
                x, y = group["labelled"].to_numpy(float), group["ratio"].to_numpy(float)
                line = fitted_line(np.log10(x), np.log10(y))
                colour = style_of(str(regime))[0]
                text = f"{regime}, n = {len(group)}"
                if line is not None:
                    text += f": r = {_signed(line.r, 2)}, {_p(line.p_slope)}"
                    ends = np.array([x.min(), x.max()])
                    axes.plot(
                        ends, 10 ** (line.intercept + line.slope * np.log10(ends)), color=colour
                    )
                axes.scatter(x, y, color=colour, s=22, label=text)
            axes.axhline(1, color=axes.xaxis.label.get_color(), linewidth=0.8, linestyle=":")
            _log_axis(axes, "x", part["labelled"].to_numpy(float))
            _log_axis(axes, "y", part["ratio"].to_numpy(float))
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=8)
            axes.set(xlabel="labelled positives", ylabel=f"{NAMES[metric]} over that of {over} (×)")
            axes.xaxis.set_tick_params(labelbottom=True)
        return page_svg(figure)


def _log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    """Make an axis logarithmic, with enough ticks, labelled as plain numbers."""
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
    models, name = increases.groupby("model", sort=False), NAMES[metric]
    with _panels(models, height=4.3, salt=f"scatter {metric}") as (figure, panels):
        for axes, part in panels:
            both = part[["base", "mean"]].to_numpy(float)
            low, high = both.min(), both.max()
            pad = 0.05 * (high - low or 1)
            _diagonal(axes, low - pad, high + pad)
            for regime, group in part.groupby("regime", sort=False):
                x, y = group["base"].to_numpy(float), group["mean"].to_numpy(float)
                colour = style_of(str(regime))[0]
                line = fitted_line(x, y)
                label = f"{regime}, n = {len(group)}"
                if line is not None:
                    label += f": intercept {_signed(line.intercept, 3)}, {_p(line.p_intercept)}"
                axes.scatter(x, y, color=colour, s=22, label=label)
                if line is not None:
                    ends = np.array([x.min(), x.max()])
                    axes.plot(ends, line.intercept + line.slope * ends, color=colour, linewidth=1.2)
            axes.set(xlabel=f"{name} of {over}", ylabel=f"{name} of the other regime")
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), fontsize=8)
        return page_svg(figure)


def series(
    results: pd.DataFrame, *, metric: str, x: str, xlabel: str, by: str, log: bool = False
) -> str:
    """Draw a metric along a sweep, one panel per experiment: mean over seeds, bars of SD.

    Figures S2, S4 (number of genomes), S6 (iterations, SD of the noise), learning curves. Where
    the lines are regimes of several models, each model has its own panels.

    Parameters
    ----------
    results
        One row per run: experiment, model, regime, the metric, and column `x`.
    metric, x
        Columns.
    xlabel
        Label of the x axis, with its unit.
    by
        Column with a line for each value, ``model`` or ``regime``.
    log
        Logarithmic x.
    """
    columns = ["experiment"]
    if by == "regime" and results["model"].nunique() > 1:
        columns.append("model")
    parts = []
    for names, part in results.groupby(columns, sort=False):
        seeds = int(part.groupby([by, x]).size().max())
        runs = f"n = {seeds} seed{'s' if seeds > 1 else ''}"
        parts.append((", ".join([*map(str, names), runs]), part))
    lines = list(results[by].unique())
    opened = _panels(parts, height=2.7, more=0.3, salt=f"{x} {metric} {by}", sharex=not log)
    with opened as (figure, panels):
        for axes, part in panels:
            _lines(axes, part, metric=metric, x=x, by=by, lines=lines)
            axes.set_ylabel(NAMES[metric])
            axes.set_ylim(bottom=0 if metric == "aupr" else None)
            if log:
                _log_axis(axes, "x", part[x].to_numpy(float))
            axes.set_xticks(labels_apart(sorted(set(results[x] if not log else part[x])), log=log))
            axes.set_xlabel(xlabel)
            axes.xaxis.set_tick_params(labelbottom=True)
        panels[0][0].legend(loc="best", fontsize=8)
        return page_svg(figure)


def labels_apart(values: Sequence[float], *, log: bool) -> list[float]:
    """Return the values whose tick labels do not touch: the last, and those far enough apart."""
    place = np.log10(values) if log else np.asarray(values, float)
    least = (0.11 if log else 0.085) * max(float(np.ptp(place)), 1e-9)
    kept: list[int] = []
    for index in reversed(range(len(values))):
        if not kept or place[kept[-1]] - place[index] >= least:
            kept.append(index)
    return [values[index] for index in reversed(kept)]


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


def count_bars(counts: pd.DataFrame, published: pd.DataFrame | None = None) -> str:
    """Draw labelled and pseudo-labelled positives of every experiment (Table 1 as a figure).

    Parameters
    ----------
    counts
        Of :func:`sslmodels.benchmark.grid_results.counts`.
    published
        Index experiment; columns positives, pseudo_labelled: drawn as marks on the bars.
    """
    experiments = list(counts["experiment"].unique())
    reference = counts["genome"].iloc[0]
    labelled = counts[counts["genome"] == reference].set_index("experiment")["positives"]
    pseudo = counts[counts["genome"] != reference].groupby("experiment")["positives"].sum()
    width = max(5.0, min(11.0, 0.9 + 0.8 * len(experiments)))
    labels, more = broken_names(experiments, inches=0.85 * width)
    size = (width, 3.3 + more)
    with new_figure(size=size, salt="counts") as figure:
        axes = figure.subplots()
        place = np.arange(len(experiments))
        ink = axes.xaxis.label.get_color()
        for shift, values, regime, name, column in (
            (-0.2, labelled, "sl", f"labelled ({reference})", "positives"),
            (0.2, pseudo, "ssl", "pseudo-labelled (all genomes)", "pseudo_labelled"),
        ):
            heights = values.reindex(experiments).fillna(0)
            bars = axes.bar(
                place + shift, heights, width=0.36, color=style_of(regime)[0], label=name
            )
            axes.bar_label(bars, [_short(h) for h in heights], fontsize=7.5, padding=4)
            if published is not None:
                marks = published[column].reindex(experiments)
                label = "published" if column == "positives" else None
                axes.plot(place + shift, marks, "_", color=ink, ms=15, mew=1.6, label=label)
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(1, 0.5 * min(labelled.min(), max(1, pseudo.min()))))
        highest = [labelled.max(), *pseudo]
        if published is not None:
            highest += [*published.reindex(experiments).max().dropna()]
        axes.set_ylim(top=2.5 * max(highest))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", visible=False)
        axes.set_xticks(place, labels)
        axes.set(ylabel="training positives (rows)", xlabel=f"experiment (n = {len(experiments)})")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.1)
        return page_svg(figure)


def count_map(counts: pd.DataFrame) -> str:
    """Draw pseudo-labelled rows per labelled one, experiments × genomes (Table S1 as a figure)."""
    reference = counts["genome"].iloc[0]
    table = counts.pivot(index="experiment", columns="genome", values="positives")
    experiments = list(counts["experiment"].unique())
    genomes = [name for name in counts["genome"].unique() if name != reference]
    ratio = table.loc[experiments, genomes].div(table.loc[experiments, reference], axis=0)
    size = (max(4.0, 1.8 + 0.42 * len(genomes)), max(2.6, 1.6 + 0.27 * len(experiments)))
    with new_figure(size=size, salt="count map") as figure:
        axes = figure.subplots()
        top = max(1.0, float(np.nanmax(ratio.to_numpy(float), initial=0)))
        mesh = axes.pcolormesh(ratio.to_numpy(float), cmap="cividis", vmin=0, vmax=top)
        for (row, column), value in np.ndenumerate(ratio.to_numpy(float)):
            if np.isfinite(value):
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    f"{value:.2f}".removeprefix("0"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if value < 0.55 * top else "black",
                )
        axes.grid(visible=False)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(experiments)) + 0.5, experiments)
        aslant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(np.arange(len(genomes)) + 0.5, genomes, **aslant)
        axes.set(xlabel=f"genome (n = {len(genomes)})", ylabel="experiment")
        bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=12)
        bar.set_label("rows per labelled row")
        if bar.solids is not None:
            bar.solids.set(rasterized=False, edgecolor="face")  # no bitmap within the SVG
        return page_svg(figure)


def against_published(beside: pd.DataFrame) -> str:
    """Draw own AUPRs against the published ones, both logarithmic, one panel per model.

    Parameters
    ----------
    beside
        Columns experiment, model, regime, own, published.
    """
    models = beside.groupby("model", sort=False)
    with _panels(models, height=4.3, salt="published") as (figure, panels):
        for axes, of_model in panels:
            part = of_model[of_model["own"] > 0]
            values = part[["own", "published"]].to_numpy(float)
            for regime, group in part.groupby("regime", sort=False):
                axes.scatter(
                    group["published"],
                    group["own"],
                    color=style_of(str(regime))[0],
                    s=22,
                    label=f"{regime}, n = {len(group)}",
                )
            for which in "xy":
                _log_axis(axes, which, values.ravel())
            ends = [0.8 * values.min(initial=1), 1.25 * values.max(initial=1e-3)]
            _diagonal(axes, *ends)
            axes.set(xlabel="published AUPR", ylabel="own AUPR", xlim=ends, ylim=ends)
            axes.legend(loc="upper left", fontsize=8)
        return page_svg(figure)
