"""One call from files to a classifier that reads the rows of a store: DNABERT-2, weights loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssldata.progress import Progress
from ssldata.tokens import read_tokenizer
from sslmodels.dnabert2 import Activation, DnabertClassifier, Pooling
from sslmodels.dnabert2_config import LoraOptions, read_config
from sslmodels.dnabert2_download import DnabertFiles, find_dnabert2
from sslmodels.dnabert2_weights import LoadReport, load_checkpoint


@dataclass(frozen=True, kw_only=True)
class DnabertOptions:
    """How a classifier is made of a published or own DNABERT-2.

    Attributes
    ----------
    source
        Folder, checkpoint file or http(s) address of the model; None: the user's Hugging Face
        cache, else the public host.
    pretrained
        Load the weights; False starts at random (tests, controls).
    pooling, activation
        See :class:`~sslmodels.dnabert2.DnabertClassifier`.
    lora
        Adapters; None for full fine-tuning.
    train_pooler
        Train the pooler too (with ``cls``; it starts at random).
    tokens
        Tokens per row; default: enough for real DNA of the length.
    sha256
        File name → checksum a file must have.
    offline
        No network.
    """

    source: Path | str | None = None
    pretrained: bool = True
    pooling: Pooling = "cls"
    activation: Activation = "sigmoid"
    lora: LoraOptions | None = field(default_factory=LoraOptions)
    train_pooler: bool = True
    tokens: int | None = None
    sha256: Mapping[str, str] | None = None
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class BuiltDnabert:
    """A new classifier, the files it is made of, and what was loaded (None: random weights)."""

    model: DnabertClassifier
    files: DnabertFiles
    report: LoadReport | None


def build_dnabert2(
    *,
    length: int,
    outputs: int = 1,
    seed: int,
    options: DnabertOptions | None = None,
    progress: Progress | None = None,
) -> BuiltDnabert:
    """Build a classifier on base codes (n, length), through ``model.encoder``.

    Parameters
    ----------
    length
        Bases of a row.
    outputs
        Labels predicted; each has its own sigmoid.
    seed
        Of the head, the pooler, the adapters and dropout.
    options
        Where the weights are and what is trained; default: LoRA on the published model.
    progress
        Told of a download.

    Raises
    ------
    MissingInputError, FetchError, UnreachableError
        The files cannot be had.
    InputError
        They are damaged or do not fit together.
    """
    options = options or DnabertOptions()
    files = find_dnabert2(
        options.source,
        weights=options.pretrained,
        sha256=options.sha256,
        offline=options.offline,
        progress=progress,
    )
    model = DnabertClassifier(
        read_config(files.config),
        outputs=outputs,
        pooling=options.pooling,
        activation=options.activation,
        lora=options.lora,
        train_pooler=options.train_pooler if options.pooling == "cls" else None,
        tokenizer=read_tokenizer(files.tokenizer),
        length=length,
        tokens=options.tokens,
        seed=seed,
        name="dnabert2",
    )
    _ = model.encoder  # made now, so that a tokenizer that does not fit is refused now
    report = None if files.weights is None else load_checkpoint(model, files.weights)
    return BuiltDnabert(model=model, files=files, report=report)
