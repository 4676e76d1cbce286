"""One call from files to a classifier that reads the rows of a store: DNABERT-2, weights loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssldata.base.progress import Progress
from ssldata.reading.reader import Encoding
from ssldata.reading.tokens import TokenEncoder, read_tokenizer
from sslmodels.dnabert2.bert_config import read_config
from sslmodels.dnabert2.bert_files import DnabertFiles, find_dnabert2
from sslmodels.dnabert2.bert_model import DnabertClassifier
from sslmodels.dnabert2.bert_options import DnabertOptions
from sslmodels.dnabert2.bert_weights import LoadReport, load_checkpoint


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
