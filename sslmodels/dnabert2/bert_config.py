"""Sizes and options of DNABERT-2, read from its ``config.json``, and its ALiBi slopes. No Keras.

DNABERT-2: Zhou et al., ICLR 2024, arXiv:2306.15006; an encoder of the MosaicBERT family.
ALiBi (attention with linear biases): Press et al., ICLR 2022, arXiv:2108.12409.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError, MissingInputError

#: How the hidden states of a row become one vector.
Pooling = Literal["cls", "mean", "max"]
POOLINGS: tuple[str, ...] = get_args(Pooling)

#: Activations of a classifier's head.
Activation = Literal["sigmoid", "softmax", "linear"]

#: Linear layers of the encoder that LoRA can adapt, by their names in the checkpoint.
LORA_TARGETS = ("Wqkv", "attention.output.dense", "gated_layers", "wo")

_INTEGERS = (
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "intermediate_size",
    "vocab_size",
    "type_vocab_size",
)


@dataclass(frozen=True, kw_only=True)
class DnabertConfig:
    """Sizes of a DNABERT-2; the defaults are those of the published model.

    The attributes are named as in ``config.json``. ALiBi needs no maximum length.

    Raises
    ------
    ConfigError
        A size is not positive, a rate is not in [0, 1), or the heads do not divide the width.
    """

    hidden_size: int = 768
    num_attention_heads: int = 12
    num_hidden_layers: int = 12
    intermediate_size: int = 3072
    vocab_size: int = 4096
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout: float | None = None

    def __post_init__(self) -> None:
        for name in _INTEGERS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"DNABERT-2: {name} is {value!r}; expected a positive integer")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"DNABERT-2: hidden_size ({self.hidden_size}) is not a multiple of "
                f"num_attention_heads ({self.num_attention_heads})"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"DNABERT-2: {name} is {value!r}; expected 0 <= rate < 1")
        for name in ("layer_norm_eps", "initializer_range"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"DNABERT-2: {name} is {getattr(self, name)!r}; expected > 0")

    @property
    def head_dropout(self) -> float:
        """Dropout rate before the classification head."""
        if self.classifier_dropout is None:
            return self.hidden_dropout_prob
        return self.classifier_dropout

    def as_dict(self) -> dict[str, Any]:
        """Return the sizes as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters: a frozen matrix W becomes W + alpha / rank · A B (arXiv:2106.09685).

    Attributes
    ----------
    rank
        Columns of A.
    alpha
        Scale of the update, divided by the rank.
    dropout
        Rate on the input of A, in training.
    targets
        Which linear layers of every encoder layer, out of :data:`LORA_TARGETS`.

    Raises
    ------
    ConfigError
        An unknown target, no target, or a number out of range.
    """

    rank: int = 8
    alpha: float = 32.0
    dropout: float = 0.05
    targets: tuple[str, ...] = ("Wqkv",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        unknown = [name for name in self.targets if name not in LORA_TARGETS]
        if unknown or not self.targets or len(set(self.targets)) < len(self.targets):
            # The upstream default, "query,value", matches no layer and trains nothing.
            raise ConfigError(
                f"LoRA targets {', '.join(self.targets) or '(none)'}: expected different names of "
                f"{', '.join(LORA_TARGETS)}; query, key and value are one layer, Wqkv"
            )
        if self.rank < 1 or not self.alpha > 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"LoRA rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}: expected "
                "rank >= 1, alpha > 0, 0 <= dropout < 1"
            )

    @property
    def scale(self) -> float:
        """Factor of A B."""
        return self.alpha / self.rank

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON-able values."""
        return {**asdict(self), "targets": list(self.targets)}


def read_config(path: Path) -> DnabertConfig:
    """Read the ``config.json`` beside a checkpoint.

    Keys that do not affect the computation are ignored. ``pad_token_id`` is one of them: stock
    software sets it wrongly (to 0, which is [UNK]); the tokenizer pads with 3.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Not JSON, not the configuration of a DNABERT-2, or an activation other than GELU.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; it belongs beside the weights of DNABERT-2")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise InputError(f"{path}: not a JSON file ({exc}); download it again") from exc
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(raw).__name__}")
    missing = [name for name in _INTEGERS if name not in raw]
    if missing:
        raise InputError(
            f"{path}: keys {', '.join(missing)} are missing; not the config.json of a BERT"
        )
    if raw.get("hidden_act", "gelu") != "gelu":
        raise InputError(
            f"{path}: hidden_act is {raw['hidden_act']!r}; DNABERT-2 uses 'gelu' (exact)"
        )
    known = {field.name for field in fields(DnabertConfig)}
    try:
        return DnabertConfig(**{key: value for key, value in raw.items() if key in known})
    except (ConfigError, TypeError) as exc:
        raise InputError(f"{path}: {exc}") from exc


def alibi_slopes(heads: int) -> NDArray[np.float32]:
    """Return the slope of every head; the bias of head h is −slope[h] · |i − j|.

    For n heads, n a power of two, the slopes are 2^(−8/n), 2^(−16/n), …, 2^(−8). For other counts
    they are those of the power of two below, followed by every other one, from the first, of the
    power of two above. They are not sorted: trained weights depend on the order
    (arXiv:2108.12409, released code).

    Parameters
    ----------
    heads
        Number of attention heads, at least 1.

    Returns
    -------
    float32 (heads,)
    """
    below = 2 ** (heads.bit_length() - 1)

    def geometric(count: int) -> NDArray[np.float64]:
        return np.exp2(-8.0 / count * np.arange(1, count + 1, dtype=np.float64))

    slopes = np.concatenate([geometric(below), geometric(2 * below)[::2][: heads - below]])
    return slopes.astype(np.float32)
