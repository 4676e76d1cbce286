"""Checkpoints of DNABERT-2: strict loading from PyTorch and safetensors files, and writing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError
from sslmodels.checkpoints.load_report import LoadReport, listed
from sslmodels.checkpoints.tensor_files import read_tensors, write_safetensors
from sslmodels.dnabert2.bert_layers import Tensor
from sslmodels.dnabert2.bert_model import (
    Dnabert,
    DnabertBackbone,
    DnabertMaskedLm,
    backbone_of,
)

#: The decoder of the masked LM is the word embedding; files hold either name, or both.
_DECODER = "cls.predictions.decoder.weight"
_WORDS = "bert.embeddings.word_embeddings.weight"


def load_checkpoint(
    model: Dnabert,
    path: Path,
    *,
    may_lack: Iterable[str] | None = None,
    may_ignore: Iterable[str] | None = None,
) -> LoadReport:
    """Load a checkpoint into a model, strictly: everything fits, or nothing is changed.

    Parameters
    ----------
    model
        Any of the models; adapters are left unchanged.
    path
        ``pytorch_model.bin``, ``model.safetensors``, or the index of one in several files.
    may_lack
        Prefixes of names; the file may lack all tensors of a prefix. Default: a classifier's pooler
        and head, which the pre-trained checkpoint does not have; nothing else.
    may_ignore
        Prefixes of names of tensors that are ignored if the model lacks them. Default: for
        classifiers and bare encoders the head of the masked LM (and the pooler if the model has
        none); nothing else.

    Returns
    -------
    LoadReport
        Names and counts of tensors.

    Raises
    ------
    InputError
        Tensors are missing, unexpected, of another shape or type, or not finite; the message names
        them.
    """
    tensors = {tensor.name: tensor for tensor in model.tensors()}
    found = read_tensors(path)
    shared = _shared_decoder(path, found, ignored=not isinstance(model, DnabertMaskedLm))
    lack = tuple(getattr(model, "may_lack", ()) if may_lack is None else may_lack)
    if may_ignore is None:
        may_ignore = (
            ("cls.predictions.", "bert.pooler.", "classifier.")
            if isinstance(model, DnabertBackbone)
            else model.may_ignore
        )
    ignore = tuple(may_ignore)
    missing = [name for name in tensors if name not in found]
    # A prefix may be absent as a whole; with half a pooler the file is damaged.
    whole = tuple(p for p in lack if not any(name.startswith(p) for name in found))
    unexpected = [name for name in found if name not in tensors]
    problems = [
        *listed("missing", (f"{n} {tensors[n].shape}" for n in missing if not n.startswith(whole))),
        *listed(
            "unexpected",
            (f"{n} {found[n].shape}" for n in unexpected if not n.startswith(ignore)),
        ),
        *listed("of another shape", _other_shapes(tensors, found)),
        *listed("not finite floating-point numbers", _not_numbers(tensors, found)),
    ]
    if problems:
        raise InputError(
            f"{path}: does not fit the model, nothing was loaded: {'; '.join(problems)}; "
            f"{_advice(found)}"
        )
    for name, tensor in tensors.items():
        if name in found:
            tensor.assign(found[name])
    loaded = [name for name in tensors if name in found]
    return LoadReport(
        path=path,
        loaded=(*loaded, *shared),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        parameters=sum(found[name].size for name in loaded),
    )


def _advice(found: Mapping[str, Any]) -> str:
    """Return the advice for a checkpoint that does not fit."""
    stem = _WORDS.removeprefix("bert.")
    place = next((name.removesuffix(stem) for name in found if name.endswith(stem)), "bert.")
    if place == "":
        return "its names lack 'bert.': save the whole model, not its encoder alone"
    if place != "bert.":
        wrapper = place.removesuffix("bert.")
        return f"its names begin with {wrapper!r}: save the model inside that wrapper"
    return "use the config.json beside the file, or list what may be missing or ignored"


def _shared_decoder(
    path: Path, found: dict[str, NDArray[Any]], *, ignored: bool
) -> tuple[str, ...]:
    """Remove the decoder matrix from `found`: it is the word embedding under another name."""
    if _DECODER not in found or (ignored and _WORDS in found):
        return ()
    decoder = found.pop(_DECODER)
    words = found.setdefault(_WORDS, decoder)
    if words.shape != decoder.shape or not np.array_equal(words, decoder):
        raise InputError(
            f"{path}: {_DECODER} {decoder.shape} differs from {_WORDS} {words.shape}; in DNABERT-2 "
            "they are one matrix"
        )
    return (_DECODER,)


def _other_shapes(tensors: dict[str, Tensor], found: dict[str, NDArray[Any]]) -> list[str]:
    return [
        f"{name} {found[name].shape}, expected {tensor.shape}"
        for name, tensor in tensors.items()
        if name in found and found[name].shape != tensor.shape
    ]


def _not_numbers(tensors: dict[str, Tensor], found: dict[str, NDArray[Any]]) -> list[str]:
    return [
        f"{name} ({found[name].dtype})"
        for name, tensor in tensors.items()
        if name in found
        and found[name].shape == tensor.shape
        and (found[name].dtype.kind != "f" or not np.isfinite(found[name]).all())
    ]


def checkpoint_tensors(model: Dnabert, *, adapters: bool = True) -> dict[str, NDArray[np.float32]]:
    """Return a model's parameters under the names and in the shapes of a checkpoint.

    Parameters
    ----------
    model
        Any of the models.
    adapters
        Merge LoRA adapters into their matrices; else leave them out.
    """
    merged = {
        f"{linear.checkpoint}.weight": linear.merged_kernel().T
        for linear in backbone_of(model).linears()
        if adapters and linear.lora is not None
    }
    values = {tensor.name: tensor.value() for tensor in model.tensors()} | merged
    return {name: np.ascontiguousarray(value) for name, value in values.items()}


def save_checkpoint(model: Dnabert, path: Path) -> None:
    """Write a model as safetensors under the names of the stock model, adapters merged."""
    write_safetensors(path, checkpoint_tensors(model), {"format": "pt"})


def base_digest(model: Dnabert) -> str:
    """Return the sha256 of the encoder's parameters, without adapters."""
    digest = hashlib.sha256()
    for name, value in checkpoint_tensors(backbone_of(model), adapters=False).items():
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, "<f4").data)
    return digest.hexdigest()
