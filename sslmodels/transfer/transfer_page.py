"""The page of simple models on features: metrics, curves, and the features that count most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from sslmodels.report.report_page import render_page
from sslmodels.report.svg_figures import file_svg, new_figure, page_svg, thinned
from sslmodels.scores.metrics import pr_curve

#: Features of a figure.
TOP = 20
#: Title and colour of each model.
_MODELS = {
    "logistic": ("logistic regression, L2", "#1f83c9"),
    "l1": ("logistic regression, L1", "#3f9a4d"),
    "lightgbm": ("LightGBM", "#d98a00"),
}
_OF_BOTH = {1: "#1f83c9", -1: "#d65f5f"}
#: Letters of a name in a figure.
_LONGEST = 38

Curves = Mapping[str, tuple[NDArray[Any], NDArray[np.float64]]]


def transfer_page(
    record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], curves: Curves
) -> str:
    """Return the page as HTML that loads nothing from elsewhere.

    Parameters
    ----------
    record
        Of :func:`sslmodels.transfer.fit_transfer.fit_transfer`.
    tables
        Model → its features, as of :func:`sslmodels.transfer.fit_transfer.coefficient_table`.
    curves
        Model → labels and scores of the test loci.
    """
    models = [_model(name, record, tables[name]) for name in record["models"]]
    # Of the validation loci: the best of several on the test loci would be a choice on them.
    best = max(models, key=lambda model: model["validation"]["auroc"])
    test = record["rows"]["test"]
    return render_page(
        "transfer.html.j2",
        {
            "title": Path(record["features"]).name,
            "record": record,
            "models": models,
            "curves": Markup(_curves(curves, test["positives"] / test["loci"])),
            "tiles": [
                {
                    "label": "AUROC",
                    "value": f"{best['test']['auroc']:.3f}",
                    "note": f"{best['title']}, the best in validation;{best['auroc_interval']}",
                },
                {
                    "label": "AUPR",
                    "value": f"{best['test']['aupr']:.3f}",
                    "note": f"guessing reaches {best['test']['prevalence']:.3f}",
                },
                {
                    "label": "Features",
                    "value": f"{record['columns']:,}",
                    "note": f"{record['constant_columns']:,} constant in the training rows",
                },
                {
                    "label": "Test loci",
                    "value": f"{test['loci']:,}",
                    "note": f"{test['positives']:,} positives; split {record['split_by']}",
                },
            ],
            "source": _source(record),
        },
    )


def _source(record: Mapping[str, Any]) -> str:
    source = record["source"]
    what = [str(source.get(key)) for key in ("kind", "file", "layer") if source.get(key)]
    return ", ".join(what) or "unknown"


def _interval(numbers: Mapping[str, Any], metric: str) -> str:
    found = numbers["intervals"].get(metric)
    return f" [{found[0]:.3f}, {found[1]:.3f}]" if found else ""


def _model(name: str, record: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    described, metrics = record["models"][name], record["metrics"][name]
    boosted = "trees" in described
    key = "splits" if boosted else "coefficient"
    used = table[table[key] != 0]
    return {
        "name": name,
        "title": _MODELS[name][0],
        "colour": _MODELS[name][1],
        "boosted": boosted,
        "test": metrics["test"],
        "validation": metrics["validation"],
        "auroc_interval": _interval(metrics["test"], "auroc"),
        "aupr_interval": _interval(metrics["test"], "aupr"),
        "described": described,
        "used": len(used),
        "figure": Markup(top_figure(name, table)) if len(used) else "",
        "rows": [
            {
                "feature": row["feature"],
                "value": f"{row[key]:.0f}" if boosted else f"{row[key]:+.3f}",
                "interval": _span(row["low"], row["high"], digits=0 if boosted else 3),
                "kept": "–" if np.isnan(row["kept"]) else f"{100 * row['kept']:.0f} %",
            }
            for _, row in used.head(TOP).iterrows()
        ],
        "file": f"{'importances' if boosted else 'coefficients'}-{name}.csv",
    }


def _span(low: float, high: float, *, digits: int) -> str:
    if np.isnan(low) or np.isnan(high):
        return "–"
    sign = "+" if digits else ""
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def top_figure(name: str, table: pd.DataFrame, *, file: bool = False) -> str:
    """Return the features that count most, as bars with their intervals.

    Parameters
    ----------
    name
        The model.
    table
        Its features, the largest first.
    file
        As a separate SVG file rather than an element of the page.
    """
    key = "splits" if "splits" in table else "coefficient"
    top = table[table[key] != 0].head(TOP).iloc[::-1]
    values = top[key].to_numpy(float)
    with new_figure(size=(5.0, 0.9 + 0.2 * max(len(top), 3)), salt=f"top {name}") as figure:
        axes = figure.subplots()
        colour = [
            _MODELS[name][1] if key == "splits" else _OF_BOTH[int(np.sign(v))] for v in values
        ]
        places = np.arange(len(top))
        axes.barh(places, values, color=colour, height=0.72)
        low, high = (top[side].to_numpy(float) for side in ("low", "high"))
        known = np.isfinite(low) & np.isfinite(high)
        axes.hlines(places[known], low[known], high[known], color="#7b8794", linewidth=1.4)
        axes.set_yticks(places, [_shown(str(one)) for one in top["feature"]], fontsize=7.5)
        axes.set_ylim(len(top) - max(len(top), 3) - 0.6, len(top) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="splits" if key == "splits" else "log-odds for one standard deviation")
        if not len(top):
            axes.text(0.5, 0.5, "no feature is used", ha="center", transform=axes.transAxes)
        svg = page_svg(figure)
    return file_svg(svg) if file else svg


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _curves(curves: Curves, prevalence: float) -> str:
    with new_figure(size=(5.0, 3.9), salt="transfer curves") as figure:
        axes = figure.subplots()
        for name, (labels, scores) in curves.items():
            curve = pr_curve(labels, scores)
            x, y = thinned(curve.x, curve.y)
            axes.plot(x, y, color=_MODELS[name][1], linewidth=1.6, label=_MODELS[name][0])
        axes.axhline(
            prevalence, color="#7b8794", linestyle=":", label=f"guessing  {prevalence:.3f}"
        )
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        figure.legend(loc="outside lower center", ncols=2)
        return page_svg(figure)
