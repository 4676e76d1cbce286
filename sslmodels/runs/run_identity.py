"""What the result of a run depends on, and the folder it is written to. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssldata.project.project_file import Project
from ssldata.project.training_section import HOMOLOGOUS, Augment, Regime, Training
from ssldata.store.store import REFERENCE, Store
from sslmodels.fit import devices
from sslmodels.models import own_model
from sslmodels.models.catalogue import DNABERT2, input_length
from sslmodels.runs import sampling_rates, training_rows
from sslmodels.runs.homologue_weights import weighting_identity
from sslmodels.runs.run_folder import RUN_FORMAT

#: Regimes whose phases on homologues take their rates from ``training.sampling``.
_RATED = HOMOLOGOUS - {"homolog-sampling"}
#: Regimes that pre-train on homologues weighed by ``training.weighting`` and ``training.weights``.
WEIGHED = HOMOLOGOUS - {"ssl-ns"}
#: Options that came later: left out at their defaults, so that runs made before stay what they are.
_LATER: dict[str, dict[str, Any]] = {
    "noisy_student": {"calibration": "none"},
    "augment": {"noise": 0.0, "shift": 0},
    "homolog_sampling": {"steps": "own"},
}


def run_folder(project: Project, *, experiment: str, model: str, regime: Regime, seed: int) -> Path:
    """Return the folder of one run: ``<runs>/<experiment>/<model>/<regime>/seed-<seed>``."""
    folder = project.training.runs / experiment / own_model.folder_name(model)
    return folder / regime / f"seed-{seed}"


def with_runs(project: Project, runs: Path | None) -> Project:
    """Return the project with another runs folder; None: its own."""
    if runs is None:
        return project
    training = project.training.model_copy(update={"runs": runs})
    return project.model_copy(update={"training": training})


def effective(project: Project, regime: Regime) -> Project:
    """Return the project with the options of ssl-plus in place of the general ones.

    Other regimes take the project as it is.
    """
    if regime != "ssl-plus":
        return project
    plus, training = project.training.ssl_plus, project.training
    changes: dict[str, Any] = {
        "validation_negatives": plus.validation_negatives,
        "weighting": plus.weighting,
    }
    if plus.reverse_complement:
        changes["both_strands"] = True
        changes["augment"] = training.augment.model_copy(update={"reverse_complement": 0.5})
    return project.model_copy(
        update={
            "training": training.model_copy(update=changes),
            "negatives": project.negatives.model_copy(
                update={"ratio": plus.ratio, "redraw": plus.redraw}
            ),
        }
    )


def _uses_homologues(project: Project, regime: Regime) -> bool:
    return regime in HOMOLOGOUS or (
        regime == "two-stage" and project.training.two_stage_steps == "ssl"
    )


def run_identity(
    project: Project,
    store: Store,
    *,
    experiment: str,
    model: str,
    regime: Regime,
    seed: int,
    offline: bool = False,
) -> dict[str, Any]:
    """Return everything the result of a run depends on; equal identities give equal models.

    Only settings and rows the regime uses are part of it: a new genome does not make an sl run
    stale. The files of DNABERT-2 are part of its runs and may be downloaded, unless `offline`.

    Raises
    ------
    ConfigError, StoreError
        A setting that no run can have; rows that the store does not hold.
    MissingInputError, FetchError, UnreachableError
        The files of DNABERT-2 cannot be had.
    """
    project = effective(project, regime)
    training = project.training
    homologues = _uses_homologues(project, regime)
    genomes = training_rows.nearest_genomes(project, store) if homologues else []
    groups = [REFERENCE, *(training_rows.homologue_groups(store, genomes) if homologues else [])]
    options: dict[str, Any] = {
        key: getattr(training, key)
        for key in (
            "batch_size",
            "epochs",
            "patience",
            "plateau_patience",
            "monitor",
            "learning_rate",
            "validation_negatives",
        )
    }
    if regime not in {"sl", "pretrain-only"}:
        options["finetune_learning_rate"] = training.finetune_learning_rate
    if regime == "two-stage":
        options["two_stage_steps"] = training.two_stage_steps
    for name, section in (
        ("ssl-ns", "noisy_student"),
        ("homolog-sampling", "homolog_sampling"),
        ("ssl-plus", "ssl_plus"),
    ):
        if regime == name:
            options[section] = _settings(training, section)
            # That of ssl-plus stands in place of the general one by now.
            options[section].pop("weighting", None)
    sampling = sampling_rates.sampling_identity(project, genomes, on_homologues=regime in _RATED)
    if sampling:
        options["sampling"] = sampling
    if regime in WEIGHED:
        outputs = project.outputs_of(experiment)
        options |= weighting_identity(project, store, genomes, outputs=outputs)
    if training.augment != Augment():
        options["augment"] = _settings(training, "augment")
    if training.both_strands:
        options["both_strands"] = True
    if training.labelled_peaks is not None:
        options["labelled_peaks"] = training.labelled_peaks
    options |= devices.identity(training)
    options |= _model_identity(project, model, offline=offline)
    negatives = {key: getattr(project.negatives, key) for key in ("ratio", "redraw", "seed")}
    if homologues:
        negatives["source"] = project.negatives.source
    return {
        "format": RUN_FORMAT,
        "experiment": experiment,
        **({"outputs": project.outputs_of(experiment)} if project.is_joint(experiment) else {}),
        "model": model,
        "length": input_length(
            model, size=project.windows.size, stored=store.group(REFERENCE).length
        ),
        "regime": regime,
        "seed": seed,
        "training": options,
        "negatives": negatives,
        "content": {name: store.ledger[name]["content"] for name in groups},
    }


def _settings(training: Training, section: str) -> dict[str, Any]:
    """Return the settings of a section of ``training``, later ones only where they are set."""
    later = _LATER.get(section, {})
    settings = getattr(training, section).model_dump(mode="json")
    return {k: value for k, value in settings.items() if k not in later or value != later[k]}


def _model_identity(project: Project, model: str, *, offline: bool) -> dict[str, Any]:
    """Return what a model is made of beyond its name."""
    found: dict[str, Any] = {}
    if model in project.training.model_options:
        found["model_options"] = project.training.model_options[model]
    if own_model.is_own(model):
        found["source"] = own_model.source_digest(model)
    if model == DNABERT2:
        from sslmodels.dnabert2.bert_options import options_from  # and with it the download

        options = options_from(project.training.dnabert2.model_dump())
        found["dnabert2"] = options.identity(offline=offline)
    return found
