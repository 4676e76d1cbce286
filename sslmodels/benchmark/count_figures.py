"""Figures of the numbers of training positives (Tables 1 and S1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from sslmodels.benchmark.figure_panels import broken_names, legend_above
from sslmodels.report.svg_figures import new_figure, page_svg, style_of


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
            tops = heights.to_numpy(float)
            axes.bar(place + shift, tops, width=0.36, color=style_of(regime)[0], label=name)
            if published is not None:
                marks = published[column].reindex(experiments).to_numpy(float)
                label = "published" if column == "positives" else None
                axes.plot(place + shift, marks, "_", color=ink, ms=15, mew=1.6, label=label)
                # Above the mark too, which would strike the number through.
                tops = np.fmax(tops, marks)
            for x, top, count in zip(place + shift, tops, heights, strict=True):
                above: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points"}
                axes.annotate(_short(count), (x, max(top, 1.0)), **above, ha="center", fontsize=7.5)
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
        legend_above(figure, [axes])
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


def _short(value: float) -> str:
    """Return a count with three digits, so that neighbours on an axis stay apart."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.0f}"
