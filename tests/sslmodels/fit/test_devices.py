"""Several devices, half precision, compiled steps: the same training, only computed otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from fit_tools import BATCH, LENGTH, EndsAfter, cut_after, interrupt, rows, validation

from ssldata.base.errors import ConfigError
from ssldata.project.training_section import Training
from sslmodels.fit import devices, training_loop
from sslmodels.fit.checkpoint import read_checkpoint
from sslmodels.fit.fit_options import Batches, FitOptions
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.scores import score_rows

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: The last batch of an epoch is odd.
ROWS = 2 * BATCH + 7


def batches() -> Batches:
    codes, labels = rows(ROWS, seed=1)
    weights = np.linspace(0.1, 1, ROWS).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((codes, labels, weights)).batch(BATCH).repeat()
    return Batches(open=data.skip, steps_per_epoch=3, rows_per_epoch=ROWS)


def fit(*, dropout: bool = True, checkpoint: Path | None = None, progress=None, **options):
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    if not dropout:
        for layer in model.body.layers:
            layer.rate = 0.0
    result = training_loop.fit(
        model,
        batches(),
        validation(),
        options=FitOptions(
            **{"epochs": 4, "checkpoint_seconds": 0, "learning_rate": 1e-2} | options
        ),
        checkpoint=checkpoint,
        progress=progress,
    )
    return model, result


def two_devices(folder: str) -> None:
    """What the subprocess of the tests does; JSON on stdout."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    devices.make_deterministic()
    found = {}
    one, one_result = fit(dropout=False)
    with devices.on_devices("all") as found["devices"]:
        two, two_result = fit(dropout=False)
        whole, whole_result = fit()
        checkpoint = Path(folder) / "fit.npz"
        with contextlib.suppress(KeyboardInterrupt):
            fit(checkpoint=checkpoint, progress=EndsAfter(2, interrupt))
        found["stopped after"] = read_checkpoint(checkpoint, identity="")[0].epoch
        again, again_result = fit(checkpoint=checkpoint)
        within = Path(folder) / "within.npz"
        with contextlib.suppress(KeyboardInterrupt), cut_after(5, interrupt):
            fit(checkpoint=within, within_seconds=0)
        state = read_checkpoint(within, identity="")[0]
        found["stopped within"] = [state.epoch, state.steps]
        third, third_result = fit(checkpoint=within)
        same_rows = np.repeat(rows(1, seed=5)[0], 2 * BATCH, axis=0)
        data = tf.data.Dataset.from_tensors(
            (same_rows, np.zeros((2 * BATCH, 1)), np.ones(2 * BATCH))
        )
        strategy = devices.strategy_of(whole)
        step = strategy.run(whole, next(iter(devices.divided(data, whole)))[:1], {"training": True})
        draws = [part.numpy() for part in strategy.experimental_local_results(step)]
        training_loop.save_model(whole, Path(folder) / "whole.keras")
    found["difference"] = max(
        float(np.abs(a - b).max())
        for a, b in zip(one.get_weights(), two.get_weights(), strict=True)
    )
    found["moved"] = float(np.abs(one.get_weights()[0]).max())
    found["val_loss"] = [[r["val_loss"] for r in h.history] for h in (one_result, two_result)]
    found["best"] = [one_result.best_epoch, two_result.best_epoch]
    found["resumed"] = [
        training_loop.weights_digest(again) == training_loop.weights_digest(whole),
        again_result.history == whole_result.history,
        training_loop.weights_digest(third) == training_loop.weights_digest(whole),
        third_result.history == whole_result.history,
    ]
    found["parts"] = [len(part) for part in draws]
    found["draws differ"] = bool((draws[0] != draws[1]).any())
    saved = load_model(Path(folder) / "whole.keras")
    codes = validation().codes
    found["scores"] = [score_rows.score(model, codes).tolist() for model in (whole, saved)]
    with contextlib.suppress(ConfigError), devices.on_devices(3):
        found["three"] = True
    print(json.dumps(found))


