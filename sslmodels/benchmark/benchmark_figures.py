"""Figures that compare methods, drawn from the data frames that are written beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from sslmodels.benchmark.figure_panels import (
    NAMES,
    broken_names,
    diagonal,
    legend_above,
    legend_below,
    log_axis,
    mark,
    open_panels,
    p_text,
    signed,
)
from sslmodels.benchmark.statistics import Method, fitted_line, method_name
from sslmodels.report.svg_figures import new_figure, page_svg, style_of
from sslmodels.runs.regime_table import BASELINE

#: A figure with an increase above this percentage has a logarithmic scale.
WIDE = 300.0


def increase_bars(increases: pd.DataFrame, *, metric: str, over: str = BASELINE) -> str:
    """Draw the increase over a regime in per cent (the paper's Figures 2 and S1).

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark.published_values.with_published_increases`; experiments are
        sorted by their labelled positives, fewest first. A published value is a mark on the bar, a
        cross stands where a run of `over` collapsed.
    metric
        ``aupr`` or ``auroc``.
    over
        The regime to compare with.
    """
    models, regimes = (list(increases[name].unique()) for name in ("model", "regime"))
    order = increases.drop_duplicates("experiment").sort_values("labelled", kind="stable")
    experiments = list(order["experiment"])
    width = min(max(5.0, 0.9 + 0.2 * len(experiments) * (len(regimes) + 1)), 11.0)
    labels, more = broken_names(experiments, inches=0.9 * width)
    size = (width, 2.9 * len(models) + 0.7 + more)
    with new_figure(size=size, salt=f"increase {metric} {over}") as figure:
        panels = figure.subplots(len(models), squeeze=False, sharex=True, sharey=True)[:, 0]
        for axes, model in zip(panels, models, strict=True):
            part = increases[increases["model"] == model]
            for i, regime in enumerate(regimes):
                rows = part[part["regime"] == regime].set_index("experiment").reindex(experiments)
                bar = 0.8 / len(regimes)
                place = np.arange(len(experiments)) + (i - (len(regimes) - 1) / 2) * bar
                known = rows["percent"].notna().to_numpy()
                colour = style_of(regime)[0]
                axes.bar(place[known], rows["percent"][known], width=0.92 * bar, color=colour)
                _marks_on_bars(axes, place, rows, width=0.92 * bar)
            if increases[["percent", "published_percent"]].max().max() > WIDE:
                axes.set_yscale("symlog", linthresh=20, linscale=0.5)
                axes.yaxis.set_major_formatter(
                    FuncFormatter(lambda y, _: f"{y:,g}".replace("-", "−"))
                )
            axes.axhline(0, color=axes.xaxis.label.get_color(), linewidth=0.8)
            axes.grid(axis="x", visible=False)
            axes.set_ylabel(f"{NAMES[metric]} increase over {over} (%)")
            axes.set_title(model, loc="left", fontsize=9.5)
        signs: list[Artist] = [Patch(color=style_of(r)[0], label=r) for r in regimes]
        if increases["published_percent"].notna().any():
            signs.append(mark(panels[0], "_", "published"))
        if increases["base_collapsed"].any():
            signs.append(mark(panels[0], "x", f"{over} collapsed"))
        legend_above(figure, panels, *signs)
        panels[-1].set_xlim(-0.6, len(experiments) - 0.4)
        below = [f"{label}\n{n:,}" for label, n in zip(labels, order["labelled"], strict=True)]
        panels[-1].set_xticks(range(len(experiments)), below)
        panels[-1].set_xlabel(f"experiment and its labelled positives (n = {len(experiments)})")
        return page_svg(figure)


def _marks_on_bars(axes: Axes, place: np.ndarray, rows: pd.DataFrame, *, width: float) -> None:
    ink = axes.xaxis.label.get_color()
    for x, y in zip(place, rows["published_percent"].to_numpy(float), strict=True):
        if np.isfinite(y):
            ends = [x - 0.5 * width, x + 0.5 * width]
            axes.plot(ends, [y, y], color=ink, linewidth=1.6)
    crossed = place[rows["base_collapsed"].to_numpy(float) > 0]
    if len(crossed):  # without points, what is not clipped would upset the layout
        # Not clipped: where nothing is below 0, the axis begins there and would cut them in half.
        axes.plot(crossed, np.zeros(len(crossed)), "x", color=ink, markersize=4.5, clip_on=False)


def gain_by_positives(increases: pd.DataFrame, *, metric: str, over: str = BASELINE) -> str:
    """Draw the percent increase against the number of positives, both logarithmic (Figure S3).

    Increases that are not above 0 have no logarithm and are not drawn; the legend counts the rest.
    Published values are open circles with a broken line.

    Parameters
    ----------
    increases
        Of :func:`sslmodels.benchmark.published_values.with_published_increases`.
    metric
        ``aupr`` or ``auroc``.
    over
        The regime to compare with.
    """
    models = increases.groupby("model", sort=False)
    opened = open_panels(models, height=3.9, salt=f"gain {metric}", sharex=True, sharey=True)
    drawn = increases[[*_OWN, *_PUBLISHED]]
    with opened as (figure, panels):
        for axes, part in panels:
            for regime, group in part.groupby("regime", sort=False):
                colour = style_of(str(regime))[0]
                _log_line(axes, group, _OWN, label=str(regime), colour=colour)
                if group["published_percent"].notna().any():
                    label = f"{regime}, published"
                    _log_line(axes, group, _PUBLISHED, label=label, colour=colour)
            for which, names in (("x", (_OWN[0], _PUBLISHED[0])), ("y", (_OWN[1], _PUBLISHED[1]))):
                values = drawn[list(names)].to_numpy(float).ravel()
                log_axis(axes, which, values[values > 0])
            axes.set(
                xlabel="labelled positives", ylabel=f"{NAMES[metric]} increase over {over} (%)"
            )
            axes.xaxis.set_tick_params(labelbottom=True)
            axes.yaxis.set_tick_params(labelleft=True)
            legend_below(axes)
        return page_svg(figure)


#: Columns of positives and of increases.
_OWN, _PUBLISHED = ("labelled", "percent"), ("published_labelled", "published_percent")


def _log_line(
    axes: Axes, group: pd.DataFrame, columns: tuple[str, str], *, label: str, colour: str
) -> None:
    """Draw points and the line through their logarithms, and say how many have one."""
    known = group[list(columns)].dropna().to_numpy(float)
    x, y = known[(known > 0).all(axis=1)].T
    own = columns == _OWN
    text = f"{label}, n = {len(x)}" + ("" if len(x) == len(known) else f" of {len(known)}")
    line = fitted_line(np.log10(x), np.log10(y))
    if line is not None:
        text += f": r = {signed(line.r, 2)}, {p_text(line.p_slope)}"
        ends = np.array([x.min(), x.max()])
        heights = 10 ** (line.intercept + line.slope * np.log10(ends))
        axes.plot(ends, heights, "-" if own else "--", color=colour, linewidth=1.3)
    axes.scatter(x, y, edgecolors=colour, facecolors=colour if own else "none", s=22, label=text)


def scatter(increases: pd.DataFrame, *, metric: str, over: str = BASELINE) -> str:
    """Draw every regime against another, one dot per experiment, with a line (Figure S5).

    Open circles are experiments in which a run of `over` collapsed; the lines leave them out.
    """
    models, name = increases.groupby("model", sort=False), NAMES[metric]
    with open_panels(models, height=4.5, salt=f"scatter {metric}") as (figure, panels):
        for axes, part in panels:
            _equal_axes(axes, part[["base", "mean"]].to_numpy(float))
            for regime, group in part.groupby("regime", sort=False):
                sound = group["base_collapsed"].to_numpy() == 0
                x, y = group["base"].to_numpy(float), group["mean"].to_numpy(float)
                colour = style_of(str(regime))[0]
                line = fitted_line(x[sound], y[sound])
                label = f"{regime}, n = {sound.sum()}"
                if line is not None:
                    label += f": intercept {signed(line.intercept, 3)}, {p_text(line.p_intercept)}"
                    ends = np.array([x[sound].min(), x[sound].max()])
                    axes.plot(ends, line.intercept + line.slope * ends, color=colour, linewidth=1.2)
                _dots(axes, x, y, sound, colour=colour, label=label)
            axes.set(xlabel=f"{name} of {over}", ylabel=f"{name} of the other regime")
            _legend_of_dots(axes, hollow=bool(part["base_collapsed"].any()), what=over)
        return page_svg(figure)


def pair_scatter(pairs: pd.DataFrame, tests: pd.DataFrame, *, metric: str, salt: str) -> str:
    """Draw methods against methods, one dot per experiment, one panel per model (Figure S5).

    Parameters
    ----------
    pairs
        Of :func:`sslmodels.benchmark.statistics.method_pairs`; each model_b is compared with one
        method.
    tests
        Of :func:`sslmodels.benchmark.statistics.paired_tests`, of the same pairs.
    metric
        ``aupr`` or ``auroc``.
    salt
        Text that no other figure on the page has.
    """
    name, found = NAMES[metric], tests.set_index(["model_b", "regime_b"])
    models = pairs.groupby("model_b", sort=False)
    with open_panels(models, height=4.5, salt=salt) as (figure, panels):
        for axes, part in panels:
            _equal_axes(axes, part[["a", "b"]].to_numpy(float))
            for regime, group in part.groupby("regime_b", sort=False):
                test = found.loc[(group["model_b"].iloc[0], regime)]
                x, y = group["a"].to_numpy(float), group["b"].to_numpy(float)
                sound = (group["collapsed_a"] + group["collapsed_b"]).to_numpy() == 0
                label = (
                    f"{regime}, n = {len(group)}: higher in {test['wins_b']}, {p_text(test['p'])}"
                )
                _dots(axes, x, y, sound, colour=style_of(str(regime))[0], label=label)
            first = part.iloc[0]
            other: Method = (str(first["model_a"]), str(first["regime_a"]))
            same = other[0] == first["model_b"]
            axes.set(
                xlabel=f"{name} of {other[1] if same else method_name(other)}",
                ylabel=f"{name} of {first['model_b']}"
                + (f" {first['regime_b']}" if part["regime_b"].nunique() == 1 else ""),
            )
            collapsed = part[["collapsed_a", "collapsed_b"]].to_numpy().any()
            _legend_of_dots(axes, hollow=bool(collapsed), what="a run")
        return page_svg(figure)


def _equal_axes(axes: Axes, values: np.ndarray) -> None:
    """Give both axes the same range, with the line on which they are equal."""
    low, high = min(0.0, values.min()), values.max()
    pad = 0.05 * (high - low or 1)
    diagonal(axes, low - pad, high + pad)
    axes.set(xlim=(low - pad, high + pad), ylim=(low - pad, high + pad))


def _dots(
    axes: Axes, x: np.ndarray, y: np.ndarray, sound: np.ndarray, *, colour: str, label: str
) -> None:
    """Draw one dot per experiment, hollow where it is not sound."""
    axes.scatter(x[sound], y[sound], color=colour, s=22, label=label)
    axes.scatter(x[~sound], y[~sound], facecolors="none", edgecolors=colour, s=26)


def _legend_of_dots(axes: Axes, *, hollow: bool, what: str) -> None:
    handles, _ = axes.get_legend_handles_labels()
    signs: list[Line2D] = [mark(axes, "o", f"open: {what} collapsed")] if hollow else []
    legend_below(axes, [*handles, *signs])


def against_published(beside: pd.DataFrame) -> str:
    """Draw own AUPRs against the published ones, both logarithmic, one panel per model.

    Parameters
    ----------
    beside
        Columns experiment, model, regime, own, published.
    """
    models = beside.groupby("model", sort=False)
    with open_panels(models, height=4.5, salt="published") as (figure, panels):
        for axes, of_model in panels:
            part = of_model[(of_model["own"] > 0) & (of_model["published"] > 0)]
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
                log_axis(axes, which, values.ravel())
            ends = [0.8 * values.min(initial=1), 1.25 * values.max(initial=1e-3)]
            diagonal(axes, *ends)
            axes.set(xlabel="published AUPR", ylabel="own AUPR", xlim=ends, ylim=ends)
            legend_below(axes)
        return page_svg(figure)
