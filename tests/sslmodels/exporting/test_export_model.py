"""Exported models give the scores of the run in processes that never import ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from run_tools import put_model

from flows.cli import main
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.project.project_file import load_project
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.exporting.export_model import export_model
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.model_builder import build_model, load_model
from sslmodels.runs import regimes
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "saved-models"

#: Loads each format with the library it is for, and nothing else.
BARE = """
import json, sys, numpy as np
folder, one_hot = sys.argv[1], np.load(sys.argv[2])
import keras
found = {"keras": keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)(one_hot)}
import tensorflow as tf
loaded = tf.saved_model.load(f"{folder}/saved_model")
found["savedmodel"] = loaded.serve(one_hot)
import onnxruntime
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
found["onnx"] = session.run(None, {"one_hot": one_hot})[0]
found["run"] = keras.saving.load_model(sys.argv[3], safe_mode=True)(one_hot)
assert not {name for name in sys.modules if name.split(".")[0] in ("ssldata", "sslmodels")}
print(json.dumps({name: np.asarray(scores).tolist() for name, scores in found.items()}))
"""


@pytest.fixture(scope="module")
def evaluated(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, evaluated; not to be written to."""
    folder = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(built_world, folder)
    project = load_project(folder)
    few = {"epochs": 1, "batch_size": 16, "both_strands": True}
    training = project.training.model_copy(update=few)
    project = project.model_copy(update={"training": training})
    cell = {"experiment": "alpha", "model": "deepbind", "regime": "ssl", "seed": 0}
    run = regimes.train(project, **cell)
    evaluate_run(run)
    return run


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "run"))


@pytest.mark.parametrize(
    ("name", "both"), [("cnn-7k", True), ("deep-cnn-64", False), ("deep-cnn-64", True)]
)
def test_exported_models_score_the_same_elsewhere(
    run: Path, tmp_path: Path, name: str, both: bool
) -> None:
    options = {} if name == "cnn-7k" else {"dilations": [2, 4]}
    model = build_model(name, length=200, outputs=2, seed=1, both_strands=both, **options)
    put_model(run, model)
    codes = np.random.default_rng(0).integers(0, 5, (9, 200)).astype(np.uint8)
    one_hot = np.eye(5, 4, dtype=np.float32)[codes]
    np.save(tmp_path / "one_hot.npy", one_hot)
    files = export_model(run, tmp_path / "to")
    names = ["model.keras", "saved_model", "model.onnx", "README.md"]
    assert [path.name for path in files] == names == [p.name for p in files if p.exists()]
    given = [str(tmp_path / "to"), str(tmp_path / "one_hot.npy"), str(run / "model.keras")]
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", BARE, *given],
        capture_output=True,
        text=True,
        env=bare,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected = score(model, codes)
    assert np.ptp(expected) > 1e-3
    for kind, scores in json.loads(done.stdout.splitlines()[-1]).items():
        tolerance = 1e-5 if kind == "onnx" else 1e-6
        np.testing.assert_allclose(scores, expected, atol=tolerance, rtol=0, err_msg=kind)
    # Read back by ours it is the model it was: one strand in training, codes or one-hot.
    again = load_model(tmp_path / "to" / "model.keras")
    assert (type(again), again.both_strands, again.name) == (SequenceModel, both, model.name)
    np.testing.assert_array_equal(score(again, codes), expected)


def test_the_card_says_where_the_model_comes_from(run: Path, tmp_path: Path) -> None:
    [_, card] = export_model(run, tmp_path / "to", ["keras"], licence="MIT")
    text = card.read_text()
    record = json.loads((run / "run.json").read_text())
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["library_name"]) == ("MIT", "keras")
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    assert f"| alpha | {metrics['aupr']:.3f} (" in text
    for digest in (record["digest"], *record["identity"]["content"].values()):
        assert digest in text
    for genome in (name.split("/")[1] for name in record["identity"]["content"] if "/" in name):
        assert genome in text
    assert "averaged inside the model" in text
    assert "saved_model" not in text
    shutil.rmtree(run / "evaluation")
    export_model(run, tmp_path / "to", ["keras"], replace=True)
    assert "Not evaluated." in card.read_text()


def test_what_cannot_be_exported_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_model(run, tmp_path / "to", ["keras"])
    with pytest.raises(InputError, match=r"model\.keras: exists; export with --replace"):
        export_model(run, tmp_path / "to", ["keras"])
    with pytest.raises(InputError, match=r"model\.onnx: expected a folder"):
        export_model(run, tmp_path / "model.onnx", ["onnx"])
    with pytest.raises(ConfigError, match="no format 'h5'; there are keras"):
        export_model(run, tmp_path / "other", ["h5"])  # type: ignore[list-item]
    with pytest.raises(MissingInputError, match="not a run folder"):
        export_model(tmp_path, tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr("sslmodels.exporting.export_model.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"pip install 'crosslabel\[onnx\]'"):
            export_model(run, tmp_path / "other")
    sequence = keras.Input((200, 4), name="one_hot")
    flat = keras.layers.Lambda(lambda x: keras.ops.max(x, axis=1), name="own")(sequence)
    output = keras.layers.Dense(1, activation="sigmoid")(flat)
    own = SequenceModel(keras.Model(sequence, output, name="body"), name="mine")
    monkeypatch.setattr("sslmodels.exporting.export_model.load_model", lambda path: own)
    with pytest.raises(ConfigError, match=r"cannot load: own \(Lambda\)"):
        export_model(run, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_dnabert2_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    put_model(run, GOLDEN / "dnabert2.keras")
    with pytest.raises(ConfigError, match=r"reads tokens .* cannot be exported; .*save_checkpoint"):
        export_model(run, tmp_path / "to")


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "export", str(run), "--to", str(tmp_path / "to"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [Path(path).name for path in files] == ["model.keras", "README.md"]
    assert main(["model", "export", str(run), "--to", str(tmp_path / "to")]) == 2
    assert "exists; export with --replace" in capsys.readouterr().err
