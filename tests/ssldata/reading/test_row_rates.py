"""How often rows are used: rates of genomes, one homologue per locus, shards, shuffle quality."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.reading.epoch_order import EpochOrder, shuffled, window_ends
from ssldata.reading.mixture import Mixture, Segment, rates

CHUNKS = {"reference": 16, "homologs/a": 8, "homologs/b": 8, "homologs/c": 8}
Row = tuple[str, int]


def rows_of(order: EpochOrder) -> list[Row]:
    result: list[Row] = []
    for number in range(len(order)):
        window = order.window(number)
        flat = [(piece.group, int(row)) for piece in window.pieces for row in piece.rows]
        assert sorted(window.order) == list(range(len(flat)))
        for piece in window.pieces:
            assert len({row // CHUNKS[piece.group] for row in piece.rows.tolist()}) == 1
        result += [flat[i] for i in window.order]
    return result


def epoch(mix: Mixture, number: int = 0, **options: Any) -> list[Row]:
    given = {"batch_size": 8, "window_rows": 48, **options}
    return rows_of(EpochOrder(mix, number, chunks=CHUNKS, **given))


def mixture(a: int = 50, b: int = 21, c: int = 9, pool: int = 300, **options: Any) -> Mixture:
    sizes = (("a", 3, 3 + a), ("b", 0, b), ("c", 7, 7 + c))
    return Mixture(
        tuple(Segment(f"homologs/{g}", first, end) for g, first, end in sizes),
        (Segment("reference", 40, 40 + pool),),
        **options,
    )


# -- rates of genomes ----------------------------------------------------------------------------


def test_uniform_genomes() -> None:
    mix = mixture(positive_shares=rates((50, 21, 9), by="genomes"))
    count = Counter(group for group, _ in epoch(mix))
    assert count == {"homologs/a": 27, "homologs/b": 27, "homologs/c": 26, "reference": 80}


def test_rates_by_distance() -> None:
    shares = rates((40, 40, 40), by="distance", distances=(0.0, 0.5, 1.0), halving=0.5)
    assert shares == pytest.approx((40, 20, 10))
    count = Counter(group for group, _ in epoch(mixture(40, 40, 40, positive_shares=shares)))
    assert [count[f"homologs/{g}"] for g in "abc"] == [69, 34, 17]
    assert rates((1, 2), by="rows") is None


def test_wrong_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="a distance for each of 2 genomes"):
        rates((1, 2), by="distance", distances=(0.1,))
    with pytest.raises(ValueError, match="distances of 0 or more"):
        rates((1, 2), by="distance", distances=(0.1, -1))
    with pytest.raises(ValueError, match="positive_shares: expected a share of 0 or more for each"):
        mixture(positive_shares=(1.0, 2.0))
    with pytest.raises(ValueError, match="negative_shares"):
        mixture(negative_shares=(-1.0,))


@settings(max_examples=40)
@given(
    st.tuples(*[st.integers(0, 40)] * 3),
    st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 3.0])] * 3),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_rows_of_a_segment_are_used_equally_often(
    sizes: tuple[int, int, int], shares: tuple[float, float, float], epochs: int, seed: int
) -> None:
    mix = mixture(*sizes, positive_shares=shares, seed=seed)
    count: Counter[Row] = Counter()
    for number in range(epochs):
        rows = [row for row in epoch(mix, number) if row[0] != "reference"]
        assert len(rows) == mix.positive_rows
        count.update(rows)
    usable = [n and share for n, share in zip(sizes, shares, strict=True)]
    assert mix.positive_rows == (sum(sizes) if any(usable) else 0)
    for segment, share in zip(mix.positives, shares, strict=True):
        used = [count[segment.group, int(row)] for row in segment.rows(0, len(segment))]
        if used:
            assert max(used) - min(used) <= 1
            assert share or not max(used)


def test_redrawn_negatives_pass_over_the_whole_pool() -> None:
    mix = mixture(redraw=True, seed=3)  # 80 of 300 per epoch
    count = Counter(row for e in range(15) for row in epoch(mix, e) if row[0] == "reference")
    assert sorted(count) == [("reference", row) for row in range(40, 340)]
    assert set(count.values()) == {4}


# -- one homologue per locus ---------------------------------------------------------------------


def with_loci(seed: int = 0, **options: Any) -> Mixture:
    # Locus 0-9 in all three genomes, 10-19 in a and b, 20-29 (two rows each) in a only.
    loci = (
        np.r_[0:20, np.repeat(np.arange(20, 30), 2)],
        np.r_[0:20],
        np.r_[0:10],
    )
    return mixture(40, 20, 10, loci=loci, seed=seed, **options)


def loci_of(mix: Mixture, rows: list[Row]) -> list[tuple[int, str]]:
    assert mix.loci is not None
    number = {segment.group: i for i, segment in enumerate(mix.positives)}
    return [
        (int(mix.loci[number[group]][row - mix.positives[number[group]].start]), group)
        for group, row in rows
        if group != "reference"
    ]


@settings(max_examples=30)
@given(st.integers(0, 5), st.integers(0, 5))
def test_one_row_per_locus(seed: int, number: int) -> None:
    mix = with_loci(seed)
    rows = epoch(mix, number)
    assert sorted(locus for locus, _ in loci_of(mix, rows)) == list(range(30))
    assert len(rows) == mix.rows == 60


def test_homologues_are_chosen_by_their_shares() -> None:
    count: Counter[tuple[int, str]] = Counter()
    plain: Counter[tuple[int, str]] = Counter()
    for number in range(300):
        shared = with_loci(positive_shares=(1.0, 3.0, 0.0))
        count.update(loci_of(shared, epoch(shared, number)))
        mix = with_loci()
        plain.update(loci_of(mix, epoch(mix, number)))
    in_b = sum(count[locus, "homologs/b"] for locus in range(20)) / (300 * 20)
    assert abs(in_b - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 6000)
    assert not sum(count[locus, "homologs/c"] for locus in range(30))
    in_c = sum(plain[locus, "homologs/c"] for locus in range(10)) / 3000
    assert abs(in_c - 1 / 3) < 4 * np.sqrt(2 / 9 / 3000)


def test_wrong_loci_are_refused() -> None:
    with pytest.raises(ValueError, match="one per row of every segment"):
        mixture(2, 2, 0, loci=(np.arange(2), np.arange(2)))
    with pytest.raises(ValueError, match="without a locus"):
        mixture(2, 1, 0, loci=(np.array([0, -1]), np.arange(1), np.arange(0)))
    with pytest.raises(ValueError, match="'repeats' must be 1"):
        mixture(2, 0, 0, repeats=2.0, loci=(np.arange(2), np.arange(0), np.arange(0)))


# -- shards, remainders, windows -----------------------------------------------------------------


@settings(max_examples=40)
@given(
    shards=st.integers(1, 5),
    sizes=st.tuples(*[st.integers(0, 40)] * 3),
    batch=st.integers(1, 20),
    number=st.integers(0, 3),
)
def test_shards_together_are_the_epoch(
    shards: int, sizes: tuple[int, int, int], batch: int, number: int
) -> None:
    mix = mixture(*sizes, seed=1)
    parts = [
        epoch(mix, number, batch_size=batch, num_shards=shards, shard=i) for i in range(shards)
    ]
    assert {len(part) for part in parts} <= {mix.rows // shards, -(-mix.rows // shards)}
    count = Counter(row for part in parts for row in part)
    assert count == Counter(epoch(mix, number, batch_size=batch))
    for part in parts:
        positives = sum(group != "reference" for group, _ in part)
        assert abs(positives - len(part) / 2) <= 1
        for group, size in zip("abc", sizes, strict=True):
            here = sum(row[0] == f"homologs/{group}" for row in part)
            assert abs(here - size / shards) < 2


@given(shards=st.integers(1, 5), a=st.integers(1, 40), batch=st.integers(1, 9))
def test_shards_of_whole_batches_have_as_many(shards: int, a: int, batch: int) -> None:
    mix = mixture(a, 3, 0)
    given = {"batch_size": batch, "num_shards": shards, "drop_remainder": True}
    parts = [epoch(mix, 0, shard=i, **given) for i in range(shards)]
    assert {len(part) for part in parts} == {mix.rows // shards // batch * batch}
    assert max(Counter(row for part in parts for row in part).values(), default=1) == 1


def test_a_shard_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="shard 2 of 2"):
        epoch(mixture(), num_shards=2, shard=2)


def test_left_over_rows_are_others_in_every_epoch() -> None:
    left_out = set()
    mix = mixture(50, 21, 9)
    for number in range(12):
        rows = epoch(mix, number, batch_size=32, drop_remainder=True)
        assert len(rows) == 160
        rows = epoch(mix, number, batch_size=50, drop_remainder=True)
        assert len(rows) == 150
        everything = set(epoch(mix, number, batch_size=50))
        left_out.add(frozenset(everything - set(rows)))
    assert len(left_out) == 12
    assert mix.steps(50) == 4


@given(st.integers(0, 500), st.integers(1, 64))
def test_windows_grow_to_their_size(steps: int, size: int) -> None:
    ends = window_ends(steps, size)
    sizes = np.diff([0, *ends])
    assert sizes.sum() == steps
    assert (sizes > 0).all()
    assert sizes.max(initial=0) <= size
    assert sizes[0] <= max(1, size // 8) if steps else not len(sizes)
    assert (sizes[:-2] <= sizes[1:-1]).all()


@given(st.integers(0, 300), st.integers(0, 3))
def test_shuffled_is_a_permutation(n: int, key: int) -> None:
    assert sorted(shuffled(n, key)) == list(range(n))


def test_shuffled_has_no_favourites() -> None:
    places = np.array([shuffled(10, "k", i) for i in range(4000)])
    for i in range(10):
        counts = np.bincount(places[:, i], minlength=10)
        # Chi-square with 9 degrees of freedom: above 28 once in a thousand.
        assert ((counts - 400) ** 2 / 400).sum() < 28


def test_an_epoch_of_millions_of_rows_is_planned_in_little_memory() -> None:
    import tracemalloc

    mix = Mixture(
        tuple(Segment("homologs/a", i * 10**6, (i + 1) * 10**6) for i in range(10)),
        (Segment("reference", 0, 2 * 10**7),),
    )
    chunks = {"reference": 4096, "homologs/a": 4096}
    tracemalloc.start()
    order = EpochOrder(mix, 0, batch_size=256, chunks=chunks, window_rows=65_536)
    window = order.window(200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(window.order) == 65_536
    assert peak < 20e6


# -- shuffle quality -----------------------------------------------------------------------------

BATCH = 64


def inflation(share_of: Any, mix: Mixture, epochs: int) -> tuple[float, float, float]:
    """Return the mean variance inflation of a share per batch, and its 95 % interval.

    `share_of` gives the share in a batch and the variance of that of an i.i.d. one.
    """
    values = []
    for number in range(epochs):
        order = EpochOrder(
            replace(mix, seed=number % 7),
            number,
            batch_size=BATCH,
            chunks=CHUNKS,
            window_rows=2048,
        )
        groups = [group for group, _ in rows_of(order)]
        batches = [groups[i : i + BATCH] for i in range(0, len(groups) - BATCH + 1, BATCH)]
        shares, expected = zip(*(share_of(batch) for batch in batches), strict=True)
        values.append(np.mean((np.array(shares) - np.mean(shares)) ** 2) / np.mean(expected))
    margin = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(np.mean(values) - margin), float(np.mean(values) + margin)


def share_of_genome(batch: list[str]) -> tuple[float, float]:
    positives = [group for group in batch if group != "reference"]
    share = 1500 / 4000
    found = np.mean([group == "homologs/a" for group in positives])
    return float(found), share * (1 - share) / len(positives)


def share_of_class(batch: list[str]) -> tuple[float, float]:
    return float(np.mean([group == "reference" for group in batch])), 0.25 / len(batch)


@pytest.mark.parametrize("balance", ["batch", "none"])
def test_genomes_mix_as_in_random_batches(balance: str) -> None:
    mix = mixture(1500, 1500, 1000, 20_000, balance=balance)
    mean, low, high = inflation(share_of_genome, mix, epochs=36)
    assert 0.8 < low <= mean <= high < 1.25


def test_classes_mix_as_in_random_batches_when_asked() -> None:
    mix = mixture(1500, 1500, 1000, 20_000, balance="none")
    mean, low, high = inflation(share_of_class, mix, epochs=36)
    assert 0.8 < low <= mean <= high < 1.25
    balanced = inflation(share_of_class, replace(mix, balance="batch"), epochs=2)
    assert balanced[2] < 0.01
