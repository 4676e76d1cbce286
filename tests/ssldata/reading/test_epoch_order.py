"""The order of rows: every row as often as promised, balanced batches, exactly resumable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.reading.epoch_order import EpochOrder, spread_evenly
from ssldata.reading.mixture import Mixture, Segment

CHUNKS = {"reference": 16, "homologs/a": 8, "homologs/b": 8}


def rows_of(order: EpochOrder, number: int) -> list[tuple[str, int]]:
    window = order.window(number)
    flat = [(piece.group, int(row)) for piece in window.pieces for row in piece.rows]
    return [flat[i] for i in window.order]


def epoch_rows(order: EpochOrder) -> list[tuple[str, int]]:
    return [row for number in range(len(order)) for row in rows_of(order, number)]


def order_of(mixture: Mixture, epoch: int = 0, *, batch: int = 7, window: int = 40) -> EpochOrder:
    return EpochOrder(mixture, epoch, batch_size=batch, chunks=CHUNKS, window_rows=window)


def mixture(a: int = 50, b: int = 21, pool: int = 300, **options: object) -> Mixture:
    return Mixture(
        (Segment("homologs/a", 3, 3 + a), Segment("homologs/b", 0, b)),
        (Segment("reference", 40, 40 + pool),),
        **options,  # type: ignore[arg-type]
    )


@settings(max_examples=60)
@given(
    a=st.integers(1, 60),
    b=st.integers(0, 30),
    pool=st.integers(1, 400),
    ratio=st.sampled_from([0.5, 1.0, 2.0]),
    batch=st.integers(1, 40),
    window=st.integers(1, 200),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_positive_once_and_the_promised_negatives(
    a: int, b: int, pool: int, ratio: float, batch: int, window: int, seed: int, epoch: int
) -> None:
    mix = mixture(a, b, pool, ratio=ratio, seed=seed)
    order = order_of(mix, epoch, batch=batch, window=window)
    rows = epoch_rows(order)
    count = Counter(rows)
    positives = [("homologs/a", r) for r in range(3, 3 + a)] + [("homologs/b", r) for r in range(b)]
    assert all(count[row] == 1 for row in positives)
    negatives = {row: n for row, n in count.items() if row[0] == "reference"}
    wanted = round((a + b) * ratio)
    assert sum(negatives.values()) == wanted
    assert all(40 <= row < 40 + pool for _, row in negatives)
    # Without replacement as long as the pool lasts; then every row equally often, to within one.
    assert (
        max(negatives.values(), default=0) - (min(negatives.values()) if wanted >= pool else 0) <= 1
    )
    assert len(rows) == mix.rows
    assert order.steps == -(-mix.rows // batch)


@settings(max_examples=40)
@given(st.integers(1, 60), st.sampled_from([0.5, 1.0, 3.0]), st.integers(2, 32))
def test_classes_are_balanced_in_every_batch(a: int, ratio: float, batch: int) -> None:
    mix = mixture(a, ratio=ratio)
    rows = epoch_rows(order_of(mix, batch=batch, window=batch * 3))
    share = mix.positive_rows / mix.rows
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        positive = sum(group != "reference" for group, _ in part)
        assert abs(positive - share * len(part)) <= 1


@given(st.integers(0, 50), st.integers(0, 50))
def test_spread_evenly(p: int, n: int) -> None:
    places = spread_evenly(p, p + n)
    assert len(places) == p + n
    assert places.sum() == p
    expected = np.arange(1, p + n + 1) * p / max(p + n, 1)
    assert (abs(np.cumsum(places) - expected) <= 1).all()
    half = (p + n) // 2
    parts = [spread_evenly(p, p + n, 0, half), spread_evenly(p, p + n, half, p + n)]
    assert np.concatenate(parts).tolist() == places.tolist()


def test_windows_are_whole_batches_but_the_last() -> None:
    order = order_of(mixture(), batch=7, window=40)
    sizes = [len(order.window(i).order) for i in range(len(order))]
    assert sizes == [7, 14, 28, 35, 35, 23]
    assert sum(sizes) == 142
    assert [order.window(i).first_step for i in range(6)] == [0, 1, 3, 7, 12, 17]
    assert [order.window_of(step) for step in range(8)] == [0, 1, 1, 2, 2, 2, 2, 3]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first = epoch_rows(order_of(mixture(seed=1), 2))
    assert epoch_rows(order_of(mixture(seed=1), 2)) == first
    assert epoch_rows(order_of(mixture(seed=2), 2)) != first
    assert epoch_rows(order_of(mixture(seed=1), 3)) != first


def test_windows_can_be_asked_for_in_any_order() -> None:
    order = order_of(mixture())
    forward = [rows_of(order, i) for i in range(len(order))]
    fresh = order_of(mixture())
    backward = [rows_of(fresh, i) for i in reversed(range(len(fresh)))]
    assert forward == backward[::-1]


def drawn(mix: Mixture, epoch: int) -> set[tuple[str, int]]:
    return {row for row in epoch_rows(order_of(mix, epoch)) if row[0] == "reference"}


def test_negatives_are_drawn_once_or_every_epoch() -> None:
    kept = mixture(seed=4)
    assert drawn(kept, 0) == drawn(kept, 5)
    redrawn = mixture(seed=4, redraw=True)
    assert drawn(redrawn, 0) != drawn(redrawn, 5)


def test_every_negative_of_the_pool_is_drawn_equally_often_over_seeds() -> None:
    count = np.zeros(300)
    for seed in range(400):
        for _, row in drawn(mixture(20, 10, seed=seed), 0):
            count[row - 40] += 1
    # 30 of 300 rows in each of 400 draws: 40 each on average.
    assert count.sum() == 400 * 30
    assert count.min() > 15
    assert count.max() < 75


def test_shares_of_negative_pools() -> None:
    mix = Mixture(
        (Segment("homologs/a", 0, 40),),
        (Segment("reference", 0, 1000), Segment("homologs/b", 0, 30)),
        negative_shares=(0.5, 0.5),
    )
    count = Counter(group for group, _ in epoch_rows(order_of(mix)))
    assert count == {"homologs/a": 40, "reference": 20, "homologs/b": 20}


def test_members_restrict_a_segment() -> None:
    members = np.array([3, 17, 18, 40], np.int64)
    mix = Mixture((Segment("homologs/a", 0, 50, members),), (Segment("reference", 0, 99),))
    rows = [row for group, row in epoch_rows(order_of(mix)) if group == "homologs/a"]
    assert sorted(rows) == members.tolist()


@pytest.mark.parametrize("repeats", [0.4, 2.0, 3.5])
def test_repeats_lengthen_an_epoch_without_favourites(repeats: float) -> None:
    mix = mixture(40, 20, repeats=repeats)
    total: Counter[tuple[str, int]] = Counter()
    for epoch in range(30):
        count = Counter(row for row in epoch_rows(order_of(mix, epoch)) if row[0] != "reference")
        assert sum(count.values()) == round(60 * repeats)
        assert max(count.values()) <= np.ceil(repeats)
        total += count
    assert len(total) == 60
    assert min(total.values()) > 0.4 * 30 * repeats


def test_a_small_pool_is_said(caplog: pytest.LogCaptureFixture) -> None:
    epoch_rows(order_of(mixture(pool=5)))
    assert "71 negatives wanted of a pool of 5" in caplog.text


def test_batches_mix_genomes_as_well_as_random_ones() -> None:
    """Variance of the share of genome a per batch, against rows drawn without replacement."""
    mix = Mixture(
        (Segment("homologs/a", 0, 512), Segment("homologs/b", 0, 512)),
        (Segment("reference", 0, 5000),),
    )
    batch, ratios = 32, []
    for seed in range(30):
        order = EpochOrder(
            Mixture(mix.positives, mix.negatives, seed=seed),
            0,
            batch_size=batch,
            chunks={"reference": 64, "homologs/a": 32, "homologs/b": 32},
            window_rows=512,
        )
        groups = [group for group, _ in epoch_rows(order)]
        shares = [
            np.mean([g == "homologs/a" for g in groups[i : i + batch] if g != "reference"])
            for i in range(0, len(groups), batch)
        ]
        ratios.append(np.var(shares) / (0.25 / (batch / 2)))
    assert 0.8 < np.mean(ratios) < 1.25
