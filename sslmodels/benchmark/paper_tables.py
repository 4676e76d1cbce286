"""Tables of the benchmark's report: as shown on the page, and the data of the CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ssldata.project.project_file import Project
from sslmodels.benchmark import grid_results, paired_tests, result_intervals
from sslmodels.benchmark import statistics as tables
from sslmodels.benchmark.published_values import (
    beside_published,
    published_counts,
    published_means,
    published_positives,
    read_published,
    with_published_increases,
)
from sslmodels.benchmark.table_text import (
    WIDE,
    Table,
    beside_text,
    crossed,
    least_p_note,
    p_texts,
    pair_names,
    percent_span_text,
    percent_text,
    ratio_texts,
    split_by_model,
    text_of_tests,
    thousands,
)
from sslmodels.runs.regime_table import BASELINE
from sslmodels.scores.metrics import COLLAPSED_BELOW


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
        resamples = result_intervals.resamples_of(of_grid, metric)
        means = tables.means(of_grid, metric)
        data = result_intervals.with_intervals(means, resamples)
        spans = result_intervals.average_intervals(
            tables.common_experiments(means), tables.methods_of(means), resamples
        )
        note = (
            f"{means_note(of_grid, resamples)} The test set is every bin. First places: "
            "experiments in which a column is the best of all."
        )
        parts = split_by_model(data, spans)
        if metric == "aupr":
            data = beside_chance(data, of_grid)
            parts = [(head, with_prevalence(shown, data)) for head, shown in parts]
            note += f" Prevalence: the AUPR of a random guess. {collapsed_note(of_grid)}"
        data = data.assign(first_place=tables.is_first(data).astype(int))
        data = data.rename(columns={"n": "seeds", "sd": "sd_over_seeds"})
        yield Table(name, title, parts, data, note)
        yield from _comparisons(name.replace("table", "tests"), metric.upper(), means)
        if metric == "aupr":
            yield from _against_baselines(means)
    ensembles = grid_results.ensembles(results)
    if len(ensembles):
        shown = ensembles.assign(mean=ensembles["aupr"], sd=float("nan"))
        yield Table(
            "table_ensembles",
            "AUPR of ensembles of all seeds",
            split_by_model(shown),
            ensembles,
            "The scores of the seeds are averaged before they are ranked. That is one ranking, no "
            "mean: it has no standard deviation. Intervals of the runs are in Table 2.",
        )
    yield from _increases(project, of_grid)
    yield from _published(project, of_grid)
    yield from _counts(project)


def _comparisons(name: str, metric: str, means: pd.DataFrame) -> Iterator[Table]:
    tests = paired_tests.paired_tests(means, paired_tests.comparisons(means))
    if not len(tests):
        return
    yield Table(
        name,
        f"Methods compared across experiments, {metric}",
        [("", text_of_tests(tests))],
        tests,
        f"Regimes of a model, and models with homologues against "
        f"{tables.method_name(tables.LARGE)} if the grid has it. {_TEST_NOTE} "
        f"{least_p_note(tests)}",
    )


_TEST_NOTE = (
    "Paired by experiment, means over seeds: Wilcoxon signed-rank test, two-sided, with Holm's "
    "correction over all lines. The ratio of means, with its 95 % bootstrap interval over "
    "experiments (from three on), and the difference leave out those in which a run of the method "
    "compared with collapsed; wins and p are of all. Intervals over test bins are in Table 2."
)


def _against_baselines(means: pd.DataFrame) -> Iterator[Table]:
    """Yield tests of every trained method against the best baseline, and against each."""
    trained = tables.trained_methods(means)
    baselines = [m for m in tables.methods_of(means) if m not in trained]
    if not (trained and baselines):
        return
    best = tables.with_best_baseline(means)
    tests = paired_tests.paired_tests(best, [(tables.BEST_BASELINE, m) for m in trained])
    yield Table(
        "tests_best_baseline",
        "Methods against the best baseline of each experiment, AUPR",
        [("", text_of_tests(tests))],
        tests,
        f"The baseline with the highest AUPR on the test bins themselves, which is kind to the "
        f"baselines. {_TEST_NOTE} {least_p_note(tests)}",
    )
    tests = paired_tests.paired_tests(means, [(b, m) for m in trained for b in baselines])
    yield Table(
        "tests_each_baseline",
        "Methods against each baseline, AUPR",
        [("", text_of_tests(tests))],
        tests,
        f"{_TEST_NOTE} {least_p_note(tests)}",
        folded=True,
    )


def own_increases(project: Project, of_grid: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the increases over sl of the grid, with the published ones beside them."""
    increases = result_intervals.increase_intervals(
        tables.increases(tables.means(of_grid, metric)),
        result_intervals.resamples_of(of_grid, metric),
        over=BASELINE,
    )
    return with_published_increases(
        increases, read_published(project), metric, positives=published_positives(project)
    )


