"""The regimes of training, built from one fit.

sl
    Labelled rows: all positives and as many negatives.
ssl
    Pre-train on the homologues of the labelled peaks, then fine-tune exactly as sl.
ssl-ns
    Noisy student: as ssl, each pseudo-positive weighted by the probability that a teacher gives
    it, with Gaussian noise; the student is the teacher of the next iteration. The first teacher
    is the sl run of the same seed.
two-stage
    Control: as ssl, but both stages on labelled rows.
pretrain-only
    Control: ssl without fine-tuning.
ssl-shuffled
    Control: ssl whose labels are shuffled in pre-training, among homologues and negatives.
homolog-sampling
    One sequence per labelled locus and epoch, replaced at a rate by one of itself and its
    homologues; then fine-tune on the originals.
ssl-plus
    For few peaks: as ssl, with other negatives every epoch and more of them, labelled rows among
    the homologues, and both strands in training and scoring.
sl-plus
    Control: ssl-plus without homologues. Labelled rows alone, with every other part of it, and as
    many steps per epoch of the first phase. What ssl-plus has over it is what homologues bring.
ssl-committee
    The network of the ssl-plus run of the same seed, a motif and gapped k-mers, averaged over
    homologues, and trees of the conservation around a bin; combined by weights from the validation
    rows (:mod:`sslmodels.runs.committee_fit`).
sl-committee
    Control: ssl-committee without homologues, with the network of sl-plus.

What each of them uses, and its description in reports, is in :mod:`sslmodels.runs.regime_table`.

sl, ssl, ssl-ns: Phan, Brouard, Mourad, Briefings in Bioinformatics 2024, doi:10.1093/bib/bbae560.
homolog-sampling: Duncan, Mitchell, Moses 2024 (phylogenetic augmentation).
"""

from __future__ import annotations

import dataclasses
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
from ssldata.reading.mixture import Mixture
from ssldata.reading.reader import Weights
from ssldata.reading.sampling_rates import weighting_distances
from ssldata.store.remote_stores import is_url
from ssldata.store.run_weights import Arrays, kept_weights, write_weights
from ssldata.store.store import Store, open_store
from sslmodels.committee.committee_file import save_committee
from sslmodels.fit import devices
from sslmodels.fit.training_loop import save_model, weights_digest
from sslmodels.models.model_builder import load_model
from sslmodels.runs import training_rows
from sslmodels.runs.committee_fit import check_one_output, fit_committee
from sslmodels.runs.homologue_weights import homologue_weights
from sslmodels.runs.kept_students import keep_file, student_entry, student_file, take_students
from sslmodels.runs.regime_table import REGIME_TABLE, effective
from sslmodels.runs.run import Run
from sslmodels.runs.run_folder import RunFolder, complete_record, machine, run_lock, write_record
from sslmodels.runs.run_identity import run_folder, run_identity, scoring_genomes, with_runs
from sslmodels.runs.run_logs import RunLogs
from sslmodels.runs.run_status import claim
from sslmodels.runs.trackers import Description, tracked


def _sl(run: Run) -> Any:
    model = run.new_model()
    run.fit("train", model, run.labelled(), learning_rate=run.settings.learning_rate)
    return model


def _finetune(run: Run, model: Any, name: str = "fine-tune") -> None:
    rate = run.settings.finetune_learning_rate
    run.fit(name, model, run.labelled(), learning_rate=rate, originals=True)


def _two_stage(run: Run) -> Any:
    training = run.project.training
    steps = None
    if training.two_stage_steps == "ssl":
        # As many gradient steps per epoch as in pre-training, on the rows of sl: an epoch is
        # several passes over them.
        steps = run.homologue_steps()
    model = run.new_model()
    run.fit(
        "first stage",
        model,
        run.labelled(),
        learning_rate=run.settings.learning_rate,
        steps_per_epoch=steps,
    )
    _finetune(run, model)
    return model


def _on_homologues(run: Run, name: str, mixture: Mixture, steps: int | None) -> Any:
    """Return a new model, fitted to homologues with the weights that the project asks for."""
    training = run.project.training
    arrays = homologue_weights(
        run.store,
        mixture.positives,
        training.weighting,
        distances=weighting_distances(run.project, run.genomes),
        published=training.weights,
    )
    model = run.new_model()
    run.fit(
        name,
        model,
        mixture,
        learning_rate=run.settings.learning_rate,
        weights=None if arrays is None else Weights(arrays=arrays),
        steps_per_epoch=steps,
    )
    return model


def _pretrain_only(run: Run) -> Any:
    return _on_homologues(run, "pre-train", run.homologous(), run.homologue_steps())


def _ssl(run: Run) -> Any:
    model = _pretrain_only(run)
    _finetune(run, model)
    return model


