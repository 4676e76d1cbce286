"""Base codes → token ids of DNABERT-2, through the model's own ``tokenizer.json``.

The only module that imports the ``tokenizers`` library (extra ``dnabert2``).
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.onehot import BYTE_OF_CODE

#: Ids of the special tokens of the published model.
UNKNOWN_ID, CLS_ID, SEP_ID, PAD_ID, MASK_ID = range(5)
_SPECIAL = {"[UNK]": UNKNOWN_ID, "[CLS]": CLS_ID, "[SEP]": SEP_ID, "[PAD]": PAD_ID}

#: Fixed widths are multiples of this, for SIMD units.
_MULTIPLE = 8


def tokens_for(length: int) -> int:
    """Return how many tokens suffice for `length` bases of genomic DNA, with [CLS] and [SEP].

    200 b sequences have 44 tokens on average and at most 51 (4,000 CTCF peaks); 0.3 tokens per
    base, rounded up to a multiple of 8, gives 64. Runs of N take a token per base and may be cut.
    """
    return _MULTIPLE * math.ceil((0.3 * length + 2) / _MULTIPLE)


def read_tokenizer(path: Path) -> str:
    """Return the text of a ``tokenizer.json``.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is not JSON.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; it lies beside the weights of DNABERT-2")
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except ValueError as exc:
        raise InputError(f"{path}: not a JSON file ({exc}); download it again") from exc
    return text


class TokenEncoder:
    """Turns sequences into padded token ids.

    Parameters
    ----------
    tokenizer
        Text of a ``tokenizer.json``.
    tokens
        Width of the ids; longer rows lose their end but keep [SEP], and are counted in
        :attr:`truncated`. None: the width of the longest row of a call.

    Attributes
    ----------
    rows, truncated, unknown
        Rows encoded so far, rows cut, and [UNK] tokens given.

    Raises
    ------
    ConfigError
        The library is not installed, or `tokens` is less than 3.
    InputError
        The text is not a tokenizer, or one with other special tokens.
    """

    def __init__(self, tokenizer: str, *, tokens: int | None = None) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise ConfigError(
                "DNABERT-2 needs the package 'tokenizers'; install crosslabel[dnabert2]"
            ) from exc
        if tokens is not None and tokens < 3:
            raise ConfigError(f"{tokens} tokens per row; at least 3 are needed ([CLS], one, [SEP])")
        self.text = tokenizer
        self.tokens = tokens
        self.rows = self.truncated = self.unknown = 0
        self._lock = threading.Lock()  # of the counts: readers call from several threads
        try:
            self._tokenizer: Any = Tokenizer.from_str(tokenizer)
        except Exception as exc:  # the library raises bare Exception for any text it cannot use
            raise InputError(f"the text of the tokenizer cannot be used: {exc}") from exc
        # Rows are padded and truncated here, where they can be counted.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        found = {name: self._tokenizer.token_to_id(name) for name in _SPECIAL}
        if found != _SPECIAL:
            raise InputError(
                f"the tokenizer's special tokens are {found}, expected {_SPECIAL}; use the "
                "tokenizer.json of DNABERT-2"
            )

    @property
    def vocabulary(self) -> int:
        """Number of tokens of the vocabulary."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def dtype(self) -> np.dtype[np.int32]:
        """Data type of the ids."""
        return np.dtype(np.int32)

    @property
    def counts(self) -> dict[str, int]:
        """Rows, truncated rows and [UNK] tokens so far, for the record of a run."""
        return {"rows": self.rows, "truncated": self.truncated, "unknown": self.unknown}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.text, self.tokens)

    def __call__(self, codes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the ids of rows of base codes.

        Parameters
        ----------
        codes
            uint8 (n, L); A C G T = 0 1 2 3, anything else N, which is [UNK] per base.

        Returns
        -------
        int32 (n, S)
            Padded with 3; the mask is ``ids != 3``.

        Raises
        ------
        TypeError
            `codes` is not a uint8 array of two dimensions (ids could be mistaken for codes).
        """
        codes = np.asarray(codes)
        if codes.dtype != np.uint8 or codes.ndim != 2:
            raise TypeError(f"expected base codes uint8 (n, L), found {codes.dtype} {codes.shape}")
        letters = BYTE_OF_CODE[codes].tobytes().decode("ascii")
        length = codes.shape[1]
        return self.encode(
            [letters[first : first + length] for first in range(0, len(codes) * length, length)]
            if length
            else [""] * len(codes)
        )

    def encode(self, sequences: Sequence[str], *, upper: bool = True) -> NDArray[np.int32]:
        """Return the ids of sequences.

        Parameters
        ----------
        sequences
            DNA as text, of any length.
        upper
            Convert to upper case first: the tokenizer turns lower-case letters into [UNK].

        Returns
        -------
        int32 (n, S)
            Padded with 3.
        """
        texts = [text.upper() for text in sequences] if upper else list(sequences)
        rows = [np.array(item.ids, np.int32) for item in self._tokenizer.encode_batch_fast(texts)]
        longest = max((len(row) for row in rows), default=0)
        width = longest if self.tokens is None else self.tokens
        ids = np.full((len(rows), width), PAD_ID, np.int32)
        truncated = 0
        for number, row in enumerate(rows):
            if len(row) > width:
                truncated += 1
                row = np.append(row[: width - 1], np.int32(SEP_ID))
            ids[number, : len(row)] = row
        with self._lock:
            self.rows += len(rows)
            self.truncated += truncated
            self.unknown += int((ids == UNKNOWN_ID).sum())
        return ids


def _restored(tokenizer: str, tokens: int | None) -> TokenEncoder:
    return TokenEncoder(tokenizer, tokens=tokens)