def _increases(project: Project, of_grid: pd.DataFrame) -> Iterator[Table]:
    for metric, name, number in (
        ("aupr", "table_increase_aupr", "2"),
        ("auroc", "table_increase_auroc", "S1"),
    ):
        increases = own_increases(project, of_grid, metric)
        if not len(increases):
            continue
        published = increases["published_percent"].notna().any()
        note = (
            f"Of the means over seeds. –: a run of {BASELINE} collapsed, so there is no increase."
        )
        if increases["percent_low"].notna().any():
            note += " In brackets: 95 % interval over blocks of test bins."
        if published:
            note += (
                " Own / published where there is a published value; published percentages are "
                "computed from the rounded values of the table."
            )
        yield Table(
            name,
            f"Increase of {metric.upper()} over {BASELINE}, % (Figure {number})",
            crossed(
                increases,
                lambda r: (
                    beside_text(r.percent, r.published_percent, percent_text)
                    + percent_span_text(r.percent_low, r.percent_high)
                ),
            ),
            increases,
            note,
        )


def _published(project: Project, of_grid: pd.DataFrame) -> Iterator[Table]:
    published, path = read_published(project), project.training.published
    if published is None or path is None:
        return
    means = tables.means(of_grid, "aupr")
    beside = beside_published(published, means, "aupr")
    note = (
        f"Published: {path.name}; own: mean over seeds, with its interval in Table 2; published "
        "values have none. Models and regimes that both have."
    )
    if not len(beside):
        yield Table("table_published", _PUBLISHED, [], beside, f"{note} There are none.")
        return
    parts = crossed(beside, lambda r: beside_text(r.own, r.published, lambda value: f"{value:.4f}"))
    own, theirs = (
        tables.first_places(beside.rename(columns={column: "mean"}))
        for column in ("own", "published")
    )
    for head, shown in parts:
        methods = {
            tables.method_name(m) if not head else m[1]: m for m in own if head in ("", m[0])
        }
        places = [f"{own[methods[c]]} / {theirs[methods[c]]}" for c in shown.columns[1:]]
        shown.loc[len(shown)] = ["first places", *places]
    yield Table(
        "table_published",
        _PUBLISHED,
        parts,
        beside,
        f"Own / published. {note} First places among these, of experiments that have all of them.",
    )
    yield from _published_tests(published, means)


_PUBLISHED = "AUPR beside the published (Table 2)"


def _published_tests(published: pd.DataFrame, means: pd.DataFrame) -> Iterator[Table]:
    """Yield the comparisons that the published values allow, with the own ones beside them."""
    theirs = published_means(published, "aupr")
    pairs = paired_tests.comparisons(theirs)
    if not pairs:
        return
    methods = set(tables.methods_of(means))
    known = [(a, b) for a, b in pairs if {a, b} <= methods]
    keys = ["model_a", "regime_a", "model_b", "regime_b"]
    tests = paired_tests.paired_tests(theirs, pairs)
    own = paired_tests.paired_tests(means, known)
    both = tests.merge(own, on=keys, how="left", suffixes=("", "_own"))
    shown = pd.DataFrame(
        {
            **pair_names(both),
            "published wins": [f"{r['wins_b']} of {r['n']}" for r in both.to_dict("records")],
            "ratio of means": ratio_texts(both),
            "p": p_texts(both["p"]),
            "p, corrected": p_texts(both["p_holm"]),
            "own wins": [
                "–" if np.isnan(r["n_own"]) else f"{r['wins_b_own']:.0f} of {r['n_own']:.0f}"
                for r in both.to_dict("records")
            ],
            "own ratio": ratio_texts(both, "_own"),
            "own p": p_texts(both["p_own"]),
        }
    )
    yield Table(
        "tests_published",
        "Methods compared in the published values, AUPR",
        [("", shown)],
        both,
        "The tests of this page on the published means; own results beside them where the grid has "
        "both methods. Published values are rounded, so close ones may tie.",
    )


