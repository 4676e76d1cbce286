"""Which rows a phase of training draws from, and which rows validate. Integers and no fitting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.cache import digest_of
from ssldata.config import Negatives
from ssldata.errors import StoreError
from ssldata.hashing import permutation
from ssldata.reader import take_rows
from ssldata.sampling import Mixture, Segment
from ssldata.store import HOMOLOGUES, REFERENCE, Store
from sslmodels.training import Validation


def derived_seed(*parts: int | str) -> int:
    """Return a seed (0 ≤ seed < 2³¹) that is a pure function of `parts`."""
    return int(digest_of(list(parts))[:8], 16) % 2**31


def label_column(store: Store, experiment: str) -> int:
    """Return the label column of an experiment.

    Raises
    ------
    StoreError
        The store does not hold it.
    """
    if experiment not in store.experiments:
        raise StoreError(
            f"{store.location}: holds {', '.join(store.experiments)}, not {experiment!r}; "
            "run `crosslabel build`"
        )
    return store.experiments.index(experiment)


def _segment(store: Store, group: str, kind: str, column: int | None = None) -> Segment:
    """Return a train range; with `column`, only its rows that are positive there.

    The positive range of a joint store is the union over its experiments.
    """
    rows = store.group(group)
    start, stop = rows.ranges[kind]
    if column is not None and len(store.experiments) > 1:
        members = start + np.flatnonzero(rows.column("label")[start:stop, column] == 1)
        return Segment(group, start, stop, members.astype(np.int64))
    return Segment(group, start, stop)


def homologue_groups(store: Store) -> list[str]:
    """Return the groups of the complete target genomes.

    Raises
    ------
    StoreError
        There is none.
    """
    if not store.genomes:
        raise StoreError(
            f"{store.location}: holds no complete target genome; ssl and ssl-ns train on their "
            "rows, and two-stage with two_stage_steps 'ssl' counts them: list them under 'genomes' "
            "and run `crosslabel build`"
        )
    return [f"{HOMOLOGUES}/{name}" for name in store.genomes]


def _checked(mixture: Mixture, store: Store, experiment: str, what: str) -> Mixture:
    for kind, count in (
        ("positive", sum(len(s) for s in mixture.positives)),
        ("negative", sum(len(s) for s in mixture.negatives)),
    ):
        if not count:
            raise StoreError(
                f"{store.location}: {experiment} has no {kind} rows to train on ({what}); "
                "`crosslabel plan` shows the counts"
            )
    return mixture


def labelled_rows(store: Store, experiment: str, negatives: Negatives, *, seed: int) -> Mixture:
    """Return the labelled training rows: all positives, and negatives from the pool.

    Parameters
    ----------
    store, experiment
        Where the rows are.
    negatives
        Ratio and redrawing; ``negatives.seed`` is part of the seed of the draw.
    seed
        Seed of the run.
    """
    column = label_column(store, experiment)
    mixture = Mixture(
        positives=(_segment(store, REFERENCE, "positive", column),),
        negatives=(_segment(store, REFERENCE, "negative"),),
        ratio=negatives.ratio,
        seed=derived_seed(negatives.seed, seed, "labelled"),
        redraw=negatives.redraw,
    )
    return _checked(mixture, store, experiment, "labelled rows")


def homologous_rows(store: Store, experiment: str, negatives: Negatives, *, seed: int) -> Mixture:
    """Return the pseudo-labelled rows of all genomes, and as many negatives per positive.

    ``negatives.source``: ``reference``, from the pool of the labelled genome (as published);
    ``lifted``, rows of the target genomes lifted from that pool, each genome by its number of
    pseudo-positives; ``both``, half and half.
    """
    column = label_column(store, experiment)
    groups = homologue_groups(store)
    positives = tuple(_segment(store, group, "positive", column) for group in groups)
    pool = _segment(store, REFERENCE, "negative")
    lifted = tuple(_segment(store, group, "negative") for group in groups)
    if negatives.source != "reference" and not sum(len(s) for s in lifted):
        raise StoreError(
            f"{store.location}: holds no lifted negatives; build it with negatives.source "
            f"{negatives.source!r}"
        )
    # Genomes without lifted negatives cannot give their share; the others take it over.
    share = np.array([len(p) if len(n) else 0 for p, n in zip(positives, lifted, strict=True)])
    lifted_shares = tuple(float(x) for x in share / max(1, share.sum()))
    drawn, shares = {
        "reference": ((pool,), (1.0,)),
        "lifted": (lifted, lifted_shares),
        "both": ((pool, *lifted), (0.5, *(x / 2 for x in lifted_shares))),
    }[negatives.source]
    mixture = Mixture(
        positives=positives,
        negatives=drawn,
        negative_shares=shares,
        ratio=negatives.ratio,
        seed=derived_seed(negatives.seed, seed, "homologous"),
        redraw=negatives.redraw,
    )
    return _checked(mixture, store, experiment, "homologues")


def validation_row_numbers(
    store: Store, experiment: str, *, negatives_per_positive: float, seed: int
) -> NDArray[np.int64]:
    """Return the rows of the reference that validate: all positives and drawn negatives.

    A bin that peaks cover in part, but too little to be positive, is no sure negative and is left
    out. The draw depends on nothing but the rows and the seed, so all regimes of a seed watch the
    same rows.

    Returns
    -------
    int64 (n,)
        Ascending row numbers of the group ``reference``.

    Raises
    ------
    StoreError
        The validation rows lack a class.
    """
    column = label_column(store, experiment)
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["validation"]
    label = rows.column("label")[start:stop, column]
    covered = rows.column("coverage")[start:stop, column] > 0
    positives = start + np.flatnonzero(label == 1)
    pool = start + np.flatnonzero((label == 0) & ~covered)
    if not len(positives) or not len(pool):
        missing = "positive" if not len(positives) else "negative"
        raise StoreError(
            f"{store.location}: {experiment} has no {missing} validation rows; "
            "change split.validation or split.validation_fraction and rebuild"
        )
    count = min(len(pool), max(1, round(negatives_per_positive * len(positives))))
    drawn = pool[permutation(len(pool), "validation", seed)[:count]]
    return np.sort(np.concatenate([positives, drawn])).astype(np.int64)


def validation_rows(
    store: Store, experiment: str, *, negatives_per_positive: float, seed: int, length: int
) -> Validation:
    """Read the central `length` bases of the rows of :func:`validation_row_numbers`."""
    rows = validation_row_numbers(
        store, experiment, negatives_per_positive=negatives_per_positive, seed=seed
    )
    codes, labels = take_rows(
        store, [(REFERENCE, rows)], label=label_column(store, experiment), context=length
    )
    return Validation(codes=codes, labels=labels)
