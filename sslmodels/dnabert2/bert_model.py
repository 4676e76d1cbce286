"""DNABERT-2 in Keras 3: encoder, masked-language model, and classifiers with or without LoRA.

Models read token ids (B, S), which :mod:`ssldata.reading.tokens` makes of base codes. Padding has
id 3, and the attention mask follows from the ids alone. docs/dnabert2.md shows their use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.reading.tokens import PAD_ID, TokenEncoder, tokens_for
from sslmodels.dnabert2.bert_config import (
    POOLINGS,
    Activation,
    DnabertConfig,
    LoraOptions,
    Pooling,
)
from sslmodels.dnabert2.bert_layers import Embeddings, EncoderLayer, Linear, MaskedLmHead, Tensor
from sslmodels.layers.sequence_model import PACKAGE

#: Rows embedded at once.
EMBED_BATCH = 64

#: Tokens scored at once.
_SCORE_TOKENS = 8192


def _stream(seed: int, what: int) -> Iterator[int]:
    """Yield seeds, 0 ≤ seed < 2³¹; streams of different `what` are independent."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, what])))
    while True:
        yield int(generator.integers(2**31))


def mask_of(input_ids: Any) -> Any:
    """Return the attention mask, float32 (B, S): 1 for tokens, 0 for padding."""
    return ops.cast(ops.not_equal(input_ids, PAD_ID), "float32")


def pool(hidden: Any, attention_mask: Any, pooling: Pooling) -> Any:
    """Return one vector per row, (B, width).

    Parameters
    ----------
    hidden
        (B, S, width).
    attention_mask
        float32 (B, S), 1 for tokens.
    pooling
        ``cls``: the first token; ``mean`` and ``max``: over the tokens, including [CLS] and [SEP]
        but not padding. A row without tokens gives zeros.
    """
    hidden = ops.convert_to_tensor(hidden)
    if pooling == "cls":
        return hidden[:, 0]
    mask = ops.cast(attention_mask, hidden.dtype)[..., None]
    if pooling == "mean":
        return ops.sum(hidden * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)
    lowest = ops.where(mask > 0, hidden, ops.full_like(hidden, -3e4))
    return ops.where(ops.any(mask > 0, axis=1), ops.max(lowest, axis=1), 0.0)


class _Rebuildable(keras.Model):
    """Base of the models: each is rebuilt from its sizes, its adapters and its seed."""

    config: DnabertConfig
    lora: LoraOptions | None = None
    seed: int

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the model."""
        lora = None if self.lora is None else self.lora.as_dict()
        return {
            "name": self.name,
            "config": self.config.as_dict(),
            "lora": lora,
            **self._own_config(),
            "seed": self.seed,
        }

    def _own_config(self) -> dict[str, Any]:
        """Return the settings of one class."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Rebuild the model of :meth:`get_config`."""
        del custom_objects
        rebuilt = {**config, "config": DnabertConfig(**config["config"])}
        lora = rebuilt.pop("lora")
        if lora is not None:
            rebuilt["lora"] = LoraOptions(**lora)
        return cls(**rebuilt)


