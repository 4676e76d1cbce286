"""Hits of motifs: a threshold for each, both strands, the right way round."""

from __future__ import annotations

import numpy as np
import pytest
from motif_tools import matrix_of

from ssldata.genomes.onehot import encode, reverse_complement
from sslmodels.baselines.meme_text import SequenceMotif
from sslmodels.baselines.motif_scan import log_odds_of
from sslmodels.hot_spots.motif_hits import hits_by_sequence, largest_log_odds, motif_hits

BACKGROUND = np.array([0.31, 0.19, 0.19, 0.31])
#: Not a palindrome, and unlike its reverse and its complement alone.
SITE = "TTACCCGG"
MOTIF = SequenceMotif("m", matrix_of(SITE), sites=100)


def hits(*windows: str, motifs=(MOTIF,), share=0.8, background=BACKGROUND) -> list[list[bool]]:
    width = max(map(len, windows))
    codes = np.stack([encode(window.ljust(width, "N")) for window in windows])
    return motif_hits(codes, list(motifs), background, share=share).tolist()


def test_a_motif_is_found_on_both_strands_and_in_no_other_direction() -> None:
    """The published scan flipped both axes, and so looked for the reverse complement alone."""
    complement = SITE.translate(str.maketrans("ACGT", "TGCA"))
    around = "AT" * 8
    windows = [f"{around}{site}{around}" for site in (SITE, complement[::-1])]
    others = [f"{around}{site}{around}" for site in (SITE[::-1], complement)]
    assert hits(*windows, *others) == [[True], [True], [False], [False]]


def test_windows_and_their_reverse_complements_have_the_same_hits() -> None:
    rng = np.random.default_rng(5)
    motifs = [SequenceMotif(f"m{i}", rng.dirichlet([0.3] * 4, 5 + i)) for i in range(12)]
    codes = rng.integers(0, 5, (400, 30)).astype(np.uint8)
    found = motif_hits(codes, motifs, BACKGROUND, share=0.6)
    other = motif_hits(reverse_complement(codes), motifs, BACKGROUND, share=0.6)
    np.testing.assert_array_equal(found, other)
    flipped = motif_hits(codes, [motif.other_strand for motif in motifs], BACKGROUND, share=0.6)
    np.testing.assert_array_equal(found, flipped)
    assert 0 < found.sum() < found.size


def test_the_threshold_is_a_share_of_the_motifs_own_largest_score() -> None:
    """The published threshold was at most 1 for every motif: whatever is likelier than chance."""
    log_odds = log_odds_of(MOTIF, BACKGROUND)
    largest = largest_log_odds(log_odds)
    assert largest == pytest.approx(sum(max(row) for row in log_odds))
    one_off = "TTACCCGA"
    score = sum(row["ACGT".index(base)] for row, base in zip(log_odds, one_off, strict=True))
    assert 1 < score < 0.8 * largest  # the published threshold would let it pass
    assert hits(SITE, one_off) == [[True], [False]]
    share = score / largest
    assert hits(one_off, share=share) == [[True]]
    assert hits(one_off, share=share + 1e-6) == [[False]]


def test_each_motif_has_its_own_threshold() -> None:
    short = SequenceMotif("short", matrix_of("ACGTT"), sites=100)
    found = hits(f"{SITE}AAAAAA", "ACGTTAAAAAAAAA", motifs=[MOTIF, short])
    assert found == [[True, False], [False, True]]


def test_sites_with_an_n_do_not_count() -> None:
    assert hits(SITE, SITE[:4] + "N" + SITE[5:], "N" * 8) == [[True], [False], [False]]
    assert hits("AAAN" + SITE) == [[True]]


def test_windows_shorter_than_the_motif_have_no_hit() -> None:
    assert hits(SITE[:5]) == [[False]]
    assert hits(SITE[:5], f"AA{SITE}") == [[False], [True]]


def test_no_window_no_hit() -> None:
    found = motif_hits(np.zeros((0, 0), np.uint8), [MOTIF], BACKGROUND)
    assert found.shape == (0, 1)
    assert hits_by_sequence(found, np.zeros(0, np.int64), 3).tolist() == [[False]] * 3


def test_a_sequence_counts_once() -> None:
    found = np.array([[True, False], [True, False], [False, True], [False, False]])
    by_sequence = hits_by_sequence(found, np.array([0, 0, 0, 2]), 3)
    assert by_sequence.tolist() == [[True, True], [False, False], [False, False]]
