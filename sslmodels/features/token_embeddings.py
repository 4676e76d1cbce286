"""Features of DNABERT-2: the last hidden states, averaged over the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssldata.base.array_types import ByteArray
from ssldata.base.errors import InputError
from ssldata.store.feature_store import FeatureColumns
from sslmodels.dnabert2.bert_model import EMBED_BATCH, DnabertClassifier, embed
from sslmodels.features.feature_model import Features
from sslmodels.features.network_layers import numbered


class TokenEmbeddings:
    """Mean-pooled embeddings of the tokens of a sequence.

    Parameters
    ----------
    model
        A DNABERT-2 with its tokenizer.
    identity
        Of the model.

    Raises
    ------
    InputError
        It has no tokenizer.
    """

    reads_both_strands = False
    batch = EMBED_BATCH

    def __init__(self, model: DnabertClassifier, identity: Mapping[str, Any]) -> None:
        if model.encoder is None:
            raise InputError("this DNABERT-2 has no tokenizer; name a folder that holds one")
        self._model, self._encoder = model, model.encoder
        self.length: int | None = model.length
        self.columns = FeatureColumns(
            names=numbered("dnabert2", model.config.hidden_size),
            long_name="last hidden state of DNABERT-2, mean over the tokens",
        )
        self.identity: Mapping[str, Any] = {**identity, "layer": "mean of the last hidden state"}

    def compute(self, codes: ByteArray) -> Features:
        """Return the embeddings (n, width) of base codes."""
        return embed(self._model, self._encoder(codes), pooling="mean", batch_size=self.batch)
