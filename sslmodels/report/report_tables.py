"""Tables and tiles of the report: lines as the page shows them, rows as files have them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sslmodels.report.number_text import percent, span
from sslmodels.report.report_data import TopMotif
from sslmodels.report.report_gains import BEST_BASELINE, Gain, best_gain, ratio_interval
from sslmodels.report.report_stores import StoreView
from sslmodels.report.svg_figures import style_of
from sslmodels.runs.regime_table import BASELINE

#: Below this q value a known motif is named beside a found one.
MOTIF_NAMED_BELOW = 0.05


def result_lines(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add to every line of results its colour and where its dots lie on the common scale."""
    top = max((aupr for line in lines for _, aupr in line["auprs"]), default=1.0) or 1.0
    shown: list[dict[str, Any]] = []
    for line in lines:
        cell = (line["experiment"], line["model"])
        shown.append(
            {
                **line,
                "first": not shown or (shown[-1]["experiment"], shown[-1]["model"]) != cell,
                "colour": style_of(line["regime"])[0],
                "scale": top,
                "dots": [round(100 * aupr / top, 2) for _, aupr in line["auprs"]],
                "base": round(min(100.0, 100 * (line["prevalence"] or (0,))[0] / top), 2),
            }
        )
    return shown


def result_rows(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of results as a file has them."""
    rows = []
    for line in lines:
        row: dict[str, Any] = {
            "experiment": line["experiment"],
            "model": line["model"],
            "regime": line["regime"],
        }
        numbers = {key: line[key] for key in ("aupr", "auroc", "prevalence", "lift")}
        for key, pair in numbers.items():
            mean, sd = pair or (None, None)
            row |= {key: mean} if key == "prevalence" else {key: mean, f"{key}_sd": sd}
        for key, interval in (("aupr", "interval"), ("auroc", "auroc_interval")):
            low, high = line[interval] or (None, None)
            row |= {f"{key}_low": low, f"{key}_high": high}
        row |= {"runs": line["n"]}
        row |= {"seeds": " ".join(str(seed) for seed, _ in line["auprs"])}
        rows.append({**row, "collapsed": line["collapsed"], "test_positives": line["positives"]})
    return rows


def gain_rows(gains: Sequence[Gain]) -> list[dict[str, Any]]:
    """Return the gains as a file has them."""
    rows = []
    for gain in gains:
        for line in gain.lines + ([gain.mean] if gain.mean and len(gain.lines) > 1 else []):
            low, high = line.interval or (None, None)
            row: dict[str, Any] = {"model": gain.model, "regime": gain.regime, "over": line.over}
            row |= {"experiment": line.name}
            for key, value, ends in (
                ("aupr", line.aupr, line.aupr_interval),
                ("aupr_of_other", line.base, line.base_interval),
            ):
                first, last = ends or (None, None)
                row |= {key: value, f"{key}_low": first, f"{key}_high": last}
            rows.append({**row, "gain": line.ratio, "gain_low": low, "gain_high": high})
    return rows


def gain_tiles(gains: Sequence[Gain]) -> list[dict[str, str]]:
    """Return the gain of the best regime over its control, and over the best baseline."""
    tiles = []
    over_baseline = [gain for gain in gains if gain.over == BEST_BASELINE]
    for kind in ([gain for gain in gains if gain.over != BEST_BASELINE], over_baseline):
        gain = best_gain(kind)
        if gain is not None and gain.mean is not None:
            interval = span(gain.mean.interval, 2).lstrip()
            parts = (f"95 % {interval}" if interval else "", gain.note, gain.model)
            tiles.append(
                {
                    "label": f"{gain.regime} over {gain.over}",
                    "value": f"× {gain.mean.ratio:.2f}",
                    "note": "; ".join(part for part in parts if part),
                }
            )
    return tiles


def number_tiles(
    lines: Sequence[Mapping[str, Any]], stores: Sequence[StoreView], *, plain: bool
) -> list[dict[str, str]]:
    """Return the few numbers a reader looks for first; `plain`: with the gain over sl."""
    tiles = []
    if lines:
        best = max(lines, key=lambda line: line["aupr"][0])
        where = f"{best['experiment']}, {best['model']}, {best['regime']}"
        if best["interval"]:
            where = f"95 %{span(best['interval'], 3)}; {where}"
        tiles.append({"label": "Best AUPR", "value": f"{best['aupr'][0]:.3f}", "note": where})
        of_sl = [
            line
            for line in lines
            if line["regime"] == BASELINE
            and (line["experiment"], line["model"]) == (best["experiment"], best["model"])
        ]
        known = of_sl and of_sl[0]["aupr"][0] > 0 and not of_sl[0]["collapsed"]
        if plain and known and best["regime"] != BASELINE:
            gain = best["aupr"][0] / of_sl[0]["aupr"][0]
            ends = ratio_interval([(best["resamples"], of_sl[0]["resamples"])])
            note = f"over {BASELINE}, {best['experiment']} and {best['model']}"
            note = f"95 %{span(ends, 2)}; {note}" if ends else note
            tiles.append({"label": "Gain", "value": f"{gain:.2f} ×", "note": note})
    labelled = sum(g.rows.get("positive", 0) for s in stores for g in s.groups[:1])
    lifted = sum(g.rows.get("positive", 0) for s in stores for g in s.groups[1:])
    if labelled:
        of = f"in {len(stores)} store{'s' if len(stores) > 1 else ''}"
        tiles.append(
            {"label": "Labelled positives", "value": f"{labelled:,}", "note": f"training rows {of}"}
        )
        note = f"{lifted / labelled:.1f} × the labelled ones"
        tiles.append({"label": "Homologous positives", "value": f"{lifted:,}", "note": note})
    return tiles


def motif_tile(top: TopMotif, folder: Path) -> dict[str, str]:
    """Return the tile of the top motif of an experiment, with a link from a page in `folder`."""
    if not top.consensus:
        note = "nothing is more frequent in positive rows"
    elif top.match is None:
        note = f"in {percent(top.share)} of the positive rows"
    elif top.match_q is not None and top.match_q < MOTIF_NAMED_BELOW:
        note = f"like {top.match} (q {top.match_q:.1e}), in {percent(top.share)} of the positives"
    else:
        note = f"like no known motif, in {percent(top.share)} of the positive rows"
    tile = {
        "label": f"Top motif, {top.experiment}",
        "value": top.consensus or "none",
        "note": f"{note}; {top.run}",
        "href": page_link(top.page, folder),
    }
    if top.logo is not None:
        # As an image: nothing in it can run.
        tile["logo"] = f"data:image/svg+xml;base64,{base64.b64encode(top.logo).decode()}"
    return tile


def page_link(page: Path, folder: Path) -> str:
    """Return where a page lies relative to a folder: a project can be moved. Empty: nowhere."""
    if not page.is_file():
        return ""
    return quote(Path(os.path.relpath(page.resolve(), folder.resolve())).as_posix())