@keras.saving.register_keras_serializable(package=PACKAGE)
class DnabertBackbone(_Rebuildable):
    """Embeddings and encoder: token ids (B, S) → hidden states (B, S, width), padding exact zeros.

    Parameters
    ----------
    config
        Sizes.
    lora
        Adapters; None for none.
    seed
        Seed of initial weights and dropout.
    """

    def __init__(
        self,
        config: DnabertConfig,
        *,
        lora: LoraOptions | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.config, self.lora, self.seed = config, lora, seed
        seeds = _stream(seed, 0)
        self.embeddings = Embeddings(config, seeds=seeds, name="embeddings")
        self.encoder = [
            EncoderLayer(config, number, seeds=seeds, lora=lora, name=f"layer_{number}")
            for number in range(config.num_hidden_layers)
        ]
        self.built = True

    def call(self, input_ids: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        """Return the last hidden states (B, S, width)."""
        return self.hidden_states(input_ids, attention_mask, training=training)[-1]

    def hidden_states(
        self, input_ids: Any, attention_mask: Any = None, training: bool | None = None
    ) -> list[Any]:
        """Return the embeddings and the output of every layer; only the latter are 0 at padding.

        Parameters
        ----------
        input_ids
            int32 (B, S).
        attention_mask
            (B, S), 1 for tokens; default: ids other than 3.
        training
            Apply dropout.

        Returns
        -------
        list of (B, S, width)
            One more than there are layers.
        """
        if attention_mask is None:
            attention_mask = mask_of(input_ids)
        attention_mask = ops.cast(attention_mask, "float32")
        states = [self.embeddings(input_ids, training=training)]
        for layer in self.encoder:
            states.append(layer(states[-1], attention_mask, training=training))
        return states

    def linears(self) -> list[Linear]:
        """Return the layers that may have adapters, in the order of the network."""
        return [linear for layer in self.encoder for linear in layer.linears()]

    def tensors(self) -> list[Tensor]:
        """Return the parameters and their names in a checkpoint."""
        encoder = [tensor for layer in self.encoder for tensor in layer.tensors()]
        return [*self.embeddings.tensors(), *encoder]


@keras.saving.register_keras_serializable(package=PACKAGE)
class DnabertMaskedLm(_Rebuildable):
    """The pre-trained model: token ids (B, S) → scores of the vocabulary (B, S, vocabulary).

    Parameters
    ----------
    config
        Sizes.
    seed
        Seed of initial weights and dropout.
    """

    #: Prefixes of the names of tensors that a checkpoint may lack, or have without any use here.
    may_lack: tuple[str, ...] = ()
    may_ignore: tuple[str, ...] = ()

    def __init__(self, config: DnabertConfig, *, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.config, self.seed = config, seed
        self.backbone = DnabertBackbone(config, seed=seed, name="backbone")
        self.head = MaskedLmHead(config, seeds=_stream(seed, 1), name="head")
        self.built = True

    def call(self, input_ids: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        """Return scores (B, S, vocabulary), before any softmax."""
        hidden = self.backbone(input_ids, attention_mask, training=training)
        return self.head(hidden, self.backbone.embeddings.words)

    def tensors(self) -> list[Tensor]:
        """Return the parameters and their names in a checkpoint, the shared matrix once."""
        return [*self.backbone.tensors(), *self.head.tensors()]


@keras.saving.register_keras_serializable(package=PACKAGE)
class DnabertClassifier(_Rebuildable):
    """DNABERT-2 with a classification head: token ids (B, S) → probabilities (B, outputs).

    With adapters, the adapters and the head are trained and everything else is frozen. No
    checkpoint holds the pooler, so with ``cls`` its weights are random at first and `train_pooler`
    must be given. Without adapters everything is trained.

    Parameters
    ----------
    config
        Sizes.
    outputs
        Number of labels; each has its own sigmoid.
    pooling
        ``cls``: tanh dense layer on the first token, as upstream; ``mean``, ``max``: over tokens.
    activation
        Activation of the head: ``sigmoid`` for binary labels, ``softmax`` for classes that exclude
        each other, ``linear`` for scores.
    lora
        Adapters; None for full fine-tuning.
    train_pooler
        Required with adapters and ``cls``; otherwise True by default if there is a pooler.
    tokenizer
        Text of ``tokenizer.json``, saved with the model, so that it can encode DNA by itself
        (:attr:`encoder`).
    length
        Bases the model reads of a stored row.
    tokens
        Tokens per row, padding included; default: enough for `length` bases of real DNA.
    seed
        Seed of initial weights and dropout.

    Raises
    ------
    ConfigError
        Contradictory options.
    """

    may_lack: tuple[str, ...] = ("bert.pooler.", "classifier.")
    may_ignore: tuple[str, ...] = ("cls.predictions.",)

    def __init__(
        self,
        config: DnabertConfig,
        *,
        outputs: int = 1,
        pooling: Pooling = "cls",
        activation: Activation = "sigmoid",
        lora: LoraOptions | None = None,
        train_pooler: bool | None = None,
        tokenizer: str | None = None,
        length: int | None = None,
        tokens: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        _check_head(outputs, pooling, lora, train_pooler)
        self.config, self.lora, self.seed = config, lora, seed
        self.outputs, self.pooling, self.activation = outputs, pooling, activation
        self.train_pooler = (pooling == "cls") if train_pooler is None else train_pooler
        self.tokenizer = tokenizer
        self.length = length
        self.tokens = tokens_for(length) if tokens is None and length is not None else tokens
        self._encoder: TokenEncoder | None = None
        seeds = _stream(seed, 1)
        self.backbone = DnabertBackbone(config, lora=lora, seed=seed, name="backbone")
        width = config.hidden_size
        common: dict[str, Any] = {"seeds": seeds, "spread": config.initializer_range}
        self.pooler = (
            Linear(width, width, checkpoint="bert.pooler.dense", **common)
            if pooling == "cls"
            else None
        )
        if pooling != "cls":
            self.may_lack = ("classifier.",)
            self.may_ignore = ("cls.predictions.", "bert.pooler.")
        self.dropout = keras.layers.Dropout(config.head_dropout, seed=next(seeds))
        # Probabilities are float32 whatever the compute type: the loss needs them near 0 and 1.
        self.head = Linear(width, outputs, checkpoint="classifier", dtype="float32", **common)
        self.built = True
        self._freeze()

    def _freeze(self) -> None:
        if self.lora is not None:
            for variable in self.backbone.weights:
                variable.trainable = False
            for linear in self.backbone.linears():
                if linear.lora is not None:
                    linear.lora_a.trainable = linear.lora_b.trainable = True
        if self.pooler is not None:
            for variable in self.pooler.weights:
                variable.trainable = self.train_pooler

    @property
    def encoder(self) -> TokenEncoder | None:
        """The encoder of base codes (n, length) into token ids; None without a tokenizer."""
        if self._encoder is None and self.tokenizer is not None:
            self._encoder = TokenEncoder(self.tokenizer, tokens=self.tokens)
            if self._encoder.vocabulary > self.config.vocab_size:
                raise ConfigError(
                    f"the tokenizer has {self._encoder.vocabulary} tokens, the model's vocab_size "
                    f"is {self.config.vocab_size}; use the tokenizer.json beside the weights"
                )
        return self._encoder

    @property
    def score_batch(self) -> int:
        """Rows to score at once: enough to keep a device busy, about 200 MB at full size."""
        return max(1, _SCORE_TOKENS // (self.tokens or 64))

    def call(self, input_ids: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        """Return probabilities (B, outputs), or scores where the activation is linear."""
        mask = mask_of(input_ids) if attention_mask is None else attention_mask
        hidden = self.backbone(input_ids, mask, training=training)
        pooled = pool(hidden, mask, self.pooling)
        if self.pooler is not None:
            pooled = ops.tanh(self.pooler(pooled))
        scores = self.head(self.dropout(pooled, training=training))
        return keras.activations.get(self.activation)(scores)

    def tensors(self) -> list[Tensor]:
        """Return the parameters and their names in a checkpoint."""
        pooler = [] if self.pooler is None else self.pooler.tensors()
        return [*self.backbone.tensors(), *pooler, *self.head.tensors()]

    def _own_config(self) -> dict[str, Any]:
        return {
            "outputs": self.outputs,
            "pooling": self.pooling,
            "activation": self.activation,
            "train_pooler": self.train_pooler,
            "tokenizer": self.tokenizer,
            "length": self.length,
            "tokens": self.tokens,
        }


def _check_head(
    outputs: int, pooling: str, lora: LoraOptions | None, train_pooler: bool | None
) -> None:
    if outputs < 1:
        raise ConfigError(f"DNABERT-2: {outputs} outputs; expected at least 1")
    if pooling not in POOLINGS:
        raise ConfigError(f"DNABERT-2: pooling {pooling!r}; allowed: {', '.join(POOLINGS)}")
    if pooling != "cls" and train_pooler:
        raise ConfigError(
            f"DNABERT-2: train_pooler is set, but pooling {pooling!r} has no pooler; remove one of "
            "the two"
        )
    if pooling == "cls" and lora is not None and train_pooler is None:
        raise ConfigError(
            "DNABERT-2: LoRA with pooling 'cls' needs train_pooler true or false: no checkpoint "
            "holds the pooler, so it is random at first (choose true, or pooling mean)"
        )


Dnabert = DnabertBackbone | DnabertMaskedLm | DnabertClassifier


def backbone_of(model: Dnabert) -> DnabertBackbone:
    """Return the encoder of a model."""
    return model if isinstance(model, DnabertBackbone) else model.backbone


def embed(
    model: Dnabert,
    input_ids: NDArray[np.integer[Any]],
    *,
    pooling: Pooling = "mean",
    batch_size: int = EMBED_BATCH,
) -> NDArray[np.float32]:
    """Return one embedding per row.

    Parameters
    ----------
    model
        Any of the models; only its encoder is used.
    input_ids
        (n, S) with n > 0, padded with 3.
    pooling
        ``mean`` (recommended by the authors without fine-tuning), ``max`` or ``cls``.
    batch_size
        Rows at once.

    Returns
    -------
    float32 (n, width)
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"DNABERT-2: pooling {pooling!r}; allowed: {', '.join(POOLINGS)}")
    backbone = backbone_of(model)
    parts = []
    for first in range(0, len(input_ids), batch_size):
        batch = np.asarray(input_ids[first : first + batch_size], np.int32)
        hidden = backbone.predict_on_batch(batch)
        parts.append(ops.convert_to_numpy(pool(hidden, mask_of(batch), pooling)))
    return np.concatenate(parts).astype(np.float32)