def in_two_devices(folder: Path) -> dict:
    script = "import sys, test_devices; test_devices.two_devices(sys.argv[1])"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict:
    return in_two_devices(tmp_path_factory.mktemp("two"))


@pytest.mark.slow
def test_two_devices_train_as_one(two):
    """Weights of rows differ and the last batch is odd: a wrong scale of the loss would show."""
    assert two["devices"] == 2
    assert two["difference"] < 1e-4 * two["moved"]
    np.testing.assert_allclose(*two["val_loss"], rtol=1e-5)
    assert two["best"][0] == two["best"][1]


def test_two_devices_continue_to_the_same_bits(two):
    assert two["stopped after"] == 2
    assert two["stopped within"] == [1, 2]
    assert two["resumed"] == [True] * 4


def test_each_device_draws_for_itself(two):
    assert two["parts"] == [BATCH, BATCH]
    assert two["draws differ"]


def test_model_of_two_devices_scores_on_one(two):
    np.testing.assert_allclose(*two["scores"], rtol=1e-6)


def test_more_devices_than_there_are(two):
    assert "three" not in two
    with pytest.raises(ConfigError, match=r"training.devices: 99, but there are \d+ \("):
        devices.on_devices(99).__enter__()


@pytest.fixture(scope="module")
def plain():
    devices.make_deterministic()
    return fit(dropout=False)


def test_half_precision_trains_much_the_same_and_saves_float32(plain, tmp_path: Path):
    """The scale of the loss is part of the checkpoint: a cut fit would else go another way.

    Dropout draws other numbers in other types, so it is off here.
    """
    checkpoint = tmp_path / "fit.npz"
    half, result = fit(dropout=False, precision="mixed_float16")
    losses = [[record["loss"] for record in r.history] for r in (plain[1], result)]
    np.testing.assert_allclose(*losses, rtol=1e-2)
    assert losses[0] != losses[1]
    with pytest.raises(KeyboardInterrupt):
        fit(
            dropout=False,
            precision="mixed_float16",
            checkpoint=checkpoint,
            progress=EndsAfter(2, interrupt),
        )
    again, continued = fit(dropout=False, precision="mixed_float16", checkpoint=checkpoint)
    assert continued.history == result.history
    assert training_loop.weights_digest(again) == training_loop.weights_digest(half)
    training_loop.save_model(half, tmp_path / "half.keras")
    saved = load_model(tmp_path / "half.keras")
    assert {layer.dtype_policy.name for layer in saved._flatten_layers()} == {"float32"}
    codes = validation().codes
    np.testing.assert_array_equal(score_rows.score(saved, codes), score_rows.score(half, codes))


def test_half_precision_reaches_all_but_the_probabilities():
    model = build_model("cnn-7k", length=LENGTH, seed=3)
    body = {layer.name: layer for layer in model.body.layers}
    with devices.computing_in(model, "mixed_bfloat16"):
        assert body["motifs"].compute_dtype == "bfloat16"
        assert body["probability"].compute_dtype == "float32"
        assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert body["motifs"].compute_dtype == "float32"


def test_compiled_steps_train_much_the_same(plain):
    devices.make_deterministic(jit_compile=True)
    try:
        model, result = fit(dropout=False, jit_compile=True)
    finally:
        devices.make_deterministic()
    assert model.jit_compile
    np.testing.assert_allclose(
        *([record["loss"] for record in r.history] for r in (plain[1], result)), rtol=1e-3
    )


@pytest.mark.parametrize("value", [0, "two"])
def test_devices_that_cannot_be_are_told_in_one_sentence(value):
    with pytest.raises(ValueError, match=f"{value}.*; expected one, all or a number of 1 or more"):
        Training(devices=value)


def test_compiled_steps_do_not_go_with_several_devices():
    with pytest.raises(ValueError, match="use devices: one, or jit_compile: false"):
        Training(jit_compile=True, devices="all")
