"""Label the bins of the reference and choose the rows of ``reference/`` and the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssldata.config import Project
from ssldata.genome import Genome
from ssldata.hashing import permutation
from ssldata.intervals import Intervals, Peaks, containing, merge
from ssldata.rows import (
    Rows,
    Sources,
    best_source,
    count_positives,
    mixed_split,
    ordered,
    window_reasons,
)
from ssldata.splits import TRAIN, split_of
from ssldata.windows import HAS_N, KEEP, OFF_CONTIG, is_positive, kept_contigs, spread, tile

#: Candidates per wanted lifted negative: some do not map, and some land on a lifted peak.
_NEGATIVE_CANDIDATES = 4


@dataclass(frozen=True)
class ReferenceRows:
    """Rows of the labelled genome, in stored order, with their ranges, sources and counts."""

    rows: Rows
    ranges: dict[str, tuple[int, int]]
    sources: Sources
    counts: dict[str, int]


def _coverage(peaks: Peaks, offset: NDArray[np.int64], total: int, size: int) -> NDArray[np.int32]:
    """Return bases of every bin of the genome covered by the union of peaks."""
    union = merge(peaks.intervals)
    pairs = spread(union, size=size)
    contig = union.contig[pairs.row]
    inside = pairs.bin < (offset[contig + 1] - offset[contig])  # not in a rest at a contig's end
    covered = np.zeros(total, np.int32)
    np.add.at(covered, (offset[contig] + pairs.bin)[inside], pairs.overlap[inside].astype(np.int32))
    return covered


def reference_rows(
    project: Project, experiments: Sequence[str], genome: Genome, peaks: Mapping[str, Peaks]
) -> ReferenceRows:
    """Label the bins of the reference and choose the rows of ``reference/``.

    Parameters
    ----------
    project
        Windows, split, negatives, store seed.
    experiments
        Label columns, in order.
    genome
        The labelled genome.
    peaks
        Per experiment.

    Returns
    -------
    ReferenceRows
        Everything but the sequences.
    """
    settings, names = project.windows, genome.names
    size = settings.size
    kept = kept_contigs(names, settings.exclude)
    # An excluded contig may be another copy of a test contig (chr8_KI270821v1_alt): its peaks are
    # no source, or their homologues on chr8 of another genome would train.
    on_kept_contig = {e: kept[peaks[e].intervals.contig] for e in experiments}
    excluded_peaks = sum(int((~mask).sum()) for mask in on_kept_contig.values())
    peaks = {
        e: replace(
            peaks[e],
            intervals=peaks[e].intervals.take(mask),
            score=peaks[e].score[mask],
        )
        for e, mask in on_kept_contig.items()
    }
    bins = tile(genome.sizes, np.ones(len(names), bool), size=size)
    counts_per_contig = genome.sizes // size
    offset = np.concatenate(([0], np.cumsum(counts_per_contig)))
    coverage = np.stack([_coverage(peaks[e], offset, len(bins), size) for e in experiments], axis=1)
    label = is_positive(coverage, size=size, min_overlap=settings.min_overlap).astype(np.uint8)

    # All peaks of the store, sorted; loci are their union.
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
    peak_split = split_of(every.contig, loci.start[locus], split=project.split, names=names)

    # Per bin: its source peak, and whether peaks of two splits touch it.
    pairs = spread(every, size=size)
    pair_contig = every.contig[pairs.row]
    whole = pairs.bin < counts_per_contig[pair_contig]
    pair_bin = (offset[pair_contig] + pairs.bin)[whole]
    pair_peak = pairs.row[whole]
    touched, touched_source = best_source(pair_bin, pair_peak, pairs.overlap[whole])
    source = np.full(len(bins), -1, np.int64)
    source[touched] = touched_source
    bin_locus = np.where(source >= 0, locus[source], -1)
    unit = np.where(bin_locus >= 0, loci.start[bin_locus], bins.start)
    split = split_of(bins.contig, unit, split=project.split, names=names)
    mixed = np.zeros(len(bins), bool)
    mixed[touched] = mixed_split(pair_bin, peak_split[pair_peak], touched)

    reason = np.full(len(bins), KEEP, np.int8)
    on_kept = kept[bins.contig]
    reason[on_kept] = window_reasons(
        genome, bins.take(on_kept), size=size, stored=settings.stored, n_policy=settings.n_policy
    )
    positive = label.any(axis=1)
    partial = ~positive & coverage.any(axis=1)
    usable = on_kept & (reason == KEEP) & ~mixed
    train = split == TRAIN
    stays = positive | ~partial | (~train & settings.partial_in_test)
    chosen = usable & stays
    negatives = np.flatnonzero(chosen & train & ~positive)
    pool = negatives[permutation(len(negatives), "pool", project.store.seed)]
    pool = pool[: project.negatives.pool]
    chosen[negatives] = False
    chosen[pool] = True

    lift_bins = settings.mode == "lift-bins"
    if lift_bins:
        # Every usable positive bin is a source, in genome order.
        source_bins = np.flatnonzero(usable & positive)
        source = np.full(len(bins), -1, np.int64)
        source[source_bins] = np.arange(len(source_bins))
        sources = Sources(
            intervals=bins.take(source_bins),
            score=score[touched_source[np.searchsorted(touched, source_bins)]],
            split=split[source_bins],
            locus=bin_locus[source_bins],
            label=label[source_bins],
            coverage=coverage[source_bins],
        )
    else:
        own = np.zeros((len(every), len(experiments)), np.uint8)
        own[np.arange(len(every)), owner] = 1
        sources = Sources(
            intervals=every,
            score=score,
            split=peak_split,
            locus=locus,
            label=own,
            coverage=own.astype(np.int32) * (every.end - every.start).astype(np.int32)[:, None],
        )
    everything = Rows(
        contig=bins.contig,
        start=bins.start,
        end=bins.end,
        strand=np.ones(len(bins), np.int8),
        label=label,
        coverage=coverage,
        split=split,
        source=np.where(positive, source, -1),
        locus=np.where(positive, bin_locus, -1),
    )
    rows, ranges = ordered(everything.take(chosen), seed=project.store.seed, group="reference")
    if project.negatives.source != "reference":
        sources = _with_negatives(project, sources, rows, ranges["negative"])
    counts = {
        "bins": len(bins),
        "excluded_contig": int((~on_kept).sum()),
        "off_contig": int((reason == OFF_CONTIG).sum()),
        "has_n": int((reason == HAS_N).sum()),
        "two_splits": int((on_kept & (reason == KEEP) & mixed).sum()),
        "partial_left_out": int((usable & ~stays).sum()),
        "negatives_left_out": len(negatives) - len(pool),
        "rows": len(rows),
        "sources": len(sources),
        "loci": len(loci),
        "peaks_on_excluded_contigs": excluded_peaks,
        **count_positives(rows),
    }
    return ReferenceRows(rows=rows, ranges=ranges, sources=sources, counts=counts)


def _with_negatives(
    project: Project, sources: Sources, rows: Rows, span: tuple[int, int]
) -> Sources:
    """Append negative bins of the train split to the sources, in the order of the pool."""
    wanted = int(np.ceil(sources.positives * project.negatives.ratio)) * _NEGATIVE_CANDIDATES
    bins = rows.take(np.arange(span[0], min(span[1], span[0] + wanted)))
    return Sources(
        intervals=Intervals(
            np.concatenate([sources.intervals.contig, bins.contig]),
            np.concatenate([sources.intervals.start, bins.start]),
            np.concatenate([sources.intervals.end, bins.end]),
        ),
        score=np.concatenate([sources.score, np.zeros(len(bins), np.float32)]),
        split=np.concatenate([sources.split, bins.split]),
        locus=np.concatenate([sources.locus, np.full(len(bins), -1, np.int64)]),
        label=np.concatenate([sources.label, np.zeros_like(bins.label)]),
        coverage=np.concatenate([sources.coverage, np.zeros_like(bins.coverage)]),
    )
