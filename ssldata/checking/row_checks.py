"""Checks of the rows of a store: every column against the rules of ``docs/store-format.md``.

Each check yields (name of the check, one line with the number of offending rows and the first).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.files import digest_of
from ssldata.genomes.genome import Genome
from ssldata.liftover.lift_result import Status
from ssldata.rows.bin_labels import is_positive
from ssldata.rows.intervals import Intervals, merge
from ssldata.rows.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from ssldata.rows.windows import by_contig, touches
from ssldata.store.store import RANGES, REFERENCE

Found = tuple[str, str]

#: Column → (dtype, has an experiment axis).
COLUMNS: dict[str, tuple[str, bool]] = {
    "contig": ("int32", False),
    "start": ("int64", False),
    "end": ("int64", False),
    "strand": ("int8", False),
    "split": ("int8", False),
    "source": ("int64", False),
    "locus": ("int64", False),
    "weight": ("float32", False),
    "label": ("uint8", True),
    "coverage": ("int32", True),
}
#: Of homologous rows only.
HOMOLOGUE_COLUMNS: dict[str, tuple[str, bool]] = {
    "aligned_fraction": ("float32", False),
    "identity": ("float32", False),
}
#: The split that each range holds.
_SPLIT_OF_RANGE = dict(zip(RANGES, (TRAIN, TRAIN, VALIDATION, TEST), strict=True))


@dataclass(frozen=True)
class Group:
    """One group as read: its columns and its metadata.

    Attributes
    ----------
    name
        ``reference`` or ``homologs/<genome>``.
    columns
        Every per-row array.
    attributes
        Attributes of the group: ``contigs``, ``contig_sizes``, ``ranges``, ``bin_size``.
    entry
        Entry of the ledger.
    settings
        Root attributes of the store.
    length
        Bases stored per row.
    """

    name: str
    columns: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]
    entry: Mapping[str, Any]
    settings: Mapping[str, Any]
    length: int

    @property
    def is_table(self) -> bool:
        """Whether these are rows of a table of sequences, which may lie on either strand."""
        return "sequences" in self.settings

    @property
    def is_reference(self) -> bool:
        """Whether these are rows of the labelled genome."""
        return self.name == REFERENCE


def offending(check: str, bad: NDArray[np.bool_], what: str, *, first: int = 0) -> Iterator[Found]:
    """Yield one finding if any row is bad.

    Parameters
    ----------
    check
        Name of the check.
    bad
        bool (rows, …), one row of a group after the other.
    what
        What is wrong with them.
    first
        Number of the first row of `bad`.
    """
    rows = np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))
    if len(rows):
        number = f"{len(rows)} rows, the first is row" if len(rows) > 1 else "row"
        yield check, f"{what}: {number} {first + int(rows[0])}"


def _contig_ends(
    contig: NDArray[np.int32], sizes: Sequence[int]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which rows have a contig that does not exist, and where that of each row ends (0)."""
    ends = np.append(np.asarray(sizes, np.int64), 0)
    unknown = (contig < 0) | (contig >= len(ends) - 1)
    return unknown, ends[np.where(unknown, -1, contig)]


def check_shapes(group: Group) -> Iterator[Found]:
    """Check that every column exists, with its type and the ledger's number of rows."""
    rows = int(group.entry["rows"])
    experiments = len(group.settings["experiments"])
    expected = COLUMNS | ({} if group.is_reference else HOMOLOGUE_COLUMNS)
    for name, (dtype, wide) in expected.items():
        array = group.columns.get(name)
        shape = (rows, experiments) if wide else (rows,)
        if array is None:
            yield "arrays", f"{name} is missing"
        elif array.dtype != dtype or array.shape != shape:
            found = f"{array.dtype} {array.shape}"
            yield "arrays", f"{name} is {found}, expected {dtype} {shape}"


def check_contigs(
    attributes: Mapping[str, Any], entry: Mapping[str, Any], genome: Genome | None = None
) -> Iterator[Found]:
    """Check that the contigs of a group are those of its genome, in its order.

    Sizes are part of no digest; they are compared with the genome if it is given.
    """
    order = entry.get("inputs", {}).get("contig order")
    if order is not None and digest_of(list(attributes["contigs"])) != order:
        yield "coordinates", "contigs are not those of the genome the rows were cut from"
    elif genome is not None and list(attributes["contig_sizes"]) != genome.sizes.tolist():
        yield "coordinates", f"contig_sizes are not those of {genome.path}"


