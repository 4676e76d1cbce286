"""Base codes to token ids: the published tokenizer's goldens, widths, counts and refusals."""

from __future__ import annotations

import builtins
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from dnabert2_tools import tokenizer_text
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.onehot import encode
from ssldata.reading.tokens import (
    PAD_ID,
    SEP_ID,
    UNKNOWN_ID,
    TokenEncoder,
    read_tokenizer,
    tokens_for,
)


@pytest.fixture(scope="module")
def real(mirror: Path) -> str:
    return read_tokenizer(mirror / "dnabert2" / "tokenizer.json")


def rows(*sequences: str) -> np.ndarray:
    return np.stack([encode(sequence) for sequence in sequences])


@pytest.mark.mirror
def test_goldens_of_the_published_tokenizer(real: str, mirror: Path):
    goldens = json.loads((mirror / "dnabert2" / "tokenizer_goldens.json").read_text())
    encoder = TokenEncoder(real)
    assert len(goldens) == 30
    for golden in goldens:
        ids = encoder.encode([golden["sequence"]], upper=False)
        assert ids[0].tolist() == golden["ids"], golden["sequence"]


@pytest.mark.mirror
def test_codes_read_as_upper_case_with_n_for_the_rest(real: str):
    ids = TokenEncoder(real)(rows("acgtnnACGT", "ACGTRYACGT"))
    assert ids.dtype == np.int32
    assert ids.tolist() == [[1, 5, 6, 1049, 0, 0, 5, 6, 1049, 2]] * 2


@pytest.mark.mirror
def test_model_inputs_of_the_goldens(real: str, mirror: Path):
    golden = np.load(mirror / "dnabert2" / "dnabert2_dev.npz")
    ids = TokenEncoder(real, tokens=46).encode(golden["sequences"].tolist())
    np.testing.assert_array_equal(ids, golden["input_ids"])
    np.testing.assert_array_equal(ids != PAD_ID, golden["attention_mask"] == 1)


@pytest.mark.mirror
def test_the_default_width_holds_real_dna(real: str):
    drawn = np.random.default_rng(0).integers(0, 4, (200, 200)).astype(np.uint8)
    encoder = TokenEncoder(real, tokens=tokens_for(200))
    assert encoder(drawn).shape == (200, 64)
    assert encoder.truncated == 0
    assert encoder.rows == 200


def test_rows_are_padded_to_the_longest_or_to_the_width():
    encoder = TokenEncoder(tokenizer_text())
    assert encoder(rows("CGCG", "ACGT")).tolist() == [[1, 12, 2, 3, 3], [1, 5, 10, 8, 2]]
    wide = TokenEncoder(tokenizer_text(), tokens=7)
    assert wide(rows("CGCG")).tolist() == [[1, 12, 2, 3, 3, 3, 3]]


def test_a_cut_row_keeps_its_separator_and_is_counted():
    encoder = TokenEncoder(tokenizer_text(), tokens=4)
    assert encoder(rows("CACA", "AACG")).tolist() == [[1, 6, 5, 2], [1, 9, 10, 2]]
    assert (encoder.rows, encoder.truncated) == (2, 1)


def test_unknown_bases_are_counted():
    encoder = TokenEncoder(tokenizer_text())
    encoder(rows("ANNA", "ACGT"))
    assert encoder.counts == {"rows": 2, "truncated": 0, "unknown": 2}


@given(
    length=st.integers(0, 60),
    count=st.integers(0, 5),
    seed=st.integers(0, 99),
    width=st.none() | st.integers(3, 40),
)
@settings(max_examples=60, deadline=None)
def test_each_row_is_encoded_on_its_own(length, count, seed, width):
    codes = np.random.default_rng(seed).integers(0, 6, (count, length)).astype(np.uint8)
    encoder = TokenEncoder(tokenizer_text(), tokens=width)
    together = encoder(codes)
    alone = TokenEncoder(tokenizer_text())
    assert together.shape == (count, width or together.shape[1])
    for number in range(count):
        ids = alone(codes[number : number + 1])[0]
        expected = ids if len(ids) <= together.shape[1] else [*ids[: together.shape[1] - 1], SEP_ID]
        found = together[number]
        np.testing.assert_array_equal(found[found != PAD_ID], expected)
        assert (ids == UNKNOWN_ID).sum() == (codes[number] > 3).sum()


def test_an_encoder_can_be_sent_to_a_worker():
    encoder = TokenEncoder(tokenizer_text(), tokens=6)
    sent = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(sent(rows("CGAT")), encoder(rows("CGAT")))
    assert sent.tokens == 6


def test_padding_and_cutting_set_in_the_file_have_no_effect():
    text = tokenizer_text(
        padding={
            "strategy": {"Fixed": 9},
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        truncation={"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    )
    assert TokenEncoder(text)(rows("ACGT")).tolist() == [[1, 5, 10, 8, 2]]


@pytest.mark.parametrize(
    "values", [np.zeros((2, 5), np.int32), np.zeros(5, np.uint8), np.zeros((2, 5, 4), np.uint8)]
)
def test_anything_but_rows_of_codes_is_refused(values):
    with pytest.raises(TypeError, match="expected base codes uint8"):
        TokenEncoder(tokenizer_text())(values)


def test_a_tokenizer_with_other_special_tokens_is_refused():
    text = tokenizer_text().replace("[PAD]", "[pad]")
    with pytest.raises(InputError, match="special tokens are"):
        TokenEncoder(text)


def test_text_that_is_no_tokenizer_is_refused():
    with pytest.raises(InputError, match="cannot be used"):
        TokenEncoder("{}")


def test_too_narrow():
    with pytest.raises(ConfigError, match="at least 3"):
        TokenEncoder(tokenizer_text(), tokens=2)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tokenizers":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"crosslabel\[dnabert2\]"):
        TokenEncoder(tokenizer_text())


def test_reading_the_file(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no such file"):
        read_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("<html>")
    with pytest.raises(InputError, match="not a JSON file"):
        read_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(("length", "tokens"), [(200, 64), (1000, 304), (1, 8)])
def test_tokens_for(length, tokens):
    assert tokens_for(length) == tokens
