"""A trained model that scores sequences, and an ensemble of several.

::

    model = sm.load_model("runs/Reb1/cnn-27k/ssl/seed-0")
    model.predict(["ACGT" * 50])           # probabilities, float32 (1, 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.errors import ConfigError, InputError
from ssldata.genomes.onehot import reverse_complement
from ssldata.reading.read_window import central
from sslmodels.committee.bin_scorer import log_odds_alone, probabilities
from sslmodels.committee.committee_file import Committee, load_committee
from sslmodels.evaluation.run_calibration import CalibrationMethod, read_calibration
from sslmodels.evaluation.run_calibration import calibrated as apply_map
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel
from sslmodels.models.catalogue import MODEL_FILE
from sslmodels.models.model_builder import load_model as load_keras_model
from sslmodels.prediction.sequence_input import as_codes
from sslmodels.runs.run_folder import RunFolder, complete_record
from sslmodels.scores.score_rows import score, score_both_strands

Codes = NDArray[np.uint8]
Scores = NDArray[np.float32]


class TrainedModel:
    """A trained model; made by :func:`load_model`.

    Parameters
    ----------
    keras_model
        A model of this package, or a functional Keras model that reads one-hot (B, length, 4).
    outputs
        Names of the outputs; default: ``score``, or ``score_1``, ``score_2``, ….
    run
        Folder of the run that trained it.
    committee
        The other members of a committee, of which `keras_model` is the network.

    Attributes
    ----------
    keras_model
        The Keras model. It reads base codes (B, length), or tokens made by its ``encoder``.
    length
        Bases it reads.
    outputs
        The experiment of each output.
    run
        Folder of the run; None: the model was loaded from a file alone.
    committee
        None: the model is a network alone. A committee scores a sequence by its network, motif and
        k-mers; with homologues and conservation it scores places of the labelled genome
        (:class:`sslmodels.committee.bin_scorer.BinScorer`, ``crosslabel predict``).

    Raises
    ------
    InputError
        The model does not read DNA, or does not have these outputs.
    """

    def __init__(
        self,
        keras_model: keras.Model,
        *,
        outputs: Sequence[str] | None = None,
        run: Path | None = None,
        committee: Committee | None = None,
    ) -> None:
        self.committee = committee
        self.keras_model = _reads_codes(keras_model)
        self.length = int(self.keras_model.length)
        self.run = run
        self._maps: dict[str, list[Mapping[str, Any]]] = {}
        count = _output_count(self.keras_model)
        numbered = [f"score_{number}" for number in range(1, count + 1)]
        self.outputs = tuple(outputs or (numbered if count > 1 else ["score"]))
        if len(self.outputs) != count:
            raise InputError(
                f"{run}: the model has {count} outputs, its run.json names {len(self.outputs)}; "
                "train again with --replace"
            )

    def predict(
        self,
        sequences: ArrayLike,
        *,
        both_strands: bool = True,
        calibrated: CalibrationMethod | bool = False,
        batch_size: int | None = None,
    ) -> Scores:
        """Return the probabilities of sequences, float32 (n, outputs).

        Parameters
        ----------
        sequences
            One string or many (any sequence or array of them), base codes (n, length), or one-hot
            (n, length, 4) in the order A, C, G, T. N, and any other IUPAC code, is four zeros.
        both_strands
            Average the probabilities of each sequence and of its reverse complement. A model
            trained with ``training.both_strands`` always does, and a committee.
        calibrated
            Calibrate as :meth:`calibrate` does; True: ``isotonic``.
        batch_size
            Sequences scored at once.

        Raises
        ------
        InputError
            A sequence of another length, or with letters that are not bases.
        ConfigError, MissingInputError
            There is no calibration.
        """
        _check_calibration(calibrated, both_strands=both_strands)
        codes = as_codes(sequences, self.length)
        scores = self.score_codes(codes, both_strands=both_strands, batch_size=batch_size)
        return self.calibrate(scores, calibrated) if calibrated else scores

    def score_codes(
        self, codes: Codes, *, both_strands: bool = True, batch_size: int | None = None
    ) -> Scores:
        """Return the probabilities of base codes, uint8 (n, length), which are not checked.

        Parameters
        ----------
        codes, both_strands, batch_size
            As of :meth:`predict`.
        """
        if not len(codes):
            return np.zeros((0, len(self.outputs)), np.float32)
        if self.committee is not None:
            return probabilities(log_odds_alone(self.keras_model, self.committee, codes))[:, None]
        scored = score_both_strands if both_strands else score
        return scored(self.keras_model, codes, batch_size=batch_size)

    def log_odds(
        self, codes: Codes, *, both_strands: bool = True, batch_size: int | None = None
    ) -> Scores:
        """Return log(p / (1 − p)) of the probabilities of :meth:`score_codes`.

        They are made of what the last sigmoid reads, and so are exact where a float32 probability
        is 0 or 1. A model that does not end in a dense layer with a sigmoid gives those of its
        probabilities, where 1 counts as 1 − 2⁻²⁵.

        Parameters
        ----------
        codes, both_strands, batch_size
            As of :meth:`predict`.
        """
        if self.committee is not None:
            found = log_odds_alone(self.keras_model, self.committee, codes)
            return found.astype(np.float32)[:, None]
        if self._without_sigmoid is None or not len(codes):
            scores = self.score_codes(codes, both_strands=both_strands, batch_size=batch_size)
            p = np.clip(scores.astype(np.float64), np.finfo(np.float32).tiny, 1 - 2.0**-25)
            return (np.log(p) - np.log1p(-p)).astype(np.float32)
        z = score(self._without_sigmoid, codes, batch_size=batch_size).astype(np.float64)
        if not both_strands and not getattr(self.keras_model, "both_strands", False):
            return z.astype(np.float32)
        mirrored = reverse_complement(codes)
        other = score(self._without_sigmoid, mirrored, batch_size=batch_size)
        # log of the mean of both strands' p, and of 1 − p; log σ(z) = −log(1 + exp(−z)), and the
        # halves cancel.
        log_p = np.logaddexp(-np.logaddexp(0, -z), -np.logaddexp(0, -other))
        log_q = np.logaddexp(-np.logaddexp(0, z), -np.logaddexp(0, other))
        return (log_p - log_q).astype(np.float32)

    def calibrate(self, scores: Scores, method: CalibrationMethod | bool = "isotonic") -> Scores:
        """Return calibrated probabilities, from scores averaged over the strands.

        Parameters
        ----------
        scores
            (n, outputs).
        method
            ``isotonic``, or True: the share of positives among bins of such a score in the
            validation split; ``temperature``: the probability at even odds.

        Raises
        ------
        ConfigError, MissingInputError
            The model is not that of a run, or the run is not evaluated.
        """
        method = method if isinstance(method, str) else "isotonic"
        if method not in self._maps:
            if self.run is None:
                raise ConfigError(
                    "a model without its run has no calibration; load the run folder instead"
                )
            self._maps[method] = read_calibration(self.run, self.outputs, method)
        columns = zip(self._maps[method], scores.T, strict=True)
        return np.stack([apply_map(fitted, column) for fitted, column in columns], axis=1)

    @cached_property
    def _without_sigmoid(self) -> SequenceModel | None:
        """The model of one strand without the last sigmoid; None if it does not end in one."""
        body = getattr(self.keras_model, "body", None)
        if body is None or not isinstance(body.layers[-1], keras.layers.Dense):
            return None
        last = body.layers[-1]
        if last.activation is not keras.activations.sigmoid:
            return None
        linear = keras.layers.Dense(last.units, use_bias=last.use_bias, name=last.name)
        logits = linear(last.input)
        linear.set_weights(last.get_weights())
        return SequenceModel(keras.Model(body.input, logits, name="body"))


class Ensemble:
    """Several models of the same outputs; each reads the centre of a sequence.

    Parameters
    ----------
    models
        Models, or what :func:`load_model` takes.

    Attributes
    ----------
    members
        The models.
    length, outputs
        Bases of the model that reads most; the experiment of each output.

    Raises
    ------
    ConfigError
        No model, models of different outputs, or lengths that have no common centre.
    """

    def __init__(self, models: Sequence[TrainedModel | Path | str]) -> None:
        self.members = [m if isinstance(m, TrainedModel) else load_model(m) for m in models]
        if not self.members:
            raise ConfigError("an ensemble needs a model; name at least one run")
        first = self.members[0]
        self.outputs = first.outputs
        self.length = max(member.length for member in self.members)
        for member in self.members[1:]:
            if member.outputs != first.outputs:
                raise ConfigError(
                    f"{member.run}: predicts {', '.join(member.outputs)}, and {first.run} "
                    f"{', '.join(first.outputs)}; an ensemble needs the same outputs"
                )
        for member in self.members:
            if (self.length - member.length) % 2:
                raise ConfigError(
                    f"{member.run}: reads {member.length} b and another model {self.length} b, "
                    "which have no common centre; an ensemble needs an even difference"
                )

    def predict(
        self,
        sequences: ArrayLike,
        *,
        both_strands: bool = True,
        calibrated: CalibrationMethod | bool = False,
        batch_size: int | None = None,
    ) -> tuple[Scores, Scores]:
        """Return mean and standard deviation over the models, each float32 (n, outputs).

        The deviation is that of a sample (n − 1), NaN for one model.

        Parameters
        ----------
        sequences, both_strands, calibrated, batch_size
            As of :meth:`TrainedModel.predict`; each model has its own calibration.
        """
        _check_calibration(calibrated, both_strands=both_strands)
        codes = as_codes(sequences, self.length)
        scores = self.score_codes(codes, both_strands=both_strands, batch_size=batch_size)
        if calibrated:
            pairs = zip(self.members, scores, strict=True)
            scores = np.stack([member.calibrate(one, calibrated) for member, one in pairs])
        return mean_and_sd(scores)

    def score_codes(
        self, codes: Codes, *, both_strands: bool = True, batch_size: int | None = None
    ) -> Scores:
        """Return the probabilities of each model, float32 (models, n, outputs).

        Parameters
        ----------
        codes, both_strands, batch_size
            As of :meth:`TrainedModel.score_codes`.
        """
        return np.stack(
            [
                member.score_codes(
                    central(codes, member.length), both_strands=both_strands, batch_size=batch_size
                )
                for member in self.members
            ]
        )


def _check_calibration(calibrated: CalibrationMethod | bool, *, both_strands: bool) -> None:
    if calibrated and not both_strands:
        raise ConfigError(
            "calibrated probabilities are those of both strands; leave out one of the two options"
        )


def mean_and_sd(scores: Scores) -> tuple[Scores, Scores]:
    """Return mean and standard deviation (n − 1; NaN for one) over the first axis."""
    mean = scores.mean(axis=0, dtype=np.float64)
    if len(scores) < 2:
        return mean.astype(np.float32), np.full(mean.shape, np.nan, np.float32)
    return mean.astype(np.float32), scores.std(axis=0, ddof=1, dtype=np.float64).astype(np.float32)


def load_model(path: str | Path) -> TrainedModel:
    """Load a trained model.

    Parameters
    ----------
    path
        The folder of a complete run, its ``model.keras``, or another ``.keras`` file.

    Raises
    ------
    MissingInputError
        No such file or run.
    ConfigError
        The run is not complete.
    InputError
        Not a ``.keras`` file, or not a model that reads DNA.

    Examples
    --------
    >>> model = load_model("runs/reb1/deep-cnn-64/ssl/seed-0")
    >>> model.outputs, model.length
    (('reb1',), 200)
    >>> probabilities = model.predict(["ACGT" * 50, "TTTT" * 50])
    """
    path = Path(path)
    run = path.parent if path.name == MODEL_FILE and path.is_file() else path
    if not path.is_dir() and not (run / "run.json").is_file():
        return TrainedModel(load_keras_model(path))
    record = complete_record(run)
    outputs = record["identity"].get("outputs") or [record["experiment"]]
    file = RunFolder(run).committee
    committee = load_committee(file) if file.is_file() else None
    return TrainedModel(load_keras_model(run), outputs=outputs, run=run, committee=committee)


def _reads_codes(model: keras.Model) -> keras.Model:
    """Return a model that reads base codes: the model itself, or one around its one-hot input."""
    if getattr(model, "length", None) and getattr(model, "encoder", True) is not None:
        return model
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 3 and shape[1] and shape[2] == CHANNELS:
        return SequenceModel(model)
    raise InputError(
        f"model {model.name!r}: does not read DNA; expected one that crosslabel trained, or one "
        "of one-hot input (length, 4)"
    )


def _output_count(model: keras.Model) -> int:
    body = getattr(model, "body", None)
    return int(model.outputs if body is None else body.output_shape[-1])
