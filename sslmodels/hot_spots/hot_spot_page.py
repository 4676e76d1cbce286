"""The page of motifs in hot spots: classes, the leading motifs both ways, and their tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from sslmodels.baselines.meme_text import Matrix
from sslmodels.interpretation.logos import motif_logo
from sslmodels.report.report_page import render_page
from sslmodels.report.svg_figures import new_figure, page_svg

#: Motifs of each class in the figure, and in the table.
_DRAWN, _LISTED = 15, 25

#: Motifs are coloured below this q value (Benjamini and Hochberg).
FOUND_BELOW = 0.05

_CLASS_1, _CLASS_0, _NEITHER = "#d98a00", "#1f83c9", "#7b8794"


def hot_spot_page(result: Mapping[str, Any], matrices: Sequence[Matrix]) -> str:
    """Return the page as HTML that loads nothing from elsewhere.

    Parameters
    ----------
    result
        Of :func:`sslmodels.hot_spots.hot_spot_motifs.hot_spot_motifs`.
    matrices
        Of its motifs, in their order.
    """
    motifs = result["motifs"]
    leading = leading_motifs(motifs)
    return render_page(
        "hot_spots.html.j2",
        {
            "title": result["title"],
            "result": result,
            "options": result["options"],
            "found_below": FOUND_BELOW,
            "tested": len(motifs),
            "found": [
                sum(is_found(one) and (one["difference"] > 0) == wanted for one in motifs)
                for wanted in (True, False)
            ],
            "figure": _figure(motifs, leading, result["output"]),
            "sides": [
                {
                    "value": value,
                    "motifs": [
                        {
                            **motifs[i],
                            "title": motifs[i]["label"] or motifs[i]["name"],
                            "logo": Markup(motif_logo(matrices[i], salt=f"motif {i}")),
                        }
                        for i in leading[value][:_LISTED]
                    ],
                }
                for value in (1, 0)
            ],
        },
    )


def leading_motifs(motifs: Sequence[Mapping[str, Any]]) -> dict[int, list[int]]:
    """Return the places of the motifs that each class has more often, largest difference first.

    Parameters
    ----------
    motifs
        In the order of their ranks.
    """
    known = [i for i, one in enumerate(motifs) if one["difference"] is not None]
    return {
        1: [i for i in known if motifs[i]["difference"] > 0],
        0: [i for i in reversed(known) if motifs[i]["difference"] < 0],
    }


def is_found(motif: Mapping[str, Any]) -> bool:
    """Return whether a motif is significant after the correction for all that were tested."""
    return motif["bh"] is not None and bool(motif["bh"] < FOUND_BELOW)


def _figure(
    motifs: Sequence[Mapping[str, Any]], leading: Mapping[int, Sequence[int]], output: str
) -> Markup | None:
    """Draw the differences of the leading motifs of both classes with their intervals."""
    shown = [*leading[1][:_DRAWN], *reversed(leading[0][:_DRAWN])]
    if not shown:
        return None
    with new_figure(
        size=(6.2, 0.24 * len(shown) + 0.9), salt=f"hot spots {output}", font_size=8.5
    ) as figure:
        axes = figure.subplots()
        rows = np.arange(len(shown))[::-1]
        for row, i in zip(rows, shown, strict=True):
            one = motifs[i]
            colour = _NEITHER
            if is_found(one):
                colour = _CLASS_1 if one["difference"] > 0 else _CLASS_0
            axes.plot([one["low"], one["high"]], [row, row], color=colour, linewidth=1.4)
            axes.plot([one["difference"]], [row], color=colour, marker="o", markersize=4.5)
        axes.axvline(0, color=_NEITHER, linewidth=0.9, linestyle=":")
        axes.set_yticks(rows, [motifs[i]["label"] or motifs[i]["name"] for i in shown])
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlabel("share of sequences with the motif, class 1 − class 0")
        return Markup(page_svg(figure))
