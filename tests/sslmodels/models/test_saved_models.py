"""Models saved by the first release load and predict the same; other files are refused."""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from ssldata.base.errors import InputError
from sslmodels.dnabert2 import bert_model
from sslmodels.layers import augment, losses, sequence_model
from sslmodels.models.model_builder import load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: Random weights; `augmented` has every layer of augmentation in front, and the loss compiled in.
SAVED = Path(__file__).resolve().parents[2] / "golden" / "saved-models"
PREDICTIONS = json.loads((SAVED / "predictions.json").read_text())
CODES = np.random.default_rng(0).integers(0, 5, (4, 30)).astype(np.uint8)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_saved_model_predicts_the_same(name):
    model = load_model(SAVED / f"{name}.keras")
    if name == "masked_lm":
        ids = np.random.default_rng(1).integers(4, 16, (2, 9)).astype(np.int32)
        found = keras.ops.convert_to_numpy(model(ids))[:, 0]
    else:
        inputs = model.encoder(CODES) if name == "dnabert2" else CODES
        found = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(found, PREDICTIONS[name], rtol=1e-5, atol=1e-6)


def test_what_a_saved_model_trains_is_saved_too():
    model = load_model(SAVED / "dnabert2.keras")
    trained = {variable.path.rpartition("/")[2] for variable in model.trainable_variables}
    assert trained == {"lora_a", "lora_b", "kernel", "bias"}
    assert not model.pooler.trainable_variables
    augmented = keras.saving.load_model(SAVED / "augmented.keras")
    assert isinstance(augmented.loss, losses.OutputCrossentropy)


@pytest.mark.parametrize(
    "kind",
    [
        *(augment.ReverseComplement, augment.Shift, augment.Mutation, augment.Deletion),
        *(augment.Insertion, augment.Inversion, augment.Translocation, augment.Noise),
        *(sequence_model.OneHot, sequence_model.SequenceModel, losses.OutputCrossentropy),
        *(bert_model.DnabertBackbone, bert_model.DnabertMaskedLm, bert_model.DnabertClassifier),
    ],
)
def test_the_names_in_saved_files(kind):
    assert keras.saving.get_registered_name(kind) == f"crosslabel>{kind.__name__}"


# Files that are not what was saved ---------------------------------------------------------------


SMALL = SAVED / "sequence.keras"
KINDS = ("bit", "byte", "cut", "zeros", "inserted", "moved")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one damage: anywhere, or among the names and sizes of the archive."""
    places = (range(len(data)), range(200), range(len(data) - 300, len(data)))
    at, made = rng.choice(rng.choice(places)), bytearray(data)
    match rng.choice(KINDS):
        case "bit":
            made[at] ^= 1 << rng.randrange(8)
        case "byte":
            made[at] = rng.randrange(256)
        case "cut":
            del made[at:]
        case "zeros":
            made[at : at + 64] = bytes(len(made[at : at + 64]))
        case "inserted":
            made[at:at] = b"xyz"
        case "moved":
            made[at : at + 200] = made[at + 100 : at + 200] + made[at : at + 100]
    return bytes(made)


@pytest.mark.parametrize("recorded", [False, True])
def test_damaged_files_are_refused_in_one_line_or_load_the_same(recorded, tmp_path):
    """With the checksum of the run none but the whole file loads."""
    whole, path = SMALL.read_bytes(), tmp_path / "model.keras"
    if recorded:
        files = {"model.keras": hashlib.sha256(whole).hexdigest()}
        (tmp_path / "run.json").write_text(json.dumps({"files": files}))
    rng, refused = random.Random(2), 0
    for _ in range(150):
        path.write_bytes(damaged(whole, rng))
        if path.read_bytes() == whole:
            continue
        try:
            model = load_model(path)
        except InputError as exc:
            assert str(exc).startswith(f"{path}: ")
            assert "\n" not in str(exc)
            refused += 1
        else:
            assert not recorded
            expected = [array.tolist() for array in load_model(SMALL).get_weights()]
            assert [array.tolist() for array in model.get_weights()] == expected
    assert refused > 100


def rewritten(path: Path, **changes) -> Path:
    """Write the members of a model again, some of them changed, as Keras does or packed."""
    how = {"compression": changes.pop("compression", zipfile.ZIP_STORED)}
    with zipfile.ZipFile(SMALL) as source, zipfile.ZipFile(path, "w", **how) as target:
        for name in source.namelist():
            target.writestr(name, changes.get(name.partition(".")[0], source.read)(name))
    return path


def config_of(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def weights_with(**options) -> bytes:
    """Return an HDF5 file with one dataset of 4 GB of which nothing is stored, or elsewhere."""
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made.create_dataset("body/layers/conv1d/vars/0", (1 << 30,), "f4", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": lambda name: bytes(200_000_000), "compression": 8}, "unpack to"),
        ({"model": lambda name: weights_with(chunks=(1 << 20,))}, "0 are stored"),
        ({"model": lambda name: weights_with(external="/etc/passwd")}, "are stored"),
        ({"model": lambda name: b""}, "damaged"),
        ({"config": lambda name: b"[" * 50_000}, "damaged"),
        ({"config": lambda name: b"[]"}, "damaged"),
        ({"config": lambda name: b'{"class_name": []}'}, r"class \[\]"),
        (
            {"config": lambda name: json.dumps({**config_of(SMALL), "config": {}}).encode()},
            "damaged",
        ),
    ],
    ids=["bomb", "empty-chunks", "external", "no-weights", "deep", "list", "no-class", "no-config"],
)
def test_bombs_and_odd_members_are_refused_before_they_are_read(changes, message, tmp_path):
    path = rewritten(tmp_path / "model.keras", **changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message):
        load_model(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, "kB"


def test_foreign_models_are_named_and_run_no_code(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(InputError, match=r"class 'Sequential', not one that crosslabel saved"):
        load_model(path)
    mark = tmp_path / "mark"
    config = config_of(SMALL)
    body = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x)])
    config["config"]["body"] = keras.saving.serialize_keras_object(body)
    config["config"]["body"]["config"]["layers"][1]["config"]["function"] = {
        "class_name": "__lambda__",
        "config": {"code": "x", "defaults": None, "closure": None},
    }
    path = rewritten(path, config=lambda name: json.dumps(config).encode())
    with pytest.raises(InputError, match="Lambda"):
        load_model(path)
    for module, name in (("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")):
        config["config"]["body"] = {
            "module": module,
            "class_name": name,
            "config": {"command": f"touch {mark}"},
            "registered_name": None,
        }
        path = rewritten(path, config=lambda name: json.dumps(config).encode())
        with pytest.raises(InputError, match="damaged"):
            load_model(path)
    archive = tmp_path / "plain.keras"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("readme.txt", "x")
    with pytest.raises(InputError, match="holds 'readme.txt'"):
        load_model(archive)
    assert not mark.exists()