def check_counts(group: Group) -> Iterator[Found]:
    """Check the counts of the ledger that follow from the rows."""
    columns, recorded = group.columns, group.entry.get("counts", {})
    positive = columns["label"].any(axis=1)
    counts = {"rows": len(columns["label"])} | {
        f"positive_{name}": int((positive & (columns["split"] == split)).sum())
        for split, name in enumerate(SPLIT_NAMES)
    }
    if wrong := [key for key, count in counts.items() if recorded.get(key) != count]:
        yield "ledger", f"the ledger has other counts of {', '.join(wrong)}"


def check_ranges(group: Group) -> Iterator[Found]:
    """Check that the ranges tile the rows, and each holds the rows it names."""
    ranges = {key: tuple(value) for key, value in group.attributes["ranges"].items()}
    if ranges != {key: tuple(value) for key, value in group.entry["ranges"].items()}:
        yield "ranges", "the ranges of the group and the ledger differ"
        return
    split, label = group.columns["split"], group.columns["label"]
    position = 0
    for key in RANGES:
        first, end = ranges[key]
        if first != position or end < first:
            yield "ranges", f"{key} is [{first}, {end}), expected to start at {position}"
            return
        position = end
        wrong = split[first:end] != _SPLIT_OF_RANGE[key]
        yield from offending("splits", wrong, f"in {key} but of another split", first=first)
        if key in ("positive", "negative"):
            wrong = label[first:end].any(axis=1) != (key == "positive")
            yield from offending("labels", wrong, f"label does not fit {key}", first=first)
        else:
            step = np.diff(group.columns["contig"][first:end])
            along = np.diff(group.columns["start"][first:end])
            if ((step < 0) | ((step == 0) & (along < 0))).any():
                yield "order", f"{key} rows are not in genome order"
    if position != group.entry["rows"]:
        yield "ranges", f"end at {position}, expected {group.entry['rows']}"


def check_values(group: Group) -> Iterator[Found]:
    """Check the ranges of labels, weights, strands, fractions; labels follow the coverage."""
    columns, windows = group.columns, group.settings["windows"]
    label = columns["label"]
    yield from offending("labels", label > 1, "label is neither 0 nor 1")
    covered = is_positive(
        columns["coverage"], size=windows["size"], min_overlap=windows["min_overlap"]
    )
    yield from offending("labels", covered != (label > 0), "label does not follow the coverage")
    for name in ("weight", "aligned_fraction", "identity"):
        if name in columns:
            value = columns[name]
            check = "weights" if name == "weight" else "values"
            outside = ~((value >= 0) & (value <= 1))
            yield from offending(check, outside, f"{name} is not in [0, 1]")
    strand = columns["strand"]
    forward = group.is_reference and not group.is_table
    wrong = strand != 1 if forward else (strand != 1) & (strand != -1)
    yield from offending("values", wrong, f"strand is not {'+1' if forward else '±1'}")


def check_coordinates(group: Group) -> Iterator[Found]:
    """Check that every stored window lies inside its contig."""
    contig, start, end = (group.columns[key] for key in ("contig", "start", "end"))
    sizes = group.attributes["contig_sizes"]
    if len(sizes) != len(group.attributes["contigs"]):
        yield "coordinates", "contigs and contig_sizes differ in length"
        return
    unknown, limit = _contig_ends(contig, sizes)
    yield from offending("coordinates", unknown, "no such contig")
    size = int(group.attributes["bin_size"])
    yield from offending("coordinates", end - start != size, f"bin is not {size} b")
    pad = (group.length - size) // 2
    outside = ~unknown & ((start < pad) | (start - pad + group.length > limit))
    yield from offending("coordinates", outside, "stored window leaves its contig")
    if group.is_reference:
        # Two sequences of a table may be the two strands of one place.
        strand = group.columns["strand"] if group.is_table else np.zeros_like(start)
        order = np.lexsort((strand, start, contig))
        twice = np.zeros(len(start), bool)
        same = [np.diff(column[order]) == 0 for column in (start, contig, strand)]
        twice[order[1:]] = np.logical_and.reduce(same)
        yield from offending("coordinates", twice, "bin occurs twice")


