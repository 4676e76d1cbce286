"""What the report shows of stores: ledger, rows and liftover, read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import CrosslabelError
from ssldata.project.project_file import Project
from ssldata.store.store import HOMOLOGUES, REFERENCE, RowGroup, open_store
from sslmodels.report.number_text import percent
from sslmodels.report.report_terms import STATUS_TEXTS, status_name
from sslmodels.report.saved_data import saved_csv
from sslmodels.runs.training_rows import in_order, label_column

#: Colours of the liftover statuses, in the order they are stacked.
STATUS_COLOURS = {
    "mapped": "#2a9d8f",
    "deleted": "#8d99a6",
    "partial": "#e3b341",
    "split": "#ee8f4a",
    "duplicated": "#d65f5f",
    "distant": "#8f6bc9",
    "multi_contig": "#4a7fb5",
    "invalid": "#5b4b49",
    "not_reciprocal": "#b5739d",
    "summit_lost": "#a0a83d",
}


@dataclass
class GroupRows:
    """Rows of one group of a store.

    Attributes
    ----------
    name
        Name of the genome.
    status
        Status in the ledger.
    rows
        ``positive``, ``negative``, ``validation``, ``test`` → number of rows.
    size
        Bytes on disk.
    digest
        Digest of the content.
    liftover
        Status → number of positive source intervals; empty for the reference.
    aligned, identity
        Means over the rows of the aligned share of the source interval and of the identity; None:
        unknown.
    """

    name: str
    status: str
    rows: dict[str, int] = field(default_factory=dict)
    size: int = 0
    digest: str = ""
    liftover: dict[str, int] = field(default_factory=dict)
    aligned: float | None = None
    identity: float | None = None


@dataclass
class StoreView:
    """One store: its name, path, digest and groups, reference first.

    `test_positives` is the number of positive test bins by experiment.
    """

    name: str
    path: Path
    digest: str = ""
    sources: int | None = None
    groups: list[GroupRows] = field(default_factory=list)
    test_positives: dict[str, int] = field(default_factory=dict)


def read_stores(project: Project, problems: list[str]) -> list[StoreView]:
    """Read the ledger, the row counts and the liftover statuses of every store of a project."""
    paths = dict.fromkeys(project.store_path(e.name) for e in project.experiments)
    return [_read_store(path, project, problems) for path in paths]


def _read_store(path: Path, project: Project, problems: list[str]) -> StoreView:
    view = StoreView(name=path.stem, path=path)
    genomes = [genome.name for genome in project.genomes]
    order = [REFERENCE, *(f"{HOMOLOGUES}/{name}" for name in genomes)]
    try:
        store = open_store(path)
        view.digest = store.digest
        for name in in_order(store.ledger, order):
            entry = store.ledger[name]
            group = GroupRows(
                name=project.reference.name
                if name == REFERENCE
                else name.removeprefix(f"{HOMOLOGUES}/"),
                status=str(entry["status"]),
                digest=str(entry.get("content", "")),
                size=folder_size(path / name),
            )
            view.groups.append(group)
            if group.status != "complete":
                problems.append(f"{path.name}: {name} is not complete ({group.status})")
                continue
            rows = store.group(name)
            group.rows = {key: end - first for key, (first, end) in rows.ranges.items()}
            if name == REFERENCE:
                first, end = rows.ranges["test"]
                for experiment in (e.name for e in project.experiments):
                    here = project.store_path(experiment) == path
                    if here and experiment in store.experiments:
                        column = label_column(store, experiment)
                        labels = rows.column("label")[first:end, column]
                        view.test_positives[experiment] = int((labels == 1).sum())
            else:
                group.liftover = {key: int(n) for key, n in entry.get("liftover", {}).items()}
                group.aligned = _mean_of(rows, "aligned_fraction")
                group.identity = _mean_of(rows, "identity")
                view.sources = sum(group.liftover.values())
    except (CrosslabelError, KeyError) as exc:
        problems.append(str(exc))
    return view


def _mean_of(rows: RowGroup, column: str) -> float | None:
    values = np.asarray(rows.column(column), dtype=np.float64)
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def store_lines(store: StoreView) -> dict[str, Any]:
    """Return what the page shows of one store."""
    used = {key for group in store.groups for key in group.liftover}
    statuses = [key for key in STATUS_COLOURS if key in used]
    lifted: list[dict[str, Any]] = []
    for group in store.groups:
        total = sum(group.liftover.values())
        if not total:
            continue
        parts = [
            {
                "name": status_name(key),
                "count": f"{group.liftover[key]:,}",
                "colour": STATUS_COLOURS[key],
                "width": round(100 * group.liftover[key] / total, 3),
            }
            for key in statuses
            if group.liftover.get(key)
        ]
        share = percent(group.liftover.get("mapped", 0) / total)
        lifted.append(
            {"name": group.name, "liftover": group.liftover, "parts": parts, "mapped_share": share}
        )
    return {
        "name": store.name,
        "path": store.path,
        "saved": [
            saved_csv(
                f"liftover_{store.name}",
                [{"genome": group["name"], **group["liftover"]} for group in lifted],
            )
        ],
        "saved_rows": saved_csv(
            f"rows_{store.name}",
            [
                {"genome": group.name, "status": group.status, **group.rows}
                | {"aligned": group.aligned, "identity": group.identity, "bytes": group.size}
                | {"content": group.digest}
                for group in store.groups
            ],
        ),
        "digest": store.digest,
        "sources": store.sources,
        "groups": store.groups,
        "lifted": lifted,
        "statuses": [
            {
                "key": key,
                "name": status_name(key),
                "colour": STATUS_COLOURS[key],
                "text": STATUS_TEXTS[status_name(key)],
            }
            for key in statuses
        ],
    }
