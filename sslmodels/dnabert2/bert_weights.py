"""Checkpoints of DNABERT-2: strict loading from PyTorch and safetensors files, and writing."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import atomic_path
from sslmodels.dnabert2.bert_layers import Tensor
from sslmodels.dnabert2.bert_model import (
    Dnabert,
    DnabertBackbone,
    DnabertMaskedLm,
    backbone_of,
)
from sslmodels.dnabert2.checkpoint_shards import is_index, tensors_of_shards
from sslmodels.dnabert2.torch_checkpoint import read_pytorch, widen

#: The decoder of the masked LM is the word embedding; files hold either name, or both.
_DECODER = "cls.predictions.decoder.weight"
_WORDS = "bert.embeddings.word_embeddings.weight"

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was loaded from a checkpoint.

    Attributes
    ----------
    path
        The file.
    loaded
        Names of the tensors loaded, including the shared decoder matrix.
    missing
        Tensors of the model that the file lacks, as it may; they keep their initial values.
    unexpected
        Tensors of the file that the model does not have, and may ignore.
    parameters
        How many numbers were loaded, those of the shared matrix counted once.
    """

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    parameters: int

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.loaded)} tensors loaded ({self.parameters:,} parameters), "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {
            "path": str(self.path),
            "loaded": len(self.loaded),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "parameters": self.parameters,
        }


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a PyTorch zip or safetensors file; its content decides, not its name.

    The index of a checkpoint in several files (``*.index.json``) stands for all of them.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Neither format, damaged, or a PyTorch file that would run code; or a file has other
        tensors than its index lists.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such checkpoint")
    if is_index(path):
        return _read_shards(path)
    with path.open("rb") as handle:
        start = handle.read(16)
    if start.startswith(b"PK"):
        return read_pytorch(path)
    if start[8:9] == b"{":
        return read_safetensors(path)[0]
    hint = (
        "the file is a Git LFS pointer: fetch the real file with `git lfs pull`"
        if start.startswith(b"version https://")
        else "files of PyTorch before 1.6 are bare pickles and are not read"
        if start.startswith(b"\x80")
        else "download it again"
    )
    raise InputError(f"{path}: neither a PyTorch zip checkpoint nor safetensors; {hint}")


def _read_shards(index: Path) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for path, names in tensors_of_shards(index).items():
        found = read_tensors(path)
        if different := sorted(found.keys() ^ set(names)):
            raise InputError(
                f"{path}: {len(different)} tensors are here or in {index.name} but not in both: "
                f"{', '.join(different[:_SHOWN])}; download both again"
            )
        tensors |= found
    return tensors


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the tensors (bfloat16 as float32) and the metadata of a safetensors file.

    Raises
    ------
    InputError
        Damaged, or numbers of an unsupported type.
    """
    safetensors = _library()
    try:
        # The library checks the whole header. NumPy has no bfloat16: those are read as bits, below.
        with safetensors.safe_open(path, framework="numpy") as opened:
            metadata = dict(opened.metadata() or {})
            kinds = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118 - not a mapping
            tensors = {
                name: opened.get_tensor(name) for name, kind in kinds.items() if kind != "BF16"
            }
    except (safetensors.SafetensorError, OSError) as exc:
        raise InputError(f"{path}: damaged safetensors file ({exc}); download it again") from exc
    except AttributeError as exc:  # raised by the library for types that NumPy lacks
        raise InputError(
            f"{path}: holds {', '.join(sorted(set(kinds.values())))}; save it as F32, F16 or BF16"
        ) from exc
    wide = [name for name, kind in kinds.items() if kind == "BF16"]
    if wide:
        tensors.update(_read_bfloat16(path, wide))
    return {name: tensors[name] for name in kinds}, metadata


def _read_bfloat16(path: Path, names: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """Read tensors straight from the file: 8 bytes of header length, JSON, data."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(length))
    data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r", offset=8 + length)
    found = {}
    for name in names:
        first, stop = header[name]["data_offsets"]
        found[name] = widen(data[first:stop].view("<u2")).reshape(header[name]["shape"])
    return found


def _library() -> Any:
    try:
        import safetensors
    except ImportError as exc:
        raise ConfigError(
            "safetensors files need the package 'safetensors'; install crosslabel[dnabert2]"
        ) from exc
    return safetensors


def write_safetensors(
    path: Path, tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]
) -> None:
    """Write float32 tensors as a safetensors file, whole or not at all.

    Equal contents give equal bytes, which the library does not guarantee (it shuffles metadata).

    Raises
    ------
    TypeError
        A tensor of another type.
    """
    if any(value.dtype != np.float32 for value in tensors.values()):
        raise TypeError("only float32 tensors are written")
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    place = 0
    for name, value in tensors.items():
        stop = place + 4 * value.size
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data start at a multiple of 8
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            handle.write(np.ascontiguousarray(value, "<f4").data)


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
        *_listed(
            "missing", (f"{n} {tensors[n].shape}" for n in missing if not n.startswith(whole))
        ),
        *_listed(
            "unexpected",
            (f"{n} {found[n].shape}" for n in unexpected if not n.startswith(ignore)),
        ),
        *_listed("of another shape", _other_shapes(tensors, found)),
        *_listed("not finite floating-point numbers", _not_numbers(tensors, found)),
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


def _listed(what: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    if not found:
        return []
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{more}"]


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
