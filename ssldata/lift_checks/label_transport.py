"""Pseudo-labels of a genome against peaks that were measured there: precision and recall.

A row is right if the measured peaks cover more than `min_overlap` of its bin, the rule by which the
rows of the labelled genome got their labels. Rows of one locus are right or wrong together, so
intervals count loci.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.keyed_random import hash_rows
from ssldata.lift_checks.proportions import Share, interval_text, share_of
from ssldata.rows.bin_labels import is_positive
from ssldata.rows.intervals import Intervals, Peaks, merge, read_peaks
from ssldata.store.store import Store
from ssldata.trust.findings import Finding, FindingTable, Mark

#: Lower ends of the bins of identity.
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
#: How far aside the places of the control lie, in bins.
_NEAREST, _FARTHEST = 5, 50
#: Loci below which nothing is judged, and precision below which most labels are wrong.
FEWEST_LOCI, MOSTLY_WRONG = 20, 0.5
#: Share of rows on contigs without any measured peak that a reader should know of.
_SILENT = 0.10


@dataclass(frozen=True)
class IdentityBin:
    """Pseudo-positives of one bin of identity.

    Attributes
    ----------
    low, high
        Ends of the bin, half-open; the last one is closed.
    rows, loci
        Pseudo-positive rows, and the loci they are of.
    right
        Rows that measured peaks confirm.
    precision
        Right among rows; the interval counts loci.
    recall
        Share of the measured peaks that rows of this bin or of more identity cover.
    """

    low: float
    high: float
    rows: int
    loci: int
    right: int
    precision: Share
    recall: Share


@dataclass(frozen=True)
class LabelTransport:
    """Pseudo-labels of one experiment in one genome against measured peaks.

    Attributes
    ----------
    genome, experiment
        Names.
    bins
        By identity.
    rows, loci, right, precision
        Of all pseudo-positives.
    peaks, found, recall
        Measured peaks on contigs of the genome, those that a pseudo-positive covers, their share.
    aside, aside_right
        Places aside of the pseudo-positives, and how many of them have a measured peak; what a
        label is worth that was put beside.
    negatives, negatives_bound
        Rows with label 0, and how many of them have a measured peak.
    counts, unknown
        What was read: see :class:`ssldata.rows.intervals.Peaks`.
    silent_rows
        Pseudo-positives on contigs without any measured peak.
    """

    genome: str
    experiment: str
    bins: tuple[IdentityBin, ...]
    rows: int
    loci: int
    right: int
    precision: Share
    peaks: int
    found: int
    recall: Share
    aside: int
    aside_right: int
    negatives: int
    negatives_bound: int
    counts: Mapping[str, int]
    unknown: Mapping[str, int]
    silent_rows: int

    @property
    def control(self) -> Share:
        """Share of the places aside that have a measured peak."""
        loci = min(self.aside, self.loci)
        return share_of(self.aside_right, self.aside, independent=loci)


def audit_labels(
    store: Store,
    peaks: Path,
    *,
    genome: str,
    experiment: str | None = None,
    width: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> LabelTransport:
    """Compare the pseudo-labels of a genome with peaks that were measured in it.

    Parameters
    ----------
    store
        The store.
    peaks
        BED or narrowPeak, plain or packed, in coordinates of the genome.
    genome
        Name of the genome.
    experiment
        Which labels; needed where the store has several.
    width
        Set every peak to so many bases around its summit, as the project did.
    aliases
        Other names of contigs, alias → name.

    Raises
    ------
    ConfigError
        No such experiment, or which one is not said.
    StoreError
        No such genome, or a store without the sizes of contigs.
    InputError
        The file is malformed, or of another assembly.
    """
    column = _experiment(store, experiment)
    group = store.homologues(genome)
    attributes = group.attributes()
    if "contig_sizes" not in attributes:
        raise StoreError(f"{store.location}: {group.name} lacks the sizes of its contigs; rebuild")
    sizes = np.array(attributes["contig_sizes"], np.int64)
    measured = read_peaks(peaks, names=group.contigs, sizes=sizes, aliases=aliases, width=width)
    columns = {
        key: group.column(key) for key in ("contig", "start", "end", "locus", "identity", "label")
    }
    windows: Mapping[str, Any] = store.attributes["windows"]
    return label_transport(
        columns | {"label": columns["label"][:, column]},
        measured,
        sizes,
        genome=genome,
        experiment=store.experiments[column],
        min_overlap=float(windows["min_overlap"]),
    )


def _experiment(store: Store, experiment: str | None) -> int:
    names = store.experiments
    if experiment is None and len(names) == 1:
        return 0
    if experiment not in names:
        said = "is not in" if experiment is not None else "must be chosen of those of"
        raise ConfigError(
            f"--experiment {experiment or ''}: it {said} {store.location}; there are "
            f"{', '.join(names)}"
        )
    return names.index(experiment)


def label_transport(
    rows: Mapping[str, NDArray[Any]],
    measured: Peaks,
    sizes: NDArray[np.int64],
    *,
    genome: str,
    experiment: str,
    min_overlap: float,
) -> LabelTransport:
    """Compare pseudo-labels with measured peaks.

    Parameters
    ----------
    rows
        Columns of the rows of a genome: ``contig``, ``start``, ``end``, ``locus``, ``identity``,
        and the ``label`` of one experiment.
    measured
        Peaks in the same genome.
    sizes
        Of its contigs, in bases.
    genome, experiment
        Names.
    min_overlap
        Share of a bin that peaks must cover.
    """
    union = merge(measured.intervals)
    size = int(rows["end"][0] - rows["start"][0]) if len(rows["start"]) else 1

    def confirmed(bins: Intervals) -> NDArray[np.bool_]:
        return is_positive(covered(union, bins), size=size, min_overlap=min_overlap)

    every = Intervals(rows["contig"], rows["start"], rows["end"])
    label = rows["label"] > 0
    positive = every.take(label)
    right, identity, locus = confirmed(positive), rows["identity"][label], rows["locus"][label]
    need = min_overlap * np.minimum(measured.intervals.end - measured.intervals.start, size)
    bins = []
    for low, high in zip(EDGES, (*EDGES[1:], 1.0), strict=True):
        last = high == 1.0
        inside = (identity >= low) & ((identity < high) | last)
        if not inside.any():
            continue
        alike = merge(positive.take(identity >= low))
        hit = covered(alike, measured.intervals) > need
        loci = len(np.unique(locus[inside]))
        good = int(right[inside].sum())
        bins.append(
            IdentityBin(
                low, high, int(inside.sum()), loci, good,
                share_of(good, int(inside.sum()), independent=loci),
                share_of(int(hit.sum()), len(hit)),
            )
        )  # fmt: skip
    found = int((covered(merge(positive), measured.intervals) > need).sum())
    loci = len(np.unique(locus))
    aside = _aside(positive, sizes, size)
    aside = aside.take(covered(merge(positive), aside) == 0)
    silent = ~np.isin(positive.contig, np.unique(union.contig))
    return LabelTransport(
        genome=genome,
        experiment=experiment,
        bins=tuple(bins),
        rows=len(positive),
        loci=loci,
        right=int(right.sum()),
        precision=share_of(int(right.sum()), len(positive), independent=loci),
        peaks=len(measured.intervals),
        found=found,
        recall=share_of(found, len(measured.intervals)),
        aside=len(aside),
        aside_right=int(confirmed(aside).sum()),
        negatives=int((~label).sum()),
        negatives_bound=int(confirmed(every.take(~label)).sum()),
        counts=measured.counts,
        unknown=measured.unknown,
        silent_rows=int(silent.sum()),
    )


def covered(union: Intervals, intervals: Intervals) -> NDArray[np.int64]:
    """Return the bases of each interval that a union of intervals covers.

    Parameters
    ----------
    union
        As of :func:`ssldata.rows.intervals.merge`: sorted, not overlapping.
    intervals
        Any, 0-based half-open.
    """
    if not len(union):
        return np.zeros(len(intervals), np.int64)
    first = _key(union.contig, union.start)
    length = union.end - union.start
    before = np.cumsum(length) - length

    def until(contig: NDArray[np.int32], position: NDArray[np.int64]) -> NDArray[np.int64]:
        key = _key(contig, position)
        at = np.searchsorted(first, key, side="right") - 1
        inside = np.minimum(key - first[at], length[at])
        return np.asarray(np.where(at < 0, 0, before[at] + inside))

    return until(intervals.contig, intervals.end) - until(intervals.contig, intervals.start)


def _key(contig: NDArray[np.int32], position: NDArray[np.int64]) -> NDArray[np.int64]:
    return contig.astype(np.int64) << 40 | position


def _aside(bins: Intervals, sizes: NDArray[np.int64], size: int) -> Intervals:
    """Return places 5 to 50 bins beside bins, on the side that their number decides."""
    drawn = hash_rows(bins.start, "label-transport")
    step = (_NEAREST + drawn % np.uint64(_FARTHEST - _NEAREST)).astype(np.int64) * size
    start = bins.start + np.where(drawn >> np.uint64(63) == 1, step, -step)
    fits = (start >= 0) & (start + size <= sizes[bins.contig])
    return Intervals(bins.contig, start, start + size).take(fits)


def transport_finding(found: LabelTransport) -> Finding:
    """Return the finding on pseudo-labels of one genome.

    Parameters
    ----------
    found
        What the comparison gave.
    """
    control = found.control
    mark: Mark = "pass"
    advice = ""
    if found.loci < FEWEST_LOCI or found.precision.low is None or found.precision.value is None:
        mark = "note"
    elif control.high is not None and found.precision.low <= control.high:
        mark = "fail"
        advice = "the labels are no better than chance: check coordinates, assembly and chain"
    elif found.precision.value < MOSTLY_WRONG:
        mark = "warn"
        advice = "train with confidence weights (ssl-ns), or only on rows of high identity"
    summary = (
        f"{interval_text(found.precision)} of {found.rows:,} pseudo-positives "
        f"({found.loci:,} loci) have a measured peak, {interval_text(control)} of places aside; "
        "they cover "
        f"{interval_text(found.recall)} of {found.peaks:,} measured peaks"
    )
    if found.loci < FEWEST_LOCI:
        summary += "; too few loci to judge"
    if found.unknown:
        summary += (
            f"; {found.counts['unknown_contig']:,} peaks are on contigs the genome does not have "
            f"({', '.join(list(found.unknown)[:3])})"
        )
    if found.silent_rows > _SILENT * max(1, found.rows):
        summary += (
            f"; {found.silent_rows:,} pseudo-positives are on contigs without any measured peak, "
            "and count as wrong"
        )
    return Finding(
        "quality.labels",
        f"Pseudo-labels of {found.experiment} in {found.genome} against measured peaks",
        mark,
        summary,
        "a network learns the errors of its labels, too",
        advice,
        {
            "rows": found.rows, "loci": found.loci, "right_rows": found.right,
            "precision_fraction": found.precision.value, "precision_low": found.precision.low,
            "precision_high": found.precision.high, "control_places": found.aside,
            "control_fraction": control.value, "measured_peaks": found.peaks,
            "found_peaks": found.found, "recall_fraction": found.recall.value,
            "negative_rows": found.negatives, "bound_negative_rows": found.negatives_bound,
            "rows_on_contigs_without_peaks": found.silent_rows,
            **{f"peaks_{key}": value for key, value in found.counts.items()},
        },
        {
            "By identity": FindingTable(
                ("identity from", "identity to", "rows", "loci", "right rows", "precision",
                 "precision from", "precision to", "recall from this identity on",
                 "recall from", "recall to"),
                tuple(
                    (b.low, b.high, b.rows, b.loci, b.right, *b.precision, *b.recall)
                    for b in found.bins
                ),
                plot=("identity from", "precision"),
            )
        },
    )  # fmt: skip
