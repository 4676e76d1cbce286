"""The reader gives exactly the rows the order names, and continues where it was cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import ConfigError
from ssldata.reading.epoch_order import EpochOrder
from ssldata.reading.mixture import Mixture, Segment, mixture_of
from ssldata.reading.noisy_weights import Weights
from ssldata.reading.read_window import central
from ssldata.reading.reader import WINDOW_CHUNKS, rows_dataset, take_rows, training_dataset
from ssldata.store.store import Store, open_store


@pytest.fixture(scope="module")
def store(built_world: Path) -> Store:
    return open_store(next((built_world / "store").glob("*.zarr")))


@pytest.fixture(scope="module")
def mixture(store: Store) -> Mixture:
    positives = tuple(
        Segment(f"homologs/{g}", *store.homologues(g).ranges["positive"]) for g in store.genomes
    )
    negatives = (Segment("reference", *store.group("reference").ranges["negative"]),)
    return Mixture(positives, negatives, seed=9)


def batches(store: Store, mixture: Mixture, count: int, **options: object):
    dataset, steps = training_dataset(store, mixture, batch_size=16, **options)  # type: ignore[arg-type]
    return [tuple(np.asarray(part) for part in batch) for batch in dataset.take(count)], steps


def test_the_default_mixture_is_all_training_rows_of_the_store(store: Store) -> None:
    expected, steps = batches(store, mixture_of(store), 3)
    dataset, default_steps = training_dataset(store, batch_size=16)
    assert default_steps == steps
    for batch, other in zip(dataset.take(3), expected, strict=True):
        for part, expected_part in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, expected_part)


def test_batches_hold_the_rows_of_the_order(store: Store, mixture: Mixture) -> None:
    got, steps = batches(store, mixture, mixture.steps(16))
    assert steps == mixture.steps(16)
    chunks = {
        s.group: store.group(s.group).chunk_rows for s in (*mixture.positives, *mixture.negatives)
    }
    order = EpochOrder(
        mixture, 0, batch_size=16, chunks=chunks, window_rows=WINDOW_CHUNKS * max(chunks.values())
    )
    expected = []
    for number in range(len(order)):
        window = order.window(number)
        flat = [(p.group, row) for p in window.pieces for row in p.rows]
        expected += [flat[i] for i in window.order]
    x = np.concatenate([b[0] for b in got])
    y = np.concatenate([b[1] for b in got])
    assert len(x) == len(expected) == mixture.rows
    for i, (group, row) in enumerate(expected):
        rows = store.group(group)
        assert (x[i] == rows.codes(row, row + 1)[0]).all()
        assert y[i, 0] == rows.column("label")[row, 0]
    assert {b[0].shape for b in got[:-1]} == {(16, store.group("reference").length)}
    assert all((b[2] == 1).all() for b in got)


@pytest.mark.parametrize("start", [(0, 3), (1, 0), (2, 5)])
def test_a_restored_reader_continues_byte_for_byte(
    store: Store, mixture: Mixture, start: tuple[int, int]
) -> None:
    steps = mixture.steps(16)
    whole, _ = batches(store, mixture, 4 * steps)
    epoch, step = start
    rest, _ = batches(store, mixture, steps, start_epoch=epoch, start_step=step)
    first = epoch * steps + step
    for a, b in zip(rest, whole[first : first + steps], strict=True):
        for left, right in zip(a, b, strict=True):
            assert left.tobytes() == right.tobytes()


def test_rows_in_order(store: Store) -> None:
    group = store.group("reference")
    first, end = group.ranges["test"]
    got = np.concatenate(
        [np.asarray(b) for b in rows_dataset(store, "reference", first, end, batch_size=7)]
    )
    assert (got == group.codes(first, end)).all()


def test_take_rows_in_any_order(store: Store) -> None:
    group = store.group("reference")
    rows = np.array([5, 0, group.rows - 1, 5], np.int64)
    codes, label = take_rows(store, [("reference", rows)])
    everything = group.codes(0, group.rows)
    assert (codes == everything[rows]).all()
    assert (label[:, 0] == group.column("label")[rows, 0]).all()


def test_context_reads_the_central_bases(store: Store) -> None:
    group = store.group("reference")
    got = next(iter(rows_dataset(store, "reference", 0, 4, batch_size=4, context=100)))
    margin = (group.length - 100) // 2
    assert (np.asarray(got) == group.codes(0, 4)[:, margin : margin + 100]).all()
    with pytest.raises(ConfigError, match=r"rebuild with 'windows\.context'"):
        central(group.codes(0, 1), group.length + 2)
    with pytest.raises(ConfigError, match="even difference"):
        central(group.codes(0, 1), group.length - 1)


def test_weights_go_with_their_rows(store: Store, mixture: Mixture) -> None:
    name = mixture.positives[0].group
    values = np.linspace(0, 1, store.group(name).rows).astype(np.float32)
    got, _ = batches(store, mixture, mixture.steps(16), weights=Weights({name: values}))
    weight = np.concatenate([b[2] for b in got])
    label = np.concatenate([b[1] for b in got])[:, 0]
    first, end = store.group(name).ranges["positive"]
    expected = sorted(values[first:end].tolist() + [1.0] * (mixture.rows - (end - first)))
    assert sorted(weight.tolist()) == pytest.approx(expected)
    assert (weight[label == 0] == 1).all()


def test_noise_is_of_the_row_and_the_epoch() -> None:
    rows = np.arange(50_000)
    label = np.ones(len(rows), np.float32)
    half = {"g": np.full(len(rows), 0.5, np.float32)}
    noisy = Weights(half, noise_sd=0.1, clip=False, seed=3)
    first = noisy.of("g", rows, label, 0)
    assert abs(first.mean() - 0.5) < 0.002
    assert abs(first.std() - 0.1) < 0.002
    assert (noisy.of("g", rows[::-1], label, 0) == first[::-1]).all()
    assert (noisy.of("g", rows, label, 1) != first).any()
    fixed = Weights(half, noise_sd=0.1, redraw=False, seed=3)
    assert (fixed.of("g", rows, label, 0) == fixed.of("g", rows, label, 7)).all()


def test_noise_spares_negatives_and_is_clipped() -> None:
    rows = np.arange(1000)
    label = (rows % 2).astype(np.float32)
    weights = Weights({"g": np.ones(1000, np.float32)}, noise_sd=0.5, seed=1)
    got = weights.of("g", rows, label, 0)
    assert (got[label == 0] == 1).all()
    assert got.max() == 1
    assert got.min() >= 0
    assert (got[label == 1] < 1).any()
    everywhere = Weights({}, noise_sd=0.5, on_negatives=True, seed=1).of("g", rows, label, 0)
    assert (everywhere[label == 0] < 1).any()
