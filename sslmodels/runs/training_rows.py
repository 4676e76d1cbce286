"""The rows that phases of training draw from, and the validation rows. Integers, no fitting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.files import digest_of
from ssldata.base.keyed_random import permutation
from ssldata.project.project_file import Negatives, Project
from ssldata.project.training_section import Sampling
from ssldata.reading import sampling_rates
from ssldata.reading.known_labels import RowLabels, half_covered_are_negatives
from ssldata.reading.mixture import Mixture, Segment
from ssldata.reading.read_window import take_rows
from ssldata.store.store import HOMOLOGUES, REFERENCE, Store
from sslmodels.fit.fit_options import Validation

#: The experiment of a run of one output, or those of a run of several, in their order.
Outputs = str | Sequence[str]


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


def label_columns(store: Store, outputs: Outputs) -> list[int]:
    """Return the label columns of the outputs of a run; errors as :func:`label_column`."""
    names = [outputs] if isinstance(outputs, str) else outputs
    return [label_column(store, name) for name in names]


def _named(outputs: Outputs) -> str:
    return outputs if isinstance(outputs, str) else ", ".join(outputs)


def check_outputs(store: Store, outputs: Sequence[str]) -> None:
    """Check that every output of a run of several can be trained, validated and tested.

    Raises
    ------
    StoreError
        An experiment has no positive or no negative row in training, validation or test.
    """
    rows = store.group(REFERENCE)
    for experiment, column in zip(outputs, label_columns(store, outputs), strict=True):
        label = rows.column("label")[:, column]
        train = slice(rows.ranges["positive"][0], rows.ranges["negative"][1])
        held_out = {name: slice(*rows.ranges[name]) for name in ("validation", "test")}
        for what, here in {"training": train, **held_out}.items():
            positives, total = int(label[here].sum()), len(label[here])
            if not 0 < positives < total:
                raise StoreError(
                    f"{store.location}: {experiment} has {positives} positive {what} rows of "
                    f"{total}; leave it out with training.experiments, or change split and rebuild"
                )


Loci = NDArray[np.int64]


def _segment(store: Store, group: str, kind: str) -> Segment:
    """Return the training rows of a class."""
    return Segment(group, *store.group(group).ranges[kind])


def _positives(store: Store, group: str, columns: Sequence[int], loci: Loci | None) -> Segment:
    """Return the training positives of any of the outputs, restricted to `loci` if given.

    The positive range of a joint store is the union over its experiments.
    """
    rows = store.group(group)
    start, stop = rows.ranges["positive"]
    keep = np.ones(stop - start, bool)
    if len(store.experiments) > len(columns):
        keep &= (rows.column("label")[start:stop, columns] == 1).any(axis=1)
    if loci is not None:
        keep &= np.isin(rows.column("locus")[start:stop], loci)
    if keep.all():
        return Segment(group, start, stop)
    return Segment(group, start, stop, (start + np.flatnonzero(keep)).astype(np.int64))


def chosen_loci(store: Store, outputs: Outputs, count: int | None, *, seed: int) -> Loci | None:
    """Return the loci that a run with fewer labelled peaks trains on; None: all.

    Smaller draws of a seed are subsets of its larger ones.

    Parameters
    ----------
    store, outputs
        The store, and the experiments that the run predicts.
    count
        Number of loci (``training.labelled_peaks``); None: all.
    seed
        Seed of the run.

    Returns
    -------
    int64 (count,) or None
        Ascending numbers of loci.

    Raises
    ------
    StoreError
        There are fewer loci, or an output has none among those drawn.
    """
    if count is None:
        return None
    segment = _positives(store, REFERENCE, label_columns(store, outputs), None)
    rows = segment.rows(0, len(segment))
    loci = np.unique(store.group(REFERENCE).column("locus")[rows])
    if count > len(loci):
        raise StoreError(
            f"{store.location}: {_named(outputs)} has {len(loci)} loci with training peaks, fewer "
            f"than training.labelled_peaks = {count}"
        )
    chosen = np.sort(loci[permutation(len(loci), "loci", seed)[:count]]).astype(np.int64)
    for name in [outputs] if isinstance(outputs, str) else outputs:
        if not len(_positives(store, REFERENCE, label_columns(store, name), chosen)):
            raise StoreError(
                f"{store.location}: none of the training.labelled_peaks = {count} loci drawn by "
                f"seed {seed} has a peak of {name}; raise it"
            )
    return chosen


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Return names in the order in which a project lists them, others after them by name."""
    place = {name: index for index, name in enumerate(order)}
    return sorted(names, key=lambda name: (place.get(name, len(place)), name))


