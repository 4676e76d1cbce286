"""The regimes of training, built from one fit: sl, ssl, ssl-ns and the two-stage control.

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

Phan, Brouard, Mourad, Briefings in Bioinformatics 2024, doi:10.1093/bib/bbae560.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.cache import digest_of, write_text_atomic
from ssldata.config import REGIMES, Project, Regime, dump_project
from ssldata.errors import ConfigError
from ssldata.progress import NoProgress, Progress
from ssldata.reader import Weights, rows_dataset, training_dataset
from ssldata.sampling import Mixture
from ssldata.store import HOMOLOGUES, REFERENCE, Store, open_store
from ssldata.weights import write_weights
from sslmodels import phases
from sslmodels.layers import SequenceModel
from sslmodels.record import (
    RUN_FORMAT,
    RunFolder,
    claim,
    machine,
    run_lock,
    write_record,
)
from sslmodels.training import (
    SCORE_BATCH,
    Batches,
    FitOptions,
    Validation,
    fit,
    make_deterministic,
    save_model,
    score,
    weights_digest,
)
from sslmodels.zoo import build_model, input_length, load_model

_HISTORY = ("phase", "epoch", "loss", "val_loss", "val_aupr", "learning_rate")


def run_folder(project: Project, *, experiment: str, model: str, regime: Regime, seed: int) -> Path:
    """Return the folder of one run: ``<runs>/<experiment>/<model>/<regime>/seed-<seed>``."""
    return project.training.runs / experiment / model / regime / f"seed-{seed}"


def _uses_homologues(project: Project, regime: Regime) -> bool:
    return regime in {"ssl", "ssl-ns"} or (
        regime == "two-stage" and project.training.two_stage_steps == "ssl"
    )


def run_identity(
    project: Project, store: Store, *, experiment: str, model: str, regime: Regime, seed: int
) -> dict[str, Any]:
    """Return everything the result of a run depends on; equal identities give equal models.

    Only settings and rows the regime uses are part of it: a new genome does not make an sl run
    stale.
    """
    training = project.training
    homologues = _uses_homologues(project, regime)
    groups = [REFERENCE, *(phases.homologue_groups(store) if homologues else [])]
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
    if regime != "sl":
        options["finetune_learning_rate"] = training.finetune_learning_rate
    if regime == "two-stage":
        options["two_stage_steps"] = training.two_stage_steps
    if regime == "ssl-ns":
        options["noisy_student"] = training.noisy_student.model_dump(mode="json")
    negatives = {key: getattr(project.negatives, key) for key in ("ratio", "redraw", "seed")}
    if homologues:
        negatives["source"] = project.negatives.source
    return {
        "format": RUN_FORMAT,
        "experiment": experiment,
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


@dataclass
class _Run:
    """One run under way: what its regime needs to build models and fit phases."""

    project: Project
    store: Store
    folder: RunFolder
    experiment: str
    model: str
    seed: int
    digest: str
    length: int
    validation: Validation
    progress: Progress
    history: list[dict[str, Any]] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def new_model(self, number: int = 0) -> SequenceModel:
        """Return the model with new weights; `number` tells the students of a run apart."""
        seed = phases.derived_seed(self.seed, "model", number)
        return build_model(self.model, length=self.length, seed=seed)

    def labelled(self) -> Mixture:
        """Return the labelled rows: the same draw in every phase and regime of a seed."""
        return phases.labelled_rows(
            self.store, self.experiment, self.project.negatives, seed=self.seed
        )

    def homologous(self) -> Mixture:
        """Return the pseudo-labelled rows."""
        return phases.homologous_rows(
            self.store, self.experiment, self.project.negatives, seed=self.seed
        )

    def fit(
        self,
        name: str,
        model: SequenceModel,
        mixture: Mixture,
        *,
        learning_rate: float,
        weights: Weights | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        """Do one phase, or take it from its checkpoint.

        `steps_per_epoch` is how often validation is looked at; by default after each pass over
        the mixture.
        """
        training = self.project.training
        steps_per_epoch = steps_per_epoch or mixture.steps(training.batch_size)
        result = fit(
            model,
            self._batches(mixture, weights, steps_per_epoch),
            self.validation,
            options=FitOptions(
                learning_rate=learning_rate,
                epochs=training.epochs,
                patience=training.patience,
                plateau_patience=training.plateau_patience,
                monitor=training.monitor,
            ),
            checkpoint=self.folder.work / f"{len(self.phases):02d}-{name}.npz",
            identity=digest_of([self.digest, name]),
            description=f"{self.experiment} {self.model} seed {self.seed}: {name}",
            progress=self.progress,
        )
        best = result.history[result.best_epoch - 1]
        self.history += [{"phase": name, **record} for record in result.history]
        self.phases.append(
            {
                "name": name,
                "learning_rate": learning_rate,
                "positives": mixture.positive_rows,
                "negatives": mixture.negative_rows,
                "steps_per_epoch": steps_per_epoch,
                "epochs": result.epochs,
                "steps": result.steps,
                "best_epoch": result.best_epoch,
                "val_loss": best["val_loss"],
                "val_aupr": best["val_aupr"],
                "wall_s": round(result.wall_s, 3),
                "cpu_s": round(result.cpu_s, 3),
            }
        )

    def _batches(self, mixture: Mixture, weights: Weights | None, steps_per_epoch: int) -> Batches:
        batch_size = self.project.training.batch_size
        steps = mixture.steps(batch_size)

        def open_at(step: int) -> Any:
            pass_number, within = divmod(step, steps)
            return training_dataset(
                self.store,
                mixture,
                batch_size=batch_size,
                label=phases.label_column(self.store, self.experiment),
                context=self.length,
                weights=weights,
                start_epoch=pass_number,
                start_step=within,
            )[0]

        return Batches(open=open_at, steps_per_epoch=steps_per_epoch)

    def teacher_weights(self, teacher: SequenceModel) -> dict[str, NDArray[np.float32]]:
        """Return the teacher's probability of every pseudo-positive; other rows weigh 1."""
        arrays = {}
        for genome in self.store.genomes:
            group = self.store.homologues(genome)
            start, stop = group.ranges["positive"]
            values = np.ones(group.rows, np.float32)
            batches = rows_dataset(
                self.store, group.name, start, stop, batch_size=SCORE_BATCH, context=self.length
            )
            parts = [score(teacher, codes.numpy())[:, 0] for codes in batches]
            if parts:
                values[start:stop] = np.concatenate(parts)
            arrays[f"{HOMOLOGUES}/{genome}"] = values
        return arrays


