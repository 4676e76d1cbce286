"""Layers of DNABERT-2 in Keras operations alone, so that they run on every Keras backend.

All weights are created in the constructors: a model is complete before it sees data, and each layer
knows the names of its parameters in a checkpoint (`tensors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from sslmodels.dnabert2.bert_config import DnabertConfig, LoraOptions, alibi_slopes

#: Added to the scores of padded keys, as in the original; its exponential is 0 in float32.
MASKED = -10_000.0


@dataclass(frozen=True, eq=False)
class Tensor:
    """One parameter: its name in a checkpoint, its variable, and whether the file transposes it."""

    name: str
    variable: Any
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the checkpoint."""
        shape = tuple(int(size) for size in self.variable.shape)
        return shape[::-1] if self.transposed else shape

    def value(self) -> NDArray[np.float32]:
        """Return the values, in the checkpoint's shape."""
        value = np.asarray(ops.convert_to_numpy(self.variable.value), np.float32)
        return value.T if self.transposed else value

    def assign(self, value: NDArray[Any]) -> None:
        """Set the values, given in the checkpoint's shape."""
        value = np.asarray(value, np.float32)
        self.variable.assign(value.T if self.transposed else value)


def layer_name(checkpoint: str) -> str:
    """Return the Keras name of a layer, which gives every variable of a model a unique path."""
    return checkpoint.replace(".", "_")  # PyTorch, as a backend, allows no dots


class Linear(keras.layers.Layer):
    """x W + b, or with low-rank adapters x W + b + scale · dropout(x) A B (arXiv:2106.09685).

    A starts uniform in ±1/√inputs and B at zero, so an adapted layer starts as the plain one
    (the initialisation of the PEFT library). Merging computes W + scale · A B beside W and leaves
    W as it is: unmerging is exact because nothing has to be subtracted.

    Parameters
    ----------
    inputs, outputs
        Widths.
    checkpoint
        Name of the layer in a checkpoint.
    seeds
        Stream of seeds.
    spread
        Standard deviation of the initial matrix.
    bias
        Include b.
    lora
        Adapters, used if the layer's name ends with one of their targets; None for none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        checkpoint: str,
        seeds: Iterator[int],
        spread: float,
        bias: bool = True,
        lora: LoraOptions | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=layer_name(checkpoint), **options)
        self.checkpoint = checkpoint
        adapted = lora is not None and checkpoint.endswith(tuple(f".{t}" for t in lora.targets))
        self.lora = lora if adapted else None
        self.kernel = self.add_weight(
            shape=(inputs, outputs),
            initializer=keras.initializers.RandomNormal(stddev=spread, seed=next(seeds)),
            name="kernel",
        )
        self.bias = (
            self.add_weight(shape=(outputs,), initializer="zeros", name="bias") if bias else None
        )
        self.merged: Any = None
        if self.lora is not None:
            bound = inputs**-0.5
            self.lora_a = self.add_weight(
                shape=(inputs, self.lora.rank),
                initializer=keras.initializers.RandomUniform(-bound, bound, seed=next(seeds)),
                name="lora_a",
            )
            self.lora_b = self.add_weight(
                shape=(self.lora.rank, outputs), initializer="zeros", name="lora_b"
            )
            self.lora_dropout = keras.layers.Dropout(self.lora.dropout, seed=next(seeds))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return (…, outputs)."""
        if self.lora is None:
            result = ops.matmul(inputs, self.kernel)
        elif self.merged is not None:
            if training:
                raise ConfigError("merged adapters cannot be trained; call unmerge_lora first")
            result = ops.matmul(inputs, ops.cast(self.merged, self.compute_dtype))
        else:
            dropped = self.lora_dropout(inputs, training=training)
            update = ops.matmul(ops.matmul(dropped, self.lora_a), self.lora_b)
            result = ops.matmul(inputs, self.kernel) + self.lora.scale * update
        return result if self.bias is None else result + self.bias

    def merged_kernel(self) -> np.ndarray:
        """Return W + scale · A B, float32 (inputs, outputs), summed in float64."""
        kernel = ops.convert_to_numpy(self.kernel.value).astype(np.float64)
        if self.lora is not None:
            a, b = (
                ops.convert_to_numpy(variable.value).astype(np.float64)
                for variable in (self.lora_a, self.lora_b)
            )
            kernel = kernel + self.lora.scale * (a @ b)
        return kernel.astype(np.float32)

    def tensors(self) -> list[Tensor]:
        """Return the parameters that a checkpoint holds, which are not the adapters."""
        found = [Tensor(f"{self.checkpoint}.weight", self.kernel, transposed=True)]
        if self.bias is not None:
            found.append(Tensor(f"{self.checkpoint}.bias", self.bias))
        return found


