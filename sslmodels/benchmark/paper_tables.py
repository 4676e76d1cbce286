"""Tables of the benchmark's report: as shown on the page, and the data of the CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ssldata.base.errors import InputError
from ssldata.base.text_file import real_number, table_rows
from ssldata.building.rough_plan import read_counts
from ssldata.project.project_file import Project
from sslmodels.benchmark import grid_results
from sslmodels.benchmark import statistics as tables
from sslmodels.scores.metrics import COLLAPSED_BELOW

#: Columns of one table; with more, each model has its own table.
_WIDE = 9


@dataclass(frozen=True)
class Table:
    """A table of the page and, under the same name, a CSV file.

    `parts` are its blocks on the page: a heading, which may be empty, and a table of text.
    """

    name: str
    title: str
    parts: list[tuple[str, pd.DataFrame]]
    data: pd.DataFrame
    note: str = ""


def paper_tables(project: Project, results: pd.DataFrame) -> Iterator[Table]:
    """Yield the tables of a benchmark.

    Parameters
    ----------
    project
        The project with the stores.
    results
        Of :func:`sslmodels.benchmark.grid_results.collect`; only the grid is used.
    """
    of_grid = results[results["sweep"] == ""]
    for metric, name, title in (
        ("aupr", "table_2_aupr", "AUPR (Table 2)"),
        ("auroc", "table_s2_auroc", "AUROC (Table S2)"),
    ):
        means = tables.means(of_grid, metric)
        note = "Mean ± standard deviation over seeds; the test set is every bin."
        parts, data = split_by_model(means), means
        if metric == "aupr":
            data = beside_chance(means, of_grid)
            parts = [(head, with_prevalence(shown, data)) for head, shown in parts]
            note += f" Prevalence: the AUPR of a random guess. {collapsed_note(of_grid)}"
        yield Table(name, title, parts, data, note)
        tests = tables.paired_tests(means)
        if len(tests):
            yield Table(
                name.replace("table", "tests"),
                f"Regimes compared across experiments, {metric.upper()}",
                [("", _tests_shown(tests))],
                tests,
                "Paired by experiment, means over seeds: Wilcoxon signed-rank test, two-sided, "
                f"with Holm's correction over all lines. {least_p_note(tests)}",
            )
    ensembles = grid_results.ensembles(results)
    if len(ensembles):
        shown = ensembles.assign(mean=ensembles["aupr"], sd=float("nan"))
        yield Table(
            "table_ensembles",
            "AUPR of ensembles of all seeds",
            split_by_model(shown),
            ensembles,
            "The scores of the seeds are averaged before they are ranked.",
        )
    if project.training.published is not None:
        beside = beside_published(project.training.published, tables.means(of_grid, "aupr"))
        yield Table(
            "table_published",
            "AUPR beside the published (Table 2)",
            [("", beside.round(4))],
            beside,
            f"Published: {project.training.published.name}; own: mean over seeds. Models and "
            "regimes that both have.",
        )
    counts = grid_results.counts(project)
    wide = tables.counts_wide(counts)
    total = totals(project, wide)
    yield Table(
        "table_1_counts",
        "Training positives (Table 1)",
        [("", _thousands(total.rename(columns=lambda name: name.replace("_", " "))))],
        total,
        "Rows with label 1 of the training split, of the labelled genome and of all others.",
    )
    by_genome = (
        wide if len(wide.columns) <= _WIDE else wide.T.rename_axis(index="genome", columns=None)
    )
    yield Table(
        "table_s1_counts",
        "Training positives by genome (Table S1)",
        [("", _thousands(by_genome.reset_index()))],
        counts,
        "Rows with label 1 of the training split; the labelled genome comes first.",
    )


def split_by_model(means: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return experiments × (model, regime) as one table, or one per model when it is wide."""
    whole = tables.wide(means).reset_index()
    if len(whole.columns) <= _WIDE:
        return [("", whole)]
    made = []
    for model, part in means.groupby("model", sort=False):
        shown = tables.wide(part).reset_index()
        shown.columns = [column.removeprefix(f"{model} ") for column in shown.columns]
        made.append((str(model), shown))
    return made


