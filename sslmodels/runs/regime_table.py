"""The regimes of training: what each of them uses, and how reports show it. No TensorFlow.

A new regime is an entry here, a function in :mod:`sslmodels.runs.regimes`, and its name in
:data:`ssldata.project.training_section.Regime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime, Training

#: The regime that others are compared with, and the one whose model is the first teacher.
BASELINE: Regime = "sl"


def _unchanged(project: Project) -> Project:
    return project


def _ssl_plus_options(project: Project) -> Project:
    """Put the options of ``training.ssl_plus`` in place of the general ones."""
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


def _sl_plus_options(project: Project) -> Project:
    """Put the options of ``training.ssl_plus`` in place, but for those of its homologues."""
    training = project.training
    plus = training.ssl_plus.model_copy(update={"one_per_locus": False})
    changes = {"ssl_plus": plus}
    return _ssl_plus_options(
        project.model_copy(update={"training": training.model_copy(update=changes)})
    )


def _two_stage_rows(training: Training, labelled: float, homologous: float) -> float:
    first = homologous if training.two_stage_steps == "ssl" else 0.0
    return labelled + (first or labelled)


def _ssl_plus_rows(training: Training, labelled: float, homologous: float) -> float:
    plus = training.ssl_plus
    return homologous + labelled * (int(plus.labelled) + int(plus.finetune))


@dataclass(frozen=True, kw_only=True)
class RegimeEntry:
    """One regime.

    Attributes
    ----------
    text
        What it is, for the reader of a report.
    colour, dash
        Of its curves; regimes can be distinguished without colour, on white and on black.
    settings
        Keys and sections of ``training`` that only some regimes use, this one among them.
    homologues
        Whether it trains on homologues.
    homologue_steps
        Whether it trains for as many steps as another regime does on homologues, whatever the
        settings.
    genome_rates
        Whether its phase on homologues takes the rates of genomes and loci from
        ``training.sampling``.
    weighting
        Whether ``training.weighting`` and ``training.weights`` weight its homologues.
    teacher
        Regime of its first teacher, whose probabilities weight the homologues; None: no teacher.
    network
        Regime whose network is one member of the committee that this one makes; None: no committee.
    control
        Regime with everything but the homologues: what this one has over it is what they bring.
    sweeps
        Keys of ``training.sweeps`` whose series are of this regime.
    effective
        Returns the project with the options of the regime in place of the general ones.
    rows_per_epoch
        Estimate from the labelled and homologous rows, both classes, of one epoch of all phases.
    """

    text: str
    colour: str
    dash: str
    settings: tuple[str, ...] = ("finetune_learning_rate",)
    homologues: bool = True
    homologue_steps: bool = False
    genome_rates: bool = True
    weighting: bool = True
    teacher: Regime | None = None
    network: Regime | None = None
    control: Regime | None = None
    sweeps: tuple[str, ...] = ()
    effective: Callable[[Project], Project] = _unchanged
    rows_per_epoch: Callable[[Training, float, float], float]

    @property
    def first(self) -> Regime | None:
        """The regime whose run of the same cell comes first: teacher or network; None: none."""
        return self.teacher or self.network

    def counts_homologues(self, training: Training) -> bool:
        """Return whether the result depends on the homologous rows, if only on their number."""
        steps_of_ssl = "two_stage_steps" in self.settings and training.two_stage_steps == "ssl"
        return self.homologues or self.homologue_steps or steps_of_ssl


#: Every regime, in the order of reports.
REGIME_TABLE: dict[Regime, RegimeEntry] = {
    "sl": RegimeEntry(
        text="supervised: labelled rows of the reference only",
        colour="#d98a00",
        dash="--",
        settings=(),
        homologues=False,
        genome_rates=False,
        weighting=False,
        rows_per_epoch=lambda training, labelled, homologous: labelled,
    ),
    "two-stage": RegimeEntry(
        text="control: both phases of ssl, on the labelled rows alone",
        colour="#7d8590",
        dash="-.",
        settings=("finetune_learning_rate", "two_stage_steps"),
        homologues=False,
        genome_rates=False,
        weighting=False,
        rows_per_epoch=_two_stage_rows,
    ),
    "ssl": RegimeEntry(
        text="pre-trained on the homologous rows, then fine-tuned on the labelled ones",
        colour="#1f83c9",
        dash="-",
        control="two-stage",
        sweeps=("nearest",),
        rows_per_epoch=lambda training, labelled, homologous: homologous + labelled,
    ),
    "ssl-ns": RegimeEntry(
        text="noisy student: ssl whose homologous rows are weighted by a teacher, repeated; five "
        "times the cost of ssl, and on yeast better for many peaks, no better or worse for few",
        colour="#c2478f",
        dash="-",
        settings=("finetune_learning_rate", "noisy_student"),
        weighting=False,
        teacher=BASELINE,
        control="two-stage",
        sweeps=("iterations", "noise_sd"),
        rows_per_epoch=lambda training, labelled, homologous: (
            training.noisy_student.iterations * (homologous + labelled)
        ),
    ),
    "sl-plus": RegimeEntry(
        text="ssl-plus without homologues: labelled rows alone, with every other part of it and as "
        "many steps",
        colour="#c0504d",
        dash="--",
        settings=("finetune_learning_rate", "ssl_plus"),
        homologues=False,
        homologue_steps=True,
        genome_rates=False,
        weighting=False,
        effective=_sl_plus_options,
        rows_per_epoch=_ssl_plus_rows,
    ),
    "ssl-plus": RegimeEntry(
        text="for few peaks: ssl with other negatives every epoch, both strands, labelled rows "
        "among the homologues",
        colour="#2f9e57",
        dash="-",
        settings=("finetune_learning_rate", "ssl_plus"),
        control="sl-plus",
        effective=_ssl_plus_options,
        rows_per_epoch=_ssl_plus_rows,
    ),
    "ssl-committee": RegimeEntry(
        text="the network of ssl-plus, a motif and gapped k-mers, averaged over homologues, and "
        "the conservation around the bin",
        colour="#1a936f",
        dash="-",
        settings=("finetune_learning_rate", "ssl_plus"),
        network="ssl-plus",
        control="sl-committee",
        rows_per_epoch=lambda training, labelled, homologous: 0.0,
    ),
    "sl-committee": RegimeEntry(
        text="ssl-committee without homologues: the network of sl-plus, a motif and gapped k-mers",
        colour="#b5838d",
        dash="--",
        settings=("finetune_learning_rate", "ssl_plus"),
        homologues=False,
        homologue_steps=True,
        genome_rates=False,
        weighting=False,
        network="sl-plus",
        rows_per_epoch=lambda training, labelled, homologous: 0.0,
    ),
    "homolog-sampling": RegimeEntry(
        text="sequences replaced by homologues at random, then fine-tuned on originals",
        colour="#8f6bc9",
        dash="--",
        settings=("finetune_learning_rate", "homolog_sampling"),
        genome_rates=False,
        rows_per_epoch=lambda training, labelled, homologous: 2 * labelled,
    ),
    "pretrain-only": RegimeEntry(
        text="control: ssl without fine-tuning",
        colour="#b0894f",
        dash=":",
        settings=(),
        rows_per_epoch=lambda training, labelled, homologous: homologous,
    ),
    "ssl-shuffled": RegimeEntry(
        text="control: ssl whose labels are shuffled in pre-training; what it has over two-stage "
        "is not due to labels",
        colour="#6b6f3a",
        dash=":",
        rows_per_epoch=lambda training, labelled, homologous: homologous + labelled,
    ),
}

#: Regimes that reports lead with, the first that was trained: its gains over its control, and over
#: the best baseline.
LEADING: tuple[Regime, ...] = ("ssl-committee", "ssl-plus", "ssl", "ssl-ns")

#: Regimes whose runs have teacher weights.
WITH_TEACHER: tuple[Regime, ...] = tuple(
    name for name, entry in REGIME_TABLE.items() if entry.teacher is not None
)


def effective(project: Project, regime: Regime) -> Project:
    """Return the project with the options of a regime in place of the general ones."""
    return REGIME_TABLE[regime].effective(project)


def swept_regimes(training: Training, sweep: str) -> tuple[Regime, ...]:
    """Return the regimes that a key of ``training.sweeps`` trains.

    ``labelled_peaks`` trains those of the grid, except those with a teacher and committees; other
    keys train the regimes that name them, whether the grid has these or not.
    """
    if sweep == "labelled_peaks":
        return tuple(name for name in training.regimes if REGIME_TABLE[name].first is None)
    return tuple(name for name, entry in REGIME_TABLE.items() if sweep in entry.sweeps)
