"""What a page beside the report shows of the results of a project: its table and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssldata.project.project_file import Project


@dataclass(frozen=True)
class ShownFigure:
    """A figure of the report.

    Attributes
    ----------
    title, words
        Its headline, and what it shows.
    svg
        A whole SVG file, dark on white.
    """

    title: str
    words: str
    svg: str


@dataclass(frozen=True)
class ShownResults:
    """Results of a project.

    Attributes
    ----------
    rows
        One per experiment, model and regime, baselines last: the columns of the table as texts.
    figures
        Precision against recall, one per experiment and model.
    """

    rows: list[dict[str, str]]
    figures: list[ShownFigure]


def shown_results(project: Project, run_folders: Sequence[Path]) -> ShownResults:
    """Read the results of a project from its run folders, as the report does.

    Parameters
    ----------
    project
        The project, whose baselines are shown too.
    run_folders
        Runs in the order of the report; those without an evaluation are left out.
    """
    from sslmodels.report.report_data import (
        by_output,
        read_baselines,
        read_run,
        summarise,
        with_resamples,
    )
    from sslmodels.report.report_page import curve_figures
    from sslmodels.report.svg_figures import file_svg

    problems: list[str] = []  # the report lists them
    runs = with_resamples(by_output(read_run(path, problems) for path in run_folders), problems)
    baselines = with_resamples(read_baselines(project, problems), problems)
    return ShownResults(
        rows=[_row(line) for line in [*summarise(runs), *summarise(baselines)]],
        figures=[
            ShownFigure(one["title"], one["alt"], _on_white(file_svg(str(one["svg"]))))
            for one in curve_figures(runs, baselines, problems)
        ],
    )


def _row(line: dict[str, Any]) -> dict[str, str]:
    """Return one line of results; a lone seed has no standard deviation, and is named as one."""
    mean, sd = line["aupr"] or (None, None)
    bounds = line["interval"]
    auroc, prevalence = ((line[key] or (None,))[0] for key in ("auroc", "prevalence"))
    notes = [f"{line['collapsed']} of {line['n']} collapsed"] if line["collapsed"] else []
    return {
        "experiment": line["experiment"],
        "model": line["model"],
        "regime": line["regime"],
        "seeds": ", ".join(str(seed) for seed, _ in line["auprs"]),
        "AUPR": _number(mean, 3),
        "95 % interval": "–" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}",
        "SD over seeds": _number(sd, 3),
        "AUROC": _number(auroc, 3),
        "prevalence": _number(prevalence, 4),
        "test positives": str(line["positives"] or "–"),
        "note": "; ".join(notes),
    }


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _on_white(svg: str) -> str:
    """Return an SVG file with a ground of its own: pages may be dark."""
    return svg.replace("<svg ", '<svg style="background:#fff" ', 1)
