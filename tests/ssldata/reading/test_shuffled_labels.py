"""A control that keeps anything of the labels, of the genome or of the order is no control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_store import write_store

from ssldata.project.project_file import Negatives
from ssldata.reading.reader import TrainingReader
from ssldata.reading.shuffled_labels import ShuffledLabels
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.runs import training_rows

GENOMES = ("a", "b")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rows = {REFERENCE: (60, 900, 4, 4), "homologs/a": (500, 0, 0, 0), "homologs/b": (300, 0, 0, 0)}
    return write_store(tmp_path_factory.mktemp("shuffled") / "s.zarr", rows=rows)


def reader(store: Store, seed: int | None) -> TrainingReader:
    mixture = training_rows.homologous_rows(store, "tf0", Negatives(), seed=0)
    return TrainingReader(store, replace(mixture, label_seed=seed), batch_size=100)


def epoch(found: TrainingReader, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    batches = list(found.dataset(start_epoch=number).take(found.steps_per_epoch))
    codes, labels = (np.concatenate([np.asarray(b[i]) for b in batches]) for i in (0, 1))
    return codes, labels[:, 0]


def test_labels_say_nothing_and_rows_stay_the_same(store: Store) -> None:
    true_codes, true = epoch(reader(store, None))
    codes, shuffled = epoch(reader(store, 1))
    np.testing.assert_array_equal(codes, true_codes)
    assert abs(shuffled.mean() - true.mean()) < 0.05
    # Of 800 positives and 800 negatives; the SD of the difference is .025.
    assert abs(shuffled[true == 1].mean() - shuffled[true == 0].mean()) < 0.1
    assert (epoch(reader(store, 2))[1] != shuffled).mean() > 0.4


def test_a_row_keeps_its_label_in_every_epoch(store: Store) -> None:
    mixture = replace(
        training_rows.homologous_rows(store, "tf0", Negatives(), seed=0), label_seed=3
    )
    labels = ShuffledLabels(store, 0, mixture)
    assert labels.rate == pytest.approx([0.5])
    rows = np.arange(500)
    np.testing.assert_array_equal(labels.of("homologs/a", rows), labels.of("homologs/a", rows))
    other = labels.of("homologs/b", np.arange(300))
    assert 0.3 < (labels.of("homologs/a", rows[:300]) != other).mean() < 0.7
    # The reader gives these labels, whatever the epoch.
    found = reader(store, 3)
    assert epoch(found, 0)[1].sum() == epoch(found, 1)[1].sum()


def test_only_a_shuffled_order_is_another_order(store: Store) -> None:
    keys = {seed: reader(store, seed).order_key for seed in (None, 1, 2)}
    assert len(set(keys.values())) == 3


def test_labels_of_their_own_are_refused(store: Store, tmp_path: Path) -> None:
    mixture = training_rows.homologous_rows(store, "tf0", Negatives(), seed=0)
    with pytest.raises(ValueError, match="label_seed"):
        ShuffledLabels(open_store(store.location), 0, mixture)
