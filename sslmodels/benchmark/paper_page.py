"""Report of the benchmark: the paper's tables and figures from a project's runs, with CSV files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project
from sslmodels.benchmark import benchmark_figures as figures
from sslmodels.benchmark import grid_results
from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.paper_tables import (
    beside_published,
    paper_tables,
    published_counts,
    totals,
)
from sslmodels.report.report_page import regime_texts, render_page
from sslmodels.report.svg_figures import file_svg
from sslmodels.runs import run_grid


@dataclass(frozen=True)
class _Series:
    """How a sweep is drawn: its key in ``training.sweeps``, title and axes."""

    key: str
    name: str
    title: str
    xlabel: str
    by: str = "model"
    metric: str = "aupr"
    log: bool = False
    note: str = ""


_SERIES = (
    _Series(
        "labelled_peaks",
        "figure_learning_curves",
        "Learning curves: AUPR against the number of labelled peaks",
        "labelled loci",
        by="regime",
        log=True,
        note="The last point: all loci.",
    ),
    _Series(
        "nearest",
        "figure_s2_genomes",
        "Number of genomes, AUPR of ssl (Figures S2, S4)",
        "genomes, nearest first",
        note="0 genomes: sl.",
    ),
    _Series(
        "nearest",
        "figure_s4_genomes_auroc",
        "Number of genomes, AUROC of ssl (Figures S2, S4)",
        "genomes, nearest first",
        metric="auroc",
        note="0 genomes: sl.",
    ),
    _Series(
        "iterations",
        "figure_s6_iterations",
        "Iterations of the noisy student, AUPR of ssl-ns (Figure S6)",
        "iterations k",
        note="0 iterations: ssl.",
    ),
    _Series(
        "noise_sd",
        "figure_s6_noise",
        "Noise on the weights, AUPR of ssl-ns (Figure S6)",
        "SD of the noise",
    ),
)

#: Regime of the grid that is the value 0 of a sweep.
_ZERO = {"nearest": "sl", "iterations": "ssl"}


@dataclass(frozen=True)
class Figure:
    """A drawing, its title on the page, and the data it shows; `lines` are the fitted ones."""

    name: str
    title: str
    svg: str
    data: pd.DataFrame
    note: str = ""
    lines: pd.DataFrame | None = None

    @property
    def width(self) -> int:
        """Width in pixels at which its text is as large as that of the page."""
        found = re.search(r'viewBox="0 0 ([0-9.]+)', self.svg)
        return 820 if found is None else round(1.3 * float(found[1]))


def write_paper(folder: Path, *, project: Project, results: pd.DataFrame) -> Path:
    """Write the benchmark's page, and every table and figure as files.

    Parameters
    ----------
    folder
        Gets ``index.html``, ``runs.csv``, a ``.csv`` for each table and figure, and a ``.svg`` for
        each figure; fitted lines are in ``<figure>_lines.csv``.
    project
        The project with the stores.
    results
        Of :func:`sslmodels.benchmark.grid_results.collect`: the grid and the sweeps.

    Returns
    -------
    Path
        ``index.html``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "runs.csv", _csv(results))
    made_tables = list(paper_tables(project, results))
    made_figures = list(_figures(project, results))
    for table in made_tables:
        write_text_atomic(folder / f"{table.name}.csv", _csv(table.data))
    for figure in made_figures:
        write_text_atomic(folder / f"{figure.name}.csv", _csv(figure.data))
        write_text_atomic(folder / f"{figure.name}.svg", file_svg(figure.svg))
        if figure.lines is not None:
            write_text_atomic(folder / f"{figure.name}_lines.csv", _csv(figure.lines))
    of_grid = results[results["sweep"] == ""]
    values: dict[str, Any] = {
        "title": project.name,
        "reference": project.reference.name,
        "genomes": [genome.name for genome in project.genomes],
        "test": project.split.test,
        "runs": len(results),
        "seeds": len(set(of_grid["seed"])),
        "tables": made_tables,
        "figures": made_figures,
        "regimes": regime_texts(of_grid["regime"]),
    }
    page = folder / "index.html"
    write_text_atomic(page, render_page("paper.html.j2", values))
    return page


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _figures(project: Project, results: pd.DataFrame) -> Iterator[Figure]:
    counts = grid_results.counts(project)
    published = published_counts(project)
    total = totals(project, tables.counts_wide(counts))
    yield Figure(
        "figure_1_counts",
        "Labelled and pseudo-labelled positives (Table 1)",
        figures.count_bars(counts, published),
        total,
        "Logarithmic." if published is None else "Logarithmic; lines: as published.",
    )
    if counts["genome"].nunique() > 1:
        yield Figure(
            "figure_1_genomes",
            "Pseudo-labelled rows per labelled row, by genome (Table S1)",
            figures.count_map(counts),
            counts,
            "Training positives of a genome over those of the labelled genome.",
        )
    of_grid = results[results["sweep"] == ""]
    seeds = f"means over seeds (n = {of_grid['seed'].nunique()})"
    if project.training.published is not None:
        beside = beside_published(project.training.published, tables.means(of_grid, "aupr"))
        if len(beside):
            yield Figure(
                "figure_published",
                "Own AUPR against the published (Table 2)",
                figures.against_published(beside),
                beside,
                f"One dot per experiment; own: {seeds}. Dotted: equal.",
            )
    for metric, bars in (("aupr", "figure_2_aupr_increase"), ("auroc", "figure_s1_auroc_increase")):
        increases = tables.increases(tables.means(of_grid, metric))
        if not len(increases):
            continue
        number = "2" if metric == "aupr" else "S1"
        yield Figure(
            bars,
            f"Increase of {metric.upper()} over sl (Figure {number})",
            figures.increase_bars(increases, metric=metric),
            increases,
            f"Of the {seeds}."
            + (
                " The scale is logarithmic beyond 20 %."
                if increases["percent"].max() > figures.WIDE
                else ""
            ),
        )
        if metric == "aupr":
            yield Figure(
                "figure_s3_gain",
                "Gain against the number of labelled positives (Figure S3)",
                figures.gain_by_positives(increases, metric=metric),
                increases,
                f"One dot per experiment, {seeds}; lines and r on the logarithms.",
                tables.lines(increases, x="labelled", y="ratio", log=True),
            )
            yield Figure(
                "figure_s5_scatter",
                "AUPR against that of sl (Figure S5)",
                figures.scatter(increases, metric=metric),
                increases,
                f"One dot per experiment, {seeds}; least squares, the p value is that of the "
                "intercept.",
                tables.lines(increases, x="base", y="mean", log=False),
            )
    yield from _sweep_figures(results)


