"""What tests of interpretation share: a model that has learnt one motif, and nothing else."""

from __future__ import annotations

import numpy as np

from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.model_builder import build_model

#: IUPAC letters that stand for several bases.
MEANS = {"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC", "N": "ACGT"}


def matrix_of(consensus: str) -> np.ndarray:
    """The probabilities (positions, 4) of an IUPAC consensus."""
    rows = [[float(base in MEANS.get(letter, letter)) for base in "ACGT"] for letter in consensus]
    matrix = np.array(rows) + 0.02
    return matrix / matrix.sum(axis=1, keepdims=True)


def motif_model(consensus: str, *, length: int, both_strands: bool = True) -> SequenceModel:
    """A model whose filter 3 finds a motif, and whose score rises with its best match."""
    model = build_model("deepbind", length=length, seed=0, both_strands=both_strands)
    score = np.log(matrix_of(consensus) / 0.25)
    kernel, bias = np.zeros((24, 4, 16)), np.zeros(16)
    kernel[7 : 7 + len(score), :, 3] = score
    bias[3] = -0.4 * score.max(axis=1).sum()
    hidden, last = np.zeros((16, 32)), np.zeros((32, 1))
    hidden[3, 5], last[5] = 1.0, 1.0
    weights = [kernel, bias, hidden, np.zeros(32), last, np.full(1, -4.0)]
    model.set_weights([w.astype(np.float32) for w in weights])
    return model
