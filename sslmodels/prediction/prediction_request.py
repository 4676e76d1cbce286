"""What `crosslabel predict` was asked for, opened and checked, and then done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.base.files import sha256_of
from ssldata.base.progress import Progress
from ssldata.building.build_inputs import open_labelled
from ssldata.conservation.homologue_windows import HomologueWindows
from ssldata.genomes.genome import Genome, open_genome
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.committee.bin_scorer import BinScorer
from sslmodels.evaluation.run_calibration import CalibrationMethod
from sslmodels.fit.devices import make_deterministic
from sslmodels.models.catalogue import MODEL_FILE
from sslmodels.prediction.predict_windows import predict_windows
from sslmodels.prediction.score_files import ScoreFile, format_of
from sslmodels.prediction.trained_model import Ensemble
from sslmodels.prediction.window_scorer import WindowScorer
from sslmodels.prediction.window_sources import (
    BedWindows,
    ContigWindows,
    StoreWindows,
    WindowSource,
)
from sslmodels.runs.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """Models, windows and options; one of `fasta`, `bed`, `store` and `everything` is given.

    Attributes
    ----------
    models
        Run folders, or ``.keras`` files; several are an ensemble.
    out
        The file to write.
    fasta
        Sequences whose windows are scored.
    bed
        Intervals of `genome`.
    store, group, split
        A store, and its rows.
    everything
        All windows of `genome`.
    genome
        FASTA or 2bit; default: the labelled genome of the project.
    stride
        Bases from one window to the next; default: the bases that the models read.
    contigs
        Only these.
    format
        Of the file; default: by its name.
    both_strands, calibration, homologues
        As of :class:`.WindowScorer`.
    project
        Project file or folder; default: the settings kept with the first run.
    """

    models: Sequence[Path]
    out: Path
    fasta: Path | None = None
    bed: Path | None = None
    store: str | None = None
    everything: bool = False
    group: str = REFERENCE
    split: str | None = None
    genome: Path | None = None
    stride: int | None = None
    contigs: Sequence[str] = field(default_factory=tuple)
    format: str | None = None
    both_strands: bool = True
    calibration: CalibrationMethod | None = None
    homologues: bool = False
    project: Path | None = None

    @property
    def needs_project(self) -> bool:
        """Whether the labelled genome, or homologues, are looked up in a project."""
        of_the_labelled_genome = self.bed is not None or self.everything
        return self.homologues or (of_the_labelled_genome and self.genome is None)

    def check(self) -> None:
        """Raise :class:`ConfigError` where the options contradict each other."""
        sources = {
            "--fasta": self.fasta is not None,
            "--bed": self.bed is not None,
            "--store": self.store is not None,
            "--all": self.everything,
        }
        given = [name for name, found in sources.items() if found]
        if len(given) != 1:
            raise ConfigError(
                f"windows to score: found {' and '.join(given) or 'none'}; give one of "
                f"{', '.join(sources)}"
            )
        source = given[0]
        for name, found, fits in (
            ("--stride", self.stride is not None, ("--fasta", "--all")),
            ("--genome", self.genome is not None, ("--bed", "--all")),
            ("--contig", bool(self.contigs), ("--fasta", "--bed", "--all")),
            ("--group", self.group != REFERENCE, ("--store",)),
            ("--split", self.split is not None, ("--store",)),
            ("--homologues", self.homologues, ("--bed", "--store", "--all")),
        ):
            if found and source not in fits:
                raise ConfigError(f"{name} has no meaning with {source}; leave it out")
        if self.project is not None and not (self.needs_project or self.store is not None):
            raise ConfigError("--project has no meaning here; leave it out")
        if self.homologues and self.group != REFERENCE:
            raise ConfigError(
                f"--homologues: {self.group} holds homologues already; score the rows of "
                f"{REFERENCE}"
            )
        if self.calibration is not None and not self.both_strands:
            raise ConfigError(
                "--calibrated probabilities are those of both strands; leave out --one-strand"
            )


def run_prediction(
    request: PredictionRequest,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do what a request asks for.

    Parameters
    ----------
    request
        The request.
    replace, dry_run, progress
        As of :func:`sslmodels.prediction.predict_windows.predict_windows`.

    Returns
    -------
    dict
        Of that function, with the ``models``.

    Raises
    ------
    CrosslabelError
        A file is missing or wrong, or options contradict each other.
    """
    request.check()
    format_ = format_of(request.out, request.format)
    make_deterministic()
    ensemble = Ensemble(request.models)
    project = _project(request)
    source = _source(request, ensemble.length, project)
    homologues = None
    if request.homologues:
        assert project is not None
        _check_labelled(request, project)
        homologues = HomologueWindows(project, length=ensemble.length, contigs=source.contigs)
    committees = _committees(request, ensemble, project, source)
    scorer = WindowScorer(
        ensemble,
        both_strands=request.both_strands,
        calibration=request.calibration,
        homologues=homologues,
        committees=committees,
    )
    identity = {
        "models": [_identity(path, request.calibration) for path in request.models],
        "both_strands": request.both_strands,
        "calibration": request.calibration,
        "homologues": None if homologues is None else homologues.identity,
        **({"places": {n: b.identity for n, b in committees.items()}} if committees else {}),
    }
    summary = predict_windows(
        source,
        scorer,
        ScoreFile(request.out, format_, scorer.columns),
        identity=identity,
        replace=replace,
        dry_run=dry_run,
        progress=progress,
    )
    return {"models": [str(path) for path in request.models], **summary}


