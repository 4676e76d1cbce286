"""The regimes of training, built from one fit.

sl
    Labelled rows: all positives and as many negatives.
ssl
    Pre-train on the homologues of the labelled peaks, then fine-tune exactly as sl.
ssl-ns
    Noisy student: as ssl, each pseudo-positive weighed by the probability a teacher gives it, with
    Gaussian noise; the student becomes the teacher, some iterations long. The first teacher is
    the sl run of the same seed.
two-stage
    Control: as ssl, but both stages on labelled rows.
pretrain-only
    Control: ssl without fine-tuning.
homolog-sampling
    One sequence per labelled locus and epoch, replaced at a rate by one of itself and its
    homologues; then fine-tune on the originals.
ssl-plus
    For few peaks: as ssl, with other negatives every epoch and more of them, labelled rows among
    the homologues, and both strands in training and scoring.

sl, ssl, ssl-ns: Phan, Brouard, Mourad, Briefings in Bioinformatics 2024, doi:10.1093/bib/bbae560.
homolog-sampling: Duncan, Mitchell, Moses 2024 (phylogenetic augmentation).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssldata.base.errors import ConfigError, StoreError
from ssldata.base.files import digest_of, write_text_atomic
from ssldata.base.progress import NoProgress, Progress
from ssldata.project.project_file import Project, dump_project
from ssldata.project.training_section import REGIMES, Regime, Sampling
from ssldata.reading.epoch_order import Mixture
from ssldata.reading.reader import Weights
from ssldata.store.remote_stores import is_url
from ssldata.store.run_weights import Arrays, kept_weights, write_weights
from ssldata.store.store import Store, open_store
from sslmodels.fit import devices
from sslmodels.fit.training_loop import save_model, weights_digest
from sslmodels.models.model_builder import load_model
from sslmodels.runs import training_rows
from sslmodels.runs.run import Run
from sslmodels.runs.run_folder import (
    RunFolder,
    claim,
    machine,
    run_lock,
    write_record,
)
from sslmodels.runs.run_identity import effective, run_folder, run_identity, with_runs
from sslmodels.runs.run_logs import RunLogs
from sslmodels.runs.trackers import Description, tracked


def _sl(run: Run) -> Any:
    model = run.new_model()
    run.fit("train", model, run.labelled(), learning_rate=run.project.training.learning_rate)
    return model


def _finetune(run: Run, model: Any, name: str = "fine-tune") -> None:
    rate = run.project.training.finetune_learning_rate
    run.fit(name, model, run.labelled(), learning_rate=rate, originals=True)


def _two_stage(run: Run) -> Any:
    training = run.project.training
    steps = None
    if training.two_stage_steps == "ssl":
        # As many gradient steps per epoch as pre-training has, on the rows sl sees: passes over
        # them follow each other within an epoch.
        steps = run.homologue_steps()
    model = run.new_model()
    run.fit(
        "first stage",
        model,
        run.labelled(),
        learning_rate=training.learning_rate,
        steps_per_epoch=steps,
    )
    _finetune(run, model)
    return model


def _on_homologues(run: Run, name: str, mixture: Mixture, steps: int | None) -> Any:
    """Return a new model that was fitted to homologues, weighed as the project says."""
    model = run.new_model()
    run.fit(
        name,
        model,
        mixture,
        learning_rate=run.project.training.learning_rate,
        weights=run.homologue_weights(mixture),
        steps_per_epoch=steps,
    )
    return model


def _pretrain_only(run: Run) -> Any:
    return _on_homologues(run, "pre-train", run.homologous(), run.homologue_steps())


def _ssl(run: Run) -> Any:
    model = _pretrain_only(run)
    _finetune(run, model)
    return model


def _homolog_sampling(run: Run) -> Any:
    training = run.project.training
    rate = training.homolog_sampling.rate
    mixture = run.homologous(
        sampling=Sampling(one_per_locus=True, balance=training.sampling.balance),
        labelled=True,
        labelled_share=training_rows.share_of_rate(rate, len(run.genomes)),
    )
    steps = run.homologue_steps() if training.homolog_sampling.steps == "ssl" else None
    model = _on_homologues(run, "sample", mixture, steps)
    _finetune(run, model)
    return model


def _ssl_plus(run: Run) -> Any:
    training = run.project.training
    plus = training.ssl_plus
    sampling = training.sampling
    if plus.one_per_locus:
        sampling = sampling.model_copy(update={"one_per_locus": True})
    mixture = run.homologous(sampling=sampling, labelled=plus.labelled)
    steps = run.homologue_steps(labelled=plus.labelled)
    model = _on_homologues(run, "pre-train", mixture, steps)
    if plus.finetune:
        _finetune(run, model)
    return model


def _teacher_weights(run: Run, teacher: Any, iteration: int) -> Arrays:
    """Return the weights of one iteration, kept in the run folder."""
    made_by = {"run": run.digest, "iteration": iteration, "teacher": weights_digest(teacher)}
    maps = run.calibrations(teacher)
    if maps:
        made_by["calibration"] = [fitted.as_dict() for fitted in maps]
        run.details.setdefault("calibration", []).append(made_by["calibration"])
    arrays = kept_weights(run.folder.weights, iteration, made_by)
    if arrays is None:
        arrays = run.teacher_weights(teacher, maps)
        write_weights(run.folder.weights, iteration, arrays, made_by)
    return arrays


def _ssl_ns(run: Run) -> Any:
    options = run.project.training.noisy_student
    teacher_folder = train(
        with_runs(run.project, run.teachers),
        experiment=run.experiment,
        model=run.model,
        regime="sl",
        seed=run.seed,
        progress=run.progress,
        replace=run.replace,
        location=run.store.location,
    )
    teacher = load_model(RunFolder(teacher_folder).model)
    run.details["teacher"] = {"folder": str(teacher_folder), "weights": weights_digest(teacher)}
    noise_seeds = []
    for number in range(1, options.iterations + 1):
        arrays = _teacher_weights(run, teacher, number)
        noise_seeds.append(training_rows.derived_seed(run.seed, "noise", number))
        weights = Weights(
            arrays=arrays,
            noise_sd=options.noise_sd,
            clip=options.clip,
            redraw=options.redraw,
            on_negatives=options.noise_on_negatives,
            seed=noise_seeds[-1],
        )
        # Student k starts from weights of its own; the first starts like sl and ssl of the seed.
        student = run.new_model(number - 1)
        if options.student == "teacher":
            student.set_weights(teacher.get_weights())
        rate = run.project.training.learning_rate
        run.fit(
            f"pre-train {number}",
            student,
            run.homologous(),
            learning_rate=rate,
            weights=weights,
            steps_per_epoch=run.homologue_steps(),
        )
        _finetune(run, student, f"fine-tune {number}")
        teacher = student
    run.details["noise_seeds"] = noise_seeds
    return teacher


_REGIMES: dict[str, Callable[[Run], Any]] = {
    "sl": _sl,
    "two-stage": _two_stage,
    "ssl": _ssl,
    "ssl-ns": _ssl_ns,
    "homolog-sampling": _homolog_sampling,
    "pretrain-only": _pretrain_only,
    "ssl-plus": _ssl_plus,
}


def train(
    project: Project,
    *,
    experiment: str,
    model: str,
    regime: Regime,
    seed: int,
    progress: Progress | None = None,
    replace: bool = False,
    location: str | None = None,
    teachers: Path | None = None,
) -> Path:
    """Train one model in one regime; resume it when it was cut, do nothing when it is complete.

    Parameters
    ----------
    project
        The project; its store of `experiment` must be built.
    experiment, model, regime, seed
        The cell of the grid; the experiment ``joint`` is a run with an output for every
        experiment of a joint project.
    progress
        Told of every epoch.
    replace
        Remove a run of other settings or data that is in the folder, or in that of the teacher; a
        complete run as asked is kept.
    location
        Path or address of the store to train on (see :func:`ssldata.store.store.open_store`) in the
        place of the project's own; the same rows give the same model.
    teachers
        Runs folder in which the teacher of ssl-ns is looked for, or trained, in the place of the
        project's own.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    ConfigError
        Unknown experiment, model or regime; the folder holds something else, or a run of other
        settings or data and `replace` is false; training diverged.
    MissingInputError
        The store is not built.
    StoreError
        The store lacks rows this regime needs.
    """
    if regime not in _REGIMES:
        raise ConfigError(f"no regime {regime!r}; there are {', '.join(REGIMES)}")
    location = location or str(project.store_path(experiment))
    store = open_store(location)
    _check_windows(project, store)
    outputs = project.outputs_of(experiment)
    labels = training_rows.label_columns(store, outputs)
    if len(outputs) > 1:
        training_rows.check_outputs(store, outputs)
    cell: dict[str, Any] = {
        "experiment": experiment,
        "model": model,
        "regime": regime,
        "seed": seed,
    }
    identity = run_identity(project, store, **cell)
    digest = digest_of(identity)
    folder = RunFolder(run_folder(project, **cell))
    with run_lock(folder):
        if claim(folder, digest=digest, identity=identity, replace=replace):
            return folder.path
        devices.make_deterministic(jit_compile=project.training.jit_compile)
        record = {
            **cell,
            "status": "training",
            "digest": digest,
            "identity": identity,
            "project": project.name,
            "config_digest": digest_of(project.model_dump(mode="json")),
            "store": {
                "path": location,
                # From the run folder, so that a project can be moved or copied whole.
                "relative": None if is_url(location) else os.path.relpath(location, folder.path),
                "digest": store.digest,
            },
            # Label columns, a list in a run of several outputs.
            "label": labels if project.is_joint(experiment) else labels[0],
            "length": identity["length"],
        }
        write_record(folder, record)
        write_text_atomic(folder.config, dump_project(project))
        told = Description(
            project=project.name,
            name=f"{experiment} {model} {regime} seed {seed}",
            digest=digest,
            store_digest=store.digest,
            settings=identity,
            folder=folder,
            runs=project.training.runs,
        )
        with (
            devices.on_devices(project.training.devices) as count,
            tracked(project.training.trackers, told) as trackers,
        ):
            done = _train(
                effective(project, regime),
                store,
                folder,
                identity,
                progress,
                RunLogs(folder.logs, trackers),
                replace=replace,
                teachers=teachers,
            )
        done["machine"]["devices"] = count
        write_record(folder, {**record, **done})
        shutil.rmtree(folder.work, ignore_errors=True)
    return folder.path


def _check_windows(project: Project, store: Store) -> None:
    """Refuse a store of other bins than the project's: models and scores would mean others."""
    found, expected = store.attributes["windows"]["size"], project.windows.size
    if found != expected:
        raise StoreError(
            f"{store.location}: its bins are {found} b, those of {project.file or 'the project'} "
            f"{expected} b; set windows.size to {found}"
        )


