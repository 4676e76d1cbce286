"""Fits the members of a committee beside its network, and how they are combined.

Motif and k-mers learn from the labelled positives and their homologues, the trees of conservation
from the labelled rows and what surrounds them, all in the training split. What a member is worth is
measured on bins that it was not fitted to: the validation split, and, as that may have a dozen
positives only, training bins, where motif, k-mers and trees are fitted to one half and score the
other. Nothing here sees a test row.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import ConfigError, InputError
from ssldata.base.keyed_random import first_of_permutation
from ssldata.conservation.conserved_windows import ConservedWindows
from ssldata.reading.read_window import take_rows
from ssldata.store.store import REFERENCE
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.baselines.gapped_kmer_svm import GappedKmerSvm
from sslmodels.committee.bin_scorer import BinEvidence, sequence_members
from sslmodels.committee.boosted_trees import BoostedTrees
from sslmodels.committee.committee import Combination, worth_of
from sslmodels.committee.committee_file import CONSERVATION, GKM, MOTIF, NETWORK, Committee
from sslmodels.runs import training_rows
from sslmodels.runs.run import Run

_LOG = logging.getLogger(__name__)

#: Negatives per positive that motif and k-mers are fitted to, and most positives.
NEGATIVES, MOST_POSITIVES = 20, 10_000
#: Negatives that the trees are fitted to: per positive, at least, at most.
TREE_NEGATIVES, FEWEST_NEGATIVES, MOST_NEGATIVES = 200, 20_000, 100_000
#: Validation negatives that members are weighed on: per positive, and at least.
VALIDATION_NEGATIVES, FEWEST_VALIDATION = 50.0, 20_000
#: Training rows fall into two halves by stretches of so many bases; fewest positives of a half, and
#: negatives per positive that a half is scored on, and most.
STRETCH, FEWEST_OF_HALF, HALF_NEGATIVES, MOST_OF_HALF = 100_000, 5, 100, 20_000
#: Power of the worth that weights are proportional to. Chosen on tuning contigs of yeast.
WORTH_POWER = 2.0
#: Rows whose homologues are scored at once.
_BLOCK = 2**15

Rows = NDArray[np.int64]


Floats = NDArray[np.float64]
Evidence = dict[str, Floats]


@dataclass(frozen=True)
class _Bins:
    """Labelled rows: where they lie, their bases, and whether they are positive."""

    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.int8]
    codes: ByteArray
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class _Scores:
    """What members say of bins: with everything known of them, and of their bases alone."""

    label: NDArray[np.uint8]
    combined: Evidence
    alone: Evidence


def check_one_output(run: Run) -> None:
    """Raise :class:`ConfigError` if a run that is to make a committee has several outputs."""
    if len(run.outputs) > 1:
        raise ConfigError(
            f"regime {run.regime!r} predicts one experiment; leave {', '.join(run.outputs)} "
            "together to other regimes (training.outputs: each)"
        )


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
    CrosslabelError
        A genome or chain of the project is missing or wrong.
    """
    return _Fitting(run, network, genomes).committee()