def split_by_contig(
    contig: NDArray[np.int32], names: list[str], rule: Mapping[str, Any]
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the split that the held-out contigs dictate, and where they dictate it.

    Without named validation contigs a row outside the test contigs may be train or validation.
    """
    by_name = np.full(len(names), TRAIN, np.int8)
    for index, name in enumerate(names):
        if name in rule["test"]:
            by_name[index] = TEST
        elif name in rule["validation"]:
            by_name[index] = VALIDATION
    split = by_name[contig]
    return split, (split == TEST) | bool(rule["validation"])


def is_split_by_contig(settings: Mapping[str, Any]) -> bool:
    """Return whether contigs decide the splits of a store, as they do but for some tables."""
    splits = settings.get("sequences", {}).get("splits", {})
    return bool(splits.get("by", "chromosomes") == "chromosomes")


def check_splits(group: Group, sources: Mapping[str, Any]) -> Iterator[Found]:
    """Check that every row has the split of its source interval in the labelled genome."""
    columns, rule = group.columns, group.settings["split"]
    names = list(sources["contigs"])
    source, split = columns["source"], columns["split"]
    count = len(sources["start"])
    lowest = -1 if group.is_reference else 0
    bad = (source < lowest) | (source >= count)
    yield from offending("sources", bad, "no such source")
    if bad.any():
        return
    has = source >= 0
    origin = np.where(has, sources["contig"][source], -1)
    if group.is_reference:
        origin = columns["contig"]
    if is_split_by_contig(group.settings):
        expected, certain = split_by_contig(origin, names, rule)
        wrong = certain & (split != expected)
        what = "split is not the one of its contig" if group.is_reference else "source is held out"
        yield from offending("splits", wrong, f"{what} (leak)")
        uncertain_test = ~certain & (split == TEST)
        yield from offending("splits", uncertain_test, "test row that no held-out contig explains")
    for key in ("split", "locus"):
        differs = has & (columns[key] != sources[key][source])
        check = "splits" if key == "split" else "sources"
        yield from offending(check, differs, f"{key} is not that of its source")


def check_liftover(
    group: Group, lifted: Mapping[str, NDArray[Any]], sources: Mapping[str, Any]
) -> Iterator[Found]:
    """Check that every source has one result, and that rows come from mapped sources only."""
    count = len(sources["start"])
    wrong = [key for key, value in lifted.items() if len(value) != count]
    if wrong or "status" not in lifted:
        yield "liftover", f"{', '.join(wrong) or 'status'}: expected {count} rows, one per source"
        return
    status = lifted["status"]
    yield from offending("liftover", ~np.isin(status, [int(s) for s in Status]), "no such status")
    mapped = status == Status.MAPPED
    unknown, limit = _contig_ends(lifted["contig"], group.attributes["contig_sizes"])
    yield from offending("liftover", mapped & unknown, "mapped to no contig")
    inside = (lifted["start"] >= 0) & (lifted["start"] < lifted["end"])
    inside &= lifted["end"] <= limit
    yield from offending("liftover", mapped & ~unknown & ~inside, "mapped outside its contig")
    positive = sources["label"].any(axis=1)
    counts = {s.name.lower(): int((status[positive] == s).sum()) for s in Status}
    if {key: n for key, n in counts.items() if n} != dict(group.entry["liftover"]):
        yield "liftover", "the ledger has other counts of statuses"
    source = group.columns["source"]
    if len(source) and source.min() >= 0 and source.max() < count:
        yield from offending("liftover", ~mapped[source], "row of a source that did not map")


def check_sources(sources: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Found]:
    """Check that source intervals lie inside the labelled genome and keep its split."""
    contig, start, end = (sources[key] for key in ("contig", "start", "end"))
    unknown, limit = _contig_ends(contig, sources["contig_sizes"])
    yield from offending(
        "coordinates",
        unknown | (start < 0) | (end <= start) | (end > limit),
        "source leaves its contig",
    )
    if unknown.any():
        return
    if is_split_by_contig(settings):
        split, certain = split_by_contig(contig, list(sources["contigs"]), settings["split"])
        yield from offending(
            "splits", certain & (sources["split"] != split), "source is of another split"
        )
    yield from offending("labels", sources["label"] > 1, "label is neither 0 nor 1")


def shared_loci(group: Group) -> dict[str, int]:
    """Count train rows whose bin shares bases with a held-out row of the same genome.

    These are paralogues: source intervals of two splits that lift to one place. The store is not
    wrong, but such rows show the model (a part of) a held-out homologue.
    """
    columns = group.columns
    train = columns["split"] == TRAIN
    bins = Intervals(columns["contig"], columns["start"], columns["end"])
    found = {}
    for split in (VALIDATION, TEST):
        held = merge(bins.take(columns["split"] == split))
        runs = {contig: held.take(here) for contig, here in by_contig(held.contig)}
        count = 0
        for contig, here in by_contig(columns["contig"]):
            if contig in runs:
                rows = here[train[here]]
                on = runs[contig]
                hits = touches(bins.start[rows], bins.end[rows], on.start, on.end)
                count += int(hits.sum())
        if count:
            found[SPLIT_NAMES[split]] = count
    return found