def _train(
    project: Project,
    store: Store,
    folder: RunFolder,
    identity: dict[str, Any],
    progress: Progress | None,
    logs: RunLogs,
    *,
    replace: bool,
    teachers: Path | None,
) -> dict[str, Any]:
    """Train, write the files of the run, and return the rest of its record."""
    experiment, seed, length = identity["experiment"], identity["seed"], identity["length"]
    outputs = project.outputs_of(experiment)
    validation = training_rows.validation_rows(
        store,
        outputs,
        negatives_per_positive=project.training.validation_negatives,
        seed=seed,
        length=length,
    )
    run = Run(
        project=project,
        store=store,
        folder=folder,
        experiment=experiment,
        model=identity["model"],
        regime=identity["regime"],
        seed=seed,
        outputs=outputs,
        digest=digest_of(identity),
        length=length,
        validation=validation,
        progress=progress or NoProgress(),
        logs=logs,
        replace=replace,
        teachers=teachers,
    )
    model = _REGIMES[identity["regime"]](run)
    save_model(model, folder.model)
    return {
        "status": "complete",
        "parameters": int(model.count_params()),
        "weights_sha256": weights_digest(model),
        "validation": {
            "positives": int(validation.labels.any(axis=1).sum()),
            "rows": len(validation.labels),
        },
        "phases": run.phases,
        "steps": sum(phase["steps"] for phase in run.phases),
        "wall_s": round(sum(phase["wall_s"] for phase in run.phases), 3),
        "cpu_s": round(sum(phase["cpu_s"] for phase in run.phases), 3),
        "machine": machine(),
        **run.account(),
    }
