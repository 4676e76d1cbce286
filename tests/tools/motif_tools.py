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


def motif_model(
    *consensus: str, length: int, both_strands: bool = True, sure: bool = False
) -> SequenceModel:
    """A model with an output for each motif: the score rises with its best match.

    Filters 3, 4, … find the motifs; all others are 0. Averaged over both strands its probability
    is hardly above a half; a `sure` one has filters 9, 10, … for the other strand instead.
    """
    outputs = len(consensus)
    model = build_model(
        "deepbind", length=length, outputs=outputs, seed=0, both_strands=both_strands and not sure
    )
    kernel, bias = np.zeros((24, 4, 16)), np.zeros(16)
    hidden, last = np.zeros((16, 32)), np.zeros((32, outputs))
    for number, text in enumerate(consensus):
        score = np.log(matrix_of(text) / 0.25)
        kernel[7 : 7 + len(score), :, 3 + number] = score
        bias[3 + number] = -0.4 * score.max(axis=1).sum()
        hidden[3 + number, 5 + number], last[5 + number, number] = 1.0, 1.0
        if sure:
            kernel[7 : 7 + len(score), :, 9 + number] = score[::-1, ::-1]
            bias[9 + number] = bias[3 + number]
            hidden[9 + number, 5 + number], last[5 + number, number] = 1.0, 1.5
    weights = [kernel, bias, hidden, np.zeros(32), last, np.full(outputs, -4.0)]
    model.set_weights([w.astype(np.float32) for w in weights])
    return model