def beside_chance(means: pd.DataFrame, of_grid: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUPRs with test prevalence, lift, and the number of collapsed runs."""
    names = ["experiment", "model", "regime"]
    runs = of_grid.groupby(names, sort=False)
    chance = runs.agg(prevalence=("prevalence", "first"), collapsed=("collapsed", "sum"))
    made = means.merge(chance.reset_index(), on=names)
    made.insert(len(made.columns) - 1, "lift", made["mean"] / made["prevalence"])
    return made


def with_prevalence(shown: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Return a table of experiments with their prevalence; the line of means has its mean."""
    prevalence = data.drop_duplicates("experiment").set_index("experiment")["prevalence"]
    mean = prevalence[tables.common_experiments(data)].mean()
    made = shown.copy()
    made.insert(1, "prevalence", [f"{prevalence.get(e, mean):.2g}" for e in shown["experiment"]])
    return made


def collapsed_note(of_grid: pd.DataFrame) -> str:
    """Return a note on the number of collapsed runs."""
    count = int(of_grid["collapsed"].sum())
    if not count:
        return "No run collapsed."
    return (
        f"{count} of {len(of_grid)} runs collapsed (AUPR below {COLLAPSED_BELOW:g} × the "
        "prevalence); they stay in the means."
    )


def least_p_note(tests: pd.DataFrame) -> str:
    """Return a note on the smallest p value that this number of experiments allows."""
    # All differences of one sign: 2 of the 2^n equally likely patterns of signs.
    least = 2 / 2 ** float(tests["n"].max())
    corrected = min(1.0, least * int(tests["p"].notna().sum()))
    count = int(tests["n"].max())
    experiments = "experiment" if count == 1 else "experiments"
    return (
        f"From {count} {experiments} p cannot be below {min(1.0, least):.3g}, corrected "
        f"below {corrected:.3g}."
    )


def _thousands(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of counts as text; unknown counts are dashes."""

    def text(value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "–" if pd.isna(value) else f"{value:,.0f}"

    return table.map(text)


def totals(project: Project, wide: pd.DataFrame) -> pd.DataFrame:
    """Return labelled and pseudo-labelled positives by experiment, with the published ones."""
    made = pd.DataFrame({"positives": wide.iloc[:, 0], "pseudo_labelled": wide["pseudo-labelled"]})
    published = published_counts(project)
    if published is not None:
        made = made.join(published.add_prefix("published_"))
    return made.rename_axis("experiment").reset_index()


def published_counts(project: Project) -> pd.DataFrame | None:
    """Return the published positives and pseudo_labelled by experiment, if the project has them."""
    if project.training.published_counts is None:
        return None
    counts = read_counts(project.training.published_counts)
    return pd.DataFrame.from_dict(counts, orient="index", columns=["positives", "pseudo_labelled"])


def beside_published(path: Path, means: pd.DataFrame) -> pd.DataFrame:
    """Return the means that have a published value, with that value.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        A column is missing, or the AUPRs are not numbers.
    """
    columns = ["experiment", "model", "regime", "aupr"]
    rows = table_rows(path, separator=",", missing="no such file; see training.published")
    _, header = next(rows, (1, []))
    if not set(columns) <= set(header):
        raise InputError(
            f"{path}, line 1: expected columns {', '.join(columns)} with numbers in the last, "
            f"found {', '.join(header)}"
        )
    published: list[dict[str, Any]] = []
    for number, row in rows:
        values: dict[str, Any] = dict(zip(header, row, strict=False))
        try:
            values["aupr"] = real_number(values["aupr"], "aupr")
        except ValueError as exc:
            raise InputError(f"{path}, line {number}: {exc}") from None
        published.append(values)
    table = pd.DataFrame(published, columns=columns)
    own = means.rename(columns={"mean": "own"})[["experiment", "model", "regime", "own"]]
    return own.merge(table.rename(columns={"aupr": "published"}), on=columns[:3])


def _tests_shown(tests: pd.DataFrame) -> pd.DataFrame:
    """Return paired tests as text."""
    return pd.DataFrame(
        {
            "model": tests["model"],
            "regime": tests["regime_b"],
            "against": tests["regime_a"],
            "wins": [f"{r.wins_b} of {r.n}" for r in tests.itertuples()],
            "ratio of means": [f"{x:.2f} ×" for x in tests["ratio"]],
            "difference": [f"{x:+.4f}".replace("-", "−") for x in tests["difference"]],
            "p": [f"{x:.3g}" for x in tests["p"]],
            "p, corrected": [f"{x:.3g}" for x in tests["p_holm"]],
        }
    ).replace("nan", "–")
