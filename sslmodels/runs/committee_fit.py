"""Fits the members of a committee beside its network, and how they are combined.

Motif and k-mers learn from the labelled positives and their homologues, the trees of conservation
from the labelled rows and what surrounds them, all in the training split; the weights come from
the validation split. Nothing here sees a test row.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import ConfigError, InputError
from ssldata.base.keyed_random import first_of_permutation
from ssldata.conservation.conserved_windows import ConservedWindows
from ssldata.reading.read_window import take_rows
from ssldata.store.store import REFERENCE, RowGroup
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.baselines.gapped_kmer_svm import GappedKmerSvm
from sslmodels.committee.bin_scorer import BinEvidence, sequence_members
from sslmodels.committee.boosted_trees import BoostedTrees
from sslmodels.committee.committee import Combination, worth_of
from sslmodels.committee.committee_file import CONSERVATION, GKM, MOTIF, Committee
from sslmodels.runs import training_rows
from sslmodels.runs.run import Run

_LOG = logging.getLogger(__name__)

#: Negatives per positive that motif and k-mers are fitted to, and most positives.
NEGATIVES, MOST_POSITIVES = 20, 10_000
#: Negatives that the trees are fitted to: per positive, at least, at most.
TREE_NEGATIVES, FEWEST_NEGATIVES, MOST_NEGATIVES = 200, 20_000, 100_000
#: Validation negatives that members are weighed on: per positive, and at least.
VALIDATION_NEGATIVES, FEWEST_VALIDATION = 50.0, 20_000
#: Rows whose homologues are scored at once.
_BLOCK = 2**15

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Bins:
    """Labelled rows: where they lie, their bases, and whether they are positive."""

    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.int8]
    codes: ByteArray
    label: NDArray[np.uint8]


def fit_committee(run: Run, network: keras.Model, genomes: list[str]) -> Committee:
    """Return the committee of a run.

    Parameters
    ----------
    run
        The run; its store is read.
    network
        The trained network of the committee.
    genomes
        Target genomes whose homologues and conservation are looked at; none: only the sequences
        of bins are.

    Raises
    ------
    ConfigError
        The run predicts several experiments.
    CrosslabelError
        A genome or chain of the project is missing or wrong.
    """
    if len(run.outputs) > 1:
        raise ConfigError(
            f"regime {run.regime!r} predicts one experiment; leave {', '.join(run.outputs)} "
            "together to other regimes (training.outputs: each)"
        )
    size = run.project.windows.size
    length = max(int(network.length), size)
    rows = run.store.group(REFERENCE)
    groups: tuple[tuple[str, ...], ...] = ()
    trees = None
    with run.progress.task(f"committee of {run.experiment}", total=3) as advance:
        members = _sequence_members_fitted(run, size, homologues=bool(genomes))
        advance(1)
        if genomes:
            numbers, label = _tree_rows(run)
            groups = _groups(run, genomes, rows, numbers)
            evidence = BinEvidence(run.project, groups=groups, length=length, contigs=rows.contigs)
            contig, start, end, _ = _where(rows, numbers)
            profile = evidence.profile(contig, start, end, members.get(MOTIF))
            trees = BoostedTrees.fit(
                profile, label, seed=training_rows.derived_seed(run.seed, "conservation")
            )
        else:
            evidence = BinEvidence(run.project, groups=(), length=length, contigs=rows.contigs)
        advance(1)
        validation = _validation_bins(run, length)
        combined, alone = _combinations(
            sequence_members(network, members, size),
            trees,
            members.get(MOTIF),
            evidence,
            validation,
        )
        advance(1)
    if trees is not None:
        members[CONSERVATION] = trees
    run.details["committee"] = {
        "groups": [list(group) for group in groups],
        "validation": {"positives": int(validation.label.sum()), "rows": len(validation.label)},
        "combined": combined.as_dict(),
        "alone": alone.as_dict(),
    }
    return Committee(members, groups, combined, alone, size)


def _where(rows: RowGroup, numbers: Rows) -> tuple[NDArray[Any], ...]:
    return tuple(rows.column(name)[numbers] for name in ("contig", "start", "end", "strand"))


def _pool(run: Run, count: int, *key: str) -> Rows:
    """Return rows of so many training negatives, as far as there are."""
    segment = run.labelled().negatives[0]
    taken = first_of_permutation(len(segment), min(count, len(segment)), *key, run.seed)
    return segment.rows(0, len(segment))[np.sort(taken)]


def _sequence_members_fitted(run: Run, size: int, *, homologues: bool) -> dict[str, Any]:
    """Return motif and k-mers; one that cannot be fitted is left out, with a line in the log."""
    segments = list(run.labelled().positives)
    if homologues:
        segments += run.homologous().positives
    positives = [(s.group, s.rows(0, len(s))) for s in segments]
    total = sum(len(numbers) for _, numbers in positives)
    if total > MOST_POSITIVES:  # of several genomes alike
        share = MOST_POSITIVES / total
        positives = [
            (g, n[np.sort(first_of_permutation(len(n), max(1, int(share * len(n))), g, run.seed))])
            for g, n in positives
        ]
    count = sum(len(numbers) for _, numbers in positives)
    labelled = len(positives[0][1])
    negatives = _pool(run, NEGATIVES * labelled, "committee")
    codes, _ = take_rows(run.store, [*positives, (REFERENCE, negatives)], context=size)
    label = (np.arange(len(codes)) < count).astype(np.uint8)
    known = training_rows.validation_row_numbers(
        run.store, run.outputs, negatives_per_positive=VALIDATION_NEGATIVES, seed=run.seed
    )
    column = training_rows.label_columns(run.store, run.outputs)
    seen, of_seen = take_rows(run.store, [(REFERENCE, known)], label=column, context=size)
    members = {}
    classes: dict[str, Any] = {MOTIF: EmMotif, GKM: GappedKmerSvm}
    for name, of in classes.items():
        try:
            members[name] = of.fit(
                codes, label, validation_codes=seen, validation_labels=of_seen[:, 0]
            )
        except InputError as exc:
            _LOG.warning("%s: the committee goes without %s (%s)", run.folder.path, name, exc)
    return members


def _tree_rows(run: Run) -> tuple[Rows, NDArray[np.uint8]]:
    """Return rows of the labelled genome that the trees are fitted to, and their labels."""
    segment = run.labelled().positives[0]
    positives = segment.rows(0, len(segment))
    wanted = min(max(TREE_NEGATIVES * len(positives), FEWEST_NEGATIVES), MOST_NEGATIVES)
    negatives = _pool(run, wanted, "conservation")
    numbers = np.concatenate([positives, negatives])
    return numbers, (np.arange(len(numbers)) < len(positives)).astype(np.uint8)


def _groups(
    run: Run, genomes: list[str], rows: RowGroup, numbers: Rows
) -> tuple[tuple[str, ...], ...]:
    """Return the genomes in groups of about the same identity, measured on training rows."""
    windows = ConservedWindows(run.project, genomes)
    contigs = np.array([windows.reference.index(name) for name in rows.contigs], np.int32)
    contig, start, *_ = _where(rows, numbers)
    return tuple(group.names for group in windows.groups(contigs[contig], start))


def _validation_bins(run: Run, length: int) -> _Bins:
    rows = run.store.group(REFERENCE)
    columns = training_rows.label_columns(run.store, run.outputs)
    start, stop = rows.ranges["validation"]
    positives = int((rows.column("label")[start:stop, columns[0]] == 1).sum())
    numbers = training_rows.validation_row_numbers(
        run.store,
        run.outputs,
        negatives_per_positive=max(VALIDATION_NEGATIVES, FEWEST_VALIDATION / max(1, positives)),
        seed=run.seed,
    )
    codes, label = take_rows(
        run.store, [(REFERENCE, numbers)], label=columns, context=min(length, rows.length)
    )
    contig, begin, end, strand = _where(rows, numbers)
    return _Bins(contig, begin, end, strand, codes, label[:, 0].astype(np.uint8))


def _combinations(
    members: dict[str, Any],
    trees: BoostedTrees | None,
    motif: EmMotif | None,
    evidence: BinEvidence,
    bins: _Bins,
) -> tuple[Combination, Combination]:
    """Return how members are combined with everything known of a bin, and by sequence alone."""
    parts: list[dict[str, NDArray[np.float64]]] = []
    for first in range(0, len(bins.label), _BLOCK):
        rows = slice(first, first + _BLOCK)
        where = bins.contig[rows], bins.start[rows], bins.end[rows]
        found = evidence.of_sequences(members, bins.codes[rows], *where, bins.strand[rows])
        if trees is not None:
            found[CONSERVATION] = trees.score(evidence.profile(*where, motif))
        parts.append(found)
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    alone = {name: member(bins.codes) for name, member in members.items()}
    return _combination(scores, bins.label), _combination(alone, bins.label)


def _combination(scores: dict[str, NDArray[np.float64]], label: NDArray[np.uint8]) -> Combination:
    worth = {name: worth_of(values, label) for name, values in scores.items()}
    return Combination.fit(scores, label, worth)
