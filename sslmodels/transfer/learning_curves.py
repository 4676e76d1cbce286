"""Methods compared by the number of labelled examples: table, figure, differences, one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from sslmodels.report.report_page import render_page
from sslmodels.report.svg_figures import file_svg, new_figure, page_svg
from sslmodels.scores.metric_intervals import interval

Floats = NDArray[np.float64]
#: Task, number of labelled positives, method.
Place = tuple[str, int, str]

#: Colours of methods, in their order.
_COLOURS = ("#1f83c9", "#3f9a4d", "#8f6bc9", "#d65f5f", "#d98a00", "#56636f")
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class LearningCurves:
    """Results of several methods on the same labelled examples.

    Attributes
    ----------
    results
        One row per task, labelled (positives), method and seed, with its aupr, prevalence and
        test_positives.
    resamples
        AUPR of resamples of the test set (seeds, resamples), by task, labelled and method. Of one
        task they are the same resamples for all methods.
    methods
        Method → its title, in the order of the page.
    ours, theirs
        The two methods whose difference the page puts into words; chosen before the results.
    """

    results: pd.DataFrame
    resamples: Mapping[Place, Floats]
    methods: Mapping[str, str]
    ours: str
    theirs: str

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the results."""
        return list(dict.fromkeys(self.results["task"]))

    def counts(self, task: str) -> list[int]:
        """Return the numbers of labelled positives of a task, ascending."""
        of = self.results["task"] == task
        return sorted({int(count) for count in self.results.loc[of, "labelled"]})


def mean_over_seeds(values: Floats) -> Floats:
    """Return the mean over seeds of every resample (resamples,), for values (seeds, resamples).

    Seeds are drawn with replacement, too: equal draws for everything of equally many seeds, so
    that methods which share labelled examples of a seed are compared on them.
    """
    seeds, resamples = values.shape
    drawn = np.random.default_rng(_SEED).integers(0, seeds, (seeds, resamples))
    return np.asarray(np.take_along_axis(values, drawn, axis=0).mean(axis=0))


def curve_table(curves: LearningCurves) -> pd.DataFrame:
    """Return one line per task, labelled and method: mean AUPR, SD over seeds, 95 % interval."""
    lines = []
    for task in curves.tasks:
        for count in curves.counts(task):
            for method in curves.methods:
                aupr = _aupr(curves, task, count, method)
                span = interval(mean_over_seeds(curves.resamples[task, count, method]))
                low, high = span or (np.nan, np.nan)
                lines.append(
                    {
                        "task": task,
                        "labelled": count,
                        "method": method,
                        "seeds": len(aupr),
                        "aupr": float(aupr.mean()),
                        "sd": float(aupr.std(ddof=1)) if len(aupr) > 1 else np.nan,
                        "low": low,
                        "high": high,
                    }
                )
    return pd.DataFrame(lines)


def difference_table(curves: LearningCurves, ours: str, theirs: str) -> pd.DataFrame:
    """Return how far one method is ahead of another, by task and labelled, with 95 % intervals.

    Parameters
    ----------
    curves
        The results.
    ours, theirs
        The methods; the difference is AUPR of `ours` − AUPR of `theirs`.
    """
    lines = []
    for task in curves.tasks:
        for count in curves.counts(task):
            pair = [mean_over_seeds(curves.resamples[task, count, of]) for of in (ours, theirs)]
            means = [_aupr(curves, task, count, of).mean() for of in (ours, theirs)]
            low, high = interval(pair[0] - pair[1]) or (np.nan, np.nan)
            lines.append(
                {
                    "task": task,
                    "labelled": count,
                    "difference": float(means[0] - means[1]),
                    "low": low,
                    "high": high,
                    "verdict": "ahead" if low > 0 else "behind" if high < 0 else "undecided",
                }
            )
    return pd.DataFrame(lines)


def _aupr(curves: LearningCurves, task: str, count: int, method: str) -> pd.Series:
    found = curves.results
    of = (found["task"] == task) & (found["labelled"] == count) & (found["method"] == method)
    return found.loc[of, "aupr"]


def in_words(curves: LearningCurves) -> dict[str, str]:
    """Return for every task where the one method is ahead of the other, and where it stops to be.

    Ahead, or behind, is said only where the interval of the difference excludes 0.
    """
    table = difference_table(curves, curves.ours, curves.theirs)
    ours, theirs = (f"“{curves.methods[name]}”" for name in (curves.ours, curves.theirs))
    said = {}
    for task, lines in table.groupby("task", sort=False):
        at = {v: list(lines.loc[lines["verdict"] == v, "labelled"]) for v in set(lines["verdict"])}
        parts = []
        if "ahead" in at:
            parts.append(f"{ours} is ahead of {theirs} with {_listed(at['ahead'])}")
        if "undecided" in at:
            parts.append(f"nothing can be said with {_listed(at['undecided'])}")
        if "behind" in at:
            parts.append(f"{theirs} is ahead with {_listed(at['behind'])}")
        said[str(task)] = f"{'; '.join(parts)} labelled positives."
    return said


