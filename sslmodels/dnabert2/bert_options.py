"""Options of a DNABERT-2 classifier, and those that a trained model depends on. No Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslmodels.dnabert2.bert_config import Activation, LoraOptions, Pooling
from sslmodels.dnabert2.bert_files import find_dnabert2


@dataclass(frozen=True, kw_only=True)
class DnabertOptions:
    """How a classifier is built from the published DNABERT-2, or from one of your own.

    Attributes
    ----------
    source
        Folder, checkpoint file or http(s) address of the model; None: the user's Hugging Face
        cache, else the Hub.
    pretrained
        Load the weights; False starts from random ones (tests, controls).
    pooling, activation
        See :class:`sslmodels.dnabert2.bert_model.DnabertClassifier`.
    lora
        Adapters; None for full fine-tuning.
    train_pooler
        Train the pooler too (with ``cls``; its weights are random at first).
    tokens
        Tokens per row; default: enough for real DNA of the rows' length.
    sha256
        File name → checksum the file must have.
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

    def identity(self, *, offline: bool = False) -> dict[str, Any]:
        """Return what a trained model depends on, as JSON-able values: checksums, not locations.

        The files are needed for it, so they are downloaded unless `offline`.

        Raises
        ------
        MissingInputError, FetchError, UnreachableError
            The files are missing or cannot be downloaded.
        """
        files = find_dnabert2(
            self.source,
            weights=self.pretrained,
            sha256=self.sha256,
            offline=offline or self.offline,
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
        Fields of :class:`DnabertOptions`, with `folder` and `url` in place of `source` and a
        mapping or None as `lora`.
    """
    values = dict(settings)
    folder, url, lora = values.pop("folder"), values.pop("url"), values.pop("lora")
    return DnabertOptions(
        source=folder or url, lora=None if lora is None else LoraOptions(**lora), **values
    )
