"""Run folders without training: random weights, and the records that predictions read."""

from __future__ import annotations

import json
from pathlib import Path

import keras

from ssldata.project.project_file import Project, dump_project
from sslmodels.models.model_builder import build_model


def network(
    seed: int = 0, *, length: int = 40, outputs: int = 2, name: str = "deepbind", **options
) -> keras.Model:
    return build_model(name, length=length, outputs=outputs, seed=seed, **options)


def run_folder(
    folder: Path, model: keras.Model, *, project: Project | None = None, outputs=None, **record
) -> Path:
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    whole = {"status": "complete", "experiment": "alpha", "identity": {"outputs": outputs}}
    (folder / "run.json").write_text(json.dumps({**whole, **record}))
    if project is not None:
        (folder / "config.yaml").write_text(dump_project(project))
    return folder
