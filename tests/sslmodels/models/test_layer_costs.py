"""Multiply-adds of the models of the zoo."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sslmodels.models.layer_costs import multiply_adds
from sslmodels.models.model_builder import build_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LENGTHS = {
    **dict.fromkeys(("cnn-7k", "cnn-27k", "deep-cnn-64", "deep-cnn-256", "deepbind"), 200),
    "deepsea": 1000,
    **dict.fromkeys(("basset-like", "basenji-like", "attention-conv", "fsei"), 600),
}


@pytest.mark.parametrize("model", LENGTHS)
def test_multiply_adds_are_those_of_the_layers(model: str) -> None:
    length = LENGTHS[model]
    total = 0
    for layer in build_model(model, length=length, seed=0).body.layers:
        shape = layer.output.shape
        positions = shape[1] if len(shape) == 3 else 1
        kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
        if isinstance(layer, keras.layers.MultiHeadAttention):
            kernels = [kernel for kernel in kernels if len(kernel) == 3]  # biases are matrices
            total += 2 * positions * positions * shape[2]  # every position with every other
        total += positions * sum(int(np.prod(kernel)) for kernel in kernels)
    assert multiply_adds(model, size=200 if model == "deepsea" else length, stored=length) == total


def test_models_that_depend_on_files_have_no_estimate() -> None:
    assert multiply_adds("dnabert2", size=200, stored=1000) is None
    assert multiply_adds("my_package.module:function", size=200, stored=1000) is None
