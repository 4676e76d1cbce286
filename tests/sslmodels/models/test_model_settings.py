"""How a model is fitted: own settings, those of the project, own defaults, general defaults."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from ssldata.base.errors import ConfigError
from ssldata.project.training_section import PerModel, Training
from sslmodels.fit.fit_options import FitOptions
from sslmodels.models import model_settings
from sslmodels.models.catalogue import MODELS
from sslmodels.models.model_settings import GENERAL, KEYS, fit_settings, in_words, origins

#: Models of Daoud & Ben-Hur (2025), fitted as there.
TRANSFER = {"attention-conv": 5e-4, "basenji-like": 5e-4, "basset-like": 1e-3, "fsei": 1e-4}


def test_general_defaults_are_those_of_a_fit() -> None:
    options = FitOptions()
    for key in set(KEYS) - {"batch_size", "finetune_learning_rate"}:
        assert getattr(GENERAL, key) == getattr(options, key)


@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"dnabert2", "deepsea", *TRANSFER}))
def test_most_models_have_general_defaults(model: str) -> None:
    assert fit_settings(Training(), model) == GENERAL
    assert in_words(Training(), model) == ""


def test_dnabert2_is_fitted_as_published() -> None:
    found = fit_settings(Training(), "dnabert2")
    assert (found.batch_size, found.epochs) == (32, 3)
    assert (found.learning_rate, found.finetune_learning_rate) == (3e-5, 3e-5)
    lora = Training().dnabert2.lora
    assert lora is not None
    assert (lora.rank, lora.alpha, lora.dropout, lora.targets) == (8, 32, 0.05, ["Wqkv"])


def test_deepsea_has_defaults_of_its_own() -> None:
    found = fit_settings(Training(), "deepsea")
    assert (found.batch_size, found.learning_rate) == (64, 1e-4)
    assert found.finetune_learning_rate == 5e-5
    assert (found.epochs, found.patience) == (GENERAL.epochs, GENERAL.patience)


@pytest.mark.parametrize("model", TRANSFER)
def test_models_of_transfer_learning_are_fitted_as_published(model: str) -> None:
    found = fit_settings(Training(), model)
    assert (found.batch_size, found.patience) == (512, 10)
    assert found.epochs == (50 if model == "fsei" else 100)
    assert found.learning_rate == TRANSFER[model]
    assert found.finetune_learning_rate == TRANSFER[model] / 2


def test_own_defaults_are_settings_with_a_source() -> None:
    for model in MODELS.values():
        assert set(model.fitted_with) <= set(KEYS)
        assert bool(model.fitted_with) == bool(model.fitted_as)
        PerModel.model_validate(dict(model.fitted_with))  # values a project could set


def test_what_a_project_sets_for_all_models_is_meant_for_all() -> None:
    training = Training(learning_rate=0.01, batch_size=7)
    for model in ("cnn-7k", "dnabert2", "deepsea"):
        found = fit_settings(training, model)
        assert (found.learning_rate, found.batch_size) == (0.01, 7)
    assert fit_settings(training, "dnabert2").epochs == 3, "what it does not set stays"


def test_a_general_default_that_is_set_counts_as_set() -> None:
    training = Training.model_validate({"learning_rate": GENERAL.learning_rate})
    assert fit_settings(training, "dnabert2").learning_rate == GENERAL.learning_rate


def test_what_a_project_sets_for_a_model_comes_first() -> None:
    per_model = {"dnabert2": {"learning_rate": 1e-4, "patience": 2}, "cnn-7k": {"epochs": 5}}
    training = Training.model_validate({"learning_rate": 0.01, "epochs": 9, "per_model": per_model})
    found = fit_settings(training, "dnabert2")
    assert (found.learning_rate, found.patience, found.epochs) == (1e-4, 2, 9)
    assert found.batch_size == 32
    assert origins(training, "dnabert2") == {
        "batch_size": "model",
        "epochs": "training",
        "patience": "per_model",
        "plateau_patience": "general",
        "monitor": "general",
        "learning_rate": "per_model",
        "finetune_learning_rate": "model",
    }
    assert (fit_settings(training, "cnn-7k").epochs, fit_settings(training, "deepbind").epochs) == (
        5,
        9,
    )
    assert in_words(training, "dnabert2") == (
        "patience 2, learning_rate 0.0001 (training.per_model); epochs 9 (training); "
        "batch_size 32, finetune_learning_rate 3e-05 (its own defaults)"
    )


def test_settings_survive_writing_and_reading() -> None:
    """``config.yaml`` of a run has all keys: what was not set must not become set."""
    training = Training(epochs=9)
    again = Training.model_validate(training.model_dump(mode="json"))
    for model in ("dnabert2", "cnn-7k"):
        assert fit_settings(again, model) == fit_settings(training, model)
        assert origins(again, model) == origins(training, model)


def test_a_model_of_ones_own_can_have_settings() -> None:
    training = Training.model_validate({"per_model": {"my.module:net": {"batch_size": 5}}})
    assert fit_settings(training, "my.module:net").batch_size == 5
    assert fit_settings(training, "my.module:other") == GENERAL


def test_a_misspelt_model_is_refused() -> None:
    training = Training.model_validate({"per_model": {"dnabert": {"batch_size": 5}}})
    with pytest.raises(ConfigError, match=r"training.per_model: no model 'dnabert'.*'dnabert2'"):
        fit_settings(training, "cnn-7k")


def test_every_setting_can_be_set_for_all_and_for_one() -> None:
    assert set(KEYS) == PerModel.model_fields.keys() == asdict(GENERAL).keys()
    assert set(KEYS) < Training.model_fields.keys()
    assert model_settings.own_defaults("deepsea").startswith("batch_size 64, learning_rate 0.0001")
    assert model_settings.own_defaults("cnn-7k") == ""