class _Fitting:
    """One committee under way."""

    def __init__(self, run: Run, network: keras.Model, genomes: list[str]) -> None:
        self.run, self.network = run, network
        self.size = run.project.windows.size
        self.rows = run.store.group(REFERENCE)
        labelled = run.labelled()
        positives, negatives = labelled.positives[0], labelled.negatives[0]
        self.positives = positives.rows(0, len(positives))
        self.negatives = negatives.rows(0, len(negatives))
        lifted = run.homologous().positives if genomes else ()
        self.lifted = [(s.group, s.rows(0, len(s))) for s in lifted]
        self.groups = self._groups(genomes) if genomes else ()
        self.evidence = BinEvidence(
            run.project,
            groups=self.groups,
            length=max(int(network.length), self.size),
            contigs=self.rows.contigs,
        )
        self.known = self._sequences(
            [], self._validation_rows(VALIDATION_NEGATIVES)
        )  # on which members choose

    def committee(self) -> Committee:
        """Fit everything."""
        run = self.run
        with run.progress.task(f"committee of {run.experiment}", total=4) as advance:
            motif = self._motif(None)
            learns = motif is not None and motif[1]
            advance(1)
            members, trees = self._fitted(None, None if motif is None else motif[0])
            advance(1)
            halves = [self._crossed(half, learns=learns) for half in (0, 1)]
            advance(1)
            labels = self.rows.column("label")[slice(*self.rows.ranges["validation"])]
            count = int((labels[:, self._column] == 1).sum())
            ratio = max(VALIDATION_NEGATIVES, FEWEST_VALIDATION / max(1, count))
            bins = self._bins(self._validation_rows(ratio))
            found = self._scores({**members}, trees, bins, network=True)
            advance(1)
        crossed = [half for half in halves if half is not None]
        combined = _combination(
            found.label, found.combined, [(h.label, h.combined) for h in crossed]
        )
        alone = _combination(found.label, found.alone, [(h.label, h.alone) for h in crossed])
        if trees is not None:
            members[CONSERVATION] = trees
        run.details["committee"] = {
            "groups": [list(group) for group in self.groups],
            "motif_with_homologues": learns,
            "crossed_positives": sum(int(half.label.sum()) for half in crossed),
            "validation": {"positives": int(bins.label.sum()), "rows": len(bins.label)},
            "combined": combined.as_dict(),
            "alone": alone.as_dict(),
        }
        return Committee(members, self.groups, combined, alone, self.size)

    # Rows ---------------------------------------------------------------------------------------

    @cached_property
    def _column(self) -> int:
        return training_rows.label_columns(self.run.store, self.run.outputs)[0]

    def _where(self, numbers: Rows) -> tuple[NDArray[Any], ...]:
        names = ("contig", "start", "end", "strand")
        return tuple(self.rows.column(name)[numbers] for name in names)

    def _half(self, numbers: Rows) -> NDArray[np.int64]:
        """Return the half of the training rows, 0 or 1, that rows of the labelled genome are in."""
        contig, start, *_ = self._where(numbers)
        return (contig + start // STRETCH) % 2

    def _lifted(self, half: int | None) -> list[tuple[str, Rows]]:
        """Return homologues of the labelled positives; of a half, those whose source is in it."""
        if half is None:
            return self.lifted
        store = self.run.store
        sources, names = store.sources(), list(self.rows.contigs)
        contig = np.array([names.index(name) for name in store.source_contigs()["contigs"]])
        of_source = (contig[sources["contig"]] + np.asarray(sources["start"]) // STRETCH) % 2
        return [
            (
                group,
                numbers[of_source[store.group(group).column("source")[numbers]] == half],
            )
            for group, numbers in self.lifted
        ]

    def _pool(self, count: int, key: str, half: int | None = None) -> Rows:
        """Return rows of so many training negatives, as far as there are."""
        pool = (
            self.negatives if half is None else self.negatives[self._half(self.negatives) == half]
        )
        taken = first_of_permutation(len(pool), min(count, len(pool)), key, self.run.seed)
        return pool[np.sort(taken)]

    def _labelled(self, half: int | None) -> Rows:
        if half is None:
            return self.positives
        return self.positives[self._half(self.positives) == half]

    def _validation_rows(self, ratio: float) -> Rows:
        return training_rows.validation_row_numbers(
            self.run.store, self.run.outputs, negatives_per_positive=ratio, seed=self.run.seed
        )

    def _sequences(
        self, lifted: list[tuple[str, Rows]], numbers: Rows
    ) -> tuple[ByteArray, NDArray[np.uint8]]:
        """Return bases of bins, and labels; `lifted` first, which are positive."""
        codes, label = take_rows(
            self.run.store, [*lifted, (REFERENCE, numbers)], label=self._column, context=self.size
        )
        return codes, (label[:, 0] == 1).astype(np.uint8)

    def _bins(self, numbers: Rows) -> _Bins:
        length = min(max(int(self.network.length), self.size), self.rows.length)
        codes, label = take_rows(
            self.run.store, [(REFERENCE, numbers)], label=self._column, context=length
        )
        contig, start, end, strand = self._where(numbers)
        return _Bins(contig, start, end, strand, codes, (label[:, 0] == 1).astype(np.uint8))

    def _groups(self, genomes: list[str]) -> tuple[tuple[str, ...], ...]:
        """Return the genomes in groups of about the same identity, measured on training rows."""
        windows = ConservedWindows(self.run.project, genomes)
        index = windows.reference.index
        contigs = np.array([index(name) for name in self.rows.contigs], np.int32)
        contig, start, *_ = self._where(self._tree_rows(None)[0])
        return tuple(group.names for group in windows.groups(contigs[contig], start))

    # Fits ---------------------------------------------------------------------------------------

    def _training_sequences(
        self, half: int | None, *, homologues: bool
    ) -> tuple[ByteArray, NDArray[np.uint8]]:
        """Return what motif and k-mers learn from."""
        labelled = self._labelled(half)
        lifted = self._lifted(half) if homologues else []
        total = len(labelled) + sum(len(numbers) for _, numbers in lifted)
        if total > MOST_POSITIVES:  # of the labelled genome and of each other alike
            share = MOST_POSITIVES / total

            def drawn(numbers: Rows, key: str) -> Rows:
                count = max(1, int(share * len(numbers))) if len(numbers) else 0
                return numbers[np.sort(first_of_permutation(len(numbers), count, key))]

            lifted = [(group, drawn(numbers, group)) for group, numbers in lifted]
            labelled = drawn(labelled, REFERENCE)
        negatives = self._pool(NEGATIVES * len(labelled), "committee", half)
        return self._sequences(lifted, np.concatenate([labelled, negatives]))

    def _fit(self, of: Any, half: int | None, *, homologues: bool) -> Any:
        codes, label = self._training_sequences(half, homologues=homologues)
        seen, of_seen = self.known
        return of.fit(codes, label, validation_codes=seen, validation_labels=of_seen)

    def _motif(self, half: int | None, learns: bool | None = None) -> tuple[EmMotif, bool] | None:
        """Return a motif and whether it has learnt from homologues; None: there is none.

        Of the two, the one that ranks validation rows better: homologues give more sites, and
        blur those that have moved.
        """
        ways = [False, *([True] if self.lifted else [])] if learns is None else [learns]
        found: list[tuple[float, EmMotif, bool]] = []
        for homologues in ways:
            try:
                motif = self._fit(EmMotif, half, homologues=homologues)
            except InputError as exc:
                _LOG.warning("%s: no motif is found (%s)", self.run.folder.path, exc)
                continue
            found.append((worth_of(motif.score(self.known[0]), self.known[1]), motif, homologues))
        if not found:
            return None
        _, motif, homologues = max(found, key=lambda one: one[0])
        return motif, homologues

    def _fitted(
        self, half: int | None, motif: EmMotif | None
    ) -> tuple[dict[str, Any], BoostedTrees | None]:
        """Return the members that read sequences but the network, and the trees."""
        members: dict[str, Any] = {} if motif is None else {MOTIF: motif}
        members[GKM] = self._fit(GappedKmerSvm, half, homologues=bool(self.lifted))
        if not self.groups:
            return members, None
        numbers, label = self._tree_rows(half)
        contig, start, end, _ = self._where(numbers)
        profile = self.evidence.profile(contig, start, end, motif)
        seed = training_rows.derived_seed(self.run.seed, "conservation")
        return members, BoostedTrees.fit(profile, label, seed=seed)

    def _tree_rows(self, half: int | None) -> tuple[Rows, NDArray[np.uint8]]:
        """Return rows of the labelled genome that the trees are fitted to, and their labels."""
        labelled = self._labelled(half)
        wanted = min(max(TREE_NEGATIVES * len(labelled), FEWEST_NEGATIVES), MOST_NEGATIVES)
        numbers = np.concatenate([labelled, self._pool(wanted, "conservation", half)])
        return numbers, (np.arange(len(numbers)) < len(labelled)).astype(np.uint8)

    # Scores -------------------------------------------------------------------------------------

    def _crossed(self, half: int, *, learns: bool) -> _Scores | None:
        """Return the scores of one half by members fitted to the other; None: it is too small."""
        labelled = self._labelled(half)
        if min(len(labelled), len(self._labelled(1 - half))) < FEWEST_OF_HALF:
            return None
        wanted = min(HALF_NEGATIVES * len(labelled), MOST_OF_HALF)
        negatives = self._pool(wanted, "crossed", half)
        motif = self._motif(1 - half, learns)
        members, trees = self._fitted(1 - half, None if motif is None else motif[0])
        bins = self._bins(np.concatenate([labelled, negatives]))
        return self._scores(members, trees, bins, network=False)

    def _scores(
        self, members: dict[str, Any], trees: BoostedTrees | None, bins: _Bins, *, network: bool
    ) -> _Scores:
        reading = sequence_members(self.network, members, self.size)
        if not network:
            del reading[NETWORK]
        parts: list[Evidence] = []
        for first in range(0, len(bins.label), _BLOCK):
            rows = slice(first, first + _BLOCK)
            where = bins.contig[rows], bins.start[rows], bins.end[rows]
            found = self.evidence.of_sequences(reading, bins.codes[rows], *where, bins.strand[rows])
            if trees is not None:
                profile = self.evidence.profile(*where, members.get(MOTIF))
                found[CONSERVATION] = trees.score(profile)
            parts.append(found)
        combined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        alone = {name: member(bins.codes) for name, member in reading.items()}
        return _Scores(bins.label, combined, alone)


def _combination(
    label: NDArray[np.uint8],
    scores: Evidence,
    crossed: Sequence[tuple[NDArray[np.uint8], Evidence]],
) -> Combination:
    """Return the combination of members, from validation bins and halves of the training bins.

    The worth of a member is the mean over validation and halves, by their positives. The network
    has scores of validation bins alone, and is taken to be worth as much as any other member at
    least: it can learn what they say.
    """
    worth = {}
    for name, values in scores.items():
        seen = [(worth_of(values, label), label)]
        seen += [(worth_of(found[name], other), other) for other, found in crossed if name in found]
        weights = [float(of.sum()) for _, of in seen]
        worth[name] = float(np.average([value for value, _ in seen], weights=weights))
    worth[NETWORK] = max(worth.values())
    return Combination.fit(
        scores, label, {name: value**WORTH_POWER for name, value in worth.items()}
    )
