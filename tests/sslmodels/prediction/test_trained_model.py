"""A trained model scores strings, codes and one-hot; an ensemble; what is refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from prediction_tools import network, run_folder
from scipy.special import expit

import sslmodels as sm
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.onehot import decode, one_hot, reverse_complement
from sslmodels.prediction.trained_model import Ensemble, TrainedModel, load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SAVED = Path(__file__).resolve().parents[2] / "golden" / "saved-models"
LENGTH = 40
CODES = np.random.default_rng(0).integers(0, 5, (7, LENGTH)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return TrainedModel(network())


def test_strings_codes_and_one_hot_score_the_same(model):
    expected = model.score_codes(CODES)
    assert expected.shape == (7, 2)
    assert expected.dtype == np.float32
    letters = [decode(row) for row in CODES]
    for sequences in (
        letters,
        tuple(letters),
        np.array(letters),
        np.array(letters, object),
        [text.lower() for text in letters],
        [text.encode() for text in letters],
        CODES.astype(np.int64),
        one_hot(CODES),
        one_hot(CODES).astype(np.float32),
    ):
        np.testing.assert_array_equal(model.predict(sequences), expected)
    np.testing.assert_array_equal(model.predict(letters[3]), model.score_codes(CODES[3:4]))
    assert model.predict([]).shape == (0, 2)


def test_other_iupac_codes_count_as_n(model):
    text = decode(np.minimum(CODES[0], 3))
    np.testing.assert_array_equal(
        model.predict([text[:5] + "r" + text[6:]]), model.predict([text[:5] + "N" + text[6:]])
    )


def test_both_strands_are_averaged_by_default(model):
    one, other = (model.predict(c, both_strands=False) for c in (CODES, reverse_complement(CODES)))
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_allclose(model.predict(CODES), (one + other) / 2, rtol=1e-6)


def test_a_model_of_both_strands_always_averages(model):
    averaging = TrainedModel(network(both_strands=True))
    for both in (True, False):
        np.testing.assert_allclose(
            averaging.predict(CODES, both_strands=both), model.predict(CODES), rtol=1e-6
        )
        np.testing.assert_allclose(
            averaging.log_odds(CODES, both_strands=both), model.log_odds(CODES), rtol=1e-5
        )


def test_the_size_of_a_batch_changes_nothing(model):
    np.testing.assert_allclose(model.predict(CODES, batch_size=2), model.predict(CODES), rtol=1e-6)


@pytest.mark.parametrize("both_strands", [True, False])
def test_log_odds_are_those_of_the_probabilities(model, both_strands):
    z = model.log_odds(CODES, both_strands=both_strands)
    assert z.dtype == np.float32
    np.testing.assert_allclose(expit(z), model.predict(CODES, both_strands=both_strands), rtol=1e-5)


def test_log_odds_stay_exact_where_probabilities_round_to_0_and_1():
    certain = network()
    kernel, _bias = certain.body.layers[-1].get_weights()
    certain.body.layers[-1].set_weights([0 * kernel, np.array([300, -300], np.float32)])
    model = TrainedModel(certain)
    np.testing.assert_array_equal(model.predict(CODES[:1]), [[1, 0]])
    np.testing.assert_allclose(model.log_odds(CODES[:1]), [[300, -300]])


def test_log_odds_without_a_last_sigmoid_are_those_of_the_probabilities():
    model = load_model(SAVED / "dnabert2.keras")
    codes = CODES[:, : model.length]
    p = model.predict(codes, both_strands=False).astype(float)
    np.testing.assert_allclose(
        model.log_odds(codes, both_strands=False), np.log(p / (1 - p)), rtol=1e-4, atol=1e-5
    )


def test_a_model_of_tokens_scores_both_strands():
    model = load_model(SAVED / "dnabert2.keras")
    codes = CODES[:, : model.length]
    expected = [
        model.keras_model.predict(model.keras_model.encoder(c), verbose=0)
        for c in (codes, reverse_complement(codes))
    ]
    np.testing.assert_allclose(model.predict(codes), sum(expected) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACGT"], "sequence 0: 4 bases, the model reads 40"),
        (["A" * 40, "A" * 39 + "U"], r"sequence 1: 'U' at base 39 .* is not a base"),
        (["A" * 39 + "é"], "sequence 0: 'é' at base 39"),
        (["A" * 39 + "-"], "'-' at base 39"),
        (np.array(["A" * 40, 3], object), "sequence 1: 3 is not a string"),
        ([[0, 1], [2]], "rows of several lengths"),
        (CODES[:, :30], r"shape \(7, 30\); expected strings of 40 bases"),
        (CODES[0], r"shape \(40,\)"),
        (CODES + np.uint8(1), "base codes outside 0..4"),
        (CODES.astype(int) - 1, "base codes outside 0..4"),
        (CODES.astype(float), "float64"),
        (one_hot(CODES) * 2, "is not one-hot"),
        (np.full((1, 40, 4), 0.25), "is not one-hot"),
        (np.ones((1, 40, 4)), "sequence 0: is not one-hot"),
        (one_hot(CODES)[..., :3], r"shape \(7, 40, 3\)"),
        (3, r"shape \(\)"),
    ],
)
def test_what_is_no_sequence_is_refused_in_one_line(model, sequences, message):
    with pytest.raises(InputError, match=message) as caught:
        model.predict(sequences)
    assert "\n" not in str(caught.value)


def test_a_run_names_its_outputs(tmp_path):
    run = run_folder(tmp_path / "one", network(outputs=1))
    for path in (run, str(run), run / "model.keras"):
        model = sm.load_model(path)
        assert (model.outputs, model.run, model.length) == (("alpha",), run, LENGTH)
    joint = sm.load_model(run_folder(tmp_path / "joint", network(), outputs=["a", "b"]))
    assert joint.outputs == ("a", "b")
    np.testing.assert_array_equal(joint.predict(CODES), TrainedModel(network()).predict(CODES))


def test_a_file_alone_numbers_its_outputs(tmp_path):
    network().save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    assert (model.outputs, model.run) == (("score_1", "score_2"), None)
    assert TrainedModel(network(outputs=1)).outputs == ("score",)


def test_a_plain_keras_model_of_one_hot_is_read(tmp_path, model):
    network().body.save(tmp_path / "plain.keras")
    plain = load_model(tmp_path / "plain.keras")
    assert plain.length == LENGTH
    np.testing.assert_array_equal(plain.predict(CODES), model.predict(CODES))


def test_runs_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(MissingInputError, match="not a run folder"):
        load_model(tmp_path)
    with pytest.raises(MissingInputError, match="no such model"):
        load_model(tmp_path / "gone.keras")
    with pytest.raises(ConfigError, match="not complete"):
        load_model(run_folder(tmp_path / "cut", network(), status="training"))
    with pytest.raises(InputError, match="has 2 outputs"):
        load_model(run_folder(tmp_path / "mixed", network()))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(InputError, match="does not read DNA"):
        TrainedModel(other)


def test_an_ensemble_gives_mean_and_sd(tmp_path):
    members = [TrainedModel(network(seed)) for seed in range(3)]
    mean, sd = Ensemble(members).predict(CODES)
    each = np.stack([member.predict(CODES) for member in members])
    np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(sd, each.std(axis=0, ddof=1), rtol=1e-5)
    assert mean.dtype == sd.dtype == np.float32
    assert np.isnan(Ensemble(members[:1]).predict(CODES)[1]).all()


def test_the_members_of_an_ensemble_read_the_centre():
    short = TrainedModel(network(length=30))
    ensemble = Ensemble([TrainedModel(network()), short])
    assert ensemble.length == LENGTH
    np.testing.assert_array_equal(ensemble.score_codes(CODES)[1], short.score_codes(CODES[:, 5:35]))


def test_models_that_are_no_ensemble_are_refused(model):
    with pytest.raises(ConfigError, match="at least one run"):
        Ensemble([])
    with pytest.raises(ConfigError, match="same outputs"):
        Ensemble([model, TrainedModel(network(outputs=1))])
    with pytest.raises(ConfigError, match="no common centre"):
        Ensemble([model, TrainedModel(network(length=31))])
