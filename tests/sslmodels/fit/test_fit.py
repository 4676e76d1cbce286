"""One fit: determinism, resume after a kill, early stopping, learning-rate cuts, files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fit_tools import (
    LENGTH,
    OPTIONS,
    STEPS,
    EndsAfter,
    batches,
    cut_after,
    fit,
    interrupt,
    rows,
    validation,
)
from small_store import write_store

from ssldata.base.errors import ConfigError, StoreError
from sslmodels.fit import training_loop
from sslmodels.fit.checkpoint import FitState, read_checkpoint, write_checkpoint
from sslmodels.fit.fit_options import FitOptions, Validation
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.scores import score_rows

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted fit."""
    return fit()


def test_same_seed_same_bits(whole):
    digest, result = fit()
    assert digest == whole[0]
    assert result.history == whole[1].history


def test_the_step_is_traced_once(monkeypatch):
    """A graph costs seconds, more than training on few rows; one is enough for a fit."""
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    traced = []
    step = model.train_step

    def counted(data):
        traced.append(data)
        return step(data)

    monkeypatch.setattr(model, "train_step", counted)
    options = dataclasses.replace(OPTIONS, epochs=2)
    training_loop.fit(model, batches(), validation(), options=options)
    assert len(traced) == 1


def test_it_learns(whole):
    history = whole[1].history
    assert history[-1]["loss"] < history[0]["loss"]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]
    assert whole[1].steps == 6 * STEPS


@pytest.mark.parametrize("after", [1, 3, 5])
def test_interrupted_fit_continues_to_the_same_bits(whole, tmp_path: Path, after: int):
    checkpoint = tmp_path / "fit.npz"

    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint, EndsAfter(after, interrupt))
    state = read_checkpoint(checkpoint, identity="test")[0]
    assert (state.epoch, state.finished) == (after, False)
    digest, result = fit(checkpoint)
    assert digest == whole[0]
    assert result.history == whole[1].history
    assert result.best_epoch == whole[1].best_epoch


@pytest.mark.parametrize(("writes", "epoch", "steps"), [(2, 0, 2), (8, 1, 2), (16, 2, 4)])
def test_fit_cut_within_an_epoch_continues_to_the_same_bits(
    whole, tmp_path: Path, writes: int, epoch: int, steps: int
):
    checkpoint = tmp_path / "fit.npz"
    with cut_after(writes, interrupt), pytest.raises(KeyboardInterrupt):
        fit(checkpoint, within_seconds=0)
    state = read_checkpoint(checkpoint, identity="test")[0]
    assert (state.epoch, state.steps) == (epoch, steps)
    assert state.reader == {"step": epoch * STEPS + steps}
    again = fit(checkpoint)
    assert again[0] == whole[0]
    assert again[1].history == whole[1].history


def test_a_short_epoch_is_not_checkpointed_within(tmp_path: Path):
    checkpoint = tmp_path / "fit.npz"
    with cut_after(1, interrupt), pytest.raises(KeyboardInterrupt):
        fit(checkpoint)
    assert read_checkpoint(checkpoint, identity="test")[0].epoch == 1


