"""Tables as a page shows them: text, folded and split so that they fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sslmodels.benchmark import statistics as tables

#: Columns of one table; with more, each model has its own table.
WIDE = 9


@dataclass(frozen=True)
class Table:
    """A table of the page and, under the same name, a CSV file.

    `parts` are its blocks on the page: a heading, which may be empty, and a table of text. A
    `folded` one is opened by the reader.
    """

    name: str
    title: str
    parts: list[tuple[str, pd.DataFrame]]
    data: pd.DataFrame
    note: str = ""
    folded: bool = False


def split_by_model(
    means: pd.DataFrame, spans: Mapping[tables.Method, tuple[float, float]] | None = None
) -> list[tuple[str, pd.DataFrame]]:
    """Return experiments × methods as one table, or one per model when it is wide.

    Averages and first places are of all methods, whatever their table.

    Parameters
    ----------
    means
        Of :func:`sslmodels.benchmark.statistics.means`, with columns low and high if known.
    spans
        Intervals of the averages, if known.
    """
    whole = tables.wide(means, spans=spans).reset_index()
    if len(whole.columns) <= WIDE:
        return [("", whole)]
    made = []
    for model, part in means.groupby("model", sort=False):
        shown = tables.wide(part, whole=means, spans=spans).reset_index()
        shown.columns = [column.removeprefix(f"{model} ") for column in shown.columns]
        made.append((str(model), shown))
    return made


def percent_text(value: float) -> str:
    """Return a percentage with its sign: one decimal below ten."""
    digits = 1 if abs(value) < 10 else 0
    return f"{value:+,.{digits}f}".replace("-", "−")


def percent_span_text(low: float, high: float) -> str:
    """Return the interval of a percentage as the second line of a cell; "" where it is unknown."""
    return "" if np.isnan(low) else f"\n[{percent_text(low)}, {percent_text(high)}]"


def beside_text(own: float, published: float, text: Callable[[float], str]) -> str:
    """Return own and published value as text; what is not known is a dash or left out."""
    shown = "–" if np.isnan(own) else text(own)
    return shown if np.isnan(published) else f"{shown} / {text(published)}"


def crossed(table: pd.DataFrame, text: Callable[[Any], str]) -> list[tuple[str, pd.DataFrame]]:
    """Return experiments × methods, with a text for every row; one table per model when wide."""
    methods = tables.methods_of(table)
    lines: dict[str, dict[tables.Method, str]] = {}
    for row in table.itertuples():
        line = lines.setdefault(str(row.experiment), {})
        line[str(row.model), str(row.regime)] = text(row)
    whole = {m: [line.get(m, "–") for line in lines.values()] for m in methods}
    first = {"experiment": list(lines)}
    if len(methods) < WIDE:
        named = {tables.method_name(method): cells for method, cells in whole.items()}
        return [("", pd.DataFrame({**first, **named}))]
    models = dict.fromkeys(model for model, _ in methods)
    return [
        (model, pd.DataFrame({**first, **{r: c for (m, r), c in whole.items() if m == model}}))
        for model in models
    ]


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


def text_of_tests(tests: pd.DataFrame) -> pd.DataFrame:
    """Return paired tests as text."""
    rows = tests.to_dict("records")
    return pd.DataFrame(
        {
            **pair_names(tests),
            "wins": [f"{r['wins_b']} of {r['n']}" for r in rows],
            "ratio of means": ratio_texts(tests),
            "difference": [difference_text(r["difference"]) for r in rows],
            "p": p_texts(tests["p"]),
            "p, corrected": p_texts(tests["p_holm"]),
        }
    )


def pair_names(tests: pd.DataFrame) -> dict[str, list[str]]:
    """Return what was compared, and against what, as columns of text."""
    rows = tests.to_dict("records")
    return {
        "method": [tables.method_name((r["model_b"], r["regime_b"])) for r in rows],
        "against": [tables.method_name((r["model_a"], r["regime_a"])) for r in rows],
    }


def difference_text(value: float) -> str:
    """Return a difference with its sign, or a dash where it is unknown."""
    return "–" if np.isnan(value) else f"{value:+.4f}".replace("-", "−")


def p_texts(values: pd.Series) -> list[str]:
    """Return p values; unknown ones are dashes."""
    return ["–" if np.isnan(p) else f"{p:.3g}" for p in values.to_numpy(float)]


def ratio_texts(tests: pd.DataFrame, suffix: str = "") -> list[str]:
    """Return the ratios of paired tests with their intervals, as far as known."""
    columns = [f"{name}{suffix}" for name in ("ratio", "ratio_low", "ratio_high")]
    made = []
    for value, low, high in tests[columns].to_numpy(float):
        interval = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        made.append("–" if np.isnan(value) else f"{value:.2f} ×{interval}")
    return made


def thousands(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of counts as text; unknown counts are dashes."""

    def text(value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "–" if pd.isna(value) else f"{value:,.0f}"

    return table.map(text)
