"""Every baseline finds a planted motif on both strands, and nothing where there is none."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ssldata.base.errors import InputError, MissingInputError
from ssldata.genomes.onehot import decode, encode, reverse_complement
from sslmodels.baselines.baseline_file import load_baseline, save_baseline
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.baselines.gapped_kmer_svm import LENGTH, GappedKmerSvm, K
from sslmodels.baselines.kmer_regression import KmerRegression
from sslmodels.baselines.meme_text import SequenceMotif
from sslmodels.baselines.motif_scan import PwmScan, log_odds_of, scan_scores
from sslmodels.baselines.word_features import gapped_words, merged_words, word_counts
from sslmodels.baselines.word_kernels import feature_norms

TRAINED = (EmMotif, KmerRegression, GappedKmerSvm)
PLANTED = "TGACTCAGC"


def matrix_of(text: str) -> np.ndarray:
    """Return probabilities (positions, 4) of a word; S is C or G."""
    rows = [[float(base in {"S": "CG"}.get(letter, letter)) for base in "ACGT"] for letter in text]
    matrix = np.array(rows) + 0.02
    return matrix / matrix.sum(axis=1, keepdims=True)


class Rows(NamedTuple):
    codes: np.ndarray
    labels: np.ndarray


def planted_rows(positives: int, negatives: int, *, seed: int, shuffled: bool = False) -> Rows:
    """Rows of which the positives hold the motif, on a random strand, one base in nine changed."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (positives + negatives, 80)).astype(np.uint8)
    for row in codes[:positives]:
        site = encode(PLANTED).copy()
        site[rng.integers(len(site))] = rng.integers(4)
        at = rng.integers(80 - len(site))
        row[at : at + len(site)] = reverse_complement(site) if rng.random() < 0.5 else site
    labels = (np.arange(len(codes)) < positives).astype(np.int8)
    return Rows(codes, rng.permutation(labels) if shuffled else labels)


def fitted(kind: Any, *, shuffled: bool = False) -> Any:
    train = planted_rows(100, 1000, seed=1, shuffled=shuffled)
    checked = planted_rows(30, 300, seed=2, shuffled=shuffled)
    return kind.fit(
        train.codes,
        train.labels,
        validation_codes=checked.codes,
        validation_labels=checked.labels,
    )


@pytest.fixture(scope="module", params=TRAINED, ids=lambda kind: kind.kind)
def baseline(request: pytest.FixtureRequest) -> Any:
    return fitted(request.param)


def test_a_planted_motif_is_found(baseline: Any) -> None:
    test = planted_rows(50, 1000, seed=3)
    assert average_precision_score(test.labels, baseline.score(test.codes)) > 0.55


def test_both_strands_have_the_same_score(baseline: Any) -> None:
    codes = planted_rows(5, 5, seed=4).codes
    np.testing.assert_allclose(
        baseline.score(codes), baseline.score(reverse_complement(codes)), rtol=1e-9
    )


def test_scores_of_rows_do_not_depend_on_the_others(baseline: Any) -> None:
    codes = planted_rows(5, 5, seed=4).codes
    assert baseline.score(codes)[3] == baseline.score(codes[3:4])[0]


def test_an_unknown_base_hides_its_words_alone(baseline: Any) -> None:
    codes = np.tile(encode("ACGT" * 10 + PLANTED + "ACGT" * 10), (3, 1))
    codes[1, 44] = 4  # in the motif
    codes[2, 2] = 4  # far from it
    whole, hidden, far = baseline.score(codes)
    assert hidden < far
    assert abs(whole - far) < abs(whole - hidden)
    assert np.isfinite(baseline.score(np.full((1, 80), 4, np.uint8))).all()


