"""Logos of motifs and of contributions, as SVG in the style of the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.genomes.onehot import one_hot
from sslmodels.baselines.meme_text import Matrix, information
from sslmodels.report.svg_figures import new_figure, page_svg

#: Readable on light and dark pages.
_COLOURS = {"A": "#2f9e5b", "C": "#3779c2", "G": "#d9912b", "T": "#cf4a4a"}


def require_logomaker() -> Any:
    """Import logomaker.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import logomaker
    except ImportError as exc:
        raise ConfigError(
            "logos need the package logomaker: pip install 'crosslabel[interpret]'"
        ) from exc
    return logomaker


def motif_logo(matrix: Matrix, *, salt: str) -> str:
    """Return the logo of a motif, its letters as high as their share of the information."""
    with new_figure(size=(0.22 * len(matrix) + 0.5, 0.95), salt=salt, font_size=7.5) as figure:
        draw_motif(figure.subplots(), matrix)
        return page_svg(figure)


def draw_motif(axes: Axes, matrix: Matrix) -> None:
    """Draw the logo of a motif on axes of one's own."""
    _draw(axes, matrix * information(matrix)[:, None])
    axes.set_ylim(0, 2)
    axes.set_yticks([0, 2])
    axes.set_ylabel("bits")


def contribution_logo(
    codes: NDArray[np.uint8], contributed: NDArray[np.float32], *, salt: str
) -> str:
    """Return the logo of a row: each base as high as what it contributes."""
    values = one_hot(codes).astype(np.float64) * contributed[:, None]
    with new_figure(size=(10.5, 1.25), salt=salt, font_size=7.5) as figure:
        axes = figure.subplots()
        _draw(axes, values)
        axes.set_xticks(np.arange(0, len(codes), 20))
        axes.set_ylabel("log-odds")
        return page_svg(figure)


def _draw(axes: Axes, values: Matrix) -> None:
    table = pd.DataFrame(values, columns=list("ACGT"))
    require_logomaker().Logo(table, ax=axes, color_scheme=_COLOURS, show_spines=False)
    axes.grid(visible=False)
    axes.set_xticks([])