def _listed(numbers: Sequence[int]) -> str:
    text = [f"{number:,}" for number in numbers]
    return text[0] if len(text) == 1 else f"{', '.join(text[:-1])} and {text[-1]}"


def curve_figure(curves: LearningCurves, *, task: str | None = None, file: bool = False) -> str:
    """Return AUPR against labelled positives, a panel per task, a line with intervals per method.

    Parameters
    ----------
    curves
        The results.
    task
        Only this one; default: all, side by side.
    file
        As a separate SVG file rather than an element of the page.
    """
    table = curve_table(curves)
    tasks = curves.tasks if task is None else [task]
    size = (0.6 + 4.4 * len(tasks), 4.3)
    with new_figure(size=size, salt=f"learning curves {' '.join(tasks)}") as figure:
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for axes, shown in zip(panels, tasks, strict=True):
            counts = curves.counts(shown)
            for number, (method, title) in enumerate(curves.methods.items()):
                one = table[(table["task"] == shown) & (table["method"] == method)]
                # Side by side, so that no interval hides another.
                x = one["labelled"] * 1.035 ** (number - (len(curves.methods) - 1) / 2)
                colour = _COLOURS[number % len(_COLOURS)]
                axes.vlines(x, one["low"], one["high"], color=colour, linewidth=1.2, alpha=0.6)
                axes.plot(x, one["aupr"], color=colour, marker="o", markersize=4, label=title)
            of = curves.results[curves.results["task"] == shown]
            axes.axhline(of["prevalence"].iloc[0], color="#7b8794", linestyle=":", label="guessing")
            axes.set_xscale("log")
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set(
                title=shown if len(tasks) > 1 else "", xlabel="labelled positives", ylabel="AUPR"
            )
        handles, titles = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, titles, loc="outside lower center", ncols=2 if len(tasks) == 1 else 3
        )
        svg = page_svg(figure)
    return file_svg(svg) if file else svg


def learning_curve_page(
    curves: LearningCurves, *, title: str, lead: str, details: Mapping[str, str]
) -> str:
    """Return the page as HTML that loads nothing from elsewhere.

    Parameters
    ----------
    curves
        The results.
    title, lead
        Headline, and what was asked and done.
    details
        What else should be known of the methods, by name.
    """
    table = curve_table(curves)
    other = [name for name in curves.methods if name != curves.ours]
    compared = {name: difference_table(curves, curves.ours, name) for name in other}
    words = in_words(curves)
    tasks: list[dict[str, Any]] = []
    for task in curves.tasks:
        of = curves.results[curves.results["task"] == task].iloc[0]
        lines = []
        for count in curves.counts(task):
            here = table[(table["task"] == task) & (table["labelled"] == count)]
            lines.append(
                {
                    "labelled": f"{count:,}",
                    "values": [
                        {"mean": f"{row.aupr:.3f}", "span": f"[{row.low:.3f}, {row.high:.3f}]"}
                        for row in here.itertuples()
                    ],
                    "differences": [
                        {"verdict": row["verdict"], "text": _difference(row)}
                        for name in other
                        for row in _at(compared[name], task, count).to_dict("records")
                    ],
                }
            )
        tasks.append(
            {
                "name": task,
                "words": words[task],
                "figure": Markup(curve_figure(curves, task=task)),
                "positives": f"{of['test_positives']:,}",
                "prevalence": f"{of['prevalence']:.4f}",
                "lines": lines,
            }
        )
    return render_page(
        "learning_curves.html.j2",
        {
            "title": title,
            "lead": lead,
            "tasks": tasks,
            "methods": list(curves.methods.values()),
            "colours": _COLOURS,
            "ours": curves.methods[curves.ours],
            "theirs": curves.methods[curves.theirs],
            "others": [curves.methods[name] for name in other],
            "seeds": int(table["seeds"].max()),
            "details": details,
        },
    )


def _at(table: pd.DataFrame, task: str, count: int) -> pd.DataFrame:
    return table[(table["task"] == task) & (table["labelled"] == count)]


def _difference(row: Mapping[Any, Any]) -> str:
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
