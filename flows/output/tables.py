"""Tables of the command line, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

#: Colours of statuses; shown on terminals only.
_STYLES = {
    **dict.fromkeys(("complete", "built", "unchanged", "up to date"), "green"),
    **dict.fromkeys(("to do", "to finish", "writing"), "yellow"),
    "stale": "red",
}


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: int = 0
) -> Table:
    """Return a table.

    Parameters
    ----------
    title, columns
        Heading of the table and of its columns.
    rows
        Cells of each row, turned into text.
    numbers
        How many columns at the end are numbers, which are right-aligned.
    """
    # A title wider than the table stays on one line.
    heading = Text(title, style="table.title", no_wrap=True, overflow="ignore")
    made = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    first_number = len(columns) - numbers
    for index, column in enumerate(columns):
        made.add_column(
            column,
            justify="right" if index >= first_number else "left",
            no_wrap=index >= first_number,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def genome(group: str) -> str:
    """Return the name of the genome whose rows a group of a store holds."""
    return group.removeprefix("homologs/")


def size(amount: float | None) -> str:
    """Return a readable number of bytes: 1 kB = 1000 B."""
    if amount is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def count(amount: float | None) -> str:
    """Return a whole number with separated thousands, or a dash."""
    return "–" if amount is None else f"{amount:,.0f}"


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with one line per evaluated run and experiment; lift is AUPR over prevalence.

    The lines of a run with several outputs end with their mean.
    """
    from sslmodels.scores.metrics import by_experiment  # takes a second

    def number(value: Any, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return table(
        "Test set of the reference",
        ["experiment", "model", "regime", "seed", "AUPR", "AUROC", "prevalence", "lift"],
        [
            (
                row["experiment"],
                row["model"],
                row["regime"],
                row["seed"],
                number(row.get("aupr"), 3),
                number(row.get("auroc"), 3),
                number(row.get("prevalence"), 4),
                number(row.get("lift"), 1) + (" ×" if row.get("lift") is not None else ""),
            )
            for run in rows
            for row in [*by_experiment(run), *([_mean_line(run)] if "outputs" in run else [])]
        ],
        numbers=5,
    )


def motifs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with one line per motif of interpreted runs, and one where there is none."""
    lines = []
    for run in runs:
        for experiment, found in run["experiments"].items():
            cell = (experiment, run["model"], run["regime"], run["seed"])
            for motif in found["motifs"]:
                match = (motif["matches"] or [None])[0]
                lines.append(
                    (
                        *cell,
                        motif["consensus"],
                        f"{motif['positives'] / found['positives']:.0%}",
                        f"{motif['negatives'] / found['negatives']:.0%}",
                        f"{motif['effect']['mean']:+.2f}",
                        f"{match['label'] or match['name']}" if match else "–",
                        f"{match['q']:.1e}" if match else "–",
                    )
                )
            if not found["motifs"]:
                lines.append((*cell, "no motif", *("–" for _ in range(5))))
    columns = ["experiment", "model", "regime", "seed", "motif", "in positives", "in negatives"]
    return table("Motifs", [*columns, "effect", "best match", "its q"], lines)


def hot_spots_table(models: Sequence[Mapping[str, Any]], *, count: int = 5) -> Table:
    """Return a table of the motifs in hot spots: the leading `count` of each class and model."""
    lines = []
    for model in models:
        tested = [one for one in model["motifs"] if one["difference"] is not None]
        more = [one for one in tested if one["difference"] > 0][:count]
        less = [one for one in tested if one["difference"] < 0][-count:]
        for one in [*more, *less]:
            lines.append(
                (
                    model["title"],
                    one["label"] or one["name"],
                    one["rank"],
                    f"{one['share_1']:.1%}",
                    f"{one['share_0']:.1%}",
                    f"{one['difference']:+.3f}",
                    f"{one['low']:+.3f} to {one['high']:+.3f}",
                    f"{one['p']:.1e}",
                    f"{one['bonferroni']:.1e}",
                    f"{one['bh']:.1e}",
                )
            )
    columns = ["model", "motif", "rank", "class 1", "class 0", "difference", "95 %", "p"]
    title = "Motifs in hot spots: shares of sequences, the leading ones of each class"
    return table(title, [*columns, "Bonferroni", "BH"], lines, numbers=8)


def _mean_line(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "experiment": f"mean of {len(run['outputs'])}", "model": f"{run['model']} joint"}


def _cell(value: Any) -> Text:
    text = str(value)
    return Text(text, style=_STYLES.get(text, ""))