class Norm(keras.layers.LayerNormalization):
    """Layer normalisation over the width, named as in a checkpoint."""

    def __init__(self, config: DnabertConfig, *, checkpoint: str) -> None:
        super().__init__(epsilon=config.layer_norm_eps, name=layer_name(checkpoint))
        self.checkpoint = checkpoint
        self.build((None, None, config.hidden_size))

    def tensors(self) -> list[Tensor]:
        """Return the parameters."""
        return [
            Tensor(f"{self.checkpoint}.weight", self.gamma),
            Tensor(f"{self.checkpoint}.bias", self.beta),
        ]


class Embeddings(keras.layers.Layer):
    """Word + type-0 embedding, normalised; positions come from ALiBi alone."""

    def __init__(self, config: DnabertConfig, *, seeds: Iterator[int], **options: Any) -> None:
        super().__init__(**options)

        def table(rows: int, name: str) -> Any:
            initial = keras.initializers.RandomNormal(
                stddev=config.initializer_range, seed=next(seeds)
            )
            shape = (rows, config.hidden_size)
            return self.add_weight(shape=shape, initializer=initial, name=name)

        self.words = table(config.vocab_size, "words")
        self.types = table(config.type_vocab_size, "types")
        self.norm = Norm(config, checkpoint="bert.embeddings.LayerNorm")
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob, seed=next(seeds))
        self.built = True

    def call(self, input_ids: Any, training: bool | None = None) -> Any:
        """Return (B, S, width) for token ids (B, S)."""
        # The variable itself must be gathered: its gradient then stays sparse.
        words = ops.cast(ops.take(self.words, input_ids, axis=0), self.compute_dtype)
        types = ops.cast(ops.convert_to_tensor(self.types)[0], self.compute_dtype)
        return self.dropout(self.norm(words + types), training=training)

    def tensors(self) -> list[Tensor]:
        """Return the parameters."""
        prefix = "bert.embeddings"
        return [
            Tensor(f"{prefix}.word_embeddings.weight", self.words),
            Tensor(f"{prefix}.token_type_embeddings.weight", self.types),
            *self.norm.tensors(),
        ]


