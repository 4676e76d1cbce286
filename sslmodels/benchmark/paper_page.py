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
from sslmodels.benchmark import count_figures, grid_results, paired_tests, sweep_figures
from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.paper_tables import own_increases, paper_tables, totals
from sslmodels.benchmark.published_values import (
    beside_published,
    published_counts,
    read_published,
)
from sslmodels.benchmark.result_intervals import summary_lines
from sslmodels.report.report_findings import findings
from sslmodels.report.report_gains import leading_gains
from sslmodels.report.report_page import regime_texts, render_page
from sslmodels.report.svg_figures import file_svg
from sslmodels.runs.regime_table import BASELINE


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

    @property
    def least_width(self) -> int:
        """Width in pixels below which it is scrolled, because its text could not be read."""
        return round(0.6 * self.width)


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
    trained = results[results["model"] != tables.BASELINE_MODEL]
    lines, baselines = (
        summary_lines(of_grid[(of_grid["model"] == tables.BASELINE_MODEL) == of_baselines])
        for of_baselines in (False, True)
    )
    positives = {line["experiment"]: line["positives"] for line in lines}
    values: dict[str, Any] = {
        "findings": findings(lines, baselines, leading_gains(lines, baselines), positives),
        "title": project.name,
        "reference": project.reference.name,
        "genomes": [genome.name for genome in project.genomes],
        "test": project.split.test,
        "runs": trained["run"].nunique(),
        "seeds": trained["seed"].nunique(),
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
    yield from _count_figures(project)
    of_grid = results[results["sweep"] == ""]
    trained = of_grid[of_grid["model"] != tables.BASELINE_MODEL]
    seeds = f"means over seeds (n = {trained['seed'].nunique()})"
    means = tables.means(of_grid, "aupr")
    published = read_published(project)
    if published is not None:
        beside = beside_published(published, means, "aupr")
        if len(beside):
            yield Figure(
                "figure_published",
                "Own AUPR against the published (Table 2)",
                figures.against_published(beside),
                beside,
                f"One dot per experiment; own: {seeds}. Dotted: equal.",
            )
    for metric, name, number in (
        ("aupr", "figure_2_aupr_increase", "2"),
        ("auroc", "figure_s1_auroc_increase", "S1"),
    ):
        increases = own_increases(project, of_grid, metric)
        if len(increases):
            yield _increase_figure(increases, metric, name=name, number=number, seeds=seeds)
        if len(increases) and metric == "aupr":
            yield from _gain_figures(increases, seeds=seeds)
    yield from _method_figures(means, seeds=seeds)
    yield from _sweep_figures(project, results)


def _count_figures(project: Project) -> Iterator[Figure]:
    counts = grid_results.counts(project)
    published = published_counts(project)
    total = totals(project, tables.counts_wide(counts))
    yield Figure(
        "figure_1_counts",
        "Labelled and pseudo-labelled positives (Table 1)",
        count_figures.count_bars(counts, published),
        total,
        "Logarithmic." if published is None else "Logarithmic; lines: as published.",
    )
    if counts["genome"].nunique() > 1:
        yield Figure(
            "figure_1_genomes",
            "Pseudo-labelled rows per labelled row, by genome (Table S1)",
            count_figures.count_map(counts),
            counts,
            "Training positives of a genome over those of the labelled genome.",
        )


def _increase_figure(
    increases: pd.DataFrame, metric: str, *, name: str, number: str, seeds: str
) -> Figure:
    note = f"Of the {seeds}."
    if increases["base_collapsed"].any():
        note += f" Crosses: no increase over {BASELINE}, of which a run collapsed."
    if increases["published_percent"].notna().any():
        note += " Lines: from the published means, which are rounded."
    if increases[["percent", "published_percent"]].max().max() > figures.WIDE:
        note += " The scale is logarithmic beyond 20 %."
    return Figure(
        name,
        f"Increase of {metric.upper()} over {BASELINE} (Figure {number})",
        figures.increase_bars(increases, metric=metric),
        increases,
        note,
    )


def _gain_figures(increases: pd.DataFrame, *, seeds: str) -> Iterator[Figure]:
    own = tables.lines(increases, x="labelled", y="percent", log=True)
    theirs = tables.lines(increases, x="published_labelled", y="published_percent", log=True)
    note = "" if theirs.empty else " Open circles, broken lines: from the published tables."
    yield Figure(
        "figure_s3_gain",
        "AUPR increase against the number of labelled positives (Figure S3)",
        figures.gain_by_positives(increases, metric="aupr"),
        increases,
        f"One dot per experiment, {seeds}; lines and Pearson's r on the logarithms, which only "
        f"increases above 0 have.{note}",
        pd.concat([own.assign(source="own"), theirs.assign(source="published")]),
    )
    sound = increases[increases["base_collapsed"] == 0]
    yield Figure(
        "figure_s5_scatter",
        f"AUPR against that of {BASELINE} (Figure S5)",
        figures.scatter(increases, metric="aupr"),
        increases,
        f"One dot per experiment, {seeds}; least squares, the p value is that of the intercept. "
        "Dotted: equal.",
        tables.lines(sound, x="base", y="mean", log=False),
    )


def _method_figures(means: pd.DataFrame, *, seeds: str) -> Iterator[Figure]:
    """Yield scatter plots of the noisy student against ssl, and of both against the large model."""
    trained = tables.trained_methods(means)
    models = dict.fromkeys(model for model, _ in trained)
    pairs = [((m, "ssl"), (m, "ssl-ns")) for m in models]
    large = paired_tests.against_large(trained) if tables.LARGE in trained else []
    for name, title, chosen in (
        (
            "figure_s5_noisy_student",
            "AUPR of ssl-ns against that of ssl (Figure S5)",
            [(a, b) for a, b in pairs if {a, b} <= {*trained}],
        ),
        (
            "figure_s5_large",
            f"AUPR against that of {tables.method_name(tables.LARGE)} (Figure S5)",
            large,
        ),
    ):
        values = paired_tests.method_pairs(means, chosen)
        if len(values):
            yield Figure(
                name,
                title,
                figures.pair_scatter(
                    values, paired_tests.paired_tests(means, chosen), metric="aupr", salt=name
                ),
                values,
                f"One dot per experiment, {seeds}; higher: above the dotted line of equals; p: "
                "Wilcoxon signed-rank test, two-sided, not corrected for the other comparisons.",
            )


def _sweep_figures(project: Project, results: pd.DataFrame) -> Iterator[Figure]:
    columns = ["experiment", "model", "regime", "seed", "method", "value", "aupr", "auroc"]
    for sweep in sweep_figures.SWEEPS:
        rows = sweep_figures.sweep_rows(project, results, sweep.key)
        if sweep.key == "nearest":
            rows = rows[rows["model"] != tables.LARGE[0]]
        if rows.empty:
            continue
        yield Figure(
            sweep.name,
            sweep.title,
            sweep_figures.series(rows, sweep),
            rows[columns],
            f"{_points_note(rows)} {sweep.note}".strip(),
        )
    large = sweep_figures.of_large(sweep_figures.sweep_rows(project, results, "nearest"))
    if len(large):
        yield Figure(
            "figure_s4_genomes",
            f"{tables.LARGE[0]} with few and with all genomes, AUPR (Figure S4)",
            sweep_figures.genome_bars(large, metric="aupr"),
            large[[*columns, "genomes_used"]],
            f"{_points_note(large)} {_few_against_all(large)}".strip(),
        )


def _points_note(rows: pd.DataFrame) -> str:
    """Return what the points of a sweep are."""
    seeds = rows["seed"].nunique()
    if seeds == 1:
        return "One run for each point (1 seed)."
    return f"Means over {seeds} seeds, bars of one standard deviation over them."


def _few_against_all(large: pd.DataFrame) -> str:
    """Return a sentence on the fewest genomes of a sweep against all, across experiments."""
    swept = large[large["value"] > 0]
    fewest = min(set(swept["genomes_used"]) - {"all"}, key=float, default=None)
    if fewest is None:
        return ""
    chosen = swept[swept["genomes_used"].isin([fewest, "all"])]
    means = tables.means(chosen.assign(regime=chosen["genomes_used"]), "aupr")
    few, every = ((tables.LARGE[0], name) for name in (fewest, "all"))
    test = paired_tests.paired_tests(means, [(few, every)]).iloc[0]
    p = "no p" if pd.isna(test["p"]) else f"p = {test['p']:.3g}"
    return (
        f"All genomes against {fewest}: higher in {test['wins_b']} of {test['n']} experiments, "
        f"{p} (Wilcoxon signed-rank test, two-sided)."
    )
