"""The filters of a first convolution as motifs: the bases of the windows that activate them."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ssldata.genomes.onehot import N_CODE, one_hot, reverse_complement
from sslmodels.baselines.meme_text import SequenceMotif
from sslmodels.layers.sequence_model import SequenceModel

#: Windows count that reach this share of a filter's largest activation (as in DeepBind and Basset).
_SHARE = 0.5

#: Filters with fewer windows have no motif.
_FEWEST = 5

#: Sequences at once.
_ROWS = 256


@dataclass(frozen=True)
class FilterMotif:
    """A filter of the first layer.

    Attributes
    ----------
    motif
        Of the windows that activate it; named ``filter_N`` by its number.
    auroc
        How well its largest activation in a row tells positive from negative rows, on the strands
        that the model reads.
    """

    motif: SequenceMotif
    auroc: float


def filter_motifs(
    model: SequenceModel, codes: NDArray[np.uint8], labels: NDArray[np.bool_]
) -> list[FilterMotif]:
    """Return the filters of the first convolution, those that tell the labels apart first.

    Windows of both strands count. A filter without enough of them is left out, and a model that
    does not begin with a convolution has none.

    Parameters
    ----------
    model
        A model that reads bases.
    codes, labels
        Rows (n, L), and which of them are positive (n,).
    """
    body = model.body
    layer = next((one for one in body.layers if isinstance(one, keras.layers.Conv1D)), None)
    if layer is None or layer.input is not body.input:
        return []
    first = keras.Model(body.input, layer.output)
    both = np.concatenate([codes, reverse_complement(codes)])
    inputs = one_hot(both).astype(np.float32)
    parts = [first.predict_on_batch(inputs[i : i + _ROWS]) for i in range(0, len(inputs), _ROWS)]
    seen = np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
    width, stride = layer.kernel_size[0], layer.strides[0]
    spread = (width - 1) * layer.dilation_rate[0] + 1
    left = 0 if layer.padding == "valid" else (spread - 1) // 2
    padded = np.pad(both, ((0, 0), (left, spread)), constant_values=N_CODE)
    places = np.arange(width) * layer.dilation_rate[0]
    found = []
    for number in range(seen.shape[2]):
        own = seen[..., number]
        row, position = np.nonzero(own >= max(_SHARE * float(own.max()), 1e-6))
        if len(row) < _FEWEST:
            continue
        windows = padded[row[:, None], position[:, None] * stride + places]
        counts = one_hot(windows).sum(axis=0, dtype=np.float64)
        matrix = (counts + 0.25) / (counts.sum(axis=1, keepdims=True) + 1)
        motif = SequenceMotif(f"filter_{number}", matrix, sites=len(row))
        forward, backward = np.split(own.max(axis=1), 2)
        best = np.maximum(forward, backward) if model.both_strands else forward
        found.append(FilterMotif(motif, float(roc_auc_score(labels, best))))
    return sorted(found, key=lambda one: -abs(one.auroc - 0.5))
