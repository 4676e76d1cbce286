"""Label the bins of the reference and choose the rows of ``reference/`` and the sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import first_of_permutation
from ssldata.genomes.genome import Genome
from ssldata.project.project_file import Project
from ssldata.rows.bin_labels import is_positive
from ssldata.rows.intervals import Intervals, Peaks, containing, merge
from ssldata.rows.kept_windows import HAS_N, KEEP, OFF_CONTIG, window_reasons
from ssldata.rows.lifted_negatives import lifts_negatives, with_negatives
from ssldata.rows.row_table import Rows, Sources, best_source, count_positives, mixed_split, ordered
from ssldata.rows.splits import TRAIN, VALIDATION, split_of
from ssldata.rows.windows import BinGrid, kept_contigs

#: Bins examined at a time.
_PORTION = 262_144


@dataclass(frozen=True)
class ReferenceRows:
    """Rows of the labelled genome, in stored order, with their ranges, sources and counts."""

    rows: Rows
    ranges: dict[str, tuple[int, int]]
    sources: Sources
    counts: dict[str, int]


@dataclass(frozen=True)
class _Touched:
    """The bins that share a base with a peak, ascending; all arrays have one entry per bin.

    `source` is the peak with most bases in the bin and `locus` its merged peak; `mixed` marks bins
    touched by peaks of two splits.
    """

    bins: NDArray[np.int64]
    intervals: Intervals
    source: NDArray[np.int64]
    locus: NDArray[np.int64]
    split: NDArray[np.int8]
    mixed: NDArray[np.bool_]
    label: NDArray[np.uint8]
    coverage: NDArray[np.int32]


@dataclass(frozen=True)
class _Scan:
    """The result of a pass over all bins.

    `reason` is why each touched bin is not stored; `train` and `held_out` are the usable bins that
    no peak touches, ascending.
    """

    reason: NDArray[np.int8]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    counts: dict[str, int]


def _on_kept_contigs(
    peaks: Mapping[str, Peaks], kept: NDArray[np.bool_]
) -> tuple[dict[str, Peaks], int]:
    """Return the peaks on contigs that are not excluded, and the number of the others.

    An excluded contig may be another copy of a test contig (chr8_KI270821v1_alt). Its peaks are no
    sources, or their homologues on chr8 of another genome would be trained on.
    """
    masks = {e: kept[p.intervals.contig] for e, p in peaks.items()}
    chosen = {
        e: replace(p, intervals=p.intervals.take(masks[e]), score=p.score[masks[e]])
        for e, p in peaks.items()
    }
    return chosen, sum(int((~mask).sum()) for mask in masks.values())


def reference_rows(
    project: Project, experiments: Sequence[str], genome: Genome, peaks: Mapping[str, Peaks]
) -> ReferenceRows:
    """Label the bins of the reference and choose the rows of ``reference/``.

    Memory grows with the peaks and the rows, plus one number per bin that no peak touches.

    Parameters
    ----------
    project
        Windows, split, negatives, store seed.
    experiments
        Label columns, in order.
    genome
        The labelled genome.
    peaks
        Peaks of each experiment.

    Returns
    -------
    ReferenceRows
        Everything but the sequences.
    """
    settings = project.windows
    kept = kept_contigs(genome.names, settings.exclude)
    peaks, excluded_peaks = _on_kept_contigs({e: peaks[e] for e in experiments}, kept)
    grid = BinGrid(settings.size, genome.sizes // settings.size)

    # All peaks of the store, sorted; the loci are their union.
    every = Intervals(
        *(
            np.concatenate([getattr(peaks[e].intervals, f) for e in experiments])
            for f in ("contig", "start", "end")
        )
    )
    owner = np.repeat(np.arange(len(experiments)), [len(peaks[e].intervals) for e in experiments])
    score = np.concatenate([peaks[e].score for e in experiments])
    # lexsort is stable: equal intervals stay in the order of experiment, then file.
    order = np.lexsort((every.end, every.start, every.contig))
    every, owner, score = every.take(order), owner[order], score[order]
    loci = merge(every)
    locus = containing(loci, every)
    peak_split = split_of(every.contig, loci.start[locus], split=project.split, names=genome.names)
    touched = _touched(grid, every, loci, locus, peak_split, project, genome, peaks)
    scan = _scan(grid, touched.bins, project, genome, kept)

    positive = touched.label.any(axis=1)
    partial = ~positive & touched.coverage.any(axis=1)
    whole = scan.reason == KEEP
    usable = whole & ~touched.mixed
    stays = positive | ((touched.split != TRAIN) & settings.partial_in_test)
    half = np.flatnonzero(usable & partial & (touched.split == TRAIN))
    half = half[: len(half) if project.negatives.half_covered == "negative" else 0]
    plain = len(scan.train)
    pool = first_of_permutation(
        plain + len(half), project.negatives.pool, "pool", project.store.seed
    )
    stays[half[pool[pool >= plain] - plain]] = True
    chosen = np.flatnonzero(usable & stays)

    sources = Sources(
        intervals=every,
        score=score,
        split=peak_split,
        locus=locus,
        label=np.eye(len(experiments), dtype=np.uint8)[owner],
        coverage=_own_coverage(every, owner, len(experiments)),
    )
    source = touched.source
    if settings.mode == "lift-bins":
        # Every usable positive bin is a source, in genome order.
        bins = np.flatnonzero(usable & positive)
        sources = Sources(
            intervals=touched.intervals.take(bins),
            score=score[source[bins]],
            split=touched.split[bins],
            locus=touched.locus[bins],
            label=touched.label[bins],
            coverage=touched.coverage[bins],
        )
        source = np.full(len(touched.bins), -1, np.int64)
        source[bins] = np.arange(len(bins))
    rows = Rows.concatenate(
        [
            Rows(
                contig=touched.intervals.contig[chosen],
                start=touched.intervals.start[chosen],
                end=touched.intervals.end[chosen],
                strand=np.ones(len(chosen), np.int8),
                label=touched.label[chosen],
                coverage=touched.coverage[chosen],
                split=touched.split[chosen],
                source=np.where(positive, source, -1)[chosen],
                locus=np.where(positive, touched.locus, -1)[chosen],
            ),
            *(
                _plain_rows(grid, bins, project, genome, len(experiments))
                for bins in (scan.train[pool[pool < plain]], scan.held_out)
            ),
        ]
    )
    rows, ranges = ordered(rows, seed=project.store.seed, group="reference")
    if lifts_negatives(project):
        sources = with_negatives(project, sources, rows, ranges["negative"])
    counts = {
        **scan.counts,
        "two_splits": int((whole & touched.mixed).sum()),
        "partial_left_out": int((usable & ~stays).sum()) - int((~stays[half]).sum()),
        "negatives_left_out": plain + len(half) - len(pool),
        "rows": len(rows),
        "sources": len(sources),
        "loci": len(loci),
        "peaks_on_excluded_contigs": excluded_peaks,
        **count_positives(rows),
    }
    return ReferenceRows(rows=rows, ranges=ranges, sources=sources, counts=counts)


def _own_coverage(
    every: Intervals, owner: NDArray[np.int64], experiments: int
) -> NDArray[np.int32]:
    """Return the width of every peak, in the column of its experiment."""
    own = np.zeros((len(every), experiments), np.int32)
    own[np.arange(len(every)), owner] = every.end - every.start
    return own


def _touched(
    grid: BinGrid,
    every: Intervals,
    loci: Intervals,
    locus: NDArray[np.int64],
    peak_split: NDArray[np.int8],
    project: Project,
    genome: Genome,
    peaks: Mapping[str, Peaks],
) -> _Touched:
    """Label the bins that share a base with a peak."""
    pairs = grid.pairs(every)
    bins, source = best_source(pairs.bin, pairs.row, pairs.overlap)
    coverage = grid.coverage(bins, [merge(one.intervals) for one in peaks.values()])
    label = is_positive(coverage, size=grid.size, min_overlap=project.windows.min_overlap)
    intervals, unit = grid.intervals(bins), loci.start[locus[source]]
    return _Touched(
        bins=bins,
        intervals=intervals,
        source=source,
        locus=locus[source],
        split=split_of(intervals.contig, unit, split=project.split, names=genome.names),
        mixed=mixed_split(pairs.bin, peak_split[pairs.row], bins),
        label=label.astype(np.uint8),
        coverage=coverage,
    )


def _scan(
    grid: BinGrid,
    touched: NDArray[np.int64],
    project: Project,
    genome: Genome,
    kept: NDArray[np.bool_],
) -> _Scan:
    """Examine every bin of the genome, a portion at a time."""
    total = int(grid.first[-1])
    reasons = np.full(len(touched), KEEP, np.int8)
    number = np.int32 if total < 2**31 else np.int64
    parts: dict[int, list[NDArray[np.integer]]] = {TRAIN: [], VALIDATION: []}
    counts = Counter[int]()
    excluded = 0
    for first in range(0, total, _PORTION):
        bins = np.arange(first, min(first + _PORTION, total), dtype=np.int64)
        intervals = grid.intervals(bins)
        on_kept = kept[intervals.contig]
        excluded += int((~on_kept).sum())
        bins, intervals = bins[on_kept], intervals.take(on_kept)
        reason = window_reasons(genome, intervals, project.windows)
        counts.update(dict(enumerate(np.bincount(reason, minlength=HAS_N + 1).tolist())))
        plain = reason == KEEP
        low, high = np.searchsorted(touched, (first, first + _PORTION))
        # Peaks on excluded contigs were removed, so every touched bin is among these.
        here = np.searchsorted(bins, touched[low:high])
        reasons[low:high] = reason[here]
        plain[here] = False
        bins, intervals = bins[plain], intervals.take(plain)
        split = split_of(intervals.contig, intervals.start, split=project.split, names=genome.names)
        parts[TRAIN].append(bins[split == TRAIN].astype(number))
        parts[VALIDATION].append(bins[split != TRAIN].astype(number))
    train, held_out = (np.concatenate([np.empty(0, number), *some]) for some in parts.values())
    return _Scan(
        reasons,
        train,
        held_out,
        {
            "bins": total,
            "excluded_contig": excluded,
            "off_contig": counts[OFF_CONTIG],
            "has_n": counts[HAS_N],
        },
    )


def _plain_rows(
    grid: BinGrid,
    bins: NDArray[np.integer],
    project: Project,
    genome: Genome,
    experiments: int,
) -> Rows:
    """Return rows of bins that no peak touches."""
    intervals = grid.intervals(bins.astype(np.int64))
    n = len(bins)
    return Rows(
        contig=intervals.contig,
        start=intervals.start,
        end=intervals.end,
        strand=np.ones(n, np.int8),
        label=np.zeros((n, experiments), np.uint8),
        coverage=np.zeros((n, experiments), np.int32),
        split=split_of(intervals.contig, intervals.start, split=project.split, names=genome.names),
        source=np.full(n, -1, np.int64),
        locus=np.full(n, -1, np.int64),
    )
