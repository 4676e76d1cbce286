"""Effects of motifs written into backgrounds, by a model whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from motif_tools import matrix_of, motif_model
from scipy.special import logit

from sslmodels.baselines.meme_text import SequenceMotif, information
from sslmodels.interpretation.first_filters import filter_motifs
from sslmodels.interpretation.marginal_effects import inserted, marginal_effect, pair_effects
from sslmodels.models.model_builder import build_model
from sslmodels.scores.score_rows import score

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MOTIF = "CGTTACCTAG"
BACKGROUNDS = np.random.default_rng(0).integers(0, 4, (20, 100)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return motif_model(MOTIF, length=100, both_strands=False)


def test_a_motif_in_the_middle(model) -> None:
    motif = SequenceMotif("m", matrix_of(MOTIF))
    found = marginal_effect(model, BACKGROUNDS, motif)
    forward = inserted(BACKGROUNDS, motif.matrix.argmax(axis=1).astype(np.uint8), 45)
    assert (forward[:, 45:55] == motif.matrix.argmax(axis=1)).all()
    assert (np.delete(forward, range(45, 55), 1) == np.delete(BACKGROUNDS, range(45, 55), 1)).all()
    own, base = (logit(score(model, codes)[:, 0].astype(float)) for codes in (forward, BACKGROUNDS))
    # The model reads one strand, so the other orientation has next to no effect.
    assert found.mean == pytest.approx((own - base).mean() / 2, abs=0.6)
    assert found.mean > 2


def test_two_motifs_against_their_distance(model) -> None:
    motif = SequenceMotif("m", matrix_of(MOTIF))
    found = pair_effects(model, BACKGROUNDS, [motif])
    assert found["motifs"] == ["m", "m"]
    assert found["gaps"][:3] == [0, 4, 8]
    assert found["gaps"][-1] == 80  # the last that fits
    same, alone = (np.array([one["mean"] for one in found["same"][key]]) for key in ("pair", "sum"))
    # A maximum over positions: two matches are worth one.
    np.testing.assert_allclose(same, alone / 2, rtol=0.15)
    assert len(found["opposite"]["pair"]) == len(found["gaps"])


def test_filters_show_what_activates_them(model) -> None:
    codes = BACKGROUNDS.copy()
    labels = np.arange(20) < 10
    codes[:10, 30:40] = matrix_of(MOTIF).argmax(axis=1)
    codes[0, 25] = 4  # N counts for no base
    codes[1, 60:70] = 3 - matrix_of(MOTIF).argmax(axis=1)[::-1]  # on the other strand
    [first, *others] = filter_motifs(model, codes, labels)
    assert (first.motif.name, first.motif.sites, first.auroc) == ("filter_3", 11, 1.0)
    assert first.motif.consensus[7:17] == MOTIF
    assert information(first.motif.matrix)[7:17].min() > 1.5
    assert not others  # all other filters are 0 everywhere


def test_filters_of_padded_convolutions_are_aligned() -> None:
    plain = motif_model(MOTIF, length=100, both_strands=False)
    padded = build_model("deepbind", length=100, seed=0, padding="same")
    padded.set_weights(plain.get_weights())
    codes, labels = BACKGROUNDS.copy(), np.arange(20) < 10
    codes[:10, 88:98] = matrix_of(MOTIF).argmax(axis=1)
    [first, *_] = filter_motifs(padded, codes, labels)
    assert first.motif.consensus[7:17] == MOTIF