def _sweep_figures(results: pd.DataFrame) -> Iterator[Figure]:
    of_grid = results[results["sweep"] == ""]
    for series in _SERIES:
        runs = results[results["sweep"] == series.key]
        if runs.empty:
            continue
        of_sweep = of_grid[
            of_grid["model"].isin(runs["model"]) & of_grid["experiment"].isin(runs["experiment"])
        ]
        if series.key in _ZERO:
            zero = of_sweep[of_sweep["regime"] == _ZERO[series.key]]
            runs = pd.concat([runs, zero.assign(value=0.0)])
        elif series.key == "labelled_peaks":
            whole = of_sweep[of_sweep["regime"].isin(runs["regime"])]
            whole = whole.assign(value=whole["loci"].astype(float))
            # A value of the sweep may be that of the grid: the same run.
            runs = pd.concat([runs, whole]).drop_duplicates([*run_grid.CELL, "value"])
        yield Figure(
            series.name,
            series.title,
            figures.series(
                runs,
                metric=series.metric,
                x="value",
                xlabel=series.xlabel,
                by=series.by,
                log=series.log,
            ),
            runs[["experiment", "model", "regime", "seed", "value", "aupr", "auroc"]],
            f"Mean over seeds, bars of one standard deviation. {series.note}".strip(),
        )
