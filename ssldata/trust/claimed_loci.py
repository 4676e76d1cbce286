"""Places of a target genome that sources of two splits are lifted to: paralogues, overlaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray
from ssldata.liftover.lift_result import Status
from ssldata.rows.intervals import Intervals, merge
from ssldata.rows.splits import TEST, TRAIN, VALIDATION
from ssldata.rows.windows import by_contig, touches
from ssldata.store.store import REFERENCE, RowGroup, Store
from ssldata.trust.findings import Finding, FindingTable, Mark
from ssldata.trust.split_proof import SourceSplits

_COLUMNS = (
    *("genome", "places", "of two splits", "training on test", "on validation"),
    *("on held-out sources", "dropped by the build"),
)


def on_any(windows: Intervals, others: Intervals) -> BoolArray:
    """Return which windows share a base with any of the others."""
    union = merge(others)
    runs = {contig: union.take(here) for contig, here in by_contig(union.contig)}
    result = np.zeros(len(windows), bool)
    for contig, here in by_contig(windows.contig):
        if contig in runs:
            on = runs[contig]
            result[here] = touches(windows.start[here], windows.end[here], on.start, on.end)
    return result


def claimed(places: Intervals, split: NDArray[np.int8]) -> tuple[int, int]:
    """Return the number of places that intervals cover, and of those with two splits.

    Intervals that share a base are one place.
    """
    order = np.lexsort((places.start, places.contig))
    first, splits = 0, 0
    for contig, here in by_contig(places.contig[order]):
        del contig
        some = places.take(order[here])
        reach = np.maximum.accumulate(some.end)
        opens = np.flatnonzero(np.append(True, some.start[1:] >= reach[:-1]))
        bits = np.bitwise_or.reduceat(1 << split[order[here]].astype(np.int64), opens)
        first += len(opens)
        splits += int((bits & (bits - 1) > 0).sum())
    return first, splits


def stored_windows(rows: RowGroup) -> Intervals:
    """Return what the rows of a group store: their bins with the context."""
    pad = (rows.length - int(rows.attributes()["bin_size"])) // 2
    contig, start, end = (rows.column(key) for key in ("contig", "start", "end"))
    return Intervals(contig, start - pad, end + pad)


def claimed_loci_finding(store: Store, splits: SourceSplits | None) -> Finding:
    """Check that no training row shares bases with held-out rows or sources of its genome.

    Parameters
    ----------
    store
        The store.
    splits
        The proven splits of its sources; None, and where nothing is proven: those stored.
    """
    sources = store.sources()
    of_source = sources["split"]
    if splits is not None:
        of_source = np.where(splits.of_sources.certain, splits.of_sources.split, of_source)
    lines: list[tuple[str | int, ...]] = []
    totals = np.zeros(6, np.int64)
    near_validation = 0
    for name in (REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)):
        rows = store.group(name)
        windows, split = stored_windows(rows), rows.column("split")
        train = windows.take(split == TRAIN)
        held = [on_any(train, windows.take(split == one)) for one in (TEST, VALIDATION)]
        if name == REFERENCE:
            mapped = np.ones(len(of_source), bool)
            lifted = Intervals(*(sources[key] for key in ("contig", "start", "end")))
            near_validation = int(held[1].sum())
        else:
            found = rows.liftover()
            mapped = found["status"] == Status.MAPPED
            lifted = Intervals(*(found[key] for key in ("contig", "start", "end")))
        every, twice = claimed(lifted.take(mapped), of_source[mapped])
        # Where a source is held out and has no row, as where its window has an N.
        others = on_any(train, lifted.take(mapped & (of_source != TRAIN))) & ~held[0] & ~held[1]
        counts = store.ledger[name].get("counts", {})
        dropped = sum(int(n) for key, n in counts.items() if key.endswith(("held_out", "_splits")))
        values = [every, twice, int(held[0].sum()), int(held[1].sum()), int(others.sum()), dropped]
        lines.append((name.removeprefix("homologs/"), *values))
        totals += np.array(values)
    places, twice, test, validation, on_sources, dropped = totals.tolist()
    # Neighbours in the labelled genome may be of training and validation, where a draw decides.
    drawn = not store.attributes["split"].get("validation")
    allowed = near_validation if drawn else 0
    mark: Mark = (
        "fail" if test or validation > allowed else "warn" if allowed or on_sources else "pass"
    )
    summary = (
        f"{twice:,} of {places:,} places are claimed by sources of two splits; the build dropped "
        f"{dropped:,} rows for it"
    )
    if mark == "pass":
        summary += ", and no training row shares a base with a held-out one of its genome."
    else:
        summary += (
            f". {test:,} training rows share bases with test rows of their genome, {validation:,} "
            f"with validation rows, {on_sources:,} with held-out sources that have no row."
        )
    return Finding(
        "leakage.claimed-loci",
        "No place of a genome is in two splits",
        mark,
        summary,
        "Paralogues and overlapping peaks are lifted to one place; where it is in two splits, the "
        "model is trained on a held-out sequence.",
        ""
        if mark == "pass"
        else "Rebuild the store (`crosslabel build PROJECT --replace`): builds of this release "
        "drop such rows. Name validation contigs where it is neighbours that share context.",
        {
            "places": places,
            "places_of_two_splits": twice,
            "training_on_test_rows": test,
            "training_on_validation_rows": validation,
            "training_on_held_out_sources_rows": on_sources,
            "dropped_rows": dropped,
        },
        {"Places claimed from two splits": FindingTable(_COLUMNS, tuple(lines))},
    )
