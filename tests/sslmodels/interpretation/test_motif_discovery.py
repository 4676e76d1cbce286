"""Motifs found in contributions that are known."""

from __future__ import annotations

import numpy as np
from motif_tools import matrix_of

from sslmodels.interpretation.motif_discovery import find_motifs

FIRST, SECOND = "CGTTACCTAG", "TGAGTCAC"


def planted(rng: np.random.Generator, rows: int, texts: list[str], share: float):
    """Rows with motifs on either strand, some beyond the ends, and what their bases contribute."""
    codes = rng.integers(0, 4, (rows, 120)).astype(np.uint8)
    contributed = rng.normal(0, 0.02, codes.shape).astype(np.float32)
    for row in range(rows):
        for number, text in enumerate(texts):
            if rng.random() > share:
                continue
            bases = matrix_of(text).argmax(axis=1)
            bases = bases if rng.random() < 0.5 else 3 - bases[::-1]
            start = int(rng.integers(0, 50 - len(bases))) + 60 * number
            codes[row, start : start + len(bases)] = bases
            contributed[row, start : start + len(bases)] += 1 - 0.3 * number
    return codes, contributed


def same(consensus: str, text: str) -> bool:
    other = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    return text in consensus or other in consensus


def test_two_motifs_are_found_in_the_order_of_their_contribution() -> None:
    rng = np.random.default_rng(1)
    positive = planted(rng, 100, [FIRST, SECOND], 0.7)
    negative = planted(rng, 100, [FIRST, SECOND], 0.05)
    codes, contributed = (np.concatenate(pair) for pair in zip(positive, negative, strict=True))
    labels = np.arange(200) < 100
    found = find_motifs(codes, contributed, labels)
    assert [one.motif.name for one in found] == ["motif_1", "motif_2"]
    for one, text in zip(found, (FIRST, SECOND), strict=True):
        assert same(one.motif.consensus.strip("n"), text), one.motif.consensus
        assert len(one.motif.matrix) <= len(text) + 2
        assert 50 < one.positives < 90
        assert one.negatives < 15
        assert one.motif.sites == len(one.sites)
        for row, start, strand in one.sites[:20]:
            bases = codes[row, max(0, start) : start + len(one.motif.matrix)]
            likely = one.motif.matrix.argmax(axis=1)
            likely = likely if strand > 0 else 3 - likely[::-1]
            assert (bases == likely[max(0, -start) :][: len(bases)]).mean() > 0.7


def test_a_motif_of_both_labels_is_none() -> None:
    codes, contributed = planted(np.random.default_rng(2), 200, [FIRST], 0.7)
    assert find_motifs(codes, contributed, np.arange(200) % 2 == 0) == []
    assert find_motifs(codes, contributed, np.arange(200) < 100) == []


def test_noise_has_no_motif() -> None:
    codes, contributed = planted(np.random.default_rng(3), 200, [], 0)
    assert find_motifs(codes, contributed, np.arange(200) < 100) == []
    assert find_motifs(codes, np.zeros_like(contributed), np.arange(200) < 100) == []
