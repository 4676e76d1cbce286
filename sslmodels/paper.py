"""The benchmark's report: tables and figures of the paper from a project's runs, and their CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ssldata.cache import write_text_atomic
from ssldata.config import Project
from ssldata.errors import InputError, MissingInputError
from sslmodels import benchmark
from sslmodels import benchmark_figures as figures
from sslmodels import benchmark_tables as tables
from sslmodels.report import REGIME_TEXTS, render_page
from sslmodels.report_figures import file_svg

#: Key of ``training.sweeps`` → file, title, axis, what the lines of a panel are, logarithmic.
_SWEEPS = {
    "nearest": (
        "figure_s2_genomes",
        "Number of genomes (Figures S2, S4)",
        "genomes, nearest first",
        "model",
        False,
    ),
    "labelled_peaks": (
        "figure_learning_curves",
        "Learning curves",
        "labelled loci",
        "regime",
        True,
    ),
    "iterations": (
        "figure_s6_iterations",
        "Iterations of the noisy student (Figure S6)",
        "iterations",
        "model",
        False,
    ),
    "noise_sd": (
        "figure_s6_noise",
        "Noise on the weights (Figure S6)",
        "SD of the noise",
        "model",
        False,
    ),
}


@dataclass(frozen=True)
class Figure:
    """A drawing, the numbers in it, and how the page calls it."""

    name: str
    title: str
    svg: str
    data: pd.DataFrame
    note: str = ""

    @property
    def width(self) -> int:
        """Pixels at which its text is as large as that of the page."""
        found = re.search(r'viewBox="0 0 ([0-9.]+)', self.svg)
        return 820 if found is None else round(1.3 * float(found[1]))


@dataclass(frozen=True)
class Table:
    """A table of the page and, under the same name, a CSV file."""

    name: str
    title: str
    shown: pd.DataFrame
    data: pd.DataFrame
    note: str = ""


def write_paper(folder: Path, *, project: Project, results: pd.DataFrame) -> Path:
    """Write the benchmark's page, and every table and figure as files.

    Parameters
    ----------
    folder
        Gets ``index.html``, ``runs.csv``, and for each table and figure a ``.csv``, figures a
        ``.svg`` too.
    project
        Whose stores are counted.
    results
        Of :func:`sslmodels.benchmark.collect`: the grid and the sweeps.

    Returns
    -------
    Path
        ``index.html``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "runs.csv", _csv(results))
    made_tables = list(_tables(project, results))
    made_figures = list(_figures(project, results))
    for table in made_tables:
        write_text_atomic(folder / f"{table.name}.csv", _csv(table.data))
    for figure in made_figures:
        write_text_atomic(folder / f"{figure.name}.csv", _csv(figure.data))
        write_text_atomic(folder / f"{figure.name}.svg", file_svg(figure.svg))
    of_grid = results[results["sweep"] == ""]
    values: dict[str, Any] = {
        "title": project.name,
        "reference": project.reference.name,
        "genomes": [genome.name for genome in project.genomes],
        "test": project.split.test,
        "runs": len(results),
        "seeds": len(set(of_grid["seed"])),
        "tables": [
            {"name": t.name, "title": t.title, "note": t.note, "html": Markup(_html(t.shown))}
            for t in made_tables
        ],
        "figures": [
            {
                "name": f.name,
                "title": f.title,
                "note": f.note,
                "svg": Markup(f.svg),
                "width": f.width,
            }
            for f in made_figures
        ],
        "regimes": [
            (name, text) for name, text in REGIME_TEXTS.items() if name in set(of_grid["regime"])
        ],
    }
    page = folder / "index.html"
    write_text_atomic(page, render_page("paper.html.j2", values))
    return page


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _html(table: pd.DataFrame) -> str:
    """Return a table of the page's style; its values are escaped."""
    return str(table.to_html(border=0, index=False, justify="left", na_rep="–"))


