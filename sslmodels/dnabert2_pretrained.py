"""One call from files to a classifier that reads the rows of a store: DNABERT-2, weights loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssldata.progress import Progress
from ssldata.reader import Encoding
from ssldata.tokens import TokenEncoder, read_tokenizer
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

    def identity(self) -> dict[str, Any]:
        """Return all that a trained model depends on, as JSON-able values: checksums, no places.

        Finds the files, so it may download them.
        """
        files = find_dnabert2(
            self.source, weights=self.pretrained, sha256=self.sha256, offline=self.offline
        )
        return {
            "files": dict(files.sha256),
            "pooling": self.pooling,
            "activation": self.activation,
            "lora": None if self.lora is None else self.lora.as_dict(),
            "train_pooler": self.train_pooler,
            "tokens": self.tokens,
        }


def options_from(settings: Mapping[str, Any]) -> DnabertOptions:
    """Return the options of a project file's section.

    Parameters
    ----------
    settings
        Fields of :class:`DnabertOptions`, where `lora` is a mapping or None, and `folder` and
        `url` stand for `source`.
    """
    values = dict(settings)
    folder, url, lora = values.pop("folder"), values.pop("url"), values.pop("lora")
    return DnabertOptions(
        source=folder or url, lora=None if lora is None else LoraOptions(**lora), **values
    )


def encoding_of(model: Any) -> Encoding:
    """Return how the reader has to hand rows to a model: tokens where it has an encoder."""
    encoder = getattr(model, "encoder", None)
    return Encoding() if encoder is None else Encoding(kind="tokens", tokenizer=encoder)


@dataclass(frozen=True, kw_only=True)
class BuiltDnabert:
    """A new classifier, its encoder, its files, and what was loaded (None: random weights)."""

    model: DnabertClassifier
    encoder: TokenEncoder
    files: DnabertFiles
    report: LoadReport | None

    def as_dict(self) -> dict[str, Any]:
        """Return what the model is made of as JSON-able values, for the record of a run."""
        return {
            "origin": self.files.origin,
            "files": dict(self.files.sha256),
            "checkpoint": None if self.report is None else self.report.as_dict(),
            "tokens": self.encoder.tokens,
        }


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
    encoder = model.encoder  # made now, so that a tokenizer that does not fit is refused now
    assert encoder is not None
    report = None if files.weights is None else load_checkpoint(model, files.weights)
    return BuiltDnabert(model=model, encoder=encoder, files=files, report=report)
