"""Turn lifted source intervals into the rows of ``homologs/<genome>/``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.genome import Genome
from ssldata.liftover.lift_result import LiftResult, Status
from ssldata.project.project_file import Project
from ssldata.rows.bin_labels import is_positive
from ssldata.rows.intervals import Intervals, merge
from ssldata.rows.kept_windows import HAS_N, KEEP, OFF_CONTIG, window_reasons
from ssldata.rows.lifted_negatives import kept_negatives, lifts_negatives, negatives_needed
from ssldata.rows.row_table import Rows, Sources, best_source, count_positives, mixed_split, ordered
from ssldata.rows.splits import TRAIN
from ssldata.rows.windows import BinGrid, by_contig, kept_contigs, touches


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
        Name of the genome.
    sources
        Source intervals of the store.
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
    if lifts_negatives(project):
        negatives, dropped = _lifted_bins(
            project, genome, sources, targets, lifted, usable & ~positive
        )
        negatives, near = _away_from_peaks(negatives, targets.take(usable & positive))
        negatives, held_out = _away_from_held_out(project, negatives, rows)
        needed = negatives_needed(project, int((rows.split == TRAIN).sum()))
        negatives = negatives.take(
            kept_negatives(negatives.source, needed, seed=project.store.seed, genome=name)
        )
        counts |= {f"negative_{key}": value for key, value in dropped.items()}
        counts |= {
            "negative_near_peak": near,
            "negative_near_held_out": held_out,
            # Of an epoch, not of the pool that is kept for it.
            "negative_missing": max(0, needed - len(negatives)),
        }
        rows = Rows.concatenate([rows, negatives])
    with_row = np.zeros(len(sources), bool)
    with_row[rows.source] = True
    rows, ranges = ordered(rows, seed=project.store.seed, group=f"homologs/{name}")
    counts |= {
        "rows": len(rows),
        **count_positives(rows),
        "negative_train": ranges["negative"][1] - ranges["negative"][0],
        # Mapped, but the source of no row: dropped above, or it covers no bin enough.
        "sources_without_row": int((usable & positive & ~with_row).sum()),
    }
    return HomologueRows(rows=rows, ranges=ranges, counts=counts)


def _kept_rows(project: Project, genome: Genome, rows: Rows) -> tuple[Rows, dict[str, int]]:
    """Return the rows whose stored window is whole and has no N, and count the others."""
    reason = window_reasons(genome, _bins(rows), project.windows)
    return rows.take(reason == KEEP), {
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
    return _kept_rows(project, genome, rows)


def _rebinned(
    project: Project,
    genome: Genome,
    sources: Sources,
    targets: Intervals,
    lifted: LiftResult,
    usable: NDArray[np.bool_],
) -> tuple[Rows, dict[str, int]]:
    """Tile the target genome against the lifted peaks."""
    size = project.windows.size
    grid = BinGrid(size, genome.sizes // size)
    chosen = np.flatnonzero(usable)
    pairs = grid.pairs(targets.take(chosen))
    origin = chosen[pairs.row]
    touched, best = best_source(pairs.bin, origin, pairs.overlap)
    unions = [merge(targets.take(chosen[column > 0])) for column in sources.label[chosen].T]
    coverage = grid.coverage(touched, unions)
    covered = is_positive(coverage, size=size, min_overlap=project.windows.min_overlap)
    mixed = mixed_split(pairs.bin, sources.split[origin], touched)
    positive = covered.any(axis=1)
    kept = positive & ~mixed
    bins, source = grid.intervals(touched[kept]), best[kept]
    rows = Rows(
        contig=bins.contig,
        start=bins.start,
        end=bins.end,
        strand=lifted.strand[source],
        label=covered[kept].astype(np.uint8),
        coverage=coverage[kept],
        split=sources.split[source],
        source=source,
        locus=sources.locus[source],
    )
    rows, counts = _kept_rows(project, genome, rows)
    return rows, counts | {"two_splits": int((positive & mixed).sum())}


def _away_from_held_out(project: Project, rows: Rows, positives: Rows) -> tuple[Rows, int]:
    """Drop train rows that share a stored base with a positive of validation or test; count them.

    Two sources may be lifted to the same place, and context extends beyond a bin: a test sequence
    would be trained on as the homologue of a train source.
    """
    pad = project.windows.padding

    def windows(rows: Rows) -> Intervals:
        return Intervals(rows.contig, rows.start - pad, rows.end + pad)

    held_out = merge(windows(positives.take(positives.split != TRAIN)))
    near = (rows.split == TRAIN) & _on(held_out, windows(rows))
    return rows.take(~near), int(near.sum())


def _away_from_peaks(rows: Rows, peaks: Intervals) -> tuple[Rows, int]:
    """Drop rows whose bin shares a base with a lifted peak; count them."""
    near = _on(merge(peaks), _bins(rows))
    return rows.take(~near), int(near.sum())


def _bins(rows: Rows) -> Intervals:
    return Intervals(rows.contig, rows.start, rows.end)


def _on(union: Intervals, windows: Intervals) -> NDArray[np.bool_]:
    """Return which windows share a base with a union of intervals."""
    runs = {contig: union.take(here) for contig, here in by_contig(union.contig)}
    result = np.zeros(len(windows), bool)
    for contig, here in by_contig(windows.contig):
        if contig in runs:
            on = runs[contig]
            result[here] = touches(windows.start[here], windows.end[here], on.start, on.end)
    return result