def nearest_genomes(project: Project, store: Store) -> list[str]:
    """Return the genomes whose homologues are used: all of the store, or the nearest ones.

    Raises
    ------
    ConfigError
        The store holds fewer genomes of the project than ``training.nearest``.
    """
    count = project.training.nearest
    if count is None:
        return list(store.genomes)
    listed = [genome for genome in project.genomes if genome.name in store.genomes]
    if count > len(listed):
        raise ConfigError(
            f"training.nearest is {count}, but {store.location} holds {len(listed)} "
            "complete genomes of the project"
        )
    far = float("inf")
    order = sorted(listed, key=lambda g: far if g.distance is None else g.distance)
    return [genome.name for genome in order[:count]]


def homologue_groups(store: Store, genomes: Sequence[str] | None = None) -> list[str]:
    """Return the groups of `genomes`; default: of all complete target genomes.

    Raises
    ------
    StoreError
        The store holds no complete target genome.
    """
    if not store.genomes:
        raise StoreError(
            f"{store.location}: holds no complete target genome; ssl and ssl-ns train on their "
            "rows, and sl-plus, and two-stage with two_stage_steps 'ssl', count them: list them "
            "under 'genomes' and run `crosslabel build`"
        )
    return [f"{HOMOLOGUES}/{name}" for name in (store.genomes if genomes is None else genomes)]


def _checked(mixture: Mixture, store: Store, outputs: Outputs, what: str) -> Mixture:
    for kind, count in (
        ("positive", sum(len(s) for s in mixture.positives)),
        ("negative", sum(len(s) for s in mixture.negatives)),
    ):
        if not count:
            raise StoreError(
                f"{store.location}: {_named(outputs)} has no {kind} rows to train on ({what}); "
                "`crosslabel plan` shows the counts"
            )
    return mixture


def labelled_rows(
    store: Store,
    outputs: Outputs,
    negatives: Negatives,
    *,
    seed: int,
    loci: Loci | None = None,
    sampling: Sampling = sampling_rates.PLAIN,
) -> Mixture:
    """Return the labelled training rows: all positives of any output, and negatives from the pool.

    Parameters
    ----------
    store, outputs
        The store, and the experiments that the run predicts.
    negatives
        Ratio and redrawing; ``negatives.seed`` is part of the seed of the draw.
    seed
        Seed of the run.
    loci
        Only positives of these loci (:func:`chosen_loci`).
    sampling
        Only its ``balance`` is used.

    Raises
    ------
    StoreError
        There are no positive or no negative rows.
    """
    mixture = Mixture(
        positives=(_positives(store, REFERENCE, label_columns(store, outputs), loci),),
        negatives=(_segment(store, REFERENCE, "negative"),),
        ratio=negatives.ratio,
        seed=derived_seed(negatives.seed, seed, "labelled"),
        redraw=negatives.redraw,
        balance=sampling.balance,
    )
    return _checked(mixture, store, outputs, "labelled rows")


def homologous_rows(
    store: Store,
    outputs: Outputs,
    negatives: Negatives,
    *,
    seed: int,
    genomes: Sequence[str] | None = None,
    loci: Loci | None = None,
    labelled: bool = False,
    labelled_share: float = 1.0,
    sampling: Sampling = sampling_rates.PLAIN,
    distances: Sequence[float] | None = None,
) -> Mixture:
    """Return the pseudo-labelled rows of all genomes, with ``negatives.ratio`` times the negatives.

    Source of the negatives (``negatives.source``): ``reference``, the pool of the labelled genome
    (as published); ``lifted``, rows of the target genomes lifted from that pool, each genome as
    often as its pseudo-positives; ``both``, half of each.

    Parameters
    ----------
    store, outputs, negatives, seed, loci
        As for :func:`labelled_rows`.
    genomes
        Only these target genomes.
    labelled
        Add the labelled positives, as rows of a genome at distance 0.
    labelled_share
        With one row per locus: how much more often the labelled row of a locus is drawn than
        that of a genome at distance 0.
    sampling
        How often the rows of each genome are used.
    distances
        Substitutions per site of the target genomes, for ``sampling.genomes: distance``.

    Raises
    ------
    StoreError
        There are no homologues, or no negatives of that source.
    """
    columns = label_columns(store, outputs)
    groups = homologue_groups(store, genomes)
    positives = tuple(_positives(store, group, columns, loci) for group in groups)
    used = sampling_rates.shares([len(segment) for segment in positives], sampling, distances)
    pool = _segment(store, REFERENCE, "negative")
    lifted = tuple(_segment(store, group, "negative") for group in groups)
    if negatives.source != "reference" and not sum(len(s) for s in lifted):
        raise StoreError(
            f"{store.location}: holds no lifted negatives; build it with negatives.source "
            f"{negatives.source!r}"
        )
    # The share of genomes without lifted negatives is divided among the others.
    share = np.array([x if len(n) else 0 for x, n in zip(used, lifted, strict=True)])
    lifted_shares = tuple(float(x) for x in share / (share.sum() or 1))
    drawn, shares = {
        "reference": ((pool,), (1.0,)),
        "lifted": (lifted, lifted_shares),
        "both": ((pool, *lifted), (0.5, *(x / 2 for x in lifted_shares))),
    }[negatives.source]
    _checked(Mixture(positives=positives, negatives=drawn), store, outputs, "homologues")
    if labelled:
        positives = (_positives(store, REFERENCE, columns, loci), *positives)
        distances = None if distances is None else (0.0, *distances)
    mixture = Mixture(
        positives=positives,
        negatives=drawn,
        negative_shares=shares,
        ratio=negatives.ratio,
        seed=derived_seed(negatives.seed, seed, "homologous"),
        redraw=negatives.redraw,
        balance=sampling.balance,
        **sampling_rates.positive_options(
            store, positives, sampling, distances, first_share=labelled_share
        ),
    )
    return _checked(mixture, store, outputs, "homologues")


