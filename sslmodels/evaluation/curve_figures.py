"""The figures of an evaluation, drawn without the global state of pyplot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sslmodels.scores.metrics import Curve

Floats = NDArray[np.float64]

_Drawn = TypeVar("_Drawn")

_CURVE = "#1f5fa8"
_CHANCE = "#8a8a8a"
_INK = "#333333"


#: Lines of a legend beside the axes before it gets another column, and the width of one in inches.
_LEGEND_LINES, _LEGEND_WIDTH = 24, 2.6


def _axes(title: str, *, x: str, y: str, beside: int = 0) -> tuple[Figure, Axes]:
    """Return square axes, with room for the legend of `beside` curves to their right."""
    width = 4.8 + _LEGEND_WIDTH * -(-beside // _LEGEND_LINES)
    figure = Figure(figsize=(width, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_CHANCE)
    axes.tick_params(color=_CHANCE, labelcolor=_INK)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _finish(
    figure: Figure,
    axes: Axes,
    path: Path,
    *,
    corner: Literal["upper left", "upper right", "lower right"],
) -> None:
    axes.legend(loc=corner, frameon=False, fontsize=9, labelcolor=_INK)
    # Without the default "Software" entry the bytes do not depend on matplotlib's release name.
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def draw_pr(path: Path, curve: Curve, numbers: Mapping[str, Any], *, title: str) -> None:
    """Draw precision against recall, with a line at the prevalence (a random guess).

    Parameters
    ----------
    path
        PNG file to write.
    curve
        Recall and precision, from :func:`sslmodels.scores.metrics.pr_curve`.
    numbers
        Of :func:`sslmodels.scores.metrics.summary`.
    title
        Above the axes.
    """
    figure, axes = _axes(
        title,
        x=f"recall (of {numbers['positives']:,} positive bins)",
        y=f"precision (n = {numbers['rows']:,} test bins)",
    )
    axes.step(
        curve.x,
        curve.y,
        where="pre",
        color=_CURVE,
        linewidth=1.6,
        label=f"AUPR {numbers['aupr']:.3f} ({numbers['lift']:.1f} × prevalence)",
    )
    axes.axhline(
        numbers["prevalence"],
        color=_CHANCE,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label=f"random guess {numbers['prevalence']:.3g}",
    )
    _finish(figure, axes, path, corner="upper right")


def draw_roc(path: Path, curve: Curve, numbers: Mapping[str, Any], *, title: str) -> None:
    """Draw the true against the false positive rate.

    Parameters
    ----------
    path, curve, numbers, title
        As of :func:`draw_pr`; the curve is the false and the true positive rate.
    """
    figure, axes = _axes(
        title,
        x=f"false positive rate (of {numbers['rows'] - numbers['positives']:,} negative bins)",
        y=f"true positive rate (of {numbers['positives']:,} positive bins)",
    )
    axes.plot(curve.x, curve.y, color=_CURVE, linewidth=1.6, label=f"AUROC {numbers['auroc']:.3f}")
    axes.plot(
        [0, 1],
        [0, 1],
        color=_CHANCE,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label="random guess 0.5",
    )
    _finish(figure, axes, path, corner="lower right")


def draw_all_pr(
    path: Path, curves: Mapping[str, Curve], numbers: Mapping[str, Mapping[str, Any]], *, title: str
) -> None:
    """Draw precision against recall for each of several outputs.

    Parameters
    ----------
    path, title
        As of :func:`draw_pr`.
    curves, numbers
        By experiment, each as of :func:`draw_pr`.
    """
    rows = max(of["rows"] for of in numbers.values())
    y = f"precision (n = {rows:,} test bins)"
    figure, axes = _axes(title, x="recall", y=y, beside=len(curves))
    for name, curve, colour in _coloured(curves):
        label = f"{name} {numbers[name]['aupr']:.3f} ({numbers[name]['positives']:,} positives)"
        axes.step(curve.x, curve.y, where="pre", color=colour, linewidth=1.2, label=label)
    _finish_beside(figure, path, heading="AUPR")


def draw_all_roc(
    path: Path, curves: Mapping[str, Curve], numbers: Mapping[str, Mapping[str, Any]], *, title: str
) -> None:
    """Draw the true against the false positive rate for each of several outputs.

    Parameters
    ----------
    path, curves, numbers, title
        As of :func:`draw_all_pr`.
    """
    figure, axes = _axes(title, x="false positive rate", y="true positive rate", beside=len(curves))
    for name, curve, colour in _coloured(curves):
        label = f"{name} {numbers[name]['auroc']:.3f} ({numbers[name]['positives']:,} positives)"
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.2, label=label)
    axes.plot([0, 1], [0, 1], color=_CHANCE, linewidth=1.2, linestyle=(0, (4, 3)))
    _finish_beside(figure, path, heading="AUROC")


def draw_reliability(
    path: Path,
    reliability: Mapping[str, Mapping[str, tuple[Floats, Floats]]],
    *,
    rows: int,
    title: str,
) -> None:
    """Draw the share of positive bins against the probability, as predicted and calibrated.

    Parameters
    ----------
    path, title
        As of :func:`draw_pr`.
    reliability
        By experiment, then by kind of probability: mean probability and share of positives of
        each tenth of [0, 1] that has enough bins.
    rows
        Bins behind the figure.
    """
    y = f"share of positives (n = {rows:,} validation bins)"
    several = len(reliability) > 1
    lines = {
        " ".join([name, kind] if several else [kind]): points
        for name, kinds in reliability.items()
        for kind, points in kinds.items()
    }
    figure, axes = _axes(title, x="mean probability", y=y, beside=len(lines) * several)
    axes.plot([0, 1], [0, 1], color=_CHANCE, linewidth=1.2, linestyle=(0, (4, 3)))
    for label, (predicted, observed), colour in _coloured(lines):
        axes.plot(
            predicted, observed, color=colour, linewidth=1.4, marker="o", markersize=4, label=label
        )
    if several:
        _finish_beside(figure, path, heading="probability")
    else:
        _finish(figure, axes, path, corner="upper left")


def _coloured(curves: Mapping[str, _Drawn]) -> Iterator[tuple[str, _Drawn, Any]]:
    """Yield every curve with its own colour."""
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(curves)))
    colours[:, :3] *= 0.85  # its yellow is too light on white
    for (name, curve), colour in zip(curves.items(), colours, strict=True):
        yield name, curve, colour


def _finish_beside(figure: Figure, path: Path, *, heading: str) -> None:
    """Put the legend beside the axes, where there is room for many curves."""
    lines = len(figure.axes[0].get_legend_handles_labels()[0])
    figure.legend(
        loc="outside right upper",
        title=heading,
        frameon=False,
        fontsize=8,
        labelcolor=_INK,
        ncols=-(-lines // _LEGEND_LINES),
    )
    # Names may be longer than the space planned for them.
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None}, bbox_inches="tight")
