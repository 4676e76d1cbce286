"""Turn lifted source intervals into the rows of ``homologs/<genome>/``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.genome import Genome
from ssldata.liftover.lift_result import LiftResult, Status
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Intervals, merge
from ssldata.rows.row_table import (
    Rows,
    Sources,
    best_source,
    count_positives,
    mixed_split,
    ordered,
    window_reasons,
)
from ssldata.rows.splits import TRAIN
from ssldata.rows.windows import (
    HAS_N,
    KEEP,
    OFF_CONTIG,
    by_contig,
    is_positive,
    kept_contigs,
    spread,
    touches,
)


@dataclass(frozen=True)
class HomologueRows:
    """Rows of one target genome, in stored order."""

    rows: Rows
    ranges: dict[str, tuple[int, int]]
    counts: dict[str, int]


def homologue_rows(
    project: Project, genome: Genome, name: str, sources: Sources, lifted: LiftResult
) -> HomologueRows:
    """Turn lifted source intervals into rows of ``homologs/<name>/``.

    Parameters
    ----------
    project
        Windows, negatives, store seed.
    genome
        The target genome; ``lifted.contig`` indexes its contig names.
    name
        Of the genome.
    sources
        Of the store.
    lifted
        One result per source.

    Returns
    -------
    HomologueRows
        ``counts`` names every row that was dropped and why.
    """
    settings = project.windows
    kept = kept_contigs(genome.names, settings.exclude_target)
    mapped = lifted.status == Status.MAPPED
    positive = sources.label.any(axis=1)
    usable = mapped.copy()
    usable[mapped] &= kept[lifted.contig[mapped]]
    counts = {"excluded_contig": int((mapped & ~usable).sum())}
    targets = Intervals(lifted.contig, lifted.start, lifted.end)
    make = _lifted_bins if settings.mode == "lift-bins" else _rebinned
    rows, dropped = make(project, genome, sources, targets, lifted, usable & positive)
    counts |= dropped
    rows, counts["near_held_out"] = _away_from_held_out(project, rows, rows)
    if project.negatives.source != "reference":
        negatives, dropped = _lifted_bins(
            project, genome, sources, targets, lifted, usable & ~positive
        )
        negatives, near = _away_from_peaks(negatives, targets.take(usable & positive))
        negatives, held_out = _away_from_held_out(project, negatives, rows)
        wanted = int(np.ceil((rows.split == TRAIN).sum() * project.negatives.ratio))
        # Rows come in source order, which is the order of the seeded pool.
        short = max(0, wanted - len(negatives))
        negatives = negatives.take(np.arange(min(wanted, len(negatives))))
        counts |= {f"negative_{key}": value for key, value in dropped.items()}
        counts |= {
            "negative_near_peak": near,
            "negative_near_held_out": held_out,
            "negative_missing": short,
        }
        rows = Rows.concatenate([rows, negatives])
    with_row = np.zeros(len(sources), bool)
    with_row[rows.source] = True
    rows, ranges = ordered(rows, seed=project.store.seed, group=f"homologs/{name}")
    counts |= {
        "rows": len(rows),
        **count_positives(rows),
        "negative_train": ranges["negative"][1] - ranges["negative"][0],
        # Mapped, and yet the source of no row: dropped above, or no bin is covered enough by it.
        "sources_without_row": int((usable & positive & ~with_row).sum()),
    }
    return HomologueRows(rows=rows, ranges=ranges, counts=counts)


def _kept_rows(
    project: Project, genome: Genome, rows: Rows
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which rows have a whole stored window without N, and count the others."""
    reason = window_reasons(
        genome,
        Intervals(rows.contig, rows.start, rows.end),
        size=project.windows.size,
        stored=project.windows.stored,
        n_policy=project.windows.n_policy,
    )
    return reason == KEEP, {
        "off_contig": int((reason == OFF_CONTIG).sum()),
        "has_n": int((reason == HAS_N).sum()),
    }


