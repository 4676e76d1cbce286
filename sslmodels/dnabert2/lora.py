"""LoRA adapters of a trained classifier: merge and unmerge them, save and load them alone.

An adapter folder holds ``adapter_model.safetensors`` and ``adapter_config.json``, with the names
and shapes of the PEFT library. Besides the adapters it holds everything that training changed or
that no checkpoint contains: the head, and the pooler if there is one (even if it was not trained:
its weights are random, and the head was trained on its output).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras import ops

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import write_json_atomic
from sslmodels.checkpoints.tensor_files import read_safetensors, write_safetensors
from sslmodels.dnabert2.bert_config import LoraOptions
from sslmodels.dnabert2.bert_layers import Linear, Tensor
from sslmodels.dnabert2.bert_model import Dnabert, DnabertClassifier, backbone_of
from sslmodels.dnabert2.bert_weights import base_digest, checkpoint_tensors

ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


def _adapted(model: Dnabert) -> list[Linear]:
    found = [linear for linear in backbone_of(model).linears() if linear.lora is not None]
    if not found:
        raise ConfigError("the model has no LoRA adapters; build it with lora=LoraOptions(...)")
    return found


def _set_merged(model: DnabertClassifier, *, merged: bool) -> None:
    for linear in _adapted(model):
        linear.merged = ops.convert_to_tensor(linear.merged_kernel()) if merged else None
    # Keras keeps compiled functions, in which the old branch of the layers is fixed.
    for compiled in (model, model.backbone):
        compiled.train_function = compiled.test_function = compiled.predict_function = None


def merge_lora(model: DnabertClassifier) -> None:
    """Merge the adapters into their matrices, for faster prediction; training is refused then.

    The state is not saved: a saved model is loaded unmerged, with the same predictions. Use
    :func:`without_lora` for a model that is merged permanently.

    Raises
    ------
    ConfigError
        The model has no adapters.
    """
    _set_merged(model, merged=True)


def unmerge_lora(model: DnabertClassifier) -> None:
    """Undo :func:`merge_lora`; parameters and predictions are bit for bit those before it."""
    _set_merged(model, merged=False)


def without_lora(model: DnabertClassifier) -> DnabertClassifier:
    """Return a new model without adapters, which are merged into its matrices."""
    _adapted(model)
    plain = DnabertClassifier.from_config({**model.get_config(), "lora": None})
    values = checkpoint_tensors(model)
    for tensor in plain.tensors():
        tensor.assign(values[tensor.name])
    return plain


def _adapter_tensors(model: DnabertClassifier) -> list[Tensor]:
    """Return the tensors of an adapter file; PEFT stores A as (rank, inputs), B (outputs, rank)."""
    found = [
        Tensor(f"{_PREFIX}{linear.checkpoint}.lora_{letter}.weight", variable, transposed=True)
        for linear in _adapted(model)
        for letter, variable in (("A", linear.lora_a), ("B", linear.lora_b))
    ]
    trained = [*(model.pooler.tensors() if model.pooler else []), *model.head.tensors()]
    return found + [
        Tensor(f"{_PREFIX}{tensor.name}", tensor.variable, transposed=tensor.transposed)
        for tensor in trained
    ]


def save_adapter(model: DnabertClassifier, folder: Path) -> None:
    """Write the adapters, head and pooler of a model; equal models give equal bytes.

    Raises
    ------
    ConfigError
        The model has no adapters.
    """
    arrays = {tensor.name: tensor.value() for tensor in _adapter_tensors(model)}
    metadata = {"format": "pt", "base": base_digest(model), **_head(model)}
    write_safetensors(folder / ADAPTER_FILE, arrays, metadata)
    write_json_atomic(folder / ADAPTER_CONFIG, _description(model))


def _head(model: DnabertClassifier) -> dict[str, str]:
    """Return what the shapes do not show of the steps from hidden states to probabilities."""
    return {"pooling": model.pooling, "activation": model.activation}


def _description(model: DnabertClassifier) -> dict[str, Any]:
    assert model.lora is not None
    saved = ["classifier", *(["pooler"] if model.pooler else [])]
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "zhihan1996/DNABERT-2-117M",
        "r": model.lora.rank,
        "lora_alpha": model.lora.alpha,
        "lora_dropout": model.lora.dropout,
        "target_modules": list(model.lora.targets),
        "modules_to_save": saved,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def read_adapter_options(folder: Path) -> LoraOptions:
    """Return the LoRA options of a saved adapter, to build a model that it fits.

    Raises
    ------
    MissingInputError, InputError
        No such file, or not the description of an adapter.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; name the folder of a saved adapter")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return LoraOptions(
            rank=raw["r"],
            alpha=raw["lora_alpha"],
            dropout=raw["lora_dropout"],
            targets=tuple(raw["target_modules"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path}: not the description of a LoRA adapter ({exc!r})") from exc


def load_adapter(model: DnabertClassifier, folder: Path) -> None:
    """Load a saved adapter into a model with its base weights: everything fits, or nothing changes.

    Raises
    ------
    MissingInputError
        There is no adapter in the folder.
    InputError
        It was trained on other base weights or with other options, or names or shapes differ.
    ConfigError
        The model has no adapters.
    """
    tensors = {tensor.name: tensor for tensor in _adapter_tensors(model)}
    options = read_adapter_options(folder)
    path = folder / ADAPTER_FILE
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; name the folder of a saved adapter")
    found, metadata = read_safetensors(path)
    if options != model.lora:
        raise InputError(f"{path}: saved with {options}, the model has {model.lora}")
    different = sorted(tensors.keys() ^ found.keys()) or [
        f"{name} {found[name].shape}, expected {tensor.shape}"
        for name, tensor in tensors.items()
        if found[name].shape != tensor.shape
    ]
    if different:
        raise InputError(
            f"{path}: does not fit the model: {len(different)} tensors are missing, unexpected or "
            f"of another shape: {', '.join(different[:6])}"
        )
    for key, expected in _head(model).items():
        if metadata.get(key) != expected:
            raise InputError(
                f"{path}: saved with {key} {metadata.get(key)}, the model has {expected}"
            )
    base = base_digest(model)
    if metadata.get("base") != base:
        raise InputError(
            f"{path}: trained on other weights (base {metadata.get('base', 'unknown')[:12]}, "
            f"the model's is {base[:12]}); load the checkpoint it was trained from first"
        )
    for name, tensor in tensors.items():
        tensor.assign(found[name])
    if any(linear.merged is not None for linear in _adapted(model)):
        merge_lora(model)
