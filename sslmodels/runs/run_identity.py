"""What the result of a run depends on, and the folder it is written to. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssldata.base.errors import StoreError
from ssldata.project.project_file import Project
from ssldata.project.section import Section
from ssldata.project.training_section import Augment, Regime, Sampling, Training
from ssldata.reading import sampling_rates
from ssldata.reading.known_labels import half_covered_are_negatives
from ssldata.store.published_weights import entry_of, weights_digests
from ssldata.store.store import HOMOLOGUES, REFERENCE, Store
from sslmodels.fit import devices
from sslmodels.models import own_model
from sslmodels.models.catalogue import DNABERT2, FSEI, input_length
from sslmodels.models.model_settings import fit_settings
from sslmodels.runs import training_rows
from sslmodels.runs.regime_table import REGIME_TABLE, effective
from sslmodels.sei.sei_options import SeiOptions

#: Increased when equal settings would give another result than in the release before.
RUN_FORMAT = 3
#: The same for what a committee has beside its network.
COMMITTEE_FORMAT = 1

#: Settings of fits (:mod:`sslmodels.models.model_settings`) that every run depends on.
_ALWAYS = (
    "batch_size",
    "epochs",
    "patience",
    "plateau_patience",
    "monitor",
    "learning_rate",
)
#: Settings of ``training`` that are left out at their defaults: they came later, and runs made
#: before them must keep their identity.
_UNLESS_DEFAULT = ("both_strands", "labelled_peaks", "precision", "jit_compile", "devices")
#: The same for settings of its sections.
_LATER: dict[str, dict[str, Any]] = {
    "noisy_student": {"calibration": "none"},
    "augment": {"noise": 0.0, "shift": 0},
    "homolog_sampling": {"steps": "own"},
}


def run_folder(project: Project, *, experiment: str, model: str, regime: Regime, seed: int) -> Path:
    """Return the folder of one run: ``<runs>/<experiment>/<model>/<regime>/seed-<seed>``.

    Parameters
    ----------
    project
        The project, whose ``training.runs`` is the folder of all runs.
    experiment, model, regime, seed
        The cell of the grid.
    """
    folder = project.training.runs / experiment / own_model.folder_name(model)
    return folder / regime / f"seed-{seed}"


def with_runs(project: Project, runs: Path | None) -> Project:
    """Return the project with another runs folder; None: its own."""
    if runs is None:
        return project
    training = project.training.model_copy(update={"runs": runs})
    return project.model_copy(update={"training": training})


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

    Only the settings and rows that the regime uses are part of it: a new genome does not make an
    sl run stale. The files of DNABERT-2 are part of its runs and may be downloaded.

    Parameters
    ----------
    project, store
        The project, and the store of `experiment`.
    experiment, model, regime, seed
        The cell of the grid.
    offline
        Download nothing.

    Returns
    -------
    dict
        JSON-able values; :func:`ssldata.base.files.digest_of` gives their digest.

    Raises
    ------
    ConfigError, StoreError
        A setting that no run can have; rows that the store does not hold.
    MissingInputError, FetchError, UnreachableError
        The files of DNABERT-2 cannot be found or downloaded.
    """
    entry = REGIME_TABLE[regime]
    # The network of a committee is all of it that is trained by these options.
    project = effective(project, entry.network or regime)
    homologues = not project.of_sequences and entry.counts_homologues(project.training)
    genomes = training_rows.nearest_genomes(project, store) if homologues else []
    groups = [REFERENCE, *(training_rows.homologue_groups(store, genomes) if homologues else [])]
    # Which genomes the network is trained on does not show in `content`, where others are too.
    committee = {"committee": {"format": COMMITTEE_FORMAT, "trained_on": genomes}}
    if entry.network is not None and entry.homologues:
        seen = training_rows.homologue_groups(store, scoring_genomes(project, store))
        groups = list(dict.fromkeys([*groups, *seen]))
    outputs = project.outputs_of(experiment)
    options = {
        **_training_identity(project.training, model, entry.settings),
        **_sampling_identity(project, genomes, on_homologues=entry.genome_rates),
        **(_weighting_identity(project, store, genomes, outputs) if entry.weighting else {}),
        **_model_identity(project, model, offline=offline),
    }
    negatives = {key: getattr(project.negatives, key) for key in ("ratio", "redraw", "seed")}
    if homologues:
        negatives["source"] = project.negatives.source
    if half_covered_are_negatives(store):  # decides validation rows and known labels, too
        negatives["half_covered"] = "negative"
    return {
        "format": RUN_FORMAT,
        "experiment": experiment,
        **({"outputs": outputs} if project.is_joint(experiment) else {}),
        "model": model,
        "length": input_length(
            model, size=project.windows.size, stored=store.group(REFERENCE).length
        ),
        "regime": regime,
        "seed": seed,
        "training": options,
        **(committee if entry.network is not None else {}),
        "negatives": negatives,
        "content": {name: store.ledger[name]["content"] for name in groups},
    }


def scoring_genomes(project: Project, store: Store) -> list[str]:
    """Return the genomes that a committee looks at: all of the project that the store holds.

    ``training.nearest`` limits those that networks are trained on, not these: far genomes help
    most here.
    """
    return [genome.name for genome in project.genomes if genome.name in store.genomes]