def _tables(project: Project, results: pd.DataFrame) -> Iterator[Table]:
    of_grid = results[results["sweep"] == ""]
    for metric, name, title in (
        ("aupr", "table_2_aupr", "AUPR (Table 2)"),
        ("auroc", "table_s2_auroc", "AUROC (Table S2)"),
    ):
        means = tables.means(of_grid, metric)
        note = "Mean ± standard deviation over seeds; the test set is every bin."
        yield Table(name, title, tables.wide(means).reset_index(), means, note)
        tests = tables.paired_tests(means)
        if len(tests):
            yield Table(
                name.replace("table", "tests"),
                f"Regimes compared across experiments, {metric.upper()}",
                _tests_shown(tests),
                tests,
                "Paired by experiment, means over seeds: Wilcoxon signed-rank test, two-sided, "
                "with Holm's correction over all lines.",
            )
    ensembles = benchmark.ensembles(results)
    if len(ensembles):
        shown = ensembles.assign(mean=ensembles["aupr"], sd=float("nan"))
        yield Table(
            "table_ensembles",
            "AUPR of ensembles of all seeds",
            tables.wide(shown).reset_index(),
            ensembles,
            "The scores of the seeds are averaged before they are ranked.",
        )
    if project.training.published is not None:
        beside = _published(project.training.published, tables.means(of_grid, "aupr"))
        yield Table(
            "table_published",
            "AUPR beside the published",
            beside.round(4),
            beside,
            f"Published: {project.training.published.name}; own: mean over seeds.",
        )
    counts = benchmark.counts(project)
    yield Table(
        "table_s1_counts",
        "Training positives by genome (Tables 1, S1)",
        tables.counts_wide(counts).reset_index(),
        counts,
        "Rows with label 1 of the training split; the labelled genome comes first.",
    )


def _published(path: Path, means: pd.DataFrame) -> pd.DataFrame:
    """Return the own means that have a published one, beside it.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        It is no such table.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; see training.published")
    columns = ["experiment", "model", "regime", "aupr"]
    table = pd.read_csv(path)
    if not set(columns) <= set(table.columns) or not pd.api.types.is_numeric_dtype(table["aupr"]):
        raise InputError(
            f"{path}: expected columns {', '.join(columns)} with numbers in the last, found "
            + ", ".join(map(str, table.columns))
        )
    own = means.rename(columns={"mean": "own"})[["experiment", "model", "regime", "own"]]
    return own.merge(table[columns].rename(columns={"aupr": "published"}), on=columns[:3])


def _tests_shown(tests: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": tests["model"],
            "regime": tests["regime_b"],
            "against": tests["regime_a"],
            "wins": [f"{r.wins_b} of {r.n}" for r in tests.itertuples()],
            "ratio of means": [f"{x:.2f} ×" for x in tests["ratio"]],
            "difference": [f"{x:+.4f}" for x in tests["difference"]],
            "p": [f"{x:.3g}" for x in tests["p"]],
            "p, corrected": [f"{x:.3g}" for x in tests["p_holm"]],
        }
    ).replace("nan", "–")


def _figures(project: Project, results: pd.DataFrame) -> Iterator[Figure]:
    counts = benchmark.counts(project)
    yield Figure(
        "figure_1_counts",
        "Labelled and pseudo-labelled positives (Table 1)",
        figures.count_bars(counts),
        counts,
    )
    of_grid = results[results["sweep"] == ""]
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
            "Of the means over seeds.",
        )
        if metric == "aupr":
            yield Figure(
                "figure_s3_gain",
                "Gain against the number of labelled positives (Figure S3)",
                figures.gain_by_positives(increases, metric=metric),
                increases,
                "Lines and r on the logarithms.",
            )
            yield Figure(
                "figure_s5_scatter",
                "AUPR against that of sl (Figure S5)",
                figures.scatter(increases, metric=metric),
                increases,
                "Least squares; the p value is that of the intercept.",
            )
    yield from _sweep_figures(results)


def _sweep_figures(results: pd.DataFrame) -> Iterator[Figure]:
    for key, (name, title, xlabel, by, log) in _SWEEPS.items():
        runs = results[results["sweep"] == key]
        if runs.empty:
            continue

        yield Figure(
            name,
            title,
            figures.series(runs, metric="aupr", x="value", xlabel=xlabel, by=by, log=log),
            runs[["experiment", "model", "regime", "seed", "value", "aupr", "auroc"]],
            "Mean over seeds, bars of one standard deviation.",
        )
