"""Helpers of the DNABERT-2 tests: an independent forward pass, weights by formula, files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_tools import write_bin
from scipy.special import erf

from sslmodels.dnabert2.bert_config import DnabertConfig
from sslmodels.dnabert2.bert_layers import Tensor
from sslmodels.dnabert2.bert_model import DnabertMaskedLm

SMALL = DnabertConfig(
    hidden_size=24,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=32,
    vocab_size=64,
)


def backbone_parameters(config: DnabertConfig) -> int:
    """Parameters of embeddings and encoder, by the sizes alone, without pooler and heads."""
    width, inner = config.hidden_size, config.intermediate_size
    norm = 2 * width
    attention = width * 3 * width + 3 * width + width * width + width + norm
    feed_forward = width * 2 * inner + inner * width + width + norm
    embeddings = (config.vocab_size + config.type_vocab_size) * width + norm
    return embeddings + config.num_hidden_layers * (attention + feed_forward)


def masked_lm_parameters(config: DnabertConfig) -> int:
    """Parameters of the masked-language model; the decoder matrix is the word embedding."""
    width = config.hidden_size
    return backbone_parameters(config) + width * width + 3 * width + config.vocab_size


def classifier_parameters(config: DnabertConfig, outputs: int) -> int:
    """Parameters of a classifier on the pooler."""
    width = config.hidden_size
    return backbone_parameters(config) + width * width + width + (width + 1) * outputs


def formula(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of the goldens: sines whose phase is a hash of the tensor's name."""
    digest = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    wave = np.sin(0.7 * np.arange(int(np.prod(shape))) + (digest % 1000) / 100)
    if name.lower().endswith("layernorm.weight"):
        wave = 1 + 0.1 * wave
    elif name.endswith("embeddings.weight"):
        wave = 0.5 * wave
    else:
        wave = (0.1 if len(shape) >= 2 else 0.02) * wave
    return wave.astype(np.float32).reshape(shape)


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Full-rank weights, unlike the formula's: the same for a name everywhere."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    drawn = np.random.default_rng(seed).normal(size=shape)
    if name.lower().endswith("layernorm.weight"):
        drawn = 1 + 0.1 * drawn
    elif len(shape) >= 2 and not name.endswith("embeddings.weight"):
        drawn = drawn / np.sqrt(shape[1])
    return drawn.astype(np.float32)


def fill(tensors: list[Tensor], rule: Any) -> dict[str, np.ndarray]:
    """Give every tensor the value of a rule; return them by name, as a checkpoint has them."""
    values = {}
    for tensor in tensors:
        value = rule(tensor.name, tensor.shape)
        tensor.variable.assign(value.T if tensor.transposed else value)
        values[tensor.name] = value
    return values


def random_ids(rows: int, width: int, *, vocabulary: int = 64, seed: int = 0) -> np.ndarray:
    """Rows of 1 … width tokens (the first is full), padded with 3."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(4, vocabulary, (rows, width)).astype(np.int32)
    ids[:, 0] = 1
    ids[:, 1] = 0  # [UNK] is a token like others
    for row, size in enumerate(generator.integers(1, width + 1, rows)):
        ids[row, width if row == 0 else size :] = 3
    return ids


def _norm(x: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def _slopes(heads: int) -> list[float]:
    """The recursive definition of the ALiBi release."""
    if heads & (heads - 1) == 0:
        start = 2 ** -(2 ** -(np.log2(heads) - 3))
        return [start * start**i for i in range(heads)]
    below = 2 ** int(np.floor(np.log2(heads)))
    return _slopes(below) + _slopes(2 * below)[0::2][: heads - below]


def reference(
    config: DnabertConfig, weights: dict[str, np.ndarray], ids: np.ndarray
) -> list[np.ndarray]:
    """Every hidden state in float64, row by row and on its tokens only: no mask to get wrong."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    heads, width = config.num_attention_heads, config.hidden_size
    states = [np.zeros((*ids.shape, width)) for _ in range(config.num_hidden_layers + 1)]
    for row, row_ids in enumerate(ids):
        place = np.flatnonzero(row_ids != 3)
        x = weights["bert.embeddings.word_embeddings.weight"][row_ids[place]]
        x = x + weights["bert.embeddings.token_type_embeddings.weight"][0]
        x = _norm(x, weights, "bert.embeddings.LayerNorm")
        states[0][row, place] = x
        for number in range(config.num_hidden_layers):
            prefix = f"bert.encoder.layer.{number}"

            def linear(x: np.ndarray, name: str, prefix: str = prefix) -> np.ndarray:
                bias = weights.get(f"{prefix}.{name}.bias", 0.0)
                return x @ weights[f"{prefix}.{name}.weight"].T + bias

            qkv = linear(x, "attention.self.Wqkv")
            context = np.zeros_like(x)
            size = width // heads
            for head, slope in enumerate(_slopes(heads)):
                q, k, v = (
                    qkv[:, part * width + head * size : part * width + (head + 1) * size]
                    for part in range(3)
                )
                score = q @ k.T / np.sqrt(size) - slope * np.abs(place[:, None] - place[None])
                score = np.exp(score - score.max(-1, keepdims=True))
                context[:, head * size : (head + 1) * size] = (
                    score / score.sum(-1, keepdims=True)
                ) @ v
            x = _norm(
                x + linear(context, "attention.output.dense"),
                weights,
                f"{prefix}.attention.output.LayerNorm",
            )
            gate, value = np.split(linear(x, "mlp.gated_layers"), 2, axis=-1)
            x = _norm(x + linear(_gelu(gate) * value, "mlp.wo"), weights, f"{prefix}.mlp.layernorm")
            states[number + 1][row, place] = x
    return states


def tokenizer_text(**changes: Any) -> str:
    """A small tokenizer.json of the layout of the real one."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    vocabulary = [*special, "A", "C", "G", "T", "AA", "CG", "AAT", "CGCG"]
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, name in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]}
                for number, name in ((1, "[CLS]"), (2, "[SEP]"))
            },
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": {name: number for number, name in enumerate(vocabulary)},
            "merges": [["A", "A"], ["C", "G"], ["AA", "T"], ["CG", "CG"]],
        },
    }
    return json.dumps({**described, **changes})


def write_model(folder: Path, config: DnabertConfig) -> Path:
    """Write a folder with a whole DNABERT-2: config, tokenizer, weights by :func:`noise`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict()))
    (folder / "tokenizer.json").write_text(tokenizer_text())
    tensors = DnabertMaskedLm(config).tensors()
    write_bin(folder / "pytorch_model.bin", {t.name: noise(t.name, t.shape) for t in tensors})
    return folder