def _counts(project: Project) -> Iterator[Table]:
    counts = grid_results.counts(project)
    wide = tables.counts_wide(counts)
    total = totals(project, wide)
    factors = [name for name in total.columns if name.endswith("factor")]
    shown = thousands(total.drop(columns=factors))
    for name in factors:
        place = list(total.columns).index(name)
        text = ["–" if pd.isna(x) else f"{x:.1f} ×" for x in total[name]]
        shown.insert(place, name, text)
    yield Table(
        "table_1_counts",
        "Training positives (Table 1)",
        [("", shown.rename(columns=lambda name: name.replace("_", " ")))],
        total,
        "Rows with label 1 of the training split, of the labelled genome and of all others; "
        "factor: pseudo-labelled over labelled.",
    )
    by_genome = (
        wide if len(wide.columns) <= WIDE else wide.T.rename_axis(index="genome", columns=None)
    )
    yield Table(
        "table_s1_counts",
        "Training positives by genome (Table S1)",
        [("", thousands(by_genome.reset_index()))],
        counts,
        "Rows with label 1 of the training split; the labelled genome comes first.",
    )


def means_note(of_grid: pd.DataFrame, resamples: Mapping[Any, Any]) -> str:
    """Return what the numbers of a table of means are: of which seeds, with which intervals."""
    seeds = sorted(set(of_grid.loc[of_grid["model"] != tables.BASELINE_MODEL, "seed"]))
    named = ", ".join(str(seed) for seed in seeds)
    if len(seeds) == 1:
        note = f"One run of every cell (seed {named}), so there is no standard deviation."
    else:
        note = f"Mean ± standard deviation over {len(seeds)} seeds ({named})."
    if resamples:
        note += (
            " In brackets: 95 % interval of the mean, from a bootstrap over blocks of test bins; "
            "it does not cover the chance of training."
        )
    return note


def beside_chance(means: pd.DataFrame, of_grid: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUPRs with test prevalence, lift, and the number of collapsed runs."""
    names = ["experiment", "model", "regime"]
    chance = of_grid.groupby(names, sort=False).agg(prevalence=("prevalence", "first"))
    made = means.merge(chance.reset_index(), on=names)
    made["lift"] = made["mean"] / made["prevalence"]
    return made[[*(name for name in made if name != "collapsed"), "collapsed"]]


def with_prevalence(shown: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Return a table of experiments with their prevalence; the line of means has its mean."""
    prevalence = data.drop_duplicates("experiment").set_index("experiment")["prevalence"]
    mean = prevalence[tables.common_experiments(data)].mean()
    values = [prevalence.get(e, mean) for e in shown["experiment"]]
    made = shown.copy()
    made.insert(1, "prevalence", [f"{value:.2g}" for value in values])
    if "first places" in set(made["experiment"]):
        made.loc[made["experiment"] == "first places", "prevalence"] = "–"
    return made


def collapsed_note(of_grid: pd.DataFrame) -> str:
    """Return a note on the number of collapsed runs, each output of a run counting as one."""
    trained = of_grid[of_grid["model"] != tables.BASELINE_MODEL]
    count = int(trained["collapsed"].sum())
    what = "runs" if trained["run"].nunique() == len(trained) else "outputs of runs"
    if not count:
        return f"None of {len(trained)} {what} collapsed."
    return (
        f"{count} of {len(trained)} {what} collapsed (AUPR below {COLLAPSED_BELOW:g} × the "
        "prevalence); they stay in the means."
    )


def totals(project: Project, wide: pd.DataFrame) -> pd.DataFrame:
    """Return labelled and pseudo-labelled positives by experiment, with the published ones."""
    made = pd.DataFrame({"positives": wide.iloc[:, 0], "pseudo_labelled": wide["pseudo-labelled"]})
    made["factor"] = factor(made)
    published = published_counts(project)
    if published is not None:
        published["factor"] = factor(published)
        made = made.join(published.add_prefix("published_"))
    return made.rename_axis("experiment").reset_index()


def factor(counts: pd.DataFrame) -> pd.Series:
    """Return the pseudo-labelled over the labelled positives; NaN where none is labelled."""
    return counts["pseudo_labelled"] / counts["positives"].where(counts["positives"] > 0)