def _lifted_bins(
    project: Project,
    genome: Genome,
    sources: Sources,
    targets: Intervals,
    lifted: LiftResult,
    usable: NDArray[np.bool_],
) -> tuple[Rows, dict[str, int]]:
    """Centre one bin on the locus of every usable source."""
    size = project.windows.size
    chosen = np.flatnonzero(usable)
    start = (targets.start[chosen] + targets.end[chosen]) // 2 - size // 2
    rows = Rows(
        contig=targets.contig[chosen],
        start=start,
        end=start + size,
        strand=lifted.strand[chosen],
        label=sources.label[chosen],
        coverage=sources.coverage[chosen],
        split=sources.split[chosen],
        source=chosen,
        locus=sources.locus[chosen],
    )
    keep, counts = _kept_rows(project, genome, rows)
    return rows.take(keep), counts


def _rebinned(
    project: Project,
    genome: Genome,
    sources: Sources,
    targets: Intervals,
    lifted: LiftResult,
    usable: NDArray[np.bool_],
) -> tuple[Rows, dict[str, int]]:
    """Tile the target genome against the lifted peaks."""
    settings = project.windows
    size = settings.size
    chosen = np.flatnonzero(usable)
    experiments = sources.label.shape[1]
    bins_per_contig = genome.sizes // size
    offset = np.concatenate(([0], np.cumsum(bins_per_contig)))

    def pairs_of(intervals: Intervals) -> tuple[NDArray[np.int64], ...]:
        pairs = spread(intervals, size=size)
        contig = intervals.contig[pairs.row]
        whole = pairs.bin < bins_per_contig[contig]
        return (offset[contig] + pairs.bin)[whole], pairs.row[whole], pairs.overlap[whole]

    bins, rows_of, overlap = pairs_of(targets.take(chosen))
    touched, best = best_source(bins, chosen[rows_of], overlap)
    coverage = np.zeros((len(touched), experiments), np.int32)
    for column in range(experiments):
        union = merge(targets.take(chosen[sources.label[chosen, column] > 0]))
        covered, _, bases = pairs_of(union)
        np.add.at(coverage[:, column], np.searchsorted(touched, covered), bases.astype(np.int32))
    label = is_positive(coverage, size=size, min_overlap=settings.min_overlap).astype(np.uint8)
    mixed = mixed_split(bins, sources.split[chosen[rows_of]], touched)
    positive = label.any(axis=1)
    kept = positive & ~mixed
    contig = (np.searchsorted(offset, touched[kept], side="right") - 1).astype(np.int32)
    start = (touched[kept] - offset[contig]) * size
    source = best[kept]
    rows = Rows(
        contig=contig,
        start=start,
        end=start + size,
        strand=lifted.strand[source],
        label=label[kept],
        coverage=coverage[kept],
        split=sources.split[source],
        source=source,
        locus=sources.locus[source],
    )
    keep, counts = _kept_rows(project, genome, rows)
    return rows.take(keep), counts | {"two_splits": int((positive & mixed).sum())}


def _away_from_held_out(project: Project, rows: Rows, positives: Rows) -> tuple[Rows, int]:
    """Drop train rows that share a stored base with a positive of validation or test; count them.

    Two sources may lie on one place of the target genome, and context reaches over a bin's ends:
    a test sequence would be trained on under a train source's name.
    """
    pad = (project.windows.stored - project.windows.size) // 2

    def windows(rows: Rows) -> Intervals:
        return Intervals(rows.contig, rows.start - pad, rows.end + pad)

    held_out = merge(windows(positives.take(positives.split != TRAIN)))
    near = (rows.split == TRAIN) & _on(held_out, windows(rows))
    return rows.take(~near), int(near.sum())


def _away_from_peaks(rows: Rows, peaks: Intervals) -> tuple[Rows, int]:
    """Drop rows whose bin shares a base with a lifted peak; return how many there were."""
    near = _on(merge(peaks), Intervals(rows.contig, rows.start, rows.end))
    return rows.take(~near), int(near.sum())


def _on(union: Intervals, windows: Intervals) -> NDArray[np.bool_]:
    """Return which windows share a base with a union of intervals."""
    runs = {contig: union.take(here) for contig, here in by_contig(union.contig)}
    result = np.zeros(len(windows), bool)
    for contig, here in by_contig(windows.contig):
        if contig in runs:
            on = runs[contig]
            result[here] = touches(windows.start[here], windows.end[here], on.start, on.end)
    return result
