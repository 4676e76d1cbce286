"""Motifs compared: p values against another implementation of TOMTOM, and their meaning."""

from __future__ import annotations

import numpy as np
import pytest
from motif_tools import matrix_of

from ssldata.base.errors import InputError
from sslmodels.baselines.meme_text import SequenceMotif, information, read_meme, write_meme
from sslmodels.interpretation.motif_match import best_matches_of

#: Of memelite 0.5.0, `tomtom(queries, known, n_target_bins=None)`: name, p value, offset and strand
#: of the best four. It approximates the medians, so p values differ by some per cent.
MEMELITE = {
    "forward": [
        ("m8", 1.76e-22, 4, False),
        ("m42", 0.009876, 7, True),
        ("m68", 0.016, 6, True),
        ("m60", 0.0297, 5, True),
    ],
    "turned": [
        ("m33", 3.097e-19, 2, True),
        ("m2", 0.02284, 0, True),
        ("m62", 0.02932, 2, False),
        ("m21", 0.04257, -1, False),
    ],
}


def motifs(count: int, seed: int) -> list[SequenceMotif]:
    rng = np.random.default_rng(seed)
    return [SequenceMotif(f"m{i}", rng.dirichlet([0.4] * 4, 6 + i % 9)) for i in range(count)]


def noisy(motif: SequenceMotif, *, shift: int, turned: bool) -> SequenceMotif:
    """A longer motif with another in it, `shift` positions from its start."""
    rng = np.random.default_rng(shift)
    matrix = motif.matrix[::-1, ::-1] if turned else motif.matrix
    around = rng.dirichlet([5.0] * 4, shift), rng.dirichlet([5.0] * 4, 3)
    mixed = 0.85 * matrix + 0.15 * rng.dirichlet([1.0] * 4, len(matrix))
    return SequenceMotif("noisy", np.concatenate([around[0], mixed, around[1]]))


KNOWN = motifs(80, seed=1)
QUERIES = {
    "forward": noisy(KNOWN[8], shift=4, turned=False),
    "turned": noisy(KNOWN[33], shift=2, turned=True),
}


@pytest.mark.parametrize("name", QUERIES)
def test_p_values_are_those_of_another_implementation(name: str) -> None:
    [found] = best_matches_of([QUERIES[name]], KNOWN, count=4)
    for match, (known, p, offset, other_strand) in zip(found, MEMELITE[name], strict=True):
        assert (match.motif.name, match.offset, match.other_strand) == (known, offset, other_strand)
        assert np.log(match.p) == pytest.approx(np.log(p), rel=0.01, abs=0.15)


def test_p_values_of_unrelated_motifs_are_as_frequent_as_they_say() -> None:
    """Motifs of the columns of the known ones, in random order."""
    rng = np.random.default_rng(5)
    columns = np.concatenate([one.matrix for one in KNOWN])
    queries = [
        SequenceMotif(f"q{i}", columns[rng.integers(0, len(columns), 10)]) for i in range(25)
    ]
    found = best_matches_of(queries, KNOWN, count=len(KNOWN))
    p = np.array([match.p for one in found for match in one])
    for level in (0.5, 0.1, 0.02):
        assert level / 2 < (p < level).mean() < level * 2
    assert min(match.q for one in found for match in one) > 0.01


def test_q_values_are_of_all_comparisons() -> None:
    one = best_matches_of([QUERIES["forward"]], KNOWN, count=1)[0][0]
    both = best_matches_of([QUERIES["forward"], KNOWN[0]], KNOWN, count=1)[0][0]
    assert one.q == pytest.approx(len(KNOWN) * one.p)
    assert both.q == pytest.approx(2 * len(KNOWN) * one.p)
    assert best_matches_of([], KNOWN) == []


def test_a_motif_of_one_column_and_equal_columns_are_compared() -> None:
    [found] = best_matches_of([SequenceMotif("one", matrix_of("A"))], KNOWN[:3], count=3)
    assert all(0 < match.p <= 1 for match in found)
    flat = SequenceMotif("flat", np.full((4, 4), 0.25))
    assert [match.p for match in best_matches_of([flat], [flat])[0]] == [1.0]


def test_files_are_read_as_written(tmp_path) -> None:
    write_meme(tmp_path / "a.meme", [SequenceMotif("a", matrix_of("ACGT"), "Label", 7), KNOWN[0]])
    [first, second] = read_meme(tmp_path / "a.meme")
    assert (first.name, first.label, first.sites, first.consensus) == ("a", "Label", 7, "ACGT")
    np.testing.assert_allclose(second.matrix, KNOWN[0].matrix, atol=2e-6)
    assert information(matrix_of("N")) == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no motif"),
        ("ALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "its alphabet is ACDEF"),
        ("MOTIF\n", r"m:1: a motif without a name"),
        ("MOTIF a\nletter-probability matrix: w= 2\n1 0 0 0\n", "m:3: expected 2 lines of four"),
        ("MOTIF a\nletter-probability matrix: w= 1\n1 1 0 0\n", "that sum to 1"),
        ("MOTIF a\nletter-probability matrix: w= 1\n1 x 0 0\n", "that sum to 1"),
        ("MOTIF a\nletter-probability matrix: w= 1\n-1 2 0 0\n", "that sum to 1"),
        ("letter-probability matrix: w= 1\n1 0 0 0\n", "expected a motif's name"),
    ],
)
def test_damaged_files_are_refused(tmp_path, text: str, problem: str) -> None:
    (tmp_path / "m").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_meme(tmp_path / "m")
