"""Labels, splits and loci of the rows of a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int64Array
from ssldata.base.errors import ConfigError, InputError
from ssldata.base.keyed_random import uniform_rows
from ssldata.base.text_file import table_rows
from ssldata.store.feature_store import FeatureStore
from sslmodels.scores.metric_intervals import blocks_of_bins

SplitBy = Literal["stored", "random", "contig"]

SPLITS = ("train", "validation", "test")
#: Shares of loci of a random split, those of Daoud & Ben-Hur (2025).
_VALIDATION, _TEST = 0.1, 0.1


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Where labels and splits come from.

    Attributes
    ----------
    labels
        Name of a coordinate, or a CSV with the columns ``header`` (or ``name``) and ``label``.
    split_by
        ``stored``: the coordinate ``split``; ``random``; ``contig``. None: stored, else random.
    validation_contigs, test_contigs
        Of a split by contig.
    seed
        Of a random split.
    """

    labels: str = "label"
    split_by: SplitBy | None = None
    validation_contigs: Sequence[str] = ()
    test_contigs: Sequence[str] = ()
    seed: int = 0


@dataclass(frozen=True)
class LabelledRows:
    """What is known of the rows.

    Attributes
    ----------
    labels
        0 or 1 (rows,).
    split
        0 train, 1 validation, 2 test (rows,).
    locus
        Number of the locus of every row; both strands of one have the same.
    names
        One per row.
    split_by
        How they were split.
    blocks
        Block of neighbouring loci of every row, for the bootstrap.
    """

    labels: NDArray[np.int8]
    split: NDArray[np.int8]
    locus: Int64Array
    names: NDArray[Any]
    split_by: SplitBy
    blocks: Int64Array

    def of(self, split: str) -> BoolArray:
        """Return which rows belong to a split."""
        return np.asarray(self.split == SPLITS.index(split))

    def per_locus(
        self, split: str, scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.int8], NDArray[np.float64], Int64Array]:
        """Return label, mean score and first row of every locus of a split."""
        rows = np.flatnonzero(self.of(split))
        _, first, inverse = np.unique(self.locus[rows], return_index=True, return_inverse=True)
        mean = np.bincount(inverse, scores[rows]) / np.bincount(inverse)
        return self.labels[rows[first]], mean, rows[first]


def labelled_rows(store: FeatureStore, options: LabelOptions) -> LabelledRows:
    """Return labels and splits of the rows of a store.

    Raises
    ------
    ConfigError
        No such coordinate, or options that contradict each other.
    InputError
        A row without a label, a label other than 0 and 1, or a split with one class only.
    """
    present = set(store.coordinates)
    locus = (
        np.asarray(store.coordinate("locus"), np.int64)
        if "locus" in present
        else np.arange(store.rows)
    )
    names = _names(store, present)
    labels = _labels(store, names, options.labels)
    split, split_by = _splits(store, present, locus, options)
    _check_loci(locus, labels, split)
    blocks = _blocks(store, present, locus)
    found = LabelledRows(labels, split, locus, names, split_by, blocks)
    for name in SPLITS:
        classes = np.bincount(labels[found.of(name)], minlength=2)
        if not classes.all():
            raise InputError(
                f"{store.path}: the {name} rows have {classes[1]:,} positives and {classes[0]:,} "
                "negatives; expected both (choose another split: --split-by, --seed)"
            )
    return found


def _names(store: FeatureStore, present: set[str]) -> NDArray[Any]:
    if "name" in present:
        return store.coordinate("name")
    if {"contig", "start", "end"} <= present:
        contig, start, end = (store.coordinate(key) for key in ("contig", "start", "end"))
        places = zip(contig, start, end, strict=True)
        return np.array([f"{c}:{s}-{e}" for c, s, e in places], object)
    return np.array([f"row {number}" for number in range(store.rows)], object)


def _labels(store: FeatureStore, names: NDArray[Any], labels: str) -> NDArray[np.int8]:
    path = Path(labels)
    if labels in store.coordinates:
        values = store.coordinate(labels)
        wrong = ~np.isin(values, (0, 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{store.path}: {labels} of row {row} is {values[row]!r}; expected 0 or 1"
            )
        return values.astype(np.int8)
    if not path.is_file():
        raise ConfigError(
            f"--labels {labels}: neither a file nor a coordinate of {store.path}; it has "
            f"{', '.join(store.coordinates) or 'none'}"
        )
    known = _label_table(path)
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{path}: no label for {len(missing):,} of the {len(names):,} rows of {store.path}, "
            f"the first {missing[0]!r}; its own first is {next(iter(known), 'none')!r}"
        )
    return np.array([known[name] for name in names], np.int8)


