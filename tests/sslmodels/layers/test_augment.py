"""Augmentation: lengths kept, each sequence on its own, nothing outside training, seeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from ssldata.genomes.onehot import one_hot, reverse_complement
from ssldata.project.training_section import Augment
from sslmodels.layers.augment import (
    Augmentation,
    Deletion,
    Insertion,
    Inversion,
    Mutation,
    Noise,
    ReverseComplement,
    Shift,
    Translocation,
)
from sslmodels.layers.sequence_model import OneHot
from sslmodels.models.augmented_model import Augmented, augmentations
from sslmodels.models.model_builder import build_model

ROWS, LENGTH = 400, 30
SEGMENTS = [Deletion, Insertion, Inversion, Translocation]


def layers(**options: Any) -> list[Augmentation]:
    """Return one of each that works on codes."""
    lengths = {"min_length": 3, "max_length": 9}
    return [
        ReverseComplement(**{"rate": 1.0, "seed": 1, **options}),
        Mutation(**{"fraction": 0.3, "rate": 1.0, "seed": 1, **options}),
        *(kind(**{"rate": 1.0, "seed": 1, **lengths, **options}) for kind in SEGMENTS),
    ]


def codes(rows: int = ROWS, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (rows, LENGTH)).astype(dtype)


def run(layer: Any, inputs: np.ndarray, training: bool = True) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(inputs, training=training))


def name_of(layer: Any) -> str:
    return type(layer).__name__


def places(rows: int = ROWS) -> np.ndarray:
    """Return sequences whose 'bases' tell where they were; random bases are below 4."""
    return np.tile(np.arange(LENGTH, dtype=np.int32) + 10, (rows, 1))


@pytest.mark.parametrize("layer", layers(), ids=name_of)
def test_length_and_type_are_kept(layer: Augmentation) -> None:
    for dtype in ("uint8", "int32"):
        inputs = codes(dtype=dtype)
        got = run(layer, inputs)
        assert got.shape == inputs.shape
        assert got.dtype == inputs.dtype
        assert got.max() <= 4
        assert (got != inputs).any(axis=1).mean() > 0.9
        assert layer.compute_output_shape((None, LENGTH)) == (None, LENGTH)


@pytest.mark.parametrize("layer", layers(), ids=name_of)
def test_nothing_outside_training(layer: Augmentation) -> None:
    assert (run(layer, codes(), training=False) == codes()).all()


@pytest.mark.parametrize("layer", layers(rate=0.0), ids=name_of)
def test_rate_zero_changes_nothing(layer: Augmentation) -> None:
    assert (run(layer, codes()) == codes()).all()


@pytest.mark.parametrize("layer", layers(rate=0.3), ids=name_of)
def test_the_rate_is_of_sequences(layer: Augmentation) -> None:
    inputs = codes(4000)
    changed = (run(layer, inputs) != inputs).any(axis=1).mean()
    # Few changed sequences are equal by chance; 4 standard errors are 0.03.
    assert 0.24 < changed < 0.33


@pytest.mark.parametrize("number", range(6))
def test_draws_are_seeded_and_of_each_sequence(number: int) -> None:
    first, same = layers()[number], layers()[number]
    other = layers(seed=2)[number]
    inputs = np.tile(codes(1), (200, 1))
    got = [run(first, inputs) for _ in range(2)]
    again = [run(same, inputs) for _ in range(2)]
    for a, b in zip(got, again, strict=True):
        assert (a == b).all()
    if number:  # the other strand is always the same one
        assert (got[0] != got[1]).any()
        assert (got[0] != run(other, inputs)).any()
        assert len(np.unique(got[0], axis=0)) > 5


def test_reverse_complement_of_codes_and_one_hot() -> None:
    layer = ReverseComplement(rate=1.0, seed=0)
    expected = reverse_complement(codes())
    assert (run(layer, codes()) == expected).all()
    hot = one_hot(codes()).astype(np.float32)
    assert (run(ReverseComplement(rate=1.0, seed=0), hot) == one_hot(expected)).all()


def test_shift_takes_windows_of_the_flanked_sequence() -> None:
    layer = Shift(flank=4, seed=3)
    got = run(layer, places())
    offsets = got[:, 0] - 10
    assert (got == np.arange(LENGTH - 8) + 10 + offsets[:, None]).all()
    assert sorted(set(offsets.tolist())) == list(range(9))
    centre = run(layer, places(), training=False)
    assert (centre == places()[:, 4:-4]).all()
    assert layer.compute_output_shape((None, LENGTH)) == (None, LENGTH - 8)


def test_mutations_give_another_base() -> None:
    inputs = codes(4000)
    got = run(Mutation(fraction=0.2, seed=0), inputs)
    assert (got[inputs == 4] == 4).all()
    known = inputs < 4
    hit = got[known] != inputs[known]
    assert abs(hit.mean() - 0.2) < 0.01
    step = (got[known][hit].astype(int) - inputs[known][hit]) % 4
    assert np.bincount(step, minlength=4)[1:].min() > 0.3 * hit.sum()


def test_a_deletion_leaves_out_one_segment() -> None:
    lengths = set()
    for row in run(Deletion(min_length=3, max_length=9, rate=1.0, seed=0), places()):
        kept = row[row >= 10] - 10
        size = LENGTH - len(kept)
        lengths.add(size)
        first = int(np.flatnonzero(row >= 10)[0])
        assert first == size // 2
        assert (row[first : first + len(kept)] >= 10).all()
        gone = sorted(set(range(LENGTH)) - set(kept.tolist()))
        assert gone == list(range(gone[0], gone[0] + size))
        assert (np.diff(kept) > 0).all()
    assert lengths == set(range(3, 10))


def test_an_insertion_pushes_both_sides_out() -> None:
    sizes = set()
    for row in run(Insertion(min_length=4, max_length=8, rate=1.0, seed=0), places()):
        new = np.flatnonzero(row < 10)
        if len(new) == 0:
            continue
        assert (np.diff(new) == 1).all()
        kept = row[row >= 10] - 10
        assert (np.diff(kept) == 1).all()
        if new[0] > 0 and new[-1] < LENGTH - 1:
            size = len(new)
            sizes.add(size)
            assert kept[0] == size // 2
            assert kept[-1] == LENGTH - 1 - (size - size // 2)
    assert sizes == set(range(4, 9))


def test_an_inversion_is_the_other_strand_of_one_segment() -> None:
    sizes = set()
    for row in run(Inversion(min_length=3, max_length=7, rate=1.0, seed=0), places()):
        moved = np.flatnonzero(row != places(1)[0])
        first, end = moved[0], moved[-1] + 1
        assert (row[first:end][::-1] == places(1)[0][first:end]).all()
        sizes.add(int(end - first))
    assert sizes == set(range(3, 8))
    inputs = codes()
    whole = Inversion(min_length=LENGTH, max_length=LENGTH, rate=1.0, seed=0)
    assert (run(whole, inputs) == reverse_complement(inputs)).all()


def test_a_translocation_turns_the_sequence() -> None:
    turns = set()
    for row in run(Translocation(min_length=2, max_length=5, rate=1.0, seed=0), places()):
        turn = int(row[0] - 10)
        assert (row == np.roll(places(1)[0], -turn)).all()
        turns.add(turn)
    assert turns == {2, 3, 4, 5, 25, 26, 27, 28}


def test_noise_on_one_hot() -> None:
    hot = one_hot(codes()).astype(np.float32)
    layer = Noise(sd=0.2, seed=0)
    difference = run(layer, hot) - hot
    assert abs(difference.std() - 0.2) < 0.005
    assert abs(difference.mean()) < 0.005
    assert (run(layer, hot, training=False) == hot).all()
    with pytest.raises(ValueError, match="noise needs one-hot"):
        Noise(seed=0)(codes())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mutation(rate=1.5, seed=0), "rate 1.5"),
        (lambda: Mutation(fraction=-1, seed=0), "fraction -1"),
        (lambda: Noise(sd=-1, seed=0), "sd -1"),
        (lambda: Shift(flank=-1, seed=0), "flank -1"),
        (lambda: Deletion(min_length=5, max_length=4, rate=1.0, seed=0), "lengths 5 to 4"),
        (lambda: Shift(flank=15, seed=0)(codes()), "no room for two flanks of 15 b"),
        (lambda: Deletion(max_length=31, rate=1.0, seed=0)(codes()), "longer than the sequences"),
    ],
)
def test_wrong_options(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def model_with(*extra: Any) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="uint8"),
            *extra,
            OneHot(),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"),
        ]
    )


def test_in_front_of_a_model_saved_and_trained(tmp_path: Path) -> None:
    model = model_with(*layers(), Shift(flank=2, seed=5))
    model.compile(optimizer="sgd", loss="binary_crossentropy")
    labels = np.ones((64, 1), np.float32)
    model.fit(codes(64), labels, epochs=1, verbose=0, shuffle=False)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    before, after = model.predict(codes(8), verbose=0), loaded.predict(codes(8), verbose=0)
    assert before.tobytes() == after.tobytes()
    assert [layer.get_config() for layer in loaded.layers] == [
        layer.get_config() for layer in model.layers
    ]


def test_shifted_rows_of_a_run_are_windows_of_what_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Training reads the flanks too, validation does not."""
    inner = build_model("cnn-7k", length=LENGTH, seed=0)
    options = Augment(shift=4)
    model = Augmented(inner, augmentations(options, seed=1, originals=False))
    assert model.length == LENGTH + 8
    assert Augmented(inner, augmentations(options, seed=1, originals=True)).length == LENGTH
    stored = np.random.default_rng(0).integers(0, 4, (200, LENGTH + 8)).astype(np.uint8)
    plain = stored[:, 4:-4]
    np.testing.assert_array_equal(model(plain, training=False), inner(plain, training=False))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(inner, "call", lambda inputs, training: seen.append(np.asarray(inputs)))
    model.call(stored, training=True)
    windows = np.lib.stride_tricks.sliding_window_view(stored, LENGTH, axis=1)
    same = (windows == seen[0][:, None]).all(axis=2)
    assert (same.sum(axis=1) == 1).all()
    assert same.any(axis=0).all()
    noisy = augmentations(Augment(shift=4, deletion=3, noise=0.1), seed=1, originals=False)
    Augmented(inner, noisy).call(stored, training=True)
    assert seen[1].shape == (200, LENGTH, 4)


def test_the_random_state_is_a_variable_of_the_model() -> None:
    """So a checkpoint of the model's variables continues with the same draws."""
    model = model_with(Mutation(fraction=0.5, seed=0))
    layer = model.layers[0]
    run(layer, codes())
    kept = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
    expected = run(layer, codes())
    fresh = model_with(Mutation(fraction=0.5, seed=99))
    for variable, value in zip(fresh.variables, kept, strict=True):
        variable.assign(value)
    assert (run(fresh.layers[0], codes()) == expected).all()
