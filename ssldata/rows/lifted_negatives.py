"""Negatives of the target genomes: which bins are lifted, and which of them a genome keeps.

Pre-training on homologues has positives of the target genomes. Where its negatives are of the
labelled genome, a network can tell the classes by telling the genomes; with ``negatives.source``
``lifted`` or ``both`` it cannot. What lifted negatives do to a result says something only where
they are as varied as those of the labelled genome, so

* every genome keeps other loci: it ranks the candidates by a key of its own. With M candidates and
  G genomes that draw w each, an epoch has M (1 − (1 − w / M)^G) distinct loci in the mean;
* a genome keeps more than an epoch needs, so that seeds and epochs draw different ones.

(Until rule 2 every genome kept the first candidates that it had: in examples/yeast four genomes
held 863 negatives of 230 loci, while the labelled genome drew 863 of 863.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.keyed_random import hash_rows
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Intervals
from ssldata.rows.row_table import Rows, Sources

#: Part of the digests of groups that the rule decides; raised when it changes.
LIFTED_RULE = 2
#: Negatives that a genome keeps for each that an epoch needs (``negatives.ratio`` for each
#: positive): ``ssl-plus`` draws five for each positive whatever that ratio is.
SURPLUS = 6
#: Candidates for each negative that an epoch of one genome needs: 95 % of the loci of an epoch are
#: distinct with 4 genomes, 73 % with 22; fewer where the pool of the labelled genome is smaller.
CANDIDATES = 32


def lifts_negatives(project: Project) -> bool:
    """Return whether target genomes have negatives."""
    return project.negatives.source != "reference"


def negatives_needed(project: Project, positives: int) -> int:
    """Return the negatives that an epoch draws for that many positives."""
    return int(np.ceil(positives * project.negatives.ratio))


def with_negatives(
    project: Project, sources: Sources, rows: Rows, span: tuple[int, int]
) -> Sources:
    """Append negative bins of the train split to the sources, in the order of the pool.

    Bins that a peak covers in part are not among them: where the peak has no homologue, nothing
    would say that theirs is no plain negative.

    Parameters
    ----------
    project
        Its ``negatives.ratio``.
    sources
        Positive sources.
    rows
        Rows of the labelled genome.
    span
        Those of them that are train negatives, half-open.
    """
    wanted = negatives_needed(project, sources.positives) * CANDIDATES
    pool = np.arange(*span)
    bins = rows.take(pool[~rows.coverage[pool].any(axis=1)][:wanted])
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


def kept_negatives(
    source: NDArray[np.int64], needed: int, *, seed: int, genome: str
) -> NDArray[np.int64]:
    """Return which lifted negatives a genome keeps.

    Parameters
    ----------
    source
        int64 (n,): the source of each that may be kept. Which of two comes first depends on
        nothing else, so a candidate that is dropped changes the place of no other.
    needed
        Negatives that an epoch needs (:func:`negatives_needed`).
    seed, genome
        The seed of the store and the name of the genome.

    Returns
    -------
    int64 (m,)
        Ascending places in `source`; ``SURPLUS`` times `needed`, or all where there are fewer.
    """
    order = np.argsort(hash_rows(source, "lifted negatives", seed, genome), kind="stable")
    return np.sort(order[: needed * SURPLUS]).astype(np.int64)