def _sl(run: _Run) -> SequenceModel:
    model = run.new_model()
    run.fit("train", model, run.labelled(), learning_rate=run.project.training.learning_rate)
    return model


def _finetune(run: _Run, model: SequenceModel, name: str = "fine-tune") -> None:
    rate = run.project.training.finetune_learning_rate
    run.fit(name, model, run.labelled(), learning_rate=rate)


def _two_stage(run: _Run) -> SequenceModel:
    training = run.project.training
    steps = None
    if training.two_stage_steps == "ssl":
        # As many gradient steps per epoch as pre-training has, on the rows sl sees: passes over
        # them follow each other within an epoch.
        steps = run.homologous().steps(training.batch_size)
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


def _ssl(run: _Run) -> SequenceModel:
    model = run.new_model()
    rate = run.project.training.learning_rate
    run.fit("pre-train", model, run.homologous(), learning_rate=rate)
    _finetune(run, model)
    return model


def _ssl_ns(run: _Run) -> SequenceModel:
    options = run.project.training.noisy_student
    teacher_folder = train(
        run.project,
        experiment=run.experiment,
        model=run.model,
        regime="sl",
        seed=run.seed,
        progress=run.progress,
    )
    teacher = load_model(RunFolder(teacher_folder).model)
    run.details["teacher"] = {"folder": str(teacher_folder), "weights": weights_digest(teacher)}
    noise_seeds = []
    for number in range(1, options.iterations + 1):
        arrays = run.teacher_weights(teacher)
        write_weights(
            run.folder.weights,
            arrays,
            {"run": run.digest, "iteration": number, "teacher": weights_digest(teacher)},
        )
        noise_seeds.append(phases.derived_seed(run.seed, "noise", number))
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
            f"pre-train {number}", student, run.homologous(), learning_rate=rate, weights=weights
        )
        _finetune(run, student, f"fine-tune {number}")
        teacher = student
    run.details["noise_seeds"] = noise_seeds
    return teacher


_REGIMES: dict[str, Callable[[_Run], SequenceModel]] = {
    "sl": _sl,
    "two-stage": _two_stage,
    "ssl": _ssl,
    "ssl-ns": _ssl_ns,
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
) -> Path:
    """Train one model in one regime; resume it when it was cut, do nothing when it is complete.

    Parameters
    ----------
    project
        The project; its store of `experiment` must be built.
    experiment, model, regime, seed
        The cell of the grid.
    progress
        Told of every epoch.
    replace
        Remove a run of other settings or data that is in the folder.

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
    store = open_store(project.store_path(experiment))
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
        make_deterministic()
        record = {
            **cell,
            "status": "training",
            "digest": digest,
            "identity": identity,
            "project": project.name,
            "config_digest": digest_of(project.model_dump(mode="json")),
            "store": {"path": str(project.store_path(experiment)), "digest": store.digest},
            "label": phases.label_column(store, experiment),
            "length": identity["length"],
        }
        write_record(folder, record)
        write_text_atomic(folder.config, dump_project(project))
        write_record(folder, {**record, **_train(project, store, folder, identity, progress)})
        shutil.rmtree(folder.work, ignore_errors=True)
    return folder.path


def _train(
    project: Project,
    store: Store,
    folder: RunFolder,
    identity: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Train, write the files of the run, and return the rest of its record."""
    experiment, seed, length = identity["experiment"], identity["seed"], identity["length"]
    validation = phases.validation_rows(
        store,
        experiment,
        negatives_per_positive=project.training.validation_negatives,
        seed=seed,
        length=length,
    )
    run = _Run(
        project=project,
        store=store,
        folder=folder,
        experiment=experiment,
        model=identity["model"],
        seed=seed,
        digest=digest_of(identity),
        length=length,
        validation=validation,
        progress=progress or NoProgress(),
    )
    model = _REGIMES[identity["regime"]](run)
    save_model(model, folder.model)
    write_text_atomic(folder.history, _csv(run.history))
    return {
        "status": "complete",
        "parameters": int(model.count_params()),
        "weights_sha256": weights_digest(model),
        "validation": {
            "positives": int(validation.labels.sum()),
            "rows": len(validation.labels),
        },
        "phases": run.phases,
        "steps": sum(phase["steps"] for phase in run.phases),
        "wall_s": round(sum(phase["wall_s"] for phase in run.phases), 3),
        "cpu_s": round(sum(phase["cpu_s"] for phase in run.phases), 3),
        "machine": machine(),
        **run.details,
    }


def _csv(history: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