def _ssl_shuffled(run: Run) -> Any:
    seed = training_rows.derived_seed(run.seed, "shuffled labels")
    mixture = dataclasses.replace(run.homologous(), label_seed=seed)
    model = _on_homologues(run, "pre-train", mixture, run.homologue_steps())
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


def _sl_plus(run: Run) -> Any:
    training = run.project.training
    model = run.new_model()
    run.fit(
        "first stage",
        model,
        run.labelled(),
        learning_rate=run.settings.learning_rate,
        steps_per_epoch=run.homologue_steps(labelled=training.ssl_plus.labelled),
    )
    if training.ssl_plus.finetune:
        _finetune(run, model)
    return model


def _teacher_weights(run: Run, model: Any, iteration: int) -> Arrays:
    """Return the weights of one iteration, kept in the run folder."""
    teacher = run.teacher(model)
    provenance = {"run": run.digest, "iteration": iteration, "teacher": weights_digest(model)}
    calibrations = teacher.calibrations(
        run.validation, run.project.training.noisy_student.calibration
    )
    if calibrations:
        provenance["calibration"] = [fitted.as_dict() for fitted in calibrations]
        run.details.setdefault("calibration", []).append(provenance["calibration"])
    arrays = kept_weights(run.folder.weights, iteration, provenance)
    if arrays is None:
        arrays = teacher.weights(run.genomes, calibrations)
        write_weights(run.folder.weights, iteration, arrays, provenance)
    return arrays


def _run_of(run: Run, regime: Regime) -> Path:
    """Return the folder of a run of the same cell in another regime; train it if it must be."""
    return train(
        with_runs(run.project, run.teachers),
        experiment=run.experiment,
        model=run.model,
        regime=regime,
        seed=run.seed,
        progress=run.progress,
        replace=run.replace,
        location=run.store.location,
    )


def _first_teacher(run: Run) -> Any:
    """Return the model of the run that is the first teacher; train it if it is not complete."""
    regime = REGIME_TABLE[run.regime].teacher
    assert regime is not None
    folder = _run_of(run, regime)
    model = RunFolder(folder).model
    teacher = load_model(model)
    digest = weights_digest(teacher)
    run.details["teacher"] = {"folder": str(folder), "weights": digest}
    keep_file(run.folder, 0, model)
    run.details["students"] = [student_entry(0, digest, last=False)]
    return teacher


def _ssl_ns(run: Run) -> Any:
    options = run.project.training.noisy_student
    teacher = _first_teacher(run)
    run.details["noise_seeds"] = [
        training_rows.derived_seed(run.seed, "noise", number)
        for number in range(1, options.iterations + 1)
    ]
    taken, file = take_students(run)
    if file is not None:
        teacher = load_model(file)
    for number in range(taken + 1, options.iterations + 1):
        arrays = _teacher_weights(run, teacher, number)
        weights = Weights(
            arrays=arrays,
            noise_sd=options.noise_sd,
            clip=options.clip,
            redraw=options.redraw,
            on_negatives=options.noise_on_negatives,
            seed=run.details["noise_seeds"][number - 1],
        )
        # Each student has initial weights of its own; the first has those of sl and ssl. Nothing
        # here depends on the number of iterations: runs of other numbers have the same students.
        student = run.new_model(number - 1)
        if options.student == "teacher":
            student.set_weights(teacher.get_weights())
        run.fit(
            f"pre-train {number}",
            student,
            run.homologous(),
            learning_rate=run.settings.learning_rate,
            weights=weights,
            steps_per_epoch=run.homologue_steps(),
        )
        _finetune(run, student, f"fine-tune {number}")
        last = number == options.iterations
        if not last:
            save_model(student, student_file(run.folder, number))
        run.details["students"].append(student_entry(number, weights_digest(student), last=last))
        teacher = student
    return teacher


def _committee(run: Run) -> Any:
    """Fit the committee around the network of another run, which is trained unless it is."""
    check_one_output(run)
    regime = REGIME_TABLE[run.regime].network
    assert regime is not None
    folder = RunFolder(_run_of(run, regime))
    record, network = complete_record(folder.path), load_model(folder.model)
    run.details["network"] = {"folder": str(folder.path), "weights": weights_digest(network)}
    # What the network cost is what the committee costs: the rest takes seconds.
    run.phases += record["phases"]
    if folder.history.is_file():
        write_text_atomic(run.folder.history, folder.history.read_text(encoding="utf-8"))
    genomes = scoring_genomes(run.project, run.store) if REGIME_TABLE[run.regime].homologues else []
    save_committee(run.folder.committee, fit_committee(run, network, genomes))
    return network


