"""The page of an interpretation: motifs, their matches and effects, filters, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from ssldata.genomes.onehot import encode
from sslmodels.interpretation.logos import contribution_logo, motif_logo
from sslmodels.report.report_page import render_page
from sslmodels.report.report_tables import MOTIF_NAMED_BELOW
from sslmodels.report.svg_figures import new_figure, page_svg

_METHODS = {
    "mutagenesis": "saturation mutagenesis",
    "gradient": "gradient × input",
    "integrated": "integrated gradients",
}


def interpretation_page(result: Mapping[str, Any]) -> str:
    """Return the page as HTML that loads nothing from elsewhere.

    Parameters
    ----------
    result
        Of :func:`sslmodels.interpretation.interpret.interpret_run`.
    """
    options = result["options"]
    cell = [result[key] for key in ("experiment", "model", "regime")]
    return render_page(
        "interpretation.html.j2",
        {
            "title": " / ".join([*cell, f"seed {result['seed']}"]),
            "method": _METHODS[options["method"]],
            "options": options,
            "digest": result["digest"],
            "named_below": MOTIF_NAMED_BELOW,
            "experiments": [
                _experiment(name, values) for name, values in result["experiments"].items()
            ],
        },
    )


def _experiment(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "positives": values["positives"],
        "negatives": values["negatives"],
        "motifs": [
            {
                **motif,
                "logo": _logo(motif, f"{name} {motif['name']}"),
                "match": _match(motif, f"{name} {motif['name']}"),
                "in_positives": motif["positives"] / values["positives"],
                "in_negatives": motif["negatives"] / values["negatives"],
            }
            for motif in values["motifs"]
        ],
        "pair": _pair(name, values["pair"]),
        "filters": [
            {
                **one,
                "logo": _logo(one, f"{name} {one['name']}"),
                "match": _match(one, f"{name} {one['name']}", logo=False),
            }
            for one in values["filters"]
        ],
        "rows": [
            {
                "place": row["place"],
                "svg": Markup(
                    contribution_logo(
                        encode(row["sequence"]),
                        np.array(row["contributions"], np.float32),
                        salt=f"{name} {row['place']}",
                    )
                ),
            }
            for row in values["rows"]
        ],
    }


def _logo(motif: Mapping[str, Any], salt: str) -> Markup:
    return Markup(motif_logo(np.array(motif["matrix"]), salt=salt))


def _match(motif: Mapping[str, Any], salt: str, *, logo: bool = True) -> dict[str, Any] | None:
    """Return the best match and its logo, on the strand that fits."""
    if not motif["matches"]:
        return None
    best = motif["matches"][0]
    matrix = np.array(best["matrix"])
    matrix = matrix[::-1, ::-1] if best["other_strand"] else matrix
    shown = {**best, "known": best["q"] < MOTIF_NAMED_BELOW, "title": best["label"] or best["name"]}
    return {**shown, "logo": Markup(motif_logo(matrix, salt=f"{salt} match")) if logo else ""}


def _pair(name: str, pair: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    colours = {"same": "#1f83c9", "opposite": "#d98a00"}
    with new_figure(size=(5.4, 3.0), salt=f"pair {name}") as figure:
        axes = figure.subplots()
        for key, colour in colours.items():
            pairs, sums = ([one["mean"] for one in pair[key][what]] for what in ("pair", "sum"))
            axes.plot(pair["gaps"], pairs, color=colour, label=f"{key} direction")
            axes.plot(pair["gaps"], sums, color=colour, linestyle=":")
        axes.plot([], [], color="#7b8794", linestyle=":", label="sum of both alone")
        axes.set(xlabel="bases between them", ylabel="change of log-odds")
        axes.legend(loc="best")
        return {"motifs": pair["motifs"], "svg": Markup(page_svg(figure))}
