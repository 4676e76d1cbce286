"""Codes and one-hot rows against slow, obvious definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssldata.genomes.onehot import N_CODE, decode, encode, one_hot, reverse_complement

CODES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3), elements=st.integers(0, 4))


def test_codes_are_acgt_in_order_and_blind_to_case():
    assert encode("ACGTacgt").tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert encode(b"ACGT").dtype == np.uint8


def test_everything_else_is_n():
    assert set(encode("NnRYSWKMBDHVryuU-*.?é ").tolist()) == {N_CODE}
    every = np.arange(256, dtype=np.uint8)
    assert int((encode(every) != N_CODE).sum()) == 8


def test_a_letter_outside_ascii_counts_as_one_base():
    assert encode("AéT").tolist() == [0, 4, 3]


def test_text_bytes_and_arrays_agree():
    text = "acGTNnRt"
    array = np.frombuffer(text.encode(), dtype=np.uint8)
    assert encode(text).tolist() == encode(text.encode()).tolist() == encode(array).tolist()
    assert encode(bytearray(text.encode())).tolist() == encode(text).tolist()
    assert encode(array.reshape(2, 4)).shape == (2, 4)


@given(st.text(alphabet="ACGTN"))
def test_decode_inverts_encode(text):
    assert decode(encode(text)) == text


@given(CODES)
def test_one_hot_is_the_identity_with_a_zero_row_for_n(codes):
    table = np.vstack([np.eye(4, dtype=np.uint8), np.zeros(4, dtype=np.uint8)])
    encoded = one_hot(codes)
    assert encoded.dtype == np.uint8
    assert encoded.shape == (*codes.shape, 4)
    np.testing.assert_array_equal(encoded, table[codes])


@given(st.text(alphabet="ACGTN"))
def test_reverse_complement_against_the_dictionary(text):
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
    assert decode(reverse_complement(encode(text))) == "".join(pairs[b] for b in text[::-1])


@given(CODES)
def test_reverse_complement_is_an_involution_and_flips_one_hot(codes):
    other = reverse_complement(codes)
    assert other.flags.c_contiguous
    np.testing.assert_array_equal(reverse_complement(other), codes)
    # On one-hot rows it is the reversal of both axes: why A, C, G, T is the order.
    np.testing.assert_array_equal(one_hot(other), one_hot(codes)[..., ::-1, ::-1])


def test_strided_input():
    codes = encode("ACGTACGT").reshape(2, 4)[:, ::2]
    np.testing.assert_array_equal(one_hot(codes), one_hot(codes.copy()))


def test_empty():
    assert encode("").shape == (0,)
    assert decode(encode("")) == ""
    assert one_hot(encode("")).shape == (0, 4)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="uint8 array, found int64"):
        one_hot(np.array([0, 1]))
    with pytest.raises(TypeError, match="letters must be a uint8 array"):
        encode(np.array([65, 67]))
    with pytest.raises(ValueError, match=r"one row of codes.*\(1, 4\)"):
        decode(np.zeros((1, 4), dtype=np.uint8))