#: A function for every entry of :data:`.REGIME_TABLE`; it returns the trained model.
REGIME_FUNCTIONS: dict[Regime, Callable[[Run], Any]] = {
    "sl": _sl,
    "two-stage": _two_stage,
    "ssl": _ssl,
    "ssl-ns": _ssl_ns,
    "homolog-sampling": _homolog_sampling,
    "pretrain-only": _pretrain_only,
    "ssl-shuffled": _ssl_shuffled,
    "ssl-plus": _ssl_plus,
    "sl-plus": _sl_plus,
    "ssl-committee": _committee,
    "sl-committee": _committee,
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
    """Train one model in one regime, unless its run folder is complete already.

    A run that was interrupted continues from its last checkpoint, to the same weights as without
    the interruption.

    Parameters
    ----------
    project
        The project; its store of `experiment` must be built.
    experiment
        Name of an experiment, or ``joint`` for a run with an output for every experiment of a
        joint project.
    model
        Name of a model (``crosslabel model list``), or ``my_package.module:function``.
    regime
        Name of a regime (``training.regimes`` of the project file).
    seed
        Seed of the initial weights, draws and order of rows (0 ≤ seed < 2³¹).
    progress
        Progress reporter, advanced by one for every epoch; None: no progress is shown.
    replace
        Remove a run of other settings from the run folder, or from that of the teacher. A complete
        run of these settings and rows is kept. A run of these settings whose rows have changed in
        the store needs no `replace`: it is trained again and kept in ``earlier/``.
    location
        Path or address of the store to train on (see :func:`ssldata.store.store.open_store`);
        default: the project's own. The same rows give the same model.
    teachers
        Runs folder in which the teacher of ssl-ns is looked for, or trained; default: the
        project's own.

    Returns
    -------
    Path
        The run folder: ``model.keras``, ``run.json``, ``config.yaml``, ``history.csv``, ``logs/``
        and, for ssl-ns, ``weights.zarr``.

    Raises
    ------
    ConfigError
        There is no such experiment, model or regime; the folder holds something else, a run of
        other settings or a damaged one, and `replace` is false; training diverged.
    MissingInputError
        The store is not built.
    StoreError
        The store lacks rows that this regime needs.
    FetchError, UnreachableError
        The files of DNABERT-2 cannot be downloaded.
    """
    if regime not in REGIME_FUNCTIONS:
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
        if claim(folder, identity=identity, replace=replace):
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
                # Relative to the run folder, so that a whole project can be moved or copied.
                "relative": None if is_url(location) else os.path.relpath(location, folder.path),
                "digest": store.digest,
            },
            # A label column, or a list of them in a run of several outputs.
            "label": labels if project.is_joint(experiment) else labels[0],
            "length": identity["length"],
        }
        write_record(folder, record)
        write_text_atomic(folder.config, dump_project(project))
        description = Description(
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
            tracked(project.training.trackers, description) as trackers,
        ):
            validation = training_rows.validation_rows(
                store,
                outputs,
                negatives_per_positive=identity["training"]["validation_negatives"],
                seed=seed,
                length=identity["length"],
            )
            run = Run(
                project=effective(project, regime),
                store=store,
                folder=folder,
                experiment=experiment,
                model=model,
                regime=regime,
                seed=seed,
                outputs=outputs,
                digest=digest,
                length=identity["length"],
                validation=validation,
                progress=progress or NoProgress(),
                logs=RunLogs(folder.logs, trackers),
                replace=replace,
                teachers=teachers,
            )
            trained = REGIME_FUNCTIONS[regime](run)
            save_model(trained, folder.model)
        write_record(folder, {**record, **_results(run, trained, device_count=count)})
        shutil.rmtree(folder.work, ignore_errors=True)
    return folder.path


def _check_windows(project: Project, store: Store) -> None:
    """Raise :class:`StoreError` unless the bins of the store have the project's size."""
    found, expected = store.attributes["windows"]["size"], project.windows.size
    if found != expected:
        raise StoreError(
            f"{store.location}: its bins are {found} b, those of {project.file or 'the project'} "
            f"{expected} b; set windows.size to {found}"
        )


def _results(run: Run, trained: Any, *, device_count: int) -> dict[str, Any]:
    """Return what is recorded of a run that is complete."""
    return {
        "status": "complete",
        "parameters": int(trained.count_params()),
        "weights_sha256": weights_digest(trained),
        "files": run.folder.checksums(),
        "validation": {
            "positives": int(run.validation.labels.any(axis=1).sum()),
            "rows": len(run.validation.labels),
        },
        "phases": run.phases,
        "steps": sum(phase["steps"] for phase in run.phases),
        "wall_s": round(sum(phase["wall_s"] for phase in run.phases), 3),
        "cpu_s": round(sum(phase["cpu_s"] for phase in run.phases), 3),
        "machine": {**machine(), "devices": device_count},
        **run.account(),
    }
