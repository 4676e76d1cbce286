"""Export a trained model: a ``.keras`` file of built-in layers, a SavedModel, or ONNX."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import keras

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.files import atomic_path, write_text_atomic
from sslmodels.baselines.meme_text import write_meme
from sslmodels.committee.committee_file import MOTIF, load_committee
from sslmodels.exporting.model_card import model_card
from sslmodels.fit.training_loop import save_model
from sslmodels.layers.plain_model import other_layers, plain_model
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.catalogue import COMMITTEE_FILE
from sslmodels.models.model_builder import load_model
from sslmodels.runs.run_folder import RunFolder, complete_record

Format = Literal["keras", "savedmodel", "onnx"]

#: What each format is called in the folder of an export.
NAMES: dict[Format, str] = {
    "keras": "model.keras",
    "savedmodel": "saved_model",
    "onnx": "model.onnx",
}
CARD = "README.md"
#: The motif of a committee.
MOTIF_FILE = "motif.meme"


def export_model(
    run: Path | str,
    to: Path | str,
    formats: Sequence[Format] | None = None,
    *,
    licence: str | None = None,
    replace: bool = False,
) -> list[Path]:
    """Write the model of a run in formats that need none of our code, and a model card.

    Of a committee that is its network; the other members are written as ``committee.npz``, and its
    motif as ``motif.meme``.

    All read one-hot float32 (B, length, 4) in the order A, C, G, T, with N as four zeros, and
    return probabilities (B, outputs); the mean over both strands, if the run has it, is inside.

    Parameters
    ----------
    run
        Folder of a complete run.
    to
        Folder to write to; it is made.
    formats
        Of :data:`NAMES`; None: all of them.
    licence
        Licence of the model for the card, an SPDX name or URL.
    replace
        Overwrite files of an earlier export.

    Returns
    -------
    list of Path
        The files, the card last.

    Raises
    ------
    MissingInputError
        There is no run.
    ConfigError
        The run is not complete, a format is unknown or its packages are not installed, or the model
        has layers that Keras lacks.
    InputError
        `to` is a file, or holds an export already.
    """
    run, to = Path(run), Path(to)
    record = complete_record(run)
    formats = list(NAMES) if formats is None else formats
    unknown = [name for name in formats if name not in get_args(Format)]
    if unknown:
        raise ConfigError(f"no format {unknown[0]!r}; there are {', '.join(NAMES)}")
    if "onnx" in formats and not (find_spec("tf2onnx") and find_spec("onnx")):
        raise ConfigError(
            "ONNX needs the packages onnx and tf2onnx: pip install 'crosslabel[onnx]', or choose "
            "another format"
        )
    if (to.exists() and not to.is_dir()) or to.suffix in {".keras", ".onnx"}:
        raise InputError(f"{to}: expected a folder, which gets {', '.join(NAMES.values())}")
    paths = [to / NAMES[name] for name in formats]
    committee = RunFolder(run).committee
    parts = [to / COMMITTEE_FILE, to / MOTIF_FILE] if committee.is_file() else []
    present = [path for path in [*paths, *parts, to / CARD] if path.exists()]
    if present and not replace:
        raise InputError(f"{present[0]}: exists; export with --replace, or to another folder")
    model = load_model(RunFolder(run).model)
    if not isinstance(model, SequenceModel):
        raise ConfigError(
            f"{run}: {record['model']!r} reads tokens through layers that Keras lacks, and cannot "
            "be exported; sslmodels.dnabert2.bert_weights.save_checkpoint writes its weights as "
            "safetensors"
        )
    plain = plain_model(model)
    others = other_layers(plain)
    if others:
        raise ConfigError(
            f"{run}: {record['model']!r} has layers that plain Keras cannot load: "
            f"{', '.join(others[:5])}; make them of built-in layers and operations"
        )
    to.mkdir(parents=True, exist_ok=True)
    for name, path in zip(formats, paths, strict=True):
        if name == "keras":
            save_model(model, path)
        elif name == "savedmodel":
            _save_folder(plain, path)
        else:
            _save_onnx(plain, path)
    if parts:
        _copy_committee(committee, *parts)
    write_text_atomic(to / CARD, model_card(run, [path.name for path in paths], licence=licence))
    return [*paths, *(path for path in parts if path.exists()), to / CARD]


def _copy_committee(committee: Path, copy: Path, motifs: Path) -> None:
    """Write the file of a committee, and its motif as MEME text."""
    motif = load_committee(committee).members.get(MOTIF)
    with atomic_path(copy) as temporary:
        shutil.copyfile(committee, temporary)
    if motif is not None:
        write_meme(motifs, [motif.motif])


def _save_folder(model: keras.Model, path: Path) -> None:
    """Write a SavedModel, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.export(
            partial, format="tf_saved_model", verbose=False, input_signature=_signature(model)
        )
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _save_onnx(model: keras.Model, path: Path) -> None:
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Keras' patch of tf2onnx asks NumPy for a name that NumPy comments on.
        warnings.simplefilter("ignore", FutureWarning)
        model.export(temporary, format="onnx", verbose=False, input_signature=_signature(model))


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    return [keras.InputSpec(shape=model.input_shape, dtype="float32", name="one_hot")]
