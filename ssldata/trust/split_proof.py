"""The split of every row, derived again from where its source lies in the labelled genome.

The column ``split`` is not believed. A row is followed back instead: its place must share bases
with what its source was lifted to, and the split is that which the rule of the project gives to the
place of the source in the labelled genome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int64Array
from ssldata.checking.row_checks import is_split_by_contig
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Split
from ssldata.rows.splits import TEST, TRAIN, split_of
from ssldata.rows.windows import by_contig
from ssldata.store.store import REFERENCE, RowGroup, Store
from ssldata.trust.findings import Finding, FindingTable


@dataclass(frozen=True)
class Proven:
    """Splits that follow from places of the labelled genome.

    Attributes
    ----------
    split
        int8, 0 train, 1 validation, 2 test.
    certain
        Where this is all that can be: not where a draw decides between training and validation and
        what was drawn (the start of a merged peak) is not in the store.
    """

    split: NDArray[np.int8]
    certain: BoolArray

    def contradicts(self, column: NDArray[np.int8]) -> BoolArray:
        """Return where a column of splits cannot be right."""
        held_out = (column == TEST) != (self.split == TEST)
        return np.where(self.certain, column != self.split, held_out)


class SourceSplits:
    """The rule of a store, applied to its sources and to the rows of its groups.

    Parameters
    ----------
    store
        A store whose splits contigs decide: see :func:`is_provable`.
    """

    def __init__(self, store: Store) -> None:
        settings = store.attributes
        rule = {k: v for k, v in settings["split"].items() if k in Split.model_fields}
        self._rule = Split(**rule)
        self._names = store.source_contigs()["contigs"]
        self.sources: Mapping[str, NDArray[Any]] = store.sources()
        #: Peaks are sources, so the start of a merged peak is that of its first one.
        self._peaks = settings["windows"]["mode"] == "rebin" or "sequences" in settings
        contig, start, locus = (self.sources[key] for key in ("contig", "start", "locus"))
        count = int(locus.max(initial=-1)) + 1
        has = locus >= 0
        self._first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(self._first, locus[has], start[has])
        self._last = np.zeros(count, np.int64)
        np.maximum.at(self._last, locus[has], self.sources["end"][has])
        self._contig = np.full(count, -1, np.int32)
        self._contig[locus[has]] = contig[has]
        self.of_sources = self._of(contig, start, locus, has & (not self._peaks))

    def _of(
        self, contig: NDArray[np.int32], start: Int64Array, locus: Int64Array, hidden: BoolArray
    ) -> Proven:
        """Apply the rule; `hidden`: a peak is drawn whose start is not in the store."""
        unit = start.copy()
        unit[locus >= 0] = self._first[locus[locus >= 0]]
        split = split_of(contig, unit, split=self._rule, names=self._names)
        return Proven(split, (split == TEST) | ~(hidden & (not self._rule.validation)))

    def _of_reference(self, rows: RowGroup) -> Proven:
        contig, start, end = (rows.column(key) for key in ("contig", "start", "end"))
        locus = rows.column("locus").copy()
        locus[locus >= len(self._first)] = -1
        touched = (locus >= 0) | rows.column("coverage").any(axis=1)
        if self._peaks:
            # Bins that a peak covers too little have no locus, and are drawn with it. The merged
            # peaks are numbered in order, and disjoint: find the first that ends behind the bin.
            for number, here in by_contig(contig):
                loci = np.flatnonzero(self._contig == number)
                at = np.searchsorted(self._last[loci], start[here], side="right")
                inside = at < len(loci)
                found = loci[at[inside]]
                bins = here[inside]
                meets = (self._first[found] < end[bins]) & (locus[bins] < 0)
                locus[bins[meets]] = found[meets]
            touched[:] = False
        return self._of(contig, start, locus, touched)

    def of_rows(self, rows: RowGroup) -> tuple[Proven, BoolArray]:
        """Return the splits of the rows of a group, and which rows their source explains.

        A row without a source is explained where the labelled genome has it.
        """
        place = [rows.column(key) for key in ("contig", "start", "end")]
        source = rows.column("source")
        count = len(self.sources["start"])
        named = (source >= 0) & (source < count)
        safe = np.where(named, source, 0)
        if not count:
            safe = np.zeros(0, np.int64)
        if rows.name == REFERENCE:
            origin, there = self.sources, np.ones(count, bool)
            proven = self._of_reference(rows)
            explained = source == -1
        else:
            origin = rows.liftover()
            there = origin["status"] == Status.MAPPED
            explained = np.zeros(rows.rows, bool)
            if not count:
                nothing = np.full(rows.rows, TRAIN, np.int8)
                return Proven(nothing, np.zeros(rows.rows, bool)), explained
            found = self.of_sources
            proven = Proven(found.split[safe], found.certain[safe] & named)
        if count:
            meets = there[safe] & (origin["contig"][safe] == place[0])
            meets &= (origin["start"][safe] < place[2]) & (place[1] < origin["end"][safe])
            explained |= named & meets
        return proven, explained


def is_provable(store: Store) -> bool:
    """Return whether places decide the splits of a store, as they do but for some tables."""
    return is_split_by_contig(store.attributes)


def source_split_finding(store: Store, splits: SourceSplits | None) -> Finding:
    """Check that every row is in the split of its source.

    Parameters
    ----------
    store
        The store.
    splits
        Its rule; None: places do not decide its splits.
    """
    check, title = "leakage.source-split", "Every row is in the split of its source"
    why = (
        "A homologue of a held-out place, however it came into training, shows the model what it "
        "is tested on."
    )
    if splits is None:
        by = store.attributes.get("sequences", {}).get("splits", {}).get("by", "a list")
        summary = f"Not proven: the splits of this table were made by {by}, not by places."
        return Finding(check, title, "note", summary, why)
    lines, totals = [], np.zeros(5, np.int64)
    for name in (REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)):
        rows = store.group(name)
        column = rows.column("split")
        proven, explained = splits.of_rows(rows)
        wrong = proven.contradicts(column)
        leaks = wrong & (column == TRAIN)
        found = (leaks, wrong & ~leaks, ~explained, ~proven.certain)
        counts = np.array([rows.rows, *(where.sum() for where in found)])
        totals += counts
        lines.append((name.removeprefix("homologs/"), *counts.tolist()))
    total, leaking, misplaced, strange, undecided = totals.tolist()
    columns = ("genome", "rows", "held out, but in training", "in another split")
    table = FindingTable((*columns, "not where the source lies", "not decided"), tuple(lines))
    bad = leaking + misplaced + strange
    summary = (
        f"All {total:,} rows lie where their source was lifted to, and are in the split that its "
        "place in the labelled genome gives."
    )
    if bad:
        summary = (
            f"Of {total:,} rows {leaking:,} are in training although their source is held out, "
            f"{misplaced:,} are in another wrong split, and {strange:,} do not lie where their "
            "source was lifted to."
        )
    elif undecided:
        summary += (
            f" For {undecided:,} a draw of merged peaks decides between training and validation; "
            "it is not in the store, so only that they are not of the test is proven."
        )
    return Finding(
        check,
        title,
        "fail" if bad else "pass",
        summary,
        why,
        "Run `crosslabel store validate STORE`, then `crosslabel build PROJECT --repair`; do not "
        "report results of runs that were trained on these rows."
        if bad
        else "",
        {
            "rows": total,
            "leaking_rows": leaking,
            "misplaced_rows": misplaced,
            "unexplained_rows": strange,
            "undecided_rows": undecided,
        },
        {"Splits proven from sources": table},
    )
