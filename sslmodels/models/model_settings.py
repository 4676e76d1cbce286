"""How the phases of a model are fitted: the one place that resolves the settings of a run.

From the first of

1. ``training.per_model`` of the project, for this model,
2. ``training``, if the project sets the key there,
3. the model's own default (:attr:`sslmodels.models.catalogue.Listed.fitted_with`),
4. the general default, :data:`GENERAL`.

A project that sets a learning rate for all models gets it for all of them, whatever was published
for one. No Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from ssldata.base.errors import ConfigError
from ssldata.project.training_section import Monitor, PerModel, Training
from sslmodels.models import own_model
from sslmodels.models.catalogue import MODELS, unknown_model

#: Where a setting comes from, as the numbered list above has them.
Origin = Literal["per_model", "training", "model", "general"]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of all fits of one model, resolved; the keys are those of ``training``."""

    batch_size: int
    epochs: int
    patience: int
    plateau_patience: int
    monitor: Monitor
    learning_rate: float
    finetune_learning_rate: float


GENERAL = FitSettings(
    batch_size=256,
    epochs=100,
    patience=8,
    plateau_patience=0,
    monitor="val_loss",
    learning_rate=1e-3,
    finetune_learning_rate=5e-4,
)

#: Names of the settings.
KEYS: tuple[str, ...] = tuple(field.name for field in fields(FitSettings))


def fit_settings(training: Training, model: str) -> FitSettings:
    """Return the settings that the phases of a model are fitted with.

    Raises
    ------
    ConfigError
        ``training.per_model`` names a model that does not exist.
    """
    return replace(GENERAL, **{key: value for key, (value, _) in _found(training, model).items()})


def origins(training: Training, model: str) -> dict[str, Origin]:
    """Return where each setting of :func:`fit_settings` comes from."""
    found = _found(training, model)
    return {key: found[key][1] if key in found else "general" for key in KEYS}


def _found(training: Training, model: str) -> dict[str, tuple[Any, Origin]]:
    """Return the settings of a model that are not general defaults, and where they come from."""
    for name in training.per_model:
        if not own_model.is_own(name) and name not in MODELS:
            raise ConfigError(f"training.per_model: {unknown_model(name)}")
    sources: list[tuple[Origin, Mapping[str, Any]]] = [
        ("model", MODELS[model].fitted_with if model in MODELS else {}),
        ("training", _set_in(training)),
        ("per_model", _set_in(training.per_model.get(model, PerModel()))),
    ]
    return {key: (value, origin) for origin, values in sources for key, value in values.items()}


def _set_in(section: Training | PerModel) -> dict[str, Any]:
    values = {key: getattr(section, key) for key in KEYS}
    return {key: value for key, value in values.items() if value is not None}


def own_defaults(model: str) -> str:
    """Return the own defaults of a model in words, ``""`` if it has none."""
    own = MODELS[model].fitted_with if model in MODELS else {}
    return ", ".join(f"{key} {_text(value)}" for key, value in own.items())


def in_words(training: Training, model: str) -> str:
    """Return the settings of a model that differ from the general defaults, by their origins."""
    settings, where = asdict(fit_settings(training, model)), origins(training, model)
    usual = asdict(GENERAL)
    parts = []
    for origin, name in (
        ("per_model", "training.per_model"),
        ("training", "training"),
        ("model", "its own defaults"),
    ):
        keys = [k for k in KEYS if where[k] == origin and settings[k] != usual[k]]
        if keys:
            parts.append(f"{', '.join(f'{k} {_text(settings[k])}' for k in keys)} ({name})")
    return "; ".join(parts)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