@pytest.mark.parametrize(
    ("writes", "within", "reached"),
    [(2, 300, (2, 0)), pytest.param(9, 0, (1, 3), marks=pytest.mark.slow)],
)
def test_killed_process_continues_to_the_same_bits(
    whole, tmp_path: Path, writes: int, within: int, reached: tuple[int, int]
):
    checkpoint = tmp_path / "fit.npz"
    script = (
        "import os, signal, sys, pathlib\n"
        "import fit_tools as t\n"
        "with t.cut_after(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)):\n"
        "    t.fit(pathlib.Path(sys.argv[1]), within_seconds=int(sys.argv[3]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(checkpoint), str(writes), str(within)],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    state = read_checkpoint(checkpoint, identity="test")[0]
    assert (state.epoch, state.steps) == reached
    assert fit(checkpoint)[0] == whole[0]


def damages(data: bytes) -> dict[str, bytes]:
    """Return damaged checkpoints: cut, emptied, bits flipped, other files."""
    found = {"empty": b"", "cut": data[: len(data) // 2], "text": b"not a checkpoint"}
    found |= {"pickle": pickle.dumps([1]), "zeros": bytes(len(data))}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("header.npy", b"")
    found["zip"] = archive.getvalue()
    # In the names and sizes of the archive, of its arrays, and in their values.
    for at in (*range(0, 200, 9), *range(len(data) - 400, len(data), 9), len(data) // 2):
        found[f"bit at {at}"] = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
    renamed = data.replace(b"variable.1.npy", b"variablf.1.npy")
    return {**found, "renamed": renamed, "added": data.replace(b"best.1.npy", b"besu.1.npy")}


def test_a_damaged_checkpoint_is_discarded_with_a_line_and_the_fit_starts_again(
    whole, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    checkpoint = tmp_path / "fit.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint, EndsAfter(2, interrupt))
    good = checkpoint.read_bytes()
    expected = read_checkpoint(checkpoint, identity="test")
    discarded = 0
    for name, data in damages(good).items():
        caplog.clear()
        checkpoint.write_bytes(data)
        found = read_checkpoint(checkpoint, identity="test")
        if found is not None:  # a bit that nothing depends on
            assert found.state == expected.state, name
            for part, wanted in zip(found[1:], expected[1:], strict=True):
                assert [array.tolist() for array in part] == [array.tolist() for array in wanted]
            continue
        discarded += 1
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{checkpoint}: a damaged checkpoint"), name
    assert discarded > 30
    checkpoint.write_bytes(b"")
    assert fit(checkpoint)[0] == whole[0]
    caplog.clear()
    assert read_checkpoint(tmp_path / "none.npz", identity="test") is None
    assert not caplog.records


def test_reader_elsewhere_than_at_the_checkpoint_is_refused(tmp_path: Path):
    checkpoint = tmp_path / "fit.npz"

    def fit_from(order: int, progress=None):
        data = dataclasses.replace(batches(), state=lambda step: {"step": step, "order": order})
        training_loop.fit(
            build_model("cnn-7k", length=LENGTH, seed=3),
            data,
            validation(),
            options=OPTIONS,
            checkpoint=checkpoint,
            progress=progress,
        )

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_from(1, EndsAfter(1, stop))
    expected = rf"reader at .*'step': {STEPS}, 'order': 1.* now continue at .*'order': 2.*--replace"
    with pytest.raises(ConfigError, match=expected):
        fit_from(2)
    assert read_checkpoint(checkpoint, identity="")[0].reader == {"step": STEPS, "order": 1}


def test_checkpoint_holds_dropout_state(tmp_path: Path):
    """Without the seeds of dropout a resumed fit would differ: prove that they are kept."""
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    assert len(seeds) == 2
    before = [np.array(v.value) for v in seeds]
    model(rows(4, 0)[0], training=True)
    assert all((b != np.array(v.value)).any() for b, v in zip(before, seeds, strict=True))


def test_finished_checkpoint_trains_nothing(whole, tmp_path: Path):
    checkpoint = tmp_path / "fit.npz"
    fit(checkpoint)
    before = checkpoint.stat().st_mtime_ns

    def never():
        raise AssertionError("trained again")

    digest, result = fit(checkpoint, EndsAfter(1, never))
    assert digest == whole[0]
    assert result.history == whole[1].history
    assert checkpoint.stat().st_mtime_ns == before


def test_checkpoint_of_something_else_is_not_resumed(tmp_path: Path):
    path = tmp_path / "fit.npz"
    write_checkpoint(
        path, identity="a", state=FitState(), variables=[], optimizer=[], best_weights=[]
    )
    assert read_checkpoint(path, identity="b") is None
    assert read_checkpoint(path, identity="a") is not None
    path.write_bytes(path.read_bytes()[:-20])
    assert read_checkpoint(path, identity="a") is None
    assert read_checkpoint(tmp_path / "none.npz", identity="a") is None


def test_early_stopping_restores_the_best_epoch():
    """Validation labels are inverted: learning makes it worse, so the first epochs are best."""
    wrong = Validation(codes=validation().codes, labels=1 - validation().labels)
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    seen = {}

    class Watch(EndsAfter):
        @contextlib.contextmanager
        def task(self, description, total=None):
            def advance(amount: float = 1) -> None:
                seen[len(seen) + 1] = training_loop.weights_digest(model)

            yield advance

    result = training_loop.fit(
        model,
        batches(),
        wrong,
        options=FitOptions(epochs=40, patience=3, learning_rate=1e-2),
        progress=Watch(0, None),
    )
    values = [record["val_loss"] for record in result.history]
    assert result.best_epoch == int(np.argmin(values)) + 1
    assert result.epochs == result.best_epoch + 3 < 40
    assert training_loop.weights_digest(model) == seen[result.best_epoch]


def test_monitor_aupr_takes_the_highest():
    result = fit(monitor="val_aupr", plateau_patience=0)[1]
    values = [record["val_aupr"] for record in result.history]
    assert result.best_epoch == int(np.argmax(values)) + 1
    assert result.best_value == max(values)


def test_plateau_halves_the_rate():
    wrong = Validation(codes=validation().codes, labels=1 - validation().labels)
    result = training_loop.fit(
        build_model("cnn-7k", length=LENGTH, seed=3),
        batches(),
        wrong,
        options=FitOptions(epochs=9, patience=9, plateau_patience=2, learning_rate=1e-2),
    )
    rates = [record["learning_rate"] for record in result.history]
    worse = result.epochs - result.best_epoch
    assert worse >= 4
    assert rates[-1] == pytest.approx(1e-2 / 2 ** ((worse - 1) // 2))


def test_diverged_training_is_named():
    with pytest.raises(
        ConfigError, match=r"training diverged in epoch .*lower training.learning_rate"
    ):
        fit(learning_rate=1e30)


def test_equal_models_are_equal_files(tmp_path: Path):
    for name in ("a.keras", "b.keras"):
        training_loop.save_model(build_model("cnn-7k", length=LENGTH, seed=3), tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.keras", "b.keras"]
    again = load_model(tmp_path / "a.keras")
    assert training_loop.weights_digest(again) == training_loop.weights_digest(
        build_model("cnn-7k", length=LENGTH, seed=3)
    )


def test_history_is_json(whole):
    assert json.loads(json.dumps(whole[1].history)) == whole[1].history


def test_score_in_pieces_is_score_at_once(monkeypatch):
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    codes = rows(50, seed=4)[0]
    expected = score_rows.score(model, codes)
    monkeypatch.setattr(score_rows, "SCORE_BATCH", 16)
    np.testing.assert_allclose(score_rows.score(model, codes), expected, rtol=1e-5)


def test_damaged_rows_are_told_while_they_are_scored(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s.zarr", rows={"reference": (0, 0, 0, 30)})
    model = build_model("cnn-7k", length=24, seed=0)
    options = {"group": "reference", "start": 0, "stop": 30}
    assert score_rows.score_rows(model, store, **options).shape == (30, 1)
    file = tmp_path / "s.zarr" / "reference" / "sequence_codes" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StoreError, match="the index of the shard is damaged"):
        score_rows.score_rows(model, store, **options)
