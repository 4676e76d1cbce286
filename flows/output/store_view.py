"""What `crosslabel store inspect` shows: genomes, rows, bytes, status, digests, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.output import tables
from ssldata.building.locate import find_place, names_project
from ssldata.store.published_weights import described, stale_groups
from ssldata.store.store import COMPLETE, REFERENCE, WRITING, YANKED, open_store

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Most groups of a project that get a line each; with more, every store gets one line.
_MANY_GROUPS = 60


def inspect(
    location: str, *, everything: bool = False
) -> tuple[list[dict[str, Any]], list[RenderableType]]:
    """Describe one store (a folder, a zip or an address), or all stores of a project.

    Parameters
    ----------
    location
        The store, or the project's file or folder.
    everything
        Show every genome of a project, however many there are.

    Returns
    -------
    tuple
        One JSON entry per store, and what to print.
    """
    places, missing = [location], []
    if names_project(Path(location)):
        found = find_place(Path(location))
        places, missing = [str(place) for place in found.stores], found.unbuilt
    stores = [_store(place) for place in places]
    if len(stores) > 1 and sum(len(held["groups"]) for held in stores) > _MANY_GROUPS:
        shown = [_overview(stores)] if not everything else []
    else:
        everything, shown = True, []
    for held in stores if everything else ():
        shown.append(_groups_table(held))
        reasons = ((group["genome"], group["yanked"]) for group in held["groups"])
        shown += [f"{genome} was yanked: {reason}" for genome, reason in reasons if reason]
        if held["weights"]:
            shown.append(_weights_table(held["weights"]))
    if not everything:
        shown.append("-v lists every genome")
    shown += [f"not built yet: {place}" for place in missing]
    return stores, shown


def _store(place: str) -> dict[str, Any]:
    """Return the description of one store."""
    store = open_store(place, unfinished=True)
    local = Path(place).is_dir()
    held = {REFERENCE: {"status": WRITING}, **store.ledger}
    ledger = sorted(held.items(), key=lambda item: (item[0] != REFERENCE, item[0]))
    return {
        "store": Path(place).stem,
        "path": place,
        "format_version": store.attributes["format_version"],
        "experiments": store.experiments,
        "digest": store.digest,
        "groups": [
            {
                "genome": tables.genome(name),
                "status": entry["status"],
                "rows": entry.get("rows"),
                "positives": _positives(entry),
                # Only in a folder can the size of one group be measured.
                "bytes": _folder_size(Path(place, name)) if local else None,
                "digest": entry.get("content"),
                "yanked": entry.get("yanked"),
            }
            for name, entry in ledger
        ],
        "weights": [
            {"name": name, **entry, "stale": stale_groups(store, name)}
            for name, entry in sorted(store.weights.items())
        ],
    }


def _overview(stores: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a line per store of a large project."""
    rows = []
    for held in stores:
        reference, *targets = held["groups"]
        complete = [group for group in targets if group["status"] == COMPLETE]
        others = [group for group in targets if group["status"] != COMPLETE]
        yanked = sum(group["status"] == YANKED for group in others)
        rows.append(
            (
                held["store"],
                held["digest"][:12],
                str(len(complete))
                + (f", {yanked} yanked" if yanked else "")
                + (f", {len(others) - yanked} unfinished" if len(others) > yanked else ""),
                tables.count(reference["positives"]),
                tables.count(sum(group["positives"] or 0 for group in complete)),
                tables.count(sum(group["rows"] or 0 for group in (reference, *complete))),
                tables.size(sum(group["bytes"] or 0 for group in held["groups"])),
            )
        )
    folder = Path(stores[0]["path"]).parent
    columns = ["store", "digest", "genomes", "positives", "homologous", "rows", "on disk"]
    return tables.table(f"{folder}: {len(stores)} stores", columns, rows, numbers=4)


def _groups_table(held: Mapping[str, Any]) -> RenderableType:
    experiments = ", ".join(held["experiments"])
    return tables.table(
        f"{held['path']} · {experiments} · digest {held['digest'][:12]}",
        ["genome", "status", "content", "rows", "positives", "on disk"],
        [
            (
                group["genome"],
                group["status"],
                (group["digest"] or "–")[:12],
                tables.count(group["rows"]),
                tables.count(group["positives"]),
                tables.size(group["bytes"]),
            )
            for group in held["groups"]
        ],
        numbers=3,
    )


def _weights_table(weights: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            entry["name"],
            described(entry),
            ", ".join(map(tables.genome, (g for g in entry["groups"] if g not in entry["stale"]))),
            ", ".join(map(tables.genome, entry["stale"])) or "–",
        )
        for entry in weights
    ]
    return tables.table("Published weights", ["name", "made by", "genomes", "stale"], rows)


def _positives(entry: Mapping[str, Any]) -> int | None:
    span = entry.get("ranges", {}).get("positive")
    return None if span is None else int(span[1] - span[0])


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
