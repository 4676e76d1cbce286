"""What a person sees of scored variants: counts by status, correlations, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from flows.output import tables

#: Contigs that a line names.
_NAMED = 10


def lines(value: Mapping[str, Any]) -> list[Table | str]:
    """Return what is printed of the JSON value of ``crosslabel variants``."""
    shown = _counts(value) if "status" in value else []
    return shown + (_correlations(value["observed"]) if "observed" in value else [])


def _counts(value: Mapping[str, Any]) -> list[Table | str]:
    rows = [
        (status.replace("_", " "), tables.count(count))
        for status, count in value["status"].items()
        if count
    ]
    title = f"{value['alleles']:,} alternative alleles in {value['rows']:,} rows"
    shown: list[Table | str] = [tables.table(title, ["status", "alleles"], rows, numbers=1)]
    renamed = [f"{name} = {own}" for name, own in value["contigs_renamed"].items()]
    for what, names in (("renamed", renamed), ("unknown", value["contigs_unknown"])):
        if names:
            more = ", …" if len(names) > _NAMED else ""
            shown.append(f"contigs {what}: {', '.join(names[:_NAMED])}{more}")
    if value["with_n"]:
        shown.append(f"{value['with_n']:,} of the scored alleles have N in their window")
    if value["other_factors"]:
        shown.append(f"{value['other_factors']:,} rows of other factors left out")
    if value["out"]:
        shown.append(f"wrote {value['out']}")
    if "index" in value:
        shown.append(f"index: {value['index']}")
    return shown


def _correlations(value: Mapping[str, Any]) -> list[Table | str]:
    rows = [
        (
            *(found[key] for key in ("experiment", "model", "regime")),
            tables.count(found["n"]),
            *_interval(found),
        )
        for found in value["correlations"]
    ]
    columns = ["experiment", "model", "regime", "variants", "Spearman", "95 %"]
    title = f"{value['rows']:,} rows, {value['variants']:,} variants with an observed imbalance"
    return [
        tables.table(title, columns, rows, numbers=3),
        f"points, correlations and figures: {value['folder']}",
    ]


def _interval(found: Mapping[str, Any]) -> tuple[str, str]:
    if found["spearman"] is None:
        return "–", "–"
    return f"{found['spearman']:.3f}", f"{found['low']:.3f} … {found['high']:.3f}"
