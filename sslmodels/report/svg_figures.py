"""Figures of the report as SVG text that follows the page's light or dark colours.

Matplotlib knows fixed colours only, so text and grid are drawn in two colours that nothing else
uses, and these are replaced by those of the page in the finished SVG.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ssldata.project.training_section import Regime
from sslmodels.runs.regime_table import REGIME_TABLE

Floats = NDArray[np.float64]

#: Points of a curve in the unit square are thinned to so many pixels along each side.
CURVE_CELLS = 250

#: Stand-ins that :func:`page_svg` replaces: text and axes, grid lines.
_INK, _GRID = "#010203", "#040506"

#: Colour and dash of what is not in the table of regimes.
_OTHER_STYLE = ("#5b4b49", ":")

#: Colours of baselines, by kind; those without homologues are dotted.
_BASELINE_COLOURS = {
    "pwm": "#8d99a6",
    "pwm-sum": "#56636f",
    "motif": "#a5651f",
    "kmer": "#3d7f88",
    "gkm": "#86507f",
}

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    # Names are text: a dollar sign in one begins no formula.
    "text.parse_math": False,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class SvgCurve:
    """One precision-recall curve.

    Attributes
    ----------
    regime, seed
        Of the run.
    recall, precision
        float64 (n,), in the order of the curve.
    aupr
        Area under the curve, for the legend.
    """

    regime: str
    seed: int
    recall: Floats
    precision: Floats
    aupr: float


@dataclass(frozen=True)
class History:
    """Training history of one run, phase after phase.

    Attributes
    ----------
    phases
        Name of each phase and its number of epochs, in order.
    series
        Name of a quantity → float64, one value per epoch; NaN where a phase lacks it.
    """

    phases: Sequence[tuple[str, int]]
    series: Mapping[str, Floats] = field(default_factory=dict)


@contextlib.contextmanager
def new_figure(*, size: tuple[float, float], salt: str, font_size: float = 9.5) -> Iterator[Figure]:
    """Yield a figure in the style of the page, to be drawn on and given to :func:`page_svg`.

    Parameters
    ----------
    size
        Width and height in inches.
    salt
        Text that no other figure on the page has; keeps their ids distinct.
    font_size
        In points.
    """
    small: dict[Any, Any] = {"font.size": font_size, "legend.fontsize": font_size - 0.5}
    with mpl.rc_context({**_RC, **small, "svg.hashsalt": salt}):
        yield Figure(figsize=size, layout="constrained")


def page_svg(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element with the colours and the font of the page."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The page sets the width; the height follows from the view box.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"'[^']*'(?:, [^;\"]*)?sans-serif", "system-ui, sans-serif", text)
    # A hundredth of a point is enough of a coordinate.
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    return text.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")


def file_svg(svg: str) -> str:
    """Return an element of :func:`page_svg` as a separate SVG file, dark on white."""
    text = svg.replace("currentColor", "#20242a").replace("var(--grid)", "#d5d9de")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}'


def style_of(regime: str) -> tuple[str, str]:
    """Return colour and dash of a regime or baseline, which may be unknown to this release."""
    entry = REGIME_TABLE.get(cast("Regime", regime))
    baseline = _BASELINE_COLOURS.get(regime.removesuffix("+hom"))
    if baseline is not None:
        return baseline, "-." if regime.endswith("+hom") else ":"
    return _OTHER_STYLE if entry is None else (entry.colour, entry.dash)


def precision_recall(curves: Sequence[SvgCurve], *, prevalence: float | None, salt: str) -> str:
    """Draw the precision-recall curves of runs in one plot; seeds of a regime share its colour.

    Parameters
    ----------
    curves
        All runs of one experiment and model.
    prevalence
        Share of positives among the test rows, the precision of guessing; drawn as a line.
    salt
        Text that no other figure on the page has.

    Returns
    -------
    str
        As :func:`page_svg`.
    """
    by_regime: dict[str, list[SvgCurve]] = {}
    for curve in curves:
        by_regime.setdefault(curve.regime, []).append(curve)
    # The legend stands below the axes in two columns, where it hides no curve.
    lines = -(-(len(by_regime) + (prevalence is not None)) // 2)
    with new_figure(size=(5.0, 3.4 + 0.21 * lines), salt=salt) as figure:
        axes = figure.subplots()
        for regime, group in by_regime.items():
            colour, dash = style_of(regime)
            mean = float(np.mean([curve.aupr for curve in group]))
            seeds = f", {len(group)} seeds" if len(group) > 1 else ""
            for index, curve in enumerate(group):
                x, y = thinned(curve.recall, curve.precision, cells=CURVE_CELLS)
                axes.plot(
                    x,
                    y,
                    color=colour,
                    linestyle=dash,
                    linewidth=1.8 if len(group) == 1 else 1.2,
                    label=f"{regime}  AUPR {mean:.3f}{seeds}" if index == 0 else None,
                )
        if prevalence is not None:
            label = f"guessing  {prevalence:.3f}"
            axes.axhline(prevalence, color=_INK, linewidth=1.0, linestyle=":", label=label)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        if by_regime:
            figure.legend(loc="outside lower center", ncols=2)
        return page_svg(figure)


def training_curves(history: History, *, salt: str) -> str:
    """Draw losses over epochs, phases side by side, and the validation AUPR if there is one.

    Parameters
    ----------
    history
        Of one run.
    salt
        Text that no other figure on the page has.

    Returns
    -------
    str
        As :func:`page_svg`.
    """
    auprs = [name for name in history.series if "aupr" in name or "auc" in name]
    losses = [name for name in history.series if name not in auprs]
    panels = [group for group in (losses, auprs) if group]
    height = 1.9 * max(1, len(panels)) + 0.4
    with new_figure(size=(5.0, height), salt=salt, font_size=8.5) as figure:
        axes = figure.subplots(max(1, len(panels)), sharex=True, squeeze=False)[:, 0]
        for panel, names in zip(axes, panels, strict=False):
            _panel(panel, history, names)
        if len(history.phases) > 1:
            _name_phases(axes[0], history)
        axes[-1].set_xlabel("epoch")
        return page_svg(figure)


def _panel(axes: Axes, history: History, names: Sequence[str]) -> None:
    colours = {"loss": "#d98a00", "val_loss": "#1f83c9", "aupr": "#d98a00", "val_aupr": "#1f83c9"}
    labels = {"val_loss": "validation loss", "val_aupr": "validation AUPR", "aupr": "AUPR"}
    first = 0
    # Phase by phase: a line from one to the next would show a change that was not measured.
    for number, (_, count) in enumerate(history.phases):
        epochs = np.arange(first + 1, first + count + 1)
        for name in names:
            axes.plot(
                epochs,
                history.series[name][first : first + count],
                color=colours.get(name, "#3f9a4d"),
                linestyle="-" if name.startswith("val_") else "--",
                linewidth=1.5,
                marker="." if count < 3 else None,
                label=labels.get(name, name) if number == 0 else None,
            )
        if first:
            axes.axvline(first + 0.5, color=_INK, linewidth=0.7, linestyle=":")
        first += count
    axes.set_xlim(0.5, max(first, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)


def _name_phases(axes: Axes, history: History) -> None:
    """Write the names of the phases above a panel, shortened, or left out where they do not fit."""
    total = sum(count for _, count in history.phases)
    first = 0
    for phase, count in history.phases:
        text = phase.replace("pre-train", "pre").replace("fine-tune", "fine")
        crowded = len(history.phases) > 4
        if len(text) < 100 * count / total:
            axes.annotate(
                text if crowded else phase,
                (first + 0.5 + count / 2, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 20),
                textcoords="offset points",
                ha="center",
                fontsize=7 if crowded else 8,
            )
        first += count


def thinned(x: Floats, y: Floats, *, cells: int = 500) -> tuple[Floats, Floats]:
    """Drop points of a curve in the unit square that fall on the pixel of the point before.

    Both ends are kept. A million test rows make a million points, of which a page shows a
    thousand.

    Parameters
    ----------
    x, y
        Coordinates from 0 to 1.
    cells
        Pixels along each side.
    """
    if len(x) < 3:
        return x, y
    pixels = np.round(np.stack([x, y]) * cells)
    keep = np.append(True, (np.diff(pixels) != 0).any(axis=0))
    keep[-1] = True
    return x[keep], y[keep]