def _committees(
    request: PredictionRequest, ensemble: Ensemble, project: Project | None, source: WindowSource
) -> dict[int, BinScorer]:
    """Return what scores places of the labelled genome, of each model that is a committee.

    Sequences of another genome, or of a FASTA, are scored by sequence alone.
    """
    numbers = [n for n, member in enumerate(ensemble.members) if member.committee is not None]
    if numbers and request.homologues:
        raise ConfigError(
            f"{request.models[numbers[0]]}: a committee averages over homologues by itself; leave "
            "out --homologues"
        )
    elsewhere = request.fasta is not None or request.genome is not None
    if not numbers or elsewhere or request.group != REFERENCE:
        return {}
    found: dict[int, BinScorer] = {}
    for number in numbers:
        member = ensemble.members[number]
        assert member.run is not None
        assert member.committee is not None
        named = request.project or RunFolder(member.run).config
        of_run = project or load_project(named)
        found[number] = BinScorer(
            of_run, member.keras_model, member.committee, contigs=source.contigs
        )
        if request.store is not None:
            _check_labelled(request, of_run)
    return found


def _identity(path: Path, calibration: CalibrationMethod | None) -> list[str]:
    """Return digests of what decides the scores of a model."""
    found = [file_digest(path / MODEL_FILE if path.is_dir() else path)]
    if (committee := RunFolder(path).committee).is_file():
        found.append(file_digest(committee))
    if calibration is not None and path.is_dir():
        fitted = RunFolder(path).evaluation / "calibration.json"
        found.append(sha256_of(fitted) if fitted.exists() else "")
    return found


def _project(request: PredictionRequest) -> Project | None:
    """Return the project that names the genomes; None: none is needed."""
    if not request.needs_project:
        return None
    if request.project is not None:
        return load_project(request.project)
    config = RunFolder(request.models[0]).config
    if not config.is_file():
        raise MissingInputError(
            f"{config}: no such file; name the genome with --genome, or the project with --project"
        )
    return load_project(config)


def _source(request: PredictionRequest, length: int, project: Project | None) -> WindowSource:
    if request.store is not None:
        store = open_store(request.store)
        return StoreWindows(store, length=length, group=request.group, split=request.split)
    genome = _genome(request, project)
    if request.bed is not None:
        return BedWindows(request.bed, genome, length=length, contigs=request.contigs)
    stride = request.stride or length
    return ContigWindows(genome, length=length, stride=stride, contigs=request.contigs)


def _genome(request: PredictionRequest, project: Project | None) -> Genome:
    path = request.fasta or request.genome
    if path is not None:
        return open_genome(path)
    assert project is not None
    return open_labelled(project)


def _check_labelled(request: PredictionRequest, project: Project) -> None:
    """Raise :class:`ConfigError` unless the windows are of the labelled genome of a project."""
    expected = open_labelled(project).digest
    if request.store is not None:
        found, where = open_store(request.store).attributes["reference"]["digest"], request.store
    elif request.genome is not None:
        found, where = open_genome(request.genome).digest, str(request.genome)
    else:
        return
    if found != expected:
        raise ConfigError(
            f"{where}: not the labelled genome of the project, {project.reference.sequence}; "
            "--homologues follows the project's chains, which begin there"
        )