def changed_rows(
    old: Mapping[str, Any], new: Mapping[str, Any], *, genomes: Sequence[str] = ()
) -> str:
    """Return in words how the rows differ between two identities with equal settings, else "".

    A genome brings its distance with it, and rows the weights that were published for them. Names
    stand in the order of `genomes`, that of the project; others after them.
    """
    before, after = old["content"], new["content"]
    shared = before.keys() & after.keys()
    same = {name for name in shared if before[name] == after[name]}
    if _settings_of(old, shared, same) != _settings_of(new, shared, same):
        return ""
    changes = (
        ("+ ", after.keys() - before.keys()),
        ("− ", before.keys() - after.keys()),
        ("other rows of ", shared - same),
    )
    order = [REFERENCE, *(f"{HOMOLOGUES}/{name}" for name in genomes)]
    words = [
        sign + name.removeprefix(f"{HOMOLOGUES}/")
        for sign, names in changes
        for name in training_rows.in_order(names, order)
    ]
    return ", ".join(words)


def _settings_of(
    identity: Mapping[str, Any], shared: Iterable[str], same: Iterable[str]
) -> dict[str, Any]:
    """Return an identity without what comes with rows.

    Of distances those of the `shared` groups stay, of published weights those of the `same` rows.
    """
    training = dict(identity["training"])
    for section in ("sampling", "weighting"):
        if distances := training.get(section, {}).get("distances"):
            kept = {name: distances.get(name.removeprefix(f"{HOMOLOGUES}/")) for name in shared}
            training[section] = {**training[section], "distances": kept}
    if weights := training.get("weights"):
        training["weights"] = {name: weights.get(name) for name in same}
    return {**identity, "content": None, "training": training}


def _training_identity(training: Training, model: str, of_regime: Sequence[str]) -> dict[str, Any]:
    """Return what counts of ``training`` whatever the store is."""
    usual, fitted = Training(), asdict(fit_settings(training, model))
    found = {key: fitted[key] for key in _ALWAYS}
    found["validation_negatives"] = training.validation_negatives
    found |= {
        key: getattr(training, key)
        for key in _UNLESS_DEFAULT
        if getattr(training, key) != getattr(usual, key)
    }
    found |= {key: fitted[key] if key in fitted else _settings(training, key) for key in of_regime}
    if training.augment != Augment():
        found["augment"] = _settings(training, "augment")
    if devices.backend() != "tensorflow":
        found["backend"] = devices.backend()
    return found


def _settings(training: Training, key: str) -> Any:
    """Return a setting or a section of ``training``; later settings only where they are set."""
    value = getattr(training, key)
    if not isinstance(value, Section):
        return value
    value = value.model_dump(mode="json")
    if key == "ssl_plus":
        del value["weighting"]  # stands in place of the general one by now
    for later, default in _LATER.get(key, {}).items():
        if value[later] == default:
            del value[later]
    return value


def _sampling_identity(
    project: Project, genomes: Sequence[str], *, on_homologues: bool
) -> dict[str, Any]:
    """Return what counts of ``training.sampling``, unless it is at its defaults.

    `on_homologues`: a phase on the homologues of `genomes` takes its rates from there.
    """
    sampling, usual = project.training.sampling, Sampling()
    found: dict[str, Any] = {}
    if sampling.balance != usual.balance:
        found["balance"] = sampling.balance
    if on_homologues and sampling.one_per_locus:
        found["one_per_locus"] = True
    if on_homologues and sampling.genomes != usual.genomes:
        found["genomes"] = sampling.genomes
        distances = sampling_rates.distances_used(project, genomes, sampling)
        if distances is not None:
            found["halving"] = sampling.halving
            found["distances"] = dict(zip(genomes, distances, strict=True))
    return {"sampling": found} if found else {}


def _weighting_identity(
    project: Project, store: Store, genomes: Sequence[str], outputs: list[str]
) -> dict[str, Any]:
    """Return what counts of ``training.weighting`` and ``training.weights``, unless at defaults.

    Published weights count by their values, not by their name.
    """
    options, name = project.training.weighting, project.training.weights
    found: dict[str, Any] = {}
    if options.distance_scale is not None or options.identity_power:
        found["weighting"] = options.model_dump(mode="json")
    if options.distance_scale is not None:
        found["weighting"]["distances"] = sampling_rates.weighting_distances(project, genomes)
    if name is not None:
        groups = [f"{HOMOLOGUES}/{genome}" for genome in genomes]
        found["weights"] = weights_digests(store, name, groups)
        # Weights that no run made may come without the experiments they are for.
        published_for = entry_of(store, name).get("outputs", outputs)
        if published_for != outputs:
            raise StoreError(
                f"{store.location}: the weights {name!r} are of a teacher of "
                f"{', '.join(published_for)}, this run predicts {', '.join(outputs)}; set "
                "training.weights to others, or null"
            )
    return found


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
    if model == FSEI:
        found["sei"] = SeiOptions(**project.training.sei.model_dump()).identity()
    return found
