"""One run under way: builds models, draws rows and fits phases for the regimes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of
from ssldata.base.progress import Progress
from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime, Sampling
from ssldata.reading import sampling_rates
from ssldata.reading.known_labels import RowLabels
from ssldata.reading.mixture import Mixture
from ssldata.reading.reader import TrainingReader, Weights
from ssldata.reading.tokens import TokenEncoder
from ssldata.store.store import REFERENCE, Store
from sslmodels.dnabert2.bert_options import options_from
from sslmodels.dnabert2.pretrained import build_dnabert2, encoding_of
from sslmodels.fit.fit_options import Batches, FitOptions, Validation
from sslmodels.fit.training_loop import fit
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.models.augmented_model import Augmented, augmentations
from sslmodels.models.catalogue import DNABERT2, FSEI
from sslmodels.models.model_builder import build_model
from sslmodels.models.model_settings import FitSettings, fit_settings
from sslmodels.runs import training_rows
from sslmodels.runs.homologue_weights import Teacher
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.run_logs import RunLogs, write_history
from sslmodels.sei.pretrained_trunk import load_pretrained_trunk
from sslmodels.sei.sei_options import SeiOptions

_LOG = logging.getLogger(__name__)


@dataclass
class Run:
    """What a regime needs to build models and fit phases.

    Attributes
    ----------
    project
        With the options of the regime in place (:func:`sslmodels.runs.regime_table.effective`).
    store, folder
        The store whose rows are read, and the run folder.
    experiment, model, regime, seed
        The cell of the grid.
    outputs
        Experiments that the model predicts: the one of the cell, or all of a joint run.
    digest
        Digest of the run's identity.
    length
        Bases the model reads.
    validation
        Rows that every phase is validated on.
    progress
        Progress reporter.
    logs
        Where every epoch is logged.
    replace
        Whether runs that this one depends on may be replaced.
    teachers
        Runs folder of the teacher of ssl-ns; None: the project's.
    history, phases, details
        Epochs, phases and further details, for the record.
    """

    project: Project
    store: Store
    folder: RunFolder
    experiment: str
    model: str
    regime: Regime
    seed: int
    outputs: list[str]
    digest: str
    length: int
    validation: Validation
    progress: Progress
    logs: RunLogs
    replace: bool = False
    teachers: Path | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    # Not the models: each of several students may be half a gigabyte.
    _encoders: list[TokenEncoder] = field(default_factory=list, init=False)

    @cached_property
    def settings(self) -> FitSettings:
        """How the phases of its model are fitted."""
        return fit_settings(self.project.training, self.model)

    @cached_property
    def genomes(self) -> list[str]:
        """Target genomes whose homologues are used."""
        return training_rows.nearest_genomes(self.project, self.store)

    @cached_property
    def loci(self) -> NDArray[np.int64] | None:
        """Loci of the labelled peaks that are used; None: all."""
        count = self.project.training.labelled_peaks
        return training_rows.chosen_loci(self.store, self.outputs, count, seed=self.seed)

    def new_model(self, number: int = 0) -> Any:
        """Return the model with new weights; each student of a run has a `number` of its own."""
        seed = training_rows.derived_seed(self.seed, "model", number)
        training = self.project.training
        if self.model == DNABERT2:
            self._refuse_what_tokens_lack()
            options = options_from(training.dnabert2.model_dump())
            built = build_dnabert2(
                length=self.length, outputs=len(self.outputs), seed=seed, options=options
            )
            self.details["dnabert2"] = built.as_dict()
            self._encoders.append(built.encoder)
            return built.model
        model = build_model(
            self.model,
            length=self.length,
            outputs=len(self.outputs),
            seed=seed,
            both_strands=training.both_strands,
            **training.model_options.get(self.model, {}),
        )
        if self.model == FSEI:
            weights = SeiOptions(**training.sei.model_dump())
            self.details["sei"] = load_pretrained_trunk(model.body, weights)
        return model

    def _refuse_what_tokens_lack(self) -> None:
        training = self.project.training
        if training.both_strands:
            raise ConfigError(
                f"model {self.model!r} reads tokens of one strand; training.both_strands, and "
                "ssl-plus and sl-plus with reverse_complement, need a model that reads bases"
            )
        if training.model_options.get(self.model):
            raise ConfigError(
                f"training.model_options: {self.model!r} takes none; its options are "
                "training.dnabert2"
            )

    def account(self) -> dict[str, Any]:
        """Return the details for the record, with counts of the rows that were tokenised.

        Rows are counted each time this process reads them, in training and in validation.
        """
        if not self._encoders:
            return self.details
        counts = [encoder.counts for encoder in self._encoders]
        total = {key: sum(one[key] for one in counts) for key in counts[0]}
        if total["truncated"]:
            _LOG.warning(
                "%s: %d of %d rows read have more than %d tokens and were truncated; raise "
                "training.dnabert2.tokens",
                self.folder.path,
                total["truncated"],
                total["rows"],
                self._encoders[0].tokens,
            )
        described = {**self.details["dnabert2"], "rows_read": total}
        return {**self.details, "dnabert2": described}

    def labelled(self) -> Mixture:
        """Return the labelled rows: the same draw in every phase and regime of a seed."""
        return training_rows.labelled_rows(
            self.store,
            self.outputs,
            self.project.negatives,
            seed=self.seed,
            loci=self.loci,
            sampling=self.project.training.sampling,
        )

    def homologous(self, *, sampling: Sampling | None = None, **options: Any) -> Mixture:
        """Return the pseudo-labelled rows; see :func:`.training_rows.homologous_rows`.

        `sampling` defaults to that of the project.
        """
        sampling = sampling or self.project.training.sampling
        return training_rows.homologous_rows(
            self.store,
            self.outputs,
            self.project.negatives,
            seed=self.seed,
            genomes=self.genomes,
            loci=self.loci,
            sampling=sampling,
            distances=sampling_rates.distances_used(self.project, self.genomes, sampling),
            **options,
        )

    def homologue_steps(self, **options: Any) -> int:
        """Return the steps of a pass over all homologues, after which validation is scored.

        With one row per locus a pass is shorter; validation is scored as often as without.
        """
        every = self.project.training.sampling.model_copy(update={"one_per_locus": False})
        mixture = self.homologous(sampling=every, **options)
        return mixture.steps(self.settings.batch_size)

    def fit(
        self,
        name: str,
        model: Any,
        mixture: Mixture,
        *,
        learning_rate: float,
        weights: Weights | None = None,
        steps_per_epoch: int | None = None,
        originals: bool = False,
    ) -> None:
        """Do one phase, or take it from its checkpoint.

        Parameters
        ----------
        name
            Name of the phase, for checkpoint, history and record.
        model
            The model, which is fitted in place.
        mixture
            The rows it is fitted to.
        learning_rate
            Learning rate of Adam.
        weights
            Weights of the rows; None: all 1.
        steps_per_epoch
            Steps after which validation is scored; default: a pass over the mixture.
        originals
            Without augmentation, unless ``training.augment.finetuning`` is set.
        """
        training, settings = self.project.training, self.settings
        steps_per_epoch = steps_per_epoch or mixture.steps(settings.batch_size)
        before = list(self.history)
        trained = self._augmented(name, model, originals=originals)
        with self.logs.phase(len(self.phases), name) as log:

            def logged(epochs: Sequence[Mapping[str, float]]) -> None:
                log(epochs)
                here = [{"phase": name, **record} for record in epochs]
                write_history(self.folder.history, [*before, *here])

            result = fit(
                trained,
                self._batches(trained, mixture, weights, steps_per_epoch),
                self.validation,
                options=FitOptions(
                    learning_rate=learning_rate,
                    epochs=settings.epochs,
                    patience=settings.patience,
                    plateau_patience=settings.plateau_patience,
                    monitor=settings.monitor,
                    precision=training.precision,
                    jit_compile=training.jit_compile,
                ),
                checkpoint=self.folder.work / f"{len(self.phases):02d}-{name}.npz",
                identity=digest_of([self.digest, name]),
                description=f"{self.experiment} {self.model} seed {self.seed}: {name}",
                progress=self.progress,
                log=logged,
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

    def _augmented(self, name: str, model: Any, *, originals: bool) -> keras.Model:
        options = self.project.training.augment
        layers = augmentations(
            options,
            seed=training_rows.derived_seed(self.seed, "augment", name),
            originals=originals and not options.finetuning,
        )
        if layers and not isinstance(model, SequenceModel):
            raise ConfigError(
                f"model {self.model!r} reads tokens; training.augment needs a model that reads "
                "bases"
            )
        return Augmented(model, layers) if layers else model

    def _context(self, trained: keras.Model) -> int:
        """Return the bases of a row that training reads, including the flanks of a shift."""
        if not isinstance(trained, Augmented):
            return self.length
        stored = self.store.group(REFERENCE).length
        if trained.length > stored:
            raise ConfigError(
                f"training.augment.shift: {self.model} reads {self.length} b and training "
                f"{trained.length} b with the flanks; the store holds {stored} b per row: lower "
                "it, or rebuild with a longer windows.context"
            )
        return trained.length

    def _batches(
        self, trained: keras.Model, mixture: Mixture, weights: Weights | None, steps_per_epoch: int
    ) -> Batches:
        batch_size = self.settings.batch_size
        steps = mixture.steps(batch_size)

        @cache  # not needed for a phase taken from its checkpoint
        def reader() -> TrainingReader:
            return TrainingReader(
                self.store,
                mixture,
                batch_size=batch_size,
                label=training_rows.label_columns(self.store, self.outputs),
                context=self._context(trained),
                weights=weights,
                weigh_outputs=len(self.outputs) > 1,
                encoding=encoding_of(trained),
            )

        return Batches(
            open=lambda step: reader().restore(reader().state(step)),
            steps_per_epoch=steps_per_epoch,
            state=lambda step: reader().state(step),
            rows_per_epoch=mixture.rows * steps_per_epoch / steps,
        )

    def teacher(self, model: Any) -> Teacher:
        """Return a trained model as the teacher that weights the homologues of this run."""
        labels = RowLabels(self.store, training_rows.label_columns(self.store, self.outputs))
        return Teacher(model, self.store, labels, self.labelled(), self.project.negatives.ratio)
