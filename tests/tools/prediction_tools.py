"""Run folders without training: random weights, and the records that predictions read."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
from run_tools import small_record

from ssldata.project.project_file import Project, dump_project
from sslmodels.models.model_builder import build_model


def network(
    seed: int = 0, *, length: int = 40, outputs: int = 2, name: str = "deepbind", **options
) -> keras.Model:
    model = build_model(name, length=length, outputs=outputs, seed=seed, **options)
    with_biases(model, seed)
    return model


def with_biases(model: keras.Model, seed: int) -> None:
    """Give the biases of a new model, all 0, values that matter."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [w + rng.normal(0, 0.3, w.shape) * (w.ndim == 1) for w in model.get_weights()]
    )


def run_folder(
    folder: Path, model: keras.Model, *, project: Project | None = None, outputs=None, **record
) -> Path:
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    (folder / "run.json").write_text(json.dumps(small_record(outputs=outputs, **record)))
    if project is not None:
        (folder / "config.yaml").write_text(dump_project(project))
    return folder