def share_of_rate(rate: float, genomes: int) -> float:
    """Return the share of the labelled row that replaces a sequence at `rate`.

    With probability `rate` a sequence is replaced by one drawn evenly from itself and its
    homologues (Duncan, Mitchell, Moses 2024), so a locus with homologues in all genomes is read
    from the labelled genome with probability 1 − rate · genomes / (genomes + 1). A row of a locus
    is drawn in proportion to its share, and those of homologues are 1.

    Raises
    ------
    ValueError
        No genome, or a rate outside (0, 1].
    """
    if genomes < 1 or not 0 < rate <= 1:
        raise ValueError(f"rate {rate} with {genomes} genomes: expected 0 < rate ≤ 1 and a genome")
    original = 1 - rate * genomes / (genomes + 1)
    return genomes * original / (1 - original)


def validation_row_numbers(
    store: Store, outputs: Outputs, *, negatives_per_positive: float, seed: int
) -> NDArray[np.int64]:
    """Return the validation rows of the reference: positives of any output, and drawn negatives.

    A bin that peaks cover in part, but too little to be positive, is not a certain negative and is
    left out, unless it is positive for another output, or the store was built with
    ``negatives.half_covered: negative``. The draw depends only on the rows and the
    seed, so all regimes of a seed are validated on the same rows.

    Parameters
    ----------
    store, outputs
        The store, and the experiments that the run predicts.
    negatives_per_positive
        Negatives drawn for each positive, as far as there are any.
    seed
        Seed of the run.

    Returns
    -------
    int64 (n,)
        Ascending row numbers of the group ``reference``.

    Raises
    ------
    StoreError
        The validation rows lack a class.
    """
    columns = label_columns(store, outputs)
    rows = store.group(REFERENCE)
    start, stop = rows.ranges["validation"]
    label = (rows.column("label")[start:stop, columns] == 1).any(axis=1)
    covered = (rows.column("coverage")[start:stop, columns] > 0).any(axis=1)
    left_out = covered & (not half_covered_are_negatives(store))
    positives = start + np.flatnonzero(label)
    pool = start + np.flatnonzero(~label & ~left_out)
    if not len(positives) or not len(pool):
        missing = "positive" if not len(positives) else "negative"
        raise StoreError(
            f"{store.location}: {_named(outputs)} has no {missing} validation rows; "
            "change split.validation or split.validation_fraction and rebuild"
        )
    count = min(len(pool), max(1, round(negatives_per_positive * len(positives))))
    drawn = pool[permutation(len(pool), "validation", seed)[:count]]
    return np.sort(np.concatenate([positives, drawn])).astype(np.int64)


def validation_rows(
    store: Store, outputs: Outputs, *, negatives_per_positive: float, seed: int, length: int
) -> Validation:
    """Read the rows of :func:`validation_row_numbers`.

    Parameters
    ----------
    store, outputs, negatives_per_positive, seed
        As for that function, which also raises the same errors.
    length
        Bases that are read of the centre of each row.
    """
    rows = validation_row_numbers(
        store, outputs, negatives_per_positive=negatives_per_positive, seed=seed
    )
    columns = label_columns(store, outputs)
    codes, labels = take_rows(store, [(REFERENCE, rows)], label=columns, context=length)
    known = RowLabels(store, columns).known(REFERENCE, rows)
    return Validation(codes=codes, labels=labels, known=None if known.all() else known)
