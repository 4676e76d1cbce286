"""Models saved by the first release, before its modules were moved, load and predict the same."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

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
