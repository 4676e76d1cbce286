"""Windows that occur more than once in a store, on either strand, within and across splits.

Sequences stream past once. A row leaves 24 bytes on disk: a 128-bit hash of the strand that comes
first (:func:`ssldata.trust.window_kernels.hash_windows`) and its number; these are sorted in parts
of about a million. With 26 million rows the chance that any two different windows have one hash is
10⁻²⁴. In memory are what the rows are (split, label, locus): 10 bytes a row, and one part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int64Array
from ssldata.base.cache_folder import cache_dir
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import N_CODE
from ssldata.rows.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from ssldata.store.store import REFERENCE, RowGroup, Store
from ssldata.trust.findings import Finding, FindingTable, Mark
from ssldata.trust.window_kernels import hash_windows

#: Rows that are sorted at a time, on average.
PART_ROWS = 1_000_000
#: Rows read at a time, at most.
_BLOCK_ROWS = 65_536
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8")])
#: The lowest two bits of a record's row: which strand was hashed, see ``hash_windows``.
_TURNED_BITS = 2

#: Share of the test rows, or of their positives, that may have a copy in training before results
#: are doubtful. A model that knows these by heart gains about that share in recall, so AUPR rises
#: by some 0.01: as much as it varies from seed to seed.
FAIL_SHARE = 0.01


@dataclass
class Repeats:
    """What was found. Arrays have one row for each genome, in the order of `genomes`.

    Attributes
    ----------
    genomes
        ``reference`` and the target genomes.
    rows, positives
        int64 (genomes, 3): rows, and those with a label, of each split.
    unknown
        int64 (genomes,): rows of which more than half is N; they are not compared.
    repeated
        int64 (genomes, 3): rows that equal an earlier one of the same split, of any genome.
    other_locus
        int64 (genomes, 3): of these, rows of a place that no earlier equal one is of.
    reverse_complements
        int64 (genomes, 3): of `repeated`, rows on the other strand.
    in_training, positives_in_training, reversed_in_training
        int64 (genomes, 3): held-out rows that equal a training row; those with a label; those
        that only equal the reverse complement of one.
    conflicting
        int64 (genomes,): training rows that equal one with other labels.
    """

    genomes: list[str]
    rows: Int64Array = field(init=False)
    positives: Int64Array = field(init=False)
    unknown: Int64Array = field(init=False)
    repeated: Int64Array = field(init=False)
    other_locus: Int64Array = field(init=False)
    reverse_complements: Int64Array = field(init=False)
    in_training: Int64Array = field(init=False)
    positives_in_training: Int64Array = field(init=False)
    reversed_in_training: Int64Array = field(init=False)
    conflicting: Int64Array = field(init=False)

    def __post_init__(self) -> None:
        """Begin with zeros."""
        count = len(self.genomes)
        for name in ("rows", "positives", "repeated", "other_locus", "reverse_complements"):
            setattr(self, name, np.zeros((count, 3), np.int64))
        for name in ("in_training", "positives_in_training", "reversed_in_training"):
            setattr(self, name, np.zeros((count, 3), np.int64))
        self.unknown = np.zeros(count, np.int64)
        self.conflicting = np.zeros(count, np.int64)


@dataclass(frozen=True)
class _Facts:
    """What the rows of all groups are, one group after the other."""

    genome: NDArray[np.int16]
    split: NDArray[np.int8]
    label: NDArray[np.uint64]
    locus: NDArray[np.int32]


def repeated_windows(
    store: Store, *, part_rows: int = PART_ROWS, progress: Progress | None = None
) -> Repeats:
    """Find the windows that occur more than once.

    Parameters
    ----------
    store
        The store.
    part_rows
        Rows that are sorted at a time, on average.
    progress
        Progress reporter, advanced by rows read.
    """
    names = [REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)]
    groups = [store.group(name) for name in names]
    found = Repeats([name.removeprefix("homologs/") for name in names])
    facts = _facts(groups)
    for number, group in enumerate(groups):
        split, positive = group.column("split"), group.column("label").any(axis=1)
        found.rows[number] = np.bincount(split, minlength=3)
        found.positives[number] = np.bincount(split[positive], minlength=3)
    total = len(facts.split)
    bits = max(0, (total // part_rows).bit_length())
    with (
        tempfile.TemporaryDirectory(prefix="repeats-", dir=cache_dir("scratch")) as folder,
        (progress or NoProgress()).task("comparing windows", max(total, 1)) as advance,
    ):
        parts = [Path(folder) / f"{number}" for number in range(2**bits)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in parts]
            first = 0
            for number, group in enumerate(groups):
                for codes in blocks(group, 0, group.rows):
                    records, unknown = _records(codes, first)
                    found.unknown[number] += unknown
                    for file, part in zip(files, _shares(records, bits), strict=True):
                        file.write(part.tobytes())
                    first += len(codes)
                    advance(len(codes))
        for path in parts:
            _count(np.fromfile(path, _RECORD), facts, found)
            path.unlink()
    return found


def blocks(group: RowGroup, first: int, end: int) -> Iterator[ByteArray]:
    """Yield the base codes of the rows [first, end), whole chunks at a time."""
    step = max(group.chunk_rows, _BLOCK_ROWS // group.chunk_rows * group.chunk_rows)
    while first < end:
        stop = min(end, (first // step + 1) * step)
        yield group.codes(first, stop)
        first = stop


def _facts(groups: list[RowGroup]) -> _Facts:
    sizes = [group.rows for group in groups]
    labels = []
    for group in groups:
        label = group.column("label")
        # Of the first 64 experiments, one bit each; 64 are enough to see that labels differ.
        weight = np.left_shift(np.uint64(1), np.arange(min(64, label.shape[1]), dtype=np.uint64))
        labels.append((label[:, :64] * weight).sum(axis=1, dtype=np.uint64))
    return _Facts(
        np.repeat(np.arange(len(groups), dtype=np.int16), sizes),
        np.concatenate([group.column("split") for group in groups]),
        np.concatenate(labels),
        np.concatenate([group.column("locus").astype(np.int32) for group in groups]),
    )


def _records(codes: ByteArray, first: int) -> tuple[NDArray[np.void], int]:
    """Return the records of windows, and how many have none because most of them is N."""
    known = 2 * np.count_nonzero(codes < N_CODE, axis=1) >= codes.shape[1]
    rows = np.flatnonzero(known)
    records = np.empty(len(rows), _RECORD)
    high, low = np.empty(len(rows), np.uint64), np.empty(len(rows), np.uint64)
    turned = np.empty(len(rows), np.uint8)
    hash_windows(np.ascontiguousarray(codes[rows]), high, low, turned)
    records["high"], records["low"] = high, low
    records["row"] = ((rows + first).astype(np.uint64) << np.uint64(_TURNED_BITS)) | turned
    return records, len(codes) - len(rows)


def _shares(records: NDArray[np.void], bits: int) -> Iterator[NDArray[np.void]]:
    """Yield the records of each part, by the first bits of their hashes."""
    if not bits:
        yield records
        return
    part = (records["high"] >> np.uint64(64 - bits)).astype(np.int64)
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part, minlength=2**bits))
    yield from np.split(records[order], ends[:-1])


def _count(records: NDArray[np.void], facts: _Facts, found: Repeats) -> None:
    """Add what equal rows of one part are."""
    order = np.lexsort((records["row"], records["low"], records["high"]))
    high, low = records["high"][order], records["low"][order]
    same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    member = np.append(same, False) | np.append(False, same)
    if not member.any():
        return
    # Equal windows are of one class; the rows of a class ascend.
    opens = np.append(True, ~same)[member]
    of = np.cumsum(opens) - 1
    number = records["row"][order][member]
    row = (number >> np.uint64(_TURNED_BITS)).astype(np.int64)
    strands = np.array([1, 2, 3], np.int64)[(number & np.uint64(3)).astype(np.int64)]
    split, genome, label = facts.split[row], facts.genome[row], facts.label[row]
    locus = facts.locus[row].astype(np.int64)
    place = np.where(locus >= 0, locus, -2 - row)  # a row without a locus is a place of its own
    classes = int(of[-1]) + 1

    def add(to: Int64Array, where: BoolArray) -> None:
        np.add.at(to, (genome[where], split[where].astype(np.int64)), 1)

    # Within a split: the first row of each class and split is the one that others repeat.
    key = of * 3 + split
    _, head, which = np.unique(key, return_index=True, return_inverse=True)
    again = np.ones(len(key), bool)
    again[head] = False
    add(found.repeated, again)
    add(found.reverse_complements, again & ((strands & strands[head][which]) == 0))
    new_place = np.zeros(len(key), bool)
    new_place[np.unique(np.stack([key, place]), axis=1, return_index=True)[1]] = True
    add(found.other_locus, again & new_place)
    # Across splits.
    train = split == TRAIN
    of_train = np.zeros(classes, np.int64)
    np.bitwise_or.at(of_train, of[train], strands[train])
    held = ~train & (of_train[of] > 0)
    add(found.in_training, held)
    add(found.positives_in_training, held & (label > 0))
    add(found.reversed_in_training, held & ((of_train[of] & strands) == 0))
    low_label, high_label = np.full(classes, 2**64 - 1, np.uint64), np.zeros(classes, np.uint64)
    np.minimum.at(low_label, of[train], label[train])
    np.maximum.at(high_label, of[train], label[train])
    differs = train & (low_label[of] != high_label[of])
    np.add.at(found.conflicting, genome[differs], 1)


def copies_mark(rows: float, positives: float) -> Mark:
    """Return the mark for these shares of test rows, and of their positives, with a copy.

    Any positive is a warning. Copied negatives, of which real genomes have some, lower the rank of
    as many false positives and no more.
    """
    if max(rows, positives) > FAIL_SHARE:
        return "fail"
    return "warn" if positives else "pass"


def repeats_findings(found: Repeats) -> list[Finding]:
    """Return the findings of duplicates across splits, and within them."""
    return [_across(found), _within(found)]


def _across(found: Repeats) -> Finding:
    test = int(found.in_training[0, TEST])
    positives = int(found.positives_in_training[0, TEST])
    all_test, all_positives = int(found.rows[0, TEST]), int(found.positives[0, TEST])
    others = int(found.in_training[1:].sum())
    turned = int(found.reversed_in_training.sum())
    mark = copies_mark(test / max(all_test, 1), positives / max(all_positives, 1))
    summary = (
        f"{test:,} of {all_test:,} test rows of the labelled genome ({positives:,} of "
        f"{all_positives:,} positives) are in training, too, base for base or as the reverse "
        f"complement; so are {int(found.in_training[0, VALIDATION]):,} validation rows, and "
        f"{others:,} held-out rows of other genomes."
    )
    lines: list[tuple[str | int, ...]] = [
        (
            genome,
            *(int(of[i, s]) for s in (TEST, VALIDATION) for of in (found.rows, found.in_training)),
            int(found.positives_in_training[i].sum()),
            int(found.reversed_in_training[i].sum()),
        )
        for i, genome in enumerate(found.genomes)
    ]
    return Finding(
        "leakage.duplicates-across-splits",
        "No held-out sequence is trained on",
        mark,
        summary,
        "A sequence that was trained on is answered from memory. Other copies than homologues "
        "(repeats, paralogues) lie on any chromosome, and splits by chromosome do not see them.",
        ""
        if mark == "pass"
        else "Compare AUPR with and without them (the bin 'identical' of the evaluation, see "
        "docs/trust-leakage.md); mask repeats or leave out their peaks where it matters.",
        {
            "test_rows": all_test,
            "test_in_training_rows": test,
            "test_positives": all_positives,
            "test_positives_in_training": positives,
            "validation_in_training_rows": int(found.in_training[0, VALIDATION]),
            "held_out_of_other_genomes_in_training_rows": others,
            "reverse_complements_rows": turned,
            "not_compared_rows": int(found.unknown.sum()),
        },
        {
            "Held-out rows that are in training": FindingTable(
                (
                    *("genome", "test rows", "in training", "validation rows", "in training "),
                    *("positives of these", "only as reverse complements"),
                ),
                tuple(lines),
            )
        },
    )


def _within(found: Repeats) -> Finding:
    rows, again = int(found.rows.sum()), int(found.repeated.sum())
    other, turned = int(found.other_locus.sum()), int(found.reverse_complements.sum())
    conflicts = int(found.conflicting.sum())
    train = int(found.rows[:, TRAIN].sum())
    # As many wrong labels as a peak caller's usual false discovery rate do not matter more.
    mark: Mark = "warn" if conflicts > 0.01 * train else "note"
    return Finding(
        "leakage.duplicates-within-splits",
        "Sequences that occur more than once",
        mark,
        f"{again:,} of {rows:,} rows equal an earlier one of their split ({turned:,} on the other "
        f"strand); {again - other:,} of them are homologues or overlaps of one place, {other:,} "
        f"are of other places. {conflicts:,} training rows equal one with other labels.",
        "Equal rows count several times in training and in metrics; with different labels they "
        "contradict each other.",
        "Sequences with two labels are repeats in which the experiment cannot tell copies apart; "
        "leave out peaks in repeats, or read them as noise of the labels."
        if mark == "warn"
        else "",
        {
            "rows": rows,
            "repeated_rows": again,
            "repeated_other_place_rows": other,
            "reverse_complement_rows": turned,
            "conflicting_training_rows": conflicts,
            "not_compared_rows": int(found.unknown.sum()),
        },
        {
            "Equal rows within a split": FindingTable(
                (
                    *("genome", "rows"),
                    *(f"repeated in {name}" for name in SPLIT_NAMES),
                    *("of other places", "reverse complements", "with other labels"),
                ),
                tuple(
                    (
                        genome,
                        int(found.rows[i].sum()),
                        *found.repeated[i].tolist(),
                        int(found.other_locus[i].sum()),
                        int(found.reverse_complements[i].sum()),
                        int(found.conflicting[i]),
                    )
                    for i, genome in enumerate(found.genomes)
                ),
            )
        },
    )
