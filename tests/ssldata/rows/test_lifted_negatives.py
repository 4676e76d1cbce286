"""Which lifted negatives a genome keeps: other ones than its neighbour, and more than an epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ssldata.rows.lifted_negatives import SURPLUS, kept_negatives

SOURCES = np.arange(100, 10_100)


def kept(genome: str, needed: int = 200, seed: int = 0, source: np.ndarray = SOURCES) -> np.ndarray:
    return source[kept_negatives(source, needed, seed=seed, genome=genome)]


def test_genomes_keep_other_loci_and_more_than_an_epoch_needs() -> None:
    a, b = kept("a"), kept("b")
    assert len(a) == len(b) == 200 * SURPLUS
    assert len(np.unique(a)) == len(a)
    # As two independent draws of 1200 of 10000 share: 144 ± 11.
    assert 100 < len(np.intersect1d(a, b)) < 190
    # Four genomes, an epoch each: the formula of the module, 10000 (1 - .98^4) = 776 ± 6.
    distinct = np.unique(np.concatenate([kept(g)[::SURPLUS] for g in "abcd"]))
    assert 755 < len(distinct) <= 800


def test_too_few_are_all_kept() -> None:
    np.testing.assert_array_equal(kept("a", needed=10_000), SOURCES)
    assert len(kept("a", source=SOURCES[:0])) == 0


def test_seed_and_genome_decide() -> None:
    np.testing.assert_array_equal(kept("a"), kept("a"))
    assert set(kept("a")) != set(kept("a", seed=1))


@given(st.integers(0, 500), st.integers(0, 99))
def test_a_dropped_candidate_changes_the_place_of_no_other(dropped: int, needed: int) -> None:
    source = SOURCES[:500]
    whole = kept("a", needed, source=source)
    less = kept("a", needed, source=source[source != dropped + 100])
    assert len(set(less.tolist()) - set(whole.tolist())) <= 1
    assert set(whole.tolist()) - {dropped + 100} <= set(less.tolist())