def test_equal_rows_give_equal_files(baseline: Any, tmp_path: Path) -> None:
    save_baseline(tmp_path / "a.npz", baseline)
    save_baseline(tmp_path / "b.npz", fitted(type(baseline)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    codes = planted_rows(5, 5, seed=4).codes
    read = load_baseline(tmp_path / "a.npz")
    assert type(read) is type(baseline)
    np.testing.assert_array_equal(read.score(codes), baseline.score(codes))


@pytest.mark.parametrize("kind", TRAINED, ids=lambda kind: kind.kind)
def test_nothing_is_found_in_shuffled_labels(kind: Any) -> None:
    test = planted_rows(50, 1000, seed=3)
    found = fitted(kind, shuffled=True)
    assert average_precision_score(test.labels, found.score(test.codes)) < 0.15


def test_em_finds_the_motif_itself() -> None:
    motif = fitted(EmMotif).motif
    both = (motif.consensus, motif.other_strand.consensus)
    assert any("GACTCAG" in text for text in both), both
    assert motif.sites > 60


def test_the_scan_is_that_of_a_loop() -> None:
    motif = SequenceMotif("m", matrix_of("TGASTCA"), sites=30)
    background = np.array([0.3, 0.2, 0.2, 0.3])
    table = log_odds_of(motif, background)
    codes = np.random.default_rng(0).integers(0, 5, (4, 30)).astype(np.uint8)
    best, total = (scan_scores(codes, table, how) for how in ("best", "sum"))
    for row, highest, occupied in zip(codes, best, total, strict=True):
        sites = []
        for strand in (row, reverse_complement(row)):
            for at in range(30 - 7 + 1):
                site = strand[at : at + 7]
                if (site < 4).all():
                    sites.append(sum(table[i, b] for i, b in enumerate(site)))
        assert highest == pytest.approx(max(sites))
        counted = [site for site in sites if site > -14] or [max(sites)]
        assert occupied == pytest.approx(np.log(np.exp(counted).sum() / 48))


def test_a_known_motif_needs_no_training() -> None:
    train, test = planted_rows(5, 100, seed=1), planted_rows(50, 1000, seed=3)
    motif = SequenceMotif("m", matrix_of(PLANTED), "AP1", 20)
    for how in ("best", "sum"):
        scan = PwmScan.fit(train.codes, train.labels, motif=motif, statistic=how)
        assert average_precision_score(test.labels, scan.score(test.codes)) > 0.7
        arrays, settings = scan.to_arrays()
        again = PwmScan.from_arrays(arrays, settings)
        np.testing.assert_array_equal(again.score(test.codes), scan.score(test.codes))


def test_a_motif_longer_than_the_rows_is_refused() -> None:
    with pytest.raises(InputError, match="the motif has 9 positions, but the rows only 8 bases"):
        scan_scores(np.zeros((1, 8), np.uint8), np.zeros((9, 4)), "best")


def test_short_rows_are_refused_by_em() -> None:
    rows = planted_rows(20, 100, seed=1)
    with pytest.raises(InputError, match="too short"):
        EmMotif.fit(
            rows.codes[:, :5],
            rows.labels,
            validation_codes=rows.codes[:, :5],
            validation_labels=rows.labels,
        )


def test_merged_words_are_those_of_both_strands() -> None:
    features, size = merged_words(3)
    assert size == 32
    for word in range(64):
        text = "".join("ACGT"[word // 4**i % 4] for i in (2, 1, 0))
        other = decode(reverse_complement(encode(text)))
        number = sum("ACGT".index(b) * 4**i for b, i in zip(other, (2, 1, 0), strict=True))
        assert features[word] == features[number]
    assert word_counts(encode("ACGTT")[None], 3).sum() == 3


def test_gapped_words_are_those_of_the_definition() -> None:
    """Lengths of the vectors of counts, against counts of a dictionary of text."""
    features, size = gapped_words(LENGTH, K)
    assert features.shape == (4**LENGTH, 28)
    codes = np.random.default_rng(0).integers(0, 4, (3, 40)).astype(np.uint8)
    codes[1, 20] = 4
    norms = np.empty(3)
    feature_norms(codes, LENGTH, features, size, norms)
    for row, norm in zip(codes, norms, strict=True):
        count: dict[str, int] = {}
        for at in range(40 - LENGTH + 1):
            word = decode(row[at : at + LENGTH])
            if "N" in word:
                continue
            for places in combinations(range(LENGTH), K):
                text = "".join(b if i in places else "-" for i, b in enumerate(word))
                other = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
                name = min(text, other)
                count[name] = count.get(name, 0) + 1
        assert norm == pytest.approx(np.sqrt(sum(n * n for n in count.values())))


@pytest.mark.parametrize("damage", ["cut", "text", "array"])
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save_baseline(path, KmerRegression(np.zeros(4**6), 0.0, 1.0))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no archive")
    else:
        np.savez(path, settings=np.array('{"kind": "kmer"}'), weights=np.zeros(3))
    with pytest.raises(InputError, match="not a baseline, or damaged"):
        load_baseline(path)
    with pytest.raises(MissingInputError):
        load_baseline(tmp_path / "none.npz")
