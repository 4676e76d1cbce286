"""What the figures of the benchmark share: panels, axes, legends outside of them, and labels."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from sslmodels.report.svg_figures import new_figure

#: Names of the metrics on axes.
NAMES = {"aupr": "AUPR", "auroc": "AUROC"}

#: Colours of models and of steps, in order.
PALETTE = ("#1f83c9", "#d98a00", "#c2478f", "#2f9e57", "#8f6bc9", "#7d8590")


@contextmanager
def open_panels(
    parts: Iterable[tuple[Any, pd.DataFrame]],
    *,
    height: float,
    salt: str,
    more: float = 0,
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[tuple[Figure, list[tuple[Axes, pd.DataFrame]]]]:
    """Open a figure with a panel for every part, two side by side.

    Parameters
    ----------
    parts
        Title and rows of each panel.
    height
        Of a row of panels, in inches.
    salt
        Text that no other figure on the page has.
    more
        How much higher the figure is than its rows, in inches.
    sharex, sharey
        Whether all panels have the same axis.
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


def diagonal(axes: Axes, low: float, high: float) -> None:
    """Draw the dotted line on which both axes have the same value."""
    ink = axes.xaxis.label.get_color()
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, linestyle=":")


def legend_below(axes: Axes, handles: Sequence[Artist] | None = None) -> None:
    """Put the legend of a panel below it, where it hides no point."""
    under = {"loc": "upper left", "bbox_to_anchor": (0, -0.16), "fontsize": 8}
    axes.legend(**({} if handles is None else {"handles": handles}), **under)


def legend_above(figure: Figure, axes: Iterable[Axes], *more: Artist) -> None:
    """Put one legend for all panels above them; each name once."""
    found: dict[str, Artist] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    handles, labels = [*found.values(), *more], [*found, *(str(one.get_label()) for one in more)]
    width = figure.get_figwidth()
    # Names of up to n characters stand side by side in so many columns.
    columns = max(1, int(width / (0.55 + 0.068 * max(map(len, labels), default=1))))
    figure.legend(handles, labels, loc="outside upper right", ncols=min(columns, len(labels) or 1))


def mark(axes: Axes, marker: str, label: str) -> Line2D:
    """Return a sign for a legend, in the colour of the text of some axes."""
    ink = axes.xaxis.label.get_color()
    fill: Any = "none" if marker == "o" else "full"
    return Line2D(
        *([], []),
        marker=marker,
        color=ink,
        linestyle="none",
        markersize=6,
        fillstyle=fill,
        label=label,
    )


def p_text(value: float) -> str:
    """Return a p value as a legend shows it."""
    if np.isnan(value):
        return "p –"
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def signed(value: float, digits: int) -> str:
    """Return a number with a minus sign that is not a hyphen."""
    return f"{value:.{digits}f}".replace("-", "−")


def broken_names(names: Sequence[str], *, inches: float) -> tuple[list[str], float]:
    """Break names into lines that fit side by side; return them and the extra height in inches."""
    width = max(4, int(11 * inches / len(names)) - 1)
    # Break after punctuation if possible; the spaces that allow it are removed again.
    parts = [textwrap.wrap(re.sub(r"([_+.:-])", "\\1 ", name), width) for name in names]
    lines = ["\n".join(line.replace(" ", "") for line in part) for part in parts]
    return lines, 0.16 * (max(map(len, parts)) - 1)


def log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    """Make an axis logarithmic, with enough ticks, labelled as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    span = values.max() / values.min() if len(values) else 1
    subs = (1.0,) if span >= 300 else (1.0, 2.0, 5.0) if span >= 6 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    axis.set_major_locator(LogLocator(10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if not len(values):
        getattr(axes, f"set_{which}lim")(1, 100)  # nothing to draw
    elif span < 1.5:
        middle = float(np.sqrt(values.max() * values.min()))
        getattr(axes, f"set_{which}lim")(middle / 2.2, middle * 2.2)


def labels_apart(values: Sequence[float], *, log: bool) -> list[float]:
    """Return the values whose tick labels do not touch: the last, and those far enough apart."""
    place = np.log10(values) if log else np.asarray(values, float)
    least = (0.11 if log else 0.085) * max(float(np.ptp(place)), 1e-9)
    kept: list[int] = []
    for index in reversed(range(len(values))):
        if not kept or place[kept[-1]] - place[index] >= least:
            kept.append(index)
    return [values[index] for index in reversed(kept)]
