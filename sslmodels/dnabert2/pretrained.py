"""Builds, from files, a DNABERT-2 classifier with loaded weights that reads the rows of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssldata.base.progress import Progress
from ssldata.reading.reader import Encoding
from ssldata.reading.tokens import TokenEncoder, read_tokenizer
from sslmodels.checkpoints.load_report import LoadReport
from sslmodels.dnabert2.bert_config import read_config
from sslmodels.dnabert2.bert_files import DnabertFiles, find_dnabert2
from sslmodels.dnabert2.bert_model import DnabertClassifier
from sslmodels.dnabert2.bert_options import DnabertOptions
from sslmodels.dnabert2.bert_weights import load_checkpoint


def encoding_of(model: Any) -> Encoding:
    """Return the form in which a model reads rows: tokens if it has an encoder, else codes."""
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
        """Return what the model was built from, as JSON-able values, for the record of a run."""
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
    """Build a classifier of the tokens that ``model.encoder`` makes of base codes (n, length).

    Parameters
    ----------
    length
        Bases of a row.
    outputs
        Number of labels predicted; each has its own sigmoid.
    seed
        Seed of the head, the pooler, the adapters and dropout.
    options
        Where the weights are and what is trained; default: LoRA on the published model.
    progress
        Progress reporter of downloads.

    Returns
    -------
    BuiltDnabert
        The model and what it was built from.

    Raises
    ------
    MissingInputError, FetchError, UnreachableError
        The files are missing or cannot be downloaded.
    InputError
        They are damaged or do not fit together.
    ConfigError
        Contradictory options, or a tokenizer larger than the model's vocabulary.
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
    encoder = model.encoder  # created here, so that a tokenizer that does not fit fails here
    assert encoder is not None
    report = None if files.weights is None else load_checkpoint(model, files.weights)
    return BuiltDnabert(model=model, encoder=encoder, files=files, report=report)