class SelfAttention(keras.layers.Layer):
    """Multi-head attention with ALiBi; the residual is normalised after it (post-norm)."""

    def __init__(
        self,
        config: DnabertConfig,
        *,
        checkpoint: str,
        seeds: Iterator[int],
        lora: LoraOptions | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.head_width = width // self.heads
        self.slopes = alibi_slopes(self.heads)
        common: dict[str, Any] = {"seeds": seeds, "spread": config.initializer_range, "lora": lora}
        self.qkv = Linear(width, 3 * width, checkpoint=f"{checkpoint}.self.Wqkv", **common)
        self.dense = Linear(width, width, checkpoint=f"{checkpoint}.output.dense", **common)
        self.attention_dropout = keras.layers.Dropout(
            config.attention_probs_dropout_prob, seed=next(seeds)
        )
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob, seed=next(seeds))
        self.norm = Norm(config, checkpoint=f"{checkpoint}.output.LayerNorm")
        self.built = True

    def call(self, inputs: Any, attention_mask: Any, training: bool | None = None) -> Any:
        """Return (B, S, width) for inputs (B, S, width) and a mask (B, S), 1 for tokens, else 0."""
        length = ops.shape(inputs)[1]
        # Columns of the projection are ordered (q | k | v), each (head, channel).
        projected = ops.reshape(
            self.qkv(inputs, training=training), (-1, length, 3, self.heads, self.head_width)
        )
        query, key, value = (
            ops.transpose(projected[:, :, part], (0, 2, 1, 3)) for part in range(3)
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        # Biases and softmax in float32, whatever the compute type.
        scores = ops.cast(scores, "float32") * float(self.head_width**-0.5)
        position = ops.arange(length, dtype="float32")
        distance = ops.abs(position[:, None] - position[None, :])
        alibi = -ops.convert_to_tensor(self.slopes)[:, None, None] * distance
        padding = (1.0 - ops.cast(attention_mask, "float32")) * MASKED
        scores = scores + padding[:, None, None, :] + alibi
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        context = ops.matmul(self.attention_dropout(weights, training=training), value)
        context = ops.reshape(
            ops.transpose(context, (0, 2, 1, 3)), (-1, length, self.heads * self.head_width)
        )
        update = self.dropout(self.dense(context, training=training), training=training)
        return self.norm(inputs + update)

    def linears(self) -> list[Linear]:
        """Return the layers that may have adapters."""
        return [self.qkv, self.dense]

    def tensors(self) -> list[Tensor]:
        """Return the parameters."""
        return [*self.qkv.tensors(), *self.dense.tensors(), *self.norm.tensors()]


class GatedFeedForward(keras.layers.Layer):
    """Gated linear unit: GELU(first half) · second half, projected back; then post-norm."""

    def __init__(
        self,
        config: DnabertConfig,
        *,
        checkpoint: str,
        seeds: Iterator[int],
        lora: LoraOptions | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        width, self.inner = config.hidden_size, config.intermediate_size
        common: dict[str, Any] = {"seeds": seeds, "spread": config.initializer_range, "lora": lora}
        self.gated = Linear(
            width, 2 * self.inner, checkpoint=f"{checkpoint}.gated_layers", bias=False, **common
        )
        self.output_projection = Linear(self.inner, width, checkpoint=f"{checkpoint}.wo", **common)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob, seed=next(seeds))
        self.norm = Norm(config, checkpoint=f"{checkpoint}.layernorm")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return (B, S, width) for inputs (B, S, width)."""
        both = self.gated(inputs, training=training)
        hidden = exact_gelu(both[..., : self.inner]) * both[..., self.inner :]
        hidden = self.dropout(hidden, training=training)
        return self.norm(self.output_projection(hidden, training=training) + inputs)

    def linears(self) -> list[Linear]:
        """Return the layers that may have adapters."""
        return [self.gated, self.output_projection]

    def tensors(self) -> list[Tensor]:
        """Return the parameters."""
        return [*self.gated.tensors(), *self.output_projection.tensors(), *self.norm.tensors()]


class EncoderLayer(keras.layers.Layer):
    """Attention and gated feed-forward; padded positions come out as exact zeros."""

    def __init__(
        self,
        config: DnabertConfig,
        number: int,
        *,
        seeds: Iterator[int],
        lora: LoraOptions | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        prefix = f"bert.encoder.layer.{number}"
        self.attention = SelfAttention(
            config, checkpoint=f"{prefix}.attention", seeds=seeds, lora=lora, name="attention"
        )
        self.feed_forward = GatedFeedForward(
            config, checkpoint=f"{prefix}.mlp", seeds=seeds, lora=lora, name="feed_forward"
        )
        self.built = True

    def call(self, inputs: Any, attention_mask: Any, training: bool | None = None) -> Any:
        """Return (B, S, width) for inputs (B, S, width) and a mask (B, S), 1 for tokens, else 0."""
        hidden = self.attention(inputs, attention_mask, training=training)
        hidden = self.feed_forward(hidden, training=training)
        return hidden * ops.cast(attention_mask, self.compute_dtype)[..., None]

    def linears(self) -> list[Linear]:
        """Return the layers that may have adapters."""
        return [*self.attention.linears(), *self.feed_forward.linears()]

    def tensors(self) -> list[Tensor]:
        """Return the parameters."""
        return [*self.attention.tensors(), *self.feed_forward.tensors()]


class MaskedLmHead(keras.layers.Layer):
    """Dense → GELU → normalisation → scores of the vocabulary, by the word embedding's matrix."""

    def __init__(self, config: DnabertConfig, *, seeds: Iterator[int], **options: Any) -> None:
        super().__init__(**options)
        width = config.hidden_size
        self.dense = Linear(
            width,
            width,
            checkpoint="cls.predictions.transform.dense",
            seeds=seeds,
            spread=config.initializer_range,
        )
        self.norm = Norm(config, checkpoint="cls.predictions.transform.LayerNorm")
        self.bias = self.add_weight(shape=(config.vocab_size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: Any, words: Any) -> Any:
        """Return (B, S, vocabulary) for inputs (B, S, width) and the word embeddings."""
        hidden = self.norm(exact_gelu(self.dense(inputs)))
        matrix = ops.cast(ops.convert_to_tensor(words), self.compute_dtype)
        return ops.matmul(hidden, ops.transpose(matrix)) + self.bias

    def tensors(self) -> list[Tensor]:
        """Return the parameters, without the shared matrix."""
        bias = Tensor("cls.predictions.decoder.bias", self.bias)
        return [*self.dense.tensors(), *self.norm.tensors(), bias]


def exact_gelu(inputs: Any) -> Any:
    """Return x Φ(x) by the error function; the tanh approximation would be another model."""
    return keras.activations.gelu(inputs, approximate=False)