def _label_table(path: Path) -> dict[str, int]:
    rows = table_rows(path, separator="\t" if path.suffix == ".tsv" else ",")
    number, columns = next(rows, (1, []))
    key = next((one for one in ("header", "name") if one in columns), None)
    if key is None or "label" not in columns:
        raise InputError(
            f"{path}, line {number}: columns {', '.join(columns) or 'none'}; expected header "
            "(or name) and label"
        )
    at, of = columns.index(key), columns.index("label")
    found: dict[str, int] = {}
    for number, values in rows:
        name, label = values[at].removeprefix(">"), values[of]
        if label not in ("0", "1"):
            raise InputError(f"{path}, line {number}: label {label!r}; expected 0 or 1")
        if found.setdefault(name, int(label)) != int(label):
            raise InputError(f"{path}, line {number}: {name!r} has the other label further up")
    return found


def _splits(
    store: FeatureStore, present: set[str], locus: Int64Array, options: LabelOptions
) -> tuple[NDArray[np.int8], SplitBy]:
    contigs = (*options.validation_contigs, *options.test_contigs)
    by = options.split_by or ("contig" if contigs else "stored" if "split" in present else "random")
    if contigs and by != "contig":
        raise ConfigError("--validation-contig and --test-contig need --split-by contig")
    if by == "stored":
        values = store.coordinate("split")
        wrong = ~np.isin(values, SPLITS)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{store.path}: split of row {row} is {values[row]!r}; expected {', '.join(SPLITS)}"
            )
        return np.select([values == name for name in SPLITS], range(3)).astype(np.int8), by
    if by == "random":
        drawn = uniform_rows(locus, "transfer split", options.seed)
        return np.select([drawn < _TEST, drawn < _TEST + _VALIDATION], [2, 1], 0).astype(
            np.int8
        ), by
    if not options.validation_contigs or not options.test_contigs:
        raise ConfigError("--split-by contig: name --validation-contig and --test-contig")
    if both := set(options.validation_contigs) & set(options.test_contigs):
        raise ConfigError(f"{both.pop()}: for validation and for testing; choose one")
    contig = store.coordinate("contig")
    for name in contigs:
        if name not in set(contig):
            raise ConfigError(
                f"{name}: no row of {store.path} is on this contig; there are "
                f"{', '.join(sorted(set(contig))[:10])}"
            )
    of = [np.isin(contig, options.test_contigs), np.isin(contig, options.validation_contigs)]
    return np.select(of, [2, 1], 0).astype(np.int8), by


def _check_loci(locus: Int64Array, labels: NDArray[np.int8], split: NDArray[np.int8]) -> None:
    """Raise unless the rows of every locus have one label and one split."""
    order = np.argsort(locus, kind="stable")
    same = np.diff(locus[order]) == 0
    for values, what in ((labels, "labels"), (split, "splits")):
        differs = same & (np.diff(values[order]) != 0)
        if differs.any():
            at = int(locus[order][int(np.argmax(differs))])
            raise InputError(f"locus {at}: its strands have two {what}; expected one")


def _blocks(store: FeatureStore, present: set[str], locus: Int64Array) -> Int64Array:
    """Return the block of every row: neighbours on a contig, else every locus by itself."""
    if {"contig", "start"} <= present:
        # Both strands of a locus begin at the same base, so they share their block.
        return blocks_of_bins(store.coordinate("contig"), store.coordinate("start"))
    return np.unique(locus, return_inverse=True)[1].astype(np.int64)


def row_counts(rows: LabelledRows) -> dict[str, dict[str, int]]:
    """Return rows, loci and positives of every split."""
    found = {}
    for name in SPLITS:
        labels, _, _ = rows.per_locus(name, np.zeros(len(rows.labels)))
        found[name] = {
            "rows": int(rows.of(name).sum()),
            "loci": len(labels),
            "positives": int(labels.sum()),
        }
    return found
