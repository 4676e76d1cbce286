"""Keras on another backend than TensorFlow: the same reader, fit, checkpoint and model file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fit_tools import EndsAfter, cut_after, interrupt
from small_store import write_store

from ssldata.reading.mixture import Mixture, Segment
from ssldata.reading.reader import TrainingReader
from sslmodels.fit import devices, training_loop
from sslmodels.fit.checkpoint import read_checkpoint
from sslmodels.fit.fit_options import Batches, FitOptions, Validation
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.scores import score_rows

LENGTH, BATCH = 40, 16
SCORED = np.random.default_rng(5).integers(0, 5, (20, LENGTH)).astype(np.uint8)


def fit_from_a_store(folder: str) -> None:
    """What the subprocess does: two fits, one of them cut and continued; JSON on stdout."""
    devices.make_deterministic()
    # 60 rows: the last batch of an epoch is smaller, as it is in real stores.
    store = write_store(Path(folder) / "s.zarr", rows={"reference": (30, 40, 9, 9)}, length=LENGTH)
    mixture = Mixture(
        positives=(Segment("reference", 0, 30),), negatives=(Segment("reference", 30, 70),)
    )
    reader = TrainingReader(store, mixture, batch_size=BATCH)
    batches = Batches(
        open=lambda step: reader.restore(reader.state(step)),
        steps_per_epoch=reader.steps_per_epoch,
        state=reader.state,
    )
    validation = Validation(codes=SCORED, labels=(np.arange(20) % 2)[:, None].astype(np.float32))

    def fit(checkpoint: Path | None = None, progress=None, within: float = 300):
        model = build_model("cnn-7k", length=LENGTH, seed=3)
        options = FitOptions(
            epochs=4,
            plateau_patience=1,
            checkpoint_seconds=0,
            within_seconds=within,
            learning_rate=1e-2,
        )
        result = training_loop.fit(
            model, batches, validation, options=options, checkpoint=checkpoint, progress=progress
        )
        return model, result

    whole, result = fit()
    checkpoint = Path(folder) / "fit.npz"
    with contextlib.suppress(KeyboardInterrupt):
        fit(checkpoint, EndsAfter(2, interrupt))
    stopped = read_checkpoint(checkpoint, identity="")[0].epoch
    again, continued = fit(checkpoint)
    within = Path(folder) / "within.npz"
    with contextlib.suppress(KeyboardInterrupt), cut_after(6, interrupt):
        fit(within, within=0)  # four steps in an epoch
    state = read_checkpoint(within, identity="")[0]
    third, third_continued = fit(within)
    training_loop.save_model(whole, Path(folder) / "model.keras")
    found = {
        "backend": devices.backend(),
        "losses": [record["loss"] for record in result.history],
        "rates": [record["learning_rate"] for record in result.history],
        "stopped after": stopped,
        "stopped within": [state.epoch, state.steps],
        "same bits": training_loop.weights_digest(again)
        == training_loop.weights_digest(third)
        == training_loop.weights_digest(whole),
        "same history": continued.history == third_continued.history == result.history,
        "scores": score_rows.score(whole, SCORED)[:, 0].tolist(),
    }
    print(json.dumps(found))


@pytest.mark.parametrize("backend", ["jax"])
def test_fit_from_a_store(backend: str, tmp_path: Path):
    script = "import sys, test_backends; test_backends.fit_from_a_store(sys.argv[1])"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["backend"] == backend
    assert found["losses"][-1] < found["losses"][0]
    assert found["rates"][-1] < found["rates"][0]
    assert found["stopped after"] == 2
    assert found["stopped within"] == [1, 2]
    assert found["same bits"]
    assert found["same history"]
    # The file is the same model under TensorFlow.
    again = score_rows.score(load_model(tmp_path / "model.keras"), SCORED)[:, 0]
    np.testing.assert_allclose(again, found["scores"], rtol=1e-4)
